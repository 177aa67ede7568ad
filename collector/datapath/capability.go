package datapath

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrCgo means that the program was built with cgo, where Go cannot change the
// capabilities of every thread.
var ErrCgo = errors.New("capabilities can be dropped only in a program built with CGO_ENABLED=0")

// DropCapabilities gives up every capability of the process but those to keep, in
// all its threads, for good. What a Datapath has open goes on working; attaching, and Detach of
// pins that belong to another user, do not.
func DropCapabilities(keep ...int) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var left [2]unix.CapUserData
	for _, c := range keep {
		left[c/32].Permitted |= 1 << (c % 32)
		left[c/32].Effective |= 1 << (c % 32)
	}
	// No new ones by running a set-user-id program either.
	if err := allThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := allThreads(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	err := allThreads(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&left[0])), 0)
	if err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

func allThreads(trap, a1, a2, a3 uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0)
	if errno == syscall.ENOTSUP {
		return ErrCgo
	}
	if errno != 0 {
		return errno
	}
	return nil
}
