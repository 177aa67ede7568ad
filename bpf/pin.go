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
