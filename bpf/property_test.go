// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"griffier/bpf/bpftest"
)

// TestAnyStackIsExact builds random frames of which the truth is known from how
// they were built: tags, PPPoE, options, extensions, padding, aggregates.
func TestAnyStackIsExact(t *testing.T) {
	a := load(t, Options{})
	rapid.Check(t, func(rt *rapid.T) {
		dir := Direction(rapid.IntRange(0, 1).Draw(rt, "direction"))
		known := rapid.Bool().Draw(rt, "known")
		version := rapid.SampledFrom([]int{4, 6}).Draw(rt, "version")
		size := rapid.IntRange(1, 1200).Draw(rt, "payload")
		enc := rapid.SampledFrom(encapsulations).Draw(rt, "encapsulation")
		l4, l4size := bpftest.TCP(0, size), 20
		protocol := uint8(6)
		if rapid.Bool().Draw(rt, "udp") {
			l4, l4size, protocol = bpftest.UDP(9, 9, make([]byte, size)), 8, 17
		} else if n := 4 * rapid.IntRange(0, 10).Draw(rt, "TCP options"); n > 0 {
			l4, l4size = bpftest.TCP(n, size), 20+n
		}
		line, far, c := bpftest.Sub4, bpftest.Far4, attributed4
		if version == 6 {
			line, far, c = bpftest.Sub6, bpftest.Far6, attributed6
		}
		if !known {
			line, c = netip.MustParseAddr("100.64.77.1"), unattributed4
			if version == 6 {
				line, c = netip.MustParseAddr("2001:db8:77::1"), unattributed6
			}
		}
		if dir == Down {
			line, far = far, line
		}
		var packet []byte
		headers := 0
		if version == 4 {
			options := 4 * rapid.IntRange(0, 10).Draw(rt, "IP options")
			packet, headers = bpftest.IPv4(line, far, protocol, options, 0x4000, l4), 20+options+l4size
		} else {
			body, next := l4, protocol
			extensions := 0
			for range rapid.IntRange(0, 7).Draw(rt, "extensions") {
				n := 8 * rapid.IntRange(1, 6).Draw(rt, "extension size")
				body, next = bpftest.Extension(next, n, body), 60
				extensions += n
			}
			packet, headers = bpftest.IPv6(line, far, next, body), 40+extensions+l4size
		}
		frame := enc.wrap(version, packet)
		segs, gso := uint32(0), uint32(0)
		n := 1
		if rapid.Bool().Draw(rt, "aggregate") {
			gso = uint32(rapid.IntRange(1, size).Draw(rt, "segment size"))
			n = (size + int(gso) - 1) / int(gso)
			if rapid.Bool().Draw(rt, "segments stated") {
				segs = uint32(n)
			}
		} else {
			frame = append(frame, make([]byte, rapid.IntRange(0, 46).Draw(rt, "padding"))...)
		}
		totals, _ := run(t, a, dir, frame, segs, gso)
		if want := c.want(Count{uint64(len(packet) + (n-1)*headers), uint64(n)}); totals != want {
			rt.Errorf("totals = %+v, want %+v", totals, want)
		}
	})
}

// TestAnyBytesBalance: whatever a frame holds, it falls into exactly one class and
// never counts for more than it carries.
func TestAnyBytesBalance(t *testing.T) {
	a := load(t, Options{})
	base := [][]byte{
		bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 8, 0, bpftest.UDP(68, 67, bpftest.DHCP4(1, 300))), bpftest.VLAN(0x88a8, 1), bpftest.VLAN(0x8100, 2)),
		bpftest.Ethernet(0x8864, bpftest.Session(0x57, bpftest.IPv6(bpftest.Sub6, bpftest.Far6, 0, bpftest.Extension(6, 8, bpftest.TCP(12, 200)))), bpftest.VLAN(0x8100, 2)),
		bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 6, 0, 0, bpftest.TCP(0, 100))),
	}
	rapid.Check(t, func(rt *rapid.T) {
		frame := append([]byte(nil), rapid.SampledFrom(base).Draw(rt, "base")...)
		for range rapid.IntRange(0, 6).Draw(rt, "edits") {
			frame[rapid.IntRange(12, len(frame)-1).Draw(rt, "at")] = rapid.Byte().Draw(rt, "byte")
		}
		// The kernel runs no program on fewer bytes than the header its first ethertype promises.
		frame = frame[:rapid.IntRange(14+40, len(frame)).Draw(rt, "length")]
		segs := uint32(rapid.SampledFrom([]int{0, 0, 1, 2, 40}).Draw(rt, "segments"))
		size := uint32(rapid.SampledFrom([]int{0, 0, 1, 100, 0xffff}).Draw(rt, "segment size"))
		totals, slots := run(t, a, Up, frame, segs, size) // run checks the equation
		classes := 0
		for _, c := range []Count{totals.Attributed4, totals.Attributed6, totals.Unattributed4,
			totals.Unattributed6, totals.NonIP, totals.ParseError} {
			if c.Packets > 0 {
				classes++
			}
		}
		if classes != 1 {
			rt.Errorf("counted in %d classes: %+v", classes, totals)
		}
		if got, want := slots.Up4.Plus(slots.Up6), totals.Attributed4.Plus(totals.Attributed6); got != want {
			rt.Errorf("slots got %+v, totals say %+v", got, want)
		}
		if size == 0 && totals.Total.Bytes > uint64(len(frame)) {
			rt.Errorf("counted %d bytes of %d", totals.Total.Bytes, len(frame))
		}
	})
}
