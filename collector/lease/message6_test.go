package lease

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

func held(p string, valid uint32, delegated bool) Lease6 {
	return Lease6{Prefix: netip.MustParsePrefix(p), IAID: 1, T1Seconds: 10, T2Seconds: 20,
		PreferredSeconds: valid / 2, ValidSeconds: valid, Delegated: delegated}
}

func TestParse6(t *testing.T) {
	const a, p = "2001:db8::10", "2001:db8:100::/56"
	na, pd := held(a+"/128", 60, false), held(p, 60, true)
	refused := na
	refused.Refused = true
	both := join(iana(1, address6(a, 60)), iapd(1, prefix6(p, 60)))
	wrong := func(edit func([]byte)) []byte {
		b := iana(1, address6(a, 60))
		edit(b)
		return b
	}
	var many [][]byte
	for i := range 40 {
		many = append(many, address6(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i + 1)}).String(), 60))
	}
	tests := []struct {
		name   string
		dhcp   dhcp6
		leases []Lease6
		bad    int
		check  func(*Message6) bool
	}{
		{"solicit", message6(Solicit6), nil, 0, func(m *Message6) bool {
			return m.Type == Solicit6 && m.XID == 0x070809 && bytes.Equal(m.DUID, duid1) && m.Relays == 0 && !m.RapidCommit
		}},
		{"rapid commit", message6(Solicit6, option6(14)), nil, 0, func(m *Message6) bool { return m.RapidCommit }},
		{"QinQ", message6(Solicit6).on(100, 7), nil, 0, func(m *Message6) bool { return m.OuterVLAN == 100 && m.InnerVLAN == 7 }},
		{"within PPPoE in QinQ", message6(Reply6, both).within(9).on(100, 7), []Lease6{na, pd}, 0, func(m *Message6) bool {
			return m.PPPoESession == 9 && m.InnerVLAN == 7
		}},
		{"address and prefix", message6(Reply6, both), []Lease6{na, pd}, 0, nil},
		{"several of both in several associations", message6(Reply6, iana(1, address6(a, 60)), iana(2, address6("2001:db8::11", 60), address6("2001:db8::12", 60)),
			iapd(1, prefix6(p, 60), prefix6("2001:db8:200::/60", 0))), nil, 0, func(m *Message6) bool {
			return len(m.Leases()) == 5 && m.Leases()[2].IAID == 2 && m.Leases()[4].ValidSeconds == 0
		}},
		{"temporary address", message6(Reply6, option6(option6IATA, append(uint32s(1), address6(a, 60)...)...)), nil, 0, func(m *Message6) bool {
			return len(m.Leases()) == 1 && m.Leases()[0].Prefix == na.Prefix && m.Leases()[0].T1Seconds == 0
		}},
		{"infinity", message6(Reply6, iana(1, address6(a, infinite6))), nil, 0, func(m *Message6) bool { return m.Leases()[0].ValidSeconds == infinite6 }},
		{"bits past the prefix length", message6(Reply6, iapd(1, prefix6("2001:db8:100::f/56", 60))), []Lease6{pd}, 0, nil},
		{"prefix exclude", message6(Reply6, iapd(1, prefix6(p, 60, option6(67, 64, 0x10)))), []Lease6{pd}, 0, nil},
		{"no wish", message6(Solicit6, iapd(1, prefix6("::/56", 0)), iana(1, address6("::", 0))), nil, 0, nil},
		{"status", message6(Reply6, status6(5)), nil, 0, func(m *Message6) bool { return m.Status == 5 }},
		{"status of an association", message6(Reply6, iana(1, address6(a, 60), status6(3))), []Lease6{refused}, 0, nil},
		{"status of an address", message6(Reply6, iana(1, address6(a, 60, status6(4)))), []Lease6{refused}, 0, nil},
		{"status of success", message6(Reply6, status6(0), iana(1, address6(a, 60, status6(0)), status6(0))), []Lease6{na}, 0, nil},
		{"trailing garbage", message6(Reply6, both, []byte{1, 2, 3}), []Lease6{na, pd}, 1, nil},
		{"last option past the end", message6(Reply6, both, []byte{0, 3, 0xff, 0xff, 1}), []Lease6{na, pd}, 1, nil},
		{"a bad status does not void the association after it", message6(Reply6, option6(13, 0), iana(1, address6(a, 60))), []Lease6{na}, 1, nil},
		{"garbage within an association", message6(Reply6, iana(1, address6(a, 60), []byte{0, 5, 0})), []Lease6{na}, 1, nil},
		{"garbage within an address", message6(Reply6, iana(1, address6(a, 60, []byte{0, 5}))), []Lease6{na}, 1, nil},
		{"short address before a whole one", message6(Reply6, iana(1, option6(5, 1, 2, 3), address6(a, 60))), []Lease6{na}, 1, nil},
		{"short association", message6(Reply6, option6(3, 1, 2, 3), iapd(1, prefix6(p, 60))), []Lease6{pd}, 1, nil},
		{"T1 after T2", message6(Reply6, wrong(func(b []byte) { binary.BigEndian.PutUint32(b[8:], 21) }), iapd(1, prefix6(p, 60))), []Lease6{pd}, 1, nil},
		{"preferred longer than valid", message6(Reply6, wrong(func(b []byte) { binary.BigEndian.PutUint32(b[36:], 61) }), iapd(1, prefix6(p, 60))), []Lease6{pd}, 1, nil},
		{"prefix of 129 bits", message6(Reply6, iapd(1, func() []byte { b := prefix6(p, 60); b[12] = 129; return b }(), prefix6(p, 60))), []Lease6{pd}, 1, nil},
		{"link-local, multicast and mapped addresses", message6(Reply6, iana(1, address6("fe80::1", 60), address6("ff02::1", 60), address6("::ffff:1.2.3.4", 60))), nil, 3, nil},
		{"prefix in an IA_NA", message6(Reply6, iana(1, prefix6(p, 60))), nil, 0, nil},
		{"forty addresses", message6(Reply6, iana(1, many...)), nil, 0, func(m *Message6) bool { return len(m.Leases()) == 32 && m.Missed == 8 }},
		{"two client ids", message6(Reply6, option6(1, duid2...), iana(1, address6(a, 60))), []Lease6{na}, 1, func(m *Message6) bool { return bytes.Equal(m.DUID, duid1) }},
		{"client id too long", func() dhcp6 { d := message6(Solicit6); d.duid = make([]byte, 131); return d }(), nil, 1, func(m *Message6) bool { return m.DUID == nil }},
		{"relayed", message6(Request6).relayed("2001:db8::1", option6(18, 'i'), option6(37, 0, 0, 0x0d, 0xe9, 'r'), option6(38, 's'), option6(53, 0, 3, 1), option6(79, 0, 1, 2, 0, 0, 0, 0, 9)), nil, 0,
			func(m *Message6) bool {
				return m.Relays == 1 && m.PeerAddress == netip.MustParseAddr("fe80::1") && m.LinkAddress == netip.MustParseAddr("2001:db8::1") &&
					string(m.InterfaceID) == "i" && bytes.Equal(m.RemoteID, []byte{0, 0, 0x0d, 0xe9, 'r'}) && string(m.Subscriber) == "s" && bytes.Equal(m.RelayID, []byte{0, 3, 1}) && bytes.Equal(m.ClientMAC, []byte{2, 0, 0, 0, 0, 9})
			}},
		{"options of the relay next to the client", message6(Request6).relayed("::", option6(18, 'i')).relayed("2001:db8::1", option6(18, 'j'), option6(37, 0, 0, 0, 9, 'r')), nil, 0,
			func(m *Message6) bool {
				return m.Relays == 2 && string(m.InterfaceID) == "i" && m.RemoteID == nil && m.LinkAddress.IsUnspecified()
			}},
		{"eight relays", func() dhcp6 {
			d := message6(Request6)
			for range 8 {
				d = d.relayed("2001:db8::1")
			}
			return d
		}(), nil, 0, func(m *Message6) bool { return m.Relays == 8 }},
		{"relayed reply with a source port", message6(Reply6, both).relayed("2001:db8::1", option6(135, 4, 0)), []Lease6{na, pd}, 0, func(m *Message6) bool { return m.RelaySourcePort }},
		{"to a relay's own port", message6(Reply6, both).relayed("2001:db8::1", option6(135, 4, 0)).ports(547, 1024), []Lease6{na, pd}, 0, func(m *Message6) bool { return m.RelaySourcePort }},
		{"to the own port of the relay farther away", message6(Reply6, both).relayed("2001:db8::1").relayed("2001:db8::2", option6(135, 4, 0)).ports(547, 1024), []Lease6{na, pd}, 0, func(m *Message6) bool { return m.RelaySourcePort }},
		{"source port of three octets", message6(Reply6, both).relayed("2001:db8::1", option6(135, 4, 0, 0)), []Lease6{na, pd}, 1, func(m *Message6) bool { return !m.RelaySourcePort }},
		{"relay-id of the relay next to the client", message6(Request6).relayed("::", option6(53, 0, 3, 1)).relayed("2001:db8::1", option6(53, 0, 3, 2)), nil, 0, func(m *Message6) bool { return bytes.Equal(m.RelayID, []byte{0, 3, 1}) }},
		{"relay-id too short to be one", message6(Request6).relayed("2001:db8::1", option6(53, 0, 3)), nil, 1, func(m *Message6) bool { return m.RelayID == nil }},
		{"relay-id too long", message6(Request6).relayed("2001:db8::1", option6(53, make([]byte, 131)...)), nil, 1, func(m *Message6) bool { return m.RelayID == nil }},
		{"subscriber-id without an id", message6(Request6).relayed("2001:db8::1", option6(38)), nil, 1, func(m *Message6) bool { return m.Subscriber == nil }},
		{"T1, T2 and preferred without end", message6(Reply6, option6(option6IAPD, append(uint32s(1, infinite6, infinite6), func() []byte {
			b := prefix6(p, infinite6)
			binary.BigEndian.PutUint32(b[4:], infinite6)
			return b
		}()...)...)), []Lease6{{Prefix: pd.Prefix, IAID: 1, T1Seconds: infinite6, T2Seconds: infinite6, PreferredSeconds: infinite6, ValidSeconds: infinite6, Delegated: true}}, 0, nil},
		{"T2 up to the client", message6(Reply6, wrong(func(b []byte) { binary.BigEndian.PutUint32(b[12:], 0) })), []Lease6{{Prefix: na.Prefix, IAID: 1, T1Seconds: 10, PreferredSeconds: 30, ValidSeconds: 60}}, 0, nil},
		{"prefix exclude of nine bits", message6(Reply6, iapd(1, prefix6(p, 60, option6(67, 65, 0x10, 0x80)))), []Lease6{pd}, 0, nil},
		{"prefix exclude of one octet too few", message6(Reply6, iapd(1, prefix6(p, 60, option6(67, 65, 0x10)))), []Lease6{pd}, 1, nil},
		{"prefix exclude of one octet too many", message6(Reply6, iapd(1, prefix6(p, 60, option6(67, 64, 0x10, 0)))), []Lease6{pd}, 1, nil},
		{"prefix exclude of the whole prefix", message6(Reply6, iapd(1, prefix6(p, 60, option6(67, 56, 0)))), []Lease6{pd}, 1, nil},
		{"prefix exclude of 129 bits", message6(Reply6, iapd(1, prefix6(p, 60, option6(67, append([]byte{129}, make([]byte, 10)...)...)))), []Lease6{pd}, 1, nil},
		{"empty prefix exclude", message6(Reply6, iapd(1, prefix6(p, 60, option6(67)))), []Lease6{pd}, 1, nil},
		{"prefix exclude in an address means nothing", message6(Reply6, iana(1, address6(a, 60, option6(67)))), []Lease6{na}, 0, nil},
		{"hardware address of another kind", message6(Request6).relayed("2001:db8::1", option6(79, 0, 32, 1, 2, 3)), nil, 1, func(m *Message6) bool { return m.ClientMAC == nil }},
		{"remote id without an id", message6(Request6).relayed("2001:db8::1", option6(37, 0, 0, 0, 9)), nil, 1, func(m *Message6) bool { return m.RemoteID == nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Message6
			m.Parse(message6(Reply6, both).relayed("::", option6(18, 'x')).frame(t)) // nothing of it may stay
			frame := append(test.dhcp.frame(t), make([]byte, 20)...)                 // Ethernet padding
			if reason := m.Parse(frame); reason != "" {
				t.Fatalf("Parse = %q", reason)
			}
			if test.leases != nil && !slices.Equal(m.Leases(), test.leases) || test.leases == nil && test.check == nil && len(m.Leases()) > 0 {
				t.Errorf("leases %+v, want %+v", m.Leases(), test.leases)
			}
			if m.BadOptions != test.bad {
				t.Errorf("%d bad options, want %d", m.BadOptions, test.bad)
			}
			if test.check != nil && !test.check(&m) {
				t.Errorf("Parse gave %+v", m)
			}
		})
	}
}

func TestParse6Rejects(t *testing.T) {
	good := func() []byte { return message6(Request6).frame(t) }
	edit := func(edit func([]byte)) []byte { f := good(); edit(f); return f }
	payload := func(p []byte) []byte { return wrap6(t, p, "fe80::1", 546, 547, mac1, acMAC, 0) }
	nine := message6(Request6)
	for range 9 {
		nine = nine.relayed("2001:db8::1")
	}
	const ip, udp = 14, 54
	tests := []struct {
		name   string
		frame  []byte
		reason Reason
	}{
		{"empty", nil, ReasonEthernet},
		{"three tags", message6(Request6).on(1, 2, 3).frame(t), ReasonVLANs},
		{"IPv4", edit(func(f []byte) { f[12], f[13] = 8, 0 }), ReasonNotIPv6},
		{"IP version 4 in an IPv6 frame", edit(func(f []byte) { f[ip] = 0x45 }), ReasonNotIPv6},
		{"frame cut in the IP header", good()[:ip+20], ReasonTruncated},
		{"IP payload past the frame", good()[:len(good())-1], ReasonTruncated},
		{"TCP", edit(func(f []byte) { f[ip+6] = 6 }), ReasonNotDHCPv6},
		{"fragment", edit(func(f []byte) { f[ip+6] = 44 }), ReasonFragment},
		{"other ports", wrap6(t, message6(Request6).payload(), "fe80::1", 546, 53, mac1, acMAC, 0), ReasonNotDHCPv6},
		{"to a relay's own port, of which it has not told", message6(Reply6).relayed("2001:db8::1").ports(547, 1547).frame(t), ReasonNotDHCPv6},
		{"a request to a relay's own port", message6(Request6).relayed("2001:db8::1", option6(135, 0, 0)).ports(547, 1547).frame(t), ReasonNotDHCPv6},
		{"from and to other ports", message6(Reply6).relayed("2001:db8::1", option6(135, 4, 0)).ports(1024, 1024).frame(t), ReasonNotDHCPv6},
		{"UDP length past IP", edit(func(f []byte) { binary.BigEndian.PutUint16(f[udp+4:], 1500) }), ReasonTruncated},
		{"UDP length under its header", edit(func(f []byte) { binary.BigEndian.PutUint16(f[udp+4:], 7) }), ReasonTruncated},
		{"no payload", payload(nil), ReasonTruncated},
		{"header cut", payload([]byte{3, 1, 2}), ReasonTruncated},
		{"type 0", payload([]byte{0, 1, 2, 3}), ReasonNotDHCPv6},
		{"leasequery", payload([]byte{14, 1, 2, 3}), ReasonNotDHCPv6},
		{"relay header cut", payload(append([]byte{12}, make([]byte, 32)...)), ReasonTruncated},
		{"relay without a message", payload(append([]byte{12}, make([]byte, 33)...)), ReasonNoMessage},
		{"relay with an empty message", payload(append(append([]byte{12}, make([]byte, 33)...), option6(9)...)), ReasonNoMessage},
		{"nine relays", nine.frame(t), ReasonRelayDepth},
		{"reply within a relay-forward", payload(append(append([]byte{12}, make([]byte, 33)...), option6(9, 7, 1, 2, 3)...)), ReasonRelayDepth},
		{"request within a relay-reply", payload(append(append([]byte{13}, make([]byte, 33)...), option6(9, 3, 1, 2, 3)...)), ReasonRelayDepth},
		{"PPP session 0", func() []byte { f := message6(Request6).within(9).frame(t); f[17] = 0; return f }(), ReasonNotIPv6},
		{"IPv4 within PPPoE", func() []byte { f := message6(Request6).within(9).frame(t); f[21] = 0x21; return f }(), ReasonNotIPv6},
		{"PPPoE past the frame", func() []byte { f := message6(Request6).within(9).frame(t); f[18] = 0xff; return f }(), ReasonTruncated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Message6
			if got := m.Parse(test.frame); got != test.reason {
				t.Errorf("Parse = %q, want %q", got, test.reason)
			}
		})
	}
}

// relayedReply is what the bench and the allocation test read: a relayed reply
// with an address and a prefix.
func relayedReply(t testing.TB) []byte {
	return message6(Reply6, option6(2, duid2...), iana(1, address6("2001:db8::10", 60)), iapd(1, prefix6("2001:db8:100::/56", 60))).
		relayed("2001:db8::1", option6(18, 1, 0, 0, 0), option6(38, 's'), option6(53, duid2...), option6(135, 4, 0)).frame(t)
}

func TestParse6AllocatesNothing(t *testing.T) {
	frame := relayedReply(t)
	var m Message6
	if n := testing.AllocsPerRun(100, func() {
		if m.Parse(frame) != "" || len(m.Leases()) != 2 {
			t.Fatal("not parsed")
		}
	}); n != 0 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func BenchmarkParse6(b *testing.B) {
	frame := relayedReply(b)
	b.Run("ours", func(b *testing.B) {
		var m Message6
		b.ReportAllocs()
		for b.Loop() {
			if m.Parse(frame) != "" {
				b.Fatal("not parsed")
			}
		}
	})
	// The peer gets the UDP payload: it does not read frames.
	b.Run("insomniacslk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dhcpv6.FromBytes(frame[62:]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// compare6 checks a parsed message against insomniacslk/dhcp's reading of the
// same payload, and returns whether the peer could read it.
func compare6(t *testing.T, m *Message6, payload []byte) bool {
	t.Helper()
	peer, err := dhcpv6.FromBytes(payload)
	if err != nil {
		return false // one bad option makes the peer give up
	}
	inner, err := peer.GetInnerMessage()
	if err != nil {
		return false
	}
	if Type6(inner.MessageType) != m.Type || binary.BigEndian.Uint32(append([]byte{0}, inner.TransactionID[:]...)) != m.XID {
		t.Errorf("type %d xid %x, the peer reads %d %x", m.Type, m.XID, inner.MessageType, inner.TransactionID)
	}
	if id := inner.Options.ClientID(); id != nil && m.DUID != nil && !bytes.Equal(id.ToBytes(), m.DUID) {
		t.Errorf("client id %x, the peer reads %x", m.DUID, id.ToBytes())
	}
	compareRelay(t, m, peer)
	var theirs []Lease6
	for _, ia := range inner.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			ip, _ := netip.AddrFromSlice(a.IPv6Addr.To16())
			theirs = append(theirs, Lease6{Prefix: netip.PrefixFrom(ip, 128), IAID: binary.BigEndian.Uint32(ia.IaId[:]), ValidSeconds: uint32(a.ValidLifetime.Seconds()),
				T1Seconds: uint32(ia.T1.Seconds()), T2Seconds: uint32(ia.T2.Seconds()), PreferredSeconds: uint32(a.PreferredLifetime.Seconds())})
		}
	}
	for _, ia := range inner.Options.IAPD() {
		for _, p := range ia.Options.Prefixes() {
			if p.Prefix == nil {
				continue
			}
			ip, _ := netip.AddrFromSlice(p.Prefix.IP.To16())
			bits, _ := p.Prefix.Mask.Size()
			theirs = append(theirs, Lease6{Prefix: netip.PrefixFrom(ip, bits).Masked(), IAID: binary.BigEndian.Uint32(ia.IaId[:]), ValidSeconds: uint32(p.ValidLifetime.Seconds()), Delegated: true,
				T1Seconds: uint32(ia.T1.Seconds()), T2Seconds: uint32(ia.T2.Seconds()), PreferredSeconds: uint32(p.PreferredLifetime.Seconds())})
		}
	}
	// Whatever we read, the peer reads too; what it reads and we do not, we refuse.
	for _, l := range m.Leases() {
		found := slices.ContainsFunc(theirs, func(x Lease6) bool {
			x.Refused = l.Refused
			return x == l
		})
		if !found && len(inner.Options.Get(dhcpv6.OptionIATA)) == 0 {
			t.Errorf("lease %+v is not among the peer's %+v", l, theirs)
		}
	}
	if m.BadOptions == 0 && m.Missed == 0 && len(theirs) > len(m.Leases()) {
		for _, l := range theirs {
			if !l.Prefix.Addr().IsUnspecified() {
				if !slices.ContainsFunc(m.Leases(), func(x Lease6) bool { return x.Prefix == l.Prefix }) {
					t.Errorf("the peer reads %+v too", l)
				}
			}
		}
	}
	return true
}

// compareRelay checks the options of the relay next to the client.
func compareRelay(t *testing.T, m *Message6, peer dhcpv6.DHCPv6) {
	t.Helper()
	var nearest *dhcpv6.RelayMessage
	for relay, ok := peer.(*dhcpv6.RelayMessage); ok; relay, ok = peer.(*dhcpv6.RelayMessage) {
		nearest, peer = relay, relay.Options.RelayMessage()
	}
	if nearest == nil || m.BadOptions > 0 {
		return
	}
	for code, ours := range map[dhcpv6.OptionCode][]byte{
		dhcpv6.OptionInterfaceID: m.InterfaceID, dhcpv6.OptionRemoteID: m.RemoteID,
		dhcpv6.OptionRelayAgentSubscriberID: m.Subscriber, dhcpv6.OptionRelayID: m.RelayID,
	} {
		if theirs := nearest.Options.Get(code); len(theirs) > 0 && !bytes.Equal(theirs[len(theirs)-1].ToBytes(), ours) || len(theirs) == 0 && len(ours) > 0 {
			t.Errorf("%s is %x, the peer reads %v", code, ours, theirs)
		}
	}
	if theirs := nearest.Options.Get(dhcpv6.OptionRelayPort); len(theirs) > 0 && !m.RelaySourcePort {
		t.Error("the peer reads a relay's source port too")
	}
}

func TestRelayOptionsAsThePeerReadsThem(t *testing.T) {
	var m Message6
	d := message6(Request6).relayed("::", option6(18, 'i'), option6(37, 0, 0, 0x0d, 0xe9, 'r'), option6(38, 's'), option6(53, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1), option6(135, 4, 0)).relayed("2001:db8::1", option6(38, 't'))
	if m.Parse(d.frame(t)) != "" || m.BadOptions > 0 || !compare6(t, &m, d.payload()) {
		t.Errorf("%+v", m)
	}
}

func TestCaptures6AsThePeerReadsThem(t *testing.T) {
	for _, name := range []string{clientSide6, serverSide6} {
		for i, c := range readCapture(t, name, 8) {
			var m Message6
			if reason := m.Parse(c.data); reason != "" {
				t.Fatalf("%s frame %d: %q", name, i+1, reason)
			}
			if m.BadOptions != 0 || !compare6(t, &m, c.data[62:]) {
				t.Errorf("%s frame %d: %d bad options, or the peer does not read it", name, i+1, m.BadOptions)
			}
		}
	}
}

// FuzzPayload6 checks DHCPv6 payloads against insomniacslk/dhcp.
func FuzzPayload6(f *testing.F) {
	for _, name := range []string{clientSide6, serverSide6} {
		for _, c := range readCapture(f, name, 8) {
			f.Add(c.data[62:])
		}
	}
	f.Add(message6(Reply6, iana(1, address6("2001:db8::1", 60, status6(2))), iapd(2, prefix6("2001:db8:1::/56", 60, option6(67, 64, 1)))).payload())
	f.Add(message6(Request6).relayed("::", option6(38, 's'), option6(53, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1), option6(135, 4, 0)).payload())
	f.Add(message6(Reply6, iana(1, address6("2001:db8::1", 60)), []byte{1, 2, 3}).relayed("::", option6(18, 'i')).relayed("2001:db8::1").payload())
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 1400 {
			return
		}
		var m Message6
		if m.Parse(wrap6(t, payload, "fe80::1", 547, 547, mac1, acMAC, 0)) == "" {
			compare6(t, &m, payload)
		}
	})
}
