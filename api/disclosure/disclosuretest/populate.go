package disclosuretest

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"griffier/api/register"
	"griffier/schema"
	"griffier/schema/cgnat"
)

// populate writes two lines, their persons, the ranges, and what they held.
func (l *Lab) populate(ctx context.Context, p *schema.Pseudonymiser) {
	user := func(name string) schema.Identifier {
		return schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}
	}
	begin := l.Noon.Add(-90 * 24 * time.Hour)
	for _, name := range []string{"alice", "bob", "erased"} {
		err := l.Register.PutLine(ctx, register.Line{LineID: "line-" + name, AccountID: "account-" + name, TimeZone: "Europe/Amsterdam", BillingDay: 1,
			ContractStart: begin, ContractEnd: schema.Forever},
			[]register.Identifier{{Identifier: user(name), ValidFrom: begin, ValidTo: schema.Forever}},
			register.Person{Name: strings.ToUpper(name[:1]) + name[1:] + " Jansen",
				InstallationAddress: register.PostalAddress{Street: "Dorpsstraat", HouseNumber: "1", Postcode: "1234 AB", Town: "Ons Dorp", Country: "NL"},
				BillingAddress:      register.PostalAddress{Street: "Betaalweg", HouseNumber: "9", Postcode: "9999 ZZ", Town: "Elders", Country: "NL"}})
		if err != nil {
			l.T.Fatal(err)
		}
	}
	if err := l.Keys.Shred("person:line-erased"); err != nil {
		l.T.Fatal(err)
	}
	for prefix, provider := range map[string]string{"192.0.2.0/24": "", "2001:db8::/32": "", "192.0.2.128/25": "Example Telecom"} {
		err := l.Register.PutRange(ctx, register.Range{Prefix: netip.MustParsePrefix(prefix), Provider: provider, CollectorIDs: []string{"edge1"},
			ValidFrom: begin, ValidTo: schema.Forever})
		if err != nil {
			l.T.Fatal(err)
		}
	}
	n := byte(0)
	held := func(name, prefix string, from, to time.Duration, change func(*schema.Assignment)) schema.Record {
		n++
		a := &schema.Assignment{AssignmentID: schema.ID{3, n}, SessionID: schema.ID{1, n}, AccessRef: p.Ref(user(name)), Prefix: netip.MustParsePrefix(prefix),
			PortEnd: 65535, AssignmentStartedAt: l.Noon.Add(from), StartedAt: l.Noon.Add(from), EndedAt: l.Noon.Add(to), Version: 1,
			EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		if change != nil {
			change(a)
		}
		return a
	}
	ports := func(from, to uint16) func(*schema.Assignment) {
		return func(a *schema.Assignment) { a.PortStart, a.PortEnd = from, to }
	}
	hour := time.Hour
	records := []schema.Record{
		held("alice", "192.0.2.17/32", -3*hour, 3*hour, nil),
		held("bob", "2001:db8:1::/56", -3*hour, 3*hour, nil),
		held("alice", "192.0.2.20/32", -3*hour, 0, nil),
		held("bob", "192.0.2.20/32", 0, 3*hour, nil),
		held("alice", "192.0.2.21/32", -hour, hour, ports(1024, 2047)),
		held("bob", "192.0.2.21/32", -hour, hour, ports(2048, 3071)),
		held("stranger", "192.0.2.22/32", -hour, hour, nil),
		held("erased", "192.0.2.23/32", -hour, hour, nil),
		&schema.Coverage{CoverageID: schema.ID{5, 1}, CollectorID: "edge1", State: schema.Covered, StartedAt: l.Noon.Add(-6 * hour), EndedAt: l.Noon.Add(6 * hour),
			Version: 1, BootID: "boot", ClockSynced: true},
		&schema.Coverage{CoverageID: schema.ID{5, 2}, CollectorID: "edge1", State: schema.Gap, Cause: "ring_drop", StartedAt: l.Noon.Add(2 * hour),
			EndedAt: l.Noon.Add(2*hour + time.Second), Version: 1, BootID: "boot", ClockSynced: true},
	}
	if err := schema.Insert(ctx, l.Conn, "lab", records); err != nil {
		l.T.Fatal(err)
	}
}

// Translators adds three shared addresses, of port blocks, of flow by flow and
// of parameters, whose inside addresses alice and bob hold.
func (l *Lab) Translators() {
	l.T.Helper()
	begin := l.Noon.Add(-90 * 24 * time.Hour)
	for _, r := range []register.Range{
		{Prefix: netip.MustParsePrefix("100.64.0.0/24")},
		{Prefix: netip.MustParsePrefix("203.0.113.1/32"), ValidTo: l.Noon}, // until then
		{Prefix: netip.MustParsePrefix("203.0.113.1/32"), ValidFrom: l.Noon, // since then
			Translation: cgnat.Parameters{Algorithm: cgnat.Sequential, Outside: netip.MustParsePrefix("203.0.113.1/32"),
				Inside: netip.MustParsePrefix("100.64.0.8/29"), FirstPort: 1024, PortsPerSubscriber: 8000}},
		{Prefix: netip.MustParsePrefix("203.0.113.2/31")},
	} {
		r.CollectorIDs = []string{"edge1"}
		if r.ValidFrom.IsZero() {
			r.ValidFrom = begin
		}
		if r.ValidTo.IsZero() {
			r.ValidTo = schema.Forever
		}
		if err := l.Register.PutRange(l.T.Context(), r); err != nil {
			l.T.Fatal(err)
		}
	}
	n := byte(0)
	row := func(prefix string, change func(*schema.Assignment)) schema.Record {
		n++
		a := &schema.Assignment{AssignmentID: schema.ID{9, n}, Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535, AssignmentStartedAt: l.Noon.Add(-time.Hour),
			StartedAt: l.Noon.Add(-time.Hour), EndedAt: l.Noon.Add(time.Hour), Version: 1, EndCause: schema.EndRelease, Source: schema.SourceConntrack,
			Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		change(a)
		return a
	}
	holder := func(name string) func(*schema.Assignment) {
		return func(a *schema.Assignment) {
			a.AccessRef, a.Source = l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}), schema.SourceRADIUS
		}
	}
	port := func(inside string, protocol uint8, from, to uint16, start, end time.Duration) func(*schema.Assignment) {
		return func(a *schema.Assignment) {
			a.Inside, a.Protocol, a.PortStart, a.PortEnd = netip.MustParseAddr(inside), protocol, from, to
			a.StartedAt, a.EndedAt = l.Noon.Add(start), l.Noon.Add(end)
			if from != to {
				a.Source = schema.SourceStatic
			}
			a.AssignmentStartedAt = a.StartedAt
		}
	}
	const hour = time.Hour
	records := []schema.Record{
		row("100.64.0.10/32", holder("alice")), row("100.64.0.11/32", holder("bob")),
		row("203.0.113.2/32", port("100.64.0.10", 0, 1024, 2047, -hour, hour)), row("203.0.113.2/32", port("100.64.0.11", 0, 2048, 3071, -hour, hour)),
		row("203.0.113.3/32", port("100.64.0.10", 6, 5000, 5000, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.11", 17, 5000, 5000, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.10", 6, 5001, 5001, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.11", 6, 5001, 5001, -time.Second, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.10", 6, 5002, 5002, -time.Minute, 0)),
		row("203.0.113.3/32", port("100.64.0.11", 6, 5002, 5002, time.Second, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.99", 6, 5003, 5003, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.11", 6, 5004, 5004, 100*time.Millisecond, 300*time.Millisecond)),
	}
	if err := schema.Insert(l.T.Context(), l.Conn, "translators", records); err != nil {
		l.T.Fatal(err)
	}
}

// Assigned is a row of an address that a subscriber had around noon.
func (l *Lab) Assigned(id schema.ID, name, address string, from, to time.Duration) *schema.Assignment {
	return &schema.Assignment{AssignmentID: id, SessionID: id, Prefix: netip.MustParsePrefix(address + "/32"), PortEnd: 65535,
		AccessRef:           l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}),
		AssignmentStartedAt: l.Noon.Add(from), StartedAt: l.Noon.Add(from), EndedAt: l.Noon.Add(to), Version: 1, EndCause: schema.EndRelease,
		Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
}
