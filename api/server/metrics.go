package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics count calls by method and reason. No label names a person, a line or
// an address.
type metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	// connections counts those that were refused.
	connections prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "griffier_api_calls_total", Help: "Calls by method and the reason they ended with.",
		}, []string{"method", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "griffier_api_call_seconds", Help: "Duration of calls, their audit included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"method"}),
		connections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "griffier_api_connections_refused_total", Help: "Connections that were closed because there were too many.",
		}),
	}
	reg.MustRegister(m.calls, m.seconds, m.connections)
	return m
}

func (m *metrics) observe(method, why string, took time.Duration) {
	m.calls.WithLabelValues(method, why).Inc()
	m.seconds.WithLabelValues(method).Observe(took.Seconds())
}
