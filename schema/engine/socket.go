package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// listenPrivate listens on a unix socket that only our own user can open. The
// socket is made in a folder of mode 0700 and moved into place with mode 0600,
// so that there is no moment in which another user could connect.
func listenPrivate(path string) (net.Listener, error) {
	if err := clearStale(path); err != nil {
		return nil, err
	}
	room, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("engine: socket: %w", err)
	}
	defer os.RemoveAll(room)
	// The path under room may be longer than the final one, and longer than a
	// socket address allows; its folder's file descriptor is a short name for it.
	folder, err := os.Open(room)
	if err != nil {
		return nil, fmt.Errorf("engine: socket: %w", err)
	}
	defer folder.Close()
	short := fmt.Sprintf("/proc/self/fd/%d/s", folder.Fd())
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("engine: listen: %w", err)
	}
	listener.SetUnlinkOnClose(false) // it would unlink the name it was made under
	made := filepath.Join(room, "s")
	if err := os.Chmod(made, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("engine: socket: %w", err)
	}
	if err := os.Rename(made, path); err != nil {
		listener.Close()
		return nil, fmt.Errorf("engine: socket: %w", err)
	}
	return listener, nil
}

// clearStale removes a socket that nobody serves any more. Anything else at
// path is left alone and is an error.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("engine: socket: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("engine: socket: %s exists and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("engine: socket: %s is served by another process", path)
	}
	return removeSocket(path)
}

func removeSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("engine: socket: %w", err)
	}
	return nil
}
