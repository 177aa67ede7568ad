package retention

import (
	"testing"
	"time"

	"griffier/schema"
)

// TestPlanTellsWhatHappens: what a plan says will be unreadable is what is, once
// the file is in force, and nothing is before.
func TestPlanTellsWhatHappens(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, 1, "P14D")); err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	for i, days := range []int{40, 12, 12, 11, 5, 0} { // the first has expired and is not dropped
		h.put(t, used(byte(i+1), today.AddDate(0, 0, -days)))
	}
	plan := func(generation uint64, period string) map[schema.Class]Change {
		t.Helper()
		changes, err := h.keeper.Plan(t.Context(), h.conn, file(t, generation, period))
		if err != nil {
			t.Fatal(err)
		}
		out := map[schema.Class]Change{}
		for _, c := range changes {
			out[c.Class] = c
		}
		if len(out) != len(Classes()) {
			t.Errorf("%d classes in the plan, want %d", len(out), len(Classes()))
		}
		return out
	}
	readable := h.count(t, "traffic.usage")
	if readable != 5 {
		t.Fatalf("%d rows are readable, want 5", readable)
	}

	same := plan(2, "P14D")
	for class, c := range same {
		if c.Effect != None || c.RowsUnreadable != 0 || c.BytesUnreadable != 0 || c.Stored != stored(class) {
			t.Errorf("%s: %+v, want no change", class, c)
		}
	}
	if c := same[schema.ClassUsage5m]; c.Rows != 6 || !c.OldestRow.Equal(today.AddDate(0, 0, -12).Add(schema.BucketLength)) || c.FirstDrop.After(time.Now().Add(time.Minute)) {
		t.Errorf("usage_5m: %+v; want 6 rows, the oldest that can be read of twelve days ago, a drop at once", c)
	}
	if c := same[schema.ClassSession]; c.Rows != 0 || !c.OldestRow.IsZero() || !c.FirstDrop.IsZero() {
		t.Errorf("session, of which nothing is stored: %+v", c)
	}
	if c := plan(2, "P20D")[schema.ClassUsage5m]; c.Effect != Lengthens || c.RowsUnreadable != 0 {
		t.Errorf("lengthened: %+v", c)
	}

	shorter := plan(2, "P7D")[schema.ClassUsage5m]
	if shorter.Effect != Shortens || shorter.RowsUnreadable != 3 || shorter.BytesUnreadable == 0 || shorter.Was.Period != "P14D" || shorter.New.Period != "P7D" {
		t.Errorf("shortened: %+v; want three rows gone", shorter)
	}
	if n := h.count(t, "traffic.usage"); n != readable {
		t.Errorf("after planning %d rows are readable, want %d: a plan changes nothing", n, readable)
	}
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, 2, "P7D")); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != readable-shorter.RowsUnreadable {
		t.Errorf("%d rows are readable, want the %d that were less the %d planned", n, readable, shorter.RowsUnreadable)
	}
	// Lengthening again would bring nothing back, and says so of the oldest row.
	if c := plan(3, "P14D")[schema.ClassUsage5m]; c.RowsUnreadable != 0 || !c.OldestRow.Equal(today.AddDate(0, 0, -5).Add(schema.BucketLength)) {
		t.Errorf("lengthened again: %+v", c)
	}
	// Without a policy in force everything is new.
	changes, err := (&Keeper{}).Compare(file(t, 1, "P14D"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Effect != Adds {
			t.Errorf("%s over nothing: %s", c.Class, c.Effect)
		}
	}
}
