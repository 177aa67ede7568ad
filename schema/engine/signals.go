package engine

import (
	"syscall"
	"unsafe"
)

// kernelSigaction is the kernel's struct sigaction on 64-bit Linux
// (sigaction(2), "C library/kernel differences").
type kernelSigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

const (
	lastSignal = 64
	sigKill    = 9
	sigStop    = 19
)

// keepSignals runs f and then puts back every signal disposition that f
// changed. Loading and connecting libchdb resets the fatal signals to their
// defaults, even with its own handlers turned off; the Go runtime needs its
// handlers for stack traces, preemption and nil checks.
func keepSignals(f func()) {
	var before [lastSignal + 1]kernelSigaction
	var known [lastSignal + 1]bool
	for n := 1; n <= lastSignal; n++ {
		if n == sigKill || n == sigStop {
			continue
		}
		known[n] = rtSigaction(n, nil, &before[n]) == 0
	}
	defer func() {
		for n := 1; n <= lastSignal; n++ {
			if !known[n] {
				continue
			}
			var now kernelSigaction
			if rtSigaction(n, nil, &now) == 0 && now != before[n] {
				rtSigaction(n, &before[n], nil)
			}
		}
	}()
	f()
}

func rtSigaction(signal int, set, get *kernelSigaction) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(signal),
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(get)), 8, 0, 0)
	return errno
}
