package disclosure_test

import (
	"net/netip"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/schema"
)

var noon = time.Date(2026, 11, 19, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return noon.Add(time.Duration(seconds * float64(time.Second))) }

func ref(b byte) schema.AccessRef { return schema.AccessRef{b} }

var always = [2]time.Time{at(-86400), at(86400)}

// assignment of prefix to ref b during [start, end), in seconds around noon.
func assignment(prefix string, b byte, start, end float64) schema.Assignment {
	return schema.Assignment{AccessRef: ref(b), Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535, StartedAt: at(start), EndedAt: at(end),
		Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"}
}

func covered(collector string, start, end float64) schema.Coverage {
	return schema.Coverage{CollectorID: collector, State: schema.Covered, StartedAt: at(start), EndedAt: at(end), ClockSynced: true}
}

// world is evidence in which everything is as it should be and nobody holds anything.
func world() disclosure.Evidence {
	return disclosure.Evidence{
		Ranges: []disclosure.Range{
			{Prefix: netip.MustParsePrefix("192.0.2.0/24"), CollectorIDs: []string{"c1"}, ValidFrom: always[0], ValidTo: always[1]},
			{Prefix: netip.MustParsePrefix("2001:db8::/32"), CollectorIDs: []string{"c1"}, ValidFrom: always[0], ValidTo: always[1]},
		},
		Coverage: []schema.Coverage{covered("c1", -3600, 3600)},
		Lines: []disclosure.LineAccess{
			{LineID: "A", Ref: ref(1), ValidFrom: always[0], ValidTo: always[1]},
			{LineID: "A", Ref: ref(2), ValidFrom: always[0], ValidTo: always[1]}, // the same line's new modem
			{LineID: "B", Ref: ref(3), ValidFrom: always[0], ValidTo: always[1]},
		},
		ReadableFrom: at(-7200),
	}
}

func TestJudge(t *testing.T) {
	const v4, v6 = "192.0.2.17", "2001:db8:1:2::17"
	type e = disclosure.Evidence
	hold := func(rows ...schema.Assignment) func(*e) { return func(w *e) { w.Assignments = rows } }
	tests := []struct {
		name    string
		address string
		seconds float64 // of the instant, around noon
		stated  float64 // uncertainty
		change  func(*e)
		want    reason.Reason
		line    string
	}{
		{"one line throughout", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, 60)), reason.Match, "A"},
		{"nobody", v4, 0, 0, hold(assignment("192.0.2.18/32", 1, -60, 60)), reason.NoMatch, ""},
		{"its time is over", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, -2)), reason.NoMatch, ""},
		{"its time is to come", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, 2.001, 60)), reason.NoMatch, ""},

		// Scenario 4: A until 12:00:00.000, B from then.
		{"hand-over, two seconds before", v4, -2, 0, handOver, reason.AmbiguousBoundary, ""},
		{"hand-over, a second before", v4, -1, 0, handOver, reason.AmbiguousBoundary, ""},
		{"hand-over, then", v4, 0, 0, handOver, reason.AmbiguousBoundary, ""},
		{"hand-over, a second after", v4, 1, 0, handOver, reason.AmbiguousBoundary, ""},
		{"hand-over, three seconds before", v4, -3, 0, handOver, reason.Match, "A"},
		{"hand-over, three seconds after", v4, 3, 0, handOver, reason.Match, "B"},
		{"hand-over, stated uncertainty reaches it", v4, -12, 10, handOver, reason.AmbiguousBoundary, ""},
		{"hand-over to the same line", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, 0), assignment("192.0.2.17/32", 2, 0, 60)), reason.Match, "A"},
		{"the same line after a pause", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, -1), assignment("192.0.2.17/32", 1, 1, 60)), reason.Match, "A"},
		{"begins within the interval", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -1, 60)), reason.AmbiguousBoundary, ""},
		{"ends within the interval", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, 2)), reason.AmbiguousBoundary, ""},
		{"cut at midnight", v4, 0, 0, hold(assignment("192.0.2.17/32", 3, -60, 0), assignment("192.0.2.17/32", 3, 0, 60)), reason.Match, "B"},

		{"two sources, one line", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, 60), assignment("192.0.2.17/32", 2, -50, 70)), reason.Match, "A"},
		{"two lines at once", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, 60), assignment("192.0.2.17/32", 3, -60, 60)), reason.DataConflict, ""},
		{"a holder that no register knows", v4, 0, 0, hold(assignment("192.0.2.17/32", 9, -60, 60)), reason.DataConflict, ""},
		{"known and unknown at once", v4, 0, 0, hold(assignment("192.0.2.17/32", 1, -60, 60), assignment("192.0.2.17/32", 9, -60, 60)), reason.DataConflict, ""},
		{"a reference of two lines", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Lines = append(w.Lines, disclosure.LineAccess{LineID: "B", Ref: ref(1), ValidFrom: at(-10), ValidTo: at(10)})
		}, reason.DataConflict, ""},
		{"a reference that moved to another line", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Lines[0].ValidTo = at(0)
			w.Lines = append(w.Lines, disclosure.LineAccess{LineID: "B", Ref: ref(1), ValidFrom: at(0), ValidTo: always[1]})
		}, reason.AmbiguousBoundary, ""},
		{"a port block", v4, 0, 0, hold(block(1, 1024, 2047), block(3, 2048, 3071)), reason.PortRequired, ""},
		{"one port block", v4, 0, 0, hold(block(1, 1024, 2047)), reason.PortRequired, ""},

		{"delegated prefix", v6, 0, 0, hold(assignment("2001:db8:1::/56", 1, -60, 60)), reason.Match, "A"},
		{"longest prefix wins", v6, 0, 0, hold(assignment("2001:db8:1::/48", 1, -60, 60), assignment("2001:db8:1:2::/64", 3, -60, 60)), reason.Match, "B"},
		{"longest prefix ends within", v6, 0, 0, hold(assignment("2001:db8:1::/48", 1, -60, 60), assignment("2001:db8:1:2::/64", 3, -60, 0)), reason.AmbiguousBoundary, ""},
		{"the prefix beside it", v6, 0, 0, hold(assignment("2001:db8:1:100::/56", 1, -60, 60)), reason.NoMatch, ""},
		{"prefix moved", "2001:db8:1:2::17", 0, 0, hold(assignment("2001:db8:1::/56", 1, -60, 0), assignment("2001:db8:1::/56", 3, 0, 60)), reason.AmbiguousBoundary, ""},

		{"not our range", "198.51.100.1", 0, 0, nil, reason.NotOurRange, ""},
		{"unique local", "fd00::1", 0, 0, nil, reason.NotOurRange, ""},
		{"not ours yet", v4, 0, 0, func(w *e) { w.Ranges[0].ValidFrom = at(3) }, reason.NotOurRange, ""},
		{"not ours any more", v4, 0, 0, func(w *e) { w.Ranges[0].ValidTo = at(-2) }, reason.NotOurRange, ""},
		{"becomes ours within", v4, 0, 0, func(w *e) { w.Ranges[0].ValidFrom = at(1) }, reason.AmbiguousBoundary, ""},
		{"a reseller's part of our range", v4, 0, 0, reseller("192.0.2.16/28"), reason.OtherProvider, ""},
		{"another part", "192.0.2.1", 0, 0, reseller("192.0.2.16/28"), reason.NoMatch, ""},
		{"ours and a reseller's at once", v4, 0, 0, reseller("192.0.2.0/24"), reason.DataConflict, ""},

		{"past retention", v4, 0, 0, func(w *e) { w.ReadableFrom = at(-1.999) }, reason.RetentionElapsed, ""},
		{"just within retention", v4, 0, 0, func(w *e) { w.ReadableFrom = at(-2) }, reason.NoMatch, ""},
		{"past retention though a row is there", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.ReadableFrom = at(0)
		}, reason.RetentionElapsed, ""},
		{"past retention and a gap", v4, 0, 0, func(w *e) { w.ReadableFrom, w.Coverage = at(0), nil }, reason.RetentionElapsed, ""},
		{"not our range and past retention", "198.51.100.1", 0, 0, func(w *e) { w.ReadableFrom = at(0) }, reason.NotOurRange, ""},

		{"no coverage", v4, 0, 0, func(w *e) { w.Coverage = nil }, reason.CoverageGap, ""},
		{"coverage of another collector", v4, 0, 0, func(w *e) { w.Coverage[0].CollectorID = "c2" }, reason.CoverageGap, ""},
		{"range without a collector", v4, 0, 0, func(w *e) { w.Ranges[0].CollectorIDs = nil }, reason.CoverageGap, ""},
		{"the future", v4, 3599, 0, nil, reason.CoverageGap, ""},
		{"coverage ends at the interval's end", v4, 3598, 0, nil, reason.CoverageGap, ""},
		{"coverage ends just after it", v4, 3597.999, 0, nil, reason.NoMatch, ""},
		{"two rows of coverage", v4, 0, 0, func(w *e) { w.Coverage = []schema.Coverage{covered("c1", 0, 60), covered("c1", -60, 0)} }, reason.NoMatch, ""},
		{"a hole between them", v4, 0, 0, func(w *e) { w.Coverage = []schema.Coverage{covered("c1", 0.001, 60), covered("c1", -60, 0)} }, reason.CoverageGap, ""},
		{"a declared gap", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Coverage = append(w.Coverage, schema.Coverage{CollectorID: "c1", State: schema.Gap, StartedAt: at(1), EndedAt: at(1.5)})
		}, reason.CoverageGap, ""},
		{"a gap elsewhere", v4, 0, 0, func(w *e) {
			w.Coverage = append(w.Coverage, schema.Coverage{CollectorID: "c1", State: schema.Gap, StartedAt: at(2.001), EndedAt: at(3)})
		}, reason.NoMatch, ""},
		{"clock off by more than the margin", v4, 0, 0, func(w *e) { w.Coverage[0].ClockOffsetNanos = -2_000_000_001 }, reason.CoverageGap, ""},
		{"nothing kept the clock", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Coverage[0].ClockSynced = false
		}, reason.CoverageGap, ""},
		{"nothing kept the clock for a moment", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Coverage = []schema.Coverage{covered("c1", -60, 0), covered("c1", 0, 1), covered("c1", 1, 60)}
			w.Coverage[1].ClockSynced = false
		}, reason.CoverageGap, ""},
		{"nothing kept the clock, elsewhere", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Coverage = []schema.Coverage{covered("c1", -60, -2), covered("c1", -2, 60)}
			w.Coverage[0].ClockSynced = false
		}, reason.Match, "A"},
		{"two collectors, each half", v4, 0, 0, func(w *e) {
			w.Ranges[0].CollectorIDs = []string{"c1", "c2"}
			w.Coverage = []schema.Coverage{covered("c1", -60, 0), covered("c2", 0, 60)}
		}, reason.CoverageGap, ""},
		{"two collectors, one covering, a row", v4, 0, 0, func(w *e) {
			hold(assignment("192.0.2.17/32", 1, -60, 60))(w)
			w.Ranges[0].CollectorIDs = []string{"c1", "c2"}
		}, reason.Match, "A"},
		{"two collectors, one covering, no row", v4, 0, 0, func(w *e) { w.Ranges[0].CollectorIDs = []string{"c1", "c2"} }, reason.CoverageGap, ""},

		// A redundant pair of routers, each with a collector, on one line.
		{"pair, both saw it", v4, 0, 0, pair(nil), reason.Match, "A"},
		{"pair, both covering, neither saw it", v4, 0, 0, pair(func(w *e) { w.Assignments = nil }), reason.NoMatch, ""},
		{"pair, a gap of one is covered by the other", v4, 0, 0, pair(gapOf("c1")), reason.Match, "A"},
		{"pair, a gap of the other", v4, 0, 0, pair(gapOf("c2")), reason.Match, "A"},
		{"pair, a gap of both", v4, 0, 0, pair(func(w *e) { gapOf("c1")(w); gapOf("c2")(w) }), reason.CoverageGap, ""},
		{"pair, nobody, and a gap of one", v4, 0, 0, pair(func(w *e) { w.Assignments = nil; gapOf("c1")(w) }), reason.CoverageGap, ""},
		{"pair, the one that goes on after a gap of the other", v4, 600, 0, pair(func(w *e) {
			w.Assignments[0], w.Assignments[1] = open(w.Assignments[0]), open(w.Assignments[1])
			w.Coverage = []schema.Coverage{covered("c1", -3600, 61), covered("c1", 62, 63), covered("c2", -3600, 3600)}
		}), reason.Match, "A"},
		{"pair, nothing kept the clock of one", v4, 0, 0, pair(func(w *e) { w.Coverage[0].ClockSynced = false }), reason.Match, "A"},
		{"pair, only the one whose clock nothing kept tells of a holder", v4, 0, 0, pair(func(w *e) {
			w.Assignments = w.Assignments[:1]
			w.Coverage[0].ClockSynced = false
		}), reason.CoverageGap, ""},
		{"pair, only the one whose clock was off tells of a holder", v4, 0, 0, pair(func(w *e) {
			w.Assignments = w.Assignments[:1]
			w.Coverage[0].ClockOffsetNanos = 3_600_000_000_000
		}), reason.CoverageGap, ""},
		{"pair, the one whose clock nothing kept tells of another line", v4, 0, 0, pair(func(w *e) {
			w.Assignments[0].AccessRef = ref(3)
			w.Coverage[0].ClockSynced = false
		}), reason.DataConflict, ""},
		{"pair, one tells another modem of the line", v4, 0, 0, pair(func(w *e) { w.Assignments[1].AccessRef = ref(2) }), reason.Match, "A"},
		{"pair, they tell of two lines", v4, 0, 0, pair(func(w *e) { w.Assignments[1].AccessRef = ref(3) }), reason.DataConflict, ""},
		{"pair, one saw the hand-over a second later", v4, 0, 0, pair(func(w *e) {
			w.Assignments = append(w.Assignments, w.Assignments[0], w.Assignments[1])
			w.Assignments[0].EndedAt, w.Assignments[1].EndedAt = at(0), at(1)
			w.Assignments[2].AccessRef, w.Assignments[3].AccessRef = ref(3), ref(3)
			w.Assignments[2].StartedAt, w.Assignments[3].StartedAt = at(0), at(1)
		}), reason.DataConflict, ""},

		{"an open row goes on while coverage does", v4, 600, 0, func(w *e) { hold(open(assignment("192.0.2.17/32", 1, -60, 300)))(w) }, reason.Match, "A"},
		{"an open row of before a restart does not", v4, 600, 0, func(w *e) {
			hold(open(assignment("192.0.2.17/32", 1, -60, 300)))(w)
			w.Coverage = []schema.Coverage{covered("c1", -3600, 301), covered("c1", 302, 3600)}
		}, reason.NoMatch, ""},
		{"a closed row does not", v4, 600, 0, hold(assignment("192.0.2.17/32", 1, -60, 300)), reason.NoMatch, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := world()
			if test.change != nil {
				test.change(&w)
			}
			p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr(test.address), Instant: at(test.seconds),
				Uncertainty: time.Duration(test.stated * float64(time.Second))}, disclosure.DefaultClockMargin)
			got := disclosure.Judge(p, w)
			if got.Reason != test.want || got.LineID != test.line {
				t.Errorf("Judge = %s %q, want %s %q", got.Reason, got.LineID, test.want, test.line)
			}
			if got.Reason != reason.Match && (got.LineID != "" || got.Prefix.IsValid() || got.Sources != nil) {
				t.Errorf("%s tells of a holder: %+v", got.Reason, got)
			}
		})
	}
}

func handOver(w *disclosure.Evidence) {
	w.Assignments = []schema.Assignment{assignment("192.0.2.17/32", 1, -60, 0), assignment("192.0.2.17/32", 3, 0, 60)}
}

// pair is a world in which two collectors saw line A hold an address.
func pair(change func(*disclosure.Evidence)) func(*disclosure.Evidence) {
	return func(w *disclosure.Evidence) {
		w.Ranges[0].CollectorIDs = []string{"c1", "c2"}
		w.Coverage = append(w.Coverage, covered("c2", -3600, 3600))
		w.Assignments = []schema.Assignment{assignment("192.0.2.17/32", 1, -60, 60), assignment("192.0.2.17/32", 1, -59.5, 61)}
		w.Assignments[1].CollectorID = "c2"
		if change != nil {
			change(w)
		}
	}
}

func gapOf(collector string) func(*disclosure.Evidence) {
	return func(w *disclosure.Evidence) {
		w.Coverage = append(w.Coverage, schema.Coverage{CollectorID: collector, State: schema.Gap, StartedAt: at(-1), EndedAt: at(1)})
	}
}

func block(b byte, from, to uint16) schema.Assignment {
	a := assignment("192.0.2.17/32", b, -60, 60)
	a.PortStart, a.PortEnd = from, to
	return a
}

func open(a schema.Assignment) schema.Assignment { a.Open = true; return a }

func reseller(prefix string) func(*disclosure.Evidence) {
	return func(w *disclosure.Evidence) {
		w.Ranges = append(w.Ranges, disclosure.Range{Prefix: netip.MustParsePrefix(prefix), Provider: "Example Telecom",
			CollectorIDs: []string{"c1"}, ValidFrom: always[0], ValidTo: always[1]})
	}
}

// TestSilence: who fell silent may have had the address for an accounting interval more,
// unless somebody had it after, or it was told that it ended (D-28).
func TestSilence(t *testing.T) {
	ended := func(b byte, end float64, certainty schema.Certainty) schema.Assignment {
		a := assignment("192.0.2.17/32", b, end-60, end)
		a.Certainty = certainty
		return a
	}
	other := ended(3, -100, schema.CertaintyInferred)
	other.PortStart, other.PortEnd = 2048, 3071
	for _, test := range []struct {
		name     string
		rows     []schema.Assignment
		port     uint16
		interval time.Duration
		want     reason.Reason
	}{
		{"fell silent", []schema.Assignment{ended(1, -100, schema.CertaintyInferred)}, 0, 15 * time.Minute, reason.AmbiguousBoundary},
		{"fell silent long ago", []schema.Assignment{ended(1, -902, schema.CertaintyInferred)}, 0, 15 * time.Minute, reason.NoMatch},
		{"fell silent just now", []schema.Assignment{ended(1, -901.999, schema.CertaintyInferred)}, 0, 15 * time.Minute, reason.AmbiguousBoundary},
		{"ended", []schema.Assignment{ended(1, -100, schema.CertaintyObserved)}, 0, 15 * time.Minute, reason.NoMatch},
		{"a lease ran out", []schema.Assignment{ended(1, -100, schema.CertaintySynthesised)}, 0, 15 * time.Minute, reason.NoMatch},
		{"another had it after, which ended", []schema.Assignment{ended(1, -200, schema.CertaintyInferred), ended(3, -100, schema.CertaintyObserved)}, 0, 15 * time.Minute, reason.NoMatch},
		{"another has it", []schema.Assignment{ended(1, -100, schema.CertaintyInferred), ended(3, 50, schema.CertaintyObserved)}, 0, 15 * time.Minute, reason.Match},
		{"every end is told", []schema.Assignment{ended(1, -100, schema.CertaintyInferred)}, 0, 0, reason.NoMatch},
		{"another address", []schema.Assignment{assignment("192.0.2.18/32", 1, -200, -100)}, 0, 15 * time.Minute, reason.NoMatch},
		{"a port of it", []schema.Assignment{other, block(1, 1024, 2047)}, 2100, 15 * time.Minute, reason.AmbiguousBoundary},
		{"another port of it", []schema.Assignment{other, block(1, 1024, 2047)}, 4000, 15 * time.Minute, reason.NoMatch},
	} {
		w := world()
		w.Assignments = test.rows
		p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.17"), Instant: noon, Port: test.port}, disclosure.DefaultClockMargin)
		p.AccountingInterval = test.interval
		if got := disclosure.Judge(p, w).Reason; got != test.want {
			t.Errorf("%s: Judge = %s, want %s", test.name, got, test.want)
		}
	}
}

// TestLaboratoryBelievesAnyClock is of clock.require_sync: false.
func TestLaboratoryBelievesAnyClock(t *testing.T) {
	w := world()
	w.Assignments, w.Coverage[0].ClockSynced = []schema.Assignment{assignment("192.0.2.17/32", 1, -60, 60)}, false
	p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.17"), Instant: noon}, disclosure.DefaultClockMargin)
	p.AnyClock = true
	if got := disclosure.Judge(p, w); got.Reason != reason.Match || got.LineID != "A" {
		t.Errorf("Judge = %+v, want MATCH of A", got)
	}
	w.Coverage[0].ClockOffsetNanos = 2_000_000_001
	if got := disclosure.Judge(p, w).Reason; got != reason.CoverageGap {
		t.Errorf("a clock that is known to be off: Judge = %s, want COVERAGE_GAP", got)
	}
}

func TestWithoutUncertaintyTheNewHolderCounts(t *testing.T) {
	w := world()
	handOver(&w)
	p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.17"), Instant: noon}, 0)
	if got := disclosure.Judge(p, w); got.Reason != reason.Match || got.LineID != "B" {
		t.Errorf("Judge = %s %q, want MATCH B", got.Reason, got.LineID)
	}
}

func TestPortBand(t *testing.T) {
	for n, want := range map[int]string{1: "1", 2: "2-10", 10: "2-10", 11: "11-100", 64: "11-100", 101: ">100"} {
		w := world()
		for i := range n {
			w.Assignments = append(w.Assignments, block(byte(i), 1024, 2047))
		}
		p := disclosure.NewPlan(disclosure.Question{Address: netip.MustParseAddr("192.0.2.17"), Instant: noon}, 0)
		if got := disclosure.Judge(p, w); got.Reason != reason.PortRequired || got.Candidates != want {
			t.Errorf("%d sharers: %s %q, want %q", n, got.Reason, got.Candidates, want)
		}
	}
}
