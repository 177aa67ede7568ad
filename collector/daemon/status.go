package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// statusInterval is how often the status line is renewed.
const statusInterval = 5 * time.Second

// figures are what a status line tells.
type figures struct {
	at                  time.Time
	sessions, addresses float64
	events              float64 // since the start
	behind              float64 // bytes in the spool that the store does not have
	dropped             float64 // datagrams and control frames, since the start
}

// gatherFigures reads them from the metrics, so that both tell the same. After
// an error the figures are of the metrics that could be read.
func gatherFigures(g prometheus.Gatherer, now time.Time) (figures, error) {
	families, err := g.Gather()
	if err != nil {
		err = fmt.Errorf("status: %w", err)
	}
	f := figures{at: now}
	for _, family := range families {
		var to *float64
		switch family.GetName() {
		case "griffier_collector_sessions":
			to = &f.sessions
		case "griffier_collector_addresses":
			to = &f.addresses
		case "griffier_collector_observations_total":
			to = &f.events
		case "griffier_collector_spool_pending_bytes":
			to = &f.behind
		case "griffier_collector_radius_dropped_total", "griffier_collector_control_frames_total":
			to = &f.dropped
		default:
			continue
		}
		for _, m := range family.Metric {
			lost := true
			for _, label := range m.Label {
				switch label.GetName() {
				case "outcome":
					lost = label.GetValue() == "ring_full"
				case "reason":
					lost = label.GetValue() != "duplicate_in_flight" // the first one is not lost
				}
			}
			if lost {
				*to += m.Gauge.GetValue() + m.Counter.GetValue()
			}
		}
	}
	return f, err
}

// line is the status line, with a rate since before.
func (f figures) line(before figures) string {
	rate := 0.0
	if seconds := f.at.Sub(before.at).Seconds(); seconds > 0 && f.events >= before.events {
		rate = (f.events - before.events) / seconds
	}
	return fmt.Sprintf("%s sessions, %s addresses, %s events/s, spool %sB behind, %s dropped",
		short(f.sessions, 1000, "", "k", "M"), short(f.addresses, 1000, "", "k", "M"), short(rate, 1000, "", "k", "M"),
		short(f.behind, 1024, " ", " Ki", " Mi", " Gi", " Ti"), short(f.dropped, 1000, "", "k", "M", "G"))
}

// short writes a number with three digits or so and a unit's prefix.
func short(v, base float64, prefixes ...string) string {
	i := 0
	for ; v >= base && i < len(prefixes)-1; i++ {
		v /= base
	}
	if v == float64(int64(v)) || v >= 100 {
		return fmt.Sprintf("%.0f%s", v, prefixes[i])
	}
	return fmt.Sprintf("%.1f%s", v, prefixes[i])
}

// watchStatus hands a status line over, at once and then now and then. Metrics
// that cannot be read are logged once and stop nothing: collecting goes on.
func (d *daemon) watchStatus(ctx context.Context, status func(string)) error {
	ticker := time.NewTicker(statusInterval)
	defer ticker.Stop()
	told := false
	read := func(at time.Time) figures {
		f, err := gatherFigures(d.registry, at)
		if err != nil && !told {
			d.log.Error("metrics cannot be read", slog.Any("err", err))
			told = true
		}
		return f
	}
	before := read(time.Now())
	for now := before; ; {
		status(now.line(before))
		before = now
		select {
		case <-ctx.Done():
			return nil
		case at := <-ticker.C:
			now = read(at)
		}
	}
}
