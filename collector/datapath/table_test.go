package datapath

import (
	"net/netip"
	"slices"
	"testing"

	"griffier/bpf"
)

func ref(b byte) [16]byte { return [16]byte{b} }

func kernelKey(s string) bpf.Key { return bpf.Key{Prefix: netip.MustParsePrefix(s)} }

// TestResume gives the table every mismatch of notes and keys that a kill between
// two system calls, or a stranger in the pin directory, can leave.
func TestResume(t *testing.T) {
	held := func(owner byte) bpf.Owner {
		return bpf.Owner{Ref: ref(owner), Generation: 3, State: stateHeld, Baseline: bpf.Counters{Up4: bpf.Count{Bytes: 10}}}
	}
	notes := []bpf.Owner{
		0: {Ref: ref(99)}, // the epoch
		1: held(1),
		2: held(2), // killed before its key came, or after it went
		3: {Ref: ref(3), Generation: 1, State: stateRetired},
		4: {Generation: 7, State: stateFree}, // with a stray key
		5: {},
		6: held(1), // a second slot of owner 1
		7: {Ref: ref(7), Generation: 2, State: stateHeld, Baseline: bpf.Counters{Down6: bpf.Count{Packets: 1}}},
	}
	keys := []bpf.KeySlot{
		{Key: kernelKey("10.0.0.1/32"), Slot: 1},
		{Key: kernelKey("2001:db8::/56"), Slot: 1},
		{Key: kernelKey("10.0.0.3/32"), Slot: 3},
		{Key: kernelKey("10.0.0.4/32"), Slot: 4},
		{Key: kernelKey("10.0.0.5/32"), Slot: 0},
		{Key: kernelKey("10.0.0.6/32"), Slot: 6},
		{Key: kernelKey("10.0.0.7/32"), Slot: 8},
		{Key: kernelKey("10.0.0.8/32"), Slot: 7},
	}
	raw := make([]bpf.Counters, len(notes))
	for n := range raw {
		raw[n].Up4.Bytes = uint64(100 + n)
	}
	got, stray, regressed := resume(notes, keys, raw)

	wantStray := []string{"10.0.0.3/32", "10.0.0.4/32", "10.0.0.5/32", "10.0.0.6/32", "10.0.0.7/32"}
	var names []string
	for _, k := range stray {
		names = append(names, k.Prefix.String())
	}
	if !slices.Equal(names, wantStray) {
		t.Errorf("stray = %v, want %v", names, wantStray)
	}
	if len(got.keys) != 3 || got.slots[1].keys != 2 || got.byOwner[ref(1)] != 1 || len(got.byOwner) != 2 {
		t.Errorf("keys = %v, owners = %v, want both keys of owner 1 in slot 1", got.keys, got.byOwner)
	}
	if s := got.slots[1]; s.baseline != notes[1].Baseline || s.generation != 3 {
		t.Errorf("slot 1 = %+v, want its baseline and generation kept", s)
	}
	for n, want := range map[uint32]bool{1: false, 2: true, 3: true, 4: false, 5: false, 6: true} {
		if got.retired[n] != want {
			t.Errorf("slot %d retired = %v, want %v", n, got.retired[n], want)
		}
	}
	if s := got.slots[7]; !slices.Equal(regressed, []uint32{7}) || s.baseline != raw[7] || s.generation != 3 || s.keys != 1 {
		t.Errorf("regressed %v, slot 7 = %+v, want it to start anew", regressed, s)
	}
	if !slices.Equal(got.free, []uint32{4, 5}) {
		t.Errorf("free = %v, want 4 and 5", got.free)
	}
	if got.slots[4].baseline.Up4.Bytes != 104 || got.slots[4].generation != 7 {
		t.Errorf("slot 4 = %+v: what its stray key counted would go to the next owner", got.slots[4])
	}
}

// TestRecycling: a slot comes back as another generation, from its final reading on.
func TestRecycling(t *testing.T) {
	tb := newTable(2)
	k := kernelKey("10.0.0.1/32")
	take := func(owner [16]byte) uint32 {
		n, held, err := tb.pick(owner)
		if err != nil || held {
			t.Fatalf("pick = %d, %v, %v", n, held, err)
		}
		proposed := tb.proposed(n, owner)
		tb.hold(n, owner)
		if note := tb.slots[n].note(); note != proposed {
			t.Fatalf("kernel's note %+v, table's %+v", proposed, note)
		}
		return n
	}
	first := take(ref(1))
	tb.bind(k, first)
	if n := tb.bind(k, first); n != 0 {
		t.Errorf("binding again emptied %d", n)
	}
	second := take(ref(2))
	if n := tb.bind(k, second); n != first {
		t.Errorf("moving the key emptied %d, want %d", n, first)
	}
	if _, _, err := tb.pick(ref(3)); err != ErrNoSlot {
		t.Errorf("pick = %v, want ErrNoSlot", err)
	}
	tb.retire(first)
	if _, _, err := tb.pick(ref(3)); err != ErrNoSlot {
		t.Errorf("pick of a retired slot = %v, want ErrNoSlot", err)
	}
	tb.slots[first].final.Down6.Packets = 5
	tb.release(first)
	again := take(ref(3))
	if s := tb.slots[again]; again != first || s.generation != 2 || s.baseline.Down6.Packets != 5 {
		t.Errorf("slot %d = %+v, want %d of generation 2 from the final reading on", again, s, first)
	}
}

func TestExpand(t *testing.T) {
	for _, tt := range []struct {
		prefix string
		keys   int
	}{
		{"10.0.0.1/32", 1}, {"10.0.0.9/29", 8}, {"255.255.255.0/24", 256}, {"2001:db8::1/56", 1}, {"2001:db8::1/128", 1},
		{"10.0.0.0/23", 0}, {"0.0.0.0/0", 0}, {"::/0", 0}, {"::ffff:10.0.0.1/128", 0},
	} {
		keys, err := expand(Key{Prefix: netip.MustParsePrefix(tt.prefix), Scope: 7})
		if len(keys) != tt.keys || (err == nil) != (tt.keys > 0) {
			t.Errorf("expand(%s) = %d keys, %v, want %d", tt.prefix, len(keys), err, tt.keys)
		}
		for _, k := range keys {
			if k.Scope != 7 || k.Prefix != k.Prefix.Masked() {
				t.Errorf("expand(%s) has %v", tt.prefix, k)
			}
		}
	}
	if _, err := expand(Key{}); err != ErrPrefix {
		t.Errorf("expand of nothing = %v, want ErrPrefix", err)
	}
}
