// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"encoding/binary"
	"net/netip"
)

// The frames of the tests are written out here byte by byte, by another hand than
// the parser in C, so that the two cannot share a mistake in a library.

var (
	sub4 = netip.MustParseAddr("100.64.0.12")
	far4 = netip.MustParseAddr("203.0.113.9")
	sub6 = netip.MustParseAddr("2001:db8:0:1234::17")
	far6 = netip.MustParseAddr("2001:db8:ffff::9")
)

type tag struct {
	proto uint16
	vid   uint16
}

// ethernet puts a header with tags before body.
func ethernet(ethertype uint16, body []byte, tags ...tag) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, t := range tags {
		b = binary.BigEndian.AppendUint16(b, t.proto)
		b = binary.BigEndian.AppendUint16(b, 0x6000|t.vid) // a priority too, to be ignored
	}
	b = binary.BigEndian.AppendUint16(b, ethertype)
	return append(b, body...)
}

// session puts a PPPoE header and a PPP protocol before body.
func session(protocol uint16, body []byte) []byte {
	b := []byte{0x11, 0x00, 0x00, 0x01}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)+2))
	b = binary.BigEndian.AppendUint16(b, protocol)
	return append(b, body...)
}

// compressedSession is session with the PPP protocol in one byte (RFC 1661 §6.5).
func compressedSession(protocol uint8, body []byte) []byte {
	b := []byte{0x11, 0x00, 0x00, 0x01}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)+1))
	b = append(b, protocol)
	return append(b, body...)
}

// ipv4 makes a packet; options is the number of option bytes, fragment the flags and offset field.
func ipv4(src, dst netip.Addr, protocol uint8, options int, fragment uint16, payload []byte) []byte {
	b := make([]byte, 20+options)
	b[0] = 0x40 | uint8((20+options)/4)
	binary.BigEndian.PutUint16(b[2:], uint16(20+options+len(payload)))
	binary.BigEndian.PutUint16(b[6:], fragment)
	b[8], b[9] = 64, protocol
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	for i := 20; i < len(b); i++ {
		b[i] = 1 // no operation
	}
	return append(b, payload...)
}

func ipv6(src, dst netip.Addr, next uint8, payload []byte) []byte {
	b := make([]byte, 40)
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[6], b[7] = next, 64
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, payload...)
}

// extension is an IPv6 extension header of size bytes (a multiple of 8) before body.
func extension(next uint8, size int, body []byte) []byte {
	b := make([]byte, size)
	b[0], b[1] = next, uint8(size/8-1)
	return append(b, body...)
}

// authentication is an AH of size bytes (a multiple of 4): its length counts otherwise.
func authentication(next uint8, size int, body []byte) []byte {
	b := make([]byte, size)
	b[0], b[1] = next, uint8(size/4-2)
	return append(b, body...)
}

// fragment6 is an IPv6 fragment header; its second byte is reserved, not a length.
func fragment6(next uint8, body []byte) []byte {
	return append([]byte{next, 0xff, 0, 1, 0, 0, 0, 7}, body...)
}

func tcp(options, payload int) []byte {
	b := make([]byte, 20+options+payload)
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], 443)
	b[12] = uint8((20+options)/4) << 4
	return b
}

func udp(src, dst uint16, payload []byte) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b[0:], src)
	binary.BigEndian.PutUint16(b[2:], dst)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

// dhcp4 is a BOOTP header with a DHCP cookie and padding to size bytes.
func dhcp4(op uint8, size int) []byte {
	b := make([]byte, size)
	b[0] = op
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	return b
}
