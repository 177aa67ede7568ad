package datapath

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"griffier/bpf"
	"griffier/bpf/bpftest"
)

// TestPunts: a control frame arrives with the time it passed and its tags, also
// when it passed while no collector lived; anything else does not arrive.
func TestPunts(t *testing.T) {
	w := bpftest.NewWire(t)
	dir := filepath.Join(bpftest.BPFFS(t), "g")
	d := open(t, w, Config{PinDir: dir, MaxSlots: 8})
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	dhcp := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 300))),
		bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7))
	other := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 53, bpftest.DHCP4(1, 300))))
	receive := func(d *Datapath, before, after time.Time) {
		t.Helper()
		select {
		case f := <-d.Punts():
			if string(f.Frame) != string(dhcp) || f.Len != len(dhcp) || f.Interface != "r0" || f.Ifindex != w.EdgeIndex || f.Direction != bpf.Up {
				t.Errorf("frame %+v", f)
			}
			if len(f.VLANs) != 2 || f.VLANs[0] != (VLAN{0x88a8, 100}) || f.VLANs[1] != (VLAN{0x8100, 7}) {
				t.Errorf("tags %v", f.VLANs)
			}
			// Two clocks are read for it, and a busy machine may pause between them.
			if f.At.Before(before.Add(-time.Second)) || f.At.After(after.Add(time.Millisecond)) {
				t.Errorf("at %v, want between %v and %v", f.At, before, after)
			}
		case <-time.After(2 * time.Minute):
			t.Fatal("no frame")
		}
	}
	before := time.Now()
	send(other)
	send(dhcp)
	receive(d, before, time.Now())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-d.Punts(); ok {
		t.Error("a frame after Close")
	}
	before = time.Now()
	send(dhcp)
	send(other)
	passed(t, dir, 4)
	after := time.Now()
	time.Sleep(30 * time.Millisecond)
	d = open(t, w, Config{PinDir: dir, MaxSlots: 8})
	receive(d, before, after)
	r := settled(t, d, 4)
	if r.Totals.Up.Punted != 2 || r.Totals.Up.PuntDrops != 0 || d.PuntsMalformed() != 0 {
		t.Errorf("totals %+v, want 2 punted", r.Totals.Up)
	}
	select {
	case f := <-d.Punts():
		t.Errorf("another frame: %+v", f)
	default:
	}
}

// TestLostInterface: a report names the interface that went away.
func TestLostInterface(t *testing.T) {
	w := bpftest.NewWire(t)
	d := open(t, w, Config{MaxSlots: 8})
	if r := settled(t, d, 0); len(r.Lost) != 0 {
		t.Errorf("lost %v", r.Lost)
	}
	bpftest.RemoveLink(t, w.Edge, "r0")
	if r := settled(t, d, 0); len(r.Lost) != 1 || r.Lost[0] != "r0" {
		t.Errorf("lost %v, want r0", r.Lost)
	}
}

// TestInterfacesThatCannotBeCounted are refused before anything is attached.
func TestInterfacesThatCannotBeCounted(t *testing.T) {
	w := bpftest.NewWire(t)
	bpftest.In(t, w.Edge, func() {
		h, err := netlink.NewHandle()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		r0, err := h.LinkByName("r0")
		if err != nil {
			t.Fatal(err)
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "br0"
		bridge := &netlink.Bridge{LinkAttrs: attrs}
		if err := h.LinkAdd(bridge); err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetMaster(r0, bridge); err != nil {
			t.Fatal(err)
		}
		attrs = netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = "mv0", bridge.Attrs().Index
		if err := h.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}); err != nil {
			t.Fatal(err)
		}
		for _, names := range [][]string{{"nosuch"}, {"lo"}, {"r0", "r0"}, {"r0", "br0"}, {"br0", "r0"}, {"br0", "mv0"}, {"mv0", "br0"}} {
			var is []Interface
			for _, n := range names {
				is = append(is, Interface{Name: n})
			}
			if d, err := Open(Config{Interfaces: is, MaxSlots: 1}, time.Now); !errors.Is(err, ErrInterface) {
				if err == nil {
					d.Detach()
				}
				t.Errorf("Open(%v) = %v, want ErrInterface", names, err)
			}
		}
		if _, err := resolve([]Interface{{Name: "r0"}, {Name: "mv0"}}); err != nil {
			t.Errorf("resolve of two that share nothing = %v", err)
		}
	})
}
