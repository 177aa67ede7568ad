package disclosure_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// lastOverlap returns the hour, in UTC, before clocks in the European Union were
// last set back (Directive 2000/84/EC: 01:00 UTC of October's last Sunday).
func lastOverlap(now time.Time) time.Time {
	for year := now.Year(); ; year-- {
		day := time.Date(year, time.October, 31, 0, 0, 0, 0, time.UTC)
		day = day.AddDate(0, 0, -int(day.Weekday()))
		if day.Before(now.AddDate(0, 0, -3)) {
			return day
		}
	}
}

// Scenario 11, DST hour: "'25-10-2026 02:30 Amsterdam' -> candidates 00:30Z and
// 01:30Z, different subscribers -> TIME_AMBIGUOUS_DST. Go ParseInLocation returned
// only 01:30Z (CET) without error; '29-03-2026 02:30' became 03:30 CEST. Also CET
// written in summer, +0100 in July, Z vs local, 24:00:00, leap second :60 ->
// explicit outcome each."
func TestScenario11DSTHour(t *testing.T) {
	l := &lab{disclosuretest.NewOf(t, "P13M", schema.ProfileBE)} // two last Sundays of October are up to 371 days apart, and one counts after three days
	overlap := lastOverlap(time.Now().UTC())
	// Alice has the address in the first of the two hours, Bob in the second.
	held := func(n byte, name string, from, to time.Time) schema.Record {
		return &schema.Assignment{AssignmentID: schema.ID{11, n}, SessionID: schema.ID{11, n, 1}, Prefix: netip.MustParsePrefix("192.0.2.30/32"), PortEnd: 65535,
			AccessRef:           l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}),
			AssignmentStartedAt: from, StartedAt: from, EndedAt: to, Version: 1, EndCause: schema.EndRelease, Source: schema.SourceRADIUS,
			Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
	}
	change := overlap.Add(time.Hour)
	err := schema.Insert(t.Context(), l.Conn, "overlap", []schema.Record{
		held(1, "alice", overlap, change), held(2, "bob", change, change.Add(time.Hour)),
		&schema.Coverage{CoverageID: schema.ID{11, 3}, CollectorID: "edge1", State: schema.Covered, StartedAt: overlap, EndedAt: overlap.Add(20 * time.Hour),
			Version: 1, BootID: "boot", ClockSynced: true}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} { // their contracts are a year older than the lab's
		l.backdate(name, overlap.AddDate(-1, 0, 0))
	}
	content := l.Content(time.Hour)
	content.Targets = []string{"192.0.2.30"}
	content.WindowStart, content.WindowEnd = overlap.Add(-24*time.Hour).Format(time.RFC3339), time.Now().UTC().Format(time.RFC3339)
	w := l.Approve(content)
	ask := func(instant string) (*griffierv1.Task, error) {
		return l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
			Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.30", Instant: instant})
	}
	day := overlap.Format(time.DateOnly)
	spring := time.Date(overlap.Year(), time.March, 31, 0, 0, 0, 0, time.UTC)
	spring = spring.AddDate(0, 0, -int(spring.Weekday()))
	first, second := overlap.Add(30*time.Minute), overlap.Add(90*time.Minute)
	for _, test := range []struct {
		instant string
		want    reason.Reason
		says    []string
	}{
		{day + " 02:30:00 Europe/Amsterdam", reason.TimeAmbiguousDST, []string{first.Format(time.RFC3339), second.Format(time.RFC3339)}},
		{day + "T02:30:00 Europe/Brussels", reason.TimeAmbiguousDST, []string{first.Format(time.RFC3339), second.Format(time.RFC3339)}},
		{day + "T02:30:00[Europe/Amsterdam]", reason.TimeAmbiguousDST, []string{first.Format(time.RFC3339)}},
		{spring.Format(time.DateOnly) + " 02:30:00 Europe/Amsterdam", reason.TimeNonexistentDST, nil},
		{day + " 01:59:59 Europe/Amsterdam", reason.TimeZoneMissing, []string{"+02:00"}}, // one candidate: named, and still not taken
		{day + " 03:00:00 Europe/Amsterdam", reason.TimeZoneMissing, []string{"+01:00"}},
		{day + "T02:30:00", reason.TimeZoneMissing, nil},
		{day + " 02:30", reason.TimeZoneMissing, nil},
		{"25-10-2026 02:30 Amsterdam", reason.TimeZoneMissing, nil},
		{day + "T02:30:00 CET", reason.TimeZoneMissing, nil}, // a name of the winter's time, which in summer is written by mistake
		{"2026-07-01T12:00:00 CET", reason.TimeZoneMissing, nil},
		{day + "T02:30:00+0100", reason.TimeZoneMissing, nil},
		{day + "T02:30:00+01", reason.TimeZoneMissing, nil},
		{day + "T02:30+01:00", reason.TimeZoneMissing, nil},
		{day + "T24:00:00Z", reason.TimeZoneMissing, []string{"24"}},
		{day + "T00:59:60Z", reason.TimeZoneMissing, []string{"leap second"}},
		{day + "t00:30:00z", reason.TimeZoneMissing, []string{"upper case"}},
		{day + "T00:30:00-00:00", reason.TimeZoneMissing, []string{"-00:00"}},
		{day + "T00:30:00+23:59", reason.TimeZoneMissing, []string{"zone"}},
		{day + "T00:30:00Z\n", reason.TimeZoneMissing, nil},
		{"", reason.TimeZoneMissing, nil},
	} {
		_, err := ask(test.instant)
		if reason.Of(err) != test.want {
			t.Errorf("%q: %v, want %s", test.instant, err, test.want)
			continue
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%q: the refusal does not say %q: %v", test.instant, says, err)
			}
		}
	}
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
	// An hour is the difference between two people, however the same instant is written.
	for _, test := range []struct{ instant, line string }{
		{first.Format(time.RFC3339), "line-alice"},
		{day + "T02:30:00+02:00", "line-alice"}, // summer time
		{day + "T01:30:00+01:00", "line-alice"},
		{second.Format(time.RFC3339), "line-bob"},
		{day + "T02:30:00+01:00", "line-bob"}, // winter time
		{day + "T03:30:00+02:00", "line-bob"}, // +02:00 when it was winter already: an instant all the same
	} {
		task, err := ask(test.instant)
		if err != nil {
			t.Errorf("%q: %v", test.instant, err)
			continue
		}
		_, plain := l.MustExecute(task, reason.Match)
		if !strings.Contains(plain, test.line) {
			t.Errorf("%q is not %s", test.instant, test.line)
		}
		for _, other := range []string{"line-alice", "line-bob"} {
			if other != test.line && strings.Contains(plain, other) {
				t.Errorf("%q names %s", test.instant, other)
			}
		}
		// The answer shows the instant as it was written and in UTC.
		if !strings.Contains(plain, test.instant) {
			t.Errorf("%q: the package does not show it as it was entered", test.instant)
		}
	}
}
