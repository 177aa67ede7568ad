package lease

import (
	"encoding/binary"
	"net/netip"
)

// ReasonPPP means a PPP frame that is none of those that are followed.
const ReasonPPP Reason = "ppp"

// PPPoECode is the code of a discovery frame (RFC 2516 §5).
type PPPoECode uint8

// Discovery codes.
const (
	PADI PPPoECode = 0x09
	PADO PPPoECode = 0x07
	PADR PPPoECode = 0x19
	PADS PPPoECode = 0x65
	PADT PPPoECode = 0xa7
)

// PPP control codes (RFC 1661 §5).
const (
	configureRequest = 1
	configureAck     = 2
	terminateRequest = 5
	terminateAck     = 6
)

// MessagePPP is a PPPoE discovery frame, or a PPP frame that opens or closes a
// network layer or ends the link. It never holds what authenticates a
// subscriber: PAP and CHAP are not read, and the kernel does not copy them. There is
// no option for the name in a CHAP Response either: it would take the frame with the
// response to user space, and RADIUS tells the name without. Byte slices point into the frame. A
// MessagePPP may be reused.
type MessagePPP struct {
	link
	Session uint16

	// Of a discovery frame; Code is 0 in a session frame.
	Code      PPPoECode
	HostUniq  []byte
	CircuitID []byte // TR-101 tag: Agent-Circuit-Id
	RemoteID  []byte // TR-101 tag: Agent-Remote-Id
	Refused   bool   // an error tag
	// BadTags says that tags run past the frame; those before are kept.
	BadTags bool

	// Of a session frame.
	Protocol    uint16 // IPCP, IPV6CP or LCP
	Control     uint8  // Configure-Ack and so on
	ID          uint8
	Address     netip.Addr // IPCP option 3 (RFC 1332 §3.3), invalid if absent
	InterfaceID [8]byte    // IPV6CP option 1 (RFC 5072 §4.1)
}

func (m *MessagePPP) terminates() bool {
	return m.Control == terminateRequest || m.Control == terminateAck
}

// Parse reads an Ethernet frame with up to two VLAN tags. Unless it returns "",
// m is useless.
func (m *MessagePPP) Parse(frame []byte) Reason {
	*m = MessagePPP{}
	var rest []byte
	var reason Reason
	if m.link, rest, reason = readLink(frame); reason != "" {
		return reason
	}
	if m.EtherType != ethertypePPPoEDiscovery && m.EtherType != ethertypePPPoESession {
		return ReasonNotPPPoE
	}
	code, session, payload, reason := readPPPoE(rest)
	if reason != "" {
		return reason
	}
	m.Session = session
	if m.EtherType == ethertypePPPoEDiscovery {
		m.Code = PPPoECode(code)
		return m.discovery(payload)
	}
	if code != 0 || session == 0 {
		return ReasonNotPPPoE
	}
	protocol, packet, reason := readPPP(payload)
	if reason != "" {
		return reason
	}
	m.Protocol = protocol
	if protocol != pppIPCP && protocol != pppIPV6CP && protocol != pppLCP {
		return ReasonPPP
	}
	return m.control(packet)
}

func (m *MessagePPP) discovery(d []byte) Reason {
	const (
		tagEnd            = 0x0000
		tagHostUniq       = 0x0103
		tagVendor         = 0x0105
		tagServiceError   = 0x0201
		tagACSystemError  = 0x0202
		tagGenericError   = 0x0203
		vendorADSLForum   = 3561
		subTagCircuit     = 1
		subTagRemote      = 2
		vendorHeaderBytes = 4
	)
	switch m.Code {
	case PADI, PADO, PADR, PADS, PADT:
	default:
		return ReasonOperation
	}
	for len(d) > 0 {
		if len(d) < 4 || int(binary.BigEndian.Uint16(d[2:])) > len(d)-4 {
			m.BadTags = true
			return ""
		}
		tag, length := binary.BigEndian.Uint16(d), int(binary.BigEndian.Uint16(d[2:]))
		value := d[4 : 4+length]
		d = d[4+length:]
		switch tag {
		case tagEnd:
			return ""
		case tagHostUniq:
			m.HostUniq = value
		case tagServiceError, tagACSystemError, tagGenericError:
			m.Refused = true
		case tagVendor:
			if len(value) < vendorHeaderBytes || binary.BigEndian.Uint32(value) != vendorADSLForum {
				continue
			}
			for sub := value[vendorHeaderBytes:]; len(sub) > 0; sub = sub[2+int(sub[1]):] {
				if len(sub) < 2 || int(sub[1]) > len(sub)-2 {
					m.BadTags = true
					break
				}
				switch text := sub[2 : 2+int(sub[1])]; sub[0] {
				case subTagCircuit:
					m.CircuitID = text
				case subTagRemote:
					m.RemoteID = text
				}
			}
		}
	}
	return ""
}

// control reads an IPCP, IPV6CP or LCP packet (RFC 1661 §5).
func (m *MessagePPP) control(d []byte) Reason {
	const (
		header            = 4
		optionAddress     = 3
		optionInterfaceID = 1
	)
	if len(d) < header {
		return ReasonTruncated
	}
	length := int(binary.BigEndian.Uint16(d[2:]))
	if length < header || length > len(d) {
		return ReasonTruncated
	}
	m.Control, m.ID = d[0], d[1]
	if m.Control != configureRequest && m.Control != configureAck || m.Protocol == pppLCP {
		return ""
	}
	for d = d[header:length]; len(d) > 0; d = d[d[1]:] {
		if len(d) < 2 || d[1] < 2 || int(d[1]) > len(d) {
			return ReasonOptions
		}
		switch value := d[2:d[1]]; {
		case m.Protocol == pppIPCP && d[0] == optionAddress:
			if len(value) != 4 {
				return ReasonOption
			}
			m.Address = netip.AddrFrom4([4]byte(value))
		case m.Protocol == pppIPV6CP && d[0] == optionInterfaceID:
			if len(value) != 8 {
				return ReasonOption
			}
			m.InterfaceID = [8]byte(value)
		}
	}
	return ""
}
