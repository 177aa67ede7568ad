package cgnat

import (
	"net/netip"
	"strconv"
	"time"

	"griffier/schema"
)

const day = int64(24 * time.Hour)

// Records returns the rows for what ended and lingered until now. With all set
// it also returns whatever lives, or lingers, and is not stored as it is: store
// them before coverage up to now. At the first such call of a UTC day every
// mapping is cut at midnight.
func (t *Table) Records(now time.Time, all bool) []schema.Record {
	at := now.UnixNano()
	t.wake(at)
	var out []schema.Record
	for _, f := range t.finished {
		out = t.rows(out, f.port, f.mapping, at)
	}
	t.finished = t.finished[:0]
	if all {
		for p, m := range t.ports {
			for ; m != nil; m = m.next {
				if !m.stored || len(m.flows) > 0 && at/day > m.slice/day {
					out = t.rows(out, p, m, at)
					m.stored = true
				}
			}
		}
	}
	t.stats.Rows += uint64(len(out))
	return out
}

// wake finishes what has lingered long enough.
func (t *Table) wake(at int64) {
	i := 0
	for ; i < len(t.resting) && at-t.resting[i].at >= int64(t.cfg.Linger); i++ {
		r := t.resting[i]
		if m := t.find(r.port, r.inside); m != nil && len(m.flows) == 0 && m.endedAt == r.at {
			t.finish(r.port, m)
		}
	}
	t.resting = append(t.resting[:0], t.resting[i:]...)
}

// rows appends the slices of a mapping that are not stored yet, and leaves its
// slice at the one that goes on.
func (t *Table) rows(out []schema.Record, p port, m *mapping, now int64) []schema.Record {
	open := len(m.flows) > 0
	until := m.endedAt
	if open {
		until = max(now, m.slice)
	}
	if !m.named {
		m.id, m.named = t.name(p, m), true
	}
	for midnight := (m.slice/day + 1) * day; midnight < until; midnight += day {
		out = append(out, t.row(p, m, midnight, false, schema.EndCut, now))
		m.slice = midnight
	}
	cause := schema.EndRelease
	switch {
	case open:
		cause = schema.EndNone
	case m.inferred:
		cause = schema.EndInferred
	}
	return append(out, t.row(p, m, until, open, cause, now))
}

func (t *Table) name(p port, m *mapping) schema.ID {
	return t.cfg.Pseudonymiser.ID("translation", t.cfg.CollectorID, string(m.inside[:]), string(p.outside[:]),
		strconv.Itoa(int(p.protocol)), strconv.Itoa(int(p.number)), strconv.FormatInt(m.startedAt, 10))
}

// row is one slice. Times are stored in milliseconds: the start rounded down and
// an end up, so that the shortest flow is not nothing.
func (t *Table) row(p port, m *mapping, until int64, open bool, cause schema.EndCause, now int64) *schema.Assignment {
	t.version = max(t.version+1, uint64(now/int64(time.Millisecond)))
	certainty := schema.CertaintyObserved
	if m.inferred {
		certainty = schema.CertaintyInferred
	}
	start := milli(m.slice)
	end := milli(until) // while it is open, coverage says how far
	if !open {
		end = milli(until + int64(time.Millisecond) - 1)
		if !end.After(start) {
			end = start.Add(time.Millisecond)
		}
	}
	outside := addressOf(p.outside)
	return &schema.Assignment{
		AssignmentID: m.id, Prefix: netip.PrefixFrom(outside, outside.BitLen()), PortStart: p.number, PortEnd: p.number,
		Protocol: p.protocol, Inside: addressOf(m.inside), AssignmentStartedAt: milli(m.startedAt), StartedAt: start, EndedAt: end,
		Open: open, Version: t.version, EndCause: cause, Source: schema.SourceConntrack, Certainty: certainty, CollectorID: t.cfg.CollectorID,
	}
}

func milli(ns int64) time.Time { return time.UnixMilli(ns / int64(time.Millisecond)).UTC() }
