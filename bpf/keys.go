// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
)

// ErrPrefix means a prefix that no packet can be looked up by.
var ErrPrefix = errors.New("prefix cannot be a key: IPv4 must be a /32, IPv6 must be masked and of a delegated length")

// ErrKeysFull means that the map of addresses has no room left.
var ErrKeysFull = errors.New("no room for another address")

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

func v4Key(k Key) accountingV4Key {
	a := k.Prefix.Addr().As4()
	return accountingV4Key{Addr: binary.LittleEndian.Uint32(a[:]), Scope: k.Scope}
}

func v6Key(k Key) accountingV6Key {
	return accountingV6Key{Prefix: k.Prefix.Addr().As16(), PrefixLen: uint32(k.Prefix.Bits()), Scope: k.Scope}
}

func check(k Key) error {
	p := k.Prefix
	if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p != p.Masked() ||
		(p.Addr().Is4() && p.Bits() != 32) || p.Bits() == 0 {
		return ErrPrefix
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
	var err error
	if k.Prefix.Addr().Is4() {
		err = a.objects.V4.Put(v4Key(k), slot)
	} else {
		err = a.objects.V6.Put(v6Key(k), slot)
	}
	if errors.Is(err, ebpf.ErrKeyExist) || errors.Is(err, errTooBig) {
		return fmt.Errorf("put key: %w", ErrKeysFull)
	}
	if err != nil {
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
	var err error
	if k.Prefix.Addr().Is4() {
		err = a.objects.V4.Delete(v4Key(k))
	} else {
		err = a.objects.V6.Delete(v6Key(k))
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("delete key: %w", err)
	}
	return nil
}

// Keys returns all keys. It is slow, and meant for the start.
func (a *Accounting) Keys() ([]KeySlot, error) {
	var all []KeySlot
	var k4 accountingV4Key
	var k6 accountingV6Key
	var slot uint32
	it := a.objects.V4.Iterate()
	for it.Next(&k4, &slot) {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], k4.Addr)
		all = append(all, KeySlot{Key{netip.PrefixFrom(netip.AddrFrom4(b), 32), k4.Scope}, slot})
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	it = a.objects.V6.Iterate()
	for it.Next(&k6, &slot) {
		p := netip.PrefixFrom(netip.AddrFrom16(k6.Prefix), int(k6.PrefixLen))
		all = append(all, KeySlot{Key{p, k6.Scope}, slot})
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return all, nil
}
