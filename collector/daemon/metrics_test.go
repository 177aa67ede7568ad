package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/bpf"
	"griffier/collector/binding"
)

// Once everything has counted something, /metrics must still be readable: two
// metrics of one name and another meaning show only then.
func TestMetricsReadableWhenAllHaveCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := newMetrics(registry)
	m.observations.WithLabelValues("radius").Add(7)
	m.frames.WithLabelValues("dhcpv4", "used").Inc()
	m.refused.WithLabelValues("slots").Inc()
	m.expired.WithLabelValues("usage").Inc()
	traffic := bpf.Totals{}
	traffic.Up.Punted, traffic.Up.PuntDrops = 5, 2
	m.totals.setTraffic(traffic)
	m.totals.setIgnored(binding.Ignored{TooLate: 1})

	f, err := gatherFigures(registry, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f.events != 7 || f.dropped != 2 {
		t.Errorf("%+v, want 7 events and the 2 frames that the ring dropped", f)
	}
}

// A metric that cannot be read must not end a collector.
func TestStatusGoesOnWithoutMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.CollectorFunc(func(out chan<- prometheus.Metric) {
		out <- prometheus.NewInvalidMetric(prometheus.NewDesc("broken", "", nil, nil), errors.New("cannot be read"))
	}))
	var log strings.Builder
	d := &daemon{registry: registry, log: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	lines := 0
	err := d.watchStatus(ctx, func(string) { lines++; cancel() })
	if err != nil || lines != 1 || !strings.Contains(log.String(), "metrics cannot be read") {
		t.Errorf("%v after %d lines, log %q", err, lines, log.String())
	}
}
