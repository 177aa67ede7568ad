package daemon

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/schema"
)

// An open row reaches as far as the coverage that it was stored under. So a gap,
// which interrupts that, has what lives stored anew, before the coverage after it.
func TestGapRestatesBlocks(t *testing.T) {
	p, err := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	l := newLoop(slog.New(slog.DiscardHandler), nil, 0, time.Second, prometheus.NewRegistry())
	l.binding = binding.New(binding.Config{CollectorID: "edge1", Pseudonymiser: p})
	l.blocks = cgnat.NewBlocks(cgnat.BlocksConfig{CollectorID: "edge1", Pseudonymiser: p})
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	l.binding.Started(start, binding.Clock{})
	l.blocks.Configure([]cgnat.StaticBlock{{Inside: netip.MustParseAddr("100.64.0.10"),
		Block: binding.PortBlock{Outside: netip.MustParseAddr("203.0.113.7"), PortStart: 1024, PortEnd: 2047}}}, start)
	if n := len(l.translated(start.Add(time.Second), true)); n != 1 {
		t.Fatalf("%d rows of one block", n)
	}
	now := start.Add(10 * time.Second)
	e := l.gap(now, start.Add(5*time.Second), now, binding.GapRingDrop)
	block, coverage := -1, -1
	for i, r := range e.Records {
		switch r := r.(type) {
		case *schema.Assignment:
			block = i
			if !r.Open || r.EndedAt.Before(now) {
				t.Errorf("the block ends at %v, open %t; the coverage after the gap begins at %v", r.EndedAt, r.Open, now)
			}
		case *schema.Coverage:
			if coverage < 0 {
				coverage = i
			}
		}
	}
	if block < 0 || coverage < 0 || block > coverage {
		t.Errorf("the block is record %d, the first coverage %d", block, coverage)
	}
}
