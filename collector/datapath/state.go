package datapath

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"griffier/bpf"
)

// State is a snapshot of who holds what. It serialises to JSON. It is for
// inspection and for comparing: a restart needs no copy of it, because the kernel
// holds the same notes beside the pinned counters.
type State struct {
	BootID string      `json:"boot_id"`
	Epoch  [16]byte    `json:"epoch"`
	Slots  []SlotState `json:"slots"`
}

// SlotState is a slot that is held, or retired and not yet free.
type SlotState struct {
	Slot       uint32       `json:"slot"`
	Generation uint32       `json:"generation"`
	Owner      [16]byte     `json:"owner"`
	Retired    bool         `json:"retired"`
	Baseline   bpf.Counters `json:"baseline"`
	Keys       []Key        `json:"keys"`
}

// State returns a snapshot, slots and keys in order.
func (d *Datapath) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := map[uint32][]Key{}
	for k, n := range d.table.keys {
		keys[n] = append(keys[n], Key(k))
	}
	st := State{BootID: d.bootID, Epoch: d.epoch}
	for n, s := range d.table.slots {
		if s.state != stateHeld && s.state != stateRetired {
			continue
		}
		ks := keys[uint32(n)]
		slices.SortFunc(ks, func(a, b Key) int {
			return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()),
				cmp.Compare(a.Scope, b.Scope))
		})
		st.Slots = append(st.Slots, SlotState{
			Slot: uint32(n), Generation: s.generation, Owner: s.owner,
			Retired: s.state == stateRetired, Baseline: s.baseline, Keys: ks,
		})
	}
	return st
}

// Assignment is one key and who it counts for.
type Assignment struct {
	Key   Key
	Owner [16]byte
}

// Sync makes the assignments exactly those wanted: what a restarted collector does
// once it knows who holds which address. Keys that already count for their owner
// are left alone, so nothing they have counted is lost. It returns how many keys
// it removed and added; on error the rest has been tried too.
func (d *Datapath) Sync(want []Assignment) (removed, added int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := map[bpf.Key][16]byte{}
	var errs []error
	for _, a := range want {
		keys, err := expand(a.Key)
		if err == nil && a.Owner == ([16]byte{}) {
			err = ErrOwner
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, k := range keys {
			wanted[k] = a.Owner
		}
	}
	var gone []bpf.Key
	for k, n := range d.table.keys {
		if owner, ok := wanted[k]; ok && d.table.slots[n].owner == owner {
			delete(wanted, k)
		} else if !ok {
			gone = append(gone, k)
		}
	}
	for _, k := range gone {
		if err := d.unassign(k); err != nil {
			errs = append(errs, err)
			continue
		}
		removed++
	}
	for k, owner := range wanted {
		if _, err := d.assign([]bpf.Key{k}, owner); err != nil {
			d.refused++
			errs = append(errs, err)
			continue
		}
		added++
	}
	return removed, added, errors.Join(errs...)
}

// Holder returns who the address counts for in a scope, by the longest prefix, and
// whether anybody.
func (d *Datapath) Holder(addr netip.Addr, scope uint32) (owner [16]byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lengths := []int{32}
	if addr.Is6() {
		lengths = d.acct.DelegatedLengths()
	}
	for _, bits := range lengths {
		p, err := addr.Prefix(bits)
		if err != nil {
			continue
		}
		if n, ok := d.table.keys[bpf.Key{Prefix: p, Scope: scope}]; ok {
			return d.table.slots[n].owner, true
		}
	}
	return [16]byte{}, false
}
