package disclosure

import (
	"slices"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/schema"
)

// Listing is everything that [Disclose] looks at: what there is of the subjects in
// the plan's interval. Only what the category needs is read.
type Listing struct {
	Subjects    []Subject
	Sessions    []schema.Session    // TIME
	Assignments []schema.Assignment // HISTORY
	// Translated are assignments by translators of inside addresses that the
	// subjects held, also of others who held them at other times.
	Translated []schema.Assignment
	Usage      []schema.Usage    // VOLUME
	UsageDays  []schema.UsageDay // VOLUME
	Coverage   []schema.Coverage
	// Ranges are the provider's own, in the interval: which collectors there are to
	// see a line, and how addresses are translated.
	Ranges []Range
	// ReadableFrom is the retention limit of the category's class, of VOLUME that of
	// buckets; DaysReadableFrom that of days.
	ReadableFrom, DaysReadableFrom time.Time
}

// Disclose returns the records of a category that the listing has, cut to the plan's
// interval and to when the target named their lines, or what there is in place of
// any:
//
//   - no line named by the target: NO_MATCH, since the register forgets none but
//     those that were erased;
//   - the whole interval past retention: RETENTION_ELAPSED;
//   - no record, and a moment past retention or not seen: RETENTION_ELAPSED or
//     COVERAGE_GAP, for absence proves nothing; otherwise NO_MATCH.
//
// Records are MATCH. If a moment of the interval is past retention, or if a collector
// was not looking while no other saw the line, the answer is
// Incomplete, and says why. More lines or records than allowed are no answer:
// MAX_HITS, and nothing is sent.
func Disclose(p Plan, category warrant.Category, l Listing, maxSubjects, maxRecords int) (Answer, []Record, *reason.Error) {
	if len(l.Subjects) == 0 {
		return Answer{Reason: reason.NoMatch}, nil, nil
	}
	if len(l.Subjects) > maxSubjects {
		return Answer{}, nil, tooMany("lines", len(l.Subjects), maxSubjects)
	}
	limit := l.ReadableFrom
	if category == warrant.Volume && l.DaysReadableFrom.Before(limit) {
		limit = l.DaysReadableFrom
	}
	if !p.To.After(limit) {
		return Answer{Reason: reason.RetentionElapsed}, nil, nil
	}
	var records []Record
	var seen []seenSpan
	elapsed := p.From.Before(limit)
	gap, absurd := false, false
	switch category {
	case warrant.History:
		records, seen = held(p, l)
	case warrant.TimeCategory:
		records, seen = connected(p, l)
	case warrant.Volume:
		records, seen, elapsed, gap, absurd = moved(p, l)
	}
	if absurd {
		return Answer{Reason: reason.DataConflict}, nil, nil
	}
	if len(records) > maxRecords {
		return Answer{}, nil, tooMany("records", len(records), maxRecords)
	}
	a := Answer{Reason: reason.Match}
	if elapsed {
		a.Incomplete = append(a.Incomplete, reason.RetentionElapsed)
	}
	if gap || unseen(p, l, seen) {
		a.Incomplete = append(a.Incomplete, reason.CoverageGap)
	}
	if len(records) > 0 {
		return a, records, nil
	}
	a.Reason = reason.NoMatch
	if len(a.Incomplete) > 0 {
		a.Reason = a.Incomplete[0]
	}
	return Answer{Reason: a.Reason}, nil, nil
}

// seenSpan is when a collector saw a line.
type seenSpan struct {
	line, collector string
	Span
}

// unseen reports whether there is a moment of the subjects' spans at which one of the
// collectors was not collecting while no other saw the line: a line is at one
// collector at a time, and where it is not known to have been, it could have been at
// the one that was not looking. Where nobody knows of any collector, nothing was seen.
func unseen(p Plan, l Listing, seen []seenSpan) bool {
	var collectors []string
	for _, r := range l.Ranges {
		if r.Provider == "" {
			collectors = append(collectors, r.CollectorIDs...)
		}
	}
	for _, s := range seen {
		collectors = append(collectors, s.collector)
	}
	slices.Sort(collectors)
	if collectors = slices.Compact(collectors); len(collectors) == 0 {
		return true
	}
	covered := map[string][]Span{}
	for _, id := range collectors {
		covered[id] = coveredSpans(p, l.Coverage, id)
	}
	for _, subject := range l.Subjects {
		var sighted []Span // when a collector that was collecting saw the line
		for _, s := range seen {
			if s.line != subject.LineID {
				continue
			}
			for _, c := range covered[s.collector] {
				if cut, ok := c.and(s.Span); ok {
					sighted = append(sighted, cut)
				}
			}
		}
		left := minus(slices.Clone(subject.Spans), joined(sighted))
		for _, id := range collectors {
			if len(minus(left, covered[id])) > 0 {
				return true
			}
		}
	}
	return false
}

// coveredSpans returns when a collector was collecting within the plan's interval,
// by a clock that can be believed, and without a declared gap.
func coveredSpans(p Plan, coverage []schema.Coverage, collector string) []Span {
	var covered, gaps []Span
	for _, c := range coverage {
		if c.CollectorID != collector {
			continue
		}
		s, ok := Span{c.StartedAt, c.EndedAt}.and(p.span())
		switch {
		case !ok:
		case c.State != schema.Covered:
			gaps = append(gaps, s)
		case p.believes(c):
			covered = append(covered, s)
		}
	}
	return minus(joined(covered), gaps)
}

// minus returns spans without others.
func minus(spans, cuts []Span) []Span {
	for _, c := range cuts {
		var left []Span
		for _, s := range spans {
			if _, ok := s.and(c); !ok {
				left = append(left, s)
				continue
			}
			if s.From.Before(c.From) {
				left = append(left, Span{s.From, c.From})
			}
			if c.To.Before(s.To) {
				left = append(left, Span{c.To, s.To})
			}
		}
		spans = left
	}
	return spans
}
