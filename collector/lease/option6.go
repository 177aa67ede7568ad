package lease

import (
	"encoding/binary"
	"math"
	"net/netip"
)

// DHCPv6 options that matter here (RFC 8415 §21; 37: RFC 4649; 38: RFC 4580; 53:
// RFC 5460; 67: RFC 6603; 79: RFC 6939; 135: RFC 8357).
const (
	option6ClientID    = 1
	option6IANA        = 3
	option6IATA        = 4
	option6IAAddress   = 5
	option6RelayMsg    = 9
	option6Status      = 13
	option6RapidCommit = 14
	option6InterfaceID = 18
	option6IAPD        = 25
	option6IAPrefix    = 26
	option6RemoteID    = 37
	option6Subscriber  = 38
	option6RelayID     = 53
	option6PDExclude   = 67
	option6ClientMAC   = 79
	option6SourcePort  = 135
)

// nextOption6 splits off one option. With ok false the rest is no option: it is
// empty, or garbage, or the last option runs past the end, which do not make
// those before it any worse.
func nextOption6(d []byte) (code uint16, value, rest []byte, ok bool) {
	if len(d) < 4 {
		return 0, nil, nil, false
	}
	length := int(binary.BigEndian.Uint16(d[2:]))
	if length > len(d)-4 {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(d), d[4 : 4+length], d[4+length:], true
}

// relayOptions reads the options of a relay message and returns the message in
// it, nil if there is none.
func (m *Message6) relayOptions(d []byte) (inner []byte) {
	for len(d) > 0 {
		code, value, rest, ok := nextOption6(d)
		if !ok {
			m.BadOptions++
			break
		}
		d = rest
		switch code {
		case option6RelayMsg:
			if len(value) == 0 || inner != nil {
				m.BadOptions++
				continue
			}
			inner = value
		case option6InterfaceID:
			m.InterfaceID = value
		case option6RemoteID:
			if len(value) <= 4 {
				m.BadOptions++
				continue
			}
			m.RemoteID = value
		case option6Subscriber:
			if len(value) == 0 {
				m.BadOptions++
				continue
			}
			m.Subscriber = value
		case option6RelayID:
			if len(value) < minDUID || len(value) > maxDUID {
				m.BadOptions++
				continue
			}
			m.RelayID = value
		case option6SourcePort:
			if len(value) != 2 {
				m.BadOptions++
				continue
			}
			m.RelaySourcePort = true
		case option6ClientMAC:
			const ethernet = 1
			if len(value) != 8 || binary.BigEndian.Uint16(value) != ethernet {
				m.BadOptions++
				continue
			}
			m.ClientMAC = value[2:]
		}
	}
	return inner
}

// options reads the options of a client's or server's message.
func (m *Message6) options(d []byte) {
	for len(d) > 0 {
		code, value, rest, ok := nextOption6(d)
		if !ok {
			m.BadOptions++
			return
		}
		d = rest
		switch code {
		case option6ClientID:
			if len(value) < minDUID || len(value) > maxDUID || m.DUID != nil {
				m.BadOptions++
				continue
			}
			m.DUID = value
		case option6RapidCommit:
			m.RapidCommit = true
		case option6Status:
			if len(value) < 2 {
				m.BadOptions++
				continue
			}
			m.Status = binary.BigEndian.Uint16(value)
		case option6IANA, option6IATA, option6IAPD:
			m.association(code, value)
		}
	}
}

// association reads an IA_NA, IA_TA or IA_PD (RFC 8415 §21.4, §21.5, §21.21).
func (m *Message6) association(code uint16, d []byte) {
	header, inner := 12, uint16(option6IAAddress)
	switch code {
	case option6IATA:
		header = 4
	case option6IAPD:
		inner = option6IAPrefix
	}
	if len(d) < header {
		m.BadOptions++
		return
	}
	ia := Lease6{IAID: binary.BigEndian.Uint32(d), Delegated: code == option6IAPD}
	if header == 12 {
		ia.T1Seconds, ia.T2Seconds = binary.BigEndian.Uint32(d[4:]), binary.BigEndian.Uint32(d[8:])
		if ia.T1Seconds > ia.T2Seconds && ia.T2Seconds > 0 {
			m.BadOptions++ // to be ignored: RFC 8415 §21.4, §21.21
			return
		}
	}
	first := m.count
	refused := false
	for d = d[header:]; len(d) > 0; {
		code, value, rest, ok := nextOption6(d)
		if !ok {
			m.BadOptions++
			break
		}
		d = rest
		switch code {
		case inner:
			m.lease(ia, value)
		case option6Status:
			if len(value) < 2 {
				m.BadOptions++
				continue
			}
			refused = refused || binary.BigEndian.Uint16(value) != statusSuccess
		}
	}
	if refused {
		for i := first; i < m.count; i++ {
			m.leases[i].Refused = true
		}
	}
}

// lease reads an IAADDR (§21.6) or IAPREFIX (§21.22) within ia.
func (m *Message6) lease(ia Lease6, d []byte) {
	header := 24
	if ia.Delegated {
		header = 25
	}
	if len(d) < header {
		m.BadOptions++
		return
	}
	bits := 128
	if ia.Delegated {
		ia.PreferredSeconds, ia.ValidSeconds = binary.BigEndian.Uint32(d), binary.BigEndian.Uint32(d[4:])
		bits, ia.Prefix = int(d[8]), netip.PrefixFrom(netip.AddrFrom16([16]byte(d[9:25])), 128)
	} else {
		ia.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte(d)), 128)
		ia.PreferredSeconds, ia.ValidSeconds = binary.BigEndian.Uint32(d[16:]), binary.BigEndian.Uint32(d[20:])
	}
	// A client that has no wish sends :: or a length alone; neither is a lease.
	a := ia.Prefix.Addr()
	if bits == 0 || bits > 128 || ia.PreferredSeconds > ia.ValidSeconds ||
		a.Is4In6() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		m.BadOptions++
		return
	}
	if a.IsUnspecified() {
		return
	}
	ia.Prefix = netip.PrefixFrom(a, bits).Masked() // bits past the length are to be ignored
	for d = d[header:]; len(d) > 0; {
		code, value, rest, ok := nextOption6(d)
		if !ok {
			m.BadOptions++
			break
		}
		d = rest
		switch {
		case code == option6Status && len(value) >= 2 && binary.BigEndian.Uint16(value) != statusSuccess:
			ia.Refused = true
		case code == option6PDExclude && ia.Delegated && !excludes(bits, value):
			m.BadOptions++
		}
	}
	if m.count == maxLeases6 {
		m.Missed++
		return
	}
	m.leases[m.count] = ia
	m.count++
}

// excludes says whether a Prefix Exclude can be one of a delegated prefix of that
// length (RFC 6603 §4.2). What it excludes is the link between the line's router
// and its provider's: the line's as much as the rest, so nothing is done about it.
func excludes(delegated int, value []byte) bool {
	if len(value) < 2 {
		return false
	}
	bits := int(value[0])
	return bits > delegated && bits <= 128 && len(value)-1 == (bits-delegated+7)/8
}

// infinite6 is a lifetime without end (RFC 8415 §7.7).
const infinite6 = math.MaxUint32
