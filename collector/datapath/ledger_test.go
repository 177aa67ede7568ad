package datapath

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"pgregory.net/rapid"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// ledger is what each owner must have been counted for, kept by the side that
// sends the frames, and what the reports said.
type ledger struct {
	sent     map[[16]byte]bpf.Counters
	orphans  bpf.Counters // sent while nobody held the address
	reported map[hold]SlotCount
}

// hold is one owner's hold of one slot.
type hold struct {
	epoch            [16]byte
	slot, generation uint32
}

func (l *ledger) take(t rapid.TB, r Report) {
	if !r.Totals.Balanced() {
		t.Fatalf("the equation does not close: %+v", r.Totals)
	}
	for _, s := range append(append([]SlotCount(nil), r.Slots...), r.Final...) {
		h := hold{r.Epoch, s.Slot, s.Generation}
		old, seen := l.reported[h]
		if seen && old.Owner != s.Owner {
			t.Fatalf("slot %d generation %d went from one owner to another", s.Slot, s.Generation)
		}
		if s.Up4.Bytes < old.Up4.Bytes || s.Up6.Bytes < old.Up6.Bytes || s.Down4.Bytes < old.Down4.Bytes || s.Down6.Bytes < old.Down6.Bytes {
			t.Fatalf("slot %d generation %d fell from %+v to %+v", s.Slot, s.Generation, old, s)
		}
		l.reported[h] = s
	}
}

// check compares both sides; every owner's holds together are what was sent for it.
func (l *ledger) check(t rapid.TB, totals bpf.Totals) {
	got := map[[16]byte]bpf.Counters{}
	for _, s := range l.reported {
		got[s.Owner] = got[s.Owner].Plus(bpf.Counters{Up4: s.Up4, Up6: s.Up6, Down4: s.Down4, Down6: s.Down6})
	}
	for owner, want := range l.sent {
		if got[owner] != want {
			t.Fatalf("owner %x: counted %+v, sent %+v", owner[0], got[owner], want)
		}
		delete(got, owner)
	}
	for owner, c := range got {
		if c != (bpf.Counters{}) {
			t.Fatalf("owner %x: counted %+v, sent nothing", owner[0], c)
		}
	}
	orphans := bpf.Counters{
		Up4: totals.Up.Unattributed4, Up6: totals.Up.Unattributed6,
		Down4: totals.Down.Unattributed4, Down6: totals.Down.Unattributed6,
	}
	if orphans != l.orphans {
		t.Fatalf("unattributed %+v, sent %+v", orphans, l.orphans)
	}
}

// TestAnyHistoryIsExact runs random histories of assignments, moves, traffic,
// drains and deaths of the process on the real kernel, with few slots so that they
// are used again and again. Each line must be counted for what it was sent and no
// byte more, and what nobody held must be unattributed.
func TestAnyHistoryIsExact(t *testing.T) {
	mount := bpftest.BPFFS(t)
	keys := []Key{
		{Prefix: netip.MustParsePrefix("10.0.0.1/32")},
		{Prefix: netip.MustParsePrefix("2001:db8:0:100::/56")},
		{Prefix: netip.MustParsePrefix("2001:db8:0:200::/64")},
	}
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{PinDir: filepath.Join(mount, "g"), MaxSlots: 2}
		open := func() *Datapath {
			d, err := Open(cfg, time.Now)
			if err != nil {
				rt.Fatal(err)
			}
			return d
		}
		d := open()
		defer func() {
			if err := d.Detach(); err != nil {
				rt.Error(err)
			}
		}()
		l := &ledger{sent: map[[16]byte]bpf.Counters{}, reported: map[hold]SlotCount{}}
		holders := map[Key][16]byte{}
		rt.Repeat(map[string]func(*rapid.T){
			"assign": func(rt *rapid.T) {
				k := rapid.SampledFrom(keys).Draw(rt, "key")
				owner := ref(byte(rapid.IntRange(1, 5).Draw(rt, "owner")))
				_, err := d.Assign(k, owner)
				if err == nil {
					holders[k] = owner
				} else if !errors.Is(err, ErrNoSlot) {
					rt.Fatal(err)
				}
			},
			"unassign": func(rt *rapid.T) {
				k := rapid.SampledFrom(keys).Draw(rt, "key")
				if err := d.Unassign(k); err != nil {
					rt.Fatal(err)
				}
				delete(holders, k)
			},
			"traffic": func(rt *rapid.T) {
				dir := bpf.Direction(rapid.IntRange(0, 1).Draw(rt, "direction"))
				for _, k := range keys {
					c := pass(rt, d, k.Prefix.Addr(), dir, rapid.IntRange(1, 500).Draw(rt, "size"))
					if owner, ok := holders[k]; ok {
						l.sent[owner] = l.sent[owner].Plus(c)
					} else {
						l.orphans = l.orphans.Plus(c)
					}
				}
			},
			"drain": func(rt *rapid.T) {
				for range rapid.IntRange(1, 2).Draw(rt, "times") { // the second frees slots
					r, err := d.Drain(time.Now())
					if err != nil {
						rt.Fatal(err)
					}
					l.take(rt, r)
				}
			},
			"death": func(rt *rapid.T) {
				if rapid.IntRange(0, 2).Draw(rt, "or not") > 0 {
					return // a life is longer than six events
				}
				if err := d.Close(); err != nil {
					rt.Fatal(err)
				}
				d = open()
				if r := d.Reconciled(); r.StrayKeys != 0 || r.NewCounters {
					rt.Fatalf("reconciled %+v after an orderly life", r)
				}
				for k, owner := range holders {
					if got, ok := d.Holder(k.Prefix.Addr(), 0); !ok || got != owner {
						rt.Fatalf("%s holds %x, want %x", k.Prefix, got[0], owner[0])
					}
				}
			},
			"sync": func(rt *rapid.T) {
				var want []Assignment
				for k, owner := range holders {
					if rapid.Bool().Draw(rt, "keep") {
						want = append(want, Assignment{k, owner})
					} else {
						delete(holders, k)
					}
				}
				if _, added, err := d.Sync(want); err != nil || added != 0 {
					rt.Fatalf("Sync = %d added, %v", added, err)
				}
			},
		})
		r, err := d.Drain(time.Now())
		if err != nil {
			rt.Fatal(err)
		}
		l.take(rt, r)
		l.check(rt, r.Totals)
	})
}

// pass runs one UDP packet of a line through a program and returns what it must count for.
func pass(t rapid.TB, d *Datapath, line netip.Addr, dir bpf.Direction, size int) bpf.Counters {
	src, dst := line, bpftest.Far4
	if line.Is6() {
		dst = bpftest.Far6
	}
	if dir == bpf.Down {
		src, dst = dst, src
	}
	var frame []byte
	var c bpf.Counters
	payload := bpftest.UDP(9, 9, make([]byte, size))
	if line.Is4() {
		packet := bpftest.IPv4(src, dst, 17, 0, 0, payload)
		frame = bpftest.Ethernet(0x0800, packet)
		count := bpf.Count{Bytes: uint64(len(packet)), Packets: 1}
		if dir == bpf.Up {
			c.Up4 = count
		} else {
			c.Down4 = count
		}
	} else {
		packet := bpftest.IPv6(src, dst, 17, payload)
		frame = bpftest.Ethernet(0x86dd, packet)
		count := bpf.Count{Bytes: uint64(len(packet)), Packets: 1}
		if dir == bpf.Up {
			c.Up6 = count
		} else {
			c.Down6 = count
		}
	}
	if _, err := d.acct.Program(dir).Run(&ebpf.RunOptions{Data: frame}); err != nil {
		t.Fatalf("program run: %v", err)
	}
	return c
}

// TestFinalReadingsSurviveDeath: a final reading that was reported, but whose
// report may not have become durable, is reported again with the same values.
func TestFinalReadingsSurviveDeath(t *testing.T) {
	cfg := Config{PinDir: filepath.Join(bpftest.BPFFS(t), "g"), MaxSlots: 2}
	open := func() *Datapath {
		d, err := Open(cfg, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.acct.Close() })
		return d
	}
	drain := func(d *Datapath) Report {
		r, err := d.Drain(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	d := open()
	if !d.Reconciled().NewCounters {
		t.Errorf("Reconciled = %+v, want new counters", d.Reconciled())
	}
	key := Key{Prefix: netip.MustParsePrefix("10.0.0.1/32")}
	if _, err := d.Assign(key, ref(1)); err != nil {
		t.Fatal(err)
	}
	pass(t, d, key.Prefix.Addr(), bpf.Up, 72)
	if err := d.Unassign(key); err != nil {
		t.Fatal(err)
	}
	first := drain(d)
	d.Close() // before anything was acknowledged
	d = open()
	second := drain(d)
	if len(first.Final) != 1 || len(second.Final) != 1 || first.Final[0] != second.Final[0] ||
		first.Final[0].Up4 != (bpf.Count{Bytes: 100, Packets: 1}) || first.CounterID(first.Final[0]) != second.CounterID(second.Final[0]) {
		t.Errorf("final readings %+v, then %+v, want the same one", first.Final, second.Final)
	}
	if third := drain(d); len(third.Final) != 0 || third.SlotsFree != 2 {
		t.Errorf("after the next drain: final %+v, %d free, want none, 2", third.Final, third.SlotsFree)
	}
	// The next owner of the same slot starts at nothing, as another counter.
	slots := map[uint32]bool{}
	for i := range byte(2) {
		n, err := d.Assign(Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, i}), 32)}, ref(10+i))
		if err != nil {
			t.Fatal(err)
		}
		slots[n] = true
	}
	if !slots[first.Final[0].Slot] {
		t.Fatalf("slot %d was not given out again", first.Final[0].Slot)
	}
	r := drain(d)
	for _, s := range r.Slots {
		if s.Up4 != (bpf.Count{}) {
			t.Errorf("slot %d starts at %+v", s.Slot, s.Up4)
		}
		if r.CounterID(s) == first.CounterID(first.Final[0]) {
			t.Errorf("slot %d has the id of its former owner's counter", s.Slot)
		}
	}
	if _, err := d.Assign(key, ref(3)); !errors.Is(err, ErrNoSlot) {
		t.Errorf("Assign = %v, want ErrNoSlot", err)
	}
	if r := drain(d); r.Refused != 1 {
		t.Errorf("refused %d, want 1", r.Refused)
	}
	if err := d.Detach(); err != nil {
		t.Error(err)
	}
	d = open()
	if r := d.Reconciled(); !r.NewCounters || r.Resumed != 0 {
		t.Errorf("after Detach: %+v, want new counters", r)
	}
	d.Close()
}

// TestStrayKeysAreNobodys: a key that leads where no owner is noted is removed at
// the start, counted, and what it counted goes to nobody.
func TestStrayKeysAreNobodys(t *testing.T) {
	dir := filepath.Join(bpftest.BPFFS(t), "g")
	cfg := Config{PinDir: dir, MaxSlots: 2}
	d, err := Open(cfg, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	stray := netip.MustParsePrefix("10.0.0.66/32")
	if err := d.acct.Put(bpf.Key{Prefix: stray}, 1); err != nil {
		t.Fatal(err)
	}
	pass(t, d, stray.Addr(), bpf.Down, 72)
	d.Close()
	if d, err = Open(cfg, time.Now); err != nil {
		t.Fatal(err)
	}
	defer d.Detach()
	if r := d.Reconciled(); r.StrayKeys != 1 {
		t.Errorf("Reconciled = %+v, want one stray key", r)
	}
	if _, ok := d.Holder(stray.Addr(), 0); ok {
		t.Error("the stray key has a holder")
	}
	for i := range byte(2) {
		if _, err := d.Assign(Key{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, i}), 32)}, ref(1+i)); err != nil {
			t.Fatal(err)
		}
	}
	pass(t, d, stray.Addr(), bpf.Down, 72)
	r, err := d.Drain(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Slots {
		if s.Down4 != (bpf.Count{}) {
			t.Errorf("slot %d inherited %+v", s.Slot, s.Down4)
		}
	}
	if r.Totals.Down.Unattributed4 != (bpf.Count{Bytes: 100, Packets: 1}) {
		t.Errorf("unattributed %+v, want the second packet", r.Totals.Down.Unattributed4)
	}
}

// TestStaticPrefix: an IPv4 prefix counts for its line by each address of it.
func TestStaticPrefix(t *testing.T) {
	bpftest.NeedRoot(t)
	d, err := Open(Config{MaxSlots: 8}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Detach()
	key := Key{Prefix: netip.MustParsePrefix("198.51.100.8/29")}
	n, err := d.Assign(key, ref(1))
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.Assign(Key{Prefix: netip.MustParsePrefix("2001:db8:0:100::/56")}, ref(1))
	if err != nil || again != n {
		t.Errorf("the line's other prefix got slot %d, %v, want %d", again, err, n)
	}
	for _, a := range []string{"198.51.100.7", "198.51.100.8", "198.51.100.15", "198.51.100.16"} {
		pass(t, d, netip.MustParseAddr(a), bpf.Up, 72)
	}
	if err := d.Unassign(key); err != nil {
		t.Fatal(err)
	}
	pass(t, d, netip.MustParseAddr("198.51.100.8"), bpf.Up, 72)
	r, err := d.Drain(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Slots) != 1 || r.Slots[0].Up4 != (bpf.Count{Bytes: 200, Packets: 2}) || len(r.Final) != 0 {
		t.Errorf("report %+v, want 2 packets of the line, which still has its IPv6 prefix", r)
	}
	if st := d.State(); len(st.Slots) != 1 || len(st.Slots[0].Keys) != 1 || st.Slots[0].Owner != ref(1) {
		t.Errorf("State = %+v", st)
	}
	for _, tt := range []struct {
		key   Key
		owner [16]byte
		want  error
	}{
		{Key{Prefix: netip.MustParsePrefix("10.0.0.0/8")}, ref(1), ErrPrefix},
		{key, [16]byte{}, ErrOwner},
	} {
		if _, err := d.Assign(tt.key, tt.owner); !errors.Is(err, tt.want) {
			t.Errorf("Assign(%v) = %v, want %v", tt.key.Prefix, err, tt.want)
		}
	}
}

// TestDrainLosesNothing reads all the time while two programs count as fast as
// they can: reading takes nothing away, and no reading goes backwards.
func TestDrainLosesNothing(t *testing.T) {
	bpftest.NeedRoot(t)
	d, err := Open(Config{MaxSlots: 8}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Detach()
	if _, err := d.Assign(Key{Prefix: netip.PrefixFrom(bpftest.Sub4, 32)}, ref(1)); err != nil {
		t.Fatal(err)
	}
	const each = 2_000_000
	done := make(chan error, 2)
	for _, dir := range []bpf.Direction{bpf.Up, bpf.Down} {
		src, dst := bpftest.Sub4, bpftest.Far4
		if dir == bpf.Down {
			src, dst = dst, src
		}
		frame := bpftest.Ethernet(0x0800, bpftest.IPv4(src, dst, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
		go func() {
			_, _, err := d.acct.Program(dir).Benchmark(frame, each, func() {})
			done <- err
		}()
	}
	l := &ledger{reported: map[hold]SlotCount{}}
	drains := 0
	for running := 2; running > 0; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running--
		default:
		}
		r, err := d.Drain(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		l.take(t, r)
		drains++
	}
	r, err := d.Drain(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := r.Slots[0]
	// The kernel may repeat a run that a signal interrupted, so its own count of
	// frames, which is kept in another map, is the number.
	up, down := r.Totals.Up.Frames, r.Totals.Down.Frames
	if up < each || down < each || s.Up4 != (bpf.Count{Bytes: 100 * up, Packets: up}) || s.Down4 != (bpf.Count{Bytes: 100 * down, Packets: down}) {
		t.Errorf("counted %+v of %d up and %d down", s, up, down)
	}
	t.Logf("%d frames, %d drains", up+down, drains)
}
