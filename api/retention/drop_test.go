package retention

import (
	"encoding/json"
	"testing"
	"time"

	"griffier/schema"
)

func TestDropIsInTheLedger(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P14D")); err != nil {
		t.Fatal(err)
	}
	old := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40)
	h.put(t, used(1, old), used(2, old.Add(time.Hour)), used(3, old.AddDate(0, 0, 1)), used(4, time.Now().UTC().Truncate(24*time.Hour)))
	var d dropper
	// A store whose clock was set back drops no less than the ledger knows has passed.
	if err := d.once(t.Context(), h.conn, h.book, h.book.LastAt(), time.Now().AddDate(0, 0, -60)); err != nil {
		t.Fatal(err)
	}
	got := h.facts(t, KindDropped)
	if len(got) != 2 {
		t.Fatalf("%d drops in the ledger, want two days: %s", len(got), got)
	}
	var first droppedFacts
	if err := json.Unmarshal(got[0], &first); err != nil || first.Class != schema.ClassUsage5m || !first.Day.Equal(old) || first.Rows != 2 || first.Bytes == 0 {
		t.Errorf("first drop %+v, %v; want 2 rows of %v", first, err, old)
	}
	if n := h.count(t, "traffic.usage_bucket"); n != 1 {
		t.Errorf("%d rows are on disk, want one", n)
	}
	if err := d.once(t.Context(), h.conn, h.book, h.book.LastAt(), time.Now()); err != nil || len(h.facts(t, KindDropped)) != 2 {
		t.Errorf("again: %v, %d drops; want no more", err, len(h.facts(t, KindDropped)))
	}
}

// TestTheClockFloorHolds: what the ledger knows to have passed has passed for
// the views, whatever the clock says.
func TestTheClockFloorHolds(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P14D")); err != nil {
		t.Fatal(err)
	}
	h.put(t, used(1, time.Now().UTC().Truncate(schema.BucketLength).Add(-time.Hour)))
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Fatalf("%d rows are readable, want one", n)
	}
	var d dropper
	if err := d.once(t.Context(), h.conn, h.book, time.Now().AddDate(0, 0, 15), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable under a floor of a fortnight on, want none", n)
	}
}

// TestADropIsEnteredLater: the ledger was away when something was dropped.
func TestADropIsEnteredLater(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P14D")); err != nil {
		t.Fatal(err)
	}
	h.put(t, used(1, time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40)))
	h.book.Close()
	var d dropper
	if err := d.once(t.Context(), h.conn, h.book, time.Time{}, time.Now()); err == nil || len(d.unrecorded) != 1 {
		t.Fatalf("err = %v, %d remembered; want an error and one", err, len(d.unrecorded))
	}
	h.put(t, used(2, time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -41)))
	if err := d.once(t.Context(), h.conn, h.book, time.Time{}, time.Now()); err == nil || h.count(t, "traffic.usage_bucket") != 1 {
		t.Errorf("more was dropped while the ledger is away (%v)", err)
	}
	h.open(t)
	if err := d.once(t.Context(), h.conn, h.book, time.Time{}, time.Now()); err != nil || len(h.facts(t, KindDropped)) != 2 || len(d.unrecorded) != 0 {
		t.Errorf("later: %v, %d in the ledger, %d remembered; want both entered", err, len(h.facts(t, KindDropped)), len(d.unrecorded))
	}
}
