// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"griffier/bpf/bpftest"
)

// TestOnlyControlFramesLeaveTheKernel is the minimisation property: whatever is
// not a control frame that was asked for leaves no byte in the ring.
func TestOnlyControlFramesLeaveTheKernel(t *testing.T) {
	dhcp := bpftest.UDP(68, 67, bpftest.DHCP4(1, 300))
	v6 := bpftest.UDP(546, 547, []byte{1, 0, 0, 1})
	frames := []struct {
		name     string
		frame    []byte
		flag     PuntFlags // under which the frame is punted
		rejected bool      // counted as a control port without a message, under DHCP flags
	}{
		{"DHCPv4 request", bpftest.Ethernet(0x0800, bpftest.IPv4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 17, 0, 0, dhcp)), PuntDHCPv4, false},
		{"DHCPv4 reply in QinQ", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Far4, bpftest.Sub4, 17, 0, 0, bpftest.UDP(67, 68, bpftest.DHCP4(2, 300))), bpftest.VLAN(0x88a8, 9), bpftest.VLAN(0x8100, 8)), PuntDHCPv4, false},
		{"DHCPv4 over IP options", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 12, 0, dhcp)), PuntDHCPv4, false},
		{"DHCPv4 beyond 512 bytes", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 900)))), PuntDHCPv4, false},
		{"DHCPv6 solicit", bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, v6)), PuntDHCPv6, false},
		{"PPPoE discovery", bpftest.Ethernet(0x8863, make([]byte, 40), bpftest.VLAN(0x8100, 3)), PuntPPPoE, false},
		{"port 67 without a cookie", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, make([]byte, 300)))), 0, true},
		{"port 67 with another op", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(3, 300)))), 0, true},
		{"port 67 cut short", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, []byte{1, 2}))), 0, true},
		{"port 547 without a type", bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(546, 547, []byte{0, 1}))), 0, true},
		{"source port 67 only", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(67, 53, bpftest.DHCP4(1, 300)))), 0, false},
		{"later fragment", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0x0010, dhcp)), 0, false},
		{"TCP to port 67", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, append([]byte{0, 68, 0, 67}, bpftest.DHCP4(1, 300)...))), 0, false},
		{"cut IP packet", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, dhcp)[:200]), 0, false},
		{"web", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, bpftest.TCP(0, 500))), 0, false},
		{"QUIC v6", bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(443, 50000, make([]byte, 500)))), 0, false},
		{"PAP", bpftest.Ethernet(0x8864, bpftest.Session(0xc023, make([]byte, 40))), 0, false},
		{"ARP", bpftest.Ethernet(0x0806, make([]byte, 28)), 0, false},
	}
	for _, flags := range []PuntFlags{PuntNone, PuntDHCPv4, PuntDHCPv6, PuntPPPoE, PuntDHCPv4 | PuntDHCPv6 | PuntPPPoE} {
		a := load(t, Options{Punt: flags})
		r, err := a.Punts()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, f := range frames {
			for _, dir := range []Direction{Up, Down} {
				totals, _ := run(t, a, dir, f.frame, 0, 0)
				if totals.Frames != 1 || totals.Total.Packets != 1 {
					t.Errorf("%s %s: totals = %+v, want it accounted too", f.name, dir, totals)
				}
				r.ring.SetDeadline(time.Now().Add(-time.Second))
				got, err := r.Read()
				if f.flag&flags == 0 {
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("flags %x: %s %s: Read = %+v, %v, want nothing in the ring", flags, f.name, dir, got, err)
					}
					if totals.Punted != 0 || (totals.PuntRejected != 0) != (f.rejected && asks(flags, f.frame)) {
						t.Errorf("flags %x: %s %s: totals = %+v", flags, f.name, dir, totals)
					}
					continue
				}
				if err != nil {
					t.Fatalf("flags %x: %s %s: Read: %v", flags, f.name, dir, err)
				}
				if !bytes.Equal(got.Frame, f.frame) || got.FrameLen != len(f.frame) || got.Direction != dir ||
					got.BootNanos == 0 || totals.Punted != 1 {
					t.Errorf("flags %x: %s %s: Read = %+v, totals %+v", flags, f.name, dir, got, totals)
				}
			}
		}
	}
}

// asks reports whether flags include the control protocol of the frame's family.
func asks(flags PuntFlags, frame []byte) bool {
	if frame[12] == 0x08 {
		return flags&PuntDHCPv4 != 0
	}
	return flags&PuntDHCPv6 != 0
}

// TestMillionDataFrames leave nothing in the ring.
func TestMillionDataFrames(t *testing.T) {
	a := load(t, Options{Punt: PuntDHCPv4 | PuntDHCPv6 | PuntPPPoE})
	r, err := a.Punts()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const each = 1_000_000 / 10
	for _, frame := range [][]byte{
		bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, bpftest.TCP(0, 500))),
		bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(443, 50000, make([]byte, 500)))),
		bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(53, 53, make([]byte, 100)))),
		bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, make([]byte, 300)))),
		bpftest.Ethernet(0x8864, bpftest.Session(0x0021, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, bpftest.TCP(0, 500)))),
		bpftest.Ethernet(0x8864, bpftest.Session(0x0057, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(443, 50000, make([]byte, 500))))),
		bpftest.Ethernet(0x8864, bpftest.CompressedSession(0x21, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, bpftest.TCP(0, 500)))),
		bpftest.Ethernet(0x8864, bpftest.Session(0xc023, []byte("\x01\x01\x00\x14\x08user0001\x06secret"))),
		bpftest.Ethernet(0x8864, bpftest.Session(0xc223, []byte("\x02\x01\x00\x1d\x10sixteen octets..user0001"))),
		bpftest.Ethernet(0x8864, bpftest.Session(0xc021, []byte{9, 1, 0, 8, 1, 2, 3, 4})), // Echo-Request
	} {
		if _, _, err := a.Program(Up).Benchmark(frame, each, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := a.ReadTotals()
	if err != nil {
		t.Fatal(err)
	}
	if n := r.ring.AvailableBytes(); n != 0 || totals.Up.Punted != 0 || totals.Up.PuntDrops != 0 || totals.Up.Frames < 10*each {
		t.Errorf("%d bytes in the ring after %d frames, totals %+v", n, totals.Up.Frames, totals.Up)
	}
}

func TestLongControlFrameIsCut(t *testing.T) {
	a := load(t, Options{})
	r, err := a.Punts()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 2000))))
	run(t, a, Up, frame, 0, 0)
	got, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Frame, frame[:puntMaxBytes]) || got.FrameLen != len(frame) {
		t.Errorf("Read = %d bytes of %d, want %d of %d", len(got.Frame), got.FrameLen, puntMaxBytes, len(frame))
	}
}

// TestFullRingIsCounted: frames beyond the ring are lost as control frames, but
// are accounted, and the loss has a number.
func TestFullRingIsCounted(t *testing.T) {
	a := load(t, Options{PuntRingBytes: 4096})
	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 300))))
	const n = 50
	for range n {
		run(t, a, Up, frame, 0, 0)
	}
	totals, err := a.ReadTotals()
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Punts()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.ring.SetDeadline(time.Now().Add(-time.Second))
	read := uint64(0)
	for {
		if _, err := r.Read(); err != nil {
			break
		}
		read++
	}
	if totals.Up.Punted != read || totals.Up.Punted+totals.Up.PuntDrops != n || totals.Up.PuntDrops == 0 {
		t.Errorf("punted %d, dropped %d, read %d, of %d", totals.Up.Punted, totals.Up.PuntDrops, read, n)
	}
	if totals.Up.Attributed4.Packets != n {
		t.Errorf("attributed %d, want %d", totals.Up.Attributed4.Packets, n)
	}
}

// record is a punt record as the kernel would write it.
func record(frame []byte, frameLen, copied uint32, proto, tci uint16) []byte {
	b := make([]byte, puntHeaderBytes)
	le := binary.LittleEndian
	le.PutUint64(b[0:], 77)
	le.PutUint32(b[8:], 5)
	le.PutUint32(b[12:], frameLen)
	le.PutUint32(b[16:], copied)
	binary.BigEndian.PutUint16(b[20:], proto)
	le.PutUint16(b[22:], tci)
	le.PutUint32(b[24:], 1)
	return append(b, frame...)
}

func TestDecodePunt(t *testing.T) {
	frame := bpftest.Ethernet(0x0806, make([]byte, 28))
	tagged := bpftest.Ethernet(0x0806, make([]byte, 28), bpftest.VLAN(0x88a8, 44))
	for _, tt := range []struct {
		name string
		raw  []byte
		want []byte
	}{
		{"plain", record(append(frame, make([]byte, 100)...), 42, 42, 0, 0), frame},
		{"tag in metadata", record(frame, 42, 42, 0x88a8, 0x602c), tagged},
		{"empty", nil, nil},
		{"header cut", record(frame, 42, 42, 0, 0)[:puntHeaderBytes-1], nil},
		{"more copied than there is", record(frame, 99, 43, 0, 0), nil},
		{"more copied than passed", record(frame, 41, 42, 0, 0), nil},
		{"no Ethernet header", record(frame, 42, 13, 0, 0), nil},
		{"more copied than ever", record(make([]byte, 2000), 2000, 1537, 0, 0), nil},
	} {
		got, err := decodePunt(tt.raw)
		if (err != nil) != (tt.want == nil) || !bytes.Equal(got.Frame, tt.want) {
			t.Errorf("%s: decodePunt = %x, %v, want %x", tt.name, got.Frame, err, tt.want)
		}
		if err != nil && !errors.Is(err, ErrPunt) {
			t.Errorf("%s: error %v is not ErrPunt", tt.name, err)
		}
	}
}

func FuzzDecodePunt(f *testing.F) {
	frame := bpftest.Ethernet(0x0806, make([]byte, 28))
	f.Add(record(frame, 42, 42, 0, 0))
	f.Add(record(frame, 42, 42, 0x8100, 0x6001))
	f.Add(record(frame, 42, 14, 0x8100, 0x6001))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodePunt(raw)
		if err != nil {
			return
		}
		if len(p.Frame) < 14 || len(p.Frame) > puntMaxBytes+4 || len(p.Frame) > p.FrameLen {
			t.Errorf("decodePunt = %d bytes of %d", len(p.Frame), p.FrameLen)
		}
	})
}
