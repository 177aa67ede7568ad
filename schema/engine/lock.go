package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrLocked is wrapped by the error of [Start] when another process, or another
// engine of this one, has the data folder.
var ErrLocked = errors.New("the data folder is in use")

// folderLock is an advisory lock on a file in the data folder. The kernel
// releases it when the process ends, however it ends.
type folderLock struct{ file *os.File }

// lockFolder takes the folder or says who has it.
func lockFolder(dir string) (*folderLock, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("engine: lock data folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("engine: lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("engine: %w: %s is held by process %s; stop that process, or give this one a folder of its own",
			ErrLocked, dir, holder(path))
	}
	lock := &folderLock{file: file}
	if err := notServed(dir); err != nil {
		lock.release()
		return nil, err
	}
	if err := lock.sign(); err != nil {
		lock.release()
		return nil, fmt.Errorf("engine: lock %s: %w", path, err)
	}
	return lock, nil
}

// notServed refuses a store that a ClickHouse outside this program holds: its
// own lock is on the file "status". The engine would refuse too, but tells only
// standard error why.
func notServed(dir string) error {
	path := filepath.Join(storeFolder(dir), "status")
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine: lock data folder: %w", err)
	}
	defer file.Close() // closing drops the lock
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("engine: %w: a ClickHouse server serves %s; stop it, or give this process a folder of its own",
			ErrLocked, storeFolder(dir))
	}
	return nil
}

// sign leaves our process id for whoever finds the folder locked.
func (l *folderLock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(fmt.Sprintf("%d\n", os.Getpid())), 0)
	return err
}

func holder(path string) string {
	text, err := os.ReadFile(path)
	if id := strings.TrimSpace(string(text)); err == nil && id != "" {
		return id
	}
	return "(unknown)"
}

func (l *folderLock) release() { _ = l.file.Close() } // closing drops the lock
