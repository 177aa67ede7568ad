// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The place of our filters at an interface. A filter there is replaced in one step
// by the next process's: the kernel holds one filter for a (priority, handle), so
// there are never two of ours. Priority 1 runs before all others.
const (
	clsactPriority = 1
	clsactHandle   = 0x67726966 // "grif"
)

// filter is a program attached by clsact. The kernel keeps it until somebody
// removes it, whether a process lives or not.
type filter struct {
	netlink *netlink.Handle // of the interface's network namespace
	ifindex int
	dir     Direction
	prog    ebpf.ProgramID
	keep    bool // close leaves it in place
}

func (d Direction) clsactParent() uint32 {
	if d == Up {
		return netlink.HANDLE_MIN_INGRESS
	}
	return netlink.HANDLE_MIN_EGRESS
}

func clsactLink(ifindex int) netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
}

func clsactAttrs(ifindex int, dir Direction) netlink.FilterAttrs {
	return netlink.FilterAttrs{
		LinkIndex: ifindex, Parent: dir.clsactParent(), Handle: clsactHandle,
		Priority: clsactPriority, Protocol: unix.ETH_P_ALL,
	}
}

// attachClsact puts the program at the interface, in the place of an earlier
// process's if there is one. Another program's filters stay as they are.
func (a *Accounting) attachClsact(ifindex int, dir Direction) (*filter, error) {
	info, err := a.Program(dir).Info()
	if err != nil {
		return nil, err
	}
	id, _ := info.ID()
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	f := &filter{h, ifindex, dir, id, a.pinPath != ""}
	if err := f.attach(a.Program(dir)); err != nil {
		h.Close()
		return nil, err
	}
	return f, nil
}

func (f *filter) attach(prog *ebpf.Program) error {
	err := f.netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: f.ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("clsact: %w: %w", ErrKernelTooOld, err)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("clsact: %w", err)
	}
	err = f.netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs: clsactAttrs(f.ifindex, f.dir), Fd: prog.FD(), Name: "griffier_" + f.dir.String(), DirectAction: true,
	})
	if err != nil {
		return fmt.Errorf("clsact: filter: %w", err)
	}
	if !f.inPlace() {
		return errors.New("clsact: the filter is not where it was put: priority 1 is in use by another classifier")
	}
	return nil
}

// programAt returns the program in our place at an interface.
func programAt(h *netlink.Handle, ifindex int, dir Direction) (ebpf.ProgramID, bool) {
	filters, err := h.FilterList(clsactLink(ifindex), dir.clsactParent())
	if err != nil {
		return 0, false
	}
	for _, f := range filters {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Handle == clsactHandle && b.Priority == clsactPriority {
			return ebpf.ProgramID(b.Id), true
		}
	}
	return 0, false
}

func (f *filter) inPlace() bool {
	id, ok := programAt(f.netlink, f.ifindex, f.dir)
	return ok && id == f.prog
}

func (f *filter) close() error {
	defer f.netlink.Close()
	if f.keep {
		return nil
	}
	return f.delete()
}

func (f *filter) remove() error {
	defer f.netlink.Close()
	return f.delete()
}

// delete removes the filter if it is still this process's. The clsact qdisc stays:
// it costs nothing, and others may use it.
func (f *filter) delete() error {
	if !f.inPlace() {
		return nil
	}
	return removeFilter(f.netlink, f.ifindex, f.dir)
}

func removeFilter(h *netlink.Handle, ifindex int, dir Direction) error {
	err := h.FilterDel(&netlink.BpfFilter{FilterAttrs: clsactAttrs(ifindex, dir)})
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("clsact: filter: %w", err)
	}
	return nil
}

// removeFilters removes the filters in our place, in the caller's network
// namespace, of which match says so; it returns how many interfaces had one.
func removeFilters(match func(ifindex int, prog ebpf.ProgramID) bool) (int, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, l := range links {
		for _, dir := range []Direction{Up, Down} {
			ifindex := l.Attrs().Index
			id, ok := programAt(h, ifindex, dir)
			if !ok || !match(ifindex, id) {
				continue
			}
			if err := removeFilter(h, ifindex, dir); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}

// usesMap reports whether a program counts into the map.
func usesMap(prog ebpf.ProgramID, m *ebpf.Map) bool {
	info, err := m.Info()
	if err != nil {
		return false
	}
	want, _ := info.ID()
	p, err := ebpf.NewProgramFromID(prog)
	if err != nil {
		return false
	}
	defer p.Close()
	pinfo, err := p.Info()
	if err != nil {
		return false
	}
	ids, _ := pinfo.MapIDs()
	return slices.Contains(ids, want)
}
