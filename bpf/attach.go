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
// A link that an earlier process pinned for this interface gets this process's
// program in one step: no frame passes uncounted, none counts twice.
func (a *Accounting) Attach(ifindex int, scoped bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.links[ifindex]; ok {
		return fmt.Errorf("attach: interface %d: %w", ifindex, os.ErrExist)
	}
	if err := a.setScoped(ifindex, scoped); err != nil {
		return fmt.Errorf("attach: interface %d: %w", ifindex, err)
	}
	var pair [2]link.Link
	for _, dir := range []Direction{Up, Down} {
		l, err := a.attach(ifindex, dir)
		if err != nil {
			if pair[Up] != nil {
				_ = pair[Up].Close() // if it is pinned it goes on counting, which loses nothing
			}
			return fmt.Errorf("attach: interface %d %s: %w", ifindex, dir, explain(err))
		}
		pair[dir] = l
	}
	a.links[ifindex] = pair
	return nil
}

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

func (a *Accounting) attach(ifindex int, dir Direction) (link.Link, error) {
	if a.pinPath != "" {
		l, err := a.takeOver(ifindex, dir)
		if l != nil || err != nil {
			return l, err
		}
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: ifindex,
		Program:   a.Program(dir),
		Attach:    dir.attachType(),
		Anchor:    link.Head(),
	})
	if err != nil || a.pinPath == "" {
		return l, err
	}
	if err := l.Pin(a.linkPath(ifindex, dir)); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
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

// Detach stops counting at the interface and removes its pinned links.
func (a *Accounting) Detach(ifindex int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for _, l := range a.links[ifindex] {
		if l == nil {
			continue
		}
		if a.pinPath != "" {
			errs = append(errs, l.Unpin())
		}
		errs = append(errs, l.Close())
	}
	delete(a.links, ifindex)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach: interface %d: %w", ifindex, err)
	}
	return nil
}

// DetachStale removes the pinned links of interfaces that are not attached now:
// they were in an earlier configuration. It returns how many it removed.
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
		if err := os.Remove(path); err != nil {
			return removed, fmt.Errorf("detach stale: %w", err)
		}
		removed++
	}
	return removed, nil
}

// Lost returns the indexes of attached interfaces of which a link is no longer in
// place: the interface went away, or somebody detached the program.
func (a *Accounting) Lost() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	var lost []int
	for ifindex, pair := range a.links {
		for _, l := range pair {
			info, err := l.Info()
			if err != nil || info.TCX() == nil || int(info.TCX().Ifindex) != ifindex {
				lost = append(lost, ifindex)
				break
			}
		}
	}
	slices.Sort(lost)
	return lost
}
