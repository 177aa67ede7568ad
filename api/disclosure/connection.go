package disclosure

import (
	"cmp"
	"slices"
	"time"

	"griffier/schema"
)

// What a record of a connection has in place of an end cause, where it does not end
// in the interval.
const (
	endOpen    = "open"    // it was still up when it was last seen, at the record's end
	endUnknown = "unknown" // it went on, and no slice says until when
)

// connected returns the connection times of the subjects: one record a session, its
// slices joined.
func connected(p Plan, l Listing) ([]Record, []seenSpan) {
	type session struct {
		line   string
		id     schema.ID
		within time.Time
	}
	type connection struct {
		session
		part
		cause     string
		certainty schema.Certainty
	}
	found := map[session]*connection{}
	var seen []seenSpan
	for _, s := range l.Subjects {
		for _, row := range l.Sessions {
			end := row.EndedAt
			if row.Open {
				end = openEnd(row.CollectorID, end, l.Coverage)
			}
			for _, t := range s.parts(p, row.AccessRef, Span{row.StartedAt, end}, row.SessionStartedAt, goesOn(row.Open, row.EndCause)) {
				cause := string(row.EndCause)
				switch {
				case t.after || t.cut:
					cause = "" // how it went on is not the subject's, or not in the interval
				case row.Open:
					cause = endOpen
				case row.EndCause == schema.EndCut, cause == "":
					cause = endUnknown
				}
				seen = append(seen, seenSpan{s.LineID, row.CollectorID, t.Span})
				key := session{s.LineID, row.SessionID, t.within.From}
				c := found[key]
				if c == nil {
					found[key] = &connection{key, t, cause, row.Certainty}
					continue
				}
				if t.From.Before(c.From) {
					c.From = t.From
				}
				if t.To.After(c.To) {
					c.To, c.cause = t.To, cause
				}
				c.before, c.after = c.before || t.before, c.after || t.after
				c.certainty = weaker(c.certainty, row.Certainty)
			}
		}
	}
	all := make([]*connection, 0, len(found))
	for _, c := range found {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *connection) int {
		return cmp.Or(cmp.Compare(a.line, b.line), a.From.Compare(b.From), a.To.Compare(b.To), cmp.Compare(a.id.String(), b.id.String()))
	})
	var out []Record
	for _, c := range all {
		out = append(out, Record{LineID: c.line, From: c.From.UTC(), To: c.To.UTC(), Beyond: c.beyond(), EndCause: c.cause, Certainty: string(c.certainty)})
	}
	return out, seen
}
