package expiry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// proofInterval is how often a proof is made without being asked for.
	proofInterval = 24 * time.Hour
	// proofRetry follows a start, and a proof that could not be made.
	proofRetry = 5 * time.Minute
	// proofLimit bounds one.
	proofLimit = time.Hour
)

// Metrics tell of proofs and drops. An alarm belongs on proof_failed above 0, and
// on a proof_timestamp_seconds that is two days old.
type Metrics struct {
	failed    prometheus.Gauge
	at        prometheus.Gauge
	findings  *prometheus.GaugeVec
	uncertain prometheus.GaugeFunc
}

// NewMetrics registers them; they start with what the record knows.
func NewMetrics(reg prometheus.Registerer, r *Record) *Metrics {
	m := &Metrics{
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "griffier_retention_proof_failed", Help: "Findings of the last retention proof that failed.",
		}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "griffier_retention_proof_timestamp_seconds", Help: "When the last retention proof was made; 0 for never.",
		}),
		findings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "griffier_retention_proof_findings", Help: "Findings of the last retention proof, by verdict.",
		}, []string{"verdict"}),
		uncertain: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "griffier_retention_uncertified_drops", Help: "Days whose drop was begun and has no certificate yet.",
		}, func() float64 { return float64(len(r.waiting())) }),
	}
	reg.MustRegister(m.failed, m.at, m.findings, m.uncertain)
	return m
}

func (m *Metrics) show(p Proof) {
	m.failed.Set(float64(p.Failed))
	m.at.Set(float64(p.At.Unix()))
	for verdict, n := range map[Verdict]int{Pass: p.Passed, Fail: p.Failed, NotChecked: p.NotChecked, Exception: p.Exceptions} {
		m.findings.WithLabelValues(string(verdict)).Set(float64(n))
	}
}

// Run makes a proof a day until ctx ends; proofs that were asked for count.
func (v *Verifier) Run(ctx context.Context, m *Metrics, log *slog.Logger) {
	for tried := v.Now(); ; {
		last, ok := v.Record.LastProof()
		if ok {
			m.show(last)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(untilProof(v.Now(), last.At, tried)):
		}
		if now, _ := v.Record.LastProof(); now.Index != last.Index {
			continue // somebody asked in the meantime
		}
		tried = v.Now()
		limited, cancel := context.WithTimeout(ctx, proofLimit)
		p, err := v.Verify(limited, Options{})
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.LogAttrs(ctx, slog.LevelError, "retention was not proved", slog.String("error", err.Error()))
		case p.Verdict == Fail:
			log.LogAttrs(ctx, slog.LevelError, "retention proof failed", slog.Int("failed", p.Failed), slog.Uint64("ledger_index", p.Index))
		default:
			log.LogAttrs(ctx, slog.LevelInfo, "retention proved", slog.Int("passed", p.Passed), slog.Int("not_checked", p.NotChecked),
				slog.Uint64("ledger_index", p.Index))
		}
	}
}

// untilProof returns how long to wait for the next proof: a day after the last,
// which may be the zero time, but some minutes after the start or the last attempt
// at least, and never longer than a day, whatever the clock did.
func untilProof(now, last, tried time.Time) time.Duration {
	wait := max(last.Add(proofInterval).Sub(now), tried.Add(proofRetry).Sub(now))
	return min(max(wait, 0), proofInterval)
}
