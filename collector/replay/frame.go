package replay

import (
	"encoding/binary"
	"net/netip"
)

// Reasons for which a frame counts for nobody, as the kernel's classes.
const (
	reasonNonIP      = "non_ip"
	reasonParseError = "parse_error"
)

const (
	ethertypeIPv4          = 0x0800
	ethertypeIPv6          = 0x86dd
	ethertypeVLAN          = 0x8100
	ethertypeQinQ          = 0x88a8
	ethertypeQinQOld       = 0x9100
	ethertypeMPLS          = 0x8847
	ethertypeMPLSMulticast = 0x8848
	ethertypePPPoE         = 0x8863 // discovery
	ethertypePPPoESession  = 0x8864
	pppIPv4                = 0x0021
	pppIPv6                = 0x0057
	pppIPCP                = 0x8021
	pppIPv6CP              = 0x8057
	pppLCP                 = 0xc021
	protocolUDP            = 17

	maxTags   = 4 // the outer one, which the kernel may hold apart, and three in the data
	maxLabels = 6 // of MPLS
)

// frame is what the counting rules (bpf/parse.h) see in an Ethernet frame.
type frame struct {
	scope       uint32 // outer VLAN id << 16 | inner
	bytes       uint64 // L3 bytes
	source      netip.Addr
	destination netip.Addr
	udp         []byte // UDP header and what follows, if this is one and its start
	pppoe       bool   // PPPoE discovery, or PPP's own negotiation of addresses
}

// read parses a frame. length is what it was on the wire; data is as much of it
// as was captured. It returns a reason, or "" if it is an IP packet.
func (f *frame) read(data []byte, length int) string {
	*f = frame{}
	if len(data) < 14 {
		return reasonParseError
	}
	ethertype := binary.BigEndian.Uint16(data[12:])
	at := 14
	for tags := 0; ethertype == ethertypeVLAN || ethertype == ethertypeQinQ || ethertype == ethertypeQinQOld; tags++ {
		if len(data) < at+4 || tags == maxTags {
			return reasonParseError
		}
		vid := uint32(binary.BigEndian.Uint16(data[at:]) & 0xfff)
		switch tags {
		case 0:
			f.scope = vid << 16
		case 1:
			f.scope |= vid
		}
		ethertype = binary.BigEndian.Uint16(data[at+2:])
		at += 4
	}
	if ethertype == ethertypeMPLS || ethertype == ethertypeMPLSMulticast {
		var reason string
		if at, ethertype, reason = readLabels(data, at); reason != "" {
			return reason
		}
	}
	room := length - at // bytes that may belong to the packet
	if ethertype == ethertypePPPoESession {
		var reason string
		if at, room, ethertype, reason = readPPPoE(data, at, room); reason != "" {
			return reason
		}
	}
	f.pppoe = ethertype == ethertypePPPoE || ethertype == pppIPCP || ethertype == pppIPv6CP || ethertype == pppLCP
	switch ethertype {
	case ethertypeIPv4:
		return f.readIPv4(data[min(at, len(data)):], room)
	case ethertypeIPv6:
		return f.readIPv6(data[min(at, len(data)):], room)
	}
	return reasonNonIP
}

// readPPPoE reads RFC 2516 §4 and the PPP protocol number.
func readPPPoE(data []byte, at, room int) (int, int, uint16, string) {
	if len(data) < at+8 || binary.BigEndian.Uint16(data[at:]) != 0x1100 {
		return 0, 0, 0, reasonParseError
	}
	length := int(binary.BigEndian.Uint16(data[at+4:]))
	ppp, size := binary.BigEndian.Uint16(data[at+6:]), 2
	if ppp&0x0100 != 0 { // RFC 1661 §6.5: compressed to one byte
		ppp, size = ppp>>8, 1
	}
	if length < size || length > room-6 {
		return 0, 0, 0, reasonParseError
	}
	at, room = at+6+size, length-size
	switch ppp {
	case pppIPv4:
		return at, room, ethertypeIPv4, ""
	case pppIPv6:
		return at, room, ethertypeIPv6, ""
	case pppIPCP, pppIPv6CP, pppLCP:
		return at, room, ppp, "" // no ethertype has these values
	}
	return 0, 0, 0, reasonNonIP
}

// readLabels skips a stack of MPLS labels (RFC 3032 §2.1). What follows is told
// by its first four bits only (RFC 4928 §3).
func readLabels(data []byte, at int) (int, uint16, string) {
	bottom := false
	for range maxLabels {
		if bottom {
			break
		}
		if len(data) < at+4 {
			return 0, 0, reasonParseError
		}
		bottom = data[at+2]&1 != 0
		at += 4
	}
	if !bottom || len(data) < at+4 {
		return 0, 0, reasonParseError
	}
	switch data[at] >> 4 {
	case 4:
		return at, ethertypeIPv4, ""
	case 6:
		return at, ethertypeIPv6, ""
	}
	return 0, 0, reasonNonIP
}

func (f *frame) readIPv4(ip []byte, room int) string {
	if room < 20 || len(ip) < 20 {
		return reasonParseError
	}
	header := int(ip[0]&0x0f) * 4
	length := int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || header < 20 || room < header || length < header || length > room {
		return reasonParseError
	}
	f.bytes = uint64(length)
	f.source, _ = netip.AddrFromSlice(ip[12:16])
	f.destination, _ = netip.AddrFromSlice(ip[16:20])
	if binary.BigEndian.Uint16(ip[6:])&0x1fff == 0 && ip[9] == protocolUDP && len(ip) > header {
		f.udp = ip[header:min(length, len(ip))]
	}
	return ""
}

func (f *frame) readIPv6(ip []byte, room int) string {
	if room < 40 || len(ip) < 40 || ip[0]>>4 != 6 {
		return reasonParseError
	}
	payload := int(binary.BigEndian.Uint16(ip[4:]))
	// A jumbogram (RFC 2675) has no place on an access line.
	if payload > room-40 || payload == 0 && ip[6] == 0 {
		return reasonParseError
	}
	f.bytes = uint64(40 + payload)
	f.source, _ = netip.AddrFromSlice(ip[8:24])
	f.destination, _ = netip.AddrFromSlice(ip[24:40])
	if ip[6] == protocolUDP {
		f.udp = ip[40:min(40+payload, len(ip))]
	}
	return ""
}
