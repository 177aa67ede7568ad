package subject

import (
	"testing"
	"time"

	"griffier/api/clock"
	"griffier/schema"
)

// TestALeapOfTheClockForgetsNoErasure: by a clock that stands two years ahead all that
// a tombstone hides has expired. It is kept all the same while nothing keeps the clock:
// what comes late would be seen as soon as it is set right.
func TestALeapOfTheClockForgetsNoErasure(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	begun, ended := now.Add(-30*24*time.Hour), now.Add(-10*24*time.Hour)
	ref := h.line(t, "L-gone", "gone@isp.example", begun, ended)
	h.erase(t, "L-gone")
	leap := clock.NewLeap(now, func() (clock.Reading, error) { return clock.Reading{}, nil })
	leapt := now.AddDate(2, 0, 0)
	h.desk.Clock, h.now = leap, func() time.Time { return leapt }
	if err := schema.RaiseClockFloor(t.Context(), h.conn, leapt); err != nil { // the store's clock leaps with it
		t.Fatal(err)
	}
	late := func() (n uint64) {
		t.Helper()
		h.traffic(t, ref, ended.Add(-2*time.Hour))
		rows, err := schema.ErasedRows(t.Context(), h.conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, of := range rows {
			n += of
		}
		return n
	}
	if err := h.desk.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if late() == 0 {
		t.Error("a clock that leapt made the store forget an erasure")
	}
	leap.Accept(leapt)
	if err := h.desk.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := late(); n != 0 {
		t.Errorf("%d rows are under a tombstone of two years ago", n)
	}
}
