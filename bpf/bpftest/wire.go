// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpftest

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Wire is a veth pair between two network namespaces without a name, which the
// kernel removes with the last handle: Sub is the subscriber's, Edge the router's.
type Wire struct {
	Sub, Edge           netns.NsHandle
	SubIndex, EdgeIndex int
}

// NewWire makes one. The interfaces are r0 at the edge and s0 at the subscriber, and
// neither sends anything of its own. It skips the test if it is not root's.
func NewWire(t testing.TB) *Wire {
	t.Helper()
	NeedRoot(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer home.Close()
	defer netns.Set(home)
	w := &Wire{}
	if w.Sub, err = netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Sub.Close() })
	if w.Edge, err = netns.New(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Edge.Close() })
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "r0"
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "s0", PeerNamespace: netlink.NsFd(w.Sub)}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	w.EdgeIndex = bringUp(t, w.Edge, "r0")
	w.SubIndex = bringUp(t, w.Sub, "s0")
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

// In runs f in a namespace.
func In(t testing.TB, ns netns.NsHandle, f func()) {
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

// Sender returns a function that puts a frame on the wire from one end.
func Sender(t testing.TB, ns netns.NsHandle, index int) func(frame []byte) {
	t.Helper()
	fd := -1
	In(t, ns, func() {
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

// NeedRoot skips where no program can be loaded and no namespace made at all.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("kernel programs and network namespaces need root")
	}
}

// BPFFS mounts a BPF file system for the test and returns its directory.
func BPFFS(t testing.TB) string {
	t.Helper()
	NeedRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// RemoveLink deletes an interface.
func RemoveLink(t testing.TB, ns netns.NsHandle, name string) {
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
