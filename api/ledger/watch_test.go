package ledger

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestCheckBesideWriters checks the whole log again and again while many write to
// it: a check that finds what is not there would stop the ledger.
func TestCheckBesideWriters(t *testing.T) {
	b := newBench(t)
	l := b.open(t, newCounters())
	metrics, err := NewWatchMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w := &Watcher{Log: l, Folds: func() []Fold { return []Fold{newCounters()} }, Metrics: metrics, Logger: slog.New(slog.DiscardHandler)}
	mustAppend(t, l, 0)
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	for k := range 8 {
		writing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := l.Append(context.Background(), draft(1000*k+n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 15 {
		if err := w.Check(ctx); err != nil {
			t.Errorf("after %d entries: %v", l.Size(), err)
			break
		}
	}
	cancel()
	writing.Wait()
	if err := l.Err(); err != nil {
		t.Error(err)
	}
	last := w.Last()
	if testutil.ToFloat64(metrics.entries) != float64(last.Size) || testutil.ToFloat64(metrics.problems) != 0 || testutil.ToFloat64(metrics.at) == 0 {
		t.Errorf("metrics do not show %+v", last)
	}
	t.Logf("%d entries at the last of 15 checks", last.Size)
}
