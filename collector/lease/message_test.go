package lease

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func TestParse(t *testing.T) {
	long := bytes.Repeat([]byte{0xab}, 200)
	tests := []struct {
		name  string
		dhcp  dhcp
		check func(*Message) bool
	}{
		{"untagged", request(Request), func(m *Message) bool { return m.OuterVLAN == 0 && m.InnerVLAN == 0 && m.Type == Request && !m.Reply }},
		{"802.1Q", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67, vlans: []uint16{100}},
			func(m *Message) bool { return m.OuterVLAN == 100 && m.InnerVLAN == 0 }},
		{"QinQ", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67, vlans: []uint16{100, 4094}},
			func(m *Message) bool { return m.OuterVLAN == 100 && m.InnerVLAN == 4094 }},
		{"reply", reply(ACK, "100.64.0.10"), func(m *Message) bool {
			return m.Reply && m.YourAddress == netip.MustParseAddr("100.64.0.10") && m.Source == netip.MustParseAddr("100.64.0.1")
		}},
		{"no message type", request(BOOTP, leaseTime(3)), func(m *Message) bool { return m.Type == BOOTP && m.LeaseSeconds == 3 }},
		{"every sub-option of option 82 before the circuit id", request(Request, option(82, 2, 1, 'r', 5, 4, 1, 2, 3, 4, 6, 1, 's', 9, 6, 0, 0, 0x0d, 0xe9, 1, 0, 11, 4, 1, 2, 3, 4, 12, 1, 'i', 19, 0, 151, 2, 0, 'v', 152, 0, 1, 2, 'c', '9')),
			func(m *Message) bool {
				return string(m.CircuitID()) == "c9" && string(m.RemoteID()) == "r" && m.Subnet == netip.MustParseAddr("1.2.3.4") && string(m.SubscriberID()) == "s" &&
					string(m.RelayID()) == "i" && m.RelaySourcePort && string(m.VPN()) == "\x00v" && m.VSSControl && !m.BadRelayInfo
			}},
		{"no sub-options", request(Request, option(82)), func(m *Message) bool {
			return len(m.SubscriberID())+len(m.RelayID())+len(m.VPN()) == 0 && !m.Subnet.IsValid() && !m.RelaySourcePort && !m.VSSControl && !m.BadRelayInfo
		}},
		{"the first of two subscriber-ids", request(Request, option(82, 6, 1, 's', 6, 1, 't')), func(m *Message) bool { return string(m.SubscriberID()) == "s" }},
		{"link-selection before subnet selection", request(Request, option(118, 10, 0, 0, 0), option(82, 5, 4, 10, 1, 0, 0)), func(m *Message) bool { return m.Subnet == netip.MustParseAddr("10.1.0.0") }},
		{"subnet selection", request(Request, option(118, 10, 0, 0, 0)), func(m *Message) bool { return m.Subnet == netip.MustParseAddr("10.0.0.0") }},
		{"subnet selection of three octets", request(Request, option(118, 10, 0, 0), leaseTime(5)), func(m *Message) bool { return !m.Subnet.IsValid() && m.HasLease }},
		{"link-selection of five octets", request(Request, option(82, 5, 5, 1, 2, 3, 4, 5, 1, 1, 'c')), func(m *Message) bool {
			return !m.Subnet.IsValid() && m.BadRelayInfo && string(m.CircuitID()) == "c"
		}},
		{"server-id override of three octets", request(Request, option(82, 11, 3, 1, 2, 3, 1, 1, 'c')), func(m *Message) bool { return m.BadRelayInfo && string(m.CircuitID()) == "c" }},
		{"vendor information of two vendors", request(Request, option(82, 9, 12, 0, 0, 0, 9, 1, 'x', 0, 0, 0, 10, 1, 'y')), func(m *Message) bool { return !m.BadRelayInfo }},
		{"vendor information past its end", request(Request, option(82, 9, 6, 0, 0, 0, 9, 2, 'x', 1, 1, 'c')), func(m *Message) bool { return m.BadRelayInfo && string(m.CircuitID()) == "c" }},
		{"source port with a value", request(Request, option(82, 19, 1, 0)), func(m *Message) bool { return m.BadRelayInfo }},
		{"VPN by name", request(Request, option(82, 151, 4, 0, 'i', 's', 'p')), func(m *Message) bool { return string(m.VPN()) == "\x00isp" && !m.BadRelayInfo }},
		{"VPN by id", request(Request, option(82, 151, 8, 1, 0, 0, 9, 0, 0, 0, 7)), func(m *Message) bool { return len(m.VPN()) == 8 && !m.BadRelayInfo }},
		{"VPN of a type unknown", request(Request, option(82, 151, 2, 7, 1)), func(m *Message) bool { return len(m.VPN()) == 2 && !m.BadRelayInfo }},
		{"sub-option 152 with a value is not of RFC 6607", reply(ACK, "100.64.0.10", option(82, 151, 2, 0, 'a', 152, 4, 10, 0, 0, 1)), func(m *Message) bool { return !m.VSSControl && !m.BadRelayInfo }},
		{"the global VPN", request(Request, option(82, 151, 1, 255)), func(m *Message) bool { return m.VPN() == nil && !m.BadRelayInfo }},
		{"the global VPN with a name", request(Request, option(82, 151, 2, 255, 'x')), func(m *Message) bool { return m.VPN() == nil && m.BadRelayInfo }},
		{"VPN without a name", request(Request, option(82, 151, 1, 0)), func(m *Message) bool { return m.VPN() == nil && m.BadRelayInfo }},
		{"VPN id cut short", request(Request, option(82, 151, 7, 1, 0, 0, 9, 0, 0, 0)), func(m *Message) bool { return m.VPN() == nil && m.BadRelayInfo }},
		{"VPN of no octets", request(Request, option(82, 151, 0)), func(m *Message) bool { return m.VPN() == nil && m.BadRelayInfo }},
		{"T1 and T2", reply(ACK, "100.64.0.10", option(58, 0, 0, 0, 10), option(59, 0, 0, 0, 17)), func(m *Message) bool { return m.RenewalSeconds == 10 && m.RebindingSeconds == 17 }},
		{"T1 and T2 without end", reply(ACK, "100.64.0.10", option(58, 255, 255, 255, 255), option(59, 255, 255, 255, 255)), func(m *Message) bool {
			return m.RenewalSeconds == 0xffffffff && m.RebindingSeconds == 0xffffffff
		}},
		{"T1 of three octets, T2 of five", reply(ACK, "100.64.0.10", option(58, 0, 0, 1), option(59, 0, 0, 0, 0, 1), leaseTime(5)), func(m *Message) bool {
			return m.RenewalSeconds == 0 && m.RebindingSeconds == 0 && m.HasLease
		}},
		{"to a relay's own port", dhcp{op: 2, typ: ACK, mac: mac1, source: "192.0.2.1", from: 67, to: 1067, options: option(82, 19, 0)}, func(m *Message) bool { return m.RelaySourcePort }},
		{"lease time", reply(ACK, "100.64.0.10", leaseTime(20)), func(m *Message) bool { return m.HasLease && m.LeaseSeconds == 20 }},
		{"requested address", request(Request, addressOption(50, "100.64.0.9")), func(m *Message) bool {
			return m.RequestedAddress == netip.MustParseAddr("100.64.0.9")
		}},
		{"server id", request(Request, addressOption(54, "10.9.0.2")), func(m *Message) bool {
			return m.ServerID == netip.MustParseAddr("10.9.0.2")
		}},
		{"rapid commit", request(Discover, option(80)), func(m *Message) bool { return m.RapidCommit }},
		{"padding between options", request(Request, []byte{0, 0}, leaseTime(5), []byte{0}), func(m *Message) bool { return m.LeaseSeconds == 5 }},
		{"options after the end are none", request(Request, []byte{optionEnd}, leaseTime(5)), func(m *Message) bool { return !m.HasLease }},
		{"client id", request(Request, option(61, 1, 2, 3)), func(m *Message) bool { return bytes.Equal(m.ClientID(), []byte{1, 2, 3}) }},
		{"client id in two parts", request(Request, option(61, 1, 2), leaseTime(5), option(61, 3)), func(m *Message) bool {
			return bytes.Equal(m.ClientID(), []byte{1, 2, 3})
		}},
		{"circuit id", request(Request, option(82, 2, 1, 'r', 1, 2, 'c', '1')), func(m *Message) bool {
			return string(m.CircuitID()) == "c1" && !m.BadRelayInfo
		}},
		{"circuit id in two parts", request(Request, option(82, 1, 4, 'c'), option(82, '1', '2', '3')), func(m *Message) bool {
			return string(m.CircuitID()) == "c123" && !m.BadRelayInfo
		}},
		{"no circuit id", request(Request, option(82, 2, 1, 'r')), func(m *Message) bool { return len(m.CircuitID()) == 0 && !m.BadRelayInfo }},
		{"remote id past the end", request(Request, option(82, 1, 1, 'c', 2, 9, 'r'), leaseTime(5)), func(m *Message) bool {
			return string(m.CircuitID()) == "c" && m.BadRelayInfo && m.HasLease
		}},
		{"circuit id past the end", request(Request, option(82, 1, 9, 'c')), func(m *Message) bool { return len(m.CircuitID()) == 0 && m.BadRelayInfo }},
		{"half a sub-option", request(Request, option(82, 1)), func(m *Message) bool { return m.BadRelayInfo }},
		{"option 82 beyond what is kept", request(Request, option(82, append([]byte{1, 1, 'c', 2, 200}, long...)...), option(82, long...), option(82, long...)),
			func(m *Message) bool { return m.BadRelayInfo && string(m.CircuitID()) == "c" }},
		{"overload file", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67,
			options: option(52, 1), file: append(leaseTime(9), optionEnd), sname: []byte("boot")},
			func(m *Message) bool { return m.LeaseSeconds == 9 }},
		{"overload sname", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67,
			options: option(52, 2), sname: append(leaseTime(9), optionEnd), file: []byte("boot")},
			func(m *Message) bool { return m.LeaseSeconds == 9 }},
		{"overload both, one option over all three", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67,
			options: join(option(52, 3), option(61, 1, 1)), file: append(option(61, 2), optionEnd), sname: append(option(61, 3), optionEnd)},
			func(m *Message) bool { return bytes.Equal(m.ClientID(), []byte{1, 1, 2, 3}) }},
		{"no overload: file is a name", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67, file: append(leaseTime(9), optionEnd)},
			func(m *Message) bool { return !m.HasLease }},
		{"overload within file counts not", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67,
			options: option(52, 1), file: append(option(52, 3), optionEnd), sname: append(leaseTime(9), optionEnd)},
			func(m *Message) bool { return !m.HasLease }},
		{"same option twice", request(Request, leaseTime(5), leaseTime(5)), func(m *Message) bool { return m.LeaseSeconds == 5 }},
		{"client sends from another port", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 1068, to: 67}, func(m *Message) bool { return m.Type == Request }},
		{"sixteen octets of hardware address", dhcp{op: 1, typ: Request, mac: bytes.Repeat([]byte{9}, 16), source: "0.0.0.0", from: 68, to: 67},
			func(m *Message) bool { return len(m.HardwareAddress()) == 16 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Message
			frame := append(test.dhcp.frame(t), make([]byte, 20)...) // Ethernet padding
			if reason := m.Parse(frame); reason != "" {
				t.Fatalf("Parse = %q", reason)
			}
			if !test.check(&m) {
				t.Errorf("Parse gave %+v", m)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
	good := func() []byte { return request(Request, option(61, 1, 2)).frame(t) }
	edit := func(edit func([]byte)) []byte { f := good(); edit(f); return f }
	const ip, udp, bootp = 14, 34, 42
	tests := []struct {
		name   string
		frame  []byte
		reason Reason
	}{
		{"empty", nil, ReasonEthernet},
		{"thirteen octets", good()[:13], ReasonEthernet},
		{"tag cut", []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0}, ReasonEthernet},
		{"three tags", wrap(t, request(Request).payload(), "0.0.0.0", 68, 67, 1, 2, 3), ReasonVLANs},
		{"IPv6", edit(func(f []byte) { f[12], f[13] = 0x86, 0xdd }), ReasonNotIPv4},
		{"ARP", edit(func(f []byte) { f[12], f[13] = 8, 6 }), ReasonNotIPv4},
		{"IP version 6 in an IPv4 frame", edit(func(f []byte) { f[ip] = 0x65 }), ReasonNotIPv4},
		{"IP header under 20", edit(func(f []byte) { f[ip] = 0x44 }), ReasonNotIPv4},
		{"IP total length under its header", edit(func(f []byte) { binary.BigEndian.PutUint16(f[ip+2:], 19) }), ReasonNotIPv4},
		{"IP total length past the frame", edit(func(f []byte) { binary.BigEndian.PutUint16(f[ip+2:], 1500) }), ReasonTruncated},
		{"frame cut in the IP header", good()[:ip+10], ReasonTruncated},
		{"frame cut in the options", good()[:bootp+241], ReasonTruncated},
		{"TCP", edit(func(f []byte) { f[ip+9] = 6 }), ReasonNotDHCP},
		{"first fragment", edit(func(f []byte) { f[ip+6] = 0x20 }), ReasonFragment},
		{"later fragment", edit(func(f []byte) { f[ip+7] = 1 }), ReasonFragment},
		{"other ports", wrap(t, request(Request).payload(), "0.0.0.0", 68, 53), ReasonNotDHCP},
		{"to 68 from elsewhere", wrap(t, reply(ACK, "1.2.3.4").payload(), "0.0.0.0", 1067, 68), ReasonNotDHCP},
		{"to a relay's own port, of which it has not told", wrap(t, reply(ACK, "1.2.3.4").payload(), "0.0.0.0", 67, 1067), ReasonNotDHCP},
		{"a request to a relay's own port", wrap(t, request(Request, option(82, 19, 0)).payload(), "0.0.0.0", 67, 1067), ReasonNotDHCP},
		{"UDP length past IP", edit(func(f []byte) { binary.BigEndian.PutUint16(f[udp+4:], 1500) }), ReasonTruncated},
		{"UDP length under its header", edit(func(f []byte) { binary.BigEndian.PutUint16(f[udp+4:], 7) }), ReasonTruncated},
		{"BOOTP cut", wrap(t, request(Request).payload()[:239], "0.0.0.0", 68, 67), ReasonTruncated},
		{"wrong cookie", edit(func(f []byte) { f[bootp+236] = 0 }), ReasonNotDHCP},
		{"op 3", edit(func(f []byte) { f[bootp] = 3 }), ReasonOperation},
		{"hlen 17", edit(func(f []byte) { f[bootp+2] = 17 }), ReasonHardware},
		{"message type of two octets", request(0, option(53, 3, 3)).frame(t), ReasonOption},
		{"two message types", request(Request, option(53, 7)).frame(t), ReasonOption},
		{"two lease times", request(Request, leaseTime(1), leaseTime(2)).frame(t), ReasonOption},
		{"lease time of three octets", request(Request, option(51, 1, 2, 3)).frame(t), ReasonOption},
		{"requested address of five octets", request(Request, option(50, 1, 2, 3, 4, 5)).frame(t), ReasonOption},
		{"server id of no octets", request(Request, option(54)).frame(t), ReasonOption},
		{"rapid commit with a value", request(Discover, option(80, 1)).frame(t), ReasonOption},
		{"overload of two octets", request(Request, option(52, 1, 1)).frame(t), ReasonOption},
		{"overload 4", request(Request, option(52, 4)).frame(t), ReasonOption},
		{"option past the end", request(Request, []byte{61, 200, 1}).frame(t), ReasonOptions},
		{"option without length", wrap(t, append(request(Request).payload()[:243], 61), "0.0.0.0", 68, 67), ReasonOptions},
		{"option past the end of file", dhcp{op: 1, typ: Request, mac: mac1, source: "0.0.0.0", from: 68, to: 67,
			options: option(52, 1), file: append(make([]byte, 126), 61, 9)}.frame(t), ReasonOptions},
		{"client id over 255", request(Request, option(61, make([]byte, 200)...), option(61, make([]byte, 56)...)).frame(t), ReasonLong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Message
			if got := m.Parse(test.frame); got != test.reason {
				t.Errorf("Parse = %q, want %q", got, test.reason)
			}
		})
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	frame := reply(ACK, "100.64.0.10", leaseTime(20), option(61, 1, 2, 3), option(58, 0, 0, 0, 10), option(118, 10, 0, 0, 0),
		option(82, 1, 1, 'c', 5, 4, 1, 2, 3, 4, 6, 1, 's', 9, 6, 0, 0, 0, 9, 1, 0, 11, 4, 1, 2, 3, 4, 12, 1, 'i', 19, 0, 151, 2, 0, 'v', 152, 0)).frame(t)
	var m Message
	if n := testing.AllocsPerRun(100, func() {
		if m.Parse(frame) != "" || len(m.ClientID()) != 3 || len(m.CircuitID()) != 1 || len(m.SubscriberID()) != 1 || len(m.RelayID()) != 1 || len(m.VPN()) != 2 {
			t.Fatal("not parsed")
		}
	}); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func BenchmarkParse(b *testing.B) {
	frame := reply(ACK, "100.64.0.10", leaseTime(20), option(61, 1, 2, 3), option(82, 1, 1, 'c')).frame(b)
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		m.Parse(frame)
	}
}

// compare checks a parsed message against insomniacslk/dhcp's reading of the
// same payload.
func compare(t *testing.T, m *Message, payload []byte) {
	t.Helper()
	peer, err := dhcpv4.FromBytes(payload)
	if err != nil {
		return // the peer insists on an end option; we, like servers, do not
	}
	address := func(ip net.IP) netip.Addr { a, _ := netip.AddrFromSlice(ip.To4()); return a }
	if peer.Options.Has(dhcpv4.OptionOptionOverload) {
		return // the peer does not honour it
	}
	if got, want := m.Type, Type(peer.MessageType()); got != want {
		t.Errorf("type %d, peer %d", got, want)
	}
	if m.XID != binary.BigEndian.Uint32(peer.TransactionID[:]) {
		t.Error("xid differs")
	}
	if m.YourAddress != address(peer.YourIPAddr) || m.ClientAddress != address(peer.ClientIPAddr) || m.Relay != address(peer.GatewayIPAddr) {
		t.Error("an address differs")
	}
	if want := peer.Options.Get(dhcpv4.OptionClientIdentifier); !bytes.Equal(m.ClientID(), want) {
		t.Errorf("client id %x, peer %x", m.ClientID(), want)
	}
	if want := peer.Options.Get(dhcpv4.OptionIPAddressLeaseTime); m.HasLease && len(want) == 4 && m.LeaseSeconds != binary.BigEndian.Uint32(want) {
		t.Errorf("lease time %d, peer %x", m.LeaseSeconds, want)
	}
	for _, x := range []struct {
		code dhcpv4.OptionCode
		ours uint32
	}{{dhcpv4.OptionRenewTimeValue, m.RenewalSeconds}, {dhcpv4.OptionRebindingTimeValue, m.RebindingSeconds}} {
		// The peer concatenates what is repeated; a time in two halves is none to us.
		if want := peer.Options.Get(x.code); len(want) == 4 && x.ours != 0 && x.ours != binary.BigEndian.Uint32(want) {
			t.Errorf("option %d is %d, peer %x", x.code.Code(), x.ours, want)
		}
	}
	want := peer.RelayAgentInfo()
	if want == nil || m.BadRelayInfo {
		return
	}
	for _, x := range []struct {
		code dhcpv4.OptionCode
		ours []byte
	}{{dhcpv4.AgentCircuitIDSubOption, m.CircuitID()}, {dhcpv4.AgentRemoteIDSubOption, m.RemoteID()}, {dhcpv4.SubscriberIDSubOption, m.SubscriberID()},
		{dhcpv4.GenericOptionCode(subOptionRelayID), m.RelayID()}, {dhcpv4.VirtualSubnetSelectionSubOption, m.VPN()}} {
		// The peer concatenates repeated sub-options; RFC 3046 has no such rule.
		if theirs := want.Get(x.code); !bytes.HasPrefix(theirs, x.ours) {
			t.Errorf("sub-option %d is %x, peer %x", x.code.Code(), x.ours, theirs)
		}
	}
	if theirs := want.Get(dhcpv4.LinkSelectionSubOption); len(theirs) == 4 && (!m.Subnet.IsValid() || m.Subnet != address(theirs)) {
		t.Errorf("link-selection %v, peer %x", m.Subnet, theirs)
	}
}

func TestDifferential(t *testing.T) {
	for name, frames := range map[string]int{clientSide: 19, serverSide: 29, perfdhcp: 1998} {
		compared := 0
		for _, f := range readCapture(t, name, frames) {
			var m Message
			if m.Parse(f.data) != "" {
				continue
			}
			compared++
			compare(t, &m, f.data[42:])
		}
		if want := map[string]int{clientSide: 15, serverSide: 25, perfdhcp: 1998}[name]; compared != want {
			t.Errorf("%s: compared %d messages, want %d", name, compared, want)
		}
	}
}

// FuzzPayload checks DHCP payloads against insomniacslk/dhcp.
func FuzzPayload(f *testing.F) {
	for _, c := range readCapture(f, clientSide, 19) {
		if len(c.data) > 300 {
			f.Add(c.data[42:])
		}
	}
	for _, c := range readCapture(f, perfdhcp, 1998)[:8] {
		f.Add(c.data[42:])
	}
	f.Add(request(Request, option(58, 0, 0, 0, 9), option(59, 0, 0, 0, 10), option(118, 10, 0, 0, 0),
		option(82, 5, 4, 1, 2, 3, 4, 6, 1, 's', 9, 6, 0, 0, 0, 9, 1, 0, 11, 4, 1, 2, 3, 4, 12, 1, 'i', 19, 0, 151, 2, 0, 'v', 152, 0)).payload())
	f.Add(request(Request, option(52, 3), option(61, 1, 2), option(61, 3), option(82, 1, 9, 'c')).payload())
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1400 {
			return
		}
		var m Message
		if m.Parse(wrap(t, payload, "192.0.2.1", 67, 67)) == "" {
			compare(t, &m, payload)
		}
	})
}

// FuzzFrame checks that no frame panics the parser or the tracker, and that a
// tracker holds no more than its bounds.
func FuzzFrame(f *testing.F) {
	for _, c := range readCapture(f, serverSide, 29) {
		f.Add(c.data, c.data)
	}
	f.Add(request(Request, option(82, 1, 1, 'c')).frame(f), reply(ACK, "100.64.0.10", leaseTime(20)).frame(f))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		tracker := NewTracker(Config{MaxLeases: 1, MaxPending: 1})
		for i, data := range [][]byte{first, second, first, second} {
			r := tracker.Apply(Frame{At: at(i), Interface: "e0", Data: data})
			for _, o := range r.Observations {
				if o.SessionKey == "" || o.Identifier.Value == "" {
					t.Errorf("incomplete observation %+v", o)
				}
			}
			if tracker.Len() > 1 || len(tracker.pending) > 1 || len(tracker.queue) > 1 {
				t.Error("bounds exceeded")
			}
		}
	})
}
