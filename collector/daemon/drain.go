package daemon

import (
	"context"
	"log/slog"
	"time"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/datapath"
	"griffier/schema"
)

// drain reads all counters. The report is durable when it returns nil, which is
// what the next Drain relies on.
func (l *loop) drain(ctx context.Context, flush bool) error {
	if l.datapath == nil {
		return nil
	}
	// First what was applied, so that the reading finds the binding's owners.
	if err := l.commit(ctx, binding.Effects{}); err != nil {
		return err
	}
	now := time.Now()
	report, err := l.datapath.Drain(now)
	if err != nil {
		l.metrics.drainFailures.Inc()
		l.log.Error("counters could not be read", slog.Any("error", err))
		return nil
	}
	e := l.binding.Usage(report.At, readings(report), flush)
	drops := report.Totals.Up.PuntDrops + report.Totals.Down.PuntDrops
	if l.dropsSeen && drops > l.drops {
		e.Add(l.gap(now, l.drainedAt, now, binding.GapRingDrop))
		l.log.Warn("control frames were lost: the ring was full", slog.Uint64("frames", drops-l.drops))
	}
	if len(report.Lost) > 0 && !l.drainedAt.IsZero() {
		e.Add(l.gap(now, l.drainedAt, now, binding.GapDetached))
		l.log.Error("the kernel programs are gone from an interface: restart the collector", slog.Any("interfaces", report.Lost))
	}
	if !report.Totals.Balanced() {
		l.metrics.unbalanced.Inc()
	}
	l.plausible.judge(l.log, report.Totals, report.Plausible)
	if err := l.commit(ctx, e); err != nil {
		return err
	}
	l.drops, l.dropsSeen, l.drainedAt = drops, true, now
	l.metrics.report(report, l.datapath.PuntsMalformed(), time.Since(now))
	return nil
}

// readings are a report in the binding's terms.
func readings(r datapath.Report) []binding.Reading {
	out := make([]binding.Reading, 0, 4*(len(r.Slots)+len(r.Final)))
	add := func(s datapath.SlotCount, final bool) {
		id := schema.ID(r.CounterID(s))
		for _, x := range []struct {
			direction schema.Direction
			version   uint8
			count     bpf.Count
		}{{schema.Up, 4, s.Up4}, {schema.Up, 6, s.Up6}, {schema.Down, 4, s.Down4}, {schema.Down, 6, s.Down6}} {
			out = append(out, binding.Reading{
				CounterID: id, AccessRef: schema.AccessRef(s.Owner), Direction: x.direction, IPVersion: x.version,
				Bytes: x.count.Bytes, Packets: x.count.Packets, Final: final,
			})
		}
	}
	for _, s := range r.Final {
		add(s, true)
	}
	for _, s := range r.Slots {
		add(s, false)
	}
	return out
}
