package warrant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/warrant"
)

func TestCandidates(t *testing.T) {
	tests := []struct {
		text, zone string
		outcome    warrant.ReadingOutcome
		utc        string // candidates
		note       string
	}{
		// The hour that the autumn repeats, and the one that the spring skips.
		{"25-10-2026 02:30:00 Amsterdam", "", "TIME_AMBIGUOUS_DST", "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z", ""},
		{"25-10-2026 02:30", "Europe/Amsterdam", "TIME_AMBIGUOUS_DST", "2026-10-25T00:30:00Z 2026-10-25T01:30:00Z", "no seconds"},
		{"2026-10-25 02:59:59", "Europe/Brussels", "TIME_AMBIGUOUS_DST", "2026-10-25T00:59:59Z 2026-10-25T01:59:59Z", ""},
		{"2026-10-25 03:00:00", "Europe/Brussels", "EXACT", "2026-10-25T02:00:00Z", ""},
		{"2026-10-25 01:59:59", "Europe/Brussels", "EXACT", "2026-10-24T23:59:59Z", ""},
		{"29-03-2026 02:30:00", "Europe/Amsterdam", "TIME_NONEXISTENT_DST", "", ""},
		{"2026-03-29 03:00:00", "Europe/Amsterdam", "EXACT", "2026-03-29T01:00:00Z", ""},
		{"2026-10-25 02:30:00 CEST", "", "EXACT", "2026-10-25T00:30:00Z", ""},
		{"2026-10-25 02:30:00 CET", "", "EXACT", "2026-10-25T01:30:00Z", ""},
		{"2026-10-25T02:30:00+02:00", "", "EXACT", "2026-10-25T00:30:00Z", ""},
		// An abbreviation or an offset of the other half of the year.
		{"2026-07-01 12:00:00 CET", "", "ABBREVIATION_OUT_OF_SEASON", "2026-07-01T10:00:00Z 2026-07-01T11:00:00Z", "CET is not in use"},
		{"2026-12-01 12:00:00 CEST", "", "ABBREVIATION_OUT_OF_SEASON", "2026-12-01T10:00:00Z 2026-12-01T11:00:00Z", "CEST is not in use"},
		{"2026-07-01 12:00:00 MESZ", "", "EXACT", "2026-07-01T10:00:00Z", ""},
		{"2026-07-01T12:00:00 +0100", "", "EXACT", "2026-07-01T11:00:00Z", "which was +02:00"},
		{"2026-07-01T12:00:00+01:00", "Europe/Amsterdam", "EXACT", "2026-07-01T11:00:00Z", "another offset than Europe/Amsterdam"},
		{"2026-07-01T12:00:00Z", "Europe/Amsterdam", "EXACT", "2026-07-01T12:00:00Z", "another offset than Europe/Amsterdam"},
		{"2026-07-01T12:00:00Z", "", "EXACT", "2026-07-01T12:00:00Z", ""},
		{"2026-07-01 12:00:00 UTC+2", "", "EXACT", "2026-07-01T10:00:00Z", ""},
		// No zone, or none that can be known.
		{"2026-07-01 12:00:00", "", "TIME_ZONE_MISSING", "", "ask the authority"},
		{"2026-07-01 12:00:00 IST", "", "TIME_ZONE_MISSING", "", "not known"},
		{"2026-07-01 12:00:00-00:00", "", "TIME_ZONE_MISSING", "", "not known"},
		{"2026-07-01 12:00:00+15:00", "", "TIME_ZONE_MISSING", "", "not known"},
		// What clocks do not show.
		{"2026-07-01T24:00:00Z", "", "HOUR_24", "2026-07-02T00:00:00Z", "Hour 24"},
		{"2026-07-01T24:00:01Z", "", "NO_SUCH_TIME", "", "time of day"},
		{"2026-10-24 24:00:00", "Europe/Amsterdam", "HOUR_24", "2026-10-24T22:00:00Z", "Hour 24"},
		{"2016-12-31T23:59:60Z", "", "LEAP_SECOND", "2016-12-31T23:59:59Z 2017-01-01T00:00:00Z", "leap second"},
		{"2026-02-29T12:00:00Z", "", "NO_SUCH_TIME", "", "no such date"},
		{"2026-13-01T12:00:00Z", "", "NO_SUCH_TIME", "", "no such date"},
		{"2026-07-01T12:60:00Z", "", "NO_SUCH_TIME", "", "time of day"},
		{"1969-12-31T23:59:59Z", "", "NO_SUCH_TIME", "", "no such date"},
		// Day and month.
		{"05-10-2026 12:00:00", "UTC", "DATE_AMBIGUOUS", "2026-10-05T12:00:00Z 2026-05-10T12:00:00Z", "other way round"},
		{"05/10/2026 12:00:00 UTC", "", "DATE_AMBIGUOUS", "2026-10-05T12:00:00Z 2026-05-10T12:00:00Z", "other way round"},
		{"05.10.2026 12:00:00 UTC", "", "EXACT", "2026-10-05T12:00:00Z", ""},
		{"05-05-2026 12:00:00 UTC", "", "EXACT", "2026-05-05T12:00:00Z", ""},
		{"05-10/2026 12:00:00 UTC", "", "NO_SUCH_TIME", "", "separator"},
		{"25-10-26 12:00:00 UTC", "", "NO_SUCH_TIME", "", "form"},
		{"tomorrow", "", "NO_SUCH_TIME", "", "form"},
		{"", "", "NO_SUCH_TIME", "", "form"},
		{strings.Repeat("2", 129), "", "NO_SUCH_TIME", "", "longer"},
	}
	for _, test := range tests {
		r := warrant.Candidates(test.text, test.zone)
		var utc []string
		for _, c := range r.Candidates {
			utc = append(utc, c.At.UTC().Format(time.RFC3339))
		}
		if r.Outcome != test.outcome || strings.Join(utc, " ") != test.utc {
			t.Errorf("Candidates(%q, %q) = %s %v, want %s %s", test.text, test.zone, r.Outcome, utc, test.outcome, test.utc)
		}
		if notes := strings.Join(r.Notes, " "); !strings.Contains(notes, test.note) || test.note == "" && notes != "" {
			t.Errorf("Candidates(%q, %q) notes %q, want %q", test.text, test.zone, notes, test.note)
		}
	}
}

// Every candidate of a wall time is one at which clocks there show that time, and
// no instant that does is left out.
func TestCandidatesAreAll(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom([]string{"Europe/Amsterdam", "Europe/Brussels", "Europe/London", "Africa/Casablanca", "Australia/Lord_Howe", "UTC"}).Draw(rt, "zone")
		loc, err := time.LoadLocation(name)
		if err != nil {
			rt.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(0, 2_000_000_000).Draw(rt, "at"), 0).In(loc)
		if rapid.Bool().Draw(rt, "near a change") {
			at = time.Date(at.Year(), 10, 25+at.Day()%7, 1+at.Hour()%2, at.Minute(), at.Second(), 0, loc)
		}
		text := at.Format("2006-01-02 15:04:05")
		r := warrant.Candidates(text, name)
		if !slices.ContainsFunc(r.Candidates, func(c warrant.Candidate) bool { return c.At.Equal(at) }) {
			rt.Fatalf("%s in %s: %v is not among %v", text, name, at, r)
		}
		for _, c := range r.Candidates {
			if c.At.In(loc).Format("2006-01-02 15:04:05") != text {
				rt.Fatalf("%s in %s: clocks do not show that at %v", text, name, c.At)
			}
		}
		if (len(r.Candidates) == 1) != (r.Outcome == warrant.ReadExact) {
			rt.Fatalf("%s in %s: %v", text, name, r)
		}
	})
}

func FuzzCandidates(f *testing.F) {
	for _, seed := range []string{"25-10-2026 02:30 Amsterdam", "2026-10-25T02:30:00.123456789+02:00", "2026-06-30T23:59:60Z", "1-1-2026 24:00:00 CET", "2026-07-01 12:00:00 UTC+14:00"} {
		f.Add(seed, "Europe/Amsterdam")
	}
	f.Fuzz(func(t *testing.T, text, zone string) {
		r := warrant.Candidates(text, zone)
		if r.Outcome == "" || r.Outcome == warrant.ReadExact && len(r.Candidates) != 1 {
			t.Fatalf("Candidates(%q, %q) = %+v", text, zone, r)
		}
		// What is an instant for a warrant is the same instant here.
		if at, err := warrant.ParseInstant(text); err == nil && at.Year() <= 2200 {
			if r.Outcome != warrant.ReadExact || !r.Candidates[0].At.Equal(at) {
				t.Fatalf("ParseInstant(%q) = %v, Candidates %+v", text, at, r)
			}
		}
	})
}
