// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	"griffier/bpf/bpftest"
)

// frameOf makes a frame from an address.
func frameOf(from netip.Addr) []byte {
	udp := bpftest.UDP(1, 2, make([]byte, 30))
	if from.Is4() {
		return bpftest.Ethernet(0x0800, bpftest.IPv4(from, bpftest.Far4, 17, 0, 0, udp))
	}
	return bpftest.Ethernet(0x86dd, bpftest.IPv6(from, bpftest.Far6, 17, udp))
}

// slotOf asks the program where a frame from the address counts; 0 is nowhere.
func slotOf(t *testing.T, a *Accounting, from netip.Addr) uint32 {
	t.Helper()
	before := make([]Counters, a.MaxSlots()+1)
	after := make([]Counters, a.MaxSlots()+1)
	if err := a.ReadCounters(before); err != nil {
		t.Fatal(err)
	}
	run(t, a, Up, frameOf(from), 0, 0)
	if err := a.ReadCounters(after); err != nil {
		t.Fatal(err)
	}
	found := uint32(0)
	for slot := range after {
		c := after[slot].Minus(before[slot])
		if n := c.Up4.Packets + c.Up6.Packets; n > 1 || n == 1 && found != 0 {
			t.Fatalf("counted more than once: slot %d and %d", slot, found)
		} else if n == 1 {
			found = uint32(slot)
		}
	}
	return found
}

// TestTableOfLines puts, moves and deletes keys of every kind at random, in a table
// so full that many keys overflow, through restarts, and asks the program each time.
func TestTableOfLines(t *testing.T) {
	dir := pins(t)
	opts := Options{MaxSlots: 250, MaxKeys: 40, MaxLongKeys: 64, PinDir: dir, DelegatedLengths: []int{128, 64, 56}}
	a, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { a.Close() }()
	rnd := rand.New(rand.NewPCG(1, 2))
	var keys []Key
	for i := range byte(24) {
		for _, p := range []string{
			fmt.Sprintf("10.%d.0.%d/32", i*7, i), fmt.Sprintf("2001:db8:%x00::/56", int(i)+1),
			fmt.Sprintf("2001:db8:ff:%x::/64", i), fmt.Sprintf("2001:db8:ee::%x/128", i),
		} {
			keys = append(keys, Key{Prefix: netip.MustParsePrefix(p)})
		}
	}
	want := map[Key]uint32{}
	short, long, overflows := 0, 0, 0
	for step := range 3000 {
		k := keys[rnd.IntN(len(keys))]
		isLong := k.Prefix.Bits() > 64
		count := &short
		if isLong {
			count = &long
		}
		switch had := want[k]; {
		case rnd.IntN(3) == 0:
			if err := a.Delete(k); err != nil {
				t.Fatal(err)
			}
			if had != 0 {
				*count--
			}
			delete(want, k)
		default:
			slot := uint32(rnd.IntN(250) + 1)
			err := a.Put(k, slot)
			if full := had == 0 && !isLong && short == 40; full != errors.Is(err, ErrKeysFull) || !full && err != nil {
				t.Fatalf("Put with %d keys = %v", short, err)
			}
			if err == nil {
				if had == 0 {
					*count++
				}
				want[k] = slot
			}
		}
		for _, k := range []Key{k, keys[rnd.IntN(len(keys))]} {
			if got := slotOf(t, a, k.Prefix.Addr()); got != want[k] {
				t.Fatalf("step %d: %v counts in slot %d, want %d", step, k.Prefix, got, want[k])
			}
		}
		if step%300 != 299 {
			continue
		}
		a.Close()
		if a, err = Load(opts); err != nil {
			t.Fatal(err)
		}
		all, err := a.Keys()
		if err != nil {
			t.Fatal(err)
		}
		got := map[Key]uint32{}
		for _, k := range all {
			got[k.Key] = k.Slot
			if _, ok := a.lines.find(lineKeyOf(k.Key)); !ok && k.Prefix.Bits() <= 64 {
				overflows++
			}
		}
		if !maps.Equal(got, want) || a.lines.short != short || a.lines.long != long {
			t.Fatalf("after a restart %d and %d keys, want %d and %d, or other slots", a.lines.short, a.lines.long, short, long)
		}
	}
	if overflows == 0 {
		t.Error("no key ever overflowed: the test does not try what it should")
	}
}

// TestRepair: a process that starts sets the flags and bits that a killed one did not
// come to set, and clears those that no key needs.
func TestRepair(t *testing.T) {
	opts := Options{MaxSlots: 250, MaxKeys: 24, MaxLongKeys: 64, PinDir: pins(t), DelegatedLengths: []int{128}}
	a, err := Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { a.Close() }()
	want := map[Key]uint32{}
	for i := range byte(24) {
		for _, p := range []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, i, i}), 32),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: i}), 128),
		} {
			want[Key{Prefix: p}] = uint32(len(want) + 1)
			if err := a.Put(Key{Prefix: p}, want[Key{Prefix: p}]); err != nil {
				t.Fatal(err)
			}
		}
	}
	flags := func() (n int) {
		for bucket := 0; bucket < len(a.lines.words); bucket += bucketWords {
			if a.lines.words[bucket+1]&metaFlags != 0 {
				n++
			}
		}
		return n
	}
	needed := flags()
	for _, wrong := range []uint64{0, ^uint64(0)} {
		for bucket := 0; bucket < len(a.lines.words); bucket += bucketWords {
			a.lines.words[bucket+1] = a.lines.words[bucket+1]&^metaFlags | wrong&metaFlags
		}
		for i := range wordsOf(a.lines.filter) {
			wordsOf(a.lines.filter)[i] = wrong
		}
		a.Close()
		if a, err = Load(opts); err != nil {
			t.Fatal(err)
		}
		for k, slot := range want {
			if got := slotOf(t, a, k.Prefix.Addr()); got != slot {
				t.Errorf("flags %x: %v counts in slot %d, want %d", wrong, k.Prefix, got, slot)
			}
		}
		if got := flags(); got != needed || got == 0 {
			t.Errorf("flags %x: %d buckets have flags, want %d", wrong, got, needed)
		}
		for _, word := range wordsOf(a.lines.filter) {
			if word == ^uint64(0) {
				t.Errorf("flags %x: the filter lets everything through", wrong)
			}
		}
	}
}

// TestScopesAndLengthsAreApart: the same bits as another kind of key are another key.
func TestScopesAndLengthsAreApart(t *testing.T) {
	bpftest.NeedRoot(t)
	a, err := Load(Options{MaxSlots: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	want := map[Key]uint32{}
	for i, p := range []string{
		"0.0.0.1/32", "::/1", "::/32", "::/64", "::/65", "::/96", "::/127", "::/128",
		"100:0:0:0::/64", "100:0:0:0::/96", "1.0.0.0/32", "100::/32",
	} {
		for j, scope := range []uint32{0, 1, 0x0fff0000, 0x0fff0fff} {
			k := Key{netip.MustParsePrefix(p), scope}
			want[k] = uint32(4*i + j + 1)
			if err := a.Put(k, want[k]); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, err := a.Keys()
	if err != nil || len(all) != len(want) {
		t.Fatalf("%d keys, %v, want %d", len(all), err, len(want))
	}
	for _, k := range all {
		if want[k.Key] != k.Slot {
			t.Errorf("%+v leads to slot %d, want %d", k.Key, k.Slot, want[k.Key])
		}
	}
	if err := a.Put(Key{netip.MustParsePrefix("10.0.0.1/32"), 0x10000000}, 1); !errors.Is(err, ErrScope) {
		t.Errorf("Put = %v, want ErrScope", err)
	}
}

// TestPlacesRest: a place whose key was removed gets another only after a grace
// period, or a program could join the one's key with the other's slot.
func TestPlacesRest(t *testing.T) {
	bpftest.NeedRoot(t)
	a, err := Load(Options{MaxSlots: 8, MaxKeys: 4, MaxLongKeys: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	key := func(i byte) Key { return Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 32)} }
	for i := range byte(4) {
		if err := a.Put(key(i), 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range byte(40) {
		if err := a.Delete(key(i)); err != nil {
			t.Fatal(err)
		}
		before := maps.Clone(a.lines.resting)
		if err := a.Put(key(i+4), 2); err != nil {
			t.Fatal(err)
		}
		at, ok := a.lines.find(lineKeyOf(key(i + 4)))
		if _, rested := before[at]; ok && rested && len(a.lines.resting) != 0 {
			t.Fatalf("place %d was used again without a grace period", at)
		}
	}
	if err := a.Settle(); err != nil || len(a.lines.resting) != 0 {
		t.Errorf("Settle = %v, %d places rest", err, len(a.lines.resting))
	}
}

// TestSharedStripes: with fewer stripes than CPUs, two CPUs that count for one line
// at once lose nothing.
func TestSharedStripes(t *testing.T) {
	a := load(t, Options{CounterStripes: 1})
	if got, want := int(a.objects.Counters.MaxEntries()), 65; got != want {
		t.Fatalf("%d counters, want %d", got, want)
	}
	const each, cpus = 1_000_000, 4
	done := make(chan error, cpus)
	for range cpus {
		go func() {
			_, _, err := a.Program(Up).Benchmark(frameOf(bpftest.Sub4), each, func() {})
			done <- err
		}()
	}
	for range cpus {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	totals, err := a.ReadTotals()
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.ReadSlot(slotOf4)
	n := totals.Up.Frames // the kernel may repeat a run that a signal interrupted
	if want := (Counters{Up4: Count{58 * n, n}}); err != nil || got != want || n < each*cpus {
		t.Errorf("counted %+v, %v, want %+v", got, err, want)
	}
	// What does not exist is an error, and nothing is read after Close.
	if _, err := a.ReadSlot(65); err == nil {
		t.Error("ReadSlot of a slot beyond the last = nil")
	}
	a.Close()
	if _, err := a.ReadSlot(1); !errors.Is(err, ErrClosed) {
		t.Errorf("ReadSlot after Close = %v", err)
	}
	if err := a.Put(Key{Prefix: netip.PrefixFrom(bpftest.Sub4, 32)}, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("Put after Close = %v", err)
	}
	if err := a.Delete(Key{Prefix: netip.PrefixFrom(bpftest.Sub4, 32)}); !errors.Is(err, ErrClosed) {
		t.Errorf("Delete after Close = %v", err)
	}
	if err := a.ReadCounters(make([]Counters, 65)); !errors.Is(err, ErrClosed) {
		t.Errorf("ReadCounters after Close = %v", err)
	}
}
