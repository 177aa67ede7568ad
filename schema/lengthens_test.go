package schema

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLengthensIsTrueOfEveryRow: what does not lengthen a policy keeps no row that
// ends at the noon of a day, of any year, longer; what does keeps one of the leap
// cycle longer.
func TestLengthensIsTrueOfEveryRow(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	periods := rapid.Custom(func(rt *rapid.T) Period {
		p := Period{Years: rapid.IntRange(0, 2).Draw(rt, "years"), Months: rapid.IntRange(0, 14).Draw(rt, "months"), Weeks: rapid.IntRange(0, 5).Draw(rt, "weeks"),
			Days: rapid.IntRange(0, 62).Draw(rt, "days"), Hours: rapid.SampledFrom([]int{0, 0, 24, 36}).Draw(rt, "hours")}
		if p == (Period{}) {
			p.Days = 1
		}
		return p
	})
	// Of two unlike periods one is longer throughout: pairs that nearly agree are
	// the ones to try.
	near := func(rt *rapid.T, p Period) Period {
		switch rapid.IntRange(0, 3).Draw(rt, "near") {
		case 0:
			return Period{Days: 30*p.months() + p.days() + rapid.IntRange(0, 12).Draw(rt, "more"), Seconds: int(p.seconds())}
		case 1:
			return Period{Months: p.months(), Days: max(p.days()-1, 0), Seconds: int(p.seconds()) + 24*3600}
		case 2:
			return Period{Months: p.months() + 1, Days: max(p.days()-rapid.IntRange(27, 32).Draw(rt, "less"), 0), Seconds: int(p.seconds())}
		}
		return periods.Draw(rt, "other")
	}
	rapid.Check(t, func(rt *rapid.T) {
		was := periods.Draw(rt, "was")
		next := near(rt, was)
		if next == (Period{}) {
			return
		}
		longer, err := Policy{Period: was.String(), Zone: zone.String()}.Lengthens(Policy{Period: next.String(), Zone: zone.String()})
		if err != nil {
			rt.Fatal(err)
		}
		keepsLonger := func(from time.Time, days int) bool {
			for day := range days {
				at := from.AddDate(0, 0, day)
				if next.After(at, zone).After(was.After(at, zone)) {
					return true
				}
			}
			return false
		}
		year := time.Date(rapid.IntRange(2020, 2098).Draw(rt, "year"), 1, 1, 12, 0, 0, 0, time.UTC)
		if !longer && keepsLonger(year, 366) {
			rt.Fatalf("%v does not lengthen %v, and keeps something of %d longer", next, was, year.Year())
		}
		if longer && !keepsLonger(time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC), 4*366) {
			rt.Fatalf("%v lengthens %v, and keeps nothing longer", next, was)
		}
	})
}
