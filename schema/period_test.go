package schema

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParsePeriod(t *testing.T) {
	for text, want := range map[string]Period{
		"P6M":              {Months: 6},
		"P14D":             {Days: 14},
		"P2W":              {Weeks: 2},
		"PT90S":            {Seconds: 90},
		"PT5M":             {Minutes: 5},
		"P1Y2M3W4DT5H6M7S": {1, 2, 3, 4, 5, 6, 7},
		"P0Y13M":           {Months: 13},
		"P50Y":             {Years: 50},
	} {
		if got, err := ParsePeriod(text); err != nil || got != want {
			t.Errorf("ParsePeriod(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "P", "PT", "P1", "6M", "p6m", "P-1M", "+P1M", "P1.5D", "P1,5D", "PT1D", "P1H", "P1D1M", "P1M1M", "P1DT",
		"P0D", "PT0S", "P51Y", "P19000D", "P99999999999D", "P1M ", " P1M", "P1M\n", "PTT1S", "P１D",
	} {
		if got, err := ParsePeriod(text); err == nil {
			t.Errorf("ParsePeriod(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParsePeriod(f *testing.F) {
	for _, seed := range []string{"P6M", "P1Y2M3W4DT5H6M7S", "PT", "P0D", "P99999999999999999999Y", "P1DT", "PTM", "P٣D"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePeriod(text)
		if err != nil {
			if p != (Period{}) {
				t.Errorf("ParsePeriod(%q) failed with a value", text)
			}
			return
		}
		again, err := ParsePeriod(p.String())
		if err != nil || again != p {
			t.Errorf("%q is %v, which reads back as %v, %v", text, p, again, err)
		}
		now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
		if !p.After(now, time.UTC).After(now) {
			t.Errorf("%q does not move time on", text)
		}
	})
}

var amsterdam = mustZone("Europe/Amsterdam")

func mustZone(name string) *time.Location {
	zone, err := loadZone(name)
	if err != nil {
		panic(err)
	}
	return zone
}

func TestPeriodAfter(t *testing.T) {
	for _, c := range []struct{ period, from, want string }{
		{"P1M", "2026-01-31T12:00:00+01:00", "2026-02-28T12:00:00+01:00"}, // the month has no 31st
		{"P1M", "2028-01-31T12:00:00+01:00", "2028-02-29T12:00:00+01:00"},
		{"P1Y", "2028-02-29T12:00:00+01:00", "2029-02-28T12:00:00+01:00"},
		{"P6M", "2025-12-15T00:00:00+01:00", "2026-06-15T00:00:00+02:00"}, // same wall time in summer
		{"P1D", "2026-03-28T12:00:00+01:00", "2026-03-29T12:00:00+02:00"}, // 23 hours
		{"PT24H", "2026-03-28T12:00:00+01:00", "2026-03-29T13:00:00+02:00"},
		{"P1D", "2026-10-24T12:00:00+02:00", "2026-10-25T12:00:00+01:00"}, // 25 hours
		{"P1D", "2026-03-28T02:30:00+01:00", "2026-03-29T01:30:00+01:00"}, // 02:30 does not exist
		{"P1D", "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00"}, // 02:30 exists twice: the first
		{"P1M1D", "2026-01-31T00:00:00+01:00", "2026-03-01T00:00:00+01:00"},
		{"P1Y1M1W1DT1H1M1S", "2026-01-01T00:00:00+01:00", "2027-02-09T01:01:01+01:00"},
	} {
		period, err := ParsePeriod(c.period)
		if err != nil {
			t.Fatal(err)
		}
		from, _ := time.Parse(time.RFC3339, c.from)
		want, _ := time.Parse(time.RFC3339, c.want)
		if got := period.After(from, amsterdam); !got.Equal(want) {
			t.Errorf("%s + %s = %v, want %s", c.from, c.period, got.In(amsterdam), c.want)
		}
	}
}

// drawInstant prefers what calendars get wrong: ends of months, changes of the clock.
func drawInstant(t *rapid.T) time.Time {
	switch rapid.IntRange(0, 2).Draw(t, "near") {
	case 0:
		month := time.Date(2024, time.Month(rapid.IntRange(1, 60).Draw(t, "month")), 1, 0, 0, 0, 0, time.UTC)
		return month.Add(time.Duration(rapid.IntRange(-3*86400_000, 86400_000).Draw(t, "ms")) * time.Millisecond)
	case 1:
		change := rapid.SampledFrom([]string{
			"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2028-03-26T01:00:00Z", // Europe
			"2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z", // New York
			"2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z", // Lord Howe, by half an hour
		}).Draw(t, "change")
		at, _ := time.Parse(time.RFC3339, change)
		return at.Add(time.Duration(rapid.IntRange(-7200_000, 7200_000).Draw(t, "ms")) * time.Millisecond)
	default:
		return time.UnixMilli(rapid.Int64Range(1_600_000_000_000, 1_900_000_000_000).Draw(t, "ms")).UTC()
	}
}

func drawPeriod(t *rapid.T) Period {
	small := rapid.IntRange(0, 3)
	p := Period{
		small.Draw(t, "years"), rapid.IntRange(0, 14).Draw(t, "months"), small.Draw(t, "weeks"), rapid.IntRange(0, 40).Draw(t, "days"),
		rapid.IntRange(0, 30).Draw(t, "hours"), rapid.IntRange(0, 90).Draw(t, "minutes"), rapid.IntRange(0, 90).Draw(t, "seconds"),
	}
	if p == (Period{}) {
		p.Seconds = 1
	}
	return p
}

var zoneNames = []string{"Europe/Amsterdam", "Europe/Brussels", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Asia/Kathmandu"}

// TestBeforeIsTheEdge checks Before's contract: what ended at it has expired,
// and nothing that ended later has.
func TestBeforeIsTheEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := mustZone(rapid.SampledFrom(zoneNames).Draw(t, "zone"))
		period, now := drawPeriod(t), drawInstant(t)
		edge := period.Before(now, zone)
		if period.After(edge, zone).After(now) {
			t.Fatalf("%v before %v is %v, which has not expired", period, now, edge)
		}
		for _, later := range []time.Duration{time.Millisecond, time.Second, 30 * time.Minute, time.Hour, 24 * time.Hour, 72 * time.Hour} {
			later := time.Duration(rapid.Int64Range(1, int64(later/time.Millisecond)).Draw(t, "later")) * time.Millisecond
			if e := edge.Add(later); !period.After(e, zone).After(now) {
				t.Fatalf("%v before %v is %v, but %v has expired too", period, now, edge, e)
			}
		}
	})
}

// TestDayExpires checks that nothing of a day expires before or after what
// dayExpires says, and that both ends are reached.
func TestDayExpires(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := mustZone(rapid.SampledFrom(zoneNames).Draw(t, "zone"))
		period, day := drawPeriod(t), drawInstant(t).Truncate(24*time.Hour)
		first, last := period.dayExpires(day, zone)
		e := day.Add(time.Duration(rapid.Int64Range(0, 86400_000).Draw(t, "ms")) * time.Millisecond)
		if at := period.After(e, zone); at.Before(first) || at.After(last) {
			t.Fatalf("%v: %v expires at %v, outside of %v to %v", period, e, at, first, last)
		}
		// What expired is found again: the latest that has at either end is of
		// this day, or of a later one that the calendar sends to the same place.
		for _, at := range []time.Time{first, last} {
			if before := period.Before(at, zone); before.Before(day) || period.After(before, zone).After(at) {
				t.Fatalf("%v: at %v the latest expired is %v, want it on or after %v", period, at, before, day)
			}
		}
	})
}

// expiryExpression returns the SQL by which every view computes expires_at.
func expiryExpression(t *testing.T) string {
	t.Helper()
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		t.Fatal(err)
	}
	views := map[string]string{} // as the last migration of each makes it
	for _, m := range migrations {
		if _, view, is := strings.Cut(m.statement, "CREATE OR REPLACE VIEW "); is {
			view, text, _ := strings.Cut(view, " AS\n")
			views[view] = text
		}
	}
	if len(views) != len(tables) {
		t.Fatalf("%d views, want one for each of %d tables", len(views), len(tables))
	}
	var expression string
	for view, text := range views {
		_, rest, ok := strings.Cut(text, "AS store_now,\n")
		found, _, ok2 := strings.Cut(rest, " AS expires_at")
		if !ok || !ok2 || expression != "" && found != expression {
			t.Fatalf("%s computes expiry otherwise than the others", view)
		}
		expression = found
	}
	return expression + " AS expires_at"
}

// TestAfterAgreesWithSQL compares After with the views' own expression.
func TestAfterAgreesWithSQL(t *testing.T) {
	checks(t, 150)
	ctx, conn, _ := newStore(t)
	expression := expiryExpression(t)
	rapid.Check(t, func(rt *rapid.T) {
		zone := rapid.SampledFrom(zoneNames).Draw(rt, "zone")
		period := drawPeriod(rt)
		instants := rapid.SliceOfN(rapid.Custom(drawInstant), 40, 40).Draw(rt, "instants")
		milliseconds := make([]int64, len(instants))
		for i, at := range instants {
			milliseconds[i] = at.UnixMilli()
		}
		query := fmt.Sprintf(`WITH fromUnixTimestamp64Milli(arrayJoin(?), 'UTC') AS ended_at,
(true, toUInt32(%d), toUInt32(%d), toUInt64(%d), '%s', toDateTime64(0, 3, 'UTC')) AS policy,
%s
SELECT ended_at, expires_at`, period.months(), period.days(), period.seconds(), zone, expression)
		rows, err := conn.Query(ctx, query, milliseconds)
		if err != nil {
			rt.Fatal(err)
		}
		defer rows.Close()
		seen := 0
		for ; rows.Next(); seen++ {
			var endedAt, expiresAt time.Time
			if err := rows.Scan(&endedAt, &expiresAt); err != nil {
				rt.Fatal(err)
			}
			if want := period.After(endedAt, mustZone(zone)); !expiresAt.Equal(want) {
				rt.Fatalf("%v + %v in %s: SQL says %v, After says %v", endedAt, period, zone, expiresAt, want)
			}
		}
		if err := rows.Err(); err != nil || seen != len(instants) {
			rt.Fatalf("%d rows of %d: %v", seen, len(instants), err)
		}
	})
}

func TestPolicyValidate(t *testing.T) {
	good := Policy{ClassSession, "P6M", "Europe/Amsterdam", "faults and complaints", "Tw 11.5", "policy 3"}
	change := func(f func(*Policy)) Policy {
		p := good
		f(&p)
		return p
	}
	for _, c := range []struct {
		name, profile string
		policy        Policy
		ok            bool
	}{
		{"good", ProfileNL, good, true},
		{"good be", ProfileBE, good, true},
		{"legal duty be", ProfileBE, change(func(p *Policy) { p.Purpose = "legal duty" }), true},
		{"legal duty nl", ProfileNL, change(func(p *Policy) { p.Purpose = "legal duty" }), false},
		{"disguised", ProfileNL, change(func(p *Policy) { p.Purpose = "Faults; LEGAL_Obligation!" }), false},
		{"in Dutch", ProfileNL, change(func(p *Policy) { p.Purpose = "Bewaarplicht" }), false},
		{"illegal", ProfileNL, change(func(p *Policy) { p.Purpose = "preventing illegal duty-free calls" }), true},
		{"no purpose", ProfileNL, change(func(p *Policy) { p.Purpose = " \t" }), false},
		{"punctuation", ProfileNL, change(func(p *Policy) { p.Purpose = "--" }), false},
		{"no period", ProfileNL, change(func(p *Policy) { p.Period = "" }), false},
		{"bad period", ProfileNL, change(func(p *Policy) { p.Period = "6 months" }), false},
		{"no zone", ProfileNL, change(func(p *Policy) { p.Zone = "" }), false},
		{"local zone", ProfileNL, change(func(p *Policy) { p.Zone = "Local" }), false},
		{"bad zone", ProfileNL, change(func(p *Policy) { p.Zone = "Europe/Utrecht" }), false},
		{"class", ProfileNL, change(func(p *Policy) { p.Class = "dns" }), false},
		{"profile", "xx", good, false},
	} {
		err := c.policy.Validate(c.profile)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrPolicy) {
			t.Errorf("%s: Validate = %v, want ok %v", c.name, err, c.ok)
		}
	}
}
