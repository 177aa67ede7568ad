package lease

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// step6 is a frame at a second and what must come of it, as step.
type step6 struct {
	second int
	dhcp   dhcp6
	want   string
}

func describe6(r Result) string {
	var parts []string
	for _, o := range r.Observations {
		prefix := "-"
		if parts := strings.Split(o.SessionKey, "|"); len(parts) == 5 {
			prefix = strings.TrimSuffix(parts[3], "/128")
		}
		id := strings.TrimPrefix(o.Identifier.Value, "e0/0.0/02:00:00:00:00:")
		s := fmt.Sprintf("%s %s %s", o.Kind, id, prefix)
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

func TestTracker6(t *testing.T) {
	const a, b, p, q = "2001:db8::10", "2001:db8::11", "2001:db8:100::/56", "2001:db8:200::/56"
	na := func(address string, valid uint32) []byte { return iana(1, address6(address, valid)) }
	pd := func(prefix string, valid uint32) []byte { return iapd(1, prefix6(prefix, valid)) }
	ask := message6(Request6, na(a, 0))
	reply := func(options ...[]byte) dhcp6 { return message6(Reply6, options...) }
	bind := []step6{{0, ask, ""}, {0, reply(na(a, 60)), "start 01 " + a}}
	bound := func(more ...step6) []step6 { return append(bind[:2:2], more...) }
	second := func(d dhcp6) dhcp6 { return d.by(duid2, mac2) }
	circuit := func(d dhcp6) dhcp6 { return d.relayed("::", option6(18, 'c', '1')) }
	router := func(d dhcp6) dhcp6 { return d.relayed("2001:db8::1", option6(18, 1, 0, 0, 0)) }
	tests := []struct {
		name  string
		cfg   Config
		steps []step6
	}{
		{"four-message exchange with address and prefix", Config{}, []step6{
			{0, message6(Solicit6, na("::", 0)), "no_binding"}, {0, message6(Advertise6, na(a, 60)), "no_binding"},
			{0, ask, ""}, {0, reply(na(a, 60), pd(p, 60)), "start 01 " + a + ", start 01 " + p}}},
		{"reply without a request", Config{}, []step6{{0, reply(na(a, 60)), "unasked"}}},
		{"reply with another xid", Config{}, []step6{{0, ask, ""}, {0, reply(na(a, 60)).withXID(1), "unasked"}}},
		{"reply to another client", Config{}, []step6{{0, ask, ""}, {0, second(reply(na(a, 60))), "unasked"}}},
		{"reply in another VLAN", Config{}, []step6{{0, ask.on(1), ""}, {0, reply(na(a, 60)).on(2), "unasked"}}},
		{"reply too late", Config{}, []step6{{0, ask, ""}, {31, reply(na(a, 60)), "unasked"}}},
		{"second reply", Config{}, bound(step6{0, reply(na(a, 60)), "copy"}, step6{1, reply(na(b, 60)), "copy"})},
		{"reply without a client id", Config{}, []step6{{0, ask, ""}, {0, reply(na(a, 60)).by(nil, mac1), "no_client"}}},
		{"reply without leases", Config{}, []step6{{0, ask, ""}, {0, reply(), "no_lease"}}},
		{"rapid commit", Config{}, []step6{{0, message6(Solicit6, option6(14)), ""}, {0, reply(option6(14), na(a, 60)), "start 01 " + a}}},
		{"rapid commit not taken up", Config{}, []step6{{0, message6(Solicit6, option6(14)), ""}, {0, message6(Advertise6, na(a, 60)), "no_binding"},
			{0, reply(na(a, 60)), "unasked"}, {1, ask.withXID(9), ""}, {1, reply(na(a, 60)).withXID(9), "start 01 " + a}}},
		{"several addresses, one refused", Config{}, []step6{{0, ask, ""}, {0, reply(iana(1, address6(a, 60)), iana(2, status6(2)), iana(3, address6(b, 60), status6(4)), pd(p, 60)),
			"start 01 " + a + ", start 01 " + p}}},
		{"nothing available", Config{}, []step6{{0, ask, ""}, {0, reply(iana(1, status6(2)), iapd(1, status6(6))), "no_lease"}}},
		{"the whole message refused", Config{}, []step6{{0, ask, ""}, {0, reply(status6(5), na(a, 60)), "refused"}}},
		{"renewal", Config{}, bound(step6{30, message6(Renew6, na(a, 0)).withXID(9), ""}, step6{30, reply(na(a, 60)).withXID(9), "refresh 01 " + a})},
		{"renewal whose request was missed", Config{}, bound(step6{40, reply(na(a, 60)).withXID(9), "refresh 01 " + a}, step6{41, reply(na(a, 60), na(b, 60)).withXID(8), "unasked"})},
		{"rebinding", Config{}, bound(step6{50, message6(Rebind6, na(a, 0)).withXID(9), ""}, step6{50, reply(na(a, 60)).withXID(9), "refresh 01 " + a})},
		{"renewal adds a prefix", Config{}, bound(step6{30, message6(Renew6).withXID(9), ""}, step6{30, reply(na(a, 60), pd(p, 60)).withXID(9), "refresh 01 " + a + ", start 01 " + p})},
		{"renewal takes an address back", Config{}, bound(step6{30, message6(Renew6).withXID(9), ""}, step6{30, reply(iana(1, address6(a, 0), address6(b, 60))).withXID(9), "end 01 " + a + " expiry, start 01 " + b})},
		{"an address is taken back in a refused association", Config{}, bound(step6{30, message6(Renew6).withXID(9), ""}, step6{30, reply(iana(1, address6(a, 0), status6(4))).withXID(9), "end 01 " + a + " expiry"})},
		{"taking back what another holds", Config{}, bound(step6{1, second(ask), ""}, step6{1, second(reply(na(a, 0))), "no_lease"})},
		{"no binding on renewal", Config{}, bound(step6{30, message6(Renew6).withXID(9), ""}, step6{30, reply(iana(1, status6(3))).withXID(9), "no_lease"},
			step6{31, message6(Release6, na(a, 0)).withXID(10), ""}, step6{31, reply(status6(0)).withXID(10), "end 01 " + a + " release"})},
		{"bound again after expiry", Config{}, bound(step6{60, ask.withXID(9), ""}, step6{60, reply(na(a, 60)).withXID(9), "start 01 " + a})},
		{"release", Config{}, []step6{{0, ask, ""}, {0, reply(na(a, 60), pd(p, 60)), "start 01 " + a + ", start 01 " + p},
			{5, message6(Release6, pd(p, 0), na(a, 0)).withXID(9), ""}, {5, reply(status6(0)).withXID(9), "end 01 " + p + " release, end 01 " + a + " release"},
			{6, reply(status6(0)).withXID(9), "copy"}}},
		{"release without an answer", Config{}, bound(step6{5, message6(Release6, na(a, 0)).withXID(9), ""}, step6{40, message6(Renew6).withXID(11), ""}, step6{40, reply(na(a, 60)).withXID(11), "refresh 01 " + a})},
		{"release by another client", Config{}, bound(step6{5, second(message6(Release6, na(a, 0))), ""}, step6{5, second(reply(status6(0))), "not_holder"})},
		{"release from another VLAN", Config{}, bound(step6{5, message6(Release6, na(a, 0)).on(7), ""}, step6{5, reply(status6(0)).on(7), "not_holder"})},
		{"release of nothing", Config{}, []step6{{5, message6(Release6, na(a, 0)), ""}, {5, reply(status6(0)), "no_lease"}}},
		{"release of one of two", Config{}, []step6{{0, ask, ""}, {0, reply(na(a, 60), pd(p, 60)), "start 01 " + a + ", start 01 " + p},
			{5, message6(Release6, pd(p, 0)).withXID(9), ""}, {5, reply(status6(0)).withXID(9), "end 01 " + p + " release"}}},
		{"release refused", Config{}, bound(step6{5, message6(Release6, na(a, 0)).withXID(9), ""}, step6{5, reply(status6(5)).withXID(9), "refused"})},
		{"decline", Config{}, bound(step6{5, message6(Decline6, na(a, 0)).withXID(9), ""}, step6{5, reply(status6(0)).withXID(9), "end 01 " + a + " release"})},
		{"confirm binds nothing", Config{}, []step6{{0, message6(Confirm6, na(a, 0)), ""}, {0, reply(status6(0), na(a, 60)), "no_binding"}}},
		{"confirm of another link", Config{}, bound(step6{5, message6(Confirm6, na(a, 0)).withXID(9), ""}, step6{5, reply(status6(4)).withXID(9), "refused"})},
		{"reconfigure binds nothing", Config{}, []step6{{0, ask, ""}, {0, message6(Reconfigure6, na(a, 60)), "no_binding"}}},
		{"information request", Config{}, []step6{{0, message6(InformationRequest6), "no_binding"}, {0, reply(na(a, 60)), "unasked"}}},
		{"superseded by another client", Config{}, bound(step6{5, second(ask), ""}, step6{5, second(reply(na(a, 60))), "end 01 " + a + " superseded, start 02 " + a})},
		{"moved to another VLAN", Config{}, bound(step6{5, ask.on(7), ""}, step6{5, reply(na(a, 60)).on(7), "end 01 " + a + " superseded, start e0/7.0/02:00:00:00:00:01 " + a})},
		{"the same prefix in two scoped VLANs", Config{VLANScoped: func(string) bool { return true }}, []step6{
			{0, ask.on(1), ""}, {0, reply(pd(p, 60)).on(1), "start e0/1.0/02:00:00:00:00:01 " + p},
			{0, ask.on(2), ""}, {0, reply(pd(p, 60)).on(2), "start e0/2.0/02:00:00:00:00:01 " + p}}},
		{"relayed by a router: its interface-id is not the line", Config{}, []step6{{0, router(ask), ""}, {0, router(reply(na(a, 60))), "start e0/0.0/00030001020000000001 " + a}}},
		{"relayed by a router that tells the hardware address", Config{}, []step6{{0, ask.relayed("2001:db8::1", option6(79, 0, 1, 2, 0, 0, 0, 0, 1)), ""}, {0, router(reply(na(a, 60))), "start 01 " + a}}},
		{"interface-id of the access node", Config{}, []step6{{0, router(circuit(ask)), ""}, {0, router(circuit(reply(na(a, 60)))), "start 6331 " + a},
			{30, message6(Renew6).withXID(9), ""}, {30, reply(na(a, 60)).withXID(9), "refresh 6331 " + a}}},
		{"subscriber-id of an access node that tells nothing else", Config{}, []step6{
			{0, ask.relayed("::", option6(38, 's', '1')), ""}, {0, reply(na(a, 60)).relayed("::"), "start 7331 " + a},
			{30, message6(Renew6).withXID(9), ""}, {30, reply(na(a, 60)).withXID(9), "refresh 7331 " + a}}},
		{"interface-id before subscriber-id", Config{}, []step6{{0, ask.relayed("::", option6(38, 's', '1'), option6(18, 'c', '1')), ""}, {0, reply(na(a, 60)).relayed("::"), "start 6331 " + a}}},
		{"subscriber-id of a router, not configured", Config{}, []step6{{0, ask.relayed("2001:db8::1", option6(38, 's', '1')), ""}, {0, router(reply(na(a, 60))), "start e0/0.0/00030001020000000001 " + a}}},
		{"subscriber-id of a router, configured", Config{SubscriberID: true}, []step6{{0, ask.relayed("2001:db8::1", option6(18, 'p'), option6(38, 's', '1')), ""}, {0, router(reply(na(a, 60))), "start 7331 " + a}}},
		{"subscriber-id that a client may have written", Config{SubscriberID: true, IgnoreCircuitID: true}, []step6{{0, ask.relayed("::", option6(38, 's', '1')), ""}, {0, reply(na(a, 60)).relayed("::"), "start e0/0.0/00030001020000000001 " + a}}},
		{"a copy by another relay-id (53), late", Config{}, []step6{
			{0, ask.relayed("2001:db8::1", option6(53, 0, 3, 1)), ""}, {0, router(reply(na(a, 60))), "start e0/0.0/00030001020000000001 " + a},
			{3, ask.relayed("2001:db8::1", option6(53, 0, 3, 2)), "copy"}, {3, router(reply(na(b, 60))), "copy"}}},
		{"again by the same relay-id: a retransmission", Config{}, []step6{
			{0, ask.relayed("2001:db8::1", option6(53, 0, 3, 1)), ""}, {0, router(reply(na(a, 60))), "start e0/0.0/00030001020000000001 " + a},
			{3, ask.relayed("2001:db8::1", option6(53, 0, 3, 1)), ""}, {3, router(reply(na(a, 60))), "refresh e0/0.0/00030001020000000001 " + a}}},
		{"a relay with a source port of its own (135)", Config{}, []step6{
			{0, ask.relayed("2001:db8::1", option6(135, 0, 0)).ports(1547, 547), ""},
			{0, reply(na(a, 60)).relayed("2001:db8::1", option6(135, 6, 11)).ports(547, 1547), "start e0/0.0/00030001020000000001 " + a}}},
		{"prefix exclude (67): the whole prefix is the line's", Config{}, []step6{
			{0, ask, ""}, {0, reply(iapd(1, prefix6(p, 60, option6(67, 64, 0)))), "start 01 " + p},
			{30, message6(Renew6).withXID(9), ""}, {30, reply(iapd(1, prefix6(p, 60, option6(67, 64, 1)))).withXID(9), "refresh 01 " + p}}},
		{"remote-id of the access node, which the reply lacks", Config{}, []step6{{0, ask.relayed("::", option6(37, 0, 0, 0x0d, 0xe9, 'r')), ""}, {0, reply(na(a, 60)).relayed("::"), "start 00000de972 " + a}}},
		{"interface-id ignored", Config{IgnoreCircuitID: true}, []step6{{0, circuit(ask), ""}, {0, circuit(reply(na(a, 60))), "start e0/0.0/00030001020000000001 " + a}}},
		{"moved to another circuit", Config{}, bound(step6{5, circuit(ask).withXID(9), ""}, step6{5, circuit(reply(na(a, 60))).withXID(9), "end 01 " + a + " superseded, start 6331 " + a})},
		{"seen on both sides of a relay", Config{}, []step6{{0, router(ask), ""}, {0, ask, "copy"}, {0, reply(na(a, 60)), "start 01 " + a}, {0, router(reply(na(a, 60))), "copy"}}},
		{"retransmitted request", Config{}, []step6{{0, ask, ""}, {2, ask, ""}, {2, reply(na(a, 60)), "start 01 " + a}}},
		{"forged by a subscriber with an address", Config{}, bound(step6{1, second(ask), ""}, step6{1, second(reply(na(b, 60))).sentFrom(a), "forged_server"})},
		{"forged by a subscriber with a prefix", Config{}, []step6{{0, ask, ""}, {0, reply(pd(q, 60)), "start 01 " + q}, {1, second(ask), ""}, {1, second(reply(na(b, 60))).sentFrom("2001:db8:200::7"), "forged_server"}}},
		{"trailing garbage", Config{}, []step6{{0, ask, ""}, {0, reply(na(a, 60), []byte{0, 9, 9}), "start 01 " + a}}},
		{"no room for a lease", Config{MaxLeases: 1}, []step6{{0, ask, ""}, {0, reply(na(a, 60), pd(p, 60)), "start 01 " + a}, {1, second(ask), ""}, {1, second(reply(na(b, 60))), "leases_full"}}},
		{"room again after expiry", Config{MaxLeases: 1}, bound(step6{61, second(ask), ""}, step6{61, second(reply(na(b, 60))), "start 02 " + b})},
		{"oldest request forgotten", Config{MaxPending: 1}, []step6{{0, ask, ""}, {0, second(ask), ""}, {0, reply(na(a, 60)), "unasked"}, {0, second(reply(na(b, 60))), "start 02 " + b}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTracker6(test.cfg)
			for i, s := range test.steps {
				direction := schema.Up
				if s.dhcp.typ.fromServer() {
					direction = schema.Down
				}
				r := tracker.Apply(Frame{At: at(s.second), Interface: "e0", Direction: direction, Data: s.dhcp.frame(t)}, nil)
				if got := describe6(r); got != s.want {
					t.Fatalf("step %d: got %q, want %q", i, got, s.want)
				}
				for _, o := range r.Observations {
					checkObservation6(t, o, at(s.second))
				}
			}
		})
	}
}

func checkObservation6(t *testing.T, o binding.Observation, when time.Time) {
	t.Helper()
	if !o.At.Equal(when) || o.Source != schema.SourceDHCPv6 || o.Certainty != schema.CertaintyObserved || o.NAS != "e0" || o.NASPort == "" {
		t.Errorf("incomplete: %+v", o)
	}
	if o.Kind == binding.End {
		if o.Prefixes != nil || o.EndCause == "" {
			t.Errorf("end: %+v", o)
		}
		return
	}
	if len(o.Prefixes) != 1 || !o.ExpiresAt.Equal(when.Add(time.Minute)) || (o.Kind == binding.Start) != o.SessionStartedAt.Equal(when) {
		t.Errorf("%s: %+v", o.Kind, o)
	}
}

func TestDirection6(t *testing.T) {
	tracker := NewTracker6(Config{})
	ask := message6(Request6)
	if r := tracker.Apply(Frame{Direction: schema.Down, Data: ask.frame(t)}, nil); r.Reason != ReasonDirection {
		t.Errorf("request towards subscribers: %q", r.Reason)
	}
	tracker.Apply(Frame{Direction: schema.Up, Data: ask.frame(t)}, nil)
	for _, d := range []dhcp6{message6(Reply6, iana(1, address6("2001:db8::1", 60))), message6(Reply6, iana(1, address6("2001:db8::1", 60))).relayed("::")} {
		if r := tracker.Apply(Frame{Direction: schema.Up, Data: d.frame(t)}, nil); r.Reason != ReasonDirection || len(r.Observations) > 0 {
			t.Errorf("reply from a subscriber: %q", r.Reason)
		}
	}
}

func TestInfiniteLease6(t *testing.T) {
	tracker := NewTracker6(Config{})
	tracker.Apply(Frame{At: at(0), Interface: "e0", Data: message6(Request6).frame(t)}, nil)
	r := tracker.Apply(Frame{At: at(0), Interface: "e0", Data: message6(Reply6, iapd(1, prefix6("2001:db8:100::/56", infinite6))).frame(t)}, nil)
	if len(r.Observations) != 1 || !r.Observations[0].ExpiresAt.IsZero() {
		t.Fatalf("infinite lease: %+v", r)
	}
	later := at(0).AddDate(10, 0, 0)
	tracker.Apply(Frame{At: later, Interface: "e0", Data: message6(Release6, iapd(1, prefix6("2001:db8:100::/56", 0))).frame(t)}, nil)
	if r := tracker.Apply(Frame{At: later, Interface: "e0", Data: message6(Reply6).frame(t)}, nil); len(r.Observations) != 1 || tracker.Len() != 0 {
		t.Errorf("released ten years later: %+v", r)
	}
}

// TestTimes6: T1, T2 and the preferred lifetime are those last told, by a server
// that may say "for ever" of each, and outlive a restart; only the valid lifetime
// ends a lease.
func TestTimes6(t *testing.T) {
	const p = "2001:db8:100::/56"
	told := func(t1, t2, preferred, valid uint32) []byte {
		prefix := netip.MustParsePrefix(p)
		ip := prefix.Addr().As16()
		inner := option6(option6IAPrefix, append(append(uint32s(preferred, valid), byte(prefix.Bits())), ip[:]...)...)
		return option6(option6IAPD, append(uint32s(1, t1, t2), inner...)...)
	}
	for _, test := range []struct {
		name                     string
		t1, t2, preferred, valid uint32
		expires                  time.Time
	}{
		{"all finite", 10, 20, 30, 60, at(60)},
		{"up to the client", 0, 0, 30, 60, at(60)},
		{"deprecated at once", 10, 20, 0, 60, at(60)},
		{"T1 and T2 without end", infinite6, infinite6, 30, 60, at(60)},
		{"preferred as long as valid, without end", 10, 20, infinite6, infinite6, time.Time{}},
		{"nothing ends", infinite6, infinite6, infinite6, infinite6, time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTracker6(Config{})
			tracker.Apply(Frame{At: at(-30), Interface: "e0", Data: message6(Request6).frame(t)}, nil)
			tracker.Apply(Frame{At: at(-30), Interface: "e0", Data: message6(Reply6, told(1, 2, 3, 60)).frame(t)}, nil)
			tracker.Apply(Frame{At: at(0), Interface: "e0", Data: message6(Renew6).withXID(9).frame(t)}, nil)
			r := tracker.Apply(Frame{At: at(0), Interface: "e0", Data: message6(Reply6, told(test.t1, test.t2, test.preferred, test.valid)).withXID(9).frame(t)}, nil)
			if len(r.Observations) != 1 || r.Observations[0].Kind != binding.Refresh || !r.Observations[0].ExpiresAt.Equal(test.expires) {
				t.Fatalf("%+v", r)
			}
			snapshot, err := tracker.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			restored := NewTracker6(Config{})
			if err := errors.Join(restored.Restore(snapshot), restored.Redo(r.Observations[0])); err != nil {
				t.Fatal(err)
			}
			for _, x := range []*Tracker6{tracker, restored} {
				l := x.leases[leaseKey{Prefix: netip.MustParsePrefix(p)}]
				if l == nil || l.times != (times{test.t1, test.t2, test.preferred}) || !l.expiresAt.Equal(test.expires) {
					t.Errorf("%+v", l)
				}
			}
			later := at(59)
			if test.expires.IsZero() {
				later = at(0).AddDate(10, 0, 0)
			}
			tracker.Apply(Frame{At: later, Interface: "e0", Data: message6(Release6, told(0, 0, 0, 0)).withXID(10).frame(t)}, nil)
			if r := tracker.Apply(Frame{At: later, Interface: "e0", Data: message6(Reply6).withXID(10).frame(t)}, nil); len(r.Observations) != 1 || r.Observations[0].Kind != binding.End {
				t.Errorf("still held, and released: %+v", r)
			}
		})
	}
}

// TestCaptures6 gives what Kea's lease table had: address and prefix from the
// first REPLY, two renewals, valid for 20 s.
func TestCaptures6(t *testing.T) {
	const duid = "00010001329292fb021122334455"
	prefixes := []string{"2001:db8:10::1000/128", "2001:db8:4000::/56"}
	tests := []struct {
		name       string
		identifier schema.Identifier
		times      []time.Time
	}{
		{clientSide6, schema.Identifier{Kind: schema.IdentMAC, Value: "e0/0.0/02:11:22:33:44:55"},
			[]time.Time{epoch(1795151484, 902190), epoch(1795151490, 909555), epoch(1795151496, 916767)}},
		{serverSide6, schema.Identifier{Kind: schema.IdentDUID, Value: "e0/0.0/" + duid},
			[]time.Time{epoch(1795151484, 902133), epoch(1795151490, 909434), epoch(1795151496, 916685)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var want []binding.Observation
			for i, when := range test.times {
				for _, p := range prefixes {
					o := binding.Observation{
						At: when, Kind: binding.Refresh, Source: schema.SourceDHCPv6, Certainty: schema.CertaintyObserved,
						SessionKey: fmt.Sprintf("e0|0.0|%s|%s|%d", duid, p, test.times[0].UnixNano()),
						Identifier: test.identifier, NAS: "e0", NASPort: "0.0",
						Prefixes: []netip.Prefix{netip.MustParsePrefix(p)}, ExpiresAt: when.Add(20 * time.Second),
					}
					if i == 0 {
						o.Kind, o.SessionStartedAt = binding.Start, when
					}
					want = append(want, o)
				}
			}
			tracker := NewTracker6(Config{})
			var got []binding.Observation
			reasons := map[Reason]int{}
			for _, f := range readCapture(t, test.name, 8) {
				r := tracker.Apply(Frame{At: f.at, Interface: "e0", Data: f.data}, nil)
				got = append(got, r.Observations...)
				reasons[r.Reason]++
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
			if want := map[Reason]int{"": 6, ReasonNoBinding: 2}; !reflect.DeepEqual(reasons, want) {
				t.Errorf("reasons %v, want %v", reasons, want)
			}
		})
	}
}

// TestRestart6 cuts the capture between exchanges: a tracker restored from a
// snapshot, and one that redoes the observations, go on as the first would.
func TestRestart6(t *testing.T) {
	frames := readCapture(t, clientSide6, 8)
	run := func(tracker *Tracker6, frames []captured) (all []binding.Observation) {
		for _, f := range frames {
			all = append(all, tracker.Apply(Frame{At: f.at, Interface: "e|0", Data: f.data}, nil).Observations...)
		}
		return all
	}
	whole := run(NewTracker6(Config{}), frames)
	for _, cut := range []int{0, 2, 4, 6, 8} {
		before := NewTracker6(Config{})
		seen := run(before, frames[:cut])
		snapshot, err := before.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		restored, redone := NewTracker6(Config{}), NewTracker6(Config{})
		if err := restored.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		for _, o := range seen {
			for _, tracker := range []*Tracker6{restored, redone} {
				if err := tracker.Redo(o); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, name := range []string{"restored", "redone"} {
			tracker := map[string]*Tracker6{"restored": restored, "redone": redone}[name]
			if name == "redone" { // observations tell when a lease ends, not when its client means to renew it
				for _, l := range before.leases {
					l.times = times{}
				}
			}
			if !reflect.DeepEqual(tracker.leases, before.leases) || !reflect.DeepEqual(tracker.lengths, before.lengths) {
				t.Errorf("%s at frame %d: other leases", name, cut)
			}
			if got := append(seen[:len(seen):len(seen)], run(tracker, frames[cut:])...); !reflect.DeepEqual(got, whole) {
				t.Errorf("%s at frame %d: other observations", name, cut)
			}
		}
	}
}

func TestRestore6Refuses(t *testing.T) {
	for _, text := range []string{"", "{}", `{"version":2}`, `{"version":1,"leases":[{"key":"a|b"}]}`,
		`{"version":1,"leases":[{"key":"e0|0.0|id|nonsense|1"}]}`, `{"version":1,"leases":[{"key":"e0|0.0|x/id|2001:db8::/56|1"}]}`} {
		if err := NewTracker6(Config{}).Restore([]byte(text)); err == nil {
			t.Errorf("Restore(%q) succeeded", text)
		}
	}
}
