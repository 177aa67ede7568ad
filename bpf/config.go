// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// MaxDelegatedLengths is how many IPv6 prefix lengths can be in use at once: each
// costs a packet that misses one more look-up.
const MaxDelegatedLengths = 8

// ErrLengths means too many IPv6 prefix lengths, or one that is none.
var ErrLengths = errors.New("IPv6 prefix lengths: at most 8, each from 1 to 128")

// sortedLengths returns the distinct lengths, longest first.
func sortedLengths(lengths []int) ([]int, error) {
	sorted := slices.Clone(lengths)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	slices.Reverse(sorted)
	if len(sorted) > MaxDelegatedLengths {
		return nil, fmt.Errorf("%d lengths: %w", len(sorted), ErrLengths)
	}
	for _, bits := range sorted {
		if bits < 1 || bits > 128 {
			return nil, fmt.Errorf("length %d: %w", bits, ErrLengths)
		}
	}
	return sorted, nil
}

// DelegatedLengths returns the IPv6 prefix lengths that are looked up, longest first.
func (a *Accounting) DelegatedLengths() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lengths)
}

// SetDelegatedLengths replaces the lengths while traffic flows; every packet is
// looked up by the old list or by the new one. It takes an RCU grace period.
func (a *Accounting) SetDelegatedLengths(lengths []int) error {
	sorted, err := sortedLengths(lengths)
	if err != nil {
		return fmt.Errorf("set delegated lengths: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.lengths
	a.lengths = sorted
	if err := a.writeConfig(); err != nil {
		a.lengths = old
		return fmt.Errorf("set delegated lengths: %w", err)
	}
	return nil
}

// writeConfig fills the configuration that is not in use, then makes it the one
// in use, then waits until nobody reads the other. The caller holds mu, or is alone.
func (a *Accounting) writeConfig() error {
	cfg := accountingConfig{
		Flags: uint32(a.opts.Punt), Lengths: uint32(len(a.lengths)),
		Buckets: a.lines.buckets, Slots: a.opts.MaxSlots, Stripes: uint32(a.opts.CounterStripes),
		FilterMask: a.objects.Filter.MaxEntries() - 1,
	}
	if a.opts.shared {
		cfg.Flags |= configShared
	}
	for i, bits := range a.lengths {
		cfg.Masks[i].Mask = netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").As16()
		masked, _ := netip.AddrFrom16(cfg.Masks[i].Mask).Prefix(bits)
		cfg.Masks[i].Mask = masked.Addr().As16()
		cfg.Masks[i].PrefixLen = uint32(bits)
	}
	for _, on := range a.scoped {
		if on {
			cfg.Flags |= configScoped
		}
	}
	next := 1 - a.active
	if err := a.objects.Configs.Put(next, &cfg); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := a.objects.Active.Put(uint32(0), next); err != nil {
		return fmt.Errorf("switch configuration: %w", err)
	}
	a.active = next
	if len(a.links) == 0 {
		return nil // no program of ours runs yet
	}
	return Barrier()
}
