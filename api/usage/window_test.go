package usage

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/register"
	"griffier/schema"
)

// zones are some whose clocks do unusual things: midnights that are skipped or
// repeated, days that are skipped, changes of half an hour.
var zones = []string{"UTC", "Europe/Amsterdam", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Australia/Lord_Howe",
	"America/Havana", "Africa/Cairo", "Asia/Kathmandu", "Asia/Gaza", "America/Asuncion", "Europe/Brussels", "Pacific/Kiritimati"}

func load(t rapid.TB, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func someInstant(t *rapid.T, name string) time.Time {
	seconds := rapid.Int64Range(time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Unix()).Draw(t, name)
	return time.Unix(seconds, rapid.Int64Range(0, 999_999_999).Draw(t, name+" nanos")).UTC()
}

func someWindow(t *rapid.T, name string, longest time.Duration) Window {
	start := someInstant(t, name)
	return Window{start, start.Add(time.Duration(rapid.Int64Range(0, int64(longest)).Draw(t, name+" length")))}
}

// wantTiled wants parts to be w, cut: in order, without hole, overlap or empty part.
func wantTiled(t rapid.TB, w Window, parts []Window) {
	at := w.Start
	for i, p := range parts {
		if !p.Start.Equal(at) || !p.Start.Before(p.End) {
			t.Fatalf("part %d is %v, want it to start at %v and not be empty", i, p, at)
		}
		at = p.End
	}
	if w.Start.Before(w.End) && !at.Equal(w.End) || !w.Start.Before(w.End) && len(parts) > 0 {
		t.Fatalf("parts end at %v, want %v", at, w.End)
	}
}

func TestDaysTileTheWindowAndAreLocalDates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := load(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		w := someWindow(t, "window", 60*24*time.Hour)
		days := w.Days(loc)
		wantTiled(t, w, days)
		for i, d := range days {
			first, last := d.Start.In(loc), d.End.Add(-1).In(loc)
			if !sameDate(first, last) {
				t.Fatalf("day %d runs from %v to %v: two dates", i, first, last)
			}
			if i > 0 && sameDate(days[i-1].Start.In(loc), first) {
				t.Fatalf("%v is cut in two at %v", first.Format(time.DateOnly), first)
			}
			if whole := i > 0 && i < len(days)-1; whole && (d.End.Sub(d.Start) < 22*time.Hour || d.End.Sub(d.Start) > 26*time.Hour) {
				t.Fatalf("%v is %v long", first, d.End.Sub(d.Start))
			}
		}
	})
}

func TestDaysWhereTheClockChanges(t *testing.T) {
	for _, c := range []struct {
		zone, from, to string
		hours          []float64
	}{
		{"Europe/Amsterdam", "2026-03-28T00:00:00+01:00", "2026-03-31T00:00:00+02:00", []float64{24, 23, 24}},
		{"Europe/Amsterdam", "2026-10-24T00:00:00+02:00", "2026-10-27T00:00:00+01:00", []float64{24, 25, 24}},
		// 4 November 2018 began at 01:00.
		{"America/Sao_Paulo", "2018-11-03T00:00:00-03:00", "2018-11-06T00:00:00-02:00", []float64{24, 23, 24}},
		// 17 February 2018 had its last hour twice.
		{"America/Sao_Paulo", "2018-02-17T00:00:00-02:00", "2018-02-19T00:00:00-03:00", []float64{25, 24}},
		// There was no 30 December 2011.
		{"Pacific/Apia", "2011-12-29T00:00:00-10:00", "2012-01-01T00:00:00+14:00", []float64{24, 24}},
	} {
		loc := load(t, c.zone)
		from, err1 := time.Parse(time.RFC3339, c.from)
		to, err2 := time.Parse(time.RFC3339, c.to)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var got []float64
		for _, d := range (Window{from.UTC(), to.UTC()}).Days(loc) {
			got = append(got, d.End.Sub(d.Start).Hours())
		}
		if !slices.Equal(got, c.hours) {
			t.Errorf("%s from %s: days of %v hours, want %v", c.zone, c.from, got, c.hours)
		}
	}
}

func TestStepsTileTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t, "window", 10*24*time.Hour)
		step := time.Duration(rapid.Int64Range(1, 288).Draw(t, "buckets")) * schema.BucketLength
		steps := w.Steps(step)
		wantTiled(t, w, steps)
		for i, s := range steps {
			if i < len(steps)-1 && s.End.Sub(s.Start) != step {
				t.Fatalf("step %d is %v long, want %v", i, s.End.Sub(s.Start), step)
			}
		}
	})
	w := Window{time.Unix(0, 0).UTC(), time.Unix(1000, 0).UTC()}
	wantTiled(t, w, w.Steps(math.MaxInt64)) // longer than all of time is one step
}

func TestBucketsIsTheSmallestWindowOfWholeBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := someWindow(t, "window", 24*time.Hour)
		b := w.Buckets()
		if b.Start.After(w.Start) || b.End.Before(w.End) || w.Start.Sub(b.Start) >= schema.BucketLength || b.End.Sub(w.End) >= schema.BucketLength {
			t.Fatalf("%v gives %v", w, b)
		}
		for _, edge := range []time.Time{b.Start, b.End} {
			if edge.UnixNano()%int64(schema.BucketLength) != 0 {
				t.Fatalf("%v is no bucket boundary", edge)
			}
		}
		if b.Buckets() != b {
			t.Fatalf("%v is not its own window of buckets", b)
		}
	})
}

// TestGapsAreWhatIsNotCovered compares with a count of every second.
func TestGapsAreWhatIsNotCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(s int) time.Time { return time.Unix(int64(s), 0).UTC() }
		interval := func(name string) Window {
			start := rapid.IntRange(0, 100).Draw(t, name)
			return Window{at(start), at(start + rapid.IntRange(0, 40).Draw(t, name+" length"))}
		}
		w := interval("window")
		var covered []Window
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			covered = append(covered, interval("covered"))
		}
		before := slices.Clone(covered)
		gaps := w.Gaps(covered)
		if !slices.Equal(covered, before) {
			t.Fatal("the caller's slice was changed")
		}
		holds := func(in []Window, second int) (n int) {
			for _, x := range in {
				if !at(second).Before(x.Start) && at(second).Before(x.End) {
					n++
				}
			}
			return n
		}
		for second := range 150 {
			want := 0
			if holds([]Window{w}, second) == 1 && holds(covered, second) == 0 {
				want = 1
			}
			if got := holds(gaps, second); got != want {
				t.Fatalf("second %d is in %d gaps, want %d (window %v, covered %v)", second, got, want, w, covered)
			}
		}
		for i, g := range gaps {
			if !g.Start.Before(g.End) || i > 0 && !gaps[i-1].End.Before(g.Start) {
				t.Fatalf("gaps %v: empty, out of order, or not joined", gaps)
			}
		}
	})
}

// TestSumPutsEveryBucketInOneWindow: nothing of a window is lost or counted twice.
func TestSumPutsEveryBucketInOneWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := load(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		w := someWindow(t, "window", 5*24*time.Hour).Buckets()
		windows := rapid.SampledFrom([][]Window{w.Days(loc), w.Steps(35 * time.Minute), {w}}).Draw(t, "windows")
		var buckets []Bucket
		var inside Volume
		for range rapid.IntRange(0, 30).Draw(t, "n") {
			offset := time.Duration(rapid.Int64Range(-300, 2000).Draw(t, "bucket")) * schema.BucketLength
			b := Bucket{w.Start.Add(offset), 4, Volume{rapid.Uint64Range(0, 1<<40).Draw(t, "bytes"), 1, 2, 3}, schema.UsageKernel}
			buckets = append(buckets, b)
			if !b.StartedAt.Before(w.Start) && b.StartedAt.Before(w.End) {
				inside = inside.Add(b.Volume)
			}
		}
		var total Volume
		for i, v := range Sum(windows, buckets) {
			total = total.Add(v)
			var want Volume
			for _, b := range buckets {
				if !b.StartedAt.Before(windows[i].Start) && b.StartedAt.Before(windows[i].End) {
					want = want.Add(b.Volume)
				}
			}
			if v != want {
				t.Fatalf("window %d has %v, want %v", i, v, want)
			}
		}
		if total != inside {
			t.Fatalf("sum %v, want %v", total, inside)
		}
	})
}

func TestSpansCountsNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := func(s int) time.Time { return time.Unix(int64(s), 0).UTC() }
		var refs []register.Held
		for range rapid.IntRange(0, 8).Draw(t, "n") {
			from := rapid.IntRange(0, 60).Draw(t, "from")
			refs = append(refs, register.Held{Ref: schema.AccessRef{byte(rapid.IntRange(1, 2).Draw(t, "ref"))},
				ValidFrom: at(from), ValidTo: at(from + rapid.IntRange(1, 30).Draw(t, "length"))})
		}
		holds := func(in []register.Held, ref byte, second int) (n int) {
			for _, h := range in {
				if h.Ref[0] == ref && !at(second).Before(h.ValidFrom) && at(second).Before(h.ValidTo) {
					n++
				}
			}
			return n
		}
		joined := spans(refs)
		for second := range 100 {
			for ref := byte(1); ref <= 2; ref++ {
				if got, want := holds(joined, ref, second), min(1, holds(refs, ref, second)); got != want {
					t.Fatalf("ref %d at %d is held %d times, want %d", ref, second, got, want)
				}
			}
		}
	})
}
