package sink

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the figures of a [Shipper]. nil counts nothing.
type Metrics struct {
	lag, behind, alarm prometheus.Gauge
}

// NewMetrics registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "griffier", Subsystem: "ledger", Name: name, Help: help})
		r.MustRegister(g)
		return g
	}
	return &Metrics{
		lag:    gauge("sink_lag_seconds", "Age of the oldest ledger entry that the second sink does not have; 0 if it has all."),
		behind: gauge("sink_entries_behind", "Ledger entries that the second sink does not have."),
		alarm:  gauge("sink_alarm", "1 while the second sink lags by more than the alarm limit."),
	}
}

func (m *Metrics) observe(lag time.Duration, size, shipped uint64, late bool) {
	if m == nil {
		return
	}
	m.lag.Set(lag.Seconds())
	m.behind.Set(float64(size - min(size, shipped)))
	alarm := 0.0
	if late {
		alarm = 1
	}
	m.alarm.Set(alarm)
}
