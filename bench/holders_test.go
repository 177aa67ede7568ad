package main

import (
	"fmt"
	"math/rand"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/collector/binding"
	"griffier/schema"
)

var holdersDay = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// holders is a collector's binding and what the store keeps of its records, asked
// as a disclosure asks.
type holders struct {
	pseudonymiser *schema.Pseudonymiser
	binding       *binding.Binding
	assignments   map[string]*schema.Assignment
	coverage      map[string]*schema.Coverage
}

func newHolders(t interface{ Fatal(...any) }, collector string) *holders {
	p, err := schema.NewPseudonymiser([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	h := &holders{pseudonymiser: p, assignments: map[string]*schema.Assignment{}, coverage: map[string]*schema.Coverage{}}
	h.binding = binding.New(binding.Config{CollectorID: collector, Pseudonymiser: p, StaleAfter: 40 * time.Minute})
	h.store(h.binding.Started(holdersDay, binding.Clock{Synced: true}))
	return h
}

func (h *holders) store(e binding.Effects) {
	for _, r := range e.Records {
		switch r := r.(type) {
		case *schema.Assignment:
			k := fmt.Sprint(r.AssignmentID, r.StartedAt)
			if old := h.assignments[k]; old == nil || old.Version < r.Version {
				h.assignments[k] = r
			}
		case *schema.Coverage:
			k := fmt.Sprint(r.CoverageID, r.StartedAt)
			if old := h.coverage[k]; old == nil || old.Version < r.Version {
				h.coverage[k] = r
			}
		}
	}
}

func (h *holders) take(now time.Time, o binding.Observation) {
	h.store(h.binding.Tick(now, binding.Clock{Synced: true}))
	h.store(h.binding.Apply(now, o))
}

// ask puts the question who held 192.0.2.1 at a moment to what several collectors
// stored. lines says whose each access identifier is.
func ask(at time.Time, lines map[schema.Identifier]string, collectors ...*holders) disclosure.Answer {
	e := disclosure.Evidence{ReadableFrom: holdersDay.AddDate(0, -6, 0)}
	r := disclosure.Range{Prefix: netip.MustParsePrefix("192.0.2.0/24"), ValidFrom: holdersDay.AddDate(-1, 0, 0), ValidTo: schema.Forever}
	for _, h := range collectors {
		for _, a := range h.assignments {
			e.Assignments = append(e.Assignments, *a)
		}
		for _, c := range h.coverage {
			e.Coverage = append(e.Coverage, *c)
			r.CollectorIDs = append(r.CollectorIDs, c.CollectorID)
		}
	}
	e.Ranges = []disclosure.Range{r}
	for id, line := range lines {
		e.Lines = append(e.Lines, disclosure.LineAccess{LineID: line, Ref: collectors[0].pseudonymiser.Ref(id), ValidFrom: r.ValidFrom, ValidTo: schema.Forever})
	}
	return disclosure.Judge(disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.1"), Instant: at}, 0), e)
}

func byUser(name string) schema.Identifier {
	return schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name}
}

func says(kind binding.ObservationKind, session string, id schema.Identifier, at time.Time) binding.Observation {
	o := binding.Observation{At: at, Kind: kind, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, SessionKey: session,
		Identifier: id, NAS: "bng1", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}}
	if kind == binding.End {
		o.EndCause = schema.EndRelease
	}
	return o
}

// TestConflictsReachTheAnswer: what sources contradict each other in is recorded
// as they said it, and read as a conflict if it concerns two lines.
func TestConflictsReachTheAnswer(t *testing.T) {
	mac := schema.Identifier{Kind: schema.IdentMAC, Value: "020000000001"}
	lease := says(binding.Start, "lease", mac, holdersDay.Add(time.Minute))
	lease.Source = schema.SourceDHCPv4
	other := says(binding.Start, "s2", byUser("bram"), holdersDay.Add(2*time.Minute))
	still := says(binding.Refresh, "s1", byUser("anna"), holdersDay.Add(3*time.Minute))
	for _, c := range []struct {
		name string
		said []binding.Observation // after anna's session began
		mac  string                // whose the modem is
		want reason.Reason
		line string
	}{
		{"alone", nil, "A", reason.Match, "A"},
		{"two sources, one line", []binding.Observation{lease}, "A", reason.Match, "A"},
		{"two sources, two lines", []binding.Observation{lease}, "B", reason.DataConflict, ""},
		{"one source, a newcomer", []binding.Observation{other}, "A", reason.Match, "B"},
		{"one source, both insist", []binding.Observation{other, still}, "A", reason.DataConflict, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHolders(t, "c1")
			h.take(holdersDay, says(binding.Start, "s1", byUser("anna"), holdersDay))
			for _, o := range c.said {
				h.take(o.At, o)
			}
			h.store(h.binding.Tick(holdersDay.Add(10*time.Minute), binding.Clock{Synced: true}))
			got := ask(holdersDay.Add(5*time.Minute), map[schema.Identifier]string{byUser("anna"): "A", byUser("bram"): "B", mac: c.mac}, h)
			if got.Reason != c.want || got.LineID != c.line {
				t.Errorf("%s %q, want %s %q", got.Reason, got.LineID, c.want, c.line)
			}
		})
	}
}

// TestNoAnswerIsWrongAndSure: an address passes from line to line, and what the
// NAS says of it to one or two collectors is lost, doubled and out of order. No
// answer that is given as observed or computed names another line than the one
// that held it; with nothing lost every answer is right.
func TestNoAnswerIsWrongAndSure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type holding struct {
			line     string
			from, to time.Time
		}
		var held []holding
		var sent []binding.Observation
		now := holdersDay
		lines := map[schema.Identifier]string{}
		for i := range rapid.IntRange(1, 5).Draw(t, "sessions") {
			from := now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "idle")) * time.Minute)
			now = from.Add(time.Duration(rapid.IntRange(1, 120).Draw(t, "length")) * time.Minute)
			line := rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "line")
			lines[byUser(line)] = line
			held = append(held, holding{line, from, now})
			key := fmt.Sprint("s", i)
			sent = append(sent, says(binding.Start, key, byUser(line), from))
			for at := from.Add(10 * time.Minute); at.Before(now); at = at.Add(10 * time.Minute) {
				o := says(binding.Refresh, key, byUser(line), at)
				o.SessionStartedAt = from
				sent = append(sent, o)
			}
			o := says(binding.End, key, byUser(line), now)
			o.SessionStartedAt = from
			sent = append(sent, o)
		}
		loss := rapid.SampledFrom([]int{0, 10, 30, 60}).Draw(t, "loss in percent")
		random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		var collectors []*holders
		for _, id := range []string{"c1", "c2"}[:rapid.IntRange(1, 2).Draw(t, "collectors")] {
			h := newHolders(t, id)
			var arrive []binding.Observation
			for _, o := range sent {
				for range 1 + random.Intn(2) {
					if random.Intn(100) >= loss {
						arrive = append(arrive, o)
					}
				}
			}
			late := random.Intn(2) == 0
			if late {
				random.Shuffle(len(arrive), func(i, j int) { arrive[i], arrive[j] = arrive[j], arrive[i] })
			}
			clock := holdersDay
			for _, o := range arrive {
				if clock = o.At; late {
					clock = now.Add(time.Hour)
				}
				h.take(clock, o)
			}
			for at := clock; at.Before(now.Add(3 * time.Hour)); at = at.Add(5 * time.Minute) {
				h.store(h.binding.Tick(at, binding.Clock{Synced: true}))
			}
			collectors = append(collectors, h)
		}
		for at := holdersDay.Add(30 * time.Second); at.Before(now.Add(time.Hour)); at = at.Add(7 * time.Minute) {
			line := ""
			for _, x := range held {
				if !at.Before(x.from) && at.Before(x.to) {
					line = x.line
				}
			}
			got := ask(at, lines, collectors...)
			if got.Reason == reason.Match && got.LineID != line && got.Certainty != schema.CertaintyInferred {
				t.Fatalf("at %v it was %q; answered %q, %s", at, line, got.LineID, got.Certainty)
			}
			want := reason.Match
			if line == "" {
				want = reason.NoMatch
			}
			if loss == 0 && (got.Reason != want || got.LineID != line) {
				t.Fatalf("at %v it was %q; nothing was lost, answered %s %q", at, line, got.Reason, got.LineID)
			}
		}
	})
}
