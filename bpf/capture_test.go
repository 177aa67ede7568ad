// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"

	"griffier/bpf/bpftest"
)

const captureFile = "testdata/encap_vlan_qinq_pppoe_5000.pcap"

// The capture's sender sent 1000 frames each of 802.1Q v4, QinQ v4, QinQ+PPPoE v4,
// QinQ+PPPoE v6 and PPPoE v6, and states L2 bytes: 100.64.0.12 sent 3000 packets of
// 454000 bytes, 2001:db8:0:1200::/56 sent 2000 of 348000. The link header is 14
// bytes, a tag 4, PPPoE with its PPP protocol 8.
const (
	captureL2v4 = 454000
	captureL2v6 = 348000
	captureL3v4 = captureL2v4 - 1000*(14+4) - 1000*(14+2*4) - 1000*(14+2*4+8)
	captureL3v6 = captureL2v6 - 1000*(14+2*4+8) - 1000*(14+8)
)

var captureWant = Counters{
	Up4: Count{captureL3v4, 3000},
	Up6: Count{captureL3v6, 2000},
}

func readCapture(t testing.TB) [][]byte {
	t.Helper()
	f, err := os.Open(captureFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, data)
	}
}

// TestCaptureByProgramRun passes the capture through the program frame by frame.
func TestCaptureByProgramRun(t *testing.T) {
	a := load(t, Options{})
	frames := readCapture(t)
	if len(frames) != 5003 {
		t.Fatalf("capture has %d frames, want 5003", len(frames))
	}
	for _, f := range frames {
		run(t, a, Up, f, 0, 0)
	}
	checkCapture(t, a, 3)
}

// checkCapture compares with the stated truth; the rest of the frames are the
// sender's own multicast listener reports, which belong to no line.
func checkCapture(t *testing.T, a *Accounting, others uint64) {
	t.Helper()
	v4, err := a.ReadSlot(slotOf4)
	if err != nil {
		t.Fatal(err)
	}
	v6, err := a.ReadSlot(slotOf6)
	if err != nil {
		t.Fatal(err)
	}
	if got := v4.Plus(v6); got != captureWant {
		t.Errorf("counted %+v, want %+v", got, captureWant)
	}
	if v4.Up6 != (Count{}) || v6.Up4 != (Count{}) {
		t.Errorf("slots mixed: %+v, %+v", v4, v6)
	}
	totals, err := a.ReadTotals()
	if err != nil {
		t.Fatal(err)
	}
	if !totals.Balanced() || totals.Up.Frames != 5000+others || totals.Up.Unattributed6.Packets != others {
		t.Errorf("totals = %+v, want 5000 attributed frames and %d reports", totals.Up, others)
	}
}

// TestCaptureOnTheWire really sends the capture over a veth pair, where the kernel
// takes the outer tag off into metadata before the program sees the frame.
func TestCaptureOnTheWire(t *testing.T) { eachHook(t, testCaptureOnTheWire) }

func testCaptureOnTheWire(t *testing.T, hook Hook) {
	w := bpftest.NewWire(t)
	a := load(t, Options{Hook: hook})
	bpftest.In(t, w.Edge, func() {
		if err := a.Attach(w.EdgeIndex, false); err != nil {
			t.Fatal(err)
		}
	})
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	for _, f := range readCapture(t) {
		send(f)
	}
	settled(t, a, Up, 5003)
	checkCapture(t, a, 3)
}

// TestCaptureBackwards sends it with addresses exchanged out of the access
// interface: what was upload is download, at TCX egress.
func TestCaptureBackwards(t *testing.T) { eachHook(t, testCaptureBackwards) }

func testCaptureBackwards(t *testing.T, hook Hook) {
	w := bpftest.NewWire(t)
	a := load(t, Options{Hook: hook})
	bpftest.In(t, w.Edge, func() {
		if err := a.Attach(w.EdgeIndex, false); err != nil {
			t.Fatal(err)
		}
	})
	send := bpftest.Sender(t, w.Edge, w.EdgeIndex)
	for _, f := range readCapture(t) {
		send(exchange(f))
	}
	totals := settled(t, a, Down, 5003)
	v4, err4 := a.ReadSlot(slotOf4)
	v6, err6 := a.ReadSlot(slotOf6)
	want := Counters{Down4: captureWant.Up4, Down6: captureWant.Up6}
	if got := v4.Plus(v6); err4 != nil || err6 != nil || got != want {
		t.Errorf("counted %+v (%v, %v), want %+v", got, err4, err6, want)
	}
	if !totals.Balanced() || totals.Down.Frames != 5003 || totals.Up.Frames != 0 {
		t.Errorf("totals = %+v", totals)
	}
}

// exchange swaps the IP addresses of one of the capture's frames.
func exchange(frame []byte) []byte {
	f := bytes.Clone(frame)
	for _, line := range []netip.Prefix{
		netip.MustParsePrefix("100.64.0.12/32"), netip.MustParsePrefix("2001:db8:0:1200::/56"),
	} {
		n := len(line.Addr().AsSlice())
		for at := 14; at+2*n <= len(f) && at < 64; at++ {
			src, _ := netip.AddrFromSlice(f[at : at+n])
			if line.Contains(src) {
				copy(f[at:], frame[at+n:at+2*n])
				copy(f[at+n:], frame[at:at+n])
				return f
			}
		}
	}
	return f
}

// TestScopedByVLAN: at a scoped interface the same address in two VLANs is two
// lines, whether a tag is in metadata (ingress) or in the data (egress).
func TestScopedByVLAN(t *testing.T) {
	w := bpftest.NewWire(t)
	a := load(t, Options{})
	stacks := []struct {
		tags []bpftest.Tag
		slot uint32
	}{
		{nil, 10},
		{[]bpftest.Tag{bpftest.VLAN(0x8100, 100)}, 11},
		{[]bpftest.Tag{bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7)}, 12},
		{[]bpftest.Tag{bpftest.VLAN(0x88a8, 7), bpftest.VLAN(0x8100, 100)}, 13},
		{[]bpftest.Tag{bpftest.VLAN(0x88a8, 4095), bpftest.VLAN(0x8100, 4095), bpftest.VLAN(0x8100, 3)}, 14},
	}
	addr4, addr6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")
	for _, s := range stacks {
		scope := uint32(0)
		for i, tg := range s.tags[:min(len(s.tags), 2)] {
			scope |= uint32(tg.VID) << (16 * (1 - i))
		}
		put(t, a, "10.0.0.1/32", scope, s.slot)
		put(t, a, "fd00::/64", scope, s.slot)
	}
	bpftest.In(t, w.Edge, func() {
		if err := a.Attach(w.EdgeIndex, true); err != nil {
			t.Fatal(err)
		}
	})
	fromSub, fromEdge := bpftest.Sender(t, w.Sub, w.SubIndex), bpftest.Sender(t, w.Edge, w.EdgeIndex)
	n := uint64(0)
	for i, s := range stacks {
		for range i + 1 {
			payload := bpftest.UDP(1, 2, make([]byte, 52))
			fromSub(bpftest.Ethernet(0x0800, bpftest.IPv4(addr4, bpftest.Far4, 17, 0, 0, payload), s.tags...))
			fromSub(bpftest.Ethernet(0x86dd, bpftest.IPv6(addr6, bpftest.Far6, 17, payload), s.tags...))
			fromEdge(bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Far4, addr4, 17, 0, 0, payload), s.tags...))
			fromEdge(bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Far6, addr6, 17, payload), s.tags...))
			n += 2
		}
	}
	settled(t, a, Up, n)
	settled(t, a, Down, n)
	for i, s := range stacks {
		k := uint64(i + 1)
		want := Counters{
			Up4: Count{80 * k, k}, Down4: Count{80 * k, k},
			Up6: Count{100 * k, k}, Down6: Count{100 * k, k},
		}
		if got, err := a.ReadSlot(s.slot); err != nil || got != want {
			t.Errorf("stack %v: %+v, %v, want %+v", s.tags, got, err, want)
		}
	}
}

// TestPuntRestoresTheTag: the frame that user space gets is the one that was on
// the wire, though the kernel took the outer tag off.
func TestPuntRestoresTheTag(t *testing.T) {
	w := bpftest.NewWire(t)
	a := load(t, Options{})
	bpftest.In(t, w.Edge, func() {
		if err := a.Attach(w.EdgeIndex, false); err != nil {
			t.Fatal(err)
		}
	})
	r, err := a.Punts()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	discover := bpftest.IPv4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 300)))
	for _, tags := range [][]bpftest.Tag{nil, {bpftest.VLAN(0x8100, 5)}, {bpftest.VLAN(0x88a8, 5), bpftest.VLAN(0x8100, 6)}} {
		frame := bpftest.Ethernet(0x0800, discover, tags...)
		send(frame)
		got, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Frame, frame) || got.FrameLen != len(frame) || int(got.Ifindex) != w.EdgeIndex || got.Direction != Up {
			t.Errorf("tags %v: got %+v", tags, got)
		}
		if typ := binary.BigEndian.Uint16(got.Frame[12:]); len(tags) > 0 && typ != tags[0].Proto {
			t.Errorf("tags %v: ethertype %#x", tags, typ)
		}
	}
}

// settled returns the totals once no frame has been counted for a while and at
// least n have in the direction, or after two minutes.
func settled(t testing.TB, a *Accounting, dir Direction, n uint64) Totals {
	t.Helper()
	var last Totals
	for deadline, quiet := time.Now().Add(2*time.Minute), 0; time.Now().Before(deadline); {
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
