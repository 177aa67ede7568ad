package lease

import (
	"encoding/binary"
	"net/netip"
)

// DHCP options that matter here (RFC 2132, RFC 3046).
const (
	optionPad       = 0
	optionRequested = 50
	optionLeaseTime = 51
	optionOverload  = 52
	optionType      = 53
	optionServerID  = 54
	optionClientID  = 61
	optionRapid     = 80
	optionRelayInfo = 82
	optionEnd       = 255

	subOptionCircuitID = 1
	subOptionRemoteID  = 2
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

// parseRelayInfo finds the circuit-id and the remote-id in option 82 and tolerates whatever else
// is wrong with it: access nodes are known to pad it and to lie about lengths.
func (m *Message) parseRelayInfo() {
	m.BadRelayInfo = m.longRelay
	for at := 0; at < m.relayLength; {
		if at+2 > m.relayLength || at+2+int(m.relay[at+1]) > m.relayLength {
			m.BadRelayInfo = true
			return
		}
		length := int(m.relay[at+1])
		if m.relay[at] == subOptionCircuitID && m.circuitLength == 0 {
			m.circuitAt, m.circuitLength = at+2, length
		}
		if m.relay[at] == subOptionRemoteID && m.remoteLength == 0 {
			m.remoteAt, m.remoteLength = at+2, length
		}
		at += 2 + length
	}
}
