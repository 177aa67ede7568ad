package lease

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// ReasonVPNIgnored means an answer whose server did not heed the VPN it was asked
// about (RFC 6607 §4): its address is none of that VPN.
const ReasonVPNIgnored Reason = "vpn_ignored"

// vpnMark stands before a VPN in hexadecimal where it is part of a name.
const vpnMark = "@vpn-"

// vpnScope is set in the scope of every address of a VPN and of no other.
const vpnScope = 1 << 31

// InVPN says whether a scope is that of a VPN that a relay told of (RFC 6607). The
// kernel sees no such thing in a data packet, so addresses in it have no counter.
func InVPN(scope uint32) bool { return scope&vpnScope != 0 }

// vpnOf is the VPN of a message in hexadecimal, empty for the global one. A relay
// that is a router tells it (giaddr is not zero); a client that writes option 82
// itself is not to choose its own.
func (t *Tracker) vpnOf(m *Message) string {
	if t.cfg.IgnoreCircuitID || m.Relay.IsUnspecified() {
		return ""
	}
	return hex.EncodeToString(m.VPN())
}

// scopeIn returns the scope of a VPN's addresses: the same for ever, and different
// from another's but for a chance of 2^-31. Within this package VPNs are told apart
// by their names, so that even then no lease is taken for another's.
func scopeIn(vpn string, scope uint32) uint32 {
	if vpn == "" {
		return scope
	}
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, scope), vpn...))
	return vpnScope | binary.BigEndian.Uint32(sum[:])
}

// inVPN puts the VPN before a client's name, so that equal clients in two VPNs
// are two, and it is in the session key.
func inVPN(vpn, client string) string {
	if vpn == "" {
		return client
	}
	return vpnMark[1:] + vpn + "/" + client
}

// vpnIn is the inverse of inVPN.
func vpnIn(client string) string {
	if vpn, _, ok := strings.Cut(client, "/"); ok {
		return strings.TrimPrefix(vpn, vpnMark[1:])
	}
	return ""
}
