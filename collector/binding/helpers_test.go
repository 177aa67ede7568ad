package binding

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/schema"
)

var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// at is a time of day on the test's day.
func at(hour, minute int) time.Time {
	return day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
}

func newBinding(t interface{ Fatal(...any) }) *Binding {
	p, err := schema.NewPseudonymiser([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{CollectorID: "test", Pseudonymiser: p, DrainSlack: 5 * time.Second})
}

func start(key, user string, t time.Time, prefixes ...string) Observation {
	return Observation{
		At: t, Kind: Start, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, SessionKey: key,
		Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user}, NAS: "nas1", NASPort: "port1", Prefixes: prefixesOf(prefixes),
	}
}

func refresh(key, user string, t, started time.Time, prefixes ...string) Observation {
	o := start(key, user, t, prefixes...)
	o.Kind, o.SessionStartedAt = Refresh, started
	return o
}

func end(key, user string, t, started time.Time, cause schema.EndCause) Observation {
	o := start(key, user, t)
	o.Kind, o.SessionStartedAt, o.EndCause = End, started, cause
	return o
}

func prefixesOf(texts []string) (out []netip.Prefix) {
	for _, s := range texts {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// A store keeps what the traffic store would: per slice the highest version.
type store struct {
	t      interface{ Fatalf(string, ...any) }
	rows   map[string]schema.Record
	cover  []*schema.Coverage
	usage  []*schema.Usage
	latest uint64
}

func newStore(t interface{ Fatalf(string, ...any) }) *store {
	return &store{t: t, rows: map[string]schema.Record{}}
}

func (s *store) add(e Effects) {
	for _, r := range e.Records {
		if err := schema.Validate(r); err != nil {
			s.t.Fatalf("the store would refuse a record: %v", err)
		}
		switch r := r.(type) {
		case *schema.Session:
			s.put(fmt.Sprint("session ", r.SessionID, r.StartedAt.UnixMilli()), r, r.Version, r.StartedAt, r.EndedAt)
		case *schema.Assignment:
			s.put(fmt.Sprint("assignment ", r.AssignmentID, r.StartedAt.UnixMilli()), r, r.Version, r.StartedAt, r.EndedAt)
		case *schema.Coverage:
			s.cover = append(s.cover, r)
		case *schema.Usage:
			s.usage = append(s.usage, r)
		}
	}
}

func (s *store) put(key string, r schema.Record, version uint64, start, end time.Time) {
	if end.Before(start) {
		s.t.Fatalf("%s ends at %v, before it starts at %v", key, end, start)
	}
	if !midnight(start).Equal(midnight(end.Add(-time.Millisecond))) && end.After(start) {
		s.t.Fatalf("%s [%v, %v) spans a UTC midnight", key, start, end)
	}
	if version <= s.latest {
		s.t.Fatalf("%s: version %d after %d", key, version, s.latest)
	}
	s.latest = version
	s.rows[key] = r
}

// lines renders what is held, sorted, one slice a line, without empty slices.
func (s *store) lines() []string {
	var out []string
	clock := func(t time.Time) string { return t.Format("02T15:04:05") }
	for _, r := range s.rows {
		switch r := r.(type) {
		case *schema.Session:
			if r.Open || r.EndedAt.After(r.StartedAt) {
				out = append(out, fmt.Sprintf("session %s %s-%s from %s open=%t %s %s", r.SessionID.String()[:6], clock(r.StartedAt),
					clock(r.EndedAt), clock(r.SessionStartedAt), r.Open, r.EndCause, r.Certainty))
			}
		case *schema.Assignment:
			if r.Open || r.EndedAt.After(r.StartedAt) {
				out = append(out, fmt.Sprintf("%s %s %s-%s from %s open=%t %s %s", r.Prefix, r.SessionID.String()[:6], clock(r.StartedAt),
					clock(r.EndedAt), clock(r.AssignmentStartedAt), r.Open, r.EndCause, r.Certainty))
			}
		}
	}
	slices.Sort(out)
	return out
}

func (s *store) want(t *testing.T, want ...string) {
	t.Helper()
	var have []string
	for _, l := range s.lines() {
		fields := strings.Fields(l)
		if fields[0] == "session" {
			have = append(have, "session "+strings.Join(fields[2:], " "))
			continue
		}
		have = append(have, fields[0]+" "+strings.Join(fields[2:], " "))
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("have\n  %s\nwant\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}
