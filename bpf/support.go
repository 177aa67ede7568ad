// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

var (
	// ErrKernelTooOld means that the kernel has neither TCX nor what counting by
	// clsact needs, so nothing can be counted on this machine.
	ErrKernelTooOld = errors.New("live capture needs Linux 6.6 (TCX), or 5.15 with clsact; this machine can only replay captures (griffier-collector -replay)")
	// ErrNotPermitted means that the process may not load programs.
	ErrNotPermitted = errors.New("not permitted to load kernel programs: run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON")
)

// Supported tells whether this kernel and this process can count live traffic:
// nil, ErrKernelTooOld or ErrNotPermitted, or what else went wrong. It asks the
// kernel instead of reading its version, because distributions backport. A kernel
// built without clsact says so only when an interface is attached.
func Supported() error {
	_, err := supportedHook(HookAuto)
	return err
}

// supportedHook returns the hook to use when this one is wanted.
func supportedHook(want Hook) (Hook, error) {
	if want != HookClsact {
		err := probeTCX()
		if err == nil {
			return HookTCX, nil
		}
		if want == HookTCX || !errors.Is(err, ErrKernelTooOld) {
			return want, err
		}
	}
	if err := probeClsact(); err != nil {
		return want, err
	}
	return HookClsact, nil
}

func probe(attach ebpf.AttachType) (*ebpf.Program, error) {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SchedCLS,
		AttachType:   attach,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
		License:      "Dual BSD/GPL",
	})
	if err != nil {
		return nil, explain(fmt.Errorf("probe: %w", err))
	}
	return prog, nil
}

// probeTCX tells whether programs can be attached by TCX.
func probeTCX() error {
	// With no attach type the program loads on any kernel, so an error is about rights.
	prog, err := probe(ebpf.AttachNone)
	if err != nil {
		return err
	}
	defer prog.Close()
	// No interface has this index, so a kernel that knows TCX says "no such device".
	l, err := link.AttachTCX(link.TCXOptions{Interface: math.MaxInt32, Program: prog, Attach: ebpf.AttachTCXIngress})
	if err == nil {
		return l.Close()
	}
	if errors.Is(err, unix.ENODEV) {
		return nil
	}
	return explain(fmt.Errorf("probe: %w", err))
}

// probeClsact tells whether the programs can be loaded where there is no TCX: the
// youngest thing they use is the ring buffer (5.8).
func probeClsact() error {
	prog, err := probe(ebpf.AttachNone)
	if err != nil {
		return err
	}
	defer prog.Close()
	if err := features.HaveMapType(ebpf.RingBuf); err != nil {
		return explain(fmt.Errorf("probe: %w", err))
	}
	return nil
}

// explain puts the two errors that an engineer can act upon in front of the
// kernel's own words.
func explain(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.As(err, &verifier): // the verifier says no in the words of a missing permission
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: %w", ErrKernelTooOld, err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	return err
}

// Barrier returns when no program that was running at the time of the call is
// still running: what it had looked up it has counted. It is membarrier(2) with
// MEMBARRIER_CMD_GLOBAL, an RCU grace period of some milliseconds.
func Barrier() error {
	const membarrierGlobal = 1
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		return fmt.Errorf("membarrier: %w", errno)
	}
	return nil
}
