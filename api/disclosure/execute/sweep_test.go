package execute_test

import (
	"context"
	"sync"
	"testing"
	"time"
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
