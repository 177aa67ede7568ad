package lease

import (
	"encoding/binary"
	"net/netip"
)

// DHCP options that matter here (RFC 2132, RFC 3046; 118: RFC 3011). Host and
// domain names, vendor classes and parameter lists (12, 81, 60, 55) are none.
const (
	optionPad       = 0
	optionRequested = 50
	optionLeaseTime = 51
	optionOverload  = 52
	optionType      = 53
	optionServerID  = 54
	optionRenewal   = 58
	optionRebinding = 59
	optionClientID  = 61
	optionRapid     = 80
	optionRelayInfo = 82
	optionSubnet    = 118
	optionEnd       = 255

	subOptionCircuitID      = 1
	subOptionRemoteID       = 2
	subOptionLinkSelection  = 5   // RFC 3527
	subOptionSubscriberID   = 6   // RFC 3993
	subOptionVendor         = 9   // RFC 4243
	subOptionServerOverride = 11  // RFC 5107
	subOptionRelayID        = 12  // RFC 6925
	subOptionSourcePort     = 19  // RFC 8357
	subOptionVSS            = 151 // RFC 6607
	subOptionVSSControl     = 152 // RFC 6607
)

// parseOptions reads one options field; main is the one after the cookie. It
// returns the value of option 52, which counts there only.
func (m *Message) parseOptions(field []byte, main bool) (overload uint8, reason Reason) {
	for len(field) > 0 {
		code := field[0]
		if code == optionPad {
			field = field[1:]
			continue
		}
		if code == optionEnd {
			return overload, ""
		}
		if len(field) < 2 || int(field[1]) > len(field)-2 {
			return 0, ReasonOptions
		}
		value := field[2 : 2+int(field[1])]
		field = field[2+int(field[1]):]
		if code == optionOverload {
			if len(value) != 1 || value[0] > 3 {
				return 0, ReasonOption
			}
			if main {
				overload = value[0]
			}
			continue
		}
		if reason := m.option(code, value); reason != "" {
			return 0, reason
		}
	}
	return overload, ""
}

// option takes in one option. Those of fixed length must not be repeated with
// another value; the others are concatenated (RFC 3396 §7).
func (m *Message) option(code uint8, value []byte) Reason {
	switch code {
	case optionType:
		if len(value) != 1 || value[0] == 0 || (m.Type != 0 && m.Type != Type(value[0])) {
			return ReasonOption
		}
		m.Type = Type(value[0])
	case optionLeaseTime:
		if len(value) != 4 {
			return ReasonOption
		}
		seconds := binary.BigEndian.Uint32(value)
		if m.HasLease && m.LeaseSeconds != seconds {
			return ReasonOption
		}
		m.LeaseSeconds, m.HasLease = seconds, true
	case optionRenewal:
		setSeconds(&m.RenewalSeconds, value)
	case optionRebinding:
		setSeconds(&m.RebindingSeconds, value)
	case optionSubnet:
		m.subnet(value)
	case optionRequested:
		return setAddress(&m.RequestedAddress, value)
	case optionServerID:
		return setAddress(&m.ServerID, value)
	case optionClientID:
		if m.clientIDLength+len(value) > maxClientID {
			return ReasonLong
		}
		m.clientIDLength += copy(m.clientID[m.clientIDLength:], value)
	case optionRapid:
		if len(value) != 0 {
			return ReasonOption
		}
		m.RapidCommit = true
	case optionRelayInfo:
		if m.relayLength+len(value) > maxRelay {
			m.longRelay = true // the lease is worth more than the circuit
			return ""
		}
		m.relayLength += copy(m.relay[m.relayLength:], value)
	}
	return ""
}

func setAddress(a *netip.Addr, value []byte) Reason {
	if len(value) != 4 {
		return ReasonOption
	}
	v := netip.AddrFrom4([4]byte(value))
	if a.IsValid() && *a != v {
		return ReasonOption
	}
	*a = v
	return ""
}

// setSeconds takes in a time that no lease depends on: a malformed one counts as
// absent.
func setSeconds(to *uint32, value []byte) {
	if len(value) == 4 {
		*to = binary.BigEndian.Uint32(value)
	}
}

// subnet takes in option 118 or sub-option 5, unless what it names is no subnet.
func (m *Message) subnet(value []byte) bool {
	if len(value) != 4 {
		return false
	}
	m.Subnet = netip.AddrFrom4([4]byte(value))
	return true
}

// span is where a value is within Message.relay.
type span struct{ at, length int }

func (m *Message) relayValue(s span) []byte { return m.relay[s.at : s.at+s.length] }

// parseRelayInfo finds in option 82 what tells lines and relays apart and
// tolerates whatever else is wrong with it: access nodes are known to pad it and
// to lie about lengths. Of a repeated sub-option the first counts.
func (m *Message) parseRelayInfo() {
	m.cutRelay = m.longRelay
	m.BadRelayInfo = m.longRelay
	for at := 0; at < m.relayLength; {
		if at+2 > m.relayLength || at+2+int(m.relay[at+1]) > m.relayLength {
			m.BadRelayInfo, m.cutRelay = true, true
			return
		}
		here := span{at + 2, int(m.relay[at+1])}
		if !m.subOption(m.relay[at], here) {
			m.BadRelayInfo = true
		}
		at = here.at + here.length
	}
}

// subOption takes in one sub-option and says whether it can be what it says.
func (m *Message) subOption(code uint8, here span) bool {
	var to *span
	switch code {
	case subOptionCircuitID:
		to = &m.circuit
	case subOptionRemoteID:
		to = &m.remote
	case subOptionSubscriberID:
		to = &m.subscriber
	case subOptionRelayID:
		to = &m.relayID
	case subOptionLinkSelection:
		return m.subnet(m.relayValue(here)) // goes before option 118: RFC 3527 §3
	case subOptionServerOverride:
		return here.length == 4 // whom the client renews with: always its relay
	case subOptionVendor:
		return vendorInfo(m.relayValue(here))
	case subOptionSourcePort:
		m.RelaySourcePort = true
		return here.length == 0
	case subOptionVSS:
		if !vss(m.relayValue(here)) {
			return false
		}
		to = &m.vss
	case subOptionVSSControl:
		// With a value it is another vendor's, from before RFC 6607.
		m.VSSControl = m.VSSControl || here.length == 0
		return true
	default:
		return true
	}
	if to.length == 0 {
		*to = here
	}
	return true
}

// vendorInfo says whether sub-option 9 is well formed: enterprise numbers, each
// with what it means to that vendor, which is nothing here (RFC 4243 §4).
func vendorInfo(d []byte) bool {
	for len(d) > 0 {
		if len(d) < 5 || int(d[4]) > len(d)-5 {
			return false
		}
		d = d[5+int(d[4]):]
	}
	return true
}

// Types of VSS information (RFC 6607 §3.5).
const (
	vssName   = 0 // ASCII
	vssVPNID  = 1 // RFC 2685
	vssGlobal = 255
)

// vss says whether a value is VSS information.
func vss(d []byte) bool {
	if len(d) == 0 {
		return false
	}
	switch d[0] {
	case vssName:
		return len(d) > 1
	case vssVPNID:
		return len(d) == 8
	case vssGlobal:
		return len(d) == 1
	}
	return true
}
