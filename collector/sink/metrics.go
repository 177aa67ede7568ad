package sink

import (
	"github.com/prometheus/client_golang/prometheus"

	"griffier/schema"
)

// metrics are what a sink counts. Labels are kinds and reasons, never content.
type metrics struct {
	inserted    *prometheus.CounterVec
	quarantined *prometheus.CounterVec
	retries     *prometheus.CounterVec
	seconds     prometheus.Histogram
	gauges      []prometheus.Collector
}

func (s *Sink) newMetrics() *metrics {
	const namespace = "griffier_collector"
	m := &metrics{
		inserted: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "inserted_rows_total",
			Help: "Rows that the store has acknowledged, by kind."}, []string{"kind"}),
		quarantined: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "quarantined_rows_total",
			Help: "Rows moved to the quarantine folder because the store can never take them, by reason."}, []string{"reason"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "sink_retries_total",
			Help: "Attempts that failed and were made again, by reason."}, []string{"reason"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "insert_duration_seconds",
			Help: "Time the store took to acknowledge a block.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}),
	}
	for _, k := range []schema.Kind{schema.KindSession, schema.KindAssignment, schema.KindUsage, schema.KindCoverage} {
		m.inserted.WithLabelValues(string(k))
	}
	for _, r := range quarantineReasons {
		m.quarantined.WithLabelValues(r)
	}
	for _, r := range retryReasons {
		m.retries.WithLabelValues(r)
	}
	gauge := func(name, help string, value func() float64) {
		m.gauges = append(m.gauges, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, value))
	}
	gauge("sink_lag_seconds", "Age of the oldest row in the spool that the store does not have; 0 if it has all.", func() float64 {
		oldest := s.cfg.Spool.Stats().OldestPendingAt
		if oldest.IsZero() {
			return 0
		}
		return max(0, s.cfg.Now().Sub(oldest).Seconds())
	})
	gauge("spool_pending_bytes", "Bytes in the spool that the store does not have.", func() float64 {
		return float64(s.cfg.Spool.Stats().PendingBytes)
	})
	gauge("spool_pending_rows", "Rows in the spool that the store does not have.", func() float64 {
		return float64(s.cfg.Spool.Stats().PendingRows)
	})
	gauge("spool_bytes", "Size of the spool.", func() float64 { return float64(s.cfg.Spool.Stats().Bytes) })
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range append(m.gauges, m.inserted, m.quarantined, m.retries, m.seconds) {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
