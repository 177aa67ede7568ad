package usage

import (
	"slices"
	"time"

	"griffier/api/register"
	"griffier/schema"
)

// A tile is a part of a local day in which a line has one reference: what one
// day row sums. The tiles of a reference never overlap.
type tile struct {
	Window
	day  time.Time // the local date, as UTC midnight
	zone string
}

// plan is what to do about the tiles of one reference.
type plan struct {
	compute  []tile // sum these, whether they are stored or not
	withdraw []tile // these are stored and no longer right
}

// planTiles decides the tiles of one reference of one line that touch region.
//
// Held are the intervals in which the line has the reference; loc is the line's
// zone now. Stored are the tiles that are there. A stored tile of another zone
// keeps its place: it was cut in the zone that the line had then, and what it
// counts is counted. So does one of which buckets have expired, since it could
// only be counted downwards. The rest of the time is cut into local days. Through
// is how far days have ended; whole tells whether all that a window needs can
// still be read.
func planTiles(held []Window, loc *time.Location, region Window, stored []tile, through time.Time, whole func(Window) bool) plan {
	var p plan
	var fixed, movable []tile
	var lost []Window
	days := daysTouching(region, loc)
	if len(days) == 0 {
		return p
	}
	reach := Window{days[0].Start, days[len(days)-1].End}
	for _, s := range stored {
		mine, touches := false, false
		for _, h := range held {
			mine = mine || !s.Start.Before(h.Start) && !s.End.After(h.End)
			_, t := h.intersect(s.Start, s.End)
			touches = touches || t
		}
		_, near := reach.intersect(s.Start, s.End)
		switch {
		case !touches: // another line's
		case !whole(s.Window) || s.End.After(through):
			fixed = append(fixed, s)
		case mine && s.zone != loc.String():
			fixed = append(fixed, s)
			if near {
				p.compute = append(p.compute, s)
			}
		case near:
			movable = append(movable, s)
		}
	}
	for _, d := range days {
		if d.End.After(through) {
			continue
		}
		for _, h := range held {
			part, ok := d.intersect(h.Start, h.End)
			if !ok {
				continue
			}
			for _, free := range part.without(fixed) {
				if !whole(free) {
					lost = append(lost, free)
					continue
				}
				p.compute = append(p.compute, tile{free, dateOf(d.Start, loc), loc.String()})
			}
		}
	}
	for _, s := range movable {
		overlaps := func(w Window) bool { _, ok := s.intersect(w.Start, w.End); return ok }
		switch {
		case slices.ContainsFunc(p.compute, func(c tile) bool { return c.Window == s.Window }):
		case slices.ContainsFunc(lost, overlaps) && !slices.ContainsFunc(p.compute, func(c tile) bool { return overlaps(c.Window) }):
			// What would take its place cannot be summed any more.
		default:
			p.withdraw = append(p.withdraw, s)
		}
	}
	return p
}

// daysTouching returns the whole local days that touch w.
func daysTouching(w Window, loc *time.Location) []Window {
	if !w.Start.Before(w.End) {
		return nil
	}
	return Window{Day(w.Start, loc).Start, Day(w.End.Add(-1), loc).End}.Days(loc)
}

// without returns the parts of w in which no tile lies.
func (w Window) without(tiles []tile) []Window {
	covered := make([]Window, len(tiles))
	for i, t := range tiles {
		covered[i] = t.Window
	}
	return w.Gaps(covered)
}

// dateOf returns the local date at t, as UTC midnight.
func dateOf(t time.Time, loc *time.Location) time.Time {
	y, m, d := t.In(loc).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// bucketsOf returns the window of the buckets that start while held: those are
// the line's.
func bucketsOf(held register.Held) Window {
	return Window{ceilBucket(held.ValidFrom), ceilBucket(held.ValidTo)}
}

func ceilBucket(t time.Time) time.Time {
	down := t.UTC().Truncate(schema.BucketLength)
	if down.Before(t) {
		down = down.Add(schema.BucketLength)
	}
	return down
}

// utcDays returns the whole UTC days that touch w.
func (w Window) utcDays() Window {
	return Window{w.Start.UTC().Truncate(utcDay), w.End.UTC().Add(utcDay - 1).Truncate(utcDay)}
}
