package usage

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/schema"
)

// TestTilesNeverOverlap plays the life of one reference: its line changes zone and
// the register changes its mind, buckets expire, and whatever region is looked at,
// no two tiles of what is then stored overlap, and none is lost that cannot be
// summed again. Once all is looked at, every ended day that is held and whole is
// covered.
func TestTilesNeverOverlap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		origin := someInstant(t, "origin").Truncate(utcDay)
		at := func(bucket int) time.Time { return origin.Add(time.Duration(bucket) * schema.BucketLength) }
		const perDay = int(utcDay / schema.BucketLength)
		all := Window{origin, origin.Add(10 * utcDay)}
		var stored []tile
		expired := origin.Add(-utcDay)
		var held []Window
		var loc *time.Location
		look := func(region Window, through time.Time) {
			whole := func(w Window) bool { return !w.utcDays().Start.Before(expired) }
			p := planTiles(held, loc, region, stored, through, whole)
			before := slices.Clone(stored)
			for _, gone := range p.withdraw {
				if !whole(gone.Window) {
					t.Fatalf("%v is withdrawn although it cannot be summed again", gone)
				}
				stored = slices.DeleteFunc(stored, func(s tile) bool { return s.Window == gone.Window })
			}
			for _, c := range p.compute {
				if !whole(c.Window) || c.End.After(through) || c.End.Sub(c.Start) > 26*time.Hour {
					t.Fatalf("%v is to be summed", c)
				}
				stored = slices.DeleteFunc(stored, func(s tile) bool { return s.Window == c.Window })
				stored = append(stored, c)
			}
			slices.SortFunc(stored, func(a, b tile) int { return a.Start.Compare(b.Start) })
			for i := 1; i < len(stored); i++ {
				if stored[i].Start.Before(stored[i-1].End) {
					t.Fatalf("%v overlaps %v; before: %v, plan %v", stored[i], stored[i-1], before, p)
				}
			}
		}
		through := all.Start
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "register changes") || loc == nil {
				loc = load(t, rapid.SampledFrom(zones).Draw(t, "zone"))
				a := rapid.IntRange(0, 6*perDay).Draw(t, "from")
				b := a + rapid.IntRange(1, 5*perDay).Draw(t, "length")
				held = []Window{{at(a), at(b)}}
				if rapid.Bool().Draw(t, "twice held") {
					c := b + rapid.IntRange(0, perDay).Draw(t, "pause")
					held = append(held, Window{at(c), at(c + rapid.IntRange(1, 3*perDay).Draw(t, "second length"))})
				}
			}
			through = through.Add(time.Duration(rapid.IntRange(0, 72).Draw(t, "hours later")) * time.Hour)
			if rapid.IntRange(0, 3).Draw(t, "expiry") == 0 {
				expired = expired.Add(utcDay)
			}
			first := rapid.IntRange(0, 9).Draw(t, "first day")
			look(Window{origin.AddDate(0, 0, first), origin.AddDate(0, 0, rapid.IntRange(first+1, 10).Draw(t, "last day"))}, through)
		}
		look(all, through)
		var covered []Window
		for _, s := range stored {
			covered = append(covered, s.Window)
		}
		for _, d := range daysTouching(all, loc) {
			for _, h := range held {
				part, ok := d.intersect(h.Start, h.End)
				if !ok || d.End.After(through) || part.utcDays().Start.Before(expired) {
					continue
				}
				if gaps := part.Gaps(covered); len(gaps) > 0 {
					t.Fatalf("%v is held, ended and whole, and %v of it is in no tile of %v", part, gaps, stored)
				}
			}
		}
	})
}

func TestBucketsOfAHolding(t *testing.T) {
	h := always(1)
	h.ValidFrom, h.ValidTo = day(0).Add(time.Second), day(0).Add(10*time.Minute)
	if got, want := bucketsOf(h), (Window{day(0).Add(5 * time.Minute), day(0).Add(10 * time.Minute)}); got != want {
		t.Errorf("%v, want %v: the buckets that start while it is held", got, want)
	}
}
