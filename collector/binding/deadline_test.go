package binding

import (
	"testing"
	"time"

	"griffier/schema"
)

// A RADIUS session that falls silent ends when it was last heard of, and a NAS
// that never says anything between Start and Stop gets the whole limit.
func TestSilentSessionGoesStale(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	b.cfg.StaleAfter = 2 * time.Hour
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 30), refresh("s1", "anna", at(10, 30), at(10, 0))))
	s.add(b.Apply(at(10, 0), start("s2", "bram", at(10, 0), "192.0.2.2/32"))) // no interims
	lease := start("d1", "carl", at(10, 0), "192.0.2.3/32")
	lease.Source = schema.SourceDHCPv4 // has its own lapse, here none
	s.add(b.Apply(at(10, 0), lease))
	var gone []time.Time
	for m := range 240 {
		e := b.Tick(at(10, m), Clock{})
		for range e.Unassign {
			gone = append(gone, at(10, m))
		}
		s.add(e)
	}
	s.want(t,
		"session 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false inferred inferred",
		"192.0.2.1/32 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false inferred inferred",
		"session 20T10:00:00-20T12:00:00 from 20T10:00:00 open=false inferred inferred",
		"192.0.2.2/32 20T10:00:00-20T12:00:00 from 20T10:00:00 open=false inferred inferred",
		"session 20T10:00:00-20T13:55:00 from 20T10:00:00 open=true observed",
		"192.0.2.3/32 20T10:00:00-20T13:55:00 from 20T10:00:00 open=true observed")
	if len(gone) != 2 || !gone[0].Equal(at(12, 0)) || !gone[1].Equal(at(12, 30)) {
		t.Errorf("addresses ceased to count at %v, want 12:00 and 12:30", gone)
	}
}

// It was only the network between that fell silent: what comes late puts right
// what was inferred, and nothing is counted twice.
func TestStaleSessionComesBack(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	b.cfg.StaleAfter = 2 * time.Hour
	told := func(m int, up uint64) Observation {
		o := refresh("s1", "anna", at(10, m), at(10, 0), "192.0.2.1/32")
		o.Octets = &Octets{Up: up}
		return o
	}
	s.add(b.Apply(at(10, 0), start("s1", "anna", at(10, 0), "192.0.2.1/32")))
	s.add(b.Apply(at(10, 30), told(30, 100)))
	for m := 40; m < 200; m++ {
		s.add(b.Tick(at(10, m), Clock{}))
	}
	if live, _ := b.Live(); live != 0 {
		t.Fatal("the session is not stale")
	}
	s.add(b.Apply(at(13, 20), told(200, 170)))
	s.add(b.Tick(at(13, 25), Clock{}))
	s.want(t,
		"session 20T10:00:00-20T13:25:00 from 20T10:00:00 open=true observed",
		"192.0.2.1/32 20T10:00:00-20T13:25:00 from 20T10:00:00 open=true observed")
	var sum uint64
	for _, u := range s.usage {
		sum += u.Bytes
	}
	if sum != 170 {
		t.Errorf("%d octets, want 170", sum)
	}
}

// The end that is inferred lies further back than the horizon; the day it is in
// must still be open to it. And once the session is forgotten, its source may
// still tell what it counted of it: no octet counts twice.
func TestStaleBeyondTheHorizon(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	b.cfg.StaleAfter = 30 * time.Hour
	evening := day.Add(-2 * time.Hour) // 22:00 the day before
	s.add(b.Apply(evening.Add(-time.Hour), start("s1", "anna", evening.Add(-time.Hour), "192.0.2.1/32")))
	o := refresh("s1", "anna", evening, evening.Add(-time.Hour))
	o.Octets = &Octets{Up: 1000}
	s.add(b.Apply(evening, o))
	now := evening
	for range 60 * 60 / 5 {
		now = now.Add(5 * time.Minute)
		s.add(b.Tick(now, Clock{}))
	}
	s.want(t,
		"session 19T21:00:00-19T22:00:00 from 19T21:00:00 open=false inferred inferred",
		"192.0.2.1/32 19T21:00:00-19T22:00:00 from 19T21:00:00 open=false inferred inferred")
	if len(b.sessions) != 0 || len(b.deadlines) != 0 {
		t.Errorf("%d sessions and %d deadlines are remembered", len(b.sessions), len(b.deadlines))
	}
	back := refresh("s1", "anna", now, evening.Add(-time.Hour))
	back.Octets = &Octets{Up: 1200}
	s.add(b.Apply(now, back))
	back.At, back.Octets = now.Add(time.Minute), &Octets{Up: 1250}
	s.add(b.Apply(back.At, back))
	var sum uint64
	for _, u := range s.usage {
		sum += u.Bytes
	}
	if sum != 1050 {
		t.Errorf("%d octets, want the 1000 of before and the 50 since it was heard of again", sum)
	}
}

// However often leases are renewed, the heap of deadlines stays as small as the
// number of sessions, and each lapses in its time.
func TestDeadlinesFollowRenewals(t *testing.T) {
	b := newBinding(t)
	o := start("d1", "m", at(10, 0), "192.0.2.1/32")
	o.Source = schema.SourceDHCPv4
	for m := range 300 {
		o.At, o.ExpiresAt = at(10, m), at(10, m+10)
		if m > 0 {
			o.Kind = Refresh
		}
		b.Apply(o.At, o)
		b.Tick(o.At, Clock{})
		if len(b.deadlines) > 2 {
			t.Fatalf("%d deadlines of one session", len(b.deadlines))
		}
	}
	if _, held := b.Live(); held != 1 {
		t.Fatal("a renewed lease lapsed")
	}
	// A lease that is cut short lapses at its new, earlier, end.
	o.At, o.ExpiresAt = at(15, 0), at(15, 1)
	b.Apply(o.At, o)
	b.Tick(at(15, 1), Clock{})
	if _, held := b.Live(); held != 0 {
		t.Error("a lease that was cut short lives on")
	}
}
