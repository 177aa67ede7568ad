package disclosure_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"griffier/api/reason"
	"griffier/schema"
)

// Scenario 14, IPv6 PD: "/128 inside a /56 PD that moved between customers at 03:00;
// same /64 reused; ULA or NAT64 address given; mixed case/zero-compressed input ->
// canonical, PD holder at instant, prefix length stated; non-customer range ->
// NOT_OUR_RANGE."
func TestScenario14DelegatedPrefix(t *testing.T) {
	l := newLab(t)
	three := l.Noon.Add(-9 * time.Hour) // 03:00 UTC
	n := byte(0)
	held := func(name, prefix string, from, to time.Time) schema.Record {
		n++
		return &schema.Assignment{AssignmentID: schema.ID{14, n}, SessionID: schema.ID{14, n, 1}, Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535,
			AccessRef:           l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}),
			AssignmentStartedAt: from, StartedAt: from, EndedAt: to, Version: 1, EndCause: schema.EndRelease, Source: schema.SourceDHCPv6,
			Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
	}
	midnight := three.Add(-3 * time.Hour)
	err := schema.Insert(t.Context(), l.Conn, "scenario 14", []schema.Record{
		held("alice", "2001:db8:77::/56", midnight, three), held("bob", "2001:db8:77::/56", three, l.Noon),
		held("alice", "2001:db8:78:1::/64", midnight, three), held("bob", "2001:db8:78:1::/64", three.Add(time.Hour), l.Noon),
		// A longer prefix out of a shorter one, held by another line.
		held("alice", "2001:db8:79::/48", midnight, l.Noon), held("bob", "2001:db8:79:100::/56", midnight, l.Noon),
		&schema.Coverage{CoverageID: schema.ID{14, 99}, CollectorID: "edge1", State: schema.Covered, StartedAt: midnight, EndedAt: l.Noon.Add(-6 * time.Hour),
			Version: 1, BootID: "boot", ClockSynced: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		target string
		at     time.Time
		want   reason.Reason
		says   []string
	}{
		{"2001:db8:77:0:aaaa::17", three.Add(-time.Minute), reason.Match, []string{"line-alice", "2001:db8:77::/56"}},
		{"2001:db8:77:0:aaaa::17", three, reason.AmbiguousBoundary, nil},
		{"2001:db8:77:0:aaaa::17", three.Add(time.Minute), reason.Match, []string{"line-bob", "2001:db8:77::/56"}},
		{"2001:DB8:77:00ff:0000:0000:0000:0001", three.Add(time.Minute), reason.Match, []string{"line-bob", "2001:db8:77:ff::1"}}, // canonical in the answer
		{"2001:db8:77:100::1", three.Add(time.Minute), reason.NoMatch, nil},                                                       // the next /56
		{"2001:db8:78:1::beef", three.Add(-time.Minute), reason.Match, []string{"line-alice", "2001:db8:78:1::/64"}},
		{"2001:db8:78:1::beef", three.Add(30 * time.Minute), reason.NoMatch, nil}, // between two holders
		{"2001:db8:78:1::beef", three.Add(90 * time.Minute), reason.Match, []string{"line-bob", "2001:db8:78:1::/64"}},
		{"2001:db8:79:1::1", three, reason.Match, []string{"line-alice", "2001:db8:79::/48"}},
		{"2001:db8:79:100::1", three, reason.Match, []string{"line-bob", "2001:db8:79:100::/56"}}, // the longest counts
		{"fd00::17", three, reason.NotOurRange, nil},                                              // a unique local address
		{"64:ff9b::c000:211", three, reason.NotOurRange, nil},                                     // 192.0.2.17 behind NAT64: not that address
		{"2001:db9::1", three, reason.NotOurRange, nil},
		{"::ffff:192.0.2.17", l.Noon, reason.Match, []string{"line-alice", "192.0.2.17"}}, // written as IPv6, and IPv4
	} {
		content := l.Content(time.Hour)
		content.Targets = []string{test.target}
		_, plain := l.MustExecute(l.Task(l.Approve(content), test.target, test.at), test.want)
		for _, says := range test.says {
			if !strings.Contains(plain, says) {
				t.Errorf("%s at %v: the package does not say %q", test.target, test.at, says)
			}
		}
		if found := reveals(plain); test.want != reason.Match && found != nil {
			t.Errorf("%s at %v: %s says %v", test.target, test.at, test.want, found)
		}
	}
}
