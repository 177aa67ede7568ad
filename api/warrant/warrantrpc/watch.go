package warrantrpc

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// WatchInterval is how often a [Watcher] looks. No right depends on it: what time
// brings about is true whoever looks, and when.
const WatchInterval = time.Minute

// watcher is the actor of entries that nobody asked for.
var watcher = warrant.Caller{Actor: "griffierd", Roles: []warrant.Role{warrant.Executor}}

// Watcher enters in the ledger what time did to warrants, and raises the alarms of
// their deadlines: in the log, once for each level since the start, and as metrics,
// which tell how many and never which.
type Watcher struct {
	Book  Book
	State *warrant.State
	Rules *warrant.Rules
	Now   func() time.Time
	// Ended as in [Config]: what runs under a warrant that lapsed is cut off.
	Ended func(warrantID string)
	Log   *slog.Logger

	raised map[alarm]bool
}

type alarm struct {
	warrantID string
	clock     warrant.Clock
	by        time.Time
	level     int
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(WatchInterval)
	defer tick.Stop()
	for {
		w.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look looks once. It is not safe for concurrent use.
func (w *Watcher) Look(ctx context.Context) {
	now := w.Now()
	raised := map[alarm]bool{}
	for _, found := range w.State.Warrants() {
		if l, ok := found.Lapsed(now); ok {
			w.note(ctx, found.ID, l)
		}
		for _, c := range found.Running(now) {
			if c.Alarm == 0 {
				continue
			}
			a := alarm{found.ID, c.Clock, c.By, c.Alarm}
			raised[a] = true
			if !w.raised[a] {
				w.Log.LogAttrs(ctx, slog.LevelWarn, "warrant deadline", slog.String("warrant", found.ID), slog.String("clock", string(c.Clock)),
					slog.Int("percent", c.Alarm), slog.Time("by", c.By))
			}
		}
	}
	w.raised = raised
}

// note enters a lapse. If the ledger is away it is entered at a later look.
func (w *Watcher) note(ctx context.Context, warrantID string, l warrant.Lapse) {
	_, err := Decide(ctx, w.Book, ledger.RequestID("griffierd", "lapse", warrantID+"/"+string(l.State)+"/"+l.At.Format(time.RFC3339Nano)),
		func(now time.Time) (ledger.Draft, *reason.Error) {
			return w.Rules.NoteLapse(w.State, now, watcher, warrantID)
		})
	if err != nil {
		if ctx.Err() == nil {
			w.Log.LogAttrs(ctx, slog.LevelError, "lapse of a warrant not entered", slog.String("warrant", warrantID), slog.String("reason", string(reason.Of(err))))
		}
		return
	}
	w.Log.LogAttrs(ctx, slog.LevelWarn, "warrant lapsed", slog.String("warrant", warrantID), slog.String("state", string(l.State)))
	if w.Ended != nil {
		w.Ended(warrantID)
	}
}

var (
	warrantsDesc = prometheus.NewDesc("griffier_warrants", "Warrants by state.", []string{"state"}, nil)
	clocksDesc   = prometheus.NewDesc("griffier_warrant_clocks", "Deadlines of warrants that run, by clock (ACT_BY, PAPER, NOTICE) and by the highest alarm that was reached, in percent of the time.", []string{"clock", "alarm"}, nil)
)

// Collector counts warrants and their deadlines when it is asked.
type Collector struct {
	State *warrant.State
	Now   func() time.Time
}

// Describe implements [prometheus.Collector].
func (c Collector) Describe(out chan<- *prometheus.Desc) {
	out <- warrantsDesc
	out <- clocksDesc
}

// Collect implements [prometheus.Collector]. Every state, clock and level is there,
// also with none.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	now := c.Now()
	states, clocks := map[warrant.WarrantState]int{}, map[warrant.Clock]map[int]int{}
	for _, clock := range warrant.Clocks {
		clocks[clock] = map[int]int{}
	}
	for _, w := range c.State.Warrants() {
		states[w.State(now)]++
		for _, running := range w.Running(now) {
			clocks[running.Clock][running.Alarm]++
		}
	}
	for _, state := range warrant.WarrantStates {
		out <- prometheus.MustNewConstMetric(warrantsDesc, prometheus.GaugeValue, float64(states[state]), string(state))
	}
	for _, clock := range warrant.Clocks {
		for _, level := range append([]int{0}, warrant.AlarmLevels...) {
			out <- prometheus.MustNewConstMetric(clocksDesc, prometheus.GaugeValue, float64(clocks[clock][level]), string(clock), strconv.Itoa(level))
		}
	}
}
