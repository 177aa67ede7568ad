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
	"griffier/collector/cgnat"
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
	m.totals.setTraffic(traffic, datapath.Plausibility{Down: datapath.Compared{Frames: 10, Packets: 10, Interface: 17}}, 3)
	m.totals.setBlocks(cgnat.BlocksStats{Held: 4, Refused: 5})
	m.totals.setIgnored(binding.Ignored{TooLate: 1})

	f, err := gatherFigures(registry, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(`# HELP griffier_collector_interface_unseen_packets Packets since the start that the interfaces counted and the programs did not see: offloaded in hardware, taken by XDP, or sent past the programs. Some in flight are no fault.
# TYPE griffier_collector_interface_unseen_packets gauge
griffier_collector_interface_unseen_packets{direction="down"} 7
griffier_collector_interface_unseen_packets{direction="up"} 0
# HELP griffier_collector_control_records_malformed_total Records of control frames from the kernel since the start that could not be read.
# TYPE griffier_collector_control_records_malformed_total counter
griffier_collector_control_records_malformed_total 3
# HELP griffier_collector_translation_blocks Blocks of ports of shared addresses that are held.
# TYPE griffier_collector_translation_blocks gauge
griffier_collector_translation_blocks 4
`), "griffier_collector_interface_unseen_packets", "griffier_collector_control_records_malformed_total", "griffier_collector_translation_blocks"); err != nil {
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
