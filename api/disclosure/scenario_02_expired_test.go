package disclosure_test

import (
	"slices"
	"testing"
	"time"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Scenario 2, expired: "EndTime = now-1 ms with worker stopped -> ORDER_EXPIRED;
// clock set back 1 h on the app host -> still refused (DB clock) or CLOCK_UNTRUSTED."
func TestScenario02Expired(t *testing.T) {
	l := newGatedLab(t) // nothing sweeps: Run is not called
	w := l.Approved(time.Hour)
	sealed, fresh := l.Task(w, "192.0.2.17", l.Noon), l.Task(w, "192.0.2.17", l.Noon.Add(time.Minute))
	if _, err := l.Execute(sealed); err != nil {
		t.Fatal(err)
	}
	until, err := time.Parse(time.RFC3339Nano, w.Content.ValidUntil)
	if err != nil {
		t.Fatal(err)
	}
	reads := l.Traffic.Reads.Load()
	l.Skew.Store(int64(time.Until(until) + time.Millisecond))
	_, err = l.Execute(fresh)
	l.Want(err, reason.WarrantExpired)
	_, err = l.Execute(sealed) // returns what it came to; handing it over is another act
	l.Want(err, "")
	_, _, err = l.Fetch(sealed)
	l.Want(err, reason.WarrantExpired)

	// The refusals are in the ledger, so a clock that goes back is seen to.
	l.Skew.Add(-int64(time.Hour))
	for range 3 {
		_, err = l.Execute(fresh)
		l.Want(err, reason.ClockUntrusted)
		_, _, err = l.Fetch(sealed)
		l.Want(err, reason.ClockUntrusted)
	}
	if n := l.Traffic.Reads.Load() - reads; n != 0 {
		t.Errorf("%d reads of traffic data", n)
	}
	if got := l.Kinds(fresh.TaskId); slices.Contains(got, "intent") || !slices.Contains(got, "refusal") {
		t.Errorf("entries %v", got)
	}
}

// Nor does a clock that steps forth and back while tasks run let anything out
// at or after the end.
func TestScenario02ClockStepsAbout(t *testing.T) {
	l := newGatedLab(t)
	w := l.Approved(time.Hour)
	until, err := time.Parse(time.RFC3339Nano, w.Content.ValidUntil)
	if err != nil {
		t.Fatal(err)
	}
	steps := []time.Duration{0, time.Second, 0, 20 * time.Minute, 0, 10 * time.Minute, 40 * time.Minute, 61 * time.Minute, 40 * time.Minute, -time.Hour}
	var tasks []*griffierv1.Task
	for i := range steps {
		tasks = append(tasks, l.Task(w, "192.0.2.17", l.Noon.Add(time.Duration(i)*time.Second)))
	}
	outcomes := map[reason.Reason]int{}
	for i, step := range steps {
		l.Skew.Store(int64(step))
		done, err := l.Execute(tasks[i])
		outcomes[reason.Of(err)]++
		if err == nil && !done.ReleasedAt.AsTime().Before(until) {
			t.Errorf("step %v: released at %v, the end is %v", step, done.ReleasedAt.AsTime(), until)
		}
		if err != nil && reason.Of(err) != reason.ClockUntrusted && reason.Of(err) != reason.WarrantExpired {
			t.Errorf("step %v: %v", step, err)
		}
	}
	for r, n := range map[reason.Reason]int{"": 5, reason.ClockUntrusted: 4, reason.WarrantExpired: 1} {
		if outcomes[r] != n {
			t.Errorf("%d steps ended in %q, want %d: %v", outcomes[r], r, n, outcomes)
		}
	}
}
