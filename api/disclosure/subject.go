package disclosure

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// Span is a half-open interval, [From, To).
type Span struct{ From, To time.Time }

// and returns what two spans have in common; false if that is nothing.
func (s Span) and(o Span) (Span, bool) {
	if o.From.After(s.From) {
		s.From = o.From
	}
	if o.To.Before(s.To) {
		s.To = o.To
	}
	return s, s.From.Before(s.To)
}

// Subject is a line that a target names, and when.
type Subject struct {
	LineID string
	// Spans are when the target named the line and its contract ran, apart and in order.
	Spans []Span
	// Access are the line's pseudonyms.
	Access []LineAccess
}

// span returns the plan's interval as a half-open one: its last moment is a
// nanosecond long.
func (p Plan) span() Span { return Span{p.From, p.To.Add(time.Nanosecond)} }

// Subjects returns the lines that are named within the plan's interval: when is what
// a target names them by, contract when each had one. Spans come back cut to the
// interval, joined and in order, lines in the order of their ids; a line with none is
// left out.
func Subjects(p Plan, named map[string][]Span, contract map[string]Span) []Subject {
	var out []Subject
	for line, when := range named {
		s := Subject{LineID: line}
		for _, w := range when {
			if cut, ok := w.and(p.span()); ok {
				if cut, ok = cut.and(contract[line]); ok {
					s.Spans = append(s.Spans, cut)
				}
			}
		}
		if s.Spans = joined(s.Spans); len(s.Spans) > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Subject) int { return cmp.Compare(a.LineID, b.LineID) })
	return out
}

// joined returns the union of spans, in order.
func joined(spans []Span) (out []Span) {
	slices.SortFunc(spans, func(a, b Span) int { return a.From.Compare(b.From) })
	for _, s := range spans {
		if n := len(out); n > 0 && !s.From.After(out[n-1].To) {
			if s.To.After(out[n-1].To) {
				out[n-1].To = s.To
			}
			continue
		}
		out = append(out, s)
	}
	return out
}

// tooMany is the refusal of an answer that would be about more than the task allows.
// It says in a band how many there are, and nothing of who.
func tooMany(what string, n, allowed int) *reason.Error {
	return reason.New(reason.MaxHits, fmt.Sprintf("There are %s %s; the task allows %d.", band(n), what, allowed))
}

// Identify judges which lines a target named at the plan's instant: of an identifier
// that the network shows exactly one, of a person or postal address at most allowed.
// A line must be named throughout the uncertainty interval, else it is
// AMBIGUOUS_BOUNDARY; two lines that had one identifier at one moment are
// DATA_CONFLICT. Too many are no answer: MAX_HITS.
func Identify(p Plan, kind warrant.TargetKind, subjects []Subject, allowed int) (Answer, *reason.Error) {
	if len(subjects) == 0 {
		return Answer{Reason: reason.NoMatch}, nil
	}
	if len(subjects) > 1 && kind != warrant.TargetPerson && kind != warrant.TargetPlace {
		for i, a := range subjects {
			for _, b := range subjects[:i] {
				if overlap(a.Spans, b.Spans) {
					return Answer{Reason: reason.DataConflict}, nil
				}
			}
		}
		return Answer{Reason: reason.AmbiguousBoundary}, nil
	}
	if len(subjects) > allowed {
		return Answer{}, tooMany("lines", len(subjects), allowed)
	}
	for _, s := range subjects {
		if len(s.Spans) != 1 || s.Spans[0].From.After(p.From) || !s.Spans[0].To.After(p.To) {
			return Answer{Reason: reason.AmbiguousBoundary}, nil
		}
	}
	return Answer{Reason: reason.Match}, nil
}

func overlap(a, b []Span) bool {
	return slices.ContainsFunc(a, func(x Span) bool {
		return slices.ContainsFunc(b, func(y Span) bool { _, ok := x.and(y); return ok })
	})
}

// Named returns the records of lines that were identified, with who their
// subscribers were.
func Named(p Plan, subjects []Subject, who map[string]Person) []Record {
	var out []Record
	for _, s := range subjects {
		out = append(out, Record{LineID: s.LineID, InstantUTC: p.Instant.Format(time.RFC3339Nano), Subscriber: who[s.LineID]})
	}
	return out
}
