package disclosure

import (
	"slices"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/schema"
)

// Preservable returns whether there is anything to preserve of the plan's address,
// and if so PRESERVED. It tells as little as that takes: no line, and no count but
// the band of a shared address.
//
// An address outside our ranges is NOT_OUR_RANGE; one that another provider uses is
// OTHER_PROVIDER, which names it (Sv 126ni(2)); a range that two hold DATA_CONFLICT.
// Where the range came or went within the interval, what is ours is preserved. A
// shared address without a port is PORT_REQUIRED: everybody behind it is no target.
// Without a row it is RETENTION_ELAPSED if any moment of the interval is past the
// limit, COVERAGE_GAP if a collector of the range did not see all of it, else
// NO_MATCH.
func Preservable(p Plan, e Evidence) Answer {
	t := newTimeline(p, e)
	if a, done := t.owner(); done && a.Reason != reason.AmbiguousBoundary {
		return a
	}
	switch {
	case !e.ReadableFrom.Before(p.To):
		return Answer{Reason: reason.RetentionElapsed}
	case p.Port == 0 && t.shared():
		return Answer{Reason: reason.PortRequired, Candidates: band(t.sharers())}
	}
	if p.Port != 0 {
		t.rows = slices.DeleteFunc(t.rows, func(r row) bool { return r.Shared() && !r.asked(p) })
	}
	// Parameters say who could have had a port; that somebody did, rows say.
	t.rows = slices.DeleteFunc(t.rows, func(r row) bool {
		return r.Source == schema.SourceDeterministic && len(e.Inside[r.Inside].Assignments) == 0
	})
	switch {
	case len(t.rows) > 0:
		return Answer{Reason: reason.Preserved}
	case p.From.Before(e.ReadableFrom):
		return Answer{Reason: reason.RetentionElapsed}
	case len(t.collectors) == 0 || len(t.covering()) < len(t.collectors):
		return Answer{Reason: reason.CoverageGap}
	}
	return Answer{Reason: reason.NoMatch}
}

// PreservableLine returns whether there is anything to preserve of the lines that a
// target names, and if so PRESERVED; in place of nothing it says what [Disclose] does.
// More lines than one are no answer: who is meant must be certain before anything is
// kept.
func PreservableLine(p Plan, l Listing) (Answer, *reason.Error) {
	a, _, refusal := Disclose(p, warrant.Preservation, l, 1, 0)
	if refusal == nil && len(l.Assignments)+len(l.Sessions)+len(l.Usage)+len(l.UsageDays) > 0 {
		a = Answer{Reason: reason.Preserved}
	}
	return a, refusal
}

// Own drops what a listing of one subject has of its line from when the target did not
// name it, and cuts the line's pseudonyms to when it did.
func (l *Listing) Own() {
	s := &l.Subjects[0]
	other := func(from, to time.Time, open bool, collector string) bool {
		if open {
			to = openEnd(collector, to, l.Coverage)
		}
		return !slices.ContainsFunc(s.Spans, func(w Span) bool { return from.Before(w.To) && to.After(w.From) })
	}
	l.Assignments = slices.DeleteFunc(l.Assignments, func(a schema.Assignment) bool { return other(a.StartedAt, a.EndedAt, a.Open, a.CollectorID) })
	l.Sessions = slices.DeleteFunc(l.Sessions, func(r schema.Session) bool { return other(r.StartedAt, r.EndedAt, r.Open, r.CollectorID) })
	l.Usage = slices.DeleteFunc(l.Usage, func(u schema.Usage) bool { return other(u.BucketStartedAt, u.EndedAt, false, "") })
	l.UsageDays = slices.DeleteFunc(l.UsageDays, func(u schema.UsageDay) bool { return other(u.StartedAt, u.EndedAt, false, "") })
	var access []LineAccess
	for _, a := range s.Access {
		for _, w := range s.Spans {
			if cut, ok := w.and(Span{a.ValidFrom, a.ValidTo}); ok {
				access = append(access, LineAccess{a.LineID, a.Ref, cut.From, cut.To})
			}
		}
	}
	s.Access = access
}

// Refs returns the pseudonyms that evidence names, of inside addresses too, each
// once.
func Refs(e Evidence) (refs []schema.AccessRef) {
	take := func(rows []schema.Assignment) {
		for _, a := range rows {
			if a.AccessRef != (schema.AccessRef{}) && !slices.Contains(refs, a.AccessRef) {
				refs = append(refs, a.AccessRef)
			}
		}
	}
	take(e.Assignments)
	for _, inside := range e.Inside {
		take(inside.Assignments)
	}
	return refs
}
