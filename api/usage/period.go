package usage

import (
	"fmt"
	"time"

	"griffier/schema"
)

// Months cuts w where the local month in loc changes.
func (w Window) Months(loc *time.Location) []Window { return w.Cycles(loc, 1) }

// Cycles cuts w where a billing cycle begins: at local midnight of the billing
// day, 1 to 31, or of the last day of a month that has no such day.
func (w Window) Cycles(loc *time.Location, billingDay int) []Window {
	var out []Window
	for at := w.Start; at.Before(w.End); {
		next := earlier(nextCycle(at, loc, billingDay), w.End)
		out = append(out, Window{at, next})
		at = next
	}
	return out
}

// Day returns the local day that holds t.
func Day(t time.Time, loc *time.Location) Window {
	y, m, d := t.In(loc).Date()
	return Window{startOfDate(y, m, d, loc), nextDay(t, loc)}
}

// Cycle returns the billing cycle that holds t.
func Cycle(t time.Time, loc *time.Location, billingDay int) Window {
	y, m, _ := t.In(loc).Date()
	start := cycleStart(y, m, loc, billingDay)
	if start.After(t) {
		start = cycleStart(y, m-1, loc, billingDay)
	}
	return Window{start, nextCycle(t, loc, billingDay)}
}

// nextCycle returns the first start of a cycle after t.
func nextCycle(t time.Time, loc *time.Location, billingDay int) time.Time {
	y, m, _ := t.In(loc).Date()
	for {
		if start := cycleStart(y, m, loc, billingDay); start.After(t) {
			return start
		}
		m++ // startOfDate normalises the month
	}
}

// cycleStart returns the start of the cycle that begins in a month, which may lie
// outside of 1 to 12.
func cycleStart(y int, m time.Month, loc *time.Location, billingDay int) time.Time {
	last := time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return startOfDate(y, m, min(billingDay, last), loc)
}

// startOfDate returns the first instant of a local date, or of the next if the
// clock skips the whole of it.
func startOfDate(y int, m time.Month, d int, loc *time.Location) time.Time {
	// Noon of the day before is never in doubt by more than the width of a change.
	before := time.Date(y, m, d-1, 12, 0, 0, 0, loc)
	wanted := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	for at := before.Add(-24 * time.Hour); ; {
		at = nextDay(at, loc)
		ly, lm, ld := at.In(loc).Date()
		if !time.Date(ly, lm, ld, 0, 0, 0, 0, time.UTC).Before(wanted) {
			return at
		}
	}
}

// cutError is of a zone in which a bucket would lie in two days.
type cutError struct {
	zone string
	at   time.Time
}

func (e *cutError) Error() string {
	return fmt.Sprintf("time zone %s: midnight at %s is not between two buckets of %v; register the line in a zone whose offset is a multiple of 5 minutes",
		e.zone, e.at.Format(time.RFC3339), schema.BucketLength)
}

// checkCuts reports the first local midnight in w that a bucket straddles. There
// is none in any zone in use: their offsets are multiples of 15 minutes.
func checkCuts(w Window, loc *time.Location) error {
	for _, d := range w.Days(loc) {
		if !d.End.Equal(w.End) && !d.End.Equal(d.End.Truncate(schema.BucketLength)) {
			return &cutError{loc.String(), d.End}
		}
	}
	return nil
}
