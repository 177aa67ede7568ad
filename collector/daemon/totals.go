package daemon

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/datapath"
)

// totals exports what others count as counters: the kernel, which goes on
// counting while no collector runs, and the binding. They are as of the last
// reading; before the first there are none.
type totals struct {
	mu        sync.Mutex
	traffic   *bpf.Totals
	plausible datapath.Plausibility
	malformed uint64 // of the records in which the kernel copies control frames
	ignored   *binding.Ignored
	blocks    *cgnat.BlocksStats

	bytes, packets, seenBytes, seenPackets   *prometheus.Desc
	imbalanceBytes, imbalancePackets, frames *prometheus.Desc
	byInterface, unseen, excess, ignoredBy   *prometheus.Desc
	unreadable, blocksHeld, blocksOdd        *prometheus.Desc
}

func newTotals(namespace string) *totals {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	return &totals{
		bytes:            desc("traffic_bytes_total", "Layer 3 bytes at the access interfaces, by direction and class. Every packet is in one class.", "direction", "class"),
		packets:          desc("traffic_packets_total", "Packets at the access interfaces, by direction and class. Every packet is in one class.", "direction", "class"),
		seenBytes:        desc("traffic_seen_bytes_total", "All layer 3 bytes at the access interfaces, counted apart from the classes.", "direction"),
		seenPackets:      desc("traffic_seen_packets_total", "All packets at the access interfaces, counted apart from the classes.", "direction"),
		imbalanceBytes:   desc("traffic_imbalance_bytes", "Bytes seen less the bytes of all classes, which must be 0.", "direction"),
		imbalancePackets: desc("traffic_imbalance_packets", "Packets seen less the packets of all classes, which must be 0.", "direction"),
		byInterface:      desc("interface_packets_total", "Packets since the start by the access interfaces' own counters, which the programs' are held against.", "direction"),
		unseen:           desc("interface_unseen_packets", "Packets since the start that the interfaces counted and the programs did not see: offloaded in hardware, taken by XDP, or sent past the programs. Some in flight are no fault.", "direction"),
		excess:           desc("interface_excess_frames", "Frames since the start that the programs counted and the interfaces did not: dropped in the queue behind the programs, or counted twice. Some in flight are no fault.", "direction"),
		frames:           desc("control_frames_total", "Control frames met by the kernel programs: delivered to the collector, lost because the ring was full, or rejected as no control message.", "direction", "outcome"),
		unreadable:       desc("control_records_malformed_total", "Records of control frames from the kernel since the start that could not be read."),
		blocksHeld:       desc("translation_blocks", "Blocks of ports of shared addresses that are held."),
		blocksOdd:        desc("translation_blocks_odd_total", "Blocks of ports since the start: refused (more than is remembered), or taken back though never given, or given again since, or not told of for a day.", "reason"),
		ignoredBy:        desc("observations_ignored_total", "Observations since the start that could not be used in full, by reason.", "reason"),
	}
}

func (t *totals) setTraffic(v bpf.Totals, p datapath.Plausibility, malformed uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.traffic, t.plausible, t.malformed = &v, p, malformed
}

func (t *totals) setBlocks(v cgnat.BlocksStats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blocks = &v
}

func (t *totals) setIgnored(v binding.Ignored) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ignored = &v
}

// Describe implements prometheus.Collector.
func (t *totals) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(t, out) }

// Collect implements prometheus.Collector.
func (t *totals) Collect(out chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	send := func(kind prometheus.ValueType, desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	if t.ignored != nil {
		for reason, n := range map[string]uint64{
			"too_late": t.ignored.TooLate, "no_identifier": t.ignored.NoIdentifier, "identifier_changed": t.ignored.IdentifierChanged,
			"too_many_prefixes": t.ignored.TooManyPrefixes, "outside_ranges": t.ignored.OutsideRanges, "other_provider": t.ignored.OtherProvider, "counter_regressed": t.ignored.CounterRegressed,
		} {
			send(prometheus.CounterValue, t.ignoredBy, float64(n), reason)
		}
	}
	if t.blocks != nil {
		send(prometheus.GaugeValue, t.blocksHeld, float64(t.blocks.Held))
		for reason, n := range map[string]uint64{
			"refused": t.blocks.Refused, "never_given": t.blocks.UnknownEnds, "given_again": t.blocks.LateEnds, "aged": t.blocks.Aged,
		} {
			send(prometheus.CounterValue, t.blocksOdd, float64(n), reason)
		}
	}
	if t.traffic == nil {
		return
	}
	send(prometheus.CounterValue, t.unreadable, float64(t.malformed))
	for direction, c := range map[string]datapath.Compared{"up": t.plausible.Up, "down": t.plausible.Down} {
		send(prometheus.CounterValue, t.byInterface, float64(c.Interface), direction)
		send(prometheus.GaugeValue, t.unseen, float64(c.Unseen()), direction)
		send(prometheus.GaugeValue, t.excess, float64(c.Excess()), direction)
	}
	for direction, d := range map[string]bpf.DirectionTotals{"up": t.traffic.Up, "down": t.traffic.Down} {
		for class, c := range map[string]bpf.Count{
			"attributed4": d.Attributed4, "attributed6": d.Attributed6, "unattributed4": d.Unattributed4, "unattributed6": d.Unattributed6,
			"non_ip": d.NonIP, "parse_error": d.ParseError,
		} {
			send(prometheus.CounterValue, t.bytes, float64(c.Bytes), direction, class)
			send(prometheus.CounterValue, t.packets, float64(c.Packets), direction, class)
		}
		send(prometheus.CounterValue, t.seenBytes, float64(d.Total.Bytes), direction)
		send(prometheus.CounterValue, t.seenPackets, float64(d.Total.Packets), direction)
		classes := d.Classes()
		send(prometheus.GaugeValue, t.imbalanceBytes, float64(int64(d.Total.Bytes-classes.Bytes)), direction)
		send(prometheus.GaugeValue, t.imbalancePackets, float64(int64(d.Total.Packets-classes.Packets)), direction)
		send(prometheus.CounterValue, t.frames, float64(d.Punted), direction, "delivered")
		send(prometheus.CounterValue, t.frames, float64(d.PuntDrops), direction, "ring_full")
		send(prometheus.CounterValue, t.frames, float64(d.PuntRejected), direction, "rejected")
	}
}
