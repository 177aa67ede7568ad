// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"griffier/bpf/bpftest"
)

// eachHook runs a test with either way to attach.
func eachHook(t *testing.T, test func(*testing.T, Hook)) {
	for _, hook := range []Hook{HookTCX, HookClsact} {
		t.Run(hook.String(), func(t *testing.T) { test(t, hook) })
	}
}

// filtersAt lists the names of the BPF filters of an interface, both ways.
func filtersAt(t *testing.T, ifindex int) (names []string) {
	t.Helper()
	for _, dir := range []Direction{Up, Down} {
		filters, err := netlink.FilterList(clsactLink(ifindex), dir.clsactParent())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range filters {
			if b, ok := f.(*netlink.BpfFilter); ok {
				names = append(names, b.Name)
			}
		}
	}
	return names
}

// drop attaches a filter of another owner that drops every frame.
func drop(t *testing.T, ifindex int, dir Direction) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2 /* TC_ACT_SHOT */), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	if err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: dir.clsactParent(), Handle: 1, Priority: clsactPriority + 1, Protocol: unix.ETH_P_ALL,
		},
		Fd: prog.FD(), Name: "other", DirectAction: true,
	}); err != nil {
		t.Fatal(err)
	}
}

// TestClsactLivesWithOthers: one filter of ours each way whatever came before, a
// neighbour's filter stays and hides nothing, and what somebody removes is noticed.
func TestClsactLivesWithOthers(t *testing.T) {
	w := bpftest.NewWire(t)
	dir := pins(t)
	a, err := Load(Options{MaxSlots: 8, PinDir: dir, Hook: HookClsact})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { a.Close() }()
	if a.Hook() != HookClsact {
		t.Errorf("Hook = %v", a.Hook())
	}
	attach := func(a *Accounting) {
		t.Helper()
		bpftest.In(t, w.Edge, func() {
			if err := a.Attach(w.EdgeIndex, false); err != nil {
				t.Fatal(err)
			}
		})
	}
	filters := func(want int) {
		t.Helper()
		bpftest.In(t, w.Edge, func() {
			if got := filtersAt(t, w.EdgeIndex); len(got) != want {
				t.Errorf("filters %v, want %d", got, want)
			}
		})
	}
	attach(a)
	filters(2)
	bpftest.In(t, w.Edge, func() { drop(t, w.EdgeIndex, Up) })
	a.Close()
	if a, err = Load(Options{MaxSlots: 8, PinDir: dir, Hook: HookClsact}); err != nil {
		t.Fatal(err)
	}
	attach(a)
	filters(3)
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	arp := bpftest.Ethernet(0x0806, make([]byte, 46))
	for range 10 {
		send(arp)
	}
	if got := settled(t, a, Up, 10); got.Up.NonIP.Packets != 10 {
		t.Errorf("counted %+v before the filter that drops, want 10", got.Up)
	}

	// Somebody's removal is noticed.
	bpftest.In(t, w.Edge, func() {
		if err := netlink.FilterDel(&netlink.BpfFilter{FilterAttrs: clsactAttrs(w.EdgeIndex, Down)}); err != nil {
			t.Fatal(err)
		}
	})
	if lost := a.Lost(); len(lost) != 1 || lost[0] != w.EdgeIndex {
		t.Errorf("Lost = %v, want the interface", lost)
	}
	a.Close()

	// A collector without the interface removes what it would count by.
	b, err := Load(Options{MaxSlots: 8, PinDir: dir, Hook: HookClsact})
	if err != nil {
		t.Fatal(err)
	}
	bpftest.In(t, w.Edge, func() {
		if n, err := b.DetachStale(); n != 1 || err != nil {
			t.Errorf("DetachStale = %d, %v, want 1", n, err)
		}
	})
	b.Close()
	filters(1)

	// Without pins the filters end with the process.
	if a, err = Load(Options{MaxSlots: 8, Hook: HookClsact}); err != nil {
		t.Fatal(err)
	}
	attach(a)
	filters(3)
	a.Close()
	filters(1)
}

// TestChangeOfHook: a collector that attaches the other way removes what the first
// attached, so no frame counts twice.
func TestChangeOfHook(t *testing.T) {
	w := bpftest.NewWire(t)
	dir := pins(t)
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	arp := bpftest.Ethernet(0x0806, make([]byte, 46))
	want := uint64(0)
	for _, hook := range []Hook{HookTCX, HookClsact, HookTCX, HookAuto} {
		a, err := Load(Options{MaxSlots: 8, PinDir: dir, Hook: hook})
		if err != nil {
			t.Fatal(err)
		}
		bpftest.In(t, w.Edge, func() {
			if err := a.Attach(w.EdgeIndex, false); err != nil {
				t.Fatal(err)
			}
		})
		for range 10 {
			send(arp)
			want++
		}
		if got := settled(t, a, Up, want); got.Up.Frames != want || len(a.Lost()) != 0 {
			t.Errorf("%v: %d frames, lost %v, want %d", hook, got.Up.Frames, a.Lost(), want)
		}
		a.Close()
	}
}

// TestHookOfThisKernel: what is wanted is what is used, and the kernel that runs
// these tests has both.
func TestHookOfThisKernel(t *testing.T) {
	bpftest.NeedRoot(t)
	for want, hook := range map[Hook]Hook{HookAuto: HookTCX, HookTCX: HookTCX, HookClsact: HookClsact} {
		if got, err := supportedHook(want); got != hook || err != nil {
			t.Errorf("supportedHook(%v) = %v, %v, want %v", want, got, err, hook)
		}
	}
	w := bpftest.NewWire(t)
	a := load(t, Options{Hook: HookClsact})
	bpftest.In(t, w.Edge, func() {
		if err := a.Attach(9999, false); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Attach to no interface = %v, want ENODEV", err)
		}
	})
}
