// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// wire is a veth pair between two network namespaces without a name, which the
// kernel removes with the last handle: sub is the subscriber's, edge the router's.
type wire struct {
	sub, edge           netns.NsHandle
	subIndex, edgeIndex int
}

func newWire(t testing.TB) *wire {
	t.Helper()
	needRoot(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	defer netns.Set(home)
	w := &wire{}
	if w.sub, err = netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.sub.Close() })
	if w.edge, err = netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.edge.Close() })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "r0"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "s0", PeerNamespace: netlink.NsFd(w.sub)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	w.edgeIndex = bringUp(t, w.edge, "r0")
	w.subIndex = bringUp(t, w.sub, "s0")
	return w
}

func bringUp(t testing.TB, ns netns.NsHandle, name string) int {
	t.Helper()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	// Without an address of its own the kernel sends nothing on the link that the
	// test did not send.
	if err := h.LinkSetIP6AddrGenMode(l, 1); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

// in runs f in a namespace.
func in(t testing.TB, ns netns.NsHandle, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	if err := netns.Set(ns); err != nil {
		t.Fatal(err)
	}
	defer netns.Set(home)
	f()
}

// sender returns a function that puts a frame on the wire from one end.
func sender(t testing.TB, ns netns.NsHandle, index int) func(frame []byte) {
	t.Helper()
	fd := -1
	in(t, ns, func() {
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { unix.Close(fd) })
	to := &unix.SockaddrLinklayer{Ifindex: index}
	return func(frame []byte) {
		for {
			err := unix.Sendto(fd, frame, 0, to)
			if err == unix.ENOBUFS || err == unix.EAGAIN || err == unix.EINTR {
				time.Sleep(50 * time.Microsecond) // the receiver's queue is full; the frame was not taken
				continue
			}
			if err != nil {
				t.Errorf("send: %v", err)
			}
			return
		}
	}
}

// settled returns the totals once no frame has been counted for a while and at
// least n have in the direction, or after five seconds.
func settled(t testing.TB, a *Accounting, dir Direction, n uint64) Totals {
	t.Helper()
	var last Totals
	for deadline, quiet := time.Now().Add(5*time.Second), 0; time.Now().Before(deadline); {
		totals, err := a.ReadTotals()
		if err != nil {
			t.Fatal(err)
		}
		seen := totals.Up.Frames
		if dir == Down {
			seen = totals.Down.Frames
		}
		if totals == last && seen >= n {
			if quiet++; quiet == 3 {
				break
			}
		} else {
			quiet = 0
		}
		last = totals
		time.Sleep(20 * time.Millisecond)
	}
	return last
}

func removeLink(t testing.TB, ns netns.NsHandle, name string) {
	t.Helper()
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkDel(l); err != nil {
		t.Fatal(err)
	}
}
