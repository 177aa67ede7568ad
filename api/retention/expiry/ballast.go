package expiry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ballastBytes is what a drop may need of a disk: the store wants room for an
// empty part before it removes a full one, and the ledger for two entries.
const ballastBytes = 16 << 20

// Ballast is a file that only takes room on a disk, so that there is some when
// the disk is full: dropping expired days is what frees it, and must not fail for
// lack of it.
type Ballast struct{ Path string }

// Fill takes the room, if the disk has it and four times as much besides.
func (b Ballast) Fill() error {
	f, err := os.OpenFile(b.Path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() >= ballastBytes {
		return err
	}
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &disk); err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	if disk.Bavail*uint64(disk.Bsize) < 5*ballastBytes {
		return nil
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, ballastBytes)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) { // a disk that cannot set room aside
		return fmt.Errorf("ballast: %w", err)
	}
	return nil
}

// Scarce tells whether the disk has less room than the ballast takes: whatever failed
// then may have failed for lack of it.
func (b Ballast) Scarce() bool {
	var disk unix.Statfs_t
	return unix.Statfs(filepath.Dir(b.Path), &disk) == nil && disk.Bavail*uint64(disk.Bsize) < ballastBytes
}

// Shed gives the room back, and reports whether there was any.
func (b Ballast) Shed() (bool, error) {
	info, err := os.Stat(b.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = os.Remove(b.Path)
	}
	if err != nil {
		return false, fmt.Errorf("ballast: %w", err)
	}
	return info.Size() > 0, nil
}
