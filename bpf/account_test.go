// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"griffier/bpf/bpftest"
)

// class is where a frame must be counted; exactly one of the fields is set.
type class int

const (
	attributed4 class = iota
	attributed6
	unattributed4
	unattributed6
	nonIP
	parseError
)

// want returns the totals of one frame that falls in c.
func (c class) want(count Count) DirectionTotals {
	t := DirectionTotals{Total: count, Frames: 1}
	*[]*Count{&t.Attributed4, &t.Attributed6, &t.Unattributed4, &t.Unattributed6, &t.NonIP, &t.ParseError}[c] = count
	return t
}

// encapsulation is a way of putting an IP packet in a frame, and by how many bytes the frame is longer.
type encapsulation struct {
	name string
	wrap func(version int, packet []byte) []byte
}

func ethertypeOf(version int) uint16 {
	if version == 4 {
		return 0x0800
	}
	return 0x86dd
}

func pppOf(version int) uint16 {
	if version == 4 {
		return 0x0021
	}
	return 0x0057
}

var encapsulations = []encapsulation{
	{"untagged", func(v int, p []byte) []byte { return bpftest.Ethernet(ethertypeOf(v), p) }},
	{"802.1Q", func(v int, p []byte) []byte { return bpftest.Ethernet(ethertypeOf(v), p, bpftest.VLAN(0x8100, 100)) }},
	{"802.1ad", func(v int, p []byte) []byte { return bpftest.Ethernet(ethertypeOf(v), p, bpftest.VLAN(0x88a8, 100)) }},
	{"QinQ 88a8", func(v int, p []byte) []byte {
		return bpftest.Ethernet(ethertypeOf(v), p, bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7))
	}},
	{"QinQ 9100", func(v int, p []byte) []byte {
		return bpftest.Ethernet(ethertypeOf(v), p, bpftest.VLAN(0x9100, 100), bpftest.VLAN(0x8100, 7))
	}},
	{"QinQ 8100", func(v int, p []byte) []byte {
		return bpftest.Ethernet(ethertypeOf(v), p, bpftest.VLAN(0x8100, 100), bpftest.VLAN(0x8100, 7))
	}},
	{"three tags", func(v int, p []byte) []byte {
		return bpftest.Ethernet(ethertypeOf(v), p, bpftest.VLAN(0x88a8, 1), bpftest.VLAN(0x8100, 2), bpftest.VLAN(0x8100, 3))
	}},
	{"PPPoE", func(v int, p []byte) []byte { return bpftest.Ethernet(0x8864, bpftest.Session(pppOf(v), p)) }},
	{"PPPoE compressed", func(v int, p []byte) []byte {
		return bpftest.Ethernet(0x8864, bpftest.CompressedSession(uint8(pppOf(v)), p))
	}},
	{"802.1Q PPPoE", func(v int, p []byte) []byte {
		return bpftest.Ethernet(0x8864, bpftest.Session(pppOf(v), p), bpftest.VLAN(0x8100, 100))
	}},
	{"QinQ PPPoE", func(v int, p []byte) []byte {
		return bpftest.Ethernet(0x8864, bpftest.Session(pppOf(v), p), bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7))
	}},
	{"QinQ PPPoE compressed", func(v int, p []byte) []byte {
		return bpftest.Ethernet(0x8864, bpftest.CompressedSession(uint8(pppOf(v)), p), bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7))
	}},
	{"MPLS", func(_ int, p []byte) []byte { return bpftest.Ethernet(0x8847, bpftest.Labels(p, 1048575)) }},
	{"MPLS upstream-assigned", func(_ int, p []byte) []byte { return bpftest.Ethernet(0x8848, bpftest.Labels(p, 16, 17)) }},
	{"MPLS of six labels", func(_ int, p []byte) []byte {
		return bpftest.Ethernet(0x8847, bpftest.Labels(p, 1, 2, 3, 0x800, 0x801, 0xfffff))
	}},
	{"QinQ MPLS", func(_ int, p []byte) []byte {
		return bpftest.Ethernet(0x8847, bpftest.Labels(p, 100, 3), bpftest.VLAN(0x88a8, 100), bpftest.VLAN(0x8100, 7))
	}},
}

// packetCase is an IP packet from src to dst, with the size of what each segment
// of an aggregate would repeat.
type packetCase struct {
	name    string
	version int
	make    func(src, dst netip.Addr) []byte
	headers int
}

var packets = []packetCase{
	{"v4 UDP", 4, func(s, d netip.Addr) []byte {
		return bpftest.IPv4(s, d, 17, 0, 0, bpftest.UDP(5000, 443, make([]byte, 600)))
	}, 28},
	{"v4 TCP", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 6, 0, 0x4000, bpftest.TCP(0, 600)) }, 40},
	{"v4 TCP options", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 6, 0, 0x4000, bpftest.TCP(12, 600)) }, 52},
	{"v4 IP options", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 6, 24, 0, bpftest.TCP(40, 600)) }, 104},
	{"v4 longest header", 4, func(s, d netip.Addr) []byte {
		return bpftest.IPv4(s, d, 17, 40, 0, bpftest.UDP(1, 2, make([]byte, 600)))
	}, 68},
	{"v4 SCTP", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 132, 0, 0, make([]byte, 612)) }, 32},
	{"v4 ICMP", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 1, 0, 0, make([]byte, 600)) }, 20},
	{"v4 ESP", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 50, 0, 0, make([]byte, 600)) }, 20},
	{"v4 GRE", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 47, 0, 0, make([]byte, 600)) }, 20},
	{"v4 first fragment", 4, func(s, d netip.Addr) []byte {
		return bpftest.IPv4(s, d, 17, 0, 0x2000, bpftest.UDP(1, 2, make([]byte, 600)))
	}, 28},
	{"v4 last fragment", 4, func(s, d netip.Addr) []byte { return bpftest.IPv4(s, d, 17, 0, 0x00b9, make([]byte, 600)) }, 20},
	{"v6 UDP", 6, func(s, d netip.Addr) []byte { return bpftest.IPv6(s, d, 17, bpftest.UDP(5000, 443, make([]byte, 600))) }, 48},
	{"v6 TCP", 6, func(s, d netip.Addr) []byte { return bpftest.IPv6(s, d, 6, bpftest.TCP(12, 600)) }, 72},
	{"v6 ICMP", 6, func(s, d netip.Addr) []byte { return bpftest.IPv6(s, d, 58, make([]byte, 600)) }, 40},
	{"v6 ESP", 6, func(s, d netip.Addr) []byte { return bpftest.IPv6(s, d, 50, make([]byte, 600)) }, 40},
	{"v6 GRE", 6, func(s, d netip.Addr) []byte { return bpftest.IPv6(s, d, 47, make([]byte, 600)) }, 40},
	{"v6 hop-by-hop", 6, func(s, d netip.Addr) []byte {
		return bpftest.IPv6(s, d, 0, bpftest.Extension(6, 16, bpftest.TCP(0, 600)))
	}, 76},
	{"v6 routing and destination", 6, func(s, d netip.Addr) []byte {
		return bpftest.IPv6(s, d, 43, bpftest.Extension(60, 24, bpftest.Extension(17, 8, bpftest.UDP(1, 2, make([]byte, 600)))))
	}, 80},
	{"v6 authentication", 6, func(s, d netip.Addr) []byte {
		return bpftest.IPv6(s, d, 51, bpftest.Authentication(6, 24, bpftest.TCP(0, 600)))
	}, 84},
	{"v6 fragment", 6, func(s, d netip.Addr) []byte {
		return bpftest.IPv6(s, d, 44, bpftest.Fragment6(17, bpftest.UDP(1, 2, make([]byte, 600))))
	}, 56},
	{"v6 later fragment", 6, func(s, d netip.Addr) []byte {
		return bpftest.IPv6(s, d, 44, bpftest.LaterFragment6(6, make([]byte, 600)))
	}, 48},
}

// TestEveryEncapsulation passes every packet in every encapsulation through both
// programs, whole and as aggregates.
func TestEveryEncapsulation(t *testing.T) {
	a := load(t, Options{})
	for _, enc := range encapsulations {
		for _, p := range packets {
			for _, dir := range []Direction{Up, Down} {
				src, dst, c := bpftest.Sub4, bpftest.Far4, attributed4
				if p.version == 6 {
					src, dst, c = bpftest.Sub6, bpftest.Far6, attributed6
				}
				if dir == Down {
					src, dst = dst, src
				}
				packet := p.make(src, dst)
				frame := enc.wrap(p.version, packet)
				payload := len(packet) - p.headers
				for _, g := range []struct {
					name       string
					segs, size uint32
					packets    int
				}{
					{"single", 0, 0, 1},
					{"one of one", 1, 0, 1},
					{"aggregate of 1", 1, uint32(payload), 1},
					{"aggregate of 2", 2, uint32(payload), 2},
					{"aggregate of 44", 44, 14, 44},
					{"unstated segments", 0, 100, (payload + 99) / 100},
					{"unstated, even", 0, uint32(payload / 2), (payload + payload/2 - 1) / (payload / 2)},
					{"unstated, by fragments", 0, 0xffff, 1},
				} {
					name := fmt.Sprintf("%s/%s/%s/%s", enc.name, p.name, dir, g.name)
					count := Count{uint64(len(packet) + (g.packets-1)*p.headers), uint64(g.packets)}
					totals, slots := run(t, a, dir, frame, g.segs, g.size)
					if want := c.want(count); totals != want {
						t.Errorf("%s: totals = %+v, want %+v", name, totals, want)
					}
					var want Counters
					*[]*Count{&want.Up4, &want.Down4, &want.Up6, &want.Down6}[2*(int(c)-int(attributed4))+int(dir)] = count
					if slots != want {
						t.Errorf("%s: slots = %+v, want %+v", name, slots, want)
					}
				}
			}
		}
	}
}

// TestFarSideIsNotCounted: an address that is a line's counts for it only where it is the line's end.
func TestFarSideIsNotCounted(t *testing.T) {
	a := load(t, Options{})
	up4 := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Far4, bpftest.Sub4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
	up6 := bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Far6, bpftest.Sub6, 17, bpftest.UDP(1, 2, make([]byte, 52))))
	down4 := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
	down6 := bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(1, 2, make([]byte, 52))))
	for _, tt := range []struct {
		name  string
		dir   Direction
		frame []byte
		want  class
	}{
		{"up to a line", Up, up4, unattributed4},
		{"up to a line v6", Up, up6, unattributed6},
		{"down from a line", Down, down4, unattributed4},
		{"down from a line v6", Down, down6, unattributed6},
	} {
		totals, slots := run(t, a, tt.dir, tt.frame, 0, 0)
		if want := tt.want.want(Count{100, 1}); totals != want {
			t.Errorf("%s: totals = %+v, want %+v", tt.name, totals, want)
		}
		if slots != (Counters{}) {
			t.Errorf("%s: slots = %+v, want none", tt.name, slots)
		}
	}
}

// TestHairpin: from one line to another is upload for the one and download for the other.
func TestHairpin(t *testing.T) {
	a := load(t, Options{})
	put(t, a, "100.64.0.99/32", 0, 3)
	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, netip.MustParseAddr("100.64.0.99"), 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
	run(t, a, Up, frame, 0, 0)
	run(t, a, Down, frame, 0, 0)
	for slot, want := range map[uint32]Counters{
		slotOf4: {Up4: Count{100, 1}},
		3:       {Down4: Count{100, 1}},
	} {
		if got, err := a.ReadSlot(slot); err != nil || got != want {
			t.Errorf("slot %d = %+v, %v, want %+v", slot, got, err, want)
		}
	}
}

func TestPaddingIsNotCounted(t *testing.T) {
	a := load(t, Options{})
	packet := bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, []byte{1}))
	for _, enc := range encapsulations {
		frame := append(enc.wrap(4, packet), make([]byte, 30)...)
		totals, _ := run(t, a, Up, frame, 0, 0)
		if want := attributed4.want(Count{29, 1}); totals != want {
			t.Errorf("%s: totals = %+v, want %+v", enc.name, totals, want)
		}
	}
}

// TestMalformed covers everything that is no IP packet, or a broken one.
func TestMalformed(t *testing.T) {
	a := load(t, Options{})
	v4 := func() []byte {
		return bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72)))
	}
	v6 := func() []byte {
		return bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(1, 2, make([]byte, 52)))
	}
	edit := func(b []byte, at int, v ...byte) []byte { copy(b[at:], v); return b }
	tests := []struct {
		name  string
		frame []byte
		want  class
		segs  uint32
		size  uint32
	}{
		{"ARP", bpftest.Ethernet(0x0806, make([]byte, 28)), nonIP, 0, 0},
		{"LLC length", bpftest.Ethernet(38, make([]byte, 38)), nonIP, 0, 0},
		{"MPLS of a pseudowire", bpftest.Ethernet(0x8847, bpftest.Labels(make([]byte, 60), 16)), nonIP, 0, 0},
		{"MPLS of seven labels", bpftest.Ethernet(0x8847, bpftest.Labels(v4(), 1, 2, 3, 4, 5, 6, 7)), parseError, 0, 0},
		{"MPLS cut in the labels", bpftest.Ethernet(0x8847, []byte{0, 1, 0, 64, 0, 2}), parseError, 0, 0},
		{"MPLS of nothing", bpftest.Ethernet(0x8847, bpftest.Labels(nil, 16)), parseError, 0, 0},
		{"MPLS of a cut packet", bpftest.Ethernet(0x8847, bpftest.Labels(v4()[:99], 16)), parseError, 0, 0},
		{"header only", bpftest.Ethernet(0x88cc, []byte{0}), nonIP, 0, 0},
		{"PPPoE discovery", bpftest.Ethernet(0x8863, make([]byte, 40)), nonIP, 0, 0},
		{"PPP LCP", bpftest.Ethernet(0x8864, bpftest.Session(0xc021, make([]byte, 40))), nonIP, 0, 0},
		{"PPP LCP in QinQ", bpftest.Ethernet(0x8864, bpftest.Session(0xc021, make([]byte, 40)), bpftest.VLAN(0x88a8, 1), bpftest.VLAN(0x8100, 2)), nonIP, 0, 0},
		{"four tags", bpftest.Ethernet(0x0800, v4(), bpftest.VLAN(0x88a8, 1), bpftest.VLAN(0x8100, 2), bpftest.VLAN(0x8100, 3), bpftest.VLAN(0x8100, 4)), parseError, 0, 0},
		{"tag cut short", bpftest.Ethernet(0x8100, []byte{0, 1, 8}), parseError, 0, 0},
		{"second tag cut short", bpftest.Ethernet(0x8100, []byte{0, 1}, bpftest.VLAN(0x88a8, 5)), parseError, 0, 0},
		{"PPPoE cut short", bpftest.Ethernet(0x8864, []byte{0x11, 0, 0, 1, 0, 50, 0}), parseError, 0, 0},
		{"PPPoE version 2", bpftest.Ethernet(0x8864, edit(bpftest.Session(0x21, v4()), 0, 0x21)), parseError, 0, 0},
		{"PPPoE code not a session's", bpftest.Ethernet(0x8864, edit(bpftest.Session(0x21, v4()), 1, 0x09)), parseError, 0, 0},
		{"PPPoE length beyond the frame", bpftest.Ethernet(0x8864, edit(bpftest.Session(0x21, v4()), 4, 0x7f, 0xff)), parseError, 0, 0},
		{"PPPoE length of nothing", bpftest.Ethernet(0x8864, edit(bpftest.Session(0x21, v4()), 4, 0, 1)), parseError, 0, 0},
		{"PPPoE shorter than the packet in it", bpftest.Ethernet(0x8864, edit(bpftest.Session(0x21, v4()), 4, 0, 50)), parseError, 0, 0},
		{"PPPoE shorter than the v6 packet in it", bpftest.Ethernet(0x8864, edit(bpftest.Session(0x57, v6()), 4, 0, 50)), parseError, 0, 0},
		{"v4 cut in the header", bpftest.Ethernet(0x0800, v4()[:19], bpftest.VLAN(0x8100, 5)), parseError, 0, 0},
		{"v4 cut in the options", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 40, 0, nil)[:40]), parseError, 0, 0},
		{"v4 cut in the payload", bpftest.Ethernet(0x0800, v4()[:99]), parseError, 0, 0},
		{"v4 version 6", bpftest.Ethernet(0x0800, edit(v4(), 0, 0x65)), parseError, 0, 0},
		{"v4 header of 16", bpftest.Ethernet(0x0800, edit(v4(), 0, 0x44)), parseError, 0, 0},
		{"v4 length below the header", bpftest.Ethernet(0x0800, edit(v4(), 2, 0, 19)), parseError, 0, 0},
		{"v4 length zero", bpftest.Ethernet(0x0800, edit(v4(), 2, 0, 0)), parseError, 0, 0},
		{"v4 length beyond the frame", bpftest.Ethernet(0x0800, edit(v4(), 2, 0, 101)), parseError, 0, 0},
		{"v6 cut in the header", bpftest.Ethernet(0x86dd, v6()[:39], bpftest.VLAN(0x8100, 5)), parseError, 0, 0},
		{"v6 cut in the payload", bpftest.Ethernet(0x86dd, v6()[:99]), parseError, 0, 0},
		{"v6 version 4", bpftest.Ethernet(0x86dd, edit(v6(), 0, 0x45)), parseError, 0, 0},
		{"v6 length beyond the frame", bpftest.Ethernet(0x86dd, edit(v6(), 4, 0xff, 0xff)), parseError, 0, 0},
		{"v6 jumbogram", bpftest.Ethernet(0x86dd, edit(bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 0, bpftest.Extension(17, 8, make([]byte, 52))), 4, 0, 0)), parseError, 0, 0},
		{"v6 packet as v4", bpftest.Ethernet(0x0800, v6()), parseError, 0, 0},
		{"aggregate without a TCP header", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, make([]byte, 12))), parseError, 2, 8},
		{"aggregate with TCP header of 16", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, edit(bpftest.TCP(0, 80), 12, 0x40))), parseError, 2, 40},
		{"aggregate shorter than its headers", bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, make([]byte, 4))), parseError, 2, 40},
		{"aggregate cut in an extension", bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 43, []byte{6, 9})), parseError, 2, 40},
		{"aggregate of endless extensions", bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 60, make9())), parseError, 2, 40},
	}
	for _, tt := range tests {
		for _, dir := range []Direction{Up, Down} {
			totals, slots := run(t, a, dir, tt.frame, tt.segs, tt.size)
			packets := uint64(max(tt.segs, 1))
			if want := tt.want.want(Count{uint64(len(tt.frame)), packets}); totals != want {
				t.Errorf("%s %s: totals = %+v, want %+v", tt.name, dir, totals, want)
			}
			if slots != (Counters{}) {
				t.Errorf("%s %s: slots = %+v, want none", tt.name, dir, slots)
			}
		}
	}
}

// make9 is nine destination option headers in a row, one more than are followed.
func make9() []byte {
	b := bpftest.TCP(0, 100)
	for i := range 9 {
		next := uint8(60)
		if i == 0 {
			next = 6
		}
		b = bpftest.Extension(next, 8, b)
	}
	return b
}

// TestBigTCP: the kernel marks IPv6 aggregates of more than 64 KiB with a jumbo
// option and a length of zero, and takes both away when it cuts the aggregate up.
// IPv4 ones have a length of zero only.
func TestBigTCP(t *testing.T) {
	a := load(t, Options{})
	p6 := bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 0, bpftest.Extension(6, 8, bpftest.TCP(12, 2000)))
	binary.BigEndian.PutUint16(p6[4:], 0)
	totals, _ := run(t, a, Up, bpftest.Ethernet(0x86dd, p6), 20, 100)
	if want := attributed6.want(Count{uint64(2000 + 20*72), 20}); totals != want {
		t.Errorf("v6: totals = %+v, want %+v", totals, want)
	}
	p4 := bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, bpftest.TCP(12, 2000))
	binary.BigEndian.PutUint16(p4[2:], 0)
	totals, _ = run(t, a, Up, bpftest.Ethernet(0x0800, p4), 20, 100)
	if want := attributed4.want(Count{uint64(2000 + 20*52), 20}); totals != want {
		t.Errorf("v4: totals = %+v, want %+v", totals, want)
	}
}

// TestLongestPrefixWins and lengths can be changed while traffic flows.
func TestLongestPrefixWins(t *testing.T) {
	a := load(t, Options{DelegatedLengths: []int{48, 56}})
	put(t, a, "2001:db8::/48", 0, 5)
	frame := bpftest.Ethernet(0x86dd, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 17, bpftest.UDP(1, 2, make([]byte, 52))))
	counted := func(slot uint32) uint64 {
		c, err := a.ReadSlot(slot)
		if err != nil {
			t.Fatal(err)
		}
		return c.Up6.Packets
	}
	run(t, a, Up, frame, 0, 0)
	if counted(slotOf6) != 1 || counted(5) != 0 {
		t.Errorf("/56 = %d, /48 = %d, want 1, 0", counted(slotOf6), counted(5))
	}
	put(t, a, "2001:db8:0:1234::17/128", 0, 6)
	if err := a.SetDelegatedLengths([]int{48, 128, 56}); err != nil {
		t.Fatal(err)
	}
	run(t, a, Up, frame, 0, 0)
	if counted(6) != 1 || counted(slotOf6) != 1 {
		t.Errorf("/128 = %d, /56 = %d, want 1, 1", counted(6), counted(slotOf6))
	}
	if err := a.SetDelegatedLengths([]int{48}); err != nil {
		t.Fatal(err)
	}
	run(t, a, Up, frame, 0, 0)
	if counted(5) != 1 {
		t.Errorf("/48 = %d, want 1", counted(5))
	}
	for _, bad := range [][]int{{0}, {129}, {-1}, {1, 2, 3, 4, 5, 6, 7, 8, 9}} {
		if err := a.SetDelegatedLengths(bad); err == nil {
			t.Errorf("SetDelegatedLengths(%v) = nil, want ErrLengths", bad)
		}
	}
}
