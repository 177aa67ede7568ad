package disclosure_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/schema"
)

// step is what a scene's times are multiples of, few enough to meet each other often.
const step = 60 * time.Second

// scene draws a listing of two lines over some 40 minutes around noon: the rows that
// there are of them, of others, and of before and after.
func scene(t *rapid.T) (disclosure.Plan, disclosure.Listing) {
	second := func(name string) time.Time {
		return noon.Add(time.Duration(rapid.IntRange(-20, 20).Draw(t, name)) * step)
	}
	span := func(name string) disclosure.Span {
		from := second(name + " from")
		return disclosure.Span{From: from, To: from.Add(time.Duration(rapid.IntRange(1, 25).Draw(t, name+" for")) * step)}
	}
	window := span("window")
	p := disclosure.NewListPlan(disclosure.Question{Target: "line:A", Instant: window.From}, window.To.Add(-time.Nanosecond), time.Second)
	named, contract := map[string][]disclosure.Span{}, map[string]disclosure.Span{}
	for _, line := range []string{"A", "B"}[:rapid.IntRange(1, 2).Draw(t, "lines")] {
		contract[line] = disclosure.Span{From: at(-5000), To: at(5000)}
		for i := range rapid.IntRange(1, 2).Draw(t, "spans") {
			named[line] = append(named[line], span(fmt.Sprint("named ", i)))
		}
	}
	l := disclosure.Listing{Subjects: disclosure.Subjects(p, named, contract), ReadableFrom: at(-9000), DaysReadableFrom: at(-9000),
		Ranges: []disclosure.Range{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), CollectorIDs: []string{"c1", "c2"}, ValidFrom: at(-9000), ValidTo: at(9000)}}}
	for i := range l.Subjects {
		for r := range 2 {
			s := span("access")
			l.Subjects[i].Access = append(l.Subjects[i].Access, disclosure.LineAccess{LineID: l.Subjects[i].LineID, Ref: schema.AccessRef{byte(1 + i*2 + r)}, ValidFrom: s.From, ValidTo: s.To})
		}
	}
	ref := func() schema.AccessRef {
		return schema.AccessRef{rapid.SampledFrom([]byte{1, 1, 1, 2, 3, 5}).Draw(t, "ref")}
	}
	collector := rapid.SampledFrom([]string{"c1", "c2"})
	for range rapid.IntRange(0, 8).Draw(t, "assignments") {
		s := span("held")
		whole := schema.Assignment{AccessRef: ref(), Prefix: netip.MustParsePrefix(fmt.Sprintf("192.0.2.%d/32", rapid.IntRange(1, 2).Draw(t, "address"))),
			PortEnd: 65535, AssignmentStartedAt: s.From, StartedAt: s.From, EndedAt: s.To, EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved,
			CollectorID: collector.Draw(t, "by")}
		first, second := whole, whole
		first.EndedAt, first.EndCause = s.From.Add(s.To.Sub(s.From)/2/step*step), schema.EndCut
		second.StartedAt = first.EndedAt
		l.Assignments = append(l.Assignments, first, second)
	}
	for range rapid.IntRange(0, 5).Draw(t, "sessions") {
		s := span("connected")
		whole := schema.Session{SessionID: schema.ID{byte(len(l.Sessions))}, AccessRef: ref(), SessionStartedAt: s.From, StartedAt: s.From, EndedAt: s.To,
			EndCause: schema.EndRelease, Certainty: schema.CertaintyObserved, CollectorID: collector.Draw(t, "by")}
		first, second := whole, whole
		first.EndedAt, first.EndCause = s.From.Add(s.To.Sub(s.From)/2/step*step), schema.EndCut
		second.StartedAt = first.EndedAt
		l.Sessions = append(l.Sessions, first, second)
	}
	for range rapid.IntRange(0, 12).Draw(t, "counts") {
		begin := at(float64(rapid.IntRange(-6, 6).Draw(t, "bucket") * 300))
		l.Usage = append(l.Usage, schema.Usage{AccessRef: ref(), BucketStartedAt: begin, EndedAt: begin.Add(schema.BucketLength), SampledAt: begin.Add(time.Duration(len(l.Usage)) * time.Second),
			Direction: rapid.SampledFrom([]schema.Direction{schema.Up, schema.Down}).Draw(t, "direction"), IPVersion: 4, Bytes: uint64(rapid.IntRange(0, 1000).Draw(t, "bytes")), Packets: 1,
			CounterID: schema.ID{1}, CollectorID: collector.Draw(t, "by"), Source: rapid.SampledFrom([]schema.UsageSource{schema.UsageKernel, schema.UsageRADIUS}).Draw(t, "source")})
	}
	for range rapid.IntRange(0, 5).Draw(t, "coverage") {
		s := span("covered")
		l.Coverage = append(l.Coverage, schema.Coverage{CollectorID: collector.Draw(t, "collector"), State: rapid.SampledFrom([]schema.CoverageState{schema.Covered, schema.Covered, schema.Gap}).Draw(t, "state"),
			StartedAt: s.From, EndedAt: s.To, ClockOffsetNanos: rapid.SampledFrom([]int64{0, 0, int64(2 * time.Second)}).Draw(t, "offset"), ClockSynced: rapid.IntRange(0, 4).Draw(t, "synced") > 0})
	}
	return p, l
}

// owned reports whether a moment is a subject's, by a reference.
func owned(s disclosure.Subject, ref schema.AccessRef, m time.Time) bool {
	in := func(from, to time.Time) bool { return !m.Before(from) && m.Before(to) }
	return slices.ContainsFunc(s.Spans, func(w disclosure.Span) bool { return in(w.From, w.To) }) &&
		slices.ContainsFunc(s.Access, func(a disclosure.LineAccess) bool { return a.Ref == ref && in(a.ValidFrom, a.ValidTo) })
}

// Minute by minute, what is disclosed of a line is what its rows say, within the window
// and while the target named it: nothing more, nothing less; and whether the answer is
// incomplete is what the coverage says.
func TestDisclosedIsWhatThereIs(t *testing.T) {
	for range 10 { // a check takes half a millisecond, and some mistakes show in one of 400
		rapid.Check(t, disclosedIsWhatThereIs)
	}
}

func disclosedIsWhatThereIs(t *rapid.T) {
	p, l := scene(t)
	category := rapid.SampledFrom([]warrant.Category{warrant.History, warrant.TimeCategory}).Draw(t, "category")
	a, records, refusal := disclosure.Disclose(p, category, l, 2, 1000)
	if refusal != nil {
		t.Fatal(refusal)
	}
	unseen := false
	for m := p.From; !m.After(p.To); m = m.Add(step) {
		for _, s := range l.Subjects {
			want, got := map[string]bool{}, map[string]bool{}
			seenBy := map[string]bool{}
			note := func(what string, ref schema.AccessRef, from, to time.Time, collector string) {
				if owned(s, ref, m) && !m.Before(from) && m.Before(to) {
					want[what], seenBy[collector] = true, true
				}
			}
			if category == warrant.History {
				for _, r := range l.Assignments {
					note(r.Prefix.String(), r.AccessRef, r.StartedAt, r.EndedAt, r.CollectorID)
				}
			} else {
				for _, r := range l.Sessions {
					note("connected", r.AccessRef, r.StartedAt, r.EndedAt, r.CollectorID)
				}
			}
			for _, r := range records {
				if r.LineID == s.LineID && !m.Before(r.From) && m.Before(r.To) {
					if what := r.HeldPrefix; what != "" {
						got[what] = true
					} else {
						got["connected"] = true
					}
				}
			}
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Fatalf("%s at %v: disclosed %v, want %v", s.LineID, m, got, want)
			}
			if !slices.ContainsFunc(s.Spans, func(w disclosure.Span) bool { return !m.Before(w.From) && m.Before(w.To) }) {
				continue
			}
			covered := func(id string) bool {
				ok := false
				for _, c := range l.Coverage {
					if c.CollectorID == id && !m.Before(c.StartedAt) && m.Before(c.EndedAt) {
						if c.State == schema.Gap {
							return false
						}
						ok = ok || c.ClockOffsetNanos == 0 && c.ClockSynced
					}
				}
				return ok
			}
			sighted := seenBy["c1"] && covered("c1") || seenBy["c2"] && covered("c2")
			unseen = unseen || !sighted && !(covered("c1") && covered("c2"))
		}
	}
	for _, r := range records {
		if r.From.Before(p.From) || r.To.After(p.To.Add(time.Nanosecond)) || !r.From.Before(r.To) {
			t.Fatalf("a record from %v to %v of %v to %v", r.From, r.To, p.From, p.To)
		}
	}
	want := reason.Match
	switch {
	case len(records) > 0:
		if slices.Contains(a.Incomplete, reason.CoverageGap) != unseen {
			t.Fatalf("incomplete %v, unseen %v", a.Incomplete, unseen)
		}
	case len(l.Subjects) > 0 && unseen:
		want = reason.CoverageGap
	default:
		want = reason.NoMatch
	}
	if a.Reason != want {
		t.Fatalf("answer %s, want %s", a.Reason, want)
	}
}

// No byte is counted twice, whatever order and number of times rows come in, and a BNG's
// count of what a kernel counted is none.
func TestMovedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, l := scene(t)
		p.From, p.To = p.From.Truncate(schema.BucketLength), p.To.Truncate(schema.BucketLength).Add(schema.BucketLength-time.Nanosecond)
		for i := range l.Subjects {
			l.Subjects[i].Spans = []disclosure.Span{{From: p.From, To: p.To.Add(time.Nanosecond)}}
			l.Subjects[i].Access[0].ValidFrom, l.Subjects[i].Access[0].ValidTo = at(-9000), at(9000)
			l.Subjects[i].Access = l.Subjects[i].Access[:1]
		}
		_, records, _ := disclosure.Disclose(p, warrant.Volume, l, 2, 1000)
		var total, kernel uint64
		for _, r := range records {
			total += r.Bytes
		}
		foreign := map[schema.AccessRef]bool{}
		for _, s := range l.Subjects {
			ref := s.Access[0].Ref
			for _, u := range l.Usage {
				if u.AccessRef != ref {
					continue
				}
				if u.Source == schema.UsageRADIUS {
					foreign[ref] = true
				} else if !u.BucketStartedAt.Before(p.From) && !u.EndedAt.After(p.To.Add(time.Nanosecond)) {
					kernel += u.Bytes
				}
			}
			if foreign[ref] && slices.ContainsFunc(l.Usage, func(u schema.Usage) bool { return u.AccessRef == ref && u.Source == schema.UsageKernel }) {
				delete(foreign, ref) // the kernel's counts, all in one day
			}
		}
		if total < kernel || len(foreign) == 0 && total != kernel {
			t.Fatalf("%d bytes are disclosed, a kernel counted %d", total, kernel)
		}
		again := l
		again.Usage = append(slices.Clone(l.Usage), l.Usage...)
		rand.New(rand.NewPCG(1, uint64(len(l.Usage)))).Shuffle(len(again.Usage), func(i, j int) { again.Usage[i], again.Usage[j] = again.Usage[j], again.Usage[i] })
		again.Assignments = append(slices.Clone(l.Assignments), l.Assignments...)
		slices.Reverse(again.Assignments)
		again.Sessions = append(slices.Clone(l.Sessions), l.Sessions...)
		slices.Reverse(again.Sessions)
		for _, category := range []warrant.Category{warrant.Volume, warrant.History, warrant.TimeCategory} {
			a, first, _ := disclosure.Disclose(p, category, l, 2, 1000)
			b, second, _ := disclosure.Disclose(p, category, again, 2, 1000)
			if fmt.Sprint(a, first) != fmt.Sprint(b, second) {
				t.Fatalf("%s: %v %v\nagain in another order: %v %v", category, a, first, b, second)
			}
		}
	})
}

// oneLine is a listing of one line that is named throughout.
func oneLine(from, to float64) (disclosure.Plan, disclosure.Listing) {
	p := disclosure.NewListPlan(disclosure.Question{Target: "line:A", Instant: at(from)}, at(to).Add(-time.Nanosecond), time.Second)
	whole := map[string][]disclosure.Span{"A": {{From: at(-1e6), To: at(1e6)}}}
	l := disclosure.Listing{Subjects: disclosure.Subjects(p, whole, map[string]disclosure.Span{"A": whole["A"][0]}), ReadableFrom: at(-1e6), DaysReadableFrom: at(-1e6),
		Coverage: []schema.Coverage{{CollectorID: "c1", State: schema.Covered, StartedAt: at(-1e6), EndedAt: at(1e6), ClockSynced: true}},
		Ranges:   []disclosure.Range{{Prefix: netip.MustParsePrefix("192.0.2.0/24"), CollectorIDs: []string{"c1"}, ValidFrom: at(-1e6), ValidTo: at(1e6)}}}
	l.Subjects[0].Access = []disclosure.LineAccess{{LineID: "A", Ref: schema.AccessRef{1}, ValidFrom: at(-1e6), ValidTo: at(1e6)}}
	return p, l
}

func TestVolumeBeforeBucketsIsByDay(t *testing.T) {
	const day = 86400
	p, l := oneLine(-3*day-43200, -43200) // three days that end at the last midnight
	l.ReadableFrom = at(-2*day - 43200 + 7200)
	row := func(d int, bytes uint64, gap uint32) schema.UsageDay {
		begin := at(float64(-43200 + d*day))
		return schema.UsageDay{AccessRef: schema.AccessRef{1}, StartedAt: begin, EndedAt: begin.Add(day * time.Second), Direction: schema.Down, Source: schema.UsageKernel, CollectorID: "c1", Bytes: bytes, Packets: 1, GapSeconds: gap}
	}
	bucket := func(from float64, bytes uint64) schema.Usage {
		return schema.Usage{AccessRef: schema.AccessRef{1}, BucketStartedAt: at(from), EndedAt: at(from + 300), SampledAt: at(from), Direction: schema.Down, Bytes: bytes, Packets: 1, CollectorID: "c1", Source: schema.UsageKernel}
	}
	l.UsageDays = []schema.UsageDay{row(-4, 9999, 0), row(-3, 1000, 0), row(-2, 2000, 0), row(-1, 4000, 0)}
	l.Usage = []schema.Usage{bucket(-2*day-43200+7200, 55), bucket(-day-43200, 500), bucket(-43200, 7777)}
	a, records, refusal := disclosure.Disclose(p, warrant.Volume, l, 1, 100)
	if refusal != nil || a.Reason != reason.Match || len(a.Incomplete) != 0 || len(records) != 3 || records[0].Bytes != 1000 || records[1].Bytes != 2000 || records[2].Bytes != 500 {
		t.Errorf("%v, %v, %+v", refusal, a, records)
	}
	l.UsageDays[1].GapSeconds = 60
	if a, _, _ = disclosure.Disclose(p, warrant.Volume, l, 1, 100); !slices.Equal(a.Incomplete, []reason.Reason{reason.CoverageGap}) {
		t.Errorf("a day with a gap: %v", a)
	}
	l.UsageDays = l.UsageDays[2:]
	if a, _, _ = disclosure.Disclose(p, warrant.Volume, l, 1, 100); !slices.Equal(a.Incomplete, []reason.Reason{reason.RetentionElapsed}) {
		t.Errorf("a day that is in neither: %v", a)
	}
	l.Usage = append(l.Usage, bucket(-day-43200, 1<<63), bucket(-day-43200, 1<<63))
	l.Usage[len(l.Usage)-1].SampledAt = at(0)
	if a, records, _ = disclosure.Disclose(p, warrant.Volume, l, 1, 100); a.Reason != reason.DataConflict || records != nil {
		t.Errorf("more bytes than can be: %v", a)
	}
}

func TestAbsenceIsTyped(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*disclosure.Plan, *disclosure.Listing)
		want   reason.Reason
	}{
		"nothing":                 {func(*disclosure.Plan, *disclosure.Listing) {}, reason.NoMatch},
		"no line":                 {func(_ *disclosure.Plan, l *disclosure.Listing) { l.Subjects = nil }, reason.NoMatch},
		"all past retention":      {func(p *disclosure.Plan, l *disclosure.Listing) { l.ReadableFrom = p.To.Add(1) }, reason.RetentionElapsed},
		"a moment past retention": {func(p *disclosure.Plan, l *disclosure.Listing) { l.ReadableFrom = p.From.Add(1) }, reason.RetentionElapsed},
		"a gap": {func(p *disclosure.Plan, l *disclosure.Listing) {
			l.Coverage = append(l.Coverage, schema.Coverage{CollectorID: "c1", State: schema.Gap, StartedAt: p.From, EndedAt: p.From.Add(1)})
		}, reason.CoverageGap},
		"a clock that is off": {func(_ *disclosure.Plan, l *disclosure.Listing) {
			l.Coverage[0].ClockOffsetNanos = int64(2 * time.Second)
		}, reason.CoverageGap},
		"a clock that nothing keeps": {func(_ *disclosure.Plan, l *disclosure.Listing) { l.Coverage[0].ClockSynced = false }, reason.CoverageGap},
		"no collector":               {func(_ *disclosure.Plan, l *disclosure.Listing) { l.Ranges = nil }, reason.CoverageGap},
		"a collector of another provider's": {func(_ *disclosure.Plan, l *disclosure.Listing) {
			l.Ranges = append(l.Ranges, disclosure.Range{Provider: "other", CollectorIDs: []string{"c9"}})
		}, reason.NoMatch},
	} {
		p, l := oneLine(0, 600)
		test.change(&p, &l)
		for _, category := range []warrant.Category{warrant.History, warrant.TimeCategory} {
			if a, records, refusal := disclosure.Disclose(p, category, l, 1, 10); refusal != nil || a.Reason != test.want || records != nil {
				t.Errorf("%s: %s: %v, %v, want %s", category, name, a, refusal, test.want)
			}
		}
	}
}

// A line behind a translator had public ports: those that the translator told of, while
// the line had the inside address, and those that its parameters say.
func TestHistoryBehindATranslator(t *testing.T) {
	p, l := oneLine(0, 600)
	inside := netip.MustParseAddr("100.64.0.5")
	l.Assignments = []schema.Assignment{{AccessRef: schema.AccessRef{1}, Prefix: netip.PrefixFrom(inside, 32), PortEnd: 65535, AssignmentStartedAt: at(-100), StartedAt: at(-100), EndedAt: at(300),
		Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"}}
	block := func(address string, from, to float64, ports uint16, of netip.Addr) schema.Assignment {
		return schema.Assignment{Prefix: netip.MustParsePrefix(address), Inside: of, PortStart: ports, PortEnd: ports + 99, AssignmentStartedAt: at(from), StartedAt: at(from), EndedAt: at(to),
			Source: schema.SourceIPFIX, Certainty: schema.CertaintyObserved, CollectorID: "c1"}
	}
	l.Translated = []schema.Assignment{block("203.0.113.1/32", 100, 200, 2000, inside), block("203.0.113.1/32", 250, 900, 3000, inside), block("203.0.113.1/32", 400, 500, 4000, inside),
		block("203.0.113.2/32", 100, 200, 5000, netip.MustParseAddr("100.64.0.6"))}
	_, records, refusal := disclosure.Disclose(p, warrant.History, l, 1, 10)
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%s %d-%d %v-%v %s", r.HeldPrefix, r.PortStart, r.PortEnd, r.From.Sub(noon).Seconds(), r.To.Sub(noon).Seconds(), r.Source))
	}
	want := []string{"100.64.0.5/32 0-65535 0-300 radius", "203.0.113.1/32 2000-2099 100-200 ipfix radius", "203.0.113.1/32 3000-3099 250-300 ipfix radius"}
	if refusal != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", refusal, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
