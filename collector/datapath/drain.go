package datapath

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"griffier/bpf"
)

// SlotCount is what an owner has moved since it got the slot. Over reports of one
// (epoch, slot, generation) no value ever falls.
type SlotCount struct {
	Slot       uint32
	Generation uint32 // differs for each owner that the slot had
	Owner      [16]byte
	Up4        bpf.Count
	Up6        bpf.Count
	Down4      bpf.Count
	Down6      bpf.Count
}

// Report is one reading of everything.
type Report struct {
	// At is when the reading began, by the caller's clock.
	At     time.Time
	BootID string
	// Epoch names the set of counters: another one means that all counters began
	// again at 0 (reboot, or a start without pins).
	Epoch [16]byte
	// Slots are the lines that hold a slot now, by slot number.
	Slots []SlotCount
	// Final are the last values of owners that lost their slot. The next call of
	// Drain takes them as acknowledged; until then a restart reports them again,
	// with the same values.
	Final []SlotCount
	// Totals are cumulative over all interfaces, and Balanced if the programs are right.
	Totals bpf.Totals
	// Plausible holds the interfaces' own counters against Totals.
	Plausible Plausibility
	// Lost are the interfaces whose programs are no longer in place.
	Lost []string
	// SlotsFree is how many more lines can be counted; Refused is how often Assign
	// had to say no in this process's life.
	SlotsFree int
	Refused   uint64
}

// CounterID names one owner's hold of one slot: 128 bits that never come again for
// another owner, not even after a reboot.
func (r Report) CounterID(s SlotCount) [16]byte {
	b := make([]byte, 0, 24)
	b = append(b, r.Epoch[:]...)
	b = binary.BigEndian.AppendUint32(b, s.Slot)
	b = binary.BigEndian.AppendUint32(b, s.Generation)
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}

// Drain reads all counters. Call it again only when the last report is durable: by
// that the slots in its Final become free for other owners. It takes a grace
// period of some milliseconds if there are slots to retire.
func (d *Datapath) Drain(now time.Time) (Report, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.releaseReported(); err != nil {
		return Report{}, fmt.Errorf("drain: %w", err)
	}
	if len(d.table.retired) > 0 {
		// Their keys are gone; what a running program had still to add is in after this.
		if err := d.acct.Settle(); err != nil {
			return Report{}, fmt.Errorf("drain: %w", err)
		}
	}
	if err := d.acct.ReadCounters(d.raw); err != nil {
		return Report{}, fmt.Errorf("drain: %w", err)
	}
	totals, err := d.acct.ReadTotals()
	if err != nil {
		return Report{}, fmt.Errorf("drain: %w", err)
	}
	r := Report{
		At: now, BootID: d.bootID, Epoch: d.epoch, Totals: totals,
		SlotsFree: len(d.table.free), Refused: d.refused,
	}
	if d.compare != nil {
		r.Plausible = d.compare.compare(totals)
	}
	if n := len(d.table.byOwner); n > 0 {
		r.Slots = make([]SlotCount, 0, n)
	}
	for n := uint32(1); int(n) < len(d.table.slots); n++ {
		s := &d.table.slots[n]
		switch s.state {
		case stateHeld:
			r.Slots = append(r.Slots, s.count(n, d.raw[n]))
		case stateRetired:
			s.final, s.reported = d.raw[n], true
			r.Final = append(r.Final, s.count(n, s.final))
		}
	}
	for _, ifindex := range d.acct.Lost() {
		r.Lost = append(r.Lost, d.names[ifindex])
	}
	return r, nil
}

func (s *slot) count(n uint32, raw bpf.Counters) SlotCount {
	c := raw.Minus(s.baseline)
	return SlotCount{
		Slot: n, Generation: s.generation, Owner: s.owner,
		Up4: c.Up4, Up6: c.Up6, Down4: c.Down4, Down6: c.Down6,
	}
}

func (d *Datapath) releaseReported() error {
	var reported []uint32
	for n := range d.table.retired {
		if d.table.slots[n].reported {
			reported = append(reported, n)
		}
	}
	slices.Sort(reported)
	for _, n := range reported {
		d.table.release(n)
		if err := d.acct.WriteOwner(n, d.table.slots[n].note()); err != nil {
			return err
		}
	}
	return nil
}
