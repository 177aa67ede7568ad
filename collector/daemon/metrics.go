package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/datapath"
)

// metrics are the loop's. Labels are sources, reasons and classes, never
// anything about a line.
type metrics struct {
	observations  *prometheus.CounterVec // by source
	frames        *prometheus.CounterVec // by reason
	refused       *prometheus.CounterVec // by reason
	expired       *prometheus.CounterVec // by kind
	ignored       *prometheus.GaugeVec   // by reason
	traffic       *prometheus.GaugeVec   // by direction, class, unit
	sessions      prometheus.Gauge
	addresses     prometheus.Gauge
	slotsFree     prometheus.Gauge
	stuck         prometheus.Counter
	drainFailures prometheus.Counter
	unbalanced    prometheus.Counter
	drainSeconds  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	const namespace = "griffier_collector"
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: namespace, Name: name, Help: help}
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
		r.MustRegister(c)
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts(opts(name, help)), labels)
		r.MustRegister(g)
		return g
	}
	m := &metrics{
		observations:  counter("observations_total", "Observations of sessions that were applied, by source.", "source"),
		frames:        counter("dhcp_frames_total", "DHCPv4 frames from the access interfaces, by what became of them.", "reason"),
		refused:       counter("addresses_refused_total", "Addresses that could not be given a counter; their traffic is unattributed.", "reason"),
		expired:       counter("expired_rows_total", "Rows that outlived their retention class before the store took them, by kind.", "kind"),
		ignored:       gauge("observations_ignored", "Observations since the start that could not be used, by reason.", "reason"),
		traffic:       gauge("traffic", "What the kernel has seen in all, by direction, class and unit; total is the sum of the classes.", "direction", "class", "unit"),
		sessions:      gauge("sessions", "Sessions that live.").WithLabelValues(),
		addresses:     gauge("addresses", "Addresses and prefixes that count for a line.").WithLabelValues(),
		slotsFree:     gauge("slots_free", "Lines that can still be given a counter.").WithLabelValues(),
		stuck:         counter("spool_refusals_total", "Attempts to make a batch durable that failed.").WithLabelValues(),
		drainFailures: counter("drain_failures_total", "Readings of the counters that failed.").WithLabelValues(),
		unbalanced:    counter("unbalanced_total", "Readings in which the classes did not add up to the total.").WithLabelValues(),
		drainSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "drain_seconds",
			Help: "Time from reading the counters until the reading was durable.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)}),
	}
	r.MustRegister(m.drainSeconds)
	return m
}

// observe sets what the binding tells.
func (m *metrics) observe(b *binding.Binding) {
	sessions, addresses := b.Live()
	m.sessions.Set(float64(sessions))
	m.addresses.Set(float64(addresses))
	i := b.Ignored()
	m.ignored.WithLabelValues("too_late").Set(float64(i.TooLate))
	m.ignored.WithLabelValues("no_identifier").Set(float64(i.NoIdentifier))
	m.ignored.WithLabelValues("identifier_changed").Set(float64(i.IdentifierChanged))
	m.ignored.WithLabelValues("too_many_prefixes").Set(float64(i.TooManyPrefixes))
	m.ignored.WithLabelValues("outside_ranges").Set(float64(i.OutsideRanges))
	m.ignored.WithLabelValues("counter_regressed").Set(float64(i.CounterRegressed))
}

// report sets what a reading tells of all lines together.
func (m *metrics) report(r datapath.Report, took time.Duration) {
	m.drainSeconds.Observe(took.Seconds())
	m.slotsFree.Set(float64(r.SlotsFree))
	for direction, t := range map[string]bpf.DirectionTotals{"up": r.Totals.Up, "down": r.Totals.Down} {
		for class, c := range map[string]bpf.Count{
			"total": t.Total, "attributed4": t.Attributed4, "attributed6": t.Attributed6,
			"unattributed4": t.Unattributed4, "unattributed6": t.Unattributed6, "non_ip": t.NonIP, "parse_error": t.ParseError,
		} {
			m.traffic.WithLabelValues(direction, class, "bytes").Set(float64(c.Bytes))
			m.traffic.WithLabelValues(direction, class, "packets").Set(float64(c.Packets))
		}
		m.traffic.WithLabelValues(direction, "punted", "packets").Set(float64(t.Punted))
		m.traffic.WithLabelValues(direction, "punt_dropped", "packets").Set(float64(t.PuntDrops))
		m.traffic.WithLabelValues(direction, "punt_rejected", "packets").Set(float64(t.PuntRejected))
	}
}
