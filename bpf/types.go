// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import "unsafe"

// Count is a number of packets and their bytes, cumulative since the kernel
// object was made. For IP packets the bytes are L3 bytes as they are on the
// wire: an aggregate (GSO, GRO) counts as the packets it stands for.
type Count struct {
	Bytes   uint64
	Packets uint64
}

// Plus returns the sum of both.
func (c Count) Plus(o Count) Count {
	return Count{c.Bytes + o.Bytes, c.Packets + o.Packets}
}

// Minus returns what c has over an earlier o.
func (c Count) Minus(o Count) Count {
	return Count{c.Bytes - o.Bytes, c.Packets - o.Packets}
}

// Counters are those of one slot. Up is from the subscriber, down is to it.
type Counters struct {
	Up4   Count
	Up6   Count
	Down4 Count
	Down6 Count
}

// Plus returns the sum of both.
func (c Counters) Plus(o Counters) Counters {
	return Counters{c.Up4.Plus(o.Up4), c.Up6.Plus(o.Up6), c.Down4.Plus(o.Down4), c.Down6.Plus(o.Down6)}
}

// Minus returns what c has over an earlier o.
func (c Counters) Minus(o Counters) Counters {
	return Counters{c.Up4.Minus(o.Up4), c.Up6.Minus(o.Up6), c.Down4.Minus(o.Down4), c.Down6.Minus(o.Down6)}
}

// DirectionTotals says where every frame of one direction went. Total is the sum
// of the six classes below it, in packets and in bytes; IP packets count their
// L3 bytes, NonIP and ParseError the frame's (header and tags, without FCS).
type DirectionTotals struct {
	Total         Count
	Attributed4   Count // a slot was found and counted
	Attributed6   Count
	Unattributed4 Count // no line is known to hold the address
	Unattributed6 Count
	NonIP         Count
	ParseError    Count // cut short, or contradicting itself

	Frames       uint64 // socket buffers, of which an aggregate is one
	BadSlot      uint64 // keys that named a slot beyond the array
	Punted       uint64 // control frames copied to the ring
	PuntDrops    uint64 // control frames lost because the ring was full
	PuntRejected uint64 // a control port, but no control message behind it
}

// Classes returns the sum of the six classes.
func (t DirectionTotals) Classes() Count {
	return t.Attributed4.Plus(t.Attributed6).Plus(t.Unattributed4).Plus(t.Unattributed6).
		Plus(t.NonIP).Plus(t.ParseError)
}

func (t DirectionTotals) plus(o DirectionTotals) DirectionTotals {
	return DirectionTotals{
		Total:         t.Total.Plus(o.Total),
		Attributed4:   t.Attributed4.Plus(o.Attributed4),
		Attributed6:   t.Attributed6.Plus(o.Attributed6),
		Unattributed4: t.Unattributed4.Plus(o.Unattributed4),
		Unattributed6: t.Unattributed6.Plus(o.Unattributed6),
		NonIP:         t.NonIP.Plus(o.NonIP),
		ParseError:    t.ParseError.Plus(o.ParseError),
		Frames:        t.Frames + o.Frames,
		BadSlot:       t.BadSlot + o.BadSlot,
		Punted:        t.Punted + o.Punted,
		PuntDrops:     t.PuntDrops + o.PuntDrops,
		PuntRejected:  t.PuntRejected + o.PuntRejected,
	}
}

// Totals are the sums over all attached interfaces, cumulative.
type Totals struct {
	Up   DirectionTotals
	Down DirectionTotals
}

// Balanced reports whether the closed equation holds in both directions.
func (t Totals) Balanced() bool {
	return t.Up.Total == t.Up.Classes() && t.Down.Total == t.Down.Classes()
}

// Owner is the note kept beside a slot's counters of who holds it. The kernel
// programs never read it; it is pinned with the counters so that it is as true
// as they are after the collector was killed.
type Owner struct {
	Ref        [16]byte
	Generation uint32 // raised each time the slot gets an owner
	State      uint32 // meaning belongs to the caller; 0 is a slot never used
	Baseline   Counters
}

// The Go types are read from the kernel in bulk: they must be the C ones.
var (
	_ [unsafe.Sizeof(accountingSlotCounters{})]byte                   = [unsafe.Sizeof(Counters{})]byte{}
	_ [unsafe.Offsetof(accountingDirectionTotals{}.PuntRejected)]byte = [unsafe.Offsetof(DirectionTotals{}.PuntRejected)]byte{}
	_ [unsafe.Sizeof(accountingSlotOwner{})]byte                      = [unsafe.Sizeof(Owner{})]byte{}
)
