package lease

import (
	"encoding/binary"
	"net/netip"
)

// Reasons that [Message6.Parse] gives besides those of [Message.Parse].
const (
	ReasonNotIPv6    Reason = "not_ipv6"    // other ethertype, or a broken IPv6 header
	ReasonNotDHCPv6  Reason = "not_dhcpv6"  // not UDP to port 546 or 547, or an unknown message type
	ReasonRelayDepth Reason = "relay_depth" // relays within relays, too deep or mixed
	ReasonNoMessage  Reason = "no_message"  // a relay message without a client's or server's in it
	ReasonNotPPPoE   Reason = "not_pppoe"   // other ethertype or version
)

// Type6 is a DHCPv6 message type (RFC 8415 §7.3).
type Type6 uint8

// Message types.
const (
	Solicit6            Type6 = 1
	Advertise6          Type6 = 2
	Request6            Type6 = 3
	Confirm6            Type6 = 4
	Renew6              Type6 = 5
	Rebind6             Type6 = 6
	Reply6              Type6 = 7
	Release6            Type6 = 8
	Decline6            Type6 = 9
	Reconfigure6        Type6 = 10
	InformationRequest6 Type6 = 11
	RelayForward6       Type6 = 12
	RelayReply6         Type6 = 13
)

// fromServer says whether servers, or relays towards clients, send the type.
func (t Type6) fromServer() bool {
	return t == Advertise6 || t == Reply6 || t == Reconfigure6 || t == RelayReply6
}

// Limits on what one DHCPv6 message may hold; what goes beyond is counted.
const (
	maxRelays6 = 8 // RFC 8415 §7.6: HOP_COUNT_LIMIT
	minDUID    = 3
	maxDUID    = 130 // RFC 8415 §11.1: 128 octets besides the type
	maxLeases6 = 32
)

// Status codes (RFC 8415 §21.13) that matter here.
const statusSuccess = 0

// Lease6 is one address or prefix in an identity association.
type Lease6 struct {
	Prefix           netip.Prefix // an address is its own /128
	IAID             uint32
	T1Seconds        uint32
	T2Seconds        uint32
	PreferredSeconds uint32
	ValidSeconds     uint32 // 0: taken back
	// Delegated says that it came in an IA_PD.
	Delegated bool
	// Refused says that the server gave a status other than success for it or
	// for its identity association.
	Refused bool
}

// Message6 is a DHCPv6 message with what identifies a line and its leases, and
// nothing else. If relays forwarded it, it is the innermost message, and relay
// options are those of the relay next to the client. Byte slices point into the
// frame. A Message6 may be reused.
type Message6 struct {
	link
	PPPoESession uint16 // 0 if not within PPPoE
	IPSource     netip.Addr

	Relays      uint8      // relay messages around this one
	PeerAddress netip.Addr // the client, as its relay tells; invalid without relays
	LinkAddress netip.Addr // unspecified if the relay is a layer-2 one (RFC 6221)
	InterfaceID []byte     // option 18
	RemoteID    []byte     // option 37, enterprise number first
	Subscriber  []byte     // option 38
	RelayID     []byte     // option 53: a DUID
	ClientMAC   []byte     // option 79 without its hardware type, Ethernet only
	// RelaySourcePort says that some relay's port need not be 547 (option 135).
	RelaySourcePort bool

	Type        Type6
	XID         uint32 // 24 bits
	DUID        []byte // option 1
	Status      uint16 // option 13 of the message itself
	RapidCommit bool
	// BadOptions counts malformed or contradictory options; each was left out.
	BadOptions int
	// Missed counts leases beyond the 32 that are kept.
	Missed int

	leases [maxLeases6]Lease6
	count  int
}

// Leases returns the addresses and prefixes in the message's identity
// associations, until the next Parse.
func (m *Message6) Leases() []Lease6 { return m.leases[:m.count] }

func (m *Message6) reset() {
	// Field by field: leases are many bytes and need no clearing.
	m.link, m.PPPoESession, m.IPSource = link{}, 0, netip.Addr{}
	m.Relays = 0
	m.leaveRelay()
	m.RelaySourcePort = false
	m.PeerAddress, m.LinkAddress = netip.Addr{}, netip.Addr{}
	m.Type, m.XID, m.DUID, m.Status, m.RapidCommit = 0, 0, nil, 0, false
	m.BadOptions, m.Missed, m.count = 0, 0, 0
}

func (m *Message6) leaveRelay() {
	m.InterfaceID, m.RemoteID, m.Subscriber, m.RelayID, m.ClientMAC = nil, nil, nil, nil, nil
}

// Parse reads an Ethernet frame with up to two VLAN tags, or PPPoE within. UDP
// checksums are not verified: what an offloading card hands over has them
// unfinished. Unless it returns "", m is useless.
func (m *Message6) Parse(frame []byte) Reason {
	m.reset()
	var rest []byte
	var reason Reason
	if m.link, rest, reason = readLink(frame); reason != "" {
		return reason
	}
	switch m.EtherType {
	case ethertypeIPv6:
	case ethertypePPPoESession:
		code, session, payload, reason := readPPPoE(rest)
		if reason != "" {
			return reason
		}
		protocol, packet, reason := readPPP(payload)
		if reason != "" {
			return reason
		}
		if code != 0 || session == 0 || protocol != pppIPv6 {
			return ReasonNotIPv6
		}
		m.PPPoESession, rest = session, packet
	default:
		return ReasonNotIPv6
	}
	payload, toRelay, reason := m.parseIPv6(rest)
	if reason == "" {
		reason = m.parseDHCP(payload)
	}
	if reason == "" && toRelay && !(m.Type.fromServer() && m.RelaySourcePort) {
		reason = ReasonNotDHCPv6
	}
	return reason
}

// parseIPv6 checks IPv6 and UDP and returns the UDP payload, and whether it is to
// a port that only a relay with one of its own has (RFC 8357). DHCPv6 has no use
// for extension headers, so a packet with any is not taken for it.
func (m *Message6) parseIPv6(packet []byte) (payload []byte, toRelay bool, reason Reason) {
	const (
		header, udpHeader      = 40, 8
		udp, fragment          = 17, 44
		clientPort, serverPort = 546, 547
	)
	if len(packet) < header {
		return nil, false, ReasonTruncated
	}
	if packet[0]>>4 != 6 {
		return nil, false, ReasonNotIPv6
	}
	length := int(binary.BigEndian.Uint16(packet[4:]))
	switch {
	case packet[6] == fragment:
		return nil, false, ReasonFragment
	case packet[6] != udp:
		return nil, false, ReasonNotDHCPv6
	case length < udpHeader || length > len(packet)-header:
		return nil, false, ReasonTruncated
	}
	m.IPSource = netip.AddrFrom16([16]byte(packet[8:24]))
	datagram := packet[header : header+length]
	// The source port of a client or relay may be any (RFC 8357).
	from, to := binary.BigEndian.Uint16(datagram), binary.BigEndian.Uint16(datagram[2:])
	toRelay = to != clientPort && to != serverPort
	if toRelay && from != serverPort {
		return nil, false, ReasonNotDHCPv6
	}
	udpLength := int(binary.BigEndian.Uint16(datagram[4:]))
	if udpLength < udpHeader || udpLength > len(datagram) {
		return nil, false, ReasonTruncated
	}
	return datagram[udpHeader:udpLength], toRelay, ""
}

// parseDHCP goes through the relay messages to the innermost one. It does not
// recurse: depth is the sender's choice.
func (m *Message6) parseDHCP(d []byte) Reason {
	const relayHeader, header = 34, 4
	outer := Type6(0)
	for {
		if len(d) == 0 {
			return ReasonTruncated
		}
		kind := Type6(d[0])
		if kind != RelayForward6 && kind != RelayReply6 {
			break
		}
		if m.Relays == maxRelays6 || outer != 0 && kind != outer {
			return ReasonRelayDepth
		}
		if len(d) < relayHeader {
			return ReasonTruncated
		}
		outer = kind
		m.Relays++
		m.leaveRelay()
		m.LinkAddress = netip.AddrFrom16([16]byte(d[2:18]))
		m.PeerAddress = netip.AddrFrom16([16]byte(d[18:34]))
		if d = m.relayOptions(d[relayHeader:]); d == nil {
			return ReasonNoMessage
		}
	}
	m.Type = Type6(d[0])
	if m.Type == 0 || m.Type > InformationRequest6 {
		return ReasonNotDHCPv6
	}
	if outer != 0 && (outer == RelayReply6) != m.Type.fromServer() {
		return ReasonRelayDepth // a relay never forwards a server's message inwards
	}
	if len(d) < header {
		return ReasonTruncated
	}
	m.XID = uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3])
	m.options(d[header:])
	return ""
}
