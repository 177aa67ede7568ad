package daemon

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/datapath"
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
	m.totals.setTraffic(traffic, datapath.Plausibility{Down: datapath.Compared{Frames: 10, Packets: 10, Interface: 17}})
	m.totals.setIgnored(binding.Ignored{TooLate: 1})

	f, err := gatherFigures(registry, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`# HELP griffier_collector_interface_unseen_packets Packets since the start that the interfaces counted and the programs did not see: offloaded in hardware, taken by XDP, or sent past the programs. Some in flight are no fault.
# TYPE griffier_collector_interface_unseen_packets gauge
griffier_collector_interface_unseen_packets{direction="down"} 7
griffier_collector_interface_unseen_packets{direction="up"} 0
`), "griffier_collector_interface_unseen_packets"); err != nil {
		t.Error(err)
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
