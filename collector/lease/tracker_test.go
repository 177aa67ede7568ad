package lease

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

var mac2 = net.HardwareAddr{2, 0, 0, 0, 0, 2}

// step is a frame at a second and what must come of it: observations written as
// "kind identifier address[ cause]", or a reason.
type step struct {
	second int
	dhcp   dhcp
	want   string
}

func (d dhcp) by(mac net.HardwareAddr) dhcp { d.mac = mac; return d }
func (d dhcp) withXID(xid uint32) dhcp      { d.xid = xid; return d }
func (d dhcp) holding(ciaddr string) dhcp   { d.ciaddr, d.source = ciaddr, ciaddr; return d }
func (d dhcp) relayedBy(giaddr string) dhcp { d.giaddr = giaddr; return d }
func (d dhcp) on(vlans ...uint16) dhcp      { d.vlans = vlans; return d }
func (d dhcp) sentFrom(source string) dhcp  { d.source = source; return d }
func (d dhcp) ports(from, to uint16) dhcp   { d.from, d.to = from, to; return d }
func (d dhcp) wants(address string) dhcp {
	d.options = join(d.options, addressOption(50, address))
	return d
}
func (d dhcp) with(options ...[]byte) dhcp       { d.options = join(d.options, join(options...)); return d }
func ackFor(address string, seconds uint32) dhcp { return reply(ACK, address, leaseTime(seconds)) }

func describe(r Result) string {
	var parts []string
	for _, o := range r.Observations {
		address := "-"
		if parts := strings.Split(o.SessionKey, "|"); len(parts) == 5 {
			address = parts[3]
		}
		s := fmt.Sprintf("%s %s %s", o.Kind, strings.TrimPrefix(o.Identifier.Value, "e0/0.0/02:00:00:00:00:"), address)
		if o.EndCause != "" {
			s += " " + string(o.EndCause)
		}
		parts = append(parts, s)
	}
	if r.Reason != "" {
		parts = append(parts, string(r.Reason))
	}
	return strings.Join(parts, ", ")
}

func TestTracker(t *testing.T) {
	const a, b = "100.64.0.10", "100.64.0.11"
	bind := []step{{0, request(Request).wants(a), ""}, {0, ackFor(a, 60), "start 01 " + a}}
	circuit := option(82, 1, 2, 'c', '1')
	other := option(82, 1, 2, 'c', '2')
	tests := []struct {
		name  string
		cfg   Config
		steps []step
	}{
		{"four-way exchange", Config{}, []step{
			{0, request(Discover), "no_binding"}, {0, reply(Offer, a, leaseTime(60)), "no_binding"},
			{0, request(Request).wants(a), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"ACK of an INFORM", Config{}, []step{
			{0, request(Inform).holding(a), "no_binding"}, {0, reply(ACK, ""), "no_binding"}}},
		{"ACK of an INFORM with an address", Config{}, []step{
			{0, request(Inform).holding(a), "no_binding"}, {0, ackFor(a, 60), "unasked"}}},
		{"ACK without a REQUEST", Config{}, []step{{0, ackFor(a, 60), "unasked"}}},
		{"ACK with another xid", Config{}, []step{{0, request(Request).wants(a), ""}, {0, ackFor(a, 60).withXID(8), "unasked"}}},
		{"ACK for another client", Config{}, []step{{0, request(Request).wants(a), ""}, {0, ackFor(a, 60).by(mac2), "unasked"}}},
		{"ACK too late", Config{}, []step{{0, request(Request).wants(a), ""}, {31, ackFor(a, 60), "unasked"}}},
		{"ACK without lease time", Config{}, []step{{0, request(Request).wants(a), ""}, {0, reply(ACK, a), "no_lease_time"}, {1, ackFor(a, 60), "start 01 " + a}}},
		{"ACK with lease time zero", Config{}, []step{{0, request(Request).wants(a), ""}, {0, ackFor(a, 0), "no_lease_time"}}},
		{"ACK of a multicast address", Config{}, []step{{0, request(Request), ""}, {0, ackFor("224.0.0.1", 60), "address"}}},
		{"second ACK", Config{}, append(bind[:2:2], step{0, ackFor(a, 60), "copy"}, step{1, ackFor(b, 60), "copy"})},
		{"renewal", Config{}, append(bind[:2:2], step{30, request(Request).holding(a), ""}, step{30, ackFor(a, 60), "refresh 01 " + a})},
		{"renewal whose REQUEST was missed", Config{}, append(bind[:2:2], step{40, ackFor(a, 60), "refresh 01 " + a}, step{41, ackFor(b, 60), "unasked"})},
		{"rebinding", Config{}, append(bind[:2:2], step{50, request(Request).holding(a).sentFrom(a), ""}, step{50, ackFor(a, 60), "refresh 01 " + a})},
		{"init-reboot", Config{}, append(bind[:2:2], step{20, request(Request).wants(a).withXID(9), ""}, step{20, ackFor(a, 60).withXID(9), "refresh 01 " + a})},
		{"bound again after expiry", Config{}, append(bind[:2:2], step{60, request(Request).wants(a), ""}, step{60, ackFor(a, 60), "start 01 " + a})},
		{"rapid commit", Config{}, []step{{0, request(Discover, option(80)), ""}, {0, ackFor(a, 60).with(option(80)), "start 01 " + a}}},
		{"rapid commit not taken up", Config{}, []step{{0, request(Discover, option(80)), ""}, {0, ackFor(a, 60), "unasked"},
			{2, request(Request).wants(a), ""}, {2, ackFor(a, 60), "start 01 " + a}}},
		{"release", Config{}, append(bind[:2:2], step{5, request(Release).holding(a).withXID(99), "end 01 " + a + " release"}, step{6, request(Release).holding(a), "no_lease"})},
		{"release that crosses the answer to a renewal", Config{}, append(bind[:2:2], step{5, request(Request).holding(a).withXID(8), ""},
			step{6, request(Release).holding(a).withXID(9), "end 01 " + a + " release"}, step{7, ackFor(a, 60).withXID(8), "given_up"},
			step{8, request(Request).wants(a).withXID(10), ""}, step{8, ackFor(a, 60).withXID(10), "start 01 " + a})},
		{"release that crosses the answer to a first request", Config{}, []step{{0, request(Request).wants(a), ""},
			{1, request(Release).holding(a).withXID(9), "no_lease"}, {2, ackFor(a, 60), "given_up"}}},
		{"release by another client while an answer is on its way", Config{}, []step{{0, request(Request).wants(a), ""},
			{1, request(Release).holding(a).by(mac2), "no_lease"}, {2, ackFor(a, 60), "start 01 " + a}}},
		{"release by another client", Config{}, append(bind[:2:2], step{5, request(Release).holding(a).by(mac2), "not_holder"}, step{6, request(Release).holding(a), "end 01 " + a + " release"})},
		{"release with another client id", Config{}, append(bind[:2:2], step{5, request(Release, option(61, 9, 9)).holding(a), "not_holder"})},
		{"release from another VLAN", Config{}, append(bind[:2:2], step{5, request(Release).holding(a).on(7), "not_holder"})},
		{"release of an expired lease", Config{}, append(bind[:2:2], step{60, request(Release).holding(a), "no_lease"})},
		{"decline", Config{}, append(bind[:2:2], step{5, request(Decline).wants(a), "end 01 " + a + " release"})},
		{"decline by another client", Config{}, append(bind[:2:2], step{5, request(Decline).wants(a).by(mac2), "not_holder"})},
		{"decline without an address", Config{}, append(bind[:2:2], step{5, request(Decline), "no_lease"})},
		{"NAK of the renewal", Config{}, append(bind[:2:2], step{5, request(Request).holding(a), ""}, step{5, reply(NAK, ""), "end 01 " + a + " release"}, step{6, ackFor(a, 60), "copy"})},
		{"NAK after the ACK", Config{}, append(bind[:2:2], step{0, reply(NAK, ""), "copy"}, step{1, request(Request).holding(a), ""})},
		{"NAK of a wish for another's address", Config{}, append(bind[:2:2], step{5, request(Request).wants(a).by(mac2), ""}, step{5, reply(NAK, "").by(mac2), "no_lease"})},
		{"NAK of nothing", Config{}, append(bind[:2:2], step{5, reply(NAK, "").withXID(9), "unasked"})},
		{"superseded by another client", Config{}, append(bind[:2:2], step{5, request(Request).wants(a).by(mac2), ""},
			step{5, ackFor(a, 60).by(mac2), "end 01 " + a + " superseded, start 02 " + a}, step{6, request(Release).holding(a), "not_holder"})},
		{"moved to another address", Config{}, append(bind[:2:2], step{5, request(Request).wants(b), ""},
			step{5, ackFor(b, 60), "end 01 " + a + " superseded, start 01 " + b})},
		{"moved to another VLAN", Config{}, append(bind[:2:2], step{5, request(Request).wants(a).on(100, 7), ""},
			step{5, ackFor(a, 60).on(100, 7), "end 01 " + a + " superseded, start e0/100.7/02:00:00:00:00:01 " + a})},
		{"the same address in two scoped VLANs", Config{VLANScoped: func(string) bool { return true }}, []step{
			{0, request(Request).wants(a).on(1), ""}, {0, ackFor(a, 60).on(1), "start e0/1.0/02:00:00:00:00:01 " + a},
			{1, request(Request).wants(a).on(2), ""}, {1, ackFor(a, 60).on(2), "start e0/2.0/02:00:00:00:00:01 " + a}}},
		{"ACK in another VLAN", Config{}, []step{{0, request(Request).wants(a).on(1), ""}, {0, ackFor(a, 60).on(2), "unasked"}}},
		{"client id that is htype and MAC", Config{}, []step{{0, request(Request, option(61, append([]byte{1}, mac1...)...)), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"client id of another kind", Config{}, []step{{0, request(Request, option(61, 255, 1, 2)), ""}, {0, ackFor(a, 60), "start e0/0.0/ff0102 " + a}}},
		{"client id too short to be one", Config{}, []step{{0, request(Request, option(61, 1)), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"circuit id by the access node", Config{}, []step{{0, request(Request, circuit), ""}, {0, ackFor(a, 60), "start 6331 " + a},
			{30, request(Request).holding(a), ""}, {30, ackFor(a, 60), "refresh 6331 " + a}}},
		{"remote id alone, and sticky", Config{}, []step{{0, request(Request, option(82, 2, 2, 'r', '1')), ""}, {0, ackFor(a, 60), "start 00000de97231 " + a},
			{30, request(Request).holding(a), ""}, {30, ackFor(a, 60), "refresh 00000de97231 " + a}}},
		{"circuit id before remote id", Config{}, []step{{0, request(Request, option(82, 2, 2, 'r', '1', 1, 2, 'c', '1')), ""}, {0, ackFor(a, 60), "start 6331 " + a}}},
		{"remote id of a routing relay", Config{}, []step{{0, request(Request, option(82, 2, 2, 'r', '1')).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"remote id ignored", Config{IgnoreCircuitID: true}, []step{{0, request(Request, option(82, 2, 2, 'r', '1')), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"circuit id of a routing relay", Config{}, []step{{0, request(Request, circuit).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"circuit id ignored", Config{IgnoreCircuitID: true}, []step{{0, request(Request, circuit), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"moved to another circuit", Config{}, []step{{0, request(Request, circuit), ""}, {0, ackFor(a, 60), "start 6331 " + a},
			{9, request(Request, other).wants(a), ""}, {9, ackFor(a, 60), "end 6331 " + a + " superseded, start 6332 " + a}}},
		{"malformed option 82", Config{}, []step{{0, request(Request, option(82, 2, 9, 'r')), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"a relay's copies of one REQUEST", Config{}, append(bind[:2:2], step{30, request(Request).holding(a), ""}, step{30, request(Request).holding(a).relayedBy("10.0.0.1"), "copy"},
			step{30, ackFor(a, 60), "refresh 01 " + a}, step{30, request(Request).holding(a).relayedBy("10.0.0.2"), "copy"}, step{30, ackFor(a, 60).relayedBy("10.0.0.1"), "copy"})},
		{"retransmitted REQUEST", Config{}, []step{{0, request(Request).wants(a), ""}, {4, request(Request).wants(a), ""}, {4, ackFor(a, 60), "start 01 " + a}}},
		{"reply forged by a subscriber", Config{}, append(bind[:2:2], step{1, request(Request).wants(b).by(mac2), ""},
			step{1, ackFor(b, 60).by(mac2).sentFrom(a), "forged_server"})},
		{"reply not from the servers", Config{Servers: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/24")}}, []step{
			{0, request(Request).wants(a), ""}, {0, ackFor(a, 60), "forged_server"}, {0, ackFor(a, 60).sentFrom("10.9.0.2"), "start 01 " + a}}},
		{"no client at all", Config{}, []step{{0, request(Request).by(nil), "no_client"}}},
		{"client id without a MAC", Config{}, []step{{0, request(Request, option(61, 255, 7)).by(nil), ""}, {0, ackFor(a, 60).by(nil).with(option(61, 255, 7)), "start e0/0.0/ff07 " + a}}},
		{"no room for a lease", Config{MaxLeases: 1}, append(bind[:2:2], step{1, request(Request).wants(b).by(mac2), ""}, step{1, ackFor(b, 60).by(mac2), "leases_full"})},
		{"room again after expiry", Config{MaxLeases: 1}, append(bind[:2:2], step{61, request(Request).wants(b).by(mac2), ""}, step{61, ackFor(b, 60).by(mac2), "start 02 " + b})},
		{"oldest REQUEST forgotten", Config{MaxPending: 1}, []step{{0, request(Request).wants(a), ""}, {0, request(Request).wants(b).by(mac2), ""},
			{0, ackFor(a, 60), "unasked"}, {0, ackFor(b, 60).by(mac2), "start 02 " + b}}},
		{"ACK of a BOOTP request", Config{}, []step{{0, request(BOOTP), ""}, {0, ackFor(a, 60), "unasked"}}},
		{"BOOTP reply to a DHCP request", Config{}, []step{{0, request(Request).wants(a), ""}, {0, reply(BOOTP, a), "unasked"}}},
		{"BOOTP reply that nobody asked for", Config{}, []step{{0, reply(BOOTP, a), "unasked"}}},
		{"BOOTP reply without an address", Config{}, []step{{0, request(BOOTP), ""}, {0, reply(BOOTP, ""), "no_binding"}}},
		{"NAK of a BOOTP request", Config{}, []step{{0, request(BOOTP), ""}, {0, reply(NAK, ""), "unasked"}}},
		{"BOOTP with a lease time", Config{}, []step{{0, request(BOOTP), ""}, {0, reply(BOOTP, a, leaseTime(60)), "start 01 " + a}}},
		{"leases through two relays", Config{}, []step{
			{0, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {0, request(Request).wants(b).by(mac2).relayedBy("10.0.0.2"), ""},
			{0, ackFor(b, 60).by(mac2).relayedBy("10.0.0.2"), "start 02 " + b}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a}}},
		{"one client through two relays, two servers answer", Config{}, []step{
			{0, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {0, request(Request).wants(a).relayedBy("10.0.0.2"), "copy"},
			{0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a}, {0, ackFor(a, 60).relayedBy("10.0.0.2").sentFrom("10.9.9.9"), "copy"}}},
		{"server that does not echo the client id (before RFC 6842)", Config{}, []step{
			{0, request(Request, option(61, 255, 1, 2)), ""}, {0, ackFor(a, 60), "start e0/0.0/ff0102 " + a},
			{30, request(Request, option(61, 255, 1, 2)).holding(a), ""}, {30, ackFor(a, 60).with(option(61, 255, 1, 2)), "refresh e0/0.0/ff0102 " + a}}},
		{"a copy by another relay, late", Config{}, []step{
			{0, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a},
			{3, request(Request).wants(a).relayedBy("10.0.0.2"), "copy"}, {3, ackFor(b, 60).relayedBy("10.0.0.2").sentFrom("10.9.9.9"), "copy"}}},
		{"a copy by another relay-id (sub-option 12), late", Config{}, []step{
			{0, request(Request, option(82, 12, 1, 'x')).wants(a).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a},
			{3, request(Request, option(82, 12, 1, 'y')).wants(a).relayedBy("10.0.0.1"), "copy"}, {3, ackFor(b, 60).relayedBy("10.0.0.1"), "copy"}}},
		{"a copy by another link-selection (sub-option 5), late", Config{}, []step{
			{0, request(Request, option(82, 5, 4, 10, 1, 0, 0)).wants(a).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a},
			{3, request(Request, option(82, 5, 4, 10, 2, 0, 0)).wants(a).relayedBy("10.0.0.1"), "copy"}}},
		{"again by the same relay: a retransmission", Config{}, []step{
			{0, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a},
			{4, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {4, ackFor(a, 60).relayedBy("10.0.0.1"), "refresh 01 " + a}}},
		{"a renewal with the old xid, soon, by another relay", Config{}, []step{
			{0, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a},
			{9, request(Request).holding(a).relayedBy("10.0.0.2"), ""}, {9, ackFor(a, 60).relayedBy("10.0.0.2"), "refresh 01 " + a}}},
		{"a renewal with the old xid, soon, by no relay", Config{}, []step{
			{0, request(Request).wants(a).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a},
			{9, request(Request).holding(a), ""}, {9, ackFor(a, 60), "refresh 01 " + a}}},
		{"subscriber-id (sub-option 6) of an access node that tells nothing else", Config{}, []step{
			{0, request(Request, option(82, 6, 2, 's', '1')), ""}, {0, ackFor(a, 60), "start 7331 " + a},
			{30, request(Request).holding(a), ""}, {30, ackFor(a, 60), "refresh 7331 " + a}}},
		{"remote id beside vendor information of no known form", Config{}, []step{{0, request(Request, option(82, 9, 3, 'x', 'y', 'z', 2, 2, 'r', '1')), ""}, {0, ackFor(a, 60), "start 00000de97231 " + a}}},
		{"circuit id before subscriber-id", Config{}, []step{{0, request(Request, option(82, 6, 2, 's', '1', 1, 2, 'c', '1')), ""}, {0, ackFor(a, 60), "start 6331 " + a}}},
		{"subscriber-id of a router, not configured", Config{}, []step{
			{0, request(Request, option(82, 6, 2, 's', '1')).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 01 " + a}}},
		{"subscriber-id of a router, configured", Config{SubscriberID: true}, []step{
			{0, request(Request, option(82, 1, 1, 'p', 6, 2, 's', '1')).relayedBy("10.0.0.1"), ""}, {0, ackFor(a, 60).relayedBy("10.0.0.1"), "start 7331 " + a}}},
		{"subscriber-id in a broken option 82", Config{SubscriberID: true}, []step{
			{0, request(Request, option(82, 6, 2, 's', '1', 2, 9)), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"subscriber-id that a client may have written", Config{IgnoreCircuitID: true, SubscriberID: true}, []step{
			{0, request(Request, option(82, 6, 2, 's', '1')), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"a relay with a source port of its own (sub-option 19)", Config{}, []step{
			{0, request(Request, option(82, 19, 0)).wants(a).relayedBy("10.0.0.1").ports(1067, 67), ""},
			{0, ackFor(a, 60).with(option(82, 19, 0)).relayedBy("10.0.0.1").ports(67, 1067), "start 01 " + a}}},
		{"server-id override (sub-option 11): the relay renews", Config{Servers: []netip.Prefix{netip.MustParsePrefix("100.64.0.1/32")}}, []step{
			{0, request(Request, option(82, 11, 4, 100, 64, 0, 1)).wants(a).relayedBy("100.64.0.1"), ""},
			{0, ackFor(a, 60).with(addressOption(54, "100.64.0.1"), option(82, 11, 4, 100, 64, 0, 1)).relayedBy("100.64.0.1"), "start 01 " + a},
			{20, request(Request, option(82, 11, 4, 100, 64, 0, 1)).holding(a).relayedBy("100.64.0.1").withXID(9), ""},
			{20, ackFor(a, 60).relayedBy("100.64.0.1").withXID(9), "refresh 01 " + a}}},
		{"unknown message type", Config{}, []step{{0, request(13), "no_binding"}, {0, reply(13, a), "no_binding"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTracker(test.cfg)
			for i, s := range test.steps {
				direction := schema.Up
				if s.dhcp.op == 2 {
					direction = schema.Down
				}
				r := tracker.Apply(Frame{At: at(s.second), Interface: "e0", Direction: direction, Data: s.dhcp.frame(t)})
				if got := describe(r); got != s.want {
					t.Fatalf("step %d: got %q, want %q", i, got, s.want)
				}
				for _, o := range r.Observations {
					checkObservation(t, o, at(s.second))
				}
			}
		})
	}
}

// checkObservation checks what every observation must have.
func checkObservation(t *testing.T, o binding.Observation, when time.Time) {
	t.Helper()
	if !o.At.Equal(when) || o.Source != schema.SourceDHCPv4 || o.NAS != "e0" || o.NASPort == "" {
		t.Errorf("incomplete: %+v", o)
	}
	switch o.Kind {
	case binding.End:
		if o.Prefixes != nil || o.EndCause == "" {
			t.Errorf("end: %+v", o)
		}
	case binding.Start, binding.Refresh:
		if len(o.Prefixes) != 1 || !o.ExpiresAt.Equal(when.Add(time.Minute)) || o.EndCause != "" {
			t.Errorf("%s: %+v", o.Kind, o)
		}
		if (o.Kind == binding.Start) != o.SessionStartedAt.Equal(when) {
			t.Errorf("start told wrongly: %+v", o)
		}
	}
}

func TestDirection(t *testing.T) {
	tracker := NewTracker(Config{})
	if r := tracker.Apply(Frame{Interface: "e0", Direction: schema.Down, Data: request(Request).frame(t)}); r.Reason != ReasonDirection {
		t.Errorf("request towards subscribers: %q", r.Reason)
	}
	tracker.Apply(Frame{Interface: "e0", Direction: schema.Up, Data: request(Request).frame(t)})
	if r := tracker.Apply(Frame{Interface: "e0", Direction: schema.Up, Data: ackFor("100.64.0.10", 60).frame(t)}); r.Reason != ReasonDirection || len(r.Observations) > 0 {
		t.Errorf("ACK from a subscriber: %q, %d observations", r.Reason, len(r.Observations))
	}
}

func TestInfiniteLease(t *testing.T) {
	tracker := NewTracker(Config{})
	tracker.Apply(Frame{At: at(0), Interface: "e0", Data: request(Request).frame(t)})
	r := tracker.Apply(Frame{At: at(0), Interface: "e0", Data: ackFor("100.64.0.10", 0xffffffff).frame(t)})
	if len(r.Observations) != 1 || !r.Observations[0].ExpiresAt.IsZero() {
		t.Fatalf("infinite lease: %+v", r)
	}
	later := at(0).AddDate(10, 0, 0)
	if r := tracker.Apply(Frame{At: later, Interface: "e0", Data: request(Release).holding("100.64.0.10").frame(t)}); len(r.Observations) != 1 {
		t.Errorf("released ten years later: %+v", r)
	}
}

// TestBOOTP: a plain BOOTP reply gives an address for good.
func TestBOOTP(t *testing.T) {
	tracker := NewTracker(Config{})
	tracker.Apply(Frame{At: at(0), Interface: "e0", Data: request(BOOTP).frame(t)})
	r := tracker.Apply(Frame{At: at(0), Interface: "e0", Data: reply(BOOTP, "100.64.0.10").frame(t)})
	if len(r.Observations) != 1 || r.Observations[0].Kind != binding.Start || !r.Observations[0].ExpiresAt.IsZero() {
		t.Fatalf("BOOTP reply: %+v", r)
	}
	tracker.Apply(Frame{At: at(3600), Interface: "e0", Data: request(BOOTP).withXID(9).frame(t)})
	r = tracker.Apply(Frame{At: at(3600), Interface: "e0", Data: reply(BOOTP, "100.64.0.10").withXID(9).frame(t)})
	if len(r.Observations) != 1 || r.Observations[0].Kind != binding.Refresh {
		t.Errorf("again an hour later: %+v", r)
	}
}

// TestNamesAreNotKept: host name, domain name, vendor class and parameter list
// say what someone owns, and nothing about who holds an address.
func TestNamesAreNotKept(t *testing.T) {
	const name = "annas-phone"
	tracker := NewTracker(Config{})
	frame := request(Request, option(12, []byte(name)...), option(81, append([]byte{0, 0, 0}, name...)...), option(60, []byte(name)...), option(55, []byte(name)...)).frame(t)
	tracker.Apply(Frame{At: at(0), Interface: "e0", Data: frame})
	r := tracker.Apply(Frame{At: at(0), Interface: "e0", Data: ackFor("100.64.0.10", 60).with(option(12, []byte(name)...)).frame(t)})
	snapshot, err := tracker.Snapshot()
	if err != nil || len(r.Observations) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if text := fmt.Sprintf("%+v %+v %s", r, *tracker.pending[exchangeKey{place{Interface: "e0"}, "", 7, [16]byte(append(mac1[:6:6], make([]byte, 10)...))}], snapshot); strings.Contains(text, name) {
		t.Errorf("a name was kept: %s", text)
	}
	// Nor in the parser's own memory, which is reused.
	if m := tracker.message; bytes.Contains(append(m.clientID[:], m.relay[:]...), []byte(name)) {
		t.Error("a name was parsed")
	}
}

func TestScope(t *testing.T) {
	tracker := NewTracker(Config{VLANScoped: func(iface string) bool { return iface == "e0" }})
	for iface, want := range map[string]uint32{"e0": 100<<16 | 7, "e1": 0} {
		tracker.Apply(Frame{At: at(0), Interface: iface, Data: request(Request).on(100, 7).frame(t)})
		r := tracker.Apply(Frame{At: at(0), Interface: iface, Data: ackFor("100.64.0.10", 60).on(100, 7).frame(t)})
		if len(r.Observations) != 1 || r.Observations[0].Scope != want || r.Observations[0].NASPort != "100.7" {
			t.Errorf("%s: %+v", iface, r)
		}
	}
}
