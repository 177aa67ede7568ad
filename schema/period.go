package schema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // expiry must not depend on what the machine has installed
)

// A Period is an ISO 8601 calendar period such as P6M or P2W. The zero Period is
// empty and never valid in a policy.
//
// Its calendar part (years, months, weeks, days) counts on the wall clock of a
// zone: P1M after 31 January is the last day of February at the same wall time
// (a day that the month lacks becomes its last), and P1D over a change to summer
// time is 23 hours. Its time part then counts elapsed time.
type Period struct {
	Years, Months, Weeks, Days, Hours, Minutes, Seconds int
}

// maxPeriodYears bounds a period, so that no sum leaves the range of a stored time.
const maxPeriodYears = 50

// periodUnits are the designators of each part, in the only order allowed.
var periodUnits = [...]struct {
	letter  byte
	inTime  bool
	seconds int64 // for the bound only; calendar units at their longest
}{
	{'Y', false, 366 * 86400}, {'M', false, 31 * 86400}, {'W', false, 7 * 86400}, {'D', false, 86400},
	{'H', true, 3600}, {'M', true, 60}, {'S', true, 1},
}

// ParsePeriod reads an ISO 8601 duration: P, then whole numbers with Y, M, W, D,
// then T and whole numbers with H, M, S; upper case, in this order, none twice.
// It refuses signs, fractions, an empty or zero period, and more than 50 years.
func ParsePeriod(s string) (Period, error) {
	fail := func(why string) (Period, error) { return Period{}, fmt.Errorf("period %q: %s", clip(s), why) }
	rest, ok := strings.CutPrefix(s, "P")
	if !ok {
		return fail("want ISO 8601, for example P6M or P14D")
	}
	var values [len(periodUnits)]int
	var total int64
	next, inTime := 0, false
	for rest != "" {
		if rest[0] == 'T' && !inTime {
			rest, inTime = rest[1:], true
			if rest == "" {
				return fail("nothing follows T")
			}
			continue
		}
		digits := 0
		for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(rest) {
			return fail("want whole numbers, each followed by its unit")
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 32)
		if err != nil {
			return fail("number too large")
		}
		unit := next
		for unit < len(periodUnits) && (periodUnits[unit].letter != rest[digits] || periodUnits[unit].inTime != inTime) {
			unit++
		}
		if unit == len(periodUnits) {
			return fail("unit unknown, twice, or out of order")
		}
		values[unit], next = int(n), unit+1
		total += n * periodUnits[unit].seconds
		rest = rest[digits+1:]
	}
	switch {
	case total == 0:
		return fail("empty")
	case total > maxPeriodYears*366*86400:
		return fail(fmt.Sprintf("longer than %d years", maxPeriodYears))
	}
	return Period{values[0], values[1], values[2], values[3], values[4], values[5], values[6]}, nil
}

// clip bounds foreign text in an error.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// String returns the period as [ParsePeriod] reads it, without zero parts.
func (p Period) String() string {
	var b strings.Builder
	b.WriteByte('P')
	inTime := false
	for i, n := range [...]int{p.Years, p.Months, p.Weeks, p.Days, p.Hours, p.Minutes, p.Seconds} {
		if n == 0 {
			continue
		}
		if periodUnits[i].inTime && !inTime {
			b.WriteByte('T')
			inTime = true
		}
		b.WriteString(strconv.Itoa(n))
		b.WriteByte(periodUnits[i].letter)
	}
	return b.String()
}

func (p Period) months() int { return 12*p.Years + p.Months }
func (p Period) days() int   { return 7*p.Weeks + p.Days }
func (p Period) seconds() int64 {
	return 3600*int64(p.Hours) + 60*int64(p.Minutes) + int64(p.Seconds)
}

// After returns the instant at which something that ended at t expires: t plus
// the period, on the wall clock of zone. The store's views compute the same
// instant in SQL. The result is in UTC.
//
// A wall time that a change of the clock skips or repeats is read with the
// offset that holds at that wall time minus t's own offset, which is well
// defined and at most the width of the change away from any other reading.
func (p Period) After(t time.Time, zone *time.Location) time.Time {
	offset := offsetAt(t, zone)
	wall := addCalendar(t.UTC().Add(offset), p.months(), p.days())
	expiry := wall.Add(-offsetAt(wall.Add(-offset), zone))
	return expiry.Add(time.Duration(p.seconds()) * time.Second)
}

func offsetAt(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}

// addCalendar adds months, clamping the day to the length of the month, and then
// days, to a wall time carried as UTC.
func addCalendar(wall time.Time, months, days int) time.Time {
	year, month, day := wall.Date()
	first := time.Date(year, month+time.Month(months), 1, 0, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	midnight := wall.Truncate(24 * time.Hour)
	return first.AddDate(0, 0, min(day, last)-1+days).Add(wall.Sub(midnight))
}

// stretch is the length of the intervals, from UTC midnight on, in which After is
// monotone: every change of an offset in use, and midnight in every zone in use,
// falls on a multiple of a quarter of an hour.
const stretch = 15 * time.Minute

// Before returns the latest instant (to the millisecond) that has expired at t:
// After of it is not later than t, and After of every later instant is.
func (p Period) Before(t time.Time, zone *time.Location) time.Time {
	// After is not monotone: the ends of several days of a long month fall on
	// the last day of a short one, and an hour is repeated in autumn. So look
	// back, stretch by stretch, from where nothing has expired.
	const slack = 5 * 24 * time.Hour
	expired := func(e time.Time) bool { return !p.After(e, zone).After(t) }
	from := addCalendar(t.UTC(), -p.months(), -p.days()).Add(-time.Duration(p.seconds()) * time.Second)
	low := from.Add(slack).Truncate(stretch)
	for !expired(low) {
		low = low.Add(-stretch)
	}
	high := low.Add(stretch)
	for high.Sub(low) > time.Millisecond {
		if middle := low.Add(high.Sub(low) / 2).Truncate(time.Millisecond); expired(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// dayExpires returns the first and the last instant at which anything that ended
// on the UTC day (its midnights included, to the millisecond) expires.
//
// They are 24 hours apart, unless the calendar moves the end of one local day away
// from the beginning of the next, and a UTC day holds some of both: with P1M in
// Amsterdam the first hour of 1 March, which is still 28 February in UTC, expires
// on 1 April, the rest of that UTC day on 28 March. In UTC only what ends at
// midnight sharp is of the next day.
func (p Period) dayExpires(day time.Time, zone *time.Location) (first, last time.Time) {
	end := endOfDay(day)
	first = p.After(end, zone)
	last = first
	for t := day; t.Before(end); t = t.Add(stretch) {
		if e := p.After(t, zone); e.Before(first) {
			first = e
		}
		if e := p.After(t.Add(stretch-time.Millisecond), zone); e.After(last) {
			last = e
		}
	}
	return first, last
}

// loadZone loads an IANA zone. The empty name and "Local" are refused: they
// would mean another calendar on another machine.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errors.New("time zone: want an IANA name, for example Europe/Amsterdam")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("time zone %q: unknown", clip(name))
	}
	return zone, nil
}
