package warrant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// What a task of each category can have, and with what target: everything else is
// refused before the warrant is looked at, naming the field and not its value.
func TestTaskBodies(t *testing.T) {
	const hold = "0123456789abcdef0123456789abcdef"
	window := func(q *warrant.TaskRequest) { q.WindowEnd = "2026-11-19T14:00:00+01:00" }
	both := func(fs ...func(*warrant.TaskRequest)) func(*warrant.TaskRequest) {
		return func(q *warrant.TaskRequest) {
			for _, f := range fs {
				f(q)
			}
		}
	}
	target := func(s string) func(*warrant.TaskRequest) { return func(q *warrant.TaskRequest) { q.Target = s } }
	from := func(q *warrant.TaskRequest) { q.FromHold = hold }
	for _, test := range []struct {
		name     string
		category warrant.Category
		change   func(*warrant.TaskRequest)
		field    string // that is wrong; empty: none
	}{
		{"an address", warrant.Attribution, func(*warrant.TaskRequest) {}, ""},
		{"a prefix", warrant.Attribution, target("2001:db8:1:2300::/56"), ""},
		{"a line", warrant.Attribution, target("line:a"), "category"},
		{"a person", warrant.Attribution, target("person:Jan Jansen;1234AB;1"), "category"},
		{"two lines", warrant.Attribution, func(q *warrant.TaskRequest) { q.MaxSubjects = 2 }, "max_subjects"},
		{"a window", warrant.Attribution, window, "window_end"},
		{"port and target agree", warrant.Attribution, both(target("192.0.2.17:80/tcp"), func(q *warrant.TaskRequest) { q.Port, q.Protocol = 80, 6 }), ""},
		{"port and target differ", warrant.Attribution, both(target("192.0.2.17:80"), func(q *warrant.TaskRequest) { q.Port = 81 }), "port"},
		{"protocol and target differ", warrant.Attribution, both(target("192.0.2.17:80/tcp"), func(q *warrant.TaskRequest) { q.Protocol = 17 }), "port"},
		{"protocol and no port", warrant.Attribution, func(q *warrant.TaskRequest) { q.Protocol = 6 }, "protocol"},
		{"no such protocol", warrant.Attribution, func(q *warrant.TaskRequest) { q.Port, q.Protocol = 80, 47 }, "protocol"},
		{"port of a line", warrant.Identity, both(target("line:a"), func(q *warrant.TaskRequest) { q.Port = 80 }), "port"},
		{"an address", warrant.Identity, func(*warrant.TaskRequest) {}, "category"},
		{"a line", warrant.Identity, target("line:a"), ""},
		{"a line of a hold", warrant.Identity, both(target("line:a"), from), ""},
		{"an address of a hold", warrant.Identity, from, "target"},
		{"a person of a hold", warrant.Identity, both(target("person:Jan Jansen;1234AB;1"), from), "target"},
		{"a window", warrant.Identity, both(target("line:a"), window), "window_end"},
		{"a window", warrant.History, both(target("line:a"), window), ""},
		{"an instant", warrant.History, target("line:a"), "window_end"},
		{"an address", warrant.History, window, "target"},
		{"an address of a hold", warrant.History, both(window, from), ""},
		{"a line of a hold", warrant.TimeCategory, both(target("line:a"), window, from), ""},
		{"a circuit of a hold", warrant.TimeCategory, both(target("circuit:a"), window, from), "target"},
		{"a prefix of a hold", warrant.TimeCategory, both(target("2001:db8:1:2300::/56"), window, from), "target"},
		{"uncertain", warrant.History, both(target("line:a"), window, func(q *warrant.TaskRequest) { q.UncertaintySeconds = 1 }), "uncertainty_seconds"},
		{"backwards", warrant.History, both(target("line:a"), func(q *warrant.TaskRequest) { q.WindowEnd = "2026-11-19T11:00:00Z" }), "window_end"},
		{"empty", warrant.History, both(target("line:a"), func(q *warrant.TaskRequest) { q.WindowEnd = q.Instant }), "window_end"},
		{"whole buckets", warrant.Volume, both(target("line:a"), window), ""},
		{"a second beside a bucket", warrant.Volume, both(target("line:a"), func(q *warrant.TaskRequest) { q.WindowEnd = "2026-11-19T13:05:01Z" }), "window_end"},
		{"a nanosecond beside a bucket", warrant.Volume, both(target("line:a"), window, func(q *warrant.TaskRequest) { q.Instant = "2026-11-19T12:00:00.000000001Z" }), "window_end"},
		{"ten lines", warrant.History, both(target("line:a"), window, func(q *warrant.TaskRequest) { q.MaxSubjects = 10 }), ""},
		{"eleven lines", warrant.History, both(target("line:a"), window, func(q *warrant.TaskRequest) { q.MaxSubjects = 11 }), "max_subjects"},
		{"too many records", warrant.History, both(target("line:a"), window, func(q *warrant.TaskRequest) { q.MaxRecords = 100_001 }), "max_records"},
		{"records", warrant.Preservation, func(q *warrant.TaskRequest) { q.MaxRecords = 1 }, "max_records"},
		{"days", warrant.History, both(target("line:a"), window, func(q *warrant.TaskRequest) { q.HoldDays = 1 }), "hold_days"},
	} {
		q := warrant.TaskRequest{Category: test.category, Target: "192.0.2.17", Instant: "2026-11-19T13:00:00+01:00"}
		test.change(&q)
		body, err := q.Body()
		if test.field == "" {
			if err != nil {
				t.Errorf("%s of %s: %v", test.category, test.name, err)
				continue
			}
			again, err := warrant.TaskRequest{Category: test.category, Target: body.Target, Instant: body.Instant, UncertaintySeconds: body.UncertaintySeconds, Port: body.Port,
				Protocol: body.Protocol, WindowEnd: body.WindowEnd, HoldDays: body.HoldDays, FromHold: body.FromHold, MaxSubjects: body.MaxSubjects, MaxRecords: body.MaxRecords}.Body()
			if err != nil || again != body {
				t.Errorf("%s of %s: %+v reads back as %+v, %v", test.category, test.name, body, again, err)
			}
			if _, err := body.Question(); err != nil {
				t.Errorf("%s of %s: %v", test.category, test.name, err)
			}
			continue
		}
		if err == nil || err.Reason != reason.InvalidRequest || !slices.ContainsFunc(err.Violations, func(v reason.Violation) bool { return v.Field == test.field }) {
			t.Errorf("%s of %s: %v, want a complaint of %s", test.category, test.name, err, test.field)
		} else if strings.Contains(err.Error(), "192.0.2") || strings.Contains(err.Error(), "line:a") {
			t.Errorf("%s of %s: the refusal names the target: %v", test.category, test.name, err)
		}
	}
}

// A window lies inside the warrant's to the nanosecond, or is refused: nothing is
// clipped.
func TestWindowInsideTheWarrants(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	profile := *r.Law()[0]
	profile.Bases = slices.Clone(profile.Bases)
	i := slices.IndexFunc(profile.Bases, func(b warrant.Basis) bool { return b.ID == "NL-126na" })
	profile.Bases[i].Categories = append(slices.Clone(profile.Bases[i].Categories), warrant.History)
	r.Law = warrant.Always(&profile)
	content := testContent() // from 2026-11-19T00:00:00+01:00 for a day
	content.Reference, content.Categories, content.Targets = "PV-2026/h", append(content.Categories, warrant.History), []string{"line:a"}
	d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "h", Salt: "salt", Content: content})
	if err != nil {
		t.Fatal(err)
	}
	b.append(start, d)
	first, end := time.Date(2026, 11, 18, 23, 0, 0, 0, time.UTC), time.Date(2026, 11, 19, 23, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		from, to time.Time
		want     reason.Reason
	}{
		"all of it":              {first, end, ""},
		"its first nanosecond":   {first, first.Add(1), ""},
		"its last nanosecond":    {end.Add(-1), end, ""},
		"a nanosecond before":    {first.Add(-1), end, reason.WindowExceedsWarrant},
		"a nanosecond after":     {first, end.Add(1), reason.WindowExceedsWarrant},
		"wider on both sides":    {first.Add(-time.Hour), end.Add(time.Hour), reason.WindowExceedsWarrant},
		"after, and beside all":  {end, end.Add(time.Hour), reason.WindowExceedsWarrant},
		"before, and beside all": {first.Add(-time.Hour), first, reason.WindowExceedsWarrant},
	} {
		_, err := r.CreateTask(b.state, start, officer, warrant.TaskRequest{ID: "t", WarrantID: "h", Generation: 1, Category: warrant.History, Target: "line:a",
			Instant: test.from.Format(time.RFC3339Nano), WindowEnd: test.to.Format(time.RFC3339Nano)}, content)
		wantReason(t, name, err, test.want)
	}
}
