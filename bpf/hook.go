// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"github.com/cilium/ebpf/link"
)

// Hook is how programs are attached.
type Hook uint8

const (
	// HookAuto is TCX where the kernel has it, clsact elsewhere.
	HookAuto Hook = iota
	// HookTCX needs Linux 6.6. Pinned links go on counting when the process ends, and
	// the next process changes the program within the link: no frame is missed or
	// counted twice, and nothing but us removes the link short of its interface or pin.
	HookTCX
	// HookClsact works from Linux 5.15. With pinned maps the filters, which belong to
	// the interface and not to a process, go on counting too, and the next process
	// replaces them in one step. It is weaker in this: anybody who deletes the clsact
	// qdisc or the filter ends the counting (Lost says so, at the next drain); without
	// a pin directory a killed process leaves filters that count for nobody until the
	// next start replaces them; two collectors cannot share an interface, because the
	// second takes the first one's place; a filter that another program later puts at
	// priority 1 runs first, so what it drops is not counted; and to change between the hooks, the one is
	// removed before the other is attached, so frames in between are not counted.
	HookClsact
)

func (h Hook) String() string {
	return [...]string{"auto", "tcx", "clsact"}[h]
}

// attached is one program at one interface in one direction.
type attached interface {
	// inPlace reports whether frames still pass the program.
	inPlace() bool
	// close gives up the process's hold; what is pinned goes on counting.
	close() error
	// remove ends the counting.
	remove() error
}

// tcxLink is a program attached by TCX.
type tcxLink struct {
	link.Link
	ifindex int
	pinned  bool
}

func (l *tcxLink) inPlace() bool {
	info, err := l.Info()
	return err == nil && info.TCX() != nil && int(info.TCX().Ifindex) == l.ifindex
}

func (l *tcxLink) close() error { return l.Close() }

func (l *tcxLink) remove() error {
	if l.pinned {
		if err := l.Unpin(); err != nil {
			return err
		}
	}
	return l.Close()
}
