package lease

import "encoding/binary"

// link is an Ethernet header with up to two VLAN tags.
type link struct {
	Destination, Source  [6]byte
	OuterVLAN, InnerVLAN uint16 // 0 if there is no such tag
	EtherType            uint16
}

const (
	ethertypeIPv6           = 0x86dd
	ethertypePPPoEDiscovery = 0x8863
	ethertypePPPoESession   = 0x8864
)

// readLink reads the header and returns what follows it.
func readLink(frame []byte) (l link, rest []byte, reason Reason) {
	const ethernetHeader = 14
	if len(frame) < ethernetHeader {
		return l, nil, ReasonEthernet
	}
	l.Destination, l.Source = [6]byte(frame), [6]byte(frame[6:])
	l.EtherType = binary.BigEndian.Uint16(frame[12:])
	rest = frame[ethernetHeader:]
	for tags := 0; l.EtherType == vlan8021Q || l.EtherType == vlan8021AD || l.EtherType == vlanQinQ; tags++ {
		if len(rest) < 4 {
			return l, nil, ReasonEthernet
		}
		vid := binary.BigEndian.Uint16(rest) & 0x0fff
		switch tags {
		case 0:
			l.OuterVLAN = vid
		case 1:
			l.InnerVLAN = vid
		default:
			return l, nil, ReasonVLANs
		}
		l.EtherType = binary.BigEndian.Uint16(rest[2:])
		rest = rest[4:]
	}
	return l, rest, ""
}

// readPPPoE reads the header that discovery and session frames share (RFC 2516
// §4). Octets after the length it tells are Ethernet padding.
func readPPPoE(rest []byte) (code uint8, session uint16, payload []byte, reason Reason) {
	const header, versionAndType = 6, 0x11
	if len(rest) < header {
		return 0, 0, nil, ReasonTruncated
	}
	if rest[0] != versionAndType {
		return 0, 0, nil, ReasonNotPPPoE
	}
	length := int(binary.BigEndian.Uint16(rest[4:]))
	if length > len(rest)-header {
		return 0, 0, nil, ReasonTruncated
	}
	return rest[1], binary.BigEndian.Uint16(rest[2:]), rest[header : header+length], ""
}

// PPP protocol numbers (RFC 1661, 1332, 5072).
const (
	pppIPv6   = 0x0057
	pppIPCP   = 0x8021
	pppIPV6CP = 0x8057
	pppLCP    = 0xc021
)

// readPPP reads the protocol number, which is one octet if the peers agreed to
// compress it (RFC 1661 §6.5).
func readPPP(payload []byte) (protocol uint16, rest []byte, reason Reason) {
	switch {
	case len(payload) >= 1 && payload[0]&1 == 1:
		return uint16(payload[0]), payload[1:], ""
	case len(payload) >= 2:
		return binary.BigEndian.Uint16(payload), payload[2:], ""
	}
	return 0, nil, ReasonTruncated
}
