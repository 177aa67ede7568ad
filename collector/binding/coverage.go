package binding

import (
	"time"

	"griffier/schema"
)

// Clock is what is known of the machine's clock and boot at a tick.
type Clock struct {
	BootID      string `json:"boot_id"`
	OffsetNanos int64  `json:"offset_nanos"` // estimated by the time daemon; 0 if unknown
	Synced      bool   `json:"synced"`
}

// Causes of a coverage gap.
const (
	GapNotRunning = "not_running"
	GapRingDrop   = "ring_drop"  // control frames were lost between kernel and collector
	GapSpoolFull  = "spool_full" // nothing could be made durable
	GapDetached   = "detached"   // the kernel programs were not in place
)

// coverage is the covered slice that is being written.
type coverage struct {
	ID    schema.ID
	Since time.Time // start of the slice
	Until time.Time // as last emitted
	Clock Clock
	Open  bool
}

// Started begins a covered interval at now. If an earlier run left off before,
// the time between is declared as a gap (not_running).
func (b *Binding) Started(now time.Time, clock Clock) Effects {
	return b.must(event{Now: milli(now), Started: &clock})
}

func (b *Binding) started(now time.Time, clock Clock, e *Effects) {
	if last := b.coverage.Until; !last.IsZero() && now.After(last) {
		if b.coverage.Open {
			e.Records = append(e.Records, b.coverageRecord(last, false))
		}
		e.Records = append(e.Records, b.gapRecords(last, now, GapNotRunning, clock)...)
	}
	b.beginCoverage(now, clock)
	e.Records = append(e.Records, b.coverageRecord(now, true))
}

// Gap declares that something between from and to may have been missed.
func (b *Binding) Gap(now, from, to time.Time, cause string, clock Clock) Effects {
	return b.must(event{Now: milli(now), Tick: &clock, Gap: &gap{milli(from), milli(to), cause}})
}

type gap struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Cause string    `json:"cause"`
}

func (b *Binding) gapped(g gap, clock Clock, e *Effects) {
	if !g.From.Before(g.To) {
		return
	}
	if b.coverage.Open && g.To.After(b.coverage.Since) {
		if !b.coverage.Until.After(b.coverage.Since) && g.From.After(b.coverage.Since) {
			// No round ended since the last gap: what lives was last emitted before
			// it, so the time between the two is not covered either.
			g.From = b.coverage.Since
		}
		if next := midnight(b.coverage.Since).Add(24 * time.Hour); g.From.After(next) {
			g.From = next // likewise: no round ended today
		}
		until := g.From
		if until.Before(b.coverage.Since) {
			until = b.coverage.Since
		}
		e.Records = append(e.Records, b.coverageRecord(until, false))
		defer func() {
			b.beginCoverage(g.To, clock)
			b.restartRound()
			e.Records = append(e.Records, b.coverageRecord(g.To, true))
		}()
	}
	e.Records = append(e.Records, b.gapRecords(g.From, g.To, g.Cause, clock)...)
}

// Stopped emits every open slice up to now, which stays open, and ends the
// covered interval: an orderly stop. Flush usage first.
func (b *Binding) Stopped(now time.Time, clock Clock) Effects {
	return b.must(event{Now: milli(now), Stopped: &clock})
}

// cover moves the covered slice's end on to now, cutting it at UTC midnight.
func (b *Binding) cover(now time.Time, clock Clock) (records []schema.Record) {
	if !b.coverage.Open {
		return nil
	}
	b.coverage.Clock = clock
	for next := midnight(b.coverage.Since).Add(24 * time.Hour); next.Before(now); next = next.Add(24 * time.Hour) {
		records = append(records, b.coverageRecord(next, false))
		b.coverage.Since = next
	}
	return append(records, b.coverageRecord(now, true))
}

func (b *Binding) beginCoverage(at time.Time, clock Clock) {
	id := b.cfg.Pseudonymiser.ID("coverage", b.cfg.CollectorID, at.Format(time.RFC3339Nano))
	b.coverage = coverage{ID: id, Since: at, Until: at, Clock: clock, Open: true}
}

func (b *Binding) coverageRecord(until time.Time, open bool) schema.Record {
	if until.Before(b.coverage.Since) {
		until = b.coverage.Since // the clock stepped back
	}
	b.coverage.Until, b.coverage.Open = until, open
	r := b.newCoverage(b.coverage.Since, until, b.coverage.Clock)
	r.CoverageID, r.State, r.Open = b.coverage.ID, schema.Covered, open
	return r
}

func (b *Binding) gapRecords(from, to time.Time, cause string, clock Clock) (records []schema.Record) {
	id := b.cfg.Pseudonymiser.ID("gap", b.cfg.CollectorID, cause, from.Format(time.RFC3339Nano))
	for from.Before(to) {
		until := midnight(from).Add(24 * time.Hour)
		if until.After(to) {
			until = to
		}
		r := b.newCoverage(from, until, clock)
		r.CoverageID, r.State, r.Cause = id, schema.Gap, cause
		records = append(records, r)
		from = until
	}
	return records
}

func (b *Binding) newCoverage(from, to time.Time, clock Clock) *schema.Coverage {
	b.version = max(b.version+1, uint64(max(to.UnixMilli(), 0)))
	return &schema.Coverage{
		CollectorID: b.cfg.CollectorID, StartedAt: from, EndedAt: to, Version: b.version,
		BootID: clock.BootID, ClockOffsetNanos: clock.OffsetNanos, ClockSynced: clock.Synced,
	}
}
