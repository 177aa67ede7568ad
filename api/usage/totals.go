package usage

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"griffier/api/register"
	"griffier/schema"
)

// Basis says what a total was summed from.
type Basis int

// A total of closed days comes from their day rows, of a day that is still open
// or has just ended from buckets.
const (
	BasisNone    Basis = 0
	BasisDays    Basis = 1
	BasisBuckets Basis = 2
	BasisBoth    Basis = BasisDays | BasisBuckets
)

// A Total is what a line moved in a window.
type Total struct {
	Window
	V4, V6, Unknown Volume // Unknown is a BNG's, which does not tell IP versions apart
	Basis           Basis
	// Elapsed are the parts of which nothing can be read any more: the bucket's term
	// is over and they are no whole days. The volume does not hold them.
	Elapsed []Window
	// Gone tells that Elapsed is all of the time in which the line had a reference:
	// the volume is not zero but unknown.
	Gone bool
	// Gap is how long nobody collected, as far as is known.
	Gap  time.Duration
	gaps map[time.Time]time.Duration // by day, as day rows tell
}

// Volume returns the sum over IP versions.
func (t Total) Volume() Volume { return t.V4.Add(t.V6).Add(t.Unknown) }

func (t *Total) add(version uint8, v Volume) {
	switch version {
	case 4:
		t.V4 = t.V4.Add(v)
	case 6:
		t.V6 = t.V6.Add(v)
	default:
		t.Unknown = t.Unknown.Add(v)
	}
}

// Totals sums what the refs of one line moved in each of windows, which are whole
// buckets, disjoint and in order; loc is the line's zone. Whole local days are
// read from their day rows once there are any, all else from buckets, and no byte
// from both. A subscriber's month is a call with one window.
func (r *Reader) Totals(ctx context.Context, refs []register.Held, loc *time.Location, windows []Window) ([]Total, error) {
	totals := make([]Total, len(windows))
	for i, w := range windows {
		totals[i].Window, totals[i].gaps = w, map[time.Time]time.Duration{}
	}
	if len(windows) == 0 || len(refs) == 0 {
		return totals, nil
	}
	all := Window{windows[0].Start, windows[len(windows)-1].End}
	held := heldWindows(refs)
	// Days before buckets: what is rolled up in between is then read from buckets
	// still, and not from neither.
	stored, err := r.dayTiles(ctx, refsOf([]rollLine{{held: refs}}), all)
	if err != nil {
		return nil, err
	}
	type part struct { // of a window, without day rows
		Window
		ref   schema.AccessRef
		total int
	}
	var free []part
	for ref, hs := range held {
		for _, h := range hs {
			for i := range totals {
				had, ok := windows[i].intersect(h.Start, h.End)
				if !ok {
					continue
				}
				for _, w := range totals[i].takeDays(had, stored[ref]) {
					free = append(free, part{w, ref, i})
				}
			}
		}
	}
	if len(free) == 0 { // a closed month, as a rule: nothing else need be asked
		return totals, nil
	}
	var marks []schema.UsageDayMark
	var since time.Time
	var readable bool
	g, reading := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		marks, err = schema.ReadUsageDayMarks(reading, r.conn, all.Start.Add(-2*utcDay), all.End.Add(2*utcDay))
		return err
	})
	g.Go(func() (err error) {
		since, readable, err = r.bucketsSince(reading)
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	rolled := rolledUp(marks)
	var rest []register.Held // what is to be read from buckets
	for _, f := range free {
		total, old, young := &totals[f.total], f.Window, f.Window
		if readable {
			old.End, young.Start = earlier(f.End, since), later(f.Start, since)
		}
		if readable && young.Start.Before(young.End) {
			rest = append(rest, register.Held{Ref: f.ref, ValidFrom: young.Start, ValidTo: young.End})
			if !rolled(young, loc) {
				total.Basis |= BasisBuckets
			}
		}
		if old.Start.Before(old.End) {
			total.elapse(old, stored[f.ref], loc, rolled)
		}
	}
	buckets, err := r.bucketsIn(ctx, refs, rest, all)
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		if i := windowOf(windows, b.StartedAt); i >= 0 {
			totals[i].add(b.IPVersion, b.Volume)
			totals[i].Basis |= BasisBuckets
		}
	}
	for i := range totals {
		totals[i].Elapsed = union(totals[i].Elapsed)
		totals[i].judge(held)
	}
	return totals, nil
}

// takeDays adds the day rows that lie within part of t, and returns the rest of part.
func (t *Total) takeDays(part Window, stored []dayTile) []Window {
	var taken []tile
	for _, d := range stored {
		if d.Start.Before(part.Start) || d.End.After(part.End) {
			continue
		}
		taken = append(taken, d.tile)
		t.Basis |= BasisDays
		if gap, known := t.gaps[d.Start]; !known || d.gap() < gap { // one reference of the line was seen
			t.Gap += d.gap() - gap
			t.gaps[d.Start] = d.gap()
		}
		for _, version := range []uint8{0, 4, 6} {
			t.add(version, d.volume(func(v uint8) bool { return v == version }))
		}
	}
	return part.without(taken)
}

// elapse judges a part without day rows of which buckets have expired. A local
// day that was rolled up and has no row had no bucket; of anything else it is
// unknown what it was.
func (t *Total) elapse(old Window, stored []dayTile, loc *time.Location, rolled func(Window, *time.Location) bool) {
	for _, d := range old.Days(loc) {
		cut := slices.ContainsFunc(stored, func(s dayTile) bool { _, ok := d.intersect(s.Start, s.End); return ok })
		if cut || !rolled(d, loc) {
			t.Elapsed = append(t.Elapsed, d)
		} else {
			t.Basis |= BasisDays
		}
	}
}

// rolledUp returns whether all local days that touch a window are rolled up.
func rolledUp(marks []schema.UsageDayMark) func(Window, *time.Location) bool {
	through := map[time.Time]time.Time{}
	for _, m := range marks {
		through[m.UTCDay] = m.Through
	}
	return func(w Window, loc *time.Location) bool {
		for _, local := range daysTouching(w, loc) {
			for _, utc := range local.utcDays().Steps(utcDay) {
				if at, ok := through[utc.Start]; !ok || at.Before(local.End) {
					return false
				}
			}
		}
		return true
	}
}

// bucketsSince returns the start of the oldest bucket that can be read.
func (r *Reader) bucketsSince(ctx context.Context) (time.Time, bool, error) {
	since, ok, err := schema.ReadableSince(ctx, r.conn, schema.ClassUsage5m)
	return since.Truncate(schema.BucketLength), ok, err
}

// bucketsIn returns the buckets of some of the time in which refs were the line's.
func (r *Reader) bucketsIn(ctx context.Context, refs, some []register.Held, w Window) ([]Bucket, error) {
	var out []Bucket
	for _, held := range spans(some) {
		part, ok := w.intersect(held.ValidFrom, held.ValidTo)
		if !ok {
			continue
		}
		buckets, err := r.counting(ctx, held, part)
		if err != nil {
			return nil, err
		}
		out = append(out, buckets...)
	}
	return r.oneSource(ctx, refs, w, out)
}

// windowOf returns which of windows, disjoint and in order, holds t, or -1.
func windowOf(windows []Window, t time.Time) int {
	i, found := slices.BinarySearchFunc(windows, t, func(w Window, t time.Time) int { return w.Start.Compare(t) })
	if !found {
		i--
	}
	if i < 0 || !t.Before(windows[i].End) {
		return -1
	}
	return i
}

// union joins windows that overlap or touch, in order.
func union(in []Window) (out []Window) {
	slices.SortFunc(in, func(a, b Window) int { return a.Start.Compare(b.Start) })
	for _, w := range in {
		if n := len(out); n > 0 && !w.Start.After(out[n-1].End) {
			out[n-1].End = later(out[n-1].End, w.End)
			continue
		}
		out = append(out, w)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
