package lease

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	clientSide6 = "dhcp6_client_side_iana_iapd.pcap"
	serverSide6 = "dhcp6_relay_server_relayforw.pcap"
)

var (
	duid1 = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}
	duid2 = []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 2}
)

// dhcp6 is a DHCPv6 message under construction.
type dhcp6 struct {
	typ     Type6
	xid     uint32
	duid    []byte
	options []byte // after option 1
	relays  []relay6
	mac     net.HardwareAddr
	source  string
	vlans   []uint16
	ppp     uint16 // PPPoE session, 0: none

	from, to layers.UDPPort // 0: the usual ones
}

// relay6 is a relay message around a message.
type relay6 struct {
	link, peer string
	options    []byte
}

func message6(typ Type6, options ...[]byte) dhcp6 {
	d := dhcp6{typ: typ, xid: 0x070809, duid: duid1, options: join(options...), mac: mac1, source: "fe80::1"}
	if typ.fromServer() {
		d.source = "fe80::ff"
	}
	return d
}

func option6(code uint16, value ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, code)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(value))), value...)
}

func uint32s(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// iana is an IA_NA with T1 10, T2 20.
func iana(iaid uint32, inner ...[]byte) []byte {
	return option6(option6IANA, append(uint32s(iaid, 10, 20), join(inner...)...)...)
}

// iapd is an IA_PD with T1 10, T2 20.
func iapd(iaid uint32, inner ...[]byte) []byte {
	return option6(option6IAPD, append(uint32s(iaid, 10, 20), join(inner...)...)...)
}

// address6 is an IAADDR.
func address6(a string, valid uint32, inner ...[]byte) []byte {
	ip := netip.MustParseAddr(a).As16()
	return option6(option6IAAddress, append(append(ip[:], uint32s(valid/2, valid)...), join(inner...)...)...)
}

// prefix6 is an IAPREFIX.
func prefix6(p string, valid uint32, inner ...[]byte) []byte {
	prefix := netip.MustParsePrefix(p)
	ip := prefix.Addr().As16()
	b := append(uint32s(valid/2, valid), byte(prefix.Bits()))
	return option6(option6IAPrefix, append(append(b, ip[:]...), join(inner...)...)...)
}

func status6(code byte) []byte { return option6(option6Status, 0, code) }

func (d dhcp6) withXID(xid uint32) dhcp6                 { d.xid = xid; return d }
func (d dhcp6) by(duid []byte, m net.HardwareAddr) dhcp6 { d.duid, d.mac = duid, m; return d }
func (d dhcp6) on(vlans ...uint16) dhcp6                 { d.vlans = vlans; return d }
func (d dhcp6) sentFrom(source string) dhcp6             { d.source = source; return d }
func (d dhcp6) within(ppp uint16) dhcp6                  { d.ppp = ppp; return d }

// ports sets the UDP ports.
func (d dhcp6) ports(from, to layers.UDPPort) dhcp6 { d.from, d.to = from, to; return d }

// relayed puts the message within a relay message.
func (d dhcp6) relayed(link string, options ...[]byte) dhcp6 {
	d.relays = append(d.relays[:len(d.relays):len(d.relays)], relay6{link, "fe80::1", join(options...)})
	return d
}

// payload is the UDP payload.
func (d dhcp6) payload() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(d.typ)<<24|d.xid)
	if d.duid != nil {
		b = append(b, option6(option6ClientID, d.duid...)...)
	}
	b = append(b, d.options...)
	for i, r := range d.relays {
		kind := RelayForward6
		if d.typ.fromServer() {
			kind = RelayReply6
		}
		link, peer := netip.MustParseAddr(r.link).As16(), netip.MustParseAddr(r.peer).As16()
		outer := join([]byte{byte(kind), byte(i)}, link[:], peer[:], r.options, option6(option6RelayMsg, b...))
		b = outer
	}
	return b
}

var acMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0xac}

// frame is the message in UDP, IPv6 and Ethernet as gopacket writes them.
func (d dhcp6) frame(t testing.TB) []byte {
	t.Helper()
	from, to := layers.UDPPort(546), layers.UDPPort(547)
	source, destination := d.mac, acMAC
	if d.typ.fromServer() {
		from, to = to, from
		source, destination = acMAC, d.mac
	}
	if len(d.relays) > 0 {
		from, to = 547, 547
	}
	if d.to != 0 {
		from, to = d.from, d.to
	}
	return wrap6(t, d.payload(), d.source, from, to, source, destination, d.ppp, d.vlans...)
}

func wrap6(t testing.TB, payload []byte, source string, from, to layers.UDPPort, mac, destination net.HardwareAddr, ppp uint16, vlans ...uint16) []byte {
	t.Helper()
	ip := &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
		SrcIP: net.ParseIP(source), DstIP: net.ParseIP("ff02::1:2"),
	}
	inner := []gopacket.SerializableLayer{ip, &layers.UDP{SrcPort: from, DstPort: to}, gopacket.Payload(payload)}
	etherType := layers.EthernetTypeIPv6
	if ppp != 0 {
		inner = append([]gopacket.SerializableLayer{
			&layers.PPPoE{Version: 1, Type: 1, Code: layers.PPPoECodeSession, SessionId: ppp},
			&layers.PPP{PPPType: layers.PPPTypeIPv6},
		}, inner...)
		etherType = layers.EthernetTypePPPoESession
	}
	return serialize(t, mac, destination, etherType, inner, vlans...)
}

// serialize puts Ethernet and tags around layers.
func serialize(t testing.TB, mac, destination net.HardwareAddr, etherType layers.EthernetType, inner []gopacket.SerializableLayer, vlans ...uint16) []byte {
	t.Helper()
	ethernet := &layers.Ethernet{SrcMAC: mac, DstMAC: destination, EthernetType: etherType}
	stack := []gopacket.SerializableLayer{ethernet}
	next := &ethernet.EthernetType
	for _, vid := range vlans {
		*next = layers.EthernetTypeDot1Q
		tag := &layers.Dot1Q{VLANIdentifier: vid, Type: etherType}
		stack, next = append(stack, tag), &tag.Type
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, append(stack, inner...)...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}
