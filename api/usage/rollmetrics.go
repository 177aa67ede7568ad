package usage

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// rollMetrics tell how the roll-up goes. No label names a line or a zone.
type rollMetrics struct {
	runs    *prometheus.CounterVec
	rows    prometheus.Counter
	late    *prometheus.CounterVec
	last    prometheus.Gauge
	seconds prometheus.Gauge
	refused prometheus.Gauge
}

func newRollMetrics(reg prometheus.Registerer) *rollMetrics {
	m := &rollMetrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "griffier_usage_roll_runs_total", Help: "Runs of the roll-up of usage into local days, by outcome.",
		}, []string{"outcome"}),
		rows: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "griffier_usage_roll_rows_total", Help: "Day rows written: new ones and new versions.",
		}),
		late: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "griffier_usage_roll_late_rows_total", Help: "Bucket rows stored after their UTC day was over and rolled up, by what became of them.",
		}, []string{"reason"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "griffier_usage_roll_last_success_timestamp_seconds", Help: "When a run last ended well.",
		}),
		seconds: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "griffier_usage_roll_last_duration_seconds", Help: "How long the last run took.",
		}),
		refused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "griffier_usage_roll_refused_lines", Help: "Lines that are not rolled up because their time zone is unknown or buckets cannot be cut at its midnight.",
		}),
	}
	for _, why := range []string{lateCounted, latePartly, lateElapsed} {
		m.late.WithLabelValues(why)
	}
	reg.MustRegister(m.runs, m.rows, m.late, m.last, m.seconds, m.refused)
	return m
}

func (m *rollMetrics) observe(done Rolled, err error, took time.Duration, now time.Time) {
	m.rows.Add(float64(done.Rows))
	for why, n := range done.Late {
		m.late.WithLabelValues(why).Add(float64(n))
	}
	m.seconds.Set(took.Seconds())
	if err != nil {
		m.runs.WithLabelValues("failed").Inc()
		return
	}
	m.runs.WithLabelValues("ok").Inc()
	m.last.Set(float64(now.Unix()))
	m.refused.Set(float64(done.Refused))
}
