package execute_test

import (
	"slices"
	"testing"
	"time"

	"griffier/api/reason"
)

// A clock that cannot be believed discloses nothing: not by a query, and not what
// is sealed already. Nothing of the refusal is left behind.
func TestClockUntrusted(t *testing.T) {
	l := newLab(t)
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	l.Adrift.Store(true)
	_, err := l.Execute(task)
	l.Want(err, reason.ClockUntrusted)
	l.Adrift.Store(false)
	l.Skew.Store(int64(-time.Minute)) // set back behind the ledger
	_, err = l.Execute(task)
	l.Want(err, reason.ClockUntrusted)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads of traffic data under a clock that is not believed", n)
	}
	l.Skew.Store(0)
	if done, err := l.Execute(task); err != nil || done.Answer != string(reason.Match) {
		t.Fatalf("once it is kept: %v, %v", done, err)
	}
	l.Adrift.Store(true)
	_, _, err = l.Fetch(task)
	l.Want(err, reason.ClockUntrusted)
	_, err = l.Execute(task)
	l.Want(err, reason.ClockUntrusted)
	l.Adrift.Store(false)
	if sealed, _, err := l.Fetch(task); err != nil || len(sealed) == 0 {
		t.Errorf("fetched %d bytes, %v; want the package", len(sealed), err)
	}
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "release", "fetch"}) {
		t.Errorf("entries %v: refusals left a trace in the task", got)
	}
}
