// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Direction of a frame, as the subscriber sees it.
type Direction uint8

// Up is TCX ingress of the access interface, Down is TCX egress.
const (
	Up Direction = iota
	Down
)

func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

func (d Direction) attachType() ebpf.AttachType {
	if d == Up {
		return ebpf.AttachTCXIngress
	}
	return ebpf.AttachTCXEgress
}

// Attach starts counting at the interface with this index in the caller's network
// namespace, in both directions and ahead of other programs, so that none of them
// can hide a frame. With scoped, the two outermost VLAN ids are part of the key.
//
// What an earlier process left attached to this interface gets this process's
// program in one step: no frame passes uncounted, none counts twice. See Hook for
// what is different with clsact.
func (a *Accounting) Attach(ifindex int, scoped bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.links[ifindex]; ok {
		return fmt.Errorf("attach: interface %d: %w", ifindex, os.ErrExist)
	}
	if err := a.setScoped(ifindex, scoped); err != nil {
		return fmt.Errorf("attach: interface %d: %w", ifindex, err)
	}
	var pair [2]attached
	for _, dir := range []Direction{Up, Down} {
		l, err := a.attach(ifindex, dir)
		if err != nil {
			if pair[Up] != nil {
				_ = pair[Up].close() // if it is pinned it goes on counting, which loses nothing
			}
			return fmt.Errorf("attach: interface %d %s: %w", ifindex, dir, explain(err))
		}
		pair[dir] = l
	}
	a.links[ifindex] = pair
	return nil
}

// Hook returns how programs are attached: HookTCX or HookClsact.
func (a *Accounting) Hook() Hook { return a.opts.Hook }

func (a *Accounting) setScoped(ifindex int, scoped bool) error {
	key := uint32(ifindex)
	if scoped {
		if err := a.objects.Scopes.Put(key, uint32(1)); err != nil {
			return err
		}
	} else if err := a.objects.Scopes.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	if a.scoped[ifindex] == scoped {
		return nil
	}
	a.scoped[ifindex] = scoped
	return a.writeConfig()
}

// Program returns the program of a direction, for runs on single frames
// (BPF_PROG_TEST_RUN): measurements and tests.
func (a *Accounting) Program(dir Direction) *ebpf.Program {
	if dir == Up {
		return a.objects.AccountUp
	}
	return a.objects.AccountDown
}

func (a *Accounting) linkPath(ifindex int, dir Direction) string {
	return filepath.Join(a.pinPath, fmt.Sprintf("link_%d_%s", ifindex, dir))
}

func (a *Accounting) attach(ifindex int, dir Direction) (attached, error) {
	if a.opts.Hook == HookClsact {
		// A link of a TCX collector would count every frame once more.
		if a.pinPath != "" {
			if err := detachPinned(a.linkPath(ifindex, dir)); err != nil {
				return nil, err
			}
		}
		return a.attachClsact(ifindex, dir)
	}
	if err := a.removeOwnFilter(ifindex, dir); err != nil {
		return nil, err
	}
	return a.attachTCX(ifindex, dir)
}

// detachPinned detaches a pinned link, if there is one, and removes the pin. To
// remove the pin alone would leave the program running for a moment.
func detachPinned(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Close()
	// A link whose interface went away is detached already.
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return os.Remove(path)
}

// removeOwnFilter removes a clsact filter that counts into the same maps.
func (a *Accounting) removeOwnFilter(ifindex int, dir Direction) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	if id, ok := programAt(h, ifindex, dir); ok && usesMap(id, a.objects.Counters) {
		return removeFilter(h, ifindex, dir)
	}
	return nil
}

func (a *Accounting) attachTCX(ifindex int, dir Direction) (attached, error) {
	if a.pinPath != "" {
		l, err := a.takeOver(ifindex, dir)
		if err != nil {
			return nil, err
		}
		if l != nil {
			return &tcxLink{l, ifindex, true}, nil
		}
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: ifindex,
		Program:   a.Program(dir),
		Attach:    dir.attachType(),
		Anchor:    link.Head(),
	})
	if err != nil {
		return nil, err
	}
	if a.pinPath != "" {
		if err := l.Pin(a.linkPath(ifindex, dir)); err != nil {
			_ = l.Close()
			return nil, err
		}
	}
	return &tcxLink{l, ifindex, a.pinPath != ""}, nil
}

// takeOver returns the pinned link with this process's program in it, or nil if
// there is none that still belongs to the interface.
func (a *Accounting) takeOver(ifindex int, dir Direction) (link.Link, error) {
	path := a.linkPath(ifindex, dir)
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info, err := l.Info(); err == nil && info.TCX() != nil && int(info.TCX().Ifindex) == ifindex {
		if err := l.Update(a.Program(dir)); err == nil {
			return l, nil
		}
	}
	// The interface went away under the link, and its index was given out again.
	_ = l.Close()
	return nil, os.Remove(path)
}

// Detach stops counting at the interface, for the processes after this one too.
func (a *Accounting) Detach(ifindex int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, l := range a.links[ifindex] {
		if l != nil {
			errs = append(errs, l.remove())
		}
	}
	delete(a.links, ifindex)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach: interface %d: %w", ifindex, err)
	}
	return nil
}

// DetachStale ends the counting at interfaces that are not attached now, in the
// caller's network namespace: they were in an earlier configuration. It returns how
// many programs it removed.
func (a *Accounting) DetachStale() (int, error) {
	if a.pinPath == "" {
		return 0, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	pins, err := filepath.Glob(filepath.Join(a.pinPath, "link_*"))
	if err != nil {
		return 0, fmt.Errorf("detach stale: %w", err)
	}
	keep := map[string]bool{}
	for ifindex := range a.links {
		keep[a.linkPath(ifindex, Up)], keep[a.linkPath(ifindex, Down)] = true, true
	}
	removed := 0
	for _, path := range pins {
		if keep[path] {
			continue
		}
		if err := detachPinned(path); err != nil {
			return removed, fmt.Errorf("detach stale: %w", err)
		}
		removed++
	}
	filters, err := removeFilters(func(ifindex int, prog ebpf.ProgramID) bool {
		_, attached := a.links[ifindex]
		return !attached && usesMap(prog, a.objects.Counters)
	})
	if err != nil {
		return removed, fmt.Errorf("detach stale: %w", err)
	}
	return removed + filters, nil
}

// Lost returns the indexes of attached interfaces of which a program is no longer
// in place: the interface went away, or somebody detached the program.
func (a *Accounting) Lost() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var lost []int
	for ifindex, pair := range a.links {
		for _, l := range pair {
			if !l.inPlace() {
				lost = append(lost, ifindex)
				break
			}
		}
	}
	slices.Sort(lost)
	return lost
}
