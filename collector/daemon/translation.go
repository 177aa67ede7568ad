package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/cgnat/natlog"
	"griffier/schema"
)

// observeFlows begins to observe conntrack.
func (d *daemon) observeFlows(p *schema.Pseudonymiser) error {
	if !d.cfg.CGNAT.Conntrack {
		return nil
	}
	flows, err := cgnat.Listen(d.cfg.Flows(p))
	if err != nil {
		return err
	}
	d.flows, d.loop.flows = flows, flows
	d.registry.MustRegister(flowMetrics{flows})
	// After Listen, which loads conntrack if nothing else has.
	if s := cgnat.ReadSettings(); !s.Events || !s.Timestamps {
		d.log.Warn("conntrack does not tell all: set net.netfilter.nf_conntrack_events=1 and nf_conntrack_timestamp=1",
			slog.Bool("events", s.Events), slog.Bool("timestamps", s.Timestamps))
	}
	d.log.Info("observing flows", slog.Int("live", flows.Stats().Live))
	return nil
}

// receiveLog begins to receive what translators log.
func (d *daemon) receiveLog() error {
	if d.cfg.CGNAT.Log.Listen == "" {
		return nil
	}
	r, err := natlog.Listen(d.cfg.NATLog())
	if err != nil {
		return err
	}
	d.natlog, d.loop.natlog = r, r
	d.registry.MustRegister(logMetrics{r})
	d.log.Info("receiving translators' logs", slog.Int("exporters", len(d.cfg.CGNAT.Log.Exporters)))
	return nil
}

// apply takes in one observation of a session.
func (l *loop) apply(o binding.Observation) binding.Effects {
	e := l.binding.Apply(time.Now(), o)
	if len(e.Delta) > 0 { // else it would be forgotten by the next start
		l.blocks.Apply(o)
	}
	return e
}

// translated returns the rows of who had which ports: what ended, and with all
// set what has to be stored before coverage up to now.
func (l *loop) translated(now time.Time, all bool) []schema.Record {
	records := l.blocks.Records(now, all)
	if l.flows != nil {
		records = append(records, l.flows.Records(now, all)...)
	}
	return records
}

// logBatch is how many events of a log go into one batch.
const logBatch = 8192

// logged takes in what translators logged, before coverage reaches further.
func (l *loop) logged(ctx context.Context, now time.Time) error {
	if l.natlog == nil {
		return nil
	}
	told, gaps := l.natlog.Take()
	for batch := range slices.Chunk(told, logBatch) {
		var e binding.Effects
		for _, x := range batch {
			if !x.DoubtFrom.IsZero() {
				l.blocks.Doubt(x.Exporter, x.DoubtFrom)
				continue
			}
			e.Add(l.apply(x.Observation))
		}
		if err := l.commit(ctx, e); err != nil {
			return err
		}
	}
	for _, g := range gaps {
		l.log.Warn("a translator's log is not whole", slog.String("cause", g.Cause), slog.Duration("for", g.To.Sub(g.From)))
		if err := l.commit(ctx, l.gap(now, g.From, g.To, g.Cause)); err != nil {
			return err
		}
	}
	return nil
}

// doubted ends or doubts what translators logged before a time that was not
// covered: nobody repeats what they logged in it.
func (l *loop) doubted(e binding.Effects) {
	for _, r := range e.Records {
		if c, ok := r.(*schema.Coverage); ok && c.State == schema.Gap {
			l.blocks.Doubt("", c.StartedAt)
		}
	}
}

// gap declares that something between from and to may have been missed. Coverage
// is interrupted by it, and what lives has to be stored under the new one.
func (l *loop) gap(now, from, to time.Time, cause string) binding.Effects {
	l.blocks.Restate()
	if l.flows != nil {
		l.flows.Restate()
	}
	e := binding.Effects{Records: l.translated(now, true)}
	e.Add(l.binding.Gap(now, from, to, cause, readClock()))
	return e
}

// pass lets time pass. Coverage never reaches further than the flows are read.
func (l *loop) pass(now time.Time, clock binding.Clock) (e binding.Effects, err error) {
	if l.flows != nil {
		sure, gaps, err := l.flows.CatchUp()
		if err != nil {
			return e, err
		}
		for _, g := range gaps {
			l.log.Warn("flows came and went unseen", slog.String("cause", g.Cause), slog.Duration("for", g.To.Sub(g.From)))
			e.Add(l.gap(now, g.From, g.To, g.Cause))
		}
		if sure.Before(now) {
			now = sure
		}
	}
	ticked := l.binding.Tick(now, clock)
	e.Add(binding.Effects{Records: l.translated(now, covers(ticked))})
	e.Add(ticked)
	return e, nil
}

// end is the last pass: everything is stored up to now, and stays open.
func (l *loop) end(now time.Time, clock binding.Clock) binding.Effects {
	var e binding.Effects
	if l.flows != nil {
		sure, gaps, err := l.flows.CatchUp()
		if err != nil {
			l.log.Error("flows were not read to the end", slog.Any("error", err))
		}
		for _, g := range gaps {
			e.Add(l.gap(now, g.From, g.To, g.Cause))
		}
		if sure.Before(now) {
			now = sure
		}
	}
	e.Add(binding.Effects{Records: l.translated(now, true)})
	e.Add(l.binding.Stopped(now, clock))
	return e
}

func covers(e binding.Effects) bool {
	for _, r := range e.Records {
		if r.Kind() == schema.KindCoverage {
			return true
		}
	}
	return false
}

// redo repeats an observation of before the crash.
func (l *loop) redo(o binding.Observation, trackers ...interface {
	Redo(binding.Observation) error
}) error {
	l.blocks.Apply(o)
	var errs []error
	for _, t := range trackers {
		errs = append(errs, t.Redo(o))
	}
	return errors.Join(errs...)
}

// flowMetrics are what the listener counts.
type flowMetrics struct{ flows *cgnat.Listener }

var (
	flowsMessages = prometheus.NewDesc("griffier_collector_conntrack_messages_total", "Conntrack messages, by what became of them.", []string{"verdict"}, nil)
	flowsOverruns = prometheus.NewDesc("griffier_collector_conntrack_overruns_total", "Times that the kernel had more events than room.", nil, nil)
	flowsMappings = prometheus.NewDesc("griffier_collector_translations", "Public ports that an inside address has, or just had.", nil, nil)
	flowsOpened   = prometheus.NewDesc("griffier_collector_translations_opened_total", "Times that an inside address was given a public port.", nil, nil)
	flowsReused   = prometheus.NewDesc("griffier_collector_translations_reused_total", "Times that it was given while another had it; an answer about that time is ambiguous.", nil, nil)
	flowsRefused  = prometheus.NewDesc("griffier_collector_translations_refused_total", "Flows over cgnat.max_mappings; a gap.", nil, nil)
	flowsFailed   = prometheus.NewDesc("griffier_collector_conntrack_insert_failed_total", "Flows that conntrack could not take since boot: no public port was free.", nil, nil)
	flowsDropped  = prometheus.NewDesc("griffier_collector_conntrack_dropped_total", "Flows that conntrack could not take since boot: its table was full.", nil, nil)
	flowsRows     = prometheus.NewDesc("griffier_collector_translation_rows_total", "Rows of who had which port.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (flowMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{flowsMessages, flowsOverruns, flowsMappings, flowsOpened, flowsReused, flowsRefused, flowsRows, flowsFailed, flowsDropped} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m flowMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.flows.Stats()
	for _, v := range cgnat.Verdicts {
		ch <- prometheus.MustNewConstMetric(flowsMessages, prometheus.CounterValue, float64(s.Messages[v]), string(v))
	}
	ch <- prometheus.MustNewConstMetric(flowsMappings, prometheus.GaugeValue, float64(s.Live))
	if e, err := cgnat.ReadExhaustion(); err == nil {
		ch <- prometheus.MustNewConstMetric(flowsFailed, prometheus.CounterValue, float64(e.InsertFailed))
		ch <- prometheus.MustNewConstMetric(flowsDropped, prometheus.CounterValue, float64(e.Dropped))
	}
	for d, n := range map[*prometheus.Desc]uint64{flowsOverruns: s.Overruns, flowsOpened: s.Opened, flowsReused: s.Reused, flowsRefused: s.Refused, flowsRows: s.Rows} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
}

// logMetrics are what the receiver of translators' logs counts.
type logMetrics struct{ log *natlog.Receiver }

var (
	logMessages = prometheus.NewDesc("griffier_collector_nat_log_messages_total", "Messages of translators that may send.", nil, nil)
	logRecords  = prometheus.NewDesc("griffier_collector_nat_log_total", "Records, and messages that were not read, by what became of them.", []string{"verdict"}, nil)
	logLost     = prometheus.NewDesc("griffier_collector_nat_log_lost_total", "Records, of NetFlow 9 messages, that did not arrive; a gap.", nil, nil)
	logRestarts = prometheus.NewDesc("griffier_collector_nat_log_restarts_total", "Times that a translator's log began anew; a gap.", nil, nil)
	logLast     = prometheus.NewDesc("griffier_collector_nat_log_last_message_timestamp_seconds", "When a translator last sent anything; 0 if none has since the start.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (logMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logMessages, logRecords, logLost, logRestarts, logLast} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (m logMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.log.Stats()
	for _, v := range natlog.Verdicts {
		ch <- prometheus.MustNewConstMetric(logRecords, prometheus.CounterValue, float64(s.Verdicts[v]), string(v))
	}
	last := 0.0
	if !s.LastAt.IsZero() {
		last = float64(s.LastAt.UnixMilli()) / 1000
	}
	ch <- prometheus.MustNewConstMetric(logLast, prometheus.GaugeValue, last)
	for d, n := range map[*prometheus.Desc]uint64{logMessages: s.Messages, logLost: s.Lost, logRestarts: s.Restarts} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
}
