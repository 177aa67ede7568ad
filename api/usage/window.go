package usage

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"griffier/api/register"
	"griffier/schema"
)

// Window is half-open, [Start, End), in UTC.
type Window struct{ Start, End time.Time }

func (w Window) intersect(start, end time.Time) (Window, bool) {
	if start.After(w.Start) {
		w.Start = start
	}
	if end.Before(w.End) {
		w.End = end
	}
	return w, w.Start.Before(w.End)
}

// Buckets returns the smallest window of whole buckets that holds w.
func (w Window) Buckets() Window {
	end := w.End.Truncate(schema.BucketLength)
	if end.Before(w.End) {
		end = end.Add(schema.BucketLength)
	}
	return Window{w.Start.Truncate(schema.BucketLength), end}
}

// Gaps returns the parts of w that none of covered holds. covered may overlap
// and be in any order.
func (w Window) Gaps(covered []Window) []Window {
	covered = slices.Clone(covered)
	slices.SortFunc(covered, func(a, b Window) int { return a.Start.Compare(b.Start) })
	var gaps []Window
	at := w.Start
	for _, c := range covered {
		if !c.Start.Before(c.End) {
			continue // covers nothing, and must not cut a gap in two
		}
		if c.Start.After(at) {
			if gap, ok := w.intersect(at, c.Start); ok {
				gaps = append(gaps, gap)
			}
		}
		if c.End.After(at) {
			at = c.End
		}
	}
	if gap, ok := w.intersect(at, w.End); ok {
		gaps = append(gaps, gap)
	}
	return gaps
}

// Steps cuts w into equal steps; the last may be shorter.
func (w Window) Steps(step time.Duration) []Window {
	var out []Window
	for at := w.Start; at.Before(w.End); at = at.Add(step) {
		out = append(out, Window{at, earlier(at.Add(step), w.End)})
	}
	return out
}

// Days cuts w where the local date in loc changes, so that a day has 23 or 25
// hours when clocks change.
func (w Window) Days(loc *time.Location) []Window {
	var out []Window
	for at := w.Start; at.Before(w.End); {
		next := earlier(nextDay(at, loc), w.End)
		out = append(out, Window{at, next})
		at = next
	}
	return out
}

// nextDay returns the first instant after at with another local date. It looks
// in each stretch of one offset in turn, since a change of the clock may skip a
// midnight, repeat one, or skip a day.
func nextDay(at time.Time, loc *time.Location) time.Time {
	y, m, d := at.In(loc).Date()
	midnight := time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
	for t := at.In(loc); ; {
		_, offset := t.Zone()
		next := midnight.Add(-time.Duration(offset) * time.Second)
		_, change := t.ZoneBounds()
		if change.IsZero() || next.Before(change) {
			return next
		}
		if t = change.In(loc); !sameDate(t, at.In(loc)) {
			return t.UTC()
		}
	}
}

func sameDate(a, b time.Time) bool {
	return a.Year() == b.Year() && a.YearDay() == b.YearDay()
}

// Sum adds buckets into the windows that they start in. Windows are disjoint
// and in order; every bucket counts in at most one.
func Sum(windows []Window, buckets []Bucket) []Volume {
	sums := make([]Volume, len(windows))
	for _, b := range buckets {
		if i := windowOf(windows, b.StartedAt); i >= 0 {
			sums[i] = sums[i].Add(b.Volume)
		}
	}
	return sums
}

// spans joins the intervals of each ref that overlap or touch, so that a ref
// that is registered twice counts once.
func spans(refs []register.Held) []register.Held {
	refs = slices.Clone(refs)
	slices.SortFunc(refs, func(a, b register.Held) int {
		return cmp.Or(bytes.Compare(a.Ref[:], b.Ref[:]), a.ValidFrom.Compare(b.ValidFrom))
	})
	var out []register.Held
	for _, held := range refs {
		if n := len(out); n > 0 && out[n-1].Ref == held.Ref && !held.ValidFrom.After(out[n-1].ValidTo) {
			if held.ValidTo.After(out[n-1].ValidTo) {
				out[n-1].ValidTo = held.ValidTo
			}
			continue
		}
		out = append(out, held)
	}
	return out
}

func newestFirst(sessions []Session) {
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(a.ID.String(), b.ID.String()))
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
