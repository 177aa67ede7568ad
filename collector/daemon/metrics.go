package daemon

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/datapath"
)

// metrics are the loop's. Labels are sources, reasons and classes, never
// anything about a line.
type metrics struct {
	observations  *prometheus.CounterVec // by source
	frames        *prometheus.CounterVec // by protocol, reason
	refused       *prometheus.CounterVec // by reason
	expired       *prometheus.CounterVec // by kind
	totals        *totals
	reloadOK      prometheus.Gauge
	reloadedAt    prometheus.Gauge
	clockSynced   prometheus.Gauge
	clockOffset   prometheus.Gauge
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
		frames:        counter("control_messages_total", "DHCP and PPPoE messages of the access interfaces, by protocol and what became of them.", "protocol", "reason"),
		refused:       counter("addresses_refused_total", "Addresses that could not be given a counter; their traffic is unattributed.", "reason"),
		expired:       counter("expired_rows_total", "Rows that outlived their retention class before the store took them, by kind.", "kind"),
		totals:        newTotals(namespace),
		reloadOK:      gauge("config_last_reload_successful", "1 if the configuration in force is the one last asked for, else 0.").WithLabelValues(),
		reloadedAt:    gauge("config_last_reload_success_timestamp_seconds", "When the configuration in force was read.").WithLabelValues(),
		clockSynced:   gauge("clock_synced", "1 if something keeps the kernel's clock, else 0.").WithLabelValues(),
		clockOffset:   gauge("clock_offset_seconds", "What the kernel still has to correct its clock by.").WithLabelValues(),
		sessions:      gauge("sessions", "Sessions that live.").WithLabelValues(),
		addresses:     gauge("addresses", "Addresses and prefixes that count for a line.").WithLabelValues(),
		slotsFree:     gauge("slots_free", "Lines that can still be given a counter.").WithLabelValues(),
		stuck:         counter("spool_refusals_total", "Attempts to make a batch durable that failed.").WithLabelValues(),
		drainFailures: counter("drain_failures_total", "Readings of the counters that failed.").WithLabelValues(),
		unbalanced:    counter("unbalanced_drains_total", "Readings in which the classes did not add up to the total.").WithLabelValues(),
		drainSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "drain_duration_seconds",
			Help: "Time from reading the counters until the reading was durable.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 12)}),
	}
	r.MustRegister(m.drainSeconds, m.totals, ReadBuild().metric(namespace),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.reloadOK.Set(1)
	m.reloadedAt.SetToCurrentTime()
	return m
}

// observe sets what the binding, the shared addresses' blocks and the clock tell.
func (m *metrics) observe(b *binding.Binding, blocks cgnat.BlocksStats, clock binding.Clock) {
	sessions, addresses := b.Live()
	m.sessions.Set(float64(sessions))
	m.addresses.Set(float64(addresses))
	m.totals.setIgnored(b.Ignored())
	m.totals.setBlocks(blocks)
	m.clockSynced.Set(0)
	if clock.Synced {
		m.clockSynced.Set(1)
	}
	m.clockOffset.Set(time.Duration(clock.OffsetNanos).Seconds())
}

// report sets what a reading tells of all lines together.
func (m *metrics) report(r datapath.Report, malformed uint64, took time.Duration) {
	m.drainSeconds.Observe(took.Seconds())
	m.slotsFree.Set(float64(r.SlotsFree))
	m.totals.setTraffic(r.Totals, r.Plausible, malformed)
}
