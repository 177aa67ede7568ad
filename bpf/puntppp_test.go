// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"griffier/bpf/bpftest"
)

const (
	pppLCP    = 0xc021
	pppIPCP   = 0x8021
	pppIPv6CP = 0x8057
)

// TestEveryPPPProtocol runs a frame of each of the 65,536 protocol numbers, each
// with the body of an LCP Terminate-Request: three are copied, and none of them
// authenticates anyone.
func TestEveryPPPProtocol(t *testing.T) {
	a := load(t, Options{Punt: PuntDHCPv4 | PuntDHCPv6 | PuntPPPoE})
	r, err := a.Punts()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body := append([]byte{5, 1, 0, 40}, bytes.Repeat([]byte("secret"), 6)...)
	frame := bpftest.Ethernet(0x8864, bpftest.Session(0, body))
	copied := map[uint16]bool{}
	for protocol := range 1 << 16 {
		binary.BigEndian.PutUint16(frame[20:], uint16(protocol))
		if _, err := a.Program(Direction(protocol & 1)).Run(&ebpf.RunOptions{Data: frame}); err != nil {
			t.Fatal(err)
		}
		if r.ring.AvailableBytes() == 0 {
			continue
		}
		got, err := r.Read()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Frame, frame) {
			t.Errorf("protocol %04x: another frame came out", protocol)
		}
		copied[uint16(protocol)] = true
	}
	for _, protocol := range []uint16{pppLCP, pppIPCP, pppIPv6CP} {
		if !copied[protocol] {
			t.Errorf("protocol %04x was not copied", protocol)
		}
		delete(copied, protocol)
	}
	for protocol := range copied {
		t.Errorf("protocol %04x was copied", protocol)
	}
}

// TestPPPControlCodes: of LCP only the end of the link is copied, of IPCP and
// IPV6CP everything, and nothing at all unless PPPoE is asked for.
func TestPPPControlCodes(t *testing.T) {
	for _, flags := range []PuntFlags{PuntPPPoE, PuntDHCPv4 | PuntDHCPv6} {
		a := load(t, Options{Punt: flags})
		r, err := a.Punts()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, protocol := range []uint16{pppLCP, pppIPCP, pppIPv6CP, 0xc023, 0xc223, 0xc227} {
			for code := range 16 {
				frame := bpftest.Ethernet(0x8864, bpftest.Session(protocol, []byte{byte(code), 1, 0, 4}), bpftest.VLAN(0x88a8, 9), bpftest.VLAN(0x8100, 8))
				totals, _ := run(t, a, Down, frame, 0, 0)
				r.ring.SetDeadline(time.Now().Add(-time.Second))
				got, err := r.Read()
				want := flags == PuntPPPoE && (protocol == pppIPCP || protocol == pppIPv6CP || protocol == pppLCP && (code == 5 || code == 6))
				if want && (err != nil || !bytes.Equal(got.Frame, frame) || totals.Punted != 1) {
					t.Errorf("flags %x: protocol %04x code %d: Read = %v, totals %+v", flags, protocol, code, err, totals)
				}
				if !want && (!errors.Is(err, os.ErrDeadlineExceeded) || totals.Punted != 0) {
					t.Errorf("flags %x: protocol %04x code %d left the kernel", flags, protocol, code)
				}
				if totals.NonIP.Packets != 1 {
					t.Errorf("protocol %04x code %d: not accounted: %+v", protocol, code, totals)
				}
			}
		}
		// A frame that ends before the code.
		if totals, _ := run(t, a, Up, bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, nil)), 0, 0); totals.Punted != 0 || totals.NonIP.Packets != 1 {
			t.Errorf("flags %x: LCP without a body: %+v", flags, totals)
		}
	}
}

// TestEchoes: a host's echo is copied if that is asked for, from the host only, and
// only if it carries nothing.
func TestEchoes(t *testing.T) {
	echo := func(code byte, data ...byte) []byte {
		return append([]byte{code, 1, 0, byte(8 + len(data)), 1, 2, 3, 4}, data...)
	}
	for _, flags := range []PuntFlags{PuntPPPoE | PuntEcho, PuntPPPoE, PuntEcho, PuntDHCPv4} {
		a := load(t, Options{Punt: flags})
		r, err := a.Punts()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for name, test := range map[string]struct {
			frame     []byte
			direction Direction
			want      bool
		}{
			"reply":           {bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(10))), Up, true},
			"request":         {bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(9))), Up, true},
			"in QinQ, padded": {append(bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(10)), bpftest.VLAN(0x88a8, 9), bpftest.VLAN(0x8100, 8)), make([]byte, 30)...), Up, true},
			"of the AC":       {bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(9))), Down, false},
			"with data":       {bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(10, []byte("secret")...))), Up, false},
			"data after it":   {append(bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(10))), make([]byte, 60)...), Up, false},
			"discard":         {bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, echo(11))), Up, false},
			"cut":             {bpftest.Ethernet(0x8864, bpftest.Session(pppLCP, []byte{10, 1, 0})), Up, false},
			"CHAP":            {bpftest.Ethernet(0x8864, bpftest.Session(0xc223, echo(10))), Up, false},
		} {
			totals, _ := run(t, a, test.direction, test.frame, 0, 0)
			r.ring.SetDeadline(time.Now().Add(-time.Second))
			got, err := r.Read()
			if want := test.want && flags == PuntPPPoE|PuntEcho; want != (err == nil) || want != (totals.Punted == 1) || want && !bytes.Equal(got.Frame, test.frame) {
				t.Errorf("flags %x: %s: Read = %v, punted %d, want %v", flags, name, err, totals.Punted, want)
			}
			if totals.NonIP.Packets != 1 {
				t.Errorf("%s: not accounted: %+v", name, totals)
			}
		}
	}
}
