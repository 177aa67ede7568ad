// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrPrefix means a prefix that no packet can be looked up by.
var ErrPrefix = errors.New("prefix cannot be a key: IPv4 must be a /32, IPv6 must be masked and of a delegated length")

// ErrKeysFull means that the map of addresses has no room left.
var ErrKeysFull = errors.New("no room for another address")

// ErrScope means a scope that is not two VLAN ids.
var ErrScope = errors.New("scope is not two VLAN ids of 12 bits")

// Key is what a packet is looked up by.
type Key struct {
	// Prefix is an IPv4 /32, or a masked IPv6 prefix of a length in DelegatedLengths.
	Prefix netip.Prefix
	// Scope is 0, or outer VLAN id << 16 | inner VLAN id at a scoped interface.
	Scope uint32
}

// KeySlot is a key and the slot it leads to.
type KeySlot struct {
	Key
	Slot uint32
}

func check(k Key) error {
	p := k.Prefix
	if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p != p.Masked() ||
		(p.Addr().Is4() && p.Bits() != 32) || p.Bits() == 0 {
		return ErrPrefix
	}
	if k.Scope&^0x0fff0fff != 0 {
		return ErrScope
	}
	return nil
}

// Put makes packets of this key count in slot, from now on and in one step if the
// key led to another slot before.
func (a *Accounting) Put(k Key, slot uint32) error {
	if err := check(k); err != nil {
		return fmt.Errorf("put key: %w", err)
	}
	if slot == 0 || slot > a.opts.MaxSlots {
		return fmt.Errorf("put key: slot %d is not one of %d", slot, a.opts.MaxSlots)
	}
	line := lineKeyOf(k)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines.words == nil {
		return fmt.Errorf("put key: %w", ErrClosed)
	}
	full := a.lines.short >= int(a.opts.MaxKeys)
	if line.isLong() {
		full = a.lines.long >= int(a.opts.MaxLongKeys)
	}
	if full && !a.lines.has(line) {
		return fmt.Errorf("put key: %w", ErrKeysFull)
	}
	if err := a.lines.put(line, slot); err != nil {
		return fmt.Errorf("put key: %w", err)
	}
	return nil
}

// Delete makes packets of this key unattributed. A program that is running may
// still count one in the old slot: see Barrier. Deleting what is not there is no
// error.
func (a *Accounting) Delete(k Key) error {
	if err := check(k); err != nil {
		return fmt.Errorf("delete key: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines.words == nil {
		return fmt.Errorf("delete key: %w", ErrClosed)
	}
	if err := a.lines.remove(lineKeyOf(k)); err != nil {
		return fmt.Errorf("delete key: %w", err)
	}
	return nil
}

// Settle is Barrier, after which places of deleted keys are used again too.
func (a *Accounting) Settle() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines.rest()
}

// Keys returns all keys. It is slow, and meant for the start.
func (a *Accounting) Keys() ([]KeySlot, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []KeySlot
	err := a.lines.each(func(k lineKey, slot uint32) { all = append(all, KeySlot{k.key(), slot}) })
	if err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return all, nil
}
