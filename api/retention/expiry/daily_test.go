package expiry

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/api/ledger"
	"griffier/schema"
)

func TestUntilProof(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, c := range []struct {
		name        string
		last, tried time.Time
		want        time.Duration
	}{
		{"never, at the start", time.Time{}, now, 5 * time.Minute},
		{"just made", now, now, 24 * time.Hour},
		{"made before the restart", ago(20 * time.Hour), now, 4 * time.Hour},
		{"long ago, at the start", ago(100 * time.Hour), now, 5 * time.Minute},
		{"long ago, failed a minute ago", ago(100 * time.Hour), ago(time.Minute), 4 * time.Minute},
		{"due", ago(24 * time.Hour), ago(time.Hour), 0},
		{"overdue", ago(25 * time.Hour), ago(time.Hour), 0},
		{"the clock was set back", now.AddDate(1, 0, 0), now, 24 * time.Hour},
	} {
		if got := untilProof(now, c.last, c.tried); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestRun makes the proof that is due, shows it to who watches, and ends.
func TestRun(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.put(t, covered(1, day(-17))) // nothing drops it
	if _, err := h.book.Append(t.Context(), ledger.Draft{Kind: KindDropIntended, Role: "system", Facts: intent{Class: schema.ClassSession}}); err != nil {
		t.Fatal(err)
	}
	v := h.verifier()
	began, asked := time.Now(), atomic.Int64{}
	v.Now = func() time.Time { return began.Add(time.Duration(asked.Add(1)) * proofRetry) } // never too soon
	reg := prometheus.NewPedanticRegistry()
	m := NewMetrics(reg, h.record)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var logged strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.Run(ctx, m, slog.New(slog.NewTextHandler(&logged, nil)))
	}()
	for until := time.Now().Add(5 * time.Minute); testutil.ToFloat64(m.failed) == 0 && time.Now().Before(until); {
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	<-done
	if !strings.Contains(logged.String(), "retention proof failed") || !strings.Contains(logged.String(), "ledger_index=1") {
		t.Errorf("log: %s; want that the proof failed, and its entry", logged.String())
	}
	want := `
# HELP griffier_retention_proof_failed Findings of the last retention proof that failed.
# TYPE griffier_retention_proof_failed gauge
griffier_retention_proof_failed 4
# HELP griffier_retention_uncertified_drops Days whose drop was begun and has no certificate yet.
# TYPE griffier_retention_uncertified_drops gauge
griffier_retention_uncertified_drops 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "griffier_retention_proof_failed", "griffier_retention_uncertified_drops"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}
