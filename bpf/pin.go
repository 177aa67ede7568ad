// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// ABIVersion is that of the layouts in abi.h and of their meaning. It is part of
// the pin path, so that a collector never reads another version's counters.
const ABIVersion = 2

// ErrNotBPFFS means that the pin directory is not on a BPF file system.
var ErrNotBPFFS = errors.New("not on a bpf file system (mount -t bpf bpf /sys/fs/bpf)")

// MountBPFFS mounts a BPF file system at dir unless one is there already. It
// needs CAP_SYS_ADMIN; systemd has usually done it at boot.
func MountBPFFS(dir string) error {
	if on, err := onBPFFS(dir); err != nil || on {
		return err
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount bpf file system: %s: %w", dir, err)
	}
	return nil
}

func onBPFFS(dir string) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return false, fmt.Errorf("stat file system: %s: %w", dir, err)
	}
	return int64(fs.Type) == unix.BPF_FS_MAGIC, nil
}

// pinPath makes the directory of this ABI under dir and returns it; "" stays "".
func pinPath(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	path := versioned(dir)
	if err := otherVersion(dir, path); err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("pin directory: %w", err)
	}
	on, err := onBPFFS(path)
	if err != nil {
		return "", err
	}
	if !on {
		// Do not leave an ordinary folder where a mount is expected.
		_ = os.Remove(path)
		return "", fmt.Errorf("pin directory: %s: %w", dir, ErrNotBPFFS)
	}
	return path, nil
}

func versioned(dir string) string {
	return filepath.Join(dir, fmt.Sprintf("v%d", ABIVersion))
}

// RemovePins removes everything that a collector pinned under dir, of this ABI
// version: the programs leave the interfaces and the counters are lost. Filters
// (HookClsact) it finds in the caller's network namespace.
func RemovePins(dir string) error {
	path := versioned(dir)
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	if err := removePinnedFilters(path); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	// Links first, so that nothing counts any more; the owners before the counters,
	// because an owner without counters would be a line with wrong ones.
	rank := func(name string) int {
		switch {
		case strings.HasPrefix(name, "link_"):
			return 0
		case name == accountingMapOwners:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int { return rank(a.Name()) - rank(b.Name()) })
	for _, e := range entries {
		if err := os.Remove(filepath.Join(path, e.Name())); err != nil {
			return fmt.Errorf("remove pins: %w", err)
		}
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove pins: %w", err)
	}
	// The directory was made for this; it stays if it is a mount point, or if pins of
	// another ABI version are in it.
	if err := os.Remove(dir); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("remove pins: %w", err)
	}
	return nil
}

// removePinnedFilters removes the clsact filters that count into the pinned maps.
func removePinnedFilters(path string) error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(path, accountingMapCounters), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = removeFilters(func(_ int, prog ebpf.ProgramID) bool { return usesMap(prog, m) })
	return err
}

// ErrPinnedInUse means that another process has what is pinned there open. Two that
// wrote the table of lines would spoil it.
var ErrPinnedInUse = errors.New("another collector uses the pin directory")

// lockPins makes this process the only one that uses a pin directory, until it closes
// the file or dies.
func lockPins(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrPinnedInUse
		}
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	return f, nil
}

// ErrNothingPinned means that there are no pinned counters to read.
var ErrNothingPinned = errors.New("nothing is pinned there")

// otherVersion is an error if another ABI version's maps are pinned: they would go on
// counting beside ours, and only a collector of that version can read them.
func otherVersion(dir, path string) error {
	found, err := filepath.Glob(filepath.Join(dir, "v*", accountingMapOwners))
	if err != nil {
		return err
	}
	for _, owners := range found {
		if filepath.Dir(owners) != path {
			return fmt.Errorf("%w: ABI version %s, this is v%d: unpin with the collector that pinned them",
				ErrPinnedIncompatible, filepath.Base(filepath.Dir(owners)), ABIVersion)
		}
	}
	return nil
}

// LoadPinned loads what is pinned under dir, with the sizes that it has. It attaches
// nothing; it is for reading what is there before RemovePins. Errors are
// ErrNothingPinned and those of Load.
func LoadPinned(dir string) (*Accounting, error) {
	owners, err := pinnedMap(filepath.Join(versioned(dir), accountingMapOwners))
	if err != nil {
		return nil, fmt.Errorf("load pinned: %w", err)
	}
	counters, err := pinnedMap(filepath.Join(versioned(dir), accountingMapCounters))
	if err != nil {
		return nil, fmt.Errorf("load pinned: %w", err)
	}
	return Load(Options{
		PinDir: dir, pinned: true, Punt: PuntNone,
		MaxSlots: owners - 1, CounterStripes: int(counters / owners),
	})
}

// pinnedMap returns how many entries a pinned map has room for.
func pinnedMap(path string) (entries uint32, err error) {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return 0, ErrNothingPinned
	}
	if err != nil {
		return 0, err
	}
	defer m.Close()
	return m.MaxEntries(), nil
}

// pinnedEntries gives the maps of the spec the sizes of those that are pinned.
func pinnedEntries(path string, spec *ebpf.CollectionSpec) error {
	for name := range (Options{}).entries() {
		entries, err := pinnedMap(filepath.Join(path, name))
		if errors.Is(err, ErrNothingPinned) {
			continue
		}
		if err != nil {
			return err
		}
		spec.Maps[name].MaxEntries = entries
	}
	return nil
}

// differences says which sizes are not those that are wanted.
func differences(path string, want Options) string {
	var all []string
	for name, entries := range want.entries() {
		pinned, err := pinnedMap(filepath.Join(path, name))
		if err != nil || pinned == entries {
			continue
		}
		if name == accountingMapOwners {
			all = append(all, fmt.Sprintf("max_slots is %d there, %d is wanted", pinned-1, want.MaxSlots))
		} else {
			all = append(all, fmt.Sprintf("%s has %d entries there, %d are wanted", name, pinned, entries))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
