package lease

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

type captured struct {
	at   time.Time
	data []byte
}

// readCapture returns the frames of a capture.
func readCapture(t testing.TB, name string, want int) []captured {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	reader, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []captured
	source := gopacket.NewPacketSource(reader, reader.LinkType())
	for packet := range source.Packets() {
		all = append(all, captured{packet.Metadata().Timestamp.UTC(), packet.Data()})
	}
	if len(all) != want {
		t.Fatalf("%s holds %d frames, want %d", name, len(all), want)
	}
	return all
}

const (
	clientSide = "dhcp4_client_side_dora_renew_release.pcap"
	serverSide = "dhcp4_relay_server_opt82.pcap"
	perfdhcp   = "dhcp4_perfdhcp_500clients_malformed_opt82.pcap"
)

var mac1 = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// dhcp is a DHCP message under construction.
type dhcp struct {
	op          byte
	typ         Type // 0: no option 53
	xid         uint32
	mac         net.HardwareAddr
	ciaddr      string
	yiaddr      string
	giaddr      string
	options     []byte // after option 53
	sname, file []byte
	vlans       []uint16
	source      string
	from, to    uint16
}

func request(typ Type, options ...[]byte) dhcp {
	return dhcp{op: 1, typ: typ, xid: 7, mac: mac1, options: join(options...), source: "0.0.0.0", from: 68, to: 67}
}

func reply(typ Type, yiaddr string, options ...[]byte) dhcp {
	return dhcp{op: 2, typ: typ, xid: 7, mac: mac1, yiaddr: yiaddr, options: join(options...), source: "100.64.0.1", from: 67, to: 68}
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func option(code byte, value ...byte) []byte {
	return append([]byte{code, byte(len(value))}, value...)
}

func addressOption(code byte, address string) []byte {
	a := netip.MustParseAddr(address).As4()
	return option(code, a[:]...)
}

func leaseTime(seconds uint32) []byte {
	return option(optionLeaseTime, binary.BigEndian.AppendUint32(nil, seconds)...)
}

// payload is the UDP payload.
func (d dhcp) payload() []byte {
	b := make([]byte, 240)
	b[0], b[1], b[2] = d.op, 1, byte(len(d.mac))
	binary.BigEndian.PutUint32(b[4:], d.xid)
	for at, s := range map[int]string{12: d.ciaddr, 16: d.yiaddr, 24: d.giaddr} {
		if s != "" {
			a := netip.MustParseAddr(s).As4()
			copy(b[at:], a[:])
		}
	}
	copy(b[28:44], d.mac)
	copy(b[44:108], d.sname)
	copy(b[108:236], d.file)
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	if d.typ != 0 {
		b = append(b, option(optionType, byte(d.typ))...)
	}
	return append(append(b, d.options...), optionEnd)
}

// frame is the message in UDP, IPv4 and Ethernet as gopacket writes them.
func (d dhcp) frame(t testing.TB) []byte {
	t.Helper()
	return wrap(t, d.payload(), d.source, d.from, d.to, d.vlans...)
}

func wrap(t testing.TB, payload []byte, source string, from, to uint16, vlans ...uint16) []byte {
	t.Helper()
	ethernet := &layers.Ethernet{SrcMAC: mac1, DstMAC: layers.EthernetBroadcast, EthernetType: layers.EthernetTypeIPv4}
	stack := []gopacket.SerializableLayer{ethernet}
	next := &ethernet.EthernetType
	for i, vid := range vlans {
		*next = layers.EthernetTypeDot1Q
		if i == 0 && len(vlans) > 1 {
			*next = layers.EthernetTypeQinQ
		}
		tag := &layers.Dot1Q{VLANIdentifier: vid, Type: layers.EthernetTypeIPv4}
		stack, next = append(stack, tag), &tag.Type
	}
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
		SrcIP: net.ParseIP(source).To4(), DstIP: net.IPv4bcast.To4(),
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	buffer := gopacket.NewSerializeBuffer()
	stack = append(stack, ip, udp, gopacket.Payload(payload))
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, stack...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func at(seconds int) time.Time { return time.Date(2026, 11, 20, 10, 0, seconds, 0, time.UTC) }
