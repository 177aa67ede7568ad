package binding

import (
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// A slice is the part of a session (invalid Prefix) or of a claim that lies in
// one UTC day, as computed or as last emitted.
type slice struct {
	ID        schema.ID    // of the session or assignment
	Prefix    netip.Prefix // invalid for the session itself
	Whole     time.Time    // start of the whole session or claim
	Start     time.Time
	End       time.Time
	Open      bool
	Cause     schema.EndCause
	Certainty schema.Certainty
}

// same reports whether both are versions of one stored slice.
func (a slice) same(b slice) bool {
	return a.Prefix == b.Prefix && a.Start.Equal(b.Start) && (!a.Prefix.IsValid() || a.Whole.Equal(b.Whole))
}

// agrees reports whether both say the same, but for where an open slice ends.
func (a slice) agrees(b slice) bool {
	return a.Whole.Equal(b.Whole) && a.Open == b.Open && (a.Open || a.End.Equal(b.End)) &&
		a.Cause == b.Cause && a.Certainty == b.Certainty
}

// cut appends the slices of [start, end) that end after from. A zero end means
// that it lives: the last slice is open and reaches to now. If the end is inferred,
// so is all that reaches beyond when the session was last seen.
func cut(out []slice, whole slice, end ending, seen, now, from time.Time) []slice {
	until := end.At
	if until.IsZero() {
		until = now
		if now.Before(whole.Start) {
			until = whole.Start
		}
	}
	start := whole.Start
	if early := midnight(from); start.Before(early) {
		start = early
	}
	for next := midnight(start).Add(24 * time.Hour); next.Before(until); next = next.Add(24 * time.Hour) {
		part := whole
		part.Start, part.End, part.Cause = start, next, schema.EndCut
		if end.Certainty == schema.CertaintyInferred && next.After(seen) {
			part.Certainty = schema.CertaintyInferred
		}
		if part.End.After(from) {
			out = append(out, part)
		}
		start = next
	}
	last := whole
	last.Start, last.End = start, until
	if end.At.IsZero() {
		last.Open = true
	} else {
		last.Cause, last.Certainty = end.Cause, weakest(whole.Certainty, end.Certainty)
	}
	if last.Open || last.End.After(from) {
		out = append(out, last)
	}
	return out
}

// slicesOf computes every slice of the session that is not final.
func (b *Binding) slicesOf(s *session, now time.Time) []slice {
	if !s.Known {
		return nil
	}
	from := s.SettledUntil
	out := cut(nil, slice{Whole: s.start.At, Start: s.start.At, Certainty: s.start.Certainty}, s.end, s.LastAt, now, from)
	for _, c := range s.claims {
		out = cut(out, slice{Prefix: c.Prefix, Whole: c.From, Start: c.From, Certainty: c.Certainty}, c.end, s.LastAt, now, from)
	}
	return out
}

// emit returns the records for every slice that differs from what was last
// emitted, and remembers them. With all set, open slices whose end merely moved
// on are emitted too.
func (b *Binding) emit(s *session, now time.Time, all bool) (records []schema.Record) {
	want := b.slicesOf(s, now)
	for i, have := range s.Emitted {
		if have.Start.Equal(have.End) && !have.Open {
			continue
		}
		if !slices.ContainsFunc(want, have.same) {
			// It never was: make it empty.
			have.End, have.Open, have.Cause, have.Certainty = have.Start, false, schema.EndInferred, schema.CertaintyInferred
			s.Emitted[i] = have
			records = append(records, b.record(s, have, now))
		}
	}
	for _, w := range want {
		i := slices.IndexFunc(s.Emitted, w.same)
		if i >= 0 {
			have := s.Emitted[i]
			if w.agrees(have) && !(all && w.Open && w.End.After(have.End)) {
				continue
			}
			w.ID = have.ID
			s.Emitted[i] = w
		} else {
			w.ID = b.sliceID(s, w)
			s.Emitted = append(s.Emitted, w)
		}
		records = append(records, b.record(s, w, now))
	}
	return records
}

func (b *Binding) sliceID(s *session, w slice) schema.ID {
	if !w.Prefix.IsValid() {
		return s.ID
	}
	return b.cfg.Pseudonymiser.ID("assignment", s.ID.String(), w.Prefix.String(), w.Whole.Format(time.RFC3339Nano))
}

// record turns a slice into its row. Versions rise over the whole life of the
// collector: they are the time of emission in Unix milliseconds, or one more
// than the last if the clock did not move.
func (b *Binding) record(s *session, w slice, now time.Time) schema.Record {
	b.version = max(b.version+1, uint64(max(now.UnixMilli(), 0)))
	if !w.Prefix.IsValid() {
		return &schema.Session{
			SessionID: w.ID, AccessRef: s.Ref, SessionStartedAt: w.Whole, StartedAt: w.Start, EndedAt: w.End,
			Open: w.Open, Version: b.version, EndCause: w.Cause, Source: s.Key.Source, Certainty: w.Certainty,
			NAS: s.NAS, NASPort: s.NASPort, CollectorID: b.cfg.CollectorID,
		}
	}
	return &schema.Assignment{
		AssignmentID: w.ID, SessionID: s.ID, AccessRef: s.Ref, Prefix: w.Prefix, PortStart: 0, PortEnd: 65535,
		AssignmentStartedAt: w.Whole, StartedAt: w.Start, EndedAt: w.End, Open: w.Open, Version: b.version,
		EndCause: w.Cause, Source: s.Key.Source, Certainty: w.Certainty, CollectorID: b.cfg.CollectorID,
	}
}
