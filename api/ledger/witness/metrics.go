package witness

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the figures of a [Gatherer]. nil counts nothing.
type Metrics struct {
	lag, size, alarm *prometheus.GaugeVec
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "griffier", Subsystem: "ledger", Name: name, Help: help}, []string{"witness"})
		r.MustRegister(g)
		return g
	}
	return &Metrics{
		lag:   gauge("witness_lag_seconds", "For how long there have been ledger entries that the witness has not signed; 0 if it has signed all."),
		size:  gauge("witness_entries", "Entries of the newest checkpoint that the witness signed."),
		alarm: gauge("witness_alarm", "1 while the witness lags by more than the configured limit."),
	}
}

func (m *Metrics) observe(w *watch, now time.Time) {
	if m == nil {
		return
	}
	m.lag.WithLabelValues(w.client.name).Set(w.lag(now).Seconds())
	m.size.WithLabelValues(w.client.name).Set(float64(w.size))
	alarm := 0.0
	if w.alarmed {
		alarm = 1
	}
	m.alarm.WithLabelValues(w.client.name).Set(alarm)
}
