package lease

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"griffier/collector/binding"
	"griffier/schema"
)

const pppoeCapture = "pppoe_session.pcap"

// pppoe is a PPPoE frame under construction.
type pppoe struct {
	code     PPPoECode // 0: session
	session  uint16
	tags     []byte
	protocol uint16
	packet   []byte
	fromAC   bool
	host     net.HardwareAddr
	ac       net.HardwareAddr
	vlans    []uint16
}

func discovery(code PPPoECode, session uint16, tags ...[]byte) pppoe {
	return pppoe{code: code, session: session, tags: join(tags...), fromAC: code == PADO || code == PADS, host: mac1, ac: acMAC}
}

func tag(kind uint16, value ...byte) []byte { return option6(kind, value...) } // same form as a DHCPv6 option

// tr101 is the tag that an access node adds, vendor 3561.
func tr101(subTags ...byte) []byte {
	return tag(0x0105, append([]byte{0, 0, 0x0d, 0xe9}, subTags...)...)
}

// control is a PPP control packet of session 1 from the host.
func control(protocol uint16, code, id byte, options ...[]byte) pppoe {
	body := join(options...)
	packet := append(binary.BigEndian.AppendUint16([]byte{code, id}, uint16(4+len(body))), body...)
	return pppoe{session: 1, protocol: protocol, packet: packet, host: mac1, ac: acMAC}
}

func (p pppoe) byAC() pppoe                    { p.fromAC = true; return p }
func (p pppoe) by(host net.HardwareAddr) pppoe { p.host = host; return p }
func (p pppoe) at(session uint16) pppoe        { p.session = session; return p }
func (p pppoe) on(vlans ...uint16) pppoe       { p.vlans = vlans; return p }
func (p pppoe) with(ac net.HardwareAddr) pppoe { p.ac = ac; return p }
func ipcpAddress(a string) []byte {
	ip := netip.MustParseAddr(a).As4()
	return append([]byte{3, 6}, ip[:]...)
}
func direction(fromAC bool) schema.Direction {
	if fromAC {
		return schema.Down
	}
	return schema.Up
}

func (p pppoe) frame(t testing.TB) []byte {
	t.Helper()
	from, to := p.host, p.ac
	if p.fromAC {
		from, to = to, from
	}
	layer := &layers.PPPoE{Version: 1, Type: 1, Code: layers.PPPoECode(p.code), SessionId: p.session}
	inner, etherType := []gopacket.SerializableLayer{layer, gopacket.Payload(p.tags)}, layers.EthernetTypePPPoEDiscovery
	if p.code == 0 {
		payload := append(binary.BigEndian.AppendUint16(nil, p.protocol), p.packet...)
		inner, etherType = []gopacket.SerializableLayer{layer, gopacket.Payload(payload)}, layers.EthernetTypePPPoESession
	}
	return serialize(t, from, to, etherType, inner, p.vlans...)
}

func describePPP(r Result) string {
	var parts []string
	for _, o := range r.Observations {
		s := fmt.Sprintf("%s %s", o.Kind, strings.TrimPrefix(o.Identifier.Value, "e0/0.0/02:00:00:00:00:"))
		for _, p := range o.Prefixes {
			s += " " + p.Addr().String()
		}
		if o.EndCause != "" {
			s += " " + string(o.EndCause)
		}
		if o.Certainty != schema.CertaintyObserved {
			s += " " + string(o.Certainty)
		}
		parts = append(parts, s)
	}
	if r.Reason != "" {
		parts = append(parts, string(r.Reason))
	}
	return strings.Join(parts, ", ")
}

type stepPPP struct {
	second int
	frame  pppoe
	want   string
}

func TestTrackerPPP(t *testing.T) {
	const a, b = "100.64.0.10", "100.64.0.11"
	uniq := tag(0x0103, 7, 7)
	open := []stepPPP{
		{0, discovery(PADI, 0, uniq), "no_binding"}, {0, discovery(PADO, 0, uniq), "no_binding"},
		{0, discovery(PADR, 0, uniq), ""}, {0, discovery(PADS, 1, uniq), "start 01"}}
	opened := func(more ...stepPPP) []stepPPP { return append(open[:4:4], more...) }
	addressed := func(more ...stepPPP) []stepPPP {
		return opened(append([]stepPPP{
			{1, control(pppIPCP, configureRequest, 1, ipcpAddress("0.0.0.0")), ""},
			{1, control(pppIPCP, configureRequest, 9, ipcpAddress("10.0.0.1")).byAC(), "no_binding"}, // the AC's own
			{1, control(pppIPCP, configureAck, 9, ipcpAddress("10.0.0.1")), "no_binding"},
			{1, control(pppIPCP, 3, 1, ipcpAddress(a)).byAC(), "no_binding"}, // Configure-Nak
			{1, control(pppIPCP, configureRequest, 2, ipcpAddress(a)), ""},
			{1, control(pppIPCP, configureAck, 2, ipcpAddress(a)).byAC(), "refresh 01 " + a}}, more...)...)
	}
	second := func(p pppoe) pppoe { return p.by(mac2) }
	tests := []struct {
		name  string
		cfg   Config
		steps []stepPPP
	}{
		{"session with an address, ended by its host", Config{}, addressed(stepPPP{9, discovery(PADT, 1), "end 01 release"}, stepPPP{9, discovery(PADT, 1).byAC(), "no_session"})},
		{"ended by the concentrator", Config{}, addressed(stepPPP{9, discovery(PADT, 1, tag(0x0203, 'x')).byAC(), "end 01 release"})},
		{"ended by LCP", Config{}, addressed(stepPPP{9, control(pppLCP, terminateRequest, 3), "end 01 release"}, stepPPP{9, control(pppLCP, terminateAck, 3).byAC(), "no_session"})},
		{"ended by LCP, request missed", Config{}, addressed(stepPPP{9, control(pppLCP, terminateAck, 3).byAC(), "end 01 release"})},
		{"LCP echo is nothing", Config{}, opened(stepPPP{9, control(pppLCP, 9, 3), "no_binding"})},
		{"refused", Config{}, []stepPPP{{0, discovery(PADR, 0), ""}, {0, discovery(PADS, 0, tag(0x0201, 'n')), "refused"}}},
		{"refused with an id", Config{}, []stepPPP{{0, discovery(PADR, 0), ""}, {0, discovery(PADS, 1, tag(0x0202, 'n')), "refused"}}},
		{"PADS without PADR", Config{}, []stepPPP{{0, discovery(PADS, 1), "unasked"}}},
		{"PADS for another request", Config{}, []stepPPP{{0, discovery(PADR, 0, uniq), ""}, {0, discovery(PADS, 1, tag(0x0103, 8)), "unasked"}}},
		{"PADS for another host", Config{}, []stepPPP{{0, discovery(PADR, 0, uniq), ""}, {0, second(discovery(PADS, 1, uniq)), "unasked"}}},
		{"PADS in another VLAN", Config{}, []stepPPP{{0, discovery(PADR, 0).on(1), ""}, {0, discovery(PADS, 1).on(2), "unasked"}}},
		{"PADS too late", Config{}, []stepPPP{{0, discovery(PADR, 0), ""}, {31, discovery(PADS, 1), "unasked"}}},
		{"PADS twice", Config{}, opened(stepPPP{1, discovery(PADS, 1, uniq), "copy"})},
		{"circuit of the access node", Config{}, []stepPPP{{0, discovery(PADR, 0, tr101(1, 2, 'c', '1', 2, 1, 'r')), ""}, {0, discovery(PADS, 1), "start 6331"}}},
		{"remote id of the access node alone", Config{}, []stepPPP{{0, discovery(PADR, 0, tr101(2, 2, 'r', '1')), ""}, {0, discovery(PADS, 1), "start 00000de97231"}}},
		{"circuit ignored", Config{IgnoreCircuitID: true}, []stepPPP{{0, discovery(PADR, 0, tr101(1, 2, 'c', '1')), ""}, {0, discovery(PADS, 1), "start 01"}}},
		{"another vendor's tag", Config{}, []stepPPP{{0, discovery(PADR, 0, tag(0x0105, 0, 0, 0, 9, 1, 1, 'c')), ""}, {0, discovery(PADS, 1), "start 01"}}},
		{"vendor tag that lies", Config{}, []stepPPP{{0, discovery(PADR, 0, tr101(2, 1, 'r', 1, 9, 'c')), ""}, {0, discovery(PADS, 1), "start 01"}}},
		{"ack of an address never asked for", Config{}, opened(stepPPP{1, control(pppIPCP, configureAck, 1, ipcpAddress(a)).byAC(), "unasked"})},
		{"ack of another address than asked for", Config{}, opened(stepPPP{1, control(pppIPCP, configureRequest, 1, ipcpAddress(a)), ""}, stepPPP{1, control(pppIPCP, configureAck, 1, ipcpAddress(b)).byAC(), "unasked"})},
		{"ack of an older request", Config{}, opened(stepPPP{1, control(pppIPCP, configureRequest, 1, ipcpAddress(a)), ""}, stepPPP{1, control(pppIPCP, configureRequest, 2, ipcpAddress(a)), ""},
			stepPPP{1, control(pppIPCP, configureAck, 1, ipcpAddress(a)).byAC(), "unasked"})},
		{"ack without an address", Config{}, opened(stepPPP{1, control(pppIPCP, configureRequest, 1), ""}, stepPPP{1, control(pppIPCP, configureAck, 1).byAC(), "no_binding"})},
		{"ack of no address", Config{}, opened(stepPPP{1, control(pppIPCP, configureRequest, 1, ipcpAddress("0.0.0.0")), ""}, stepPPP{1, control(pppIPCP, configureAck, 1, ipcpAddress("0.0.0.0")).byAC(), "address"})},
		{"address changes", Config{}, addressed(stepPPP{5, control(pppIPCP, configureRequest, 3, ipcpAddress(b)), ""}, stepPPP{5, control(pppIPCP, configureAck, 3, ipcpAddress(b)).byAC(), "refresh 01 " + b})},
		{"IPCP closes, the session goes on", Config{}, addressed(stepPPP{5, control(pppIPCP, terminateRequest, 3), "end 01 release, start 01"}, stepPPP{5, control(pppIPCP, terminateAck, 3).byAC(), "no_binding"},
			stepPPP{6, control(pppIPCP, configureRequest, 4, ipcpAddress(b)), ""}, stepPPP{6, control(pppIPCP, configureAck, 4, ipcpAddress(b)).byAC(), "refresh 01 " + b}, stepPPP{7, discovery(PADT, 1), "end 01 release"})},
		{"IPV6CP", Config{}, opened(stepPPP{1, control(pppIPV6CP, configureRequest, 1, append([]byte{1, 10}, make([]byte, 8)...)), ""}, stepPPP{1, control(pppIPV6CP, configureAck, 7).byAC(), "unasked"},
			stepPPP{1, control(pppIPV6CP, configureAck, 1).byAC(), "refresh 01"}, stepPPP{2, control(pppIPV6CP, terminateRequest, 2), "no_binding"})},
		{"IPV6CP ack of nothing", Config{}, opened(stepPPP{1, control(pppIPV6CP, configureAck, 0).byAC(), "unasked"})},
		{"id used again", Config{}, addressed(stepPPP{40, discovery(PADR, 0, uniq), ""}, stepPPP{40, discovery(PADS, 1, uniq), "end 01 inferred inferred, start 01"})},
		{"the same id of another host and another concentrator", Config{}, opened(
			stepPPP{1, second(discovery(PADR, 0, uniq)), ""}, stepPPP{1, second(discovery(PADS, 1, uniq)), "start 02"},
			stepPPP{2, discovery(PADR, 0).with(mac2), ""}, stepPPP{2, discovery(PADS, 1).with(mac2), "start 01"},
			stepPPP{3, second(discovery(PADT, 1)), "end 02 release"}, stepPPP{3, discovery(PADT, 1), "end 01 release"}, stepPPP{3, discovery(PADT, 1).with(mac2), "end 01 release"})},
		{"address used again by another session", Config{}, addressed(stepPPP{5, second(discovery(PADR, 0)), ""}, stepPPP{5, second(discovery(PADS, 2)), "start 02"},
			stepPPP{6, second(control(pppIPCP, configureRequest, 1, ipcpAddress(a))).at(2), ""}, stepPPP{6, second(control(pppIPCP, configureAck, 1, ipcpAddress(a))).at(2).byAC(), "end 01 superseded, refresh 02 " + a})},
		{"the same address in two scoped VLANs", Config{VLANScoped: func(string) bool { return true }}, []stepPPP{
			{0, discovery(PADR, 0).on(1), ""}, {0, discovery(PADS, 1).on(1), "start e0/1.0/02:00:00:00:00:01"}, {0, control(pppIPCP, configureRequest, 1, ipcpAddress(a)).on(1), ""},
			{0, control(pppIPCP, configureAck, 1, ipcpAddress(a)).byAC().on(1), "refresh e0/1.0/02:00:00:00:00:01 " + a},
			{0, second(discovery(PADR, 0)).on(2), ""}, {0, second(discovery(PADS, 1)).on(2), "start e0/2.0/02:00:00:00:00:02"}, {0, second(control(pppIPCP, configureRequest, 1, ipcpAddress(a))).on(2), ""},
			{0, second(control(pppIPCP, configureAck, 1, ipcpAddress(a))).byAC().on(2), "refresh e0/2.0/02:00:00:00:00:02 " + a}}},
		{"session never seen to begin", Config{}, []stepPPP{{0, control(pppIPCP, configureRequest, 1, ipcpAddress(a)), "no_session"}, {0, discovery(PADT, 1), "no_session"}}},
		{"PADT of another host", Config{}, opened(stepPPP{1, second(discovery(PADT, 1)), "no_session"})},
		{"no room for a session", Config{MaxLeases: 1}, opened(stepPPP{1, second(discovery(PADR, 0)), ""}, stepPPP{1, second(discovery(PADS, 2)), "leases_full"})},
		{"oldest PADR forgotten", Config{MaxPending: 1}, []stepPPP{{0, discovery(PADR, 0), ""}, {0, second(discovery(PADR, 0)), ""}, {0, discovery(PADS, 1), "unasked"}, {0, second(discovery(PADS, 1)), "start 02"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTrackerPPP(test.cfg)
			for i, s := range test.steps {
				before := tracker.Len()
				r, over := tracker.Apply(Frame{At: at(s.second), Interface: "e0", Direction: direction(s.frame.fromAC), Data: s.frame.frame(t)})
				if got := describePPP(r); got != s.want {
					t.Fatalf("step %d: got %q, want %q", i, got, s.want)
				}
				for j, o := range r.Observations {
					if !o.At.Equal(at(s.second)) || o.Source != schema.SourcePPPoE || o.NAS != "e0" || !o.ExpiresAt.IsZero() || (o.Kind == binding.Start) != o.SessionStartedAt.Equal(at(s.second)) {
						t.Errorf("step %d: %+v", i, o)
					}
					if j < len(over) && (o.Kind != binding.End || !strings.Contains(o.SessionKey, over[j].text())) {
						t.Errorf("step %d: %+v over, first observation %+v", i, over[j], o)
					}
				}
				if tracker.Len() > before+1 || len(tracker.addresses) > tracker.Len() {
					t.Errorf("step %d: %d sessions, %d addresses", i, tracker.Len(), len(tracker.addresses))
				}
			}
		})
	}
}

// TestDirectionPPP: a subscriber confirms no sessions and acknowledges no
// addresses, and nobody asks for one from the far side.
func TestDirectionPPP(t *testing.T) {
	tracker := NewTrackerPPP(Config{})
	apply := func(p pppoe, d schema.Direction) string {
		r, _ := tracker.Apply(Frame{At: at(0), Interface: "e0", Direction: d, Data: p.frame(t)})
		return describePPP(r)
	}
	if got := apply(discovery(PADR, 0), schema.Down); got != "direction" {
		t.Errorf("PADR towards subscribers: %q", got)
	}
	apply(discovery(PADR, 0), schema.Up)
	if got := apply(discovery(PADS, 1), schema.Up); got != "direction" {
		t.Errorf("PADS from a subscriber: %q", got)
	}
	apply(discovery(PADS, 1), schema.Down)
	apply(control(pppIPCP, configureRequest, 1, ipcpAddress("100.64.0.1")), schema.Up)
	if got := apply(control(pppIPCP, configureAck, 1, ipcpAddress("100.64.0.1")).byAC(), schema.Up); got != "direction" {
		t.Errorf("Configure-Ack from a subscriber in the concentrator's name: %q", got)
	}
	if got := apply(discovery(PADT, 1).byAC(), schema.Up); got != "direction" {
		t.Errorf("PADT from a subscriber in the concentrator's name: %q", got)
	}
}

func TestParsePPPRejects(t *testing.T) {
	edit := func(p pppoe, edit func([]byte)) []byte { f := p.frame(t); edit(f); return f }
	ack := control(pppIPCP, configureAck, 1, ipcpAddress("100.64.0.1"))
	tests := []struct {
		name   string
		frame  []byte
		reason Reason
	}{
		{"empty", nil, ReasonEthernet},
		{"three tags", discovery(PADI, 0).on(1, 2, 3).frame(t), ReasonVLANs},
		{"IPv4", edit(discovery(PADI, 0), func(f []byte) { f[12], f[13] = 8, 0 }), ReasonNotPPPoE},
		{"version 2", edit(discovery(PADI, 0), func(f []byte) { f[14] = 0x21 }), ReasonNotPPPoE},
		{"header cut", discovery(PADI, 0).frame(t)[:18], ReasonTruncated},
		{"length past the frame", edit(discovery(PADI, 0), func(f []byte) { f[18] = 1 }), ReasonTruncated},
		{"unknown code", discovery(0xd3, 0).frame(t), ReasonOperation},
		{"session frame with a code", edit(ack, func(f []byte) { f[15] = 9 }), ReasonNotPPPoE},
		{"session 0", ack.at(0).frame(t), ReasonNotPPPoE},
		{"no protocol", edit(ack, func(f []byte) { f[19] = 0 }), ReasonTruncated},
		{"PAP", control(0xc023, 1, 1, []byte("\x08user0001\x06secret")).frame(t), ReasonPPP},
		{"CHAP Challenge", control(0xc223, 1, 1).frame(t), ReasonPPP},
		{"CHAP Response with a name", control(0xc223, 2, 1, []byte("\x10sixteen octets..user0001")).frame(t), ReasonPPP},
		{"EAP", control(0xc227, 2, 1, []byte("\x01user0001")).frame(t), ReasonPPP},
		{"data", control(0x0021, 0x45, 0).frame(t), ReasonPPP},
		{"compressed protocol", edit(ack, func(f []byte) { f[20] = 0x21 }), ReasonPPP},
		{"packet cut", edit(ack, func(f []byte) { f[19] = 5 }), ReasonTruncated},
		{"length under its header", edit(ack, func(f []byte) { f[25] = 3 }), ReasonTruncated},
		{"length past the packet", edit(ack, func(f []byte) { f[24] = 1 }), ReasonTruncated},
		{"option of length 1", edit(ack, func(f []byte) { f[27] = 1 }), ReasonOptions},
		{"option past the packet", edit(ack, func(f []byte) { f[27] = 7 }), ReasonOptions},
		{"half an option", control(pppIPCP, configureAck, 1, []byte{3}).frame(t), ReasonOptions},
		{"address of five octets", control(pppIPCP, configureAck, 1, []byte{3, 7, 1, 2, 3, 4, 5}).frame(t), ReasonOption},
		{"interface identifier of seven octets", control(pppIPV6CP, configureAck, 1, append([]byte{1, 9}, make([]byte, 7)...)).frame(t), ReasonOption},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m MessagePPP
			if got := m.Parse(test.frame); got != test.reason {
				t.Errorf("Parse = %q, want %q", got, test.reason)
			}
		})
	}
}

// TestNamesOfPPPAreNotKept: what authenticates a subscriber leaves no trace, though a
// capture has it. There is no option for it.
func TestNamesOfPPPAreNotKept(t *testing.T) {
	follower := NewFollower(Config{})
	var seen []any
	for i, f := range []pppoe{
		discovery(PADR, 0), discovery(PADS, 1).byAC(),
		control(0xc023, 1, 1, []byte("\x08user0001\x06secret")), control(0xc223, 1, 1, []byte("\x10sixteen octets..bng")).byAC(),
		control(0xc223, 2, 1, []byte("\x10sixteen octets..user0001")), control(0xc227, 2, 1, []byte("\x01user0001")),
	} {
		r, _ := follower.Apply(Frame{At: at(i), Interface: "e0", Data: f.frame(t)})
		seen = append(seen, fmt.Sprintf("%+v", r))
	}
	snapshot, err := follower.Snapshot()
	if err != nil || follower.Len() != 1 {
		t.Fatalf("%d sessions, %v", follower.Len(), err)
	}
	m := follower.ppp.message
	text := fmt.Sprintf("%v %s %q", seen, snapshot, [][]byte{m.HostUniq, m.CircuitID, m.RemoteID})
	for _, x := range []string{"user0001", "7573657230303031", "secret", "736563726574"} {
		if strings.Contains(text, x) {
			t.Errorf("%q was kept", x)
		}
	}
}

// TestCapturePPPoE: nobody acknowledges anything in this capture, so there is a
// session without an address, from its PADS to the first PADT. The frames that
// carry a password or data are not read.
func TestCapturePPPoE(t *testing.T) {
	start, end := epoch(1795151546, 18715), epoch(1795151547, 439346)
	o := binding.Observation{
		At: start, Kind: binding.Start, Source: schema.SourcePPPoE, Certainty: schema.CertaintyObserved,
		SessionKey: fmt.Sprintf("e0|0.0|02aabbcc0001.62393533d382.1|%d", start.UnixNano()),
		Identifier: schema.Identifier{Kind: schema.IdentMAC, Value: "e0/0.0/02:aa:bb:cc:00:01"},
		NAS:        "e0", NASPort: "0.0/1", SessionStartedAt: start,
	}
	e := o
	e.At, e.Kind, e.EndCause, e.SessionStartedAt = end, binding.End, schema.EndRelease, time.Time{}
	follower := NewFollower(Config{})
	var got []binding.Observation
	reasons := map[string]int{}
	for _, f := range readCapture(t, pppoeCapture, 41) {
		r, protocol := follower.Apply(Frame{At: f.at, Interface: "e0", Data: f.data})
		got = append(got, r.Observations...)
		reasons[string(protocol)+" "+string(r.Reason)]++
	}
	if want := []binding.Observation{o, e}; !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	want := map[string]int{
		"pppoe no_binding":  3,  // PADI, PADO, LCP Configure-Request
		"pppoe ":            6,  // PADR, PADS, two IPCP and one IPV6CP request, PADT
		"pppoe ppp":         21, // PAP and 20 IPv4 packets
		"pppoe no_session":  1,  // the second PADT
		"dhcpv6 not_dhcpv6": 10,
	}
	if !reflect.DeepEqual(reasons, want) {
		t.Errorf("reasons %v, want %v", reasons, want)
	}
}
