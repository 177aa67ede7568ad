package execute_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// While one sweep destroys the package of an ended warrant, another may be told
// of that end: the first goes on to its entry in the ledger.
func TestSweepIsNotStoppedByTheEndItServes(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	task := l.Task(w, "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); err != nil {
		t.Fatal(err)
	}
	l.Skew.Store(int64(time.Hour))
	var told sync.WaitGroup
	first := true
	l.Book.Before = func(ctx context.Context) {
		if !first {
			return
		}
		first = false
		told.Go(func() { l.Executor.Ended(w.WarrantId) })
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	err := l.Executor.Recover(t.Context()) // sweeps
	told.Wait()
	if err != nil {
		t.Errorf("sweep: %v", err)
	}
	if got := l.Kinds(task.TaskId); got[len(got)-1] != "destroy" {
		t.Errorf("entries %v", got)
	}
}

// A package that was fetched goes when the retention policy says, also while its
// warrant lasts; one that was not fetched stays.
func TestFetchedPackagesExpire(t *testing.T) {
	l := newLab(t)
	l.Rules.PackageExpires = func(at time.Time) (time.Time, bool) { return at.Add(time.Hour), true }
	w := l.Approved(3 * time.Hour)
	fetched, kept := l.Task(w, "192.0.2.17", l.Noon), l.Task(w, "192.0.2.17", l.Noon.Add(time.Second))
	for _, task := range []*griffierv1.Task{fetched, kept} {
		if _, err := l.Execute(task); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.Fetch(fetched); err != nil {
		t.Fatal(err)
	}
	if err := l.Executor.Recover(t.Context()); err != nil { // sweeps
		t.Fatal(err)
	}
	if _, _, err := l.Fetch(fetched); err != nil {
		t.Errorf("fetched again within the hour: %v", err)
	}
	l.Skew.Store(int64(time.Hour + time.Minute))
	if _, _, err := l.Fetch(fetched); reason.Of(err) != reason.NotFound {
		t.Errorf("fetched after the hour, before any sweep: %v, want NOT_FOUND", err)
	}
	if err := l.Executor.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.Kinds(fetched.TaskId); got[len(got)-1] != "destroy" {
		t.Errorf("entries %v, want the package destroyed", got)
	}
	if _, _, err := l.Fetch(kept); err != nil {
		t.Errorf("the other, which nobody had fetched: %v", err)
	}
}
