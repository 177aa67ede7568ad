package binding

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/schema"

	"pgregory.net/rapid"
)

// history draws what some sessions really did, as the observations of a source
// that sees everything, in order of time.
func history(t *rapid.T) []Observation {
	var out []Observation
	addresses := []string{"192.0.2.1/32", "192.0.2.2/32", "2001:db8:0:100::/56"}
	for i := range rapid.IntRange(1, 5).Draw(t, "sessions") {
		key, user := fmt.Sprint("s", i), fmt.Sprint("user", rapid.IntRange(0, 2).Draw(t, "user"))
		began := day.Add(time.Duration(rapid.IntRange(0, 16*60).Draw(t, "start")) * time.Minute).Add(time.Duration(i) * time.Second)
		nas := fmt.Sprint("nas", rapid.IntRange(1, 2).Draw(t, "nas"))
		held := []string{rapid.SampledFrom(addresses).Draw(t, "address")}
		source := rapid.SampledFrom([]schema.Source{schema.SourceRADIUS, schema.SourceDHCPv4}).Draw(t, "source")
		add := func(o Observation) {
			o.NAS, o.Source = nas, source
			if source == schema.SourceDHCPv4 && o.Kind != End {
				o.ExpiresAt = o.At.Add(50 * time.Minute)
			}
			out = append(out, o)
		}
		add(start(key, user, began, held...))
		if rapid.IntRange(0, 3).Draw(t, "second start") == 0 {
			add(start(key, user, began.Add(20*time.Second), held...)) // sent again, dated anew
		}
		now := began
		for range rapid.IntRange(0, 6).Draw(t, "refreshes") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "minutes")) * time.Minute)
			if rapid.IntRange(0, 5).Draw(t, "change") == 0 {
				held = []string{rapid.SampledFrom(addresses).Draw(t, "address")}
			}
			told := held
			if rapid.IntRange(0, 3).Draw(t, "silent") == 0 {
				told = nil
			}
			add(refresh(key, user, now, began, told...))
		}
		if rapid.IntRange(0, 2).Draw(t, "ends") > 0 {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "minutes")) * time.Minute)
			e := end(key, user, now, began, schema.EndRelease)
			if rapid.Bool().Draw(t, "told at end") {
				e.Prefixes = prefixesOf(held)
			}
			add(e)
			if rapid.IntRange(0, 3).Draw(t, "second end") == 0 {
				e.At, e.Certainty = e.At.Add(30*time.Second), schema.CertaintyInferred
				if rapid.Bool().Draw(t, "as sure") {
					e.Certainty = schema.CertaintyObserved
				}
				add(e)
			}
		}
	}
	if rapid.Bool().Draw(t, "reboot") {
		r := day.Add(time.Duration(rapid.IntRange(0, 20*60).Draw(t, "reboot at")) * time.Minute)
		out = append(out, Observation{At: r, Kind: NASReboot, Source: schema.SourceRADIUS, NAS: "nas1"})
	}
	slices.SortStableFunc(out, func(a, b Observation) int { return a.At.Compare(b.At) })
	return out
}

// Shuffled and repeated observations lead to the same intervals as those in
// order. (Of a session with more than maxBetween tellings between two changes of
// address the oldest are forgotten; what that can affect is flagged as inferred.)
func TestOrderDoesNotMatterProperty(t *testing.T) {
	final := at(23, 59)
	rapid.Check(t, func(t *rapid.T) {
		events := history(t)
		inOrder, ordered := newBinding(t), newStore(t)
		for _, o := range events {
			ordered.add(inOrder.Tick(o.At, Clock{}))
			ordered.add(inOrder.Apply(o.At, o))
		}
		ordered.add(inOrder.Tick(final, Clock{}))

		mixed := slices.Clone(events)
		for range rapid.IntRange(0, 5).Draw(t, "duplicates") {
			mixed = append(mixed, rapid.SampledFrom(events).Draw(t, "duplicate"))
		}
		rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed"))).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		b, s := newBinding(t), newStore(t)
		now := at(23, 0)
		for i, o := range mixed {
			now = now.Add(time.Duration(i) * time.Second)
			s.add(b.Tick(now, Clock{}))
			s.add(b.Apply(now, o))
		}
		s.add(b.Tick(final, Clock{}))

		want, have := ordered.lines(), s.lines()
		if !slices.Equal(want, have) {
			t.Fatalf("shuffled\n  %s\nin order\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
		}
		tiles(t, ordered)
		tiles(t, s)
		bySource(t, b)
	})
}

// tiles checks that the slices of each session and assignment follow each other
// without gap or overlap, from its start on.
func tiles(t *rapid.T, s *store) {
	type part struct{ whole, start, end time.Time }
	parts := map[string][]part{}
	for _, r := range s.rows {
		switch r := r.(type) {
		case *schema.Session:
			if r.Open || r.EndedAt.After(r.StartedAt) {
				k := "session " + r.SessionID.String()
				parts[k] = append(parts[k], part{r.SessionStartedAt, r.StartedAt, r.EndedAt})
			}
		case *schema.Assignment:
			if r.Open || r.EndedAt.After(r.StartedAt) {
				k := "assignment " + r.AssignmentID.String()
				parts[k] = append(parts[k], part{r.AssignmentStartedAt, r.StartedAt, r.EndedAt})
			}
		}
	}
	for k, ps := range parts {
		slices.SortFunc(ps, func(a, b part) int { return a.start.Compare(b.start) })
		reached := ps[0].whole
		for _, p := range ps {
			if !p.start.Equal(reached) || !p.whole.Equal(ps[0].whole) {
				t.Fatalf("%s: slice [%v, %v) of [%v… follows %v", k, p.start, p.end, p.whole, reached)
			}
			reached = p.end
		}
	}
}

// bySource checks the datapath's table against the sessions: an address counts
// for a line only if that line holds it now.
func bySource(t *rapid.T, b *Binding) {
	for _, c := range b.Installed() {
		held := false
		for _, s := range b.sessions {
			for _, x := range s.claims {
				held = held || x.Prefix == c.Prefix && x.live() && s.Ref == c.AccessRef
			}
		}
		if !held {
			t.Fatalf("%v counts for a line that does not hold it", c.Prefix)
		}
	}
}

// A Binding restored from any snapshot and the deltas after it goes on exactly
// as the one that did not stop.
func TestRestoreProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := history(t)
		b := newBinding(t)
		var state []byte
		var deltas [][]byte
		for _, o := range events {
			deltas = append(deltas, b.Tick(o.At, Clock{BootID: "b"}).Delta, b.Apply(o.At, o).Delta)
			if rapid.IntRange(0, 3).Draw(t, "checkpoint") == 0 {
				var err error
				if state, err = b.Snapshot(); err != nil {
					t.Fatal(err)
				}
				deltas = nil
			}
			if rapid.IntRange(0, 3).Draw(t, "crash") > 0 {
				continue
			}
			restored := newBinding(t)
			if err := restored.Restore(state, deltas); err != nil {
				t.Fatal(err)
			}
			same(t, b, restored, o.At)
		}
	})
}

func same(t *rapid.T, b, restored *Binding, now time.Time) {
	installed := func(b *Binding) string {
		var out []string
		for _, c := range b.Installed() {
			out = append(out, fmt.Sprint(c))
		}
		slices.Sort(out)
		return strings.Join(out, "\n")
	}
	if x, y := installed(b), installed(restored); x != y {
		t.Fatalf("installed\n%s\nafter restore\n%s", x, y)
	}
	// Both let the same hour pass; neither is used after this in b's stead.
	x, err := b.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	twin := newBinding(t)
	if err := twin.Restore(x, nil); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		later := now.Add(time.Duration(i) * 7 * time.Minute)
		one, two := newStore(t), newStore(t)
		one.add(twin.Tick(later, Clock{}))
		two.add(restored.Tick(later, Clock{}))
		if one.latest != two.latest || !slices.Equal(one.lines(), two.lines()) {
			t.Fatalf("at %v: versions %d and %d\n%s\nafter restore\n%s", later, one.latest, two.latest,
				strings.Join(one.lines(), "\n"), strings.Join(two.lines(), "\n"))
		}
	}
}

func TestCoverageDeclaresWhereItWasNot(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	var deltas [][]byte
	step := func(e Effects) { s.add(e); deltas = append(deltas, e.Delta) }
	step(b.Started(at(9, 0), Clock{BootID: "a", Synced: true}))
	step(b.Tick(at(9, 5), Clock{BootID: "a"}))
	step(b.Gap(at(9, 7), at(9, 6), at(9, 7), GapRingDrop, Clock{}))
	step(b.Tick(at(9, 10), Clock{BootID: "a"}))
	b = newBinding(t)
	if err := b.Restore(nil, deltas); err != nil {
		t.Fatal(err)
	}
	step(b.Started(at(9, 30), Clock{BootID: "b"}))
	step(b.Stopped(at(9, 40), Clock{BootID: "b"}))

	latest := map[string]*schema.Coverage{}
	for _, c := range s.cover {
		k := fmt.Sprint(c.CoverageID, c.StartedAt)
		if old := latest[k]; old == nil || old.Version < c.Version {
			latest[k] = c
		}
	}
	var have []string
	for _, c := range latest {
		have = append(have, fmt.Sprintf("%s-%s %s %s open=%t", c.StartedAt.Format("15:04"), c.EndedAt.Format("15:04"), c.State, c.Cause, c.Open))
	}
	slices.Sort(have)
	want := []string{
		"09:00-09:06 covered  open=false", "09:06-09:07 gap ring_drop open=false", "09:07-09:10 covered  open=false",
		"09:10-09:30 gap not_running open=false", "09:30-09:40 covered  open=false",
	}
	if !slices.Equal(have, want) {
		t.Errorf("have\n  %s\nwant\n  %s", strings.Join(have, "\n  "), strings.Join(want, "\n  "))
	}
}
