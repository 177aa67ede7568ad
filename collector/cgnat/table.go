package cgnat

import (
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// Defaults of [TableConfig].
const (
	DefaultLinger      = 30 * time.Second
	DefaultMaxMappings = 2_000_000
)

// TableConfig is what a [Table] needs to know. Zero values of Linger and
// MaxMappings mean the defaults.
type TableConfig struct {
	CollectorID   string
	Pseudonymiser *schema.Pseudonymiser // names assignments
	// Linger is how long a port that a subscriber lets go of may rest and, if
	// nobody else had it meanwhile, still be one interval when the same subscriber
	// has it again. Many short flows through one socket are so one row.
	Linger time.Duration
	// MaxMappings bounds memory, about 150 bytes each.
	MaxMappings int
}

// TableStats count since New, but for Live.
type TableStats struct {
	Live    int    // mappings, lingering ones included
	Flows   uint64 // begun
	Opened  uint64 // mappings begun
	Resumed uint64 // flows that went on with a mapping that lingered
	Reused  uint64 // mappings begun while another inside address had the same public port
	Refused uint64 // over MaxMappings: a gap
	Late    uint64 // ends of flows whose beginning was not seen
	Rows    uint64 // given out
}

// port is a public port. Without pointers, so that the collector of garbage need
// not look into a map of millions.
type port struct {
	outside  [16]byte
	number   uint16
	protocol uint8
}

// mapping is one inside address having one public port for a time.
type mapping struct {
	next      *mapping // another that has, or lately had, the same port
	flows     []uint32 // conntrack entries; none: it lingers
	seen      []uint32 // of flows, in the dump that is being read
	one       [1]uint32
	startedAt int64 // nanoseconds since 1970
	endedAt   int64 // of the last flow, while it lingers
	slice     int64 // start of the present slice: startedAt, or a midnight
	id        schema.ID
	inside    [16]byte
	inferred  bool // start or end was not seen
	inherited bool // found by a dump: its end may not be told
	stored    bool // the present slice is stored as it is, but for the end of an open one
	named     bool // stored once: startedAt is fixed
}

// A Table turns flow events into assignments of public ports to inside
// addresses. It is pure and not safe for concurrent use.
//
// A mapping is given out when it ended and lingered, or, open, by the first
// [Table.Records] with all set; so one that ends before that is one row, and no
// mapping more than two a day, not counting gaps.
type Table struct {
	cfg      TableConfig
	ports    map[port]*mapping
	resting  []rest // that linger, in the order in which they let go
	finished []finished
	stats    TableStats
	version  uint64
	syncing  bool

	inherited int // mappings that are, and live
}

type rest struct {
	port   port
	inside [16]byte
	at     int64
}

// finished is a mapping that cannot change any more.
type finished struct {
	port    port
	mapping *mapping
}

// NewTable returns an empty table.
func NewTable(cfg TableConfig) *Table {
	if cfg.Linger <= 0 {
		cfg.Linger = DefaultLinger
	}
	if cfg.MaxMappings <= 0 {
		cfg.MaxMappings = DefaultMaxMappings
	}
	return &Table{cfg: cfg, ports: map[port]*mapping{}}
}

// Stats returns the counts.
func (t *Table) Stats() TableStats { return t.stats }

// Apply takes in one event that was read at now. Events of one flow come in
// their order.
func (t *Table) Apply(e *Event, now time.Time) {
	p := port{e.Outside.As16(), e.Port, e.Protocol}
	switch e.Kind {
	case New:
		t.begin(p, e, first(e.At, e.StartedAt, now.UnixNano()), false)
	case Destroy:
		t.end(p, e, first(e.StoppedAt, e.At, now.UnixNano()))
	case Seen:
		if m := t.begin(p, e, first(e.StartedAt, now.UnixNano()), e.StartedAt == 0); m != nil && t.syncing && !slices.Contains(m.seen, e.ID) {
			m.seen = append(m.seen, e.ID)
		}
	}
}

func first(times ...int64) int64 {
	for _, t := range times {
		if t > 0 {
			return t
		}
	}
	return 0
}

// find returns the mapping of an inside address, or nil.
func (t *Table) find(p port, inside [16]byte) (m *mapping) {
	for m = t.ports[p]; m != nil && m.inside != inside; m = m.next {
	}
	return m
}

// rivalSince reports whether another inside address had the port after since.
func (t *Table) rivalSince(p port, inside [16]byte, since int64) bool {
	for m := t.ports[p]; m != nil; m = m.next {
		if m.inside != inside && (len(m.flows) > 0 || m.endedAt > since) {
			return true
		}
	}
	return false
}

func (t *Table) begin(p port, e *Event, at int64, inferred bool) *mapping {
	inside := e.Inside.As16()
	m := t.find(p, inside)
	if m != nil && slices.Contains(m.flows, e.ID) {
		return m // told again
	}
	t.stats.Flows++
	if m != nil && len(m.flows) == 0 {
		if at-m.endedAt > int64(t.cfg.Linger) || t.rivalSince(p, inside, m.endedAt) {
			t.finish(p, m)
			m = nil
		} else {
			m.endedAt, m.stored = 0, false
			t.stats.Resumed++
		}
	}
	if m != nil {
		m.flows = append(m.flows, e.ID)
		return m
	}
	if t.stats.Live+len(t.finished) >= t.cfg.MaxMappings {
		t.stats.Refused++
		return nil
	}
	if t.rivalSince(p, inside, at) {
		t.stats.Reused++
	}
	m = &mapping{next: t.ports[p], inside: inside, startedAt: at, slice: at, inferred: inferred}
	if e.Kind == Seen {
		m.inherited = true
		t.inherited++
	}
	m.one[0] = e.ID
	m.flows = m.one[:]
	t.ports[p] = m
	t.stats.Live++
	t.stats.Opened++
	return m
}

func (t *Table) end(p port, e *Event, at int64) {
	inside := e.Inside.As16()
	m := t.find(p, inside)
	if m == nil {
		t.late(p, e, at)
		return
	}
	if !m.named && e.StartedAt > 0 && e.StartedAt < m.startedAt {
		m.startedAt, m.slice = e.StartedAt, e.StartedAt
	}
	if i := slices.Index(m.flows, e.ID); i >= 0 {
		m.flows = slices.Delete(m.flows, i, i+1)
	} else if len(m.flows) > 0 {
		t.stats.Late++ // another flow of the mapping goes on
		return
	} else if at <= m.endedAt && !m.inferred {
		return
	}
	if len(m.flows) == 0 {
		t.rest(p, m, at)
	}
}

// rest lets a mapping linger.
func (t *Table) rest(p port, m *mapping, at int64) {
	m.endedAt, m.stored = max(at, m.startedAt), false
	if m.inherited {
		m.inherited = false
		t.inherited--
	}
	t.resting = append(t.resting, rest{p, m.inside, m.endedAt})
}

// late keeps a flow of which only the end was seen, if its start is told.
func (t *Table) late(p port, e *Event, at int64) {
	t.stats.Late++
	if e.StartedAt == 0 || e.StartedAt > at {
		return // when it began is not known; what was not seen is a gap already
	}
	if m := t.begin(p, e, e.StartedAt, false); m != nil {
		m.flows = m.flows[:0]
		t.rest(p, m, at)
	}
}

// finish takes a mapping out of the table; the next Records gives it out.
func (t *Table) finish(p port, m *mapping) {
	if t.ports[p] == m {
		if m.next == nil {
			delete(t.ports, p)
		} else {
			t.ports[p] = m.next
		}
	} else {
		for before := t.ports[p]; before != nil; before = before.next {
			if before.next == m {
				before.next = m.next
				break
			}
		}
	}
	m.next = nil
	t.stats.Live--
	if !m.stored {
		t.finished = append(t.finished, finished{p, m})
	}
}

// BeginSync says that a dump of all flows follows, as Seen events, and then
// [Table.EndSync].
func (t *Table) BeginSync() {
	t.syncing = true
	for _, m := range t.ports {
		for ; m != nil; m = m.next {
			m.seen = nil
		}
	}
}

// EndSync says that the dump is complete. Flows that are not in it ended at an
// unknown time after lastSure, up to when everything was seen: they end there,
// inferred. Everything that lives is given out again, since the coverage that
// carried it was interrupted.
func (t *Table) EndSync(lastSure time.Time) {
	t.reconcile(lastSure)
	t.Restate()
}

// Inherited returns how many of the live mappings a dump found. The kernel may
// not tell of their ends: it prepares a flow for events when it begins, and with
// nf_conntrack_events at 2, its default, only if somebody listens then.
func (t *Table) Inherited() int { return t.inherited }

// Reconcile says that a dump is complete that was made without need. Flows that
// are not in it ended unseen, at the latest now, which is what their rows say:
// that may be called ambiguous once too often, but never be given to another.
func (t *Table) Reconcile(now time.Time) { t.reconcile(now) }

func (t *Table) reconcile(endedAt time.Time) {
	t.syncing = false
	for p, m := range t.ports {
		for ; m != nil; m = m.next {
			if len(m.flows) == 0 {
				continue
			}
			m.flows, m.seen = m.seen, nil
			if len(m.flows) == 0 {
				m.inferred = true
				t.rest(p, m, endedAt.UnixNano())
			}
		}
	}
}

// Restate has everything that lives given out again. Call it when a gap was
// declared: an open row reaches no further than the coverage it was stored under.
func (t *Table) Restate() {
	for _, m := range t.ports {
		for ; m != nil; m = m.next {
			if len(m.flows) > 0 {
				m.stored = false
			}
		}
	}
}

func addressOf(b [16]byte) netip.Addr { return netip.AddrFrom16(b).Unmap() }
