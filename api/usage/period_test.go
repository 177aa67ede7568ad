package usage

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// cycleOf is the month in which the cycle began that a local date is in: an
// independent reading of the rule.
func cycleOf(t time.Time, loc *time.Location, billingDay int) (year, month int) {
	t = t.In(loc)
	length := time.Date(t.Year(), t.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
	begin := billingDay
	if begin > length {
		begin = length
	}
	y, m := t.Year(), int(t.Month())
	if t.Day() < begin {
		if m--; m == 0 {
			y, m = y-1, 12
		}
	}
	return y, m
}

func TestCyclesTileTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := load(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		billingDay := rapid.IntRange(1, 31).Draw(t, "billing day")
		w := someWindow(t, "window", 400*24*time.Hour)
		cycles := w.Cycles(loc, billingDay)
		wantTiled(t, w, cycles)
		for i, c := range cycles {
			y, m := cycleOf(c.Start, loc, billingDay)
			if ey, em := cycleOf(c.End.Add(-1), loc, billingDay); ey != y || em != m {
				t.Fatalf("cycle %d, %v to %v, is in two", i, c.Start.In(loc), c.End.In(loc))
			}
			if i > 0 {
				if py, pm := cycleOf(cycles[i-1].Start, loc, billingDay); py == y && pm == m {
					t.Fatalf("the cycle of %d-%d is cut in two at %v", y, m, c.Start.In(loc))
				}
			}
			if whole := Cycle(c.Start, loc, billingDay); whole.Start.After(c.Start) || whole.End.Before(c.End) ||
				i > 0 && !whole.Start.Equal(c.Start) || i < len(cycles)-1 && !whole.End.Equal(c.End) {
				t.Fatalf("Cycle says %v of what Cycles cut as %v", whole, c)
			}
		}
	})
}

func TestCyclesOfShortMonths(t *testing.T) {
	loc := load(t, amsterdam)
	for _, c := range []struct {
		day  int
		want []string
	}{
		{31, []string{"2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30", "2028-05-31"}},
		{30, []string{"2028-01-30", "2028-02-29", "2028-03-30", "2028-04-30", "2028-05-30"}},
		{29, []string{"2028-01-29", "2028-02-29", "2028-03-29", "2028-04-29", "2028-05-29"}},
		{1, []string{"2028-02-01", "2028-03-01", "2028-04-01", "2028-05-01", "2028-06-01"}},
	} {
		at := time.Date(2028, 1, c.day, 0, 0, 0, 0, loc).Add(-time.Nanosecond)
		for _, want := range c.want {
			if c.day == 1 && at.Month() == 12 {
				at = Cycle(at, loc, c.day).End
			}
			next := Cycle(at, loc, c.day).End
			if got := next.In(loc).Format("2006-01-02T15:04"); got != want+"T00:00" {
				t.Errorf("billing day %d: cycle begins %s, want midnight of %s", c.day, got, want)
			}
			at = next
		}
	}
}

func TestDayIsAWholeLocalDate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := load(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		at := someInstant(t, "at")
		d := Day(at, loc)
		if at.Before(d.Start) || !at.Before(d.End) || !sameDate(d.Start.In(loc), at.In(loc)) || !sameDate(d.End.Add(-1).In(loc), at.In(loc)) ||
			sameDate(d.Start.Add(-1).In(loc), at.In(loc)) || sameDate(d.End.In(loc), at.In(loc)) {
			t.Fatalf("%v is in the day %v to %v", at.In(loc), d.Start.In(loc), d.End.In(loc))
		}
	})
}
