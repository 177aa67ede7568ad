package datapath

import (
	"errors"

	"griffier/bpf"
)

// ErrNoSlot means that every slot is held or still waits for its final reading to
// be reported. The line's traffic counts as unattributed until it gets one.
var ErrNoSlot = errors.New("no free slot")

// What bpf.Owner.State says about a slot. The values are pinned: they are part of the ABI.
const (
	stateUnused  uint32 = 0 // never held
	stateHeld    uint32 = 1 // keys lead to it
	stateRetired uint32 = 2 // its keys are gone, its final reading is not yet acknowledged
	stateFree    uint32 = 3 // held before; may be given out
)

// slot is one place in the counters.
type slot struct {
	owner      [16]byte
	generation uint32
	state      uint32
	keys       int
	reported   bool         // retired, and its final reading is in a report
	baseline   bpf.Counters // the raw value when the owner got it; if free, when it was freed
	final      bpf.Counters // the raw value of the final reading, if reported
}

func (s *slot) note() bpf.Owner {
	return bpf.Owner{Ref: s.owner, Generation: s.generation, State: s.state, Baseline: s.baseline}
}

// table is the state of all slots. It is pure: the caller carries out in the
// kernel what it decides, in the order that the method comments give.
type table struct {
	slots   []slot   // by number; slot 0 belongs to nobody
	free    []uint32 // queue: the slot that rested longest goes first
	byOwner map[[16]byte]uint32
	keys    map[bpf.Key]uint32
	retired map[uint32]bool
}

func newTable(maxSlots uint32) *table {
	t := &table{
		slots:   make([]slot, maxSlots+1),
		byOwner: map[[16]byte]uint32{},
		keys:    map[bpf.Key]uint32{},
		retired: map[uint32]bool{},
	}
	for n := uint32(1); n <= maxSlots; n++ {
		t.free = append(t.free, n)
	}
	return t
}

// pick returns the owner's slot, or the one that hold would give it.
func (t *table) pick(owner [16]byte) (n uint32, held bool, err error) {
	if n, ok := t.byOwner[owner]; ok {
		return n, true, nil
	}
	if len(t.free) == 0 {
		return 0, false, ErrNoSlot
	}
	return t.free[0], false, nil
}

// proposed is the note to write in the kernel before hold.
func (t *table) proposed(n uint32, owner [16]byte) bpf.Owner {
	s := t.slots[n]
	s.owner, s.generation, s.state = owner, s.generation+1, stateHeld
	return s.note()
}

// hold gives the slot that pick chose to the owner.
func (t *table) hold(n uint32, owner [16]byte) {
	s := &t.slots[n]
	s.owner, s.state, s.keys = owner, stateHeld, 0
	s.generation++
	t.free = t.free[1:]
	t.byOwner[owner] = n
}

// bind notes that the key leads to slot n. It returns the slot that the key led to
// before, if that lost its last key by it.
func (t *table) bind(k bpf.Key, n uint32) (emptied uint32) {
	old, had := t.keys[k]
	if had && old == n {
		return 0
	}
	t.keys[k] = n
	t.slots[n].keys++
	if had {
		return t.drop(old)
	}
	return 0
}

// unbind notes that the key is gone from the kernel. It returns the slot that lost
// its last key by it, or 0.
func (t *table) unbind(k bpf.Key) (emptied uint32) {
	n, had := t.keys[k]
	if !had {
		return 0
	}
	delete(t.keys, k)
	return t.drop(n)
}

func (t *table) drop(n uint32) (emptied uint32) {
	t.slots[n].keys--
	if t.slots[n].keys > 0 {
		return 0
	}
	return n
}

// retire takes the slot from its owner, who gets another one if it comes back. The
// kernel's note is to be written after it.
func (t *table) retire(n uint32) {
	s := &t.slots[n]
	s.state, s.reported = stateRetired, false
	delete(t.byOwner, s.owner)
	t.retired[n] = true
}

// release makes a retired slot, whose final reading was reported, free: what it has
// counted so far is nobody's from here on. The kernel's note is to be written after it.
func (t *table) release(n uint32) {
	s := &t.slots[n]
	*s = slot{generation: s.generation, state: stateFree, baseline: s.final}
	delete(t.retired, n)
	t.free = append(t.free, n)
}

// resume makes the table from what the kernel holds: the notes (by slot) and keys,
// and the raw counters after a grace period. It returns the keys that lead to no
// held slot, which must not count for anybody.
//
// A held slot without a key is one that lost its last key, or had not got its
// first one, when the collector was killed: it is retired. What a free slot has
// counted, by a stray key, is nobody's. Where counters are below their baseline they
// are other counters than the note is about, and the owner starts anew.
func resume(notes []bpf.Owner, keys []bpf.KeySlot, raw []bpf.Counters) (t *table, stray []bpf.Key, regressed []uint32) {
	t = newTable(uint32(len(notes) - 1))
	t.free = t.free[:0]
	for n := 1; n < len(notes); n++ {
		o := notes[n]
		t.slots[n] = slot{owner: o.Ref, generation: o.Generation, state: o.State, baseline: o.Baseline}
		if _, twice := t.byOwner[o.Ref]; o.State == stateHeld && !twice {
			t.byOwner[o.Ref] = uint32(n)
		}
	}
	for _, k := range keys {
		if k.Slot == 0 || int(k.Slot) >= len(notes) || notes[k.Slot].State != stateHeld ||
			t.byOwner[notes[k.Slot].Ref] != k.Slot {
			stray = append(stray, k.Key)
			continue
		}
		t.bind(k.Key, k.Slot)
	}
	for n := uint32(1); int(n) < len(notes); n++ {
		s := &t.slots[n]
		if s.state != stateUnused && below(raw[n], s.baseline) {
			s.baseline = raw[n]
			s.generation++
			regressed = append(regressed, n)
		}
		switch {
		case s.state == stateHeld && s.keys > 0:
		case s.state == stateHeld:
			owner := t.byOwner[s.owner]
			t.retire(n)
			if owner != n { // a second slot of one owner: the first stays its own
				t.byOwner[s.owner] = owner
			}
		case s.state == stateRetired:
			t.retired[n] = true
		default:
			s.owner, s.baseline = [16]byte{}, raw[n]
			t.free = append(t.free, n)
		}
	}
	return t, stray, regressed
}

// below reports whether any counter is less than its baseline.
func below(raw, baseline bpf.Counters) bool {
	less := func(a, b bpf.Count) bool { return a.Bytes < b.Bytes || a.Packets < b.Packets }
	return less(raw.Up4, baseline.Up4) || less(raw.Up6, baseline.Up6) ||
		less(raw.Down4, baseline.Down4) || less(raw.Down6, baseline.Down6)
}
