package lease

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"griffier/schema"
)

// VLANStack writes VLAN tags as they stand in identifiers and in NASPort:
// "OUTER.INNER", with 0 for a tag that is not there.
func VLANStack(outer, inner uint16) string {
	return strconv.Itoa(int(outer)) + "." + strconv.Itoa(int(inner))
}

// MACIdentifier is the access identifier of a client known by its hardware
// address at a place on the access network.
func MACIdentifier(iface string, outer, inner uint16, mac net.HardwareAddr) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentMAC, Value: iface + "/" + VLANStack(outer, inner) + "/" + mac.String()}
}

// ClientIDIdentifier is the access identifier of a client known by its option 61.
func ClientIDIdentifier(iface string, outer, inner uint16, clientID []byte) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentClientID, Value: iface + "/" + VLANStack(outer, inner) + "/" + hex.EncodeToString(clientID)}
}

// CircuitIdentifier is the access identifier of a line whose access node inserts
// option 82.
func CircuitIdentifier(circuitID []byte) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentCircuit, Value: hex.EncodeToString(circuitID)}
}

// SubscriberIdentifier is the access identifier of a line that its provider names
// in option 82 (RFC 3993) or DHCPv6 option 38 (RFC 4580), wherever it is connected.
func SubscriberIdentifier(id []byte) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentSubscriber, Value: hex.EncodeToString(id)}
}

// byAccessNode says whether an identifier is what a relay calls the line.
func byAccessNode(id schema.Identifier) bool {
	return id.Kind == schema.IdentCircuit || id.Kind == schema.IdentRemote || id.Kind == schema.IdentSubscriber
}

// minClientID is the least length of option 61 (RFC 2132 §9.14); a shorter one
// counts as absent.
const minClientID = 2

// clientName is what a server tells clients apart by (RFC 2131 §4.2): option 61
// if present, else htype and chaddr.
func clientName(m *Message) string {
	if id := m.ClientID(); len(id) >= minClientID {
		return "id" + hex.EncodeToString(id)
	}
	return "hw" + hex.EncodeToString([]byte{m.HType}) + hex.EncodeToString(m.HardwareAddress())
}

// adslForum is the enterprise number of the forum whose remote-id has none in
// DHCPv4: as DHCPv6 tells it.
var adslForum = [4]byte{0, 0, 0x0d, 0xe9}

// identify picks the access identifier of the line that a client message came
// from. The circuit-id counts if the access node put it there: such a layer-2
// relay leaves giaddr zero (TR-101 §3.8), whereas a router's circuit-id names an
// interface with many lines behind it. An access node that gives neither that nor
// a remote-id names the line by its subscriber-id; a router's counts if
// Config.SubscriberID says so, and then before all else.
func (t *Tracker) identify(e event) (id schema.Identifier, circuit bool) {
	subscriber := e.SubscriberID()
	if e.cutRelay || t.cfg.IgnoreCircuitID {
		subscriber = nil
	}
	if t.cfg.SubscriberID && len(subscriber) > 0 {
		return SubscriberIdentifier(subscriber), true
	}
	if e.Relay.IsUnspecified() && !t.cfg.IgnoreCircuitID {
		if c := e.CircuitID(); len(c) > 0 {
			return CircuitIdentifier(c), true
		}
		if r := e.RemoteID(); len(r) > 0 && !e.cutRelay {
			return RemoteIdentifier(append(adslForum[:], r...)), true
		}
		if len(subscriber) > 0 {
			return SubscriberIdentifier(subscriber), true
		}
	}
	p, hardware, clientID := e.place, e.HardwareAddress(), e.ClientID()
	ownMAC := len(clientID) > 0 && clientID[0] == e.HType && bytes.Equal(clientID[1:], hardware)
	where := p.Interface
	if e.vpn != "" {
		where += vpnMark + e.vpn // a MAC of another VPN is another's
	}
	if len(clientID) >= minClientID && !ownMAC || len(hardware) == 0 {
		return ClientIDIdentifier(where, p.Outer, p.Inner, clientID), false
	}
	return MACIdentifier(where, p.Outer, p.Inner, hardware), false
}

// sessionKey names a lease for good: where, who, which address, first ACK.
func sessionKey(c clientKey, address netip.Addr, first time.Time) string {
	name := strings.NewReplacer("%", "%25", "|", "%7C").Replace(c.Interface)
	return name + "|" + VLANStack(c.Outer, c.Inner) + "|" + c.Client + "|" + address.String() + "|" + strconv.FormatInt(first.UnixNano(), 10)
}

var errSessionKey = errors.New("lease: malformed session key")

// parseSessionKey is the inverse of sessionKey, without the first ACK.
func parseSessionKey(key string) (c clientKey, address netip.Addr, err error) {
	parts := strings.Split(key, "|")
	if len(parts) != 5 {
		return c, address, errSessionKey
	}
	outer, inner, ok := strings.Cut(parts[1], ".")
	o, errOuter := strconv.ParseUint(outer, 10, 12)
	i, errInner := strconv.ParseUint(inner, 10, 12)
	address, errAddress := netip.ParseAddr(parts[3])
	if !ok || errOuter != nil || errInner != nil || errAddress != nil {
		return c, address, errSessionKey
	}
	name := strings.NewReplacer("%25", "%", "%7C", "|").Replace(parts[0])
	return clientKey{place{name, uint16(o), uint16(i)}, parts[2]}, address, nil
}
