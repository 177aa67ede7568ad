package lease

import (
	"encoding/binary"
	"net/netip"
)

// Reason says why a frame was not used. Its values are metric labels; empty
// means that it was.
type Reason string

// Reasons that [Message.Parse] gives.
const (
	ReasonEthernet  Reason = "ethernet"   // too short for its headers
	ReasonVLANs     Reason = "vlans"      // more than two VLAN tags
	ReasonNotIPv4   Reason = "not_ipv4"   // other ethertype, or a broken IPv4 header
	ReasonFragment  Reason = "fragment"   // IPv4 fragment
	ReasonNotDHCP   Reason = "not_dhcp"   // not UDP between ports 67 and 68, or no magic cookie
	ReasonTruncated Reason = "truncated"  // cut by the capture or shorter than its headers say
	ReasonHardware  Reason = "hardware"   // hlen over 16
	ReasonOperation Reason = "operation"  // op is neither request nor reply
	ReasonOptions   Reason = "options"    // an option runs past its field
	ReasonOption    Reason = "option"     // an option used here has the wrong length
	ReasonLong      Reason = "long_value" // repeated option longer than is kept
)

// Type is a DHCP message type (option 53).
type Type uint8

// Message types (RFC 2132 §9.6).
const (
	BOOTP    Type = 0 // no option 53: plain BOOTP (RFC 951), with the magic cookie of RFC 1497
	Discover Type = 1
	Offer    Type = 2
	Request  Type = 3
	Decline  Type = 4
	ACK      Type = 5
	NAK      Type = 6
	Release  Type = 7
	Inform   Type = 8
)

// Limits on options that may be repeated (RFC 3396).
const (
	maxClientID = 255
	maxRelay    = 512
)

// Message is a DHCPv4 message with what identifies a line and its lease, and
// nothing else: names, vendor classes and parameter lists are skipped. A Message
// may be reused, and holds no reference to the frame it was parsed from.
type Message struct {
	OuterVLAN, InnerVLAN uint16 // 0 if there is no such tag
	Source               netip.Addr

	Reply         bool // BOOTREPLY
	Type          Type
	XID           uint32
	HType, HLen   uint8
	CHAddr        [16]byte
	ClientAddress netip.Addr // ciaddr
	YourAddress   netip.Addr // yiaddr
	Relay         netip.Addr // giaddr

	RequestedAddress netip.Addr // option 50, invalid if absent
	ServerID         netip.Addr // option 54, invalid if absent
	LeaseSeconds     uint32     // option 51
	HasLease         bool
	RenewalSeconds   uint32     // option 58 (T1), 0 if absent
	RebindingSeconds uint32     // option 59 (T2), 0 if absent
	RapidCommit      bool       // option 80 (RFC 4039)
	Subnet           netip.Addr // sub-option 5, else option 118: where the address is to be from, not where the relay is; invalid if absent
	RelaySourcePort  bool       // sub-option 19: the relay's port need not be 67
	VSSControl       bool       // sub-option 152: in a reply, that the server did not heed the VPN
	// BadRelayInfo says that option 82 was malformed; sub-options before the
	// fault are kept.
	BadRelayInfo bool

	clientID       [maxClientID]byte
	clientIDLength int
	relay          [maxRelay]byte
	relayLength    int
	longRelay      bool
	cutRelay       bool // option 82 runs past its end or was too long: what was last in it may be half of itself

	circuit, remote, subscriber, relayID, vss span // within relay
}

// ClientID is option 61, empty if absent. It is valid until the next Parse.
func (m *Message) ClientID() []byte { return m.clientID[:m.clientIDLength] }

// CircuitID is sub-option 1 of option 82 (RFC 3046 §3.1), empty if absent. It is
// valid until the next Parse.
func (m *Message) CircuitID() []byte { return m.relayValue(m.circuit) }

// RemoteID is sub-option 2 of option 82 (RFC 3046 §3.2), empty if absent. It is
// valid until the next Parse.
func (m *Message) RemoteID() []byte { return m.relayValue(m.remote) }

// SubscriberID is sub-option 6 of option 82 (RFC 3993), empty if absent. It is
// valid until the next Parse.
func (m *Message) SubscriberID() []byte { return m.relayValue(m.subscriber) }

// RelayID is sub-option 12 of option 82 (RFC 6925): one relay, whichever of its
// interfaces a message came by. It is empty if absent, and valid until the next
// Parse.
func (m *Message) RelayID() []byte { return m.relayValue(m.relayID) }

// VPN is sub-option 151 of option 82 (RFC 6607), type and name of the VPN whose
// addresses these are; empty for the global one. It is valid until the next Parse.
func (m *Message) VPN() []byte {
	if v := m.relayValue(m.vss); len(v) > 0 && v[0] != vssGlobal {
		return v
	}
	return nil
}

// HardwareAddress is chaddr cut to hlen. It is valid until the next Parse.
func (m *Message) HardwareAddress() []byte { return m.CHAddr[:m.HLen] }

const (
	ethertypeIPv4 = 0x0800
	vlan8021Q     = 0x8100
	vlan8021AD    = 0x88a8
	vlanQinQ      = 0x9100 // before 802.1ad

	serverPort = 67
	clientPort = 68
)

// Parse reads an Ethernet frame with up to two VLAN tags. UDP checksums are not
// verified: what a veth or an offloading card hands over has them unfinished.
// Octets after the IPv4 packet are padding. Unless it returns "", m is useless.
func (m *Message) Parse(frame []byte) Reason {
	*m = Message{}
	const ethernetHeader = 14
	if len(frame) < ethernetHeader {
		return ReasonEthernet
	}
	ethertype := binary.BigEndian.Uint16(frame[12:])
	rest := frame[ethernetHeader:]
	for tags := 0; ethertype == vlan8021Q || ethertype == vlan8021AD || ethertype == vlanQinQ; tags++ {
		if len(rest) < 4 {
			return ReasonEthernet
		}
		vid := binary.BigEndian.Uint16(rest) & 0x0fff
		switch tags {
		case 0:
			m.OuterVLAN = vid
		case 1:
			m.InnerVLAN = vid
		default:
			return ReasonVLANs
		}
		ethertype = binary.BigEndian.Uint16(rest[2:])
		rest = rest[4:]
	}
	if ethertype != ethertypeIPv4 {
		return ReasonNotIPv4
	}
	payload, toRelay, reason := m.parseIPv4(rest)
	if reason == "" {
		reason = m.parseDHCP(payload)
	}
	if reason == "" && toRelay && !(m.Reply && m.RelaySourcePort) {
		reason = ReasonNotDHCP
	}
	return reason
}

// parseIPv4 checks IPv4 and UDP and returns the UDP payload, and whether it is to
// a port that only a relay with one of its own has (RFC 8357).
func (m *Message) parseIPv4(packet []byte) (payload []byte, toRelay bool, reason Reason) {
	const (
		minHeader = 20
		udpHeader = 8
		udp       = 17
	)
	if len(packet) < minHeader {
		return nil, false, ReasonTruncated
	}
	header := int(packet[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if packet[0]>>4 != 4 || header < minHeader || total < header {
		return nil, false, ReasonNotIPv4
	}
	if packet[9] != udp {
		return nil, false, ReasonNotDHCP
	}
	const moreFragments, offsetMask = 0x2000, 0x1fff
	if binary.BigEndian.Uint16(packet[6:])&(moreFragments|offsetMask) != 0 {
		return nil, false, ReasonFragment
	}
	if total > len(packet) || total < header+udpHeader {
		return nil, false, ReasonTruncated
	}
	m.Source = netip.AddrFrom4([4]byte(packet[12:16]))
	datagram := packet[header:total]
	from, to := binary.BigEndian.Uint16(datagram), binary.BigEndian.Uint16(datagram[2:])
	// A relay uses 67 on both sides. Clients need not send from 68.
	if to != serverPort && from != serverPort {
		return nil, false, ReasonNotDHCP
	}
	length := int(binary.BigEndian.Uint16(datagram[4:]))
	if length < udpHeader || length > len(datagram) {
		return nil, false, ReasonTruncated
	}
	return datagram[udpHeader:length], to != serverPort && to != clientPort, ""
}

// parseDHCP reads a BOOTP message with DHCP options.
func (m *Message) parseDHCP(d []byte) Reason {
	const (
		snameAt, fileAt, cookieAt, optionsAt = 44, 108, 236, 240
		cookie                               = 0x63825363
		bootRequest, bootReply               = 1, 2
	)
	if len(d) < optionsAt {
		return ReasonTruncated
	}
	if binary.BigEndian.Uint32(d[cookieAt:]) != cookie {
		return ReasonNotDHCP
	}
	switch d[0] {
	case bootRequest:
	case bootReply:
		m.Reply = true
	default:
		return ReasonOperation
	}
	m.HType, m.HLen = d[1], d[2]
	if int(m.HLen) > len(m.CHAddr) {
		return ReasonHardware
	}
	m.XID = binary.BigEndian.Uint32(d[4:])
	m.ClientAddress = netip.AddrFrom4([4]byte(d[12:16]))
	m.YourAddress = netip.AddrFrom4([4]byte(d[16:20]))
	m.Relay = netip.AddrFrom4([4]byte(d[24:28]))
	copy(m.CHAddr[:], d[28:44])
	clear(m.CHAddr[m.HLen:]) // padding may hold anything

	overload, reason := m.parseOptions(d[optionsAt:], true)
	// Option 52 (RFC 2132 §9.3): file first, then sname (RFC 3396 §5).
	if reason == "" && overload&1 != 0 {
		_, reason = m.parseOptions(d[fileAt:cookieAt], false)
	}
	if reason == "" && overload&2 != 0 {
		_, reason = m.parseOptions(d[snameAt:fileAt], false)
	}
	if reason != "" {
		return reason
	}
	m.parseRelayInfo()
	return ""
}
