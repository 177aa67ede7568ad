package disclosure_test

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/schema"
)

// TestJudgeAgainstTicks compares Judge with a reading of the rules that goes
// through the interval tick by tick and looks at everything at each: slow,
// obvious, and written without the other.
func TestJudgeAgainstTicks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tick := rapid.IntRange(0, 24)
		interval := func(name string) (start, end float64) {
			start = float64(tick.Draw(rt, name))
			return start, start + float64(rapid.IntRange(1, 24).Draw(rt, name+" for"))
		}
		w := disclosure.Evidence{ReadableFrom: at(float64(rapid.IntRange(-2, 6).Draw(rt, "readable from")))}
		prefixes := rapid.SampledFrom([]string{"2001:db8::/32", "2001:db8:1::/48", "2001:db8:1:2::/64", "2001:db8:9::/48"})
		for range rapid.IntRange(0, 2).Draw(rt, "ranges") {
			start, end := interval("range")
			if rapid.Bool().Draw(rt, "long-lived range") {
				start, end = -100, 100
			}
			w.Ranges = append(w.Ranges, disclosure.Range{Prefix: netip.MustParsePrefix(prefixes.Draw(rt, "range")),
				Provider:     rapid.SampledFrom([]string{"", "", "X"}).Draw(rt, "provider"),
				CollectorIDs: rapid.SampledFrom([][]string{{"c1"}, {"c1", "c2"}}).Draw(rt, "collectors"), ValidFrom: at(start), ValidTo: at(end)})
		}
		for range rapid.IntRange(0, 3).Draw(rt, "rows") {
			start, end := interval("row")
			w.Assignments = append(w.Assignments, assignment(prefixes.Draw(rt, "prefix"), byte(rapid.IntRange(1, 3).Draw(rt, "ref")), start, end))
		}
		for _, b := range []byte{1, 2, 3} {
			if rapid.IntRange(0, 5).Draw(rt, "known") > 0 {
				w.Lines = append(w.Lines, disclosure.LineAccess{LineID: string(rune('A' + (b-1)/2)), Ref: ref(b), ValidFrom: always[0], ValidTo: always[1]})
			}
		}
		for _, c := range []string{"c1", "c2"} {
			if rapid.IntRange(0, 5).Draw(rt, "covering") > 0 {
				w.Coverage = append(w.Coverage, covered(c, -50, 80))
			}
			if rapid.IntRange(0, 3).Draw(rt, "gap") == 0 {
				start, end := interval("gap")
				w.Coverage = append(w.Coverage, schema.Coverage{CollectorID: c, State: schema.Gap, StartedAt: at(start), EndedAt: at(end)})
			}
		}
		p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("2001:db8:1:2::17"), Instant: at(float64(tick.Draw(rt, "instant"))),
			Uncertainty: time.Duration(rapid.IntRange(0, 3).Draw(rt, "uncertainty")) * time.Second}, 0)
		want, line := byTicks(p, w)
		if got := disclosure.Judge(p, w); got.Reason != want || got.LineID != line {
			rt.Fatalf("Judge = %s %q, by ticks %s %q\n%+v", got.Reason, got.LineID, want, line, w)
		}
	})
}

func byTicks(p disclosure.Plan, w disclosure.Evidence) (reason.Reason, string) {
	in := func(m, start, end time.Time) bool { return !m.Before(start) && m.Before(end) }
	var ticks []time.Time
	for m := p.From; !m.After(p.To); m = m.Add(time.Second) {
		ticks = append(ticks, m)
	}
	owners, conflict := map[string]bool{}, false
	listed := map[string]int{}
	for _, m := range ticks {
		longest := -1
		for _, r := range w.Ranges {
			if in(m, r.ValidFrom, r.ValidTo) && r.Prefix.Contains(p.Address) {
				longest = max(longest, r.Prefix.Bits())
			}
		}
		here, ids := map[string]bool{}, map[string]bool{}
		for _, r := range w.Ranges {
			if in(m, r.ValidFrom, r.ValidTo) && r.Prefix.Contains(p.Address) && r.Prefix.Bits() == longest {
				here["by "+r.Provider] = true
				for _, id := range r.CollectorIDs {
					ids[id] = true
				}
			}
		}
		if longest < 0 {
			here["nobody"] = true
		}
		conflict = conflict || len(here) > 1
		for o := range here {
			owners[o] = true
		}
		for id := range ids {
			listed[id]++
		}
	}
	switch {
	case conflict:
		return reason.DataConflict, ""
	case len(owners) > 1:
		return reason.AmbiguousBoundary, ""
	case owners["nobody"]:
		return reason.NotOurRange, ""
	case owners["by X"]:
		return reason.OtherProvider, ""
	case p.From.Before(w.ReadableFrom):
		return reason.RetentionElapsed, ""
	}
	covering, all := 0, 0
	for id, n := range listed {
		if n < len(ticks) {
			continue
		}
		all++
		good := true
		for _, m := range ticks {
			seen := false
			for _, c := range w.Coverage {
				if c.CollectorID == id && in(m, c.StartedAt, c.EndedAt) {
					if c.State == schema.Gap {
						good = false
					}
					seen = true
				}
			}
			good = good && seen
		}
		if good {
			covering++
		}
	}
	if covering == 0 {
		return reason.CoverageGap, ""
	}
	lines := map[string]bool{}
	unknown, atOnce, ends := false, false, 0
	for i, m := range ticks {
		longest := -1
		for _, a := range w.Assignments {
			if in(m, a.StartedAt, a.EndedAt) && a.Prefix.Contains(p.Address) {
				longest = max(longest, a.Prefix.Bits())
			}
		}
		here := map[string]bool{}
		for _, a := range w.Assignments {
			if !in(m, a.StartedAt, a.EndedAt) || !a.Prefix.Contains(p.Address) || a.Prefix.Bits() != longest {
				continue
			}
			name := ""
			for _, l := range w.Lines {
				if l.Ref == a.AccessRef {
					name = l.LineID
				}
			}
			if name == "" {
				unknown = true
				continue
			}
			here[name], lines[name] = true, true
		}
		atOnce = atOnce || len(here) > 1
		if i == 0 && len(here) > 0 {
			ends++
		}
		if i == len(ticks)-1 && len(here) > 0 {
			ends++
		}
	}
	switch {
	case unknown || atOnce:
		return reason.DataConflict, ""
	case len(lines) == 0 && covering < all:
		return reason.CoverageGap, ""
	case len(lines) == 0:
		return reason.NoMatch, ""
	case len(lines) > 1 || ends < 2:
		return reason.AmbiguousBoundary, ""
	}
	for line := range lines {
		return reason.Match, line
	}
	panic("unreachable")
}
