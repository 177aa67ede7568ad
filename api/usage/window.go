package usage

import (
	"cmp"
	"slices"
	"time"

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

// Days cuts w at local midnights in loc, so that a day has 23 or 25 hours when
// clocks change.
func (w Window) Days(loc *time.Location) []Window {
	var out []Window
	for at := w.Start; at.Before(w.End); {
		y, m, d := at.In(loc).Date()
		next := time.Date(y, m, d+1, 0, 0, 0, 0, loc).UTC()
		if !next.After(at) { // the clock skips that midnight
			next = at.Add(time.Hour).Truncate(time.Hour)
		}
		next = earlier(next, w.End)
		out = append(out, Window{at, next})
		at = next
	}
	return out
}

// Sum adds buckets into the windows that they start in. Windows are disjoint
// and in order; every bucket counts in at most one.
func Sum(windows []Window, buckets []Bucket) []Volume {
	sums := make([]Volume, len(windows))
	for _, b := range buckets {
		i, found := slices.BinarySearchFunc(windows, b.StartedAt, func(w Window, t time.Time) int { return w.Start.Compare(t) })
		if !found {
			i--
		}
		if i >= 0 && b.StartedAt.Before(windows[i].End) {
			sums[i] = sums[i].Add(b.Volume)
		}
	}
	return sums
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
