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
	w := l.approved(time.Hour)
	task := l.task(w, "192.0.2.17", l.noon)
	if _, err := l.execute(task); err != nil {
		t.Fatal(err)
	}
	l.skew.Store(int64(time.Hour))
	var told sync.WaitGroup
	first := true
	l.book.before = func(ctx context.Context) {
		if !first {
			return
		}
		first = false
		told.Go(func() { l.executor.Ended(w.WarrantId) })
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	err := l.executor.Recover(t.Context()) // sweeps
	told.Wait()
	if err != nil {
		t.Errorf("sweep: %v", err)
	}
	if got := l.kinds(task.TaskId); got[len(got)-1] != "destroy" {
		t.Errorf("entries %v", got)
	}
}

// A package that was fetched goes when the retention policy says, also while its
// warrant lasts; one that was not fetched stays.
func TestFetchedPackagesExpire(t *testing.T) {
	l := newLab(t)
	l.rules.PackageExpires = func(at time.Time) (time.Time, bool) { return at.Add(time.Hour), true }
	w := l.approved(3 * time.Hour)
	fetched, kept := l.task(w, "192.0.2.17", l.noon), l.task(w, "192.0.2.17", l.noon.Add(time.Second))
	for _, task := range []*griffierv1.Task{fetched, kept} {
		if _, err := l.execute(task); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.fetch(fetched); err != nil {
		t.Fatal(err)
	}
	if err := l.executor.Recover(t.Context()); err != nil { // sweeps
		t.Fatal(err)
	}
	if _, _, err := l.fetch(fetched); err != nil {
		t.Errorf("fetched again within the hour: %v", err)
	}
	l.skew.Store(int64(time.Hour + time.Minute))
	if _, _, err := l.fetch(fetched); reason.Of(err) != reason.NotFound {
		t.Errorf("fetched after the hour, before any sweep: %v, want NOT_FOUND", err)
	}
	if err := l.executor.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := l.kinds(fetched.TaskId); got[len(got)-1] != "destroy" {
		t.Errorf("entries %v, want the package destroyed", got)
	}
	if _, _, err := l.fetch(kept); err != nil {
		t.Errorf("the other, which nobody had fetched: %v", err)
	}
}
