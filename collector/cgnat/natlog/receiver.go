package natlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/schema"
)

// Causes of a coverage gap.
const (
	GapLost       = "nat_log_lost"        // a sequence number shows that messages are missing
	GapRestarted  = "nat_log_restarted"   // an exporter began anew
	GapNoTemplate = "nat_log_no_template" // records came before their template
	GapUnread     = "nat_log_unread"      // a message could not be read to its end
	GapQueue      = "nat_log_queue"       // more events than the collector took in time
)

// Defaults of [Config].
const (
	DefaultReadBuffer = 8 << 20
	DefaultMaxQueued  = 500_000
)

// How far from its arrival an event may be said to have happened.
const (
	maxAge   = 24 * time.Hour
	maxAhead = 2 * time.Minute
)

// An Exporter is a translator that may send.
type Exporter struct {
	Address netip.Addr
	Name    string // what it is called in records' names; Address if empty
	// Realm is the ingressVRFID whose inside addresses are the subscribers';
	// records that name another are not used.
	Realm uint32
}

// Config says what to receive. Zero values of ReadBuffer, MaxQueued and Now mean
// the defaults.
type Config struct {
	Listen     string // UDP address, such as "[::]:4739"
	Exporters  []Exporter
	Filter     Filter
	ReadBuffer int // octets
	// MaxQueued bounds the events that wait to be taken, about 500 octets each;
	// what comes beyond is a gap.
	MaxQueued int
	Now       func() time.Time
}

// A Receiver receives translators' logs. Its methods may be called by several
// goroutines.
type Receiver struct {
	conn      *net.UDPConn
	exporters map[netip.Addr]Exporter
	maxQueued int
	now       func() time.Time

	mu       sync.Mutex
	decoder  *Decoder
	began    time.Time
	inOrder  map[domainKey]time.Time // when the last message came
	queue    []Telling
	doubts   map[string]int // where in queue an exporter is in doubt
	gap      cgnat.Gap      // not told yet; empty if Cause is
	verdicts map[Verdict]uint64
	stats    Stats
}

// A Telling is an event, or the doubt about all that its exporter told before.
type Telling struct {
	binding.Observation
	// DoubtFrom is since when something is missing; zero in an event. Exporter is
	// whose log it is missing of.
	DoubtFrom time.Time
	Exporter  string
}

// Stats count since Listen.
type Stats struct {
	Messages  uint64
	Lost      uint64 // records, of NetFlow 9 messages, that sequence numbers show to be missing
	Restarts  uint64 // of exporters
	LastAt    time.Time
	Verdicts  map[Verdict]uint64
	Exporters int
}

// Listen opens the socket. What comes from then on is received, or declared as a
// gap as far as it can be known.
func Listen(cfg Config) (*Receiver, error) {
	if len(cfg.Exporters) == 0 || len(cfg.Filter.Inside) == 0 || len(cfg.Filter.Outside) == 0 {
		return nil, errors.New("nat log: exporters, inside and outside prefixes are required")
	}
	r := &Receiver{
		exporters: map[netip.Addr]Exporter{}, maxQueued: cmp.Or(cfg.MaxQueued, DefaultMaxQueued), now: cfg.Now,
		decoder: NewDecoder(cfg.Filter), inOrder: map[domainKey]time.Time{}, doubts: map[string]int{}, verdicts: map[Verdict]uint64{},
	}
	if r.now == nil {
		r.now = time.Now
	}
	for _, e := range cfg.Exporters {
		e.Address = e.Address.Unmap()
		e.Name = cmp.Or(e.Name, e.Address.String())
		r.exporters[e.Address] = e
	}
	listen := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		controlled := c.Control(func(fd uintptr) {
			size := cmp.Or(cfg.ReadBuffer, DefaultReadBuffer)
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, size) != nil {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, size)
			}
		})
		return errors.Join(controlled, err)
	}}
	conn, err := listen.ListenPacket(context.Background(), "udp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("nat log: listen: %w", err)
	}
	r.conn, r.began = conn.(*net.UDPConn), r.now()
	return r, nil
}

// Addr is the address that the receiver listens on.
func (r *Receiver) Addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close closes the socket.
func (r *Receiver) Close() error { return r.conn.Close() }

// Run receives until ctx ends, which is not an error.
func (r *Receiver) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { r.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := r.conn.ReadFromUDPAddrPort(buffer)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("nat log: receive: %w", err)
		}
		r.take(buffer[:n], from.Addr().Unmap(), r.now())
	}
}

// take takes in one datagram.
func (r *Receiver) take(datagram []byte, from netip.Addr, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	exporter, known := r.exporters[from]
	if !known {
		r.verdicts[UnknownExporter]++
		return
	}
	r.stats.Messages++
	r.stats.LastAt = now
	h, _, _ := header(datagram)
	full, before := false, len(r.queue)
	m := r.decoder.Decode(from, exporter.Realm, datagram,
		func(e *Event) { full = !r.keep(e, exporter.Name, h.domain, now) || full },
		func(v Verdict) { r.verdicts[v]++ })
	if m.Verdict != "" {
		r.verdicts[m.Verdict]++
	}
	r.stats.Lost += uint64(m.Lost)
	if m.Restarted {
		r.stats.Restarts++
	}
	if m.Verdict == OtherVersion || m.Verdict == Duplicate {
		return
	}
	key := domainKey{from, h.version, h.domain}
	last := r.inOrder[key]
	if last.IsZero() {
		last = r.began
	}
	if m.Verdict != DomainLimit && m.Verdict != Malformed {
		r.inOrder[key] = now
	}
	cause := ""
	switch {
	case m.Restarted:
		cause = GapRestarted
	case m.Lost > 0:
		cause = GapLost
	case m.Untold:
		cause = GapNoTemplate
	case !m.Whole():
		cause = GapUnread
	case full:
		cause, last, before = GapQueue, now, len(r.queue)
	default:
		return
	}
	r.missed(last, now, cause)
	r.doubt(exporter.Name, last, before)
}

// doubt puts what an exporter told before a place in the queue in doubt. Once for
// all that is queued, since it costs a look at everything: the last of them.
func (r *Receiver) doubt(exporter string, from time.Time, place int) {
	if i, already := r.doubts[exporter]; already {
		if r.queue[i].DoubtFrom.Before(from) {
			from = r.queue[i].DoubtFrom
		}
		r.queue = slices.Delete(r.queue, i, i+1)
		for other, j := range r.doubts {
			if j > i {
				r.doubts[other] = j - 1
			}
		}
		place--
	}
	place = max(place, 0)
	r.queue = slices.Insert(r.queue, place, Telling{DoubtFrom: from, Exporter: exporter})
	for other, j := range r.doubts {
		if j >= place {
			r.doubts[other] = j + 1
		}
	}
	r.doubts[exporter] = place
}

// keep queues an event, if there is room.
func (r *Receiver) keep(e *Event, exporter string, domain uint32, now time.Time) bool {
	if len(r.queue)-len(r.doubts) >= r.maxQueued {
		r.verdicts[QueueFull]++
		return false
	}
	at, certainty := e.At, schema.CertaintyObserved
	if at.IsZero() || at.Before(now.Add(-maxAge)) || at.After(now.Add(maxAhead)) {
		if !at.IsZero() {
			r.verdicts[Implausible]++
		}
		at, certainty = now.UTC(), schema.CertaintySynthesised
	}
	r.queue = append(r.queue, Telling{Observation: e.Observation(exporter, domain, at.Truncate(time.Millisecond), certainty)})
	return true
}

// missed extends the gap that is to be told.
func (r *Receiver) missed(from, to time.Time, cause string) {
	if !from.Before(to) {
		to = from.Add(time.Millisecond)
	}
	if r.gap.Cause == "" {
		r.gap = cgnat.Gap{From: from, To: to, Cause: cause}
		return
	}
	if from.Before(r.gap.From) {
		r.gap.From = from
	}
	if to.After(r.gap.To) {
		r.gap.To = to
	}
}

// Take returns what was received since the last call, in order, and whether
// something was missed. Apply what is told before coverage reaches further; a
// doubt is for [cgnat.Blocks.Doubt].
func (r *Receiver) Take() (told []Telling, gaps []cgnat.Gap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	told, r.queue = r.queue, nil
	clear(r.doubts)
	if r.gap.Cause != "" {
		gaps = []cgnat.Gap{r.gap}
		r.gap = cgnat.Gap{}
	}
	return told, gaps
}

// Stats returns the counts.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Exporters = len(r.exporters)
	s.Verdicts = make(map[Verdict]uint64, len(r.verdicts))
	for v, n := range r.verdicts {
		s.Verdicts[v] = n
	}
	return s
}
