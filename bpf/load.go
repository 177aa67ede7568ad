// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ErrPinnedIncompatible means that maps of another size are pinned. They hold
// counters that may not have been read yet, so they are not replaced silently.
var ErrPinnedIncompatible = errors.New("pinned counters are of another size: keep the old one, or run griffier-collector -unpin, which reads them a last time")

// Options says what to load. The zero value of a field is its default.
type Options struct {
	// MaxSlots is how many access lines can be counted at once. Default 131072. For
	// the memory it takes see the package's documentation.
	MaxSlots uint32
	// MaxKeys bounds the IPv4 addresses and the IPv6 prefixes of /64 or shorter in
	// use, together. Default twice MaxSlots.
	MaxKeys uint32
	// MaxLongKeys bounds the IPv6 prefixes longer than /64 in use. Default MaxSlots.
	MaxLongKeys uint32
	// CounterStripes is how many sets of counters there are. Default, and at most, one
	// for each CPU, which nobody else adds to. With fewer, CPUs share a set and add
	// atomically: some nanoseconds a packet more, for 64 bytes a slot less for each.
	CounterStripes int
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

	shared bool // fewer stripes than CPUs
	pinned bool // take the pinned maps as they are
}

// PuntFlags selects kinds of control frames.
type PuntFlags uint32

// The kinds of control frames that the programs know. They are the CONFIG_PUNT_ bits of abi.h.
const (
	PuntDHCPv4 PuntFlags = 1 << 1 // UDP to port 67 or 68 that carries a DHCP message
	PuntDHCPv6 PuntFlags = 1 << 2 // UDP to port 546 or 547 that carries one
	PuntPPPoE  PuntFlags = 1 << 3 // PPPoE discovery, and within sessions IPCP, IPV6CP and LCP Terminate; never PAP, CHAP or EAP
	PuntEcho   PuntFlags = 1 << 4 // with PuntPPPoE: hosts' LCP echoes that carry nothing but a magic number

	// PuntNone stands for no control frames at all, since the zero value is the default.
	PuntNone PuntFlags = 1 << 31
)

const (
	configScoped = 1 << 0
	configShared = 1 << 8
)

func (o Options) withDefaults() Options {
	if o.MaxSlots == 0 {
		o.MaxSlots = 131072
	}
	if o.MaxKeys == 0 {
		o.MaxKeys = 2 * o.MaxSlots
	}
	if o.MaxLongKeys == 0 {
		o.MaxLongKeys = o.MaxSlots
	}
	if o.Punt == 0 {
		o.Punt = PuntDHCPv4
	}
	o.Punt &= PuntDHCPv4 | PuntDHCPv6 | PuntPPPoE | PuntEcho
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
	lock    *os.File
	objects accountingObjects

	mu      sync.Mutex
	links   map[int][2]attached // by interface index, then direction
	scoped  map[int]bool
	lengths []int
	active  uint32
	lines   *lineTable

	reading          sync.Mutex // of what is mapped, which Close takes away
	counters, totals []byte
}

// Load loads the programs and makes the maps, or takes over the pinned ones. No
// traffic is counted until Attach. Close it.
//
// Errors: ErrKernelTooOld, ErrNotPermitted, ErrNotBPFFS, ErrPinnedIncompatible,
// ErrPinnedInUse, ErrLengths, or the kernel's own.
func Load(opts Options) (*Accounting, error) {
	opts = opts.withDefaults()
	hook, err := supportedHook(opts.Hook)
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	opts.Hook = hook
	if err := opts.setStripes(); err != nil {
		return nil, fmt.Errorf("load accounting: %w", err)
	}
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
	for name, entries := range opts.entries() {
		spec.Maps[name].MaxEntries = entries
	}
	if opts.pinned {
		if err := pinnedEntries(path, spec); err != nil {
			return nil, fmt.Errorf("load accounting: %w", err)
		}
	}
	if path != "" {
		// Not the configuration: each program carries its own until it is replaced.
		for _, name := range []string{
			accountingMapCounters, accountingMapOwners, accountingMapLines, accountingMapOthers, accountingMapFilter,
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
	if path != "" {
		if a.lock, err = lockPins(path); err != nil {
			return nil, fmt.Errorf("load accounting: %w", err)
		}
	}
	err = spec.LoadAndAssign(&a.objects, &ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: path}})
	if err != nil && a.lock != nil {
		_ = a.lock.Close()
	}
	if errors.Is(err, ebpf.ErrMapIncompatible) {
		return nil, fmt.Errorf("load accounting: %w: %s: %w", ErrPinnedIncompatible, differences(path, opts), err)
	}
	if err != nil {
		return nil, fmt.Errorf("load accounting: %w", explain(err))
	}
	if err := a.mapMemory(); err != nil {
		a.Close()
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	if err := a.writeConfig(); err != nil {
		a.Close()
		return nil, fmt.Errorf("load accounting: %w", err)
	}
	return a, nil
}

// entries returns the sizes of the maps that depend on the options.
func (o Options) entries() map[string]uint32 {
	return map[string]uint32{
		// Slot 0 belongs to nobody: a forgotten value must not be somebody's line.
		accountingMapCounters: (o.MaxSlots + 1) * uint32(o.CounterStripes),
		accountingMapTotals:   2 * uint32(ebpf.MustPossibleCPU()),
		accountingMapOwners:   o.MaxSlots + 1,
		accountingMapLines:    bucketsFor(o.MaxKeys),
		accountingMapOthers:   o.MaxLongKeys + overflowsFor(o.MaxKeys),
		accountingMapFilter:   filterWords(o.MaxLongKeys),
		accountingMapPunts:    o.PuntRingBytes,
	}
}

// setStripes bounds the stripes by the CPUs, and the counters by what an index holds.
func (o *Options) setStripes() error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return err
	}
	if o.CounterStripes <= 0 || o.CounterStripes > cpus {
		o.CounterStripes = cpus
	}
	o.shared = o.CounterStripes < cpus
	if n := uint64(o.MaxSlots+1) * uint64(o.CounterStripes); n > math.MaxUint32 || o.MaxSlots > maxSlots {
		return fmt.Errorf("%d slots on %d stripes: too many", o.MaxSlots, o.CounterStripes)
	}
	return nil
}

func (a *Accounting) mapMemory() (err error) {
	if a.pinPath != "" {
		// For the places whose key a process that was killed had just removed.
		if err := Barrier(); err != nil {
			return err
		}
	}
	if a.lines, err = newLineTable(a.objects.Lines, a.objects.Others, a.objects.Filter); err != nil {
		return err
	}
	if a.counters, err = mapMemory(a.objects.Counters, unix.PROT_READ); err != nil {
		return fmt.Errorf("map counters: %w", err)
	}
	if a.totals, err = mapMemory(a.objects.Totals, unix.PROT_READ); err != nil {
		return fmt.Errorf("map totals: %w", err)
	}
	return nil
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
	errs = append(errs, a.lines.close())
	a.reading.Lock()
	defer a.reading.Unlock()
	for _, memory := range []*[]byte{&a.counters, &a.totals} {
		if *memory != nil {
			errs = append(errs, unix.Munmap(*memory))
			*memory = nil
		}
	}
	errs = append(errs, a.objects.Close())
	if a.lock != nil {
		errs = append(errs, a.lock.Close())
		a.lock = nil
	}
	return errors.Join(errs...)
}
