// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

// Package bpftest has what tests and measurements of the kernel side share: frames
// written out byte by byte, and wires between network namespaces of their own.
package bpftest

import (
	"encoding/binary"
	"net/netip"
)

// The two lines and far ends that frames go between.
var (
	Sub4 = netip.MustParseAddr("100.64.0.12")
	Far4 = netip.MustParseAddr("203.0.113.9")
	Sub6 = netip.MustParseAddr("2001:db8:0:1234::17")
	Far6 = netip.MustParseAddr("2001:db8:ffff::9")
)

// Tag is a VLAN tag.
type Tag struct {
	Proto uint16
	VID   uint16
}

// VLAN returns a tag with this EtherType and id.
func VLAN(proto, vid uint16) Tag { return Tag{Proto: proto, VID: vid} }

// Ethernet puts a header with tags before body.
func Ethernet(ethertype uint16, body []byte, tags ...Tag) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	for _, t := range tags {
		b = binary.BigEndian.AppendUint16(b, t.Proto)
		b = binary.BigEndian.AppendUint16(b, 0x6000|t.VID) // a priority too, to be ignored
	}
	b = binary.BigEndian.AppendUint16(b, ethertype)
	return append(b, body...)
}

// Session puts a PPPoE header and a PPP protocol before body.
func Session(protocol uint16, body []byte) []byte {
	b := []byte{0x11, 0x00, 0x00, 0x01}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)+2))
	b = binary.BigEndian.AppendUint16(b, protocol)
	return append(b, body...)
}

// CompressedSession is Session with the PPP protocol in one byte (RFC 1661 §6.5).
func CompressedSession(protocol uint8, body []byte) []byte {
	b := []byte{0x11, 0x00, 0x00, 0x01}
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)+1))
	b = append(b, protocol)
	return append(b, body...)
}

// IPv4 makes a packet; options is the number of option bytes, fragment the flags and offset field.
func IPv4(src, dst netip.Addr, protocol uint8, options int, fragment uint16, payload []byte) []byte {
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

// IPv6 makes a packet of which payload may begin with extension headers.
func IPv6(src, dst netip.Addr, next uint8, payload []byte) []byte {
	b := make([]byte, 40)
	b[0] = 0x60
	binary.BigEndian.PutUint16(b[4:], uint16(len(payload)))
	b[6], b[7] = next, 64
	copy(b[8:], src.AsSlice())
	copy(b[24:], dst.AsSlice())
	return append(b, payload...)
}

// Extension is an IPv6 extension header of size bytes (a multiple of 8) before body.
func Extension(next uint8, size int, body []byte) []byte {
	b := make([]byte, size)
	b[0], b[1] = next, uint8(size/8-1)
	return append(b, body...)
}

// Authentication is an AH of size bytes (a multiple of 4): its length counts otherwise.
func Authentication(next uint8, size int, body []byte) []byte {
	b := make([]byte, size)
	b[0], b[1] = next, uint8(size/4-2)
	return append(b, body...)
}

// Labels puts MPLS labels before body, the last of them marked as the bottom.
func Labels(body []byte, labels ...uint32) []byte {
	var b []byte
	for i, label := range labels {
		entry := label<<12 | 64
		if i == len(labels)-1 {
			entry |= 1 << 8
		}
		b = binary.BigEndian.AppendUint32(b, entry)
	}
	return append(b, body...)
}

// LaterFragment6 is an IPv6 fragment header of a fragment that is not the first.
func LaterFragment6(next uint8, body []byte) []byte {
	return append([]byte{next, 0xff, 0x05, 0xa8, 0, 0, 0, 7}, body...)
}

// Fragment6 is an IPv6 fragment header; its second byte is reserved, not a length.
func Fragment6(next uint8, body []byte) []byte {
	return append([]byte{next, 0xff, 0, 1, 0, 0, 0, 7}, body...)
}

// TCP makes a segment with that many bytes of options and of payload.
func TCP(options, payload int) []byte {
	b := make([]byte, 20+options+payload)
	binary.BigEndian.PutUint16(b[0:], 40000)
	binary.BigEndian.PutUint16(b[2:], 443)
	b[12] = uint8((20+options)/4) << 4
	return b
}

// UDP makes a datagram.
func UDP(src, dst uint16, payload []byte) []byte {
	b := make([]byte, 8)
	binary.BigEndian.PutUint16(b[0:], src)
	binary.BigEndian.PutUint16(b[2:], dst)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return append(b, payload...)
}

// DHCP4 is a BOOTP header with a DHCP cookie and padding to size bytes.
func DHCP4(op uint8, size int) []byte {
	b := make([]byte, size)
	b[0] = op
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	return b
}
