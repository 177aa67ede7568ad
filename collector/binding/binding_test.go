package binding

import (
	"net/netip"
	"testing"
	"time"

	"griffier/schema"
)

func TestSessionAndAssignmentAreHalfOpen(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	e := b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32"))
	s.add(e)
	if len(e.Assign) != 1 || e.Assign[0].Prefix.String() != "192.0.2.1/32" {
		t.Errorf("assign = %v", e.Assign)
	}
	e = b.Apply(at(11, 0), end("s1", "", at(11, 0), time.Time{}, schema.EndRelease))
	s.add(e)
	if len(e.Unassign) != 1 || len(e.Assign) != 0 {
		t.Errorf("unassign = %v, assign = %v", e.Unassign, e.Assign)
	}
	s.want(t,
		"session 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
		"192.0.2.1/32 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed")
	if e := b.Apply(at(11, 1), end("s1", "", at(11, 0), time.Time{}, schema.EndRelease)); len(e.Records) != 0 {
		t.Errorf("a repeated end emitted %d records", len(e.Records))
	}
}

func TestNewcomerSupersedes(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	e := b.Apply(at(10, 30), start("s2", "bram", at(10, 30), "192.0.2.1/32"))
	s.add(e)
	if len(e.Unassign) != 1 || len(e.Assign) != 1 || e.Assign[0].AccessRef == e.Unassign[0].AccessRef {
		t.Errorf("the address did not move: unassign %v, assign %v", e.Unassign, e.Assign)
	}
	s.add(b.Tick(at(10, 40), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false superseded inferred",
		"192.0.2.1/32 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false superseded inferred",
		"session 20T10:30:00-20T10:40:00 from 20T10:30:00 open=true observed",
		"192.0.2.1/32 20T10:30:00-20T10:40:00 from 20T10:30:00 open=true observed")
}

func TestLateStopCorrectsSupersededEnd(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 30), start("s2", "bram", at(10, 30), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 31), end("s1", "anna", at(10, 20), at(10, 0), schema.EndLostCarrier)))
	s.add(b.Apply(at(10, 50), end("s2", "bram", at(10, 50), at(10, 30), schema.EndRelease)))
	s.want(t,
		"session 20T10:00:00-20T10:20:00 from 20T10:00:00 open=false lost_carrier observed",
		"192.0.2.1/32 20T10:00:00-20T10:20:00 from 20T10:00:00 open=false lost_carrier observed",
		"session 20T10:30:00-20T10:50:00 from 20T10:30:00 open=false release observed",
		"192.0.2.1/32 20T10:30:00-20T10:50:00 from 20T10:30:00 open=false release observed")
}

// A NAS that notices late that a line is gone names its address in the Stop,
// though somebody else has long had it.
func TestStopOfGhostDoesNotReclaimItsAddress(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 30), start("s2", "bram", at(10, 30), "192.0.2.1/32")))
	stop := end("s1", "anna", at(10, 50), at(10, 0), schema.EndLostCarrier)
	stop.Prefixes = prefixesOf([]string{"192.0.2.1/32"})
	s.add(b.Apply(at(10, 50), stop))
	s.add(b.Tick(at(11, 0), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T10:50:00 from 20T10:00:00 open=false lost_carrier observed",
		"192.0.2.1/32 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false superseded inferred",
		"session 20T10:30:00-20T11:00:00 from 20T10:30:00 open=true observed",
		"192.0.2.1/32 20T10:30:00-20T11:00:00 from 20T10:30:00 open=true observed")
	if len(b.Installed()) != 1 {
		t.Errorf("installed %v, want the newcomer", b.Installed())
	}
}

func TestStopAloneTellsTheWholeSession(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	stop := end("s1", "anna", at(10, 50), at(10, 0), schema.EndRelease)
	stop.Prefixes = prefixesOf([]string{"192.0.2.1/32"})
	s.add(b.Apply(at(10, 50), stop))
	s.want(t,
		"session 20T10:00:00-20T10:50:00 from 20T10:00:00 open=false release synthesised",
		"192.0.2.1/32 20T10:00:00-20T10:50:00 from 20T10:00:00 open=false release synthesised")
}

// Two sessions that both go on claiming an address are both recorded, and
// neither line is given the bytes.
func TestConflictWithinSourceStandsAndCountsForNobody(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 30), start("s2", "bram", at(10, 30), "192.0.2.1/32")))
	e := b.Apply(at(10, 35), refresh("s1", "anna", at(10, 35), at(10, 0), "192.0.2.1/32"))
	s.add(e)
	if len(e.Unassign) != 1 || len(e.Assign) != 0 || len(b.Installed()) != 0 {
		t.Errorf("unassign %v, assign %v, installed %v; want the address to count for nobody", e.Unassign, e.Assign, b.Installed())
	}
	s.add(b.Tick(at(10, 40), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T10:40:00 from 20T10:00:00 open=true observed",
		"192.0.2.1/32 20T10:00:00-20T10:40:00 from 20T10:00:00 open=true observed",
		"session 20T10:30:00-20T10:40:00 from 20T10:30:00 open=true observed",
		"192.0.2.1/32 20T10:30:00-20T10:40:00 from 20T10:30:00 open=true observed")
}

func TestConflictBetweenSourcesStandsAndRADIUSCounts(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	dhcp := start("d1", "x", at(10, 0), "192.0.2.1/32")
	dhcp.Source, dhcp.Identifier.Kind, dhcp.ExpiresAt = schema.SourceDHCPv4, schema.IdentMAC, at(12, 0)
	s.add(b.Apply(at(10, 0), dhcp))
	radius := start("s1", "anna", at(10, 1), "192.0.2.1/32")
	e := b.Apply(at(10, 1), radius)
	s.add(e)
	if len(e.Assign) != 1 || e.Assign[0].AccessRef != b.cfg.Pseudonymiser.Ref(radius.Identifier) {
		t.Errorf("assign = %v, want the RADIUS line", e.Assign)
	}
	s.add(b.Tick(at(10, 10), Clock{}))
	if n := len(s.lines()); n != 4 {
		t.Errorf("%d slices, want both sessions and both assignments", n)
	}
}

func TestLeaseExpiresUnlessRenewed(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	o := start("d1", "m", at(10, 0), "192.0.2.1/32")
	o.Source, o.ExpiresAt = schema.SourceDHCPv4, at(11, 0)
	s.add(b.Apply(at(10, 0), o))
	renew := o
	renew.Kind, renew.At, renew.ExpiresAt = Refresh, at(10, 30), at(11, 30)
	s.add(b.Apply(at(10, 30), renew))
	for m := range 120 {
		s.add(b.Tick(at(10, m), Clock{}))
	}
	s.want(t,
		"session 20T10:00:00-20T11:30:00 from 20T10:00:00 open=false expiry synthesised",
		"192.0.2.1/32 20T10:00:00-20T11:30:00 from 20T10:00:00 open=false expiry synthesised")
	if len(b.Installed()) != 0 {
		t.Error("a lapsed lease still counts")
	}
}

func TestSlicesAreCutAtMidnightAndReemitted(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	from := at(23, 50).Add(-24 * time.Hour)
	s.add(b.Started(from, Clock{BootID: "boot"}))
	s.add(b.Apply(from, start("s1", "anna", from, "192.0.2.1/32", "2001:db8:1::/56")))
	for i := range 3600 {
		s.add(b.Tick(from.Add(time.Duration(i)*time.Second), Clock{BootID: "boot"}))
	}
	s.want(t,
		"session 19T23:50:00-20T00:00:00 from 19T23:50:00 open=false cut observed",
		"session 20T00:00:00-20T00:45:00 from 19T23:50:00 open=true observed",
		"192.0.2.1/32 19T23:50:00-20T00:00:00 from 19T23:50:00 open=false cut observed",
		"192.0.2.1/32 20T00:00:00-20T00:45:00 from 19T23:50:00 open=true observed",
		"2001:db8:1::/56 19T23:50:00-20T00:00:00 from 19T23:50:00 open=false cut observed",
		"2001:db8:1::/56 20T00:00:00-20T00:45:00 from 19T23:50:00 open=true observed")
	last := s.cover[len(s.cover)-1]
	if !last.EndedAt.Equal(at(0, 45)) || !last.StartedAt.Equal(day) || !last.Open || last.State != schema.Covered {
		t.Errorf("last coverage row %+v", last)
	}
}

func TestLostStartIsSynthesised(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 30), refresh("s1", "anna", at(10, 30), at(9, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(11, 0), end("s1", "anna", at(11, 0), at(9, 0), schema.EndRelease)))
	s.want(t,
		"session 20T09:00:00-20T11:00:00 from 20T09:00:00 open=false release synthesised",
		"192.0.2.1/32 20T09:00:00-20T11:00:00 from 20T09:00:00 open=false release synthesised")
	// The real start arrives after all: what was synthesised gives way.
	s.add(b.Apply(at(11, 5), start("s1", "anna", at(8, 59), "192.0.2.1/32")))
	s.want(t,
		"session 20T08:59:00-20T11:00:00 from 20T08:59:00 open=false release observed",
		"192.0.2.1/32 20T08:59:00-20T11:00:00 from 20T08:59:00 open=false release observed")
}

func TestNASRebootClosesWhatItNoLongerMentions(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	other := start("s2", "bram", at(10, 0), "192.0.2.2/32")
	other.NAS = "nas2"
	s.add(b.Apply(at(10, 0), other))
	reboot := Observation{At: at(10, 10), Kind: NASReboot, Source: schema.SourceRADIUS, NAS: "nas1"}
	s.add(b.Apply(at(10, 10), reboot))
	s.add(b.Apply(at(10, 11), start("s3", "carl", at(10, 11), "192.0.2.3/32")))
	s.add(b.Tick(at(10, 20), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T10:10:00 from 20T10:00:00 open=false nas_reboot inferred",
		"192.0.2.1/32 20T10:00:00-20T10:10:00 from 20T10:00:00 open=false nas_reboot inferred",
		"session 20T10:00:00-20T10:20:00 from 20T10:00:00 open=true observed",
		"192.0.2.2/32 20T10:00:00-20T10:20:00 from 20T10:00:00 open=true observed",
		"session 20T10:11:00-20T10:20:00 from 20T10:11:00 open=true observed",
		"192.0.2.3/32 20T10:11:00-20T10:20:00 from 20T10:11:00 open=true observed")
}

func TestAddressChangeWithinSession(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 10), refresh("s1", "anna", at(10, 10), at(10, 0), "192.0.2.1/32", "2001:db8::/56")))
	s.add(b.Apply(at(10, 20), refresh("s1", "anna", at(10, 20), at(10, 0))))
	s.add(b.Apply(at(10, 30), refresh("s1", "anna", at(10, 30), at(10, 0), "192.0.2.9/32", "2001:db8::/56")))
	s.add(b.Apply(at(10, 40), end("s1", "anna", at(10, 40), at(10, 0), schema.EndRelease)))
	s.want(t,
		"session 20T10:00:00-20T10:40:00 from 20T10:00:00 open=false release observed",
		"192.0.2.1/32 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false release observed",
		"192.0.2.9/32 20T10:30:00-20T10:40:00 from 20T10:30:00 open=false release observed",
		"2001:db8::/56 20T10:10:00-20T10:40:00 from 20T10:10:00 open=false release observed")
}

func TestTooLateAndUnusableAreCounted(t *testing.T) {
	b := newBinding(t)
	b.Apply(at(10, 0), start("s1", "anna", at(9, 59).Add(-24*time.Hour), "192.0.2.1/32"))
	b.Apply(at(10, 0), start("", "anna", at(10, 0), "192.0.2.1/32"))
	b.Apply(at(10, 0), start("s2", "anna", at(10, 0), "192.0.2.1/32"))
	b.Apply(at(10, 0), start("s2", "bram", at(10, 0), "192.0.2.1/32"))
	if got := b.Ignored(); got != (Ignored{TooLate: 1, NoIdentifier: 1, IdentifierChanged: 1}) {
		t.Errorf("ignored %+v", got)
	}
}

func TestAddressFlappingIsBounded(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32", "2001:db8::/56")))
	const changes = 500
	for i := 1; i <= changes; i++ {
		p := []string{"192.0.2.1/32", "192.0.2.2/32"}[i%2]
		now := at(10, 0).Add(time.Duration(i) * time.Minute)
		s.add(b.Apply(now, refresh("s1", "anna", now, at(10, 0), p, "2001:db8::/56")))
	}
	x := b.sessions[sessionKey{schema.SourceRADIUS, "s1"}]
	if len(x.Runs) > maxRuns || len(x.Emitted) > 2*maxRuns+4 {
		t.Errorf("%d runs and %d slices are remembered", len(x.Runs), len(x.Emitted))
	}
	held := map[string]time.Duration{}
	for _, r := range s.rows {
		if a, ok := r.(*schema.Assignment); ok && a.EndedAt.After(a.StartedAt) {
			held[a.Prefix.String()] += a.EndedAt.Sub(a.StartedAt)
		}
	}
	if sum := held["192.0.2.1/32"] + held["192.0.2.2/32"]; sum != changes*time.Minute {
		t.Errorf("held for %v in all, want %v", sum, changes*time.Minute)
	}
}

// A forged or mistaken source cannot make a line hold somebody else's network.
func TestNobodyHoldsWhatIsNotTheProviders(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	b.ranges = newRanges([]Range{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}, {Prefix: netip.MustParsePrefix("2001:db8::/32")}})
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32", "198.51.100.1/32", "2001:db8:1::/56", "2001::/16")))
	s.add(b.Apply(at(10, 10), end("s1", "anna", at(10, 10), at(10, 0), schema.EndRelease)))
	s.want(t,
		"session 20T10:00:00-20T10:10:00 from 20T10:00:00 open=false release observed",
		"192.0.2.1/32 20T10:00:00-20T10:10:00 from 20T10:00:00 open=false release observed",
		"2001:db8:1::/56 20T10:00:00-20T10:10:00 from 20T10:00:00 open=false release observed")
	if n := b.Ignored().OutsideRanges; n != 2 {
		t.Errorf("%d prefixes left out, want 2", n)
	}
}

// Of two that begin at the same instant neither is the newcomer.
func TestSameInstantIsAConflict(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 0), start("s2", "bram", at(10, 0), "192.0.2.1/32")))
	s.add(b.Tick(at(10, 10), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T10:10:00 from 20T10:00:00 open=true observed",
		"192.0.2.1/32 20T10:00:00-20T10:10:00 from 20T10:00:00 open=true observed",
		"session 20T10:00:00-20T10:10:00 from 20T10:00:00 open=true observed",
		"192.0.2.1/32 20T10:00:00-20T10:10:00 from 20T10:00:00 open=true observed")
	if len(b.Installed()) != 0 {
		t.Error("the address counts for one of them")
	}
}

// Of a long run only the latest tellings are remembered one by one; a contrary
// one that comes late among the forgotten ones makes what follows uncertain.
func TestLateChangeInLongRunIsFlagged(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	for i := range 60 {
		now := at(10, i)
		s.add(b.Apply(now, refresh("s1", "anna", now, at(10, 0), "192.0.2.1/32")))
	}
	s.add(b.Apply(at(11, 0), refresh("s1", "anna", at(10, 5).Add(time.Second), at(10, 0), "192.0.2.9/32")))
	s.add(b.Apply(at(11, 0), end("s1", "anna", at(11, 0), at(10, 0), schema.EndRelease)))
	s.want(t,
		"session 20T10:00:00-20T11:00:00 from 20T10:00:00 open=false release observed",
		"192.0.2.1/32 20T10:00:00-20T10:05:01 from 20T10:00:00 open=false release observed",
		"192.0.2.9/32 20T10:05:01-20T10:43:00 from 20T10:05:01 open=false release inferred",
		"192.0.2.1/32 20T10:43:00-20T11:00:00 from 20T10:43:00 open=false release inferred")
}
