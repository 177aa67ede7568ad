// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
)

// ErrPinnedIncompatible means that maps of another size are pinned. They hold
// counters that may not have been read yet, so they are not replaced silently.
var ErrPinnedIncompatible = errors.New("pinned maps have another size: keep max_slots, or detach first (counters are lost)")

// Options says what to load. The zero value of a field is its default.
type Options struct {
	// MaxSlots is how many access lines can be counted at once. Default 131072.
	// Memory is about 64 bytes for each CPU and 350 bytes for each slot.
	MaxSlots uint32
	// MaxKeysV4 and MaxKeysV6 bound the addresses and prefixes in use. Default
	// MaxSlots and twice MaxSlots.
	MaxKeysV4, MaxKeysV6 uint32
	// PinDir is a directory on a BPF file system, for one collector alone. Maps and
	// links pinned there go on counting when the process ends, and are taken over
	// by the next one. Empty means that all ends with the process.
	PinDir string
	// DelegatedLengths are the IPv6 prefix lengths to look up, at most 8. A packet
	// pays for each that is longer than its line's. Default none; see
	// SetDelegatedLengths.
	DelegatedLengths []int
	// Punt selects the control frames to copy to user space. Default PuntDHCPv4.
	Punt PuntFlags
	// Hook is how to attach. Default HookAuto.
	Hook Hook
	// PuntRingBytes is the size of the ring for them, a power of two. Default 1 MiB.
	PuntRingBytes uint32
}

// PuntFlags selects kinds of control frames.
type PuntFlags uint32

// The kinds of control frames that the programs know. They are the CONFIG_PUNT_ bits of abi.h.
const (
	PuntDHCPv4 PuntFlags = 1 << 1 // UDP to port 67 or 68 that carries a DHCP message
	PuntDHCPv6 PuntFlags = 1 << 2 // UDP to port 546 or 547 that carries one
	PuntPPPoE  PuntFlags = 1 << 3 // PPPoE discovery

	// PuntNone stands for no control frames at all, since the zero value is the default.
	PuntNone PuntFlags = 1 << 31
)

const configScoped = 1 << 0

func (o Options) withDefaults() Options {
	if o.MaxSlots == 0 {
		o.MaxSlots = 131072
	}
	if o.MaxKeysV4 == 0 {
		o.MaxKeysV4 = o.MaxSlots
	}
	if o.MaxKeysV6 == 0 {
		o.MaxKeysV6 = 2 * o.MaxSlots
	}
	if o.Punt == 0 {
		o.Punt = PuntDHCPv4
	}
	o.Punt &= PuntDHCPv4 | PuntDHCPv6 | PuntPPPoE
	if o.PuntRingBytes == 0 {
		o.PuntRingBytes = 1 << 20
	}
	return o
}

// Accounting is the loaded programs and their maps. Its methods may be called
// from several goroutines.
type Accounting struct {
	opts    Options
	pinPath string // "" when not pinned
	objects accountingObjects

	mu      sync.Mutex
	links   map[int][2]attached // by interface index, then direction
	scoped  map[int]bool
	lengths []int
	active  uint32

	read readBuffers
}

// Load loads the programs and makes the maps, or takes over the pinned ones. No
// traffic is counted until Attach. Close it.
//
// Errors: ErrKernelTooOld, ErrNotPermitted, ErrNotBPFFS, ErrPinnedIncompatible,
// ErrLengths, or the kernel's own.
func Load(opts Options) (*Accounting, error) {
	opts = opts.withDefaults()
	hook, err := supportedHook(opts.Hook)
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	opts.Hook = hook
	lengths, err := sortedLengths(opts.DelegatedLengths)
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	path, err := pinPath(opts.PinDir)
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	spec, err := loadAccounting()
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	// Slot 0 belongs to nobody: a forgotten value must not be somebody's line.
	spec.Maps[accountingMapCounters].MaxEntries = opts.MaxSlots + 1
	spec.Maps[accountingMapOwners].MaxEntries = opts.MaxSlots + 1
	spec.Maps[accountingMapV4].MaxEntries = opts.MaxKeysV4
	spec.Maps[accountingMapV6].MaxEntries = opts.MaxKeysV6
	spec.Maps[accountingMapPunts].MaxEntries = opts.PuntRingBytes
	if path != "" {
		// Not the configuration: each program carries its own until it is replaced.
		for _, name := range []string{
			accountingMapCounters, accountingMapOwners, accountingMapV4, accountingMapV6,
			accountingMapTotals, accountingMapPunts,
		} {
			spec.Maps[name].Pinning = ebpf.PinByName
		}
	}
	if hook == HookClsact {
		// Kernels without TCX do not know its attach types.
		for _, p := range spec.Programs {
			p.AttachType = ebpf.AttachNone
		}
	}
	a := &Accounting{
		opts: opts, pinPath: path, lengths: lengths,
		links: map[int][2]attached{}, scoped: map[int]bool{},
	}
	err = spec.LoadAndAssign(&a.objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: path}})
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("load accounting: %w: %w", ErrPinnedIncompatible, err)
	}
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", explain(err))
	}
	if err := a.writeConfig(); err != nil {
		a.Close()
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	return a, nil
}

// MaxSlots returns how many slots there are; they are numbered from 1.
func (a *Accounting) MaxSlots() uint32 { return a.opts.MaxSlots }

// Close releases the process's hold. What is pinned goes on counting.
func (a *Accounting) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, pair := range a.links {
		for _, l := range pair {
			if l != nil {
				errs = append(errs, l.close())
			}
		}
	}
	a.links = map[int][2]attached{}
	errs = append(errs, a.objects.Close())
	return errors.Join(errs...)
}
