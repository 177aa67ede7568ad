package lease

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"

	"griffier/collector/binding"
	"griffier/schema"
)

// inVPN1 and inVPN2 are option 82 of a router that serves two VPNs by name.
var (
	inVPN1 = option(82, 151, 2, 0, 'a', 152, 0)
	inVPN2 = option(82, 151, 2, 0, 'b', 152, 0)
	// What a server that knows of VPNs makes of them: it takes sub-option 152 out.
	ofVPN1 = option(82, 151, 2, 0, 'a')
	ofVPN2 = option(82, 151, 2, 0, 'b')
)

func TestVPN(t *testing.T) {
	const a, b, router = "100.64.0.10", "100.64.0.11", "10.0.0.1"
	const one, two = "e0@vpn-0061/0.0/02:00:00:00:00:01", "e0@vpn-0062/0.0/02:00:00:00:00:01"
	ask := func(vpn []byte) dhcp { return request(Request, vpn).wants(a).relayedBy(router) }
	answer := func(vpn []byte) dhcp { return ackFor(a, 60).with(vpn).relayedBy(router) }
	tests := []struct {
		name  string
		cfg   Config
		steps []step
	}{
		{"one address and one MAC in two VPNs", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, answer(ofVPN1), "start " + one + " " + a},
			{1, ask(inVPN2), ""}, {1, answer(ofVPN2), "start " + two + " " + a},
			{2, ask(nil), ""}, {2, answer(nil), "start 01 " + a},
			{20, ask(inVPN1).withXID(9), ""}, {20, answer(ofVPN1).withXID(9), "refresh " + one + " " + a},
			{21, request(Release, inVPN2).holding(a).relayedBy(router), "end " + two + " " + a + " release"},
			{22, ask(inVPN2).withXID(9), ""}, {22, answer(ofVPN2).withXID(9), "start " + two + " " + a}}},
		{"both at once, with one xid", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, ask(inVPN2), ""},
			{0, answer(ofVPN2), "start " + two + " " + a}, {0, answer(ofVPN1), "start " + one + " " + a}}},
		{"a client moves within its VPN only", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, answer(ofVPN1), "start " + one + " " + a},
			{1, ask(inVPN2), ""}, {1, ackFor(b, 60).with(ofVPN2).relayedBy(router), "start " + two + " " + b}}},
		{"superseded within one VPN", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, answer(ofVPN1), "start " + one + " " + a},
			{1, ask(inVPN1).by(mac2), ""}, {1, answer(ofVPN1).by(mac2), "end " + one + " " + a + " superseded, start e0@vpn-0061/0.0/02:00:00:00:00:02 " + a}}},
		{"release from another VPN", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, answer(ofVPN1), "start " + one + " " + a},
			{1, request(Release, inVPN2).holding(a).relayedBy(router), "no_lease"},
			{1, request(Release).holding(a), "no_lease"}}},
		{"NAK in one of two VPNs", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, answer(ofVPN1), "start " + one + " " + a},
			{1, ask(inVPN2), ""}, {1, answer(ofVPN2), "start " + two + " " + a},
			{9, ask(inVPN2).withXID(9), ""}, {9, reply(NAK, "", ofVPN2).relayedBy(router).withXID(9), "end " + two + " " + a + " release"},
			{10, ask(inVPN1).withXID(9), ""}, {10, answer(ofVPN1).withXID(9), "refresh " + one + " " + a}}},
		{"a server that does not heed the VPN (sub-option 152 comes back)", Config{}, []step{
			{0, ask(inVPN1), ""}, {0, answer(inVPN1), "vpn_ignored"}, {1, answer(ofVPN1), "start " + one + " " + a}}},
		{"a relay whose sub-option 152 is another's", Config{}, []step{{0, ask(option(82, 151, 2, 0, 'a', 152, 4, 10, 0, 0, 1)), ""},
			{0, answer(option(82, 151, 2, 0, 'a', 152, 4, 10, 0, 0, 1)), "start " + one + " " + a}}},
		{"a server that tells of no VPN", Config{}, []step{{0, ask(inVPN1), ""}, {0, answer(nil), "unasked"}}},
		{"the global VPN is none", Config{}, []step{{0, ask(option(82, 151, 1, 255)), ""}, {0, answer(nil), "start 01 " + a}}},
		{"a malformed VPN is none", Config{}, []step{{0, ask(option(82, 151, 0)), ""}, {0, answer(nil), "start 01 " + a}}},
		{"a VPN that no router told", Config{}, []step{{0, request(Request, ofVPN1), ""}, {0, ackFor(a, 60), "start 01 " + a}}},
		{"a VPN that a client may have written", Config{IgnoreCircuitID: true}, []step{{0, ask(ofVPN1), ""}, {0, answer(nil), "start 01 " + a}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tracker := NewTracker(test.cfg)
			for i, s := range test.steps {
				r := tracker.Apply(Frame{At: at(s.second), Interface: "e0", Data: s.dhcp.frame(t)})
				if got := describe(r); got != s.want {
					t.Fatalf("step %d: got %q, want %q", i, got, s.want)
				}
				for _, o := range r.Observations {
					if vpn := bytes.Contains([]byte(o.Identifier.Value), []byte(vpnMark)); InVPN(o.Scope) != vpn {
						t.Errorf("step %d: scope %x of %s", i, o.Scope, o.Identifier.Value)
					}
				}
			}
		})
	}
}

// TestVPNInBinding: one address in two VPNs and outside them is held by three
// lines at once, also after a restart from a snapshot and from observations.
func TestVPNInBinding(t *testing.T) {
	pseudonymiser, err := schema.NewPseudonymiser(make([]byte, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	b := binding.New(binding.Config{CollectorID: "c", Pseudonymiser: pseudonymiser})
	tracker, redone, restored := NewTracker(Config{}), NewTracker(Config{}), NewTracker(Config{})
	address := netip.MustParsePrefix("100.64.0.10/32")
	scopes, keys := map[uint32]bool{}, map[string]bool{}
	run := func(tracker *Tracker, second int, vpn []byte) binding.Observation {
		t.Helper()
		tracker.Apply(Frame{At: at(second), Interface: "e0", Data: request(Request, vpn).relayedBy("10.0.0.1").frame(t)})
		r := tracker.Apply(Frame{At: at(second), Interface: "e0", Data: ackFor("100.64.0.10", 60).with(vpn).relayedBy("10.0.0.1").frame(t)})
		if len(r.Observations) != 1 {
			t.Fatalf("%+v", r)
		}
		return r.Observations[0]
	}
	for _, vpn := range [][]byte{ofVPN1, ofVPN2, nil} {
		o := run(tracker, 0, vpn)
		scopes[o.Scope], keys[o.SessionKey] = true, true
		b.Apply(o.At, o)
		if err := redone.Redo(o); err != nil {
			t.Fatal(err)
		}
	}
	installed := b.Installed()
	if len(scopes) != 3 || len(keys) != 3 || len(installed) != 3 {
		t.Fatalf("%d scopes, %d sessions, %d holders; want 3 each", len(scopes), len(keys), len(installed))
	}
	refs := map[schema.AccessRef]bool{}
	for _, c := range installed {
		if c.Prefix != address || !scopes[c.Scope] {
			t.Errorf("%+v", c)
		}
		refs[c.AccessRef] = true
	}
	if len(refs) != 3 {
		t.Errorf("%d lines, want 3", len(refs))
	}
	snapshot, err := tracker.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := restored.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	for name, after := range map[string]*Tracker{"redone": redone, "restored": restored} {
		if !reflect.DeepEqual(after.leases, tracker.leases) {
			t.Errorf("%s: %v, want %v", name, after.leases, tracker.leases)
		}
		for _, vpn := range [][]byte{ofVPN1, ofVPN2, nil} {
			if o := run(after, 20, vpn); o.Kind != binding.Refresh || !keys[o.SessionKey] || !scopes[o.Scope] {
				t.Errorf("%s: %+v", name, o)
			}
		}
	}
}

// TestOnlyWhatIsNeededIsKept: of option 82 a lease keeps what names its line and
// its VPN.
func TestOnlyWhatIsNeededIsKept(t *testing.T) {
	tracker := NewTracker(Config{})
	info := option(82, 6, 4, 's', 'u', 'b', '1', 9, 9, 0, 0, 0, 9, 4, 'v', 'e', 'n', 'd', 12, 5, 'r', 'e', 'l', 'a', 'y', 5, 4, 10, 9, 8, 7)
	tracker.Apply(Frame{At: at(0), Interface: "e0", Data: request(Request, info, option(118, 10, 9, 8, 6)).relayedBy("10.0.0.1").frame(t)})
	r := tracker.Apply(Frame{At: at(0), Interface: "e0", Data: ackFor("100.64.0.10", 60).with(info).relayedBy("10.0.0.1").frame(t)})
	snapshot, err := tracker.Snapshot()
	if err != nil || len(r.Observations) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	observed, err := json.Marshal(r.Observations)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []string{"sub1", "73756231", "vend", "76656e64", "relay", "72656c6179", "10.9.8"} {
		if bytes.Contains(append(snapshot, observed...), []byte(x)) {
			t.Errorf("%q was kept", x)
		}
	}
}
