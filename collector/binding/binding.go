package binding

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// Config is what a [Binding] needs to know. CollectorID and Pseudonymiser are
// required; the rest has defaults.
type Config struct {
	CollectorID   string
	Pseudonymiser *schema.Pseudonymiser
	// ReemitInterval is how often open slices are emitted again (5 minutes).
	ReemitInterval time.Duration
	// FlushInterval is how often usage is emitted within a bucket
	// ([schema.BucketLength]: once a bucket).
	FlushInterval time.Duration
	// DrainSlack is how long after a bucket's end a reading still counts into
	// that bucket. Half the drain interval is right for a caller that reads at
	// every bucket's end, give or take its scheduling delay: then a bucket's
	// error is what the line moved during that delay. A reading that comes
	// later (the collector was down) counts whole into the bucket of its own time.
	DrainSlack time.Duration
	// Horizon is how late an observation may arrive and still correct what was
	// recorded, and how long ended sessions are remembered (24 hours).
	Horizon time.Duration
	// Ranges are the provider's own prefixes. If there are any, nobody holds
	// anything outside of them, whatever a source says.
	Ranges []netip.Prefix
	// WithoutDeltas leaves Effects.Delta empty, for a caller that never restores.
	WithoutDeltas bool
}

// Change is one address of the datapath's table that starts or stops counting
// for a line.
type Change struct {
	Prefix    netip.Prefix
	Scope     uint32
	AccessRef schema.AccessRef
}

// Effects are what follows from one event: records to store, changes for the
// datapath (unassign first), and the delta from which [Binding.Restore] can
// repeat the event. Make Records and Delta durable, in one step, before
// performing the changes or acknowledging the event.
type Effects struct {
	Records  []schema.Record
	Unassign []Change
	Assign   []Change
	Delta    []byte // newline-terminated JSON; empty if the state did not change
}

// Add appends the effects of a later event.
func (e *Effects) Add(f Effects) {
	e.Records = append(e.Records, f.Records...)
	e.Unassign = append(e.Unassign, f.Unassign...)
	e.Assign = append(e.Assign, f.Assign...)
	e.Delta = append(e.Delta, f.Delta...)
}

// Ignored counts observations that changed nothing because they could not be
// used, by reason.
type Ignored struct {
	TooLate           uint64 // older than the horizon
	NoIdentifier      uint64 // no session key
	IdentifierChanged uint64 // a session cannot move to another line; its first identifier holds
	TooManyPrefixes   uint64 // more than maxPrefixes; the rest was cut off
	OutsideRanges     uint64 // prefixes that are not the provider's own; left out
	CounterRegressed  uint64 // a counter went backwards; rebased, nothing counted
}

const (
	maxPrefixes = 64 // held by one session at a time
	maxRuns     = 32 // changes of address remembered per session
)

// A Binding is the state of who holds what. It is not safe for concurrent use:
// one goroutine owns it.
//
// What it records is a function of the facts observed, not of the order they
// arrived in: every observation is merged into its session's facts, the
// session's slices are computed anew, and the difference to what was emitted is
// emitted with a higher version. A slice that turns out never to have been is
// emitted once more as the empty interval [StartedAt, StartedAt).
type Binding struct {
	cfg       Config
	sessions  map[sessionKey]*session
	reboots   map[nasKey][]time.Time // ascending, within the horizon
	holders   map[claimKey][]*session
	installed map[address]schema.AccessRef
	usage     map[counterKey]*counter
	drains    uint64 // calls of Usage
	coverage  coverage

	version    uint64 // last version given to a slice
	lastReemit time.Time
	lastFlush  time.Time
	nextExpiry time.Time // no session lapses before it; zero if none does
	ignored    Ignored
}

type sessionKey struct {
	Source schema.Source
	Key    string
}

type nasKey struct {
	Source schema.Source
	NAS    string
}

type address struct {
	Prefix netip.Prefix
	Scope  uint32
}

type claimKey struct {
	Source schema.Source
	address
}

// New returns an empty Binding.
func New(cfg Config) *Binding {
	if cfg.ReemitInterval <= 0 {
		cfg.ReemitInterval = 5 * time.Minute
	}
	if cfg.FlushInterval <= 0 {
		cfg.FlushInterval = schema.BucketLength
	}
	if cfg.DrainSlack <= 0 {
		cfg.DrainSlack = time.Nanosecond
	}
	if cfg.Horizon <= 0 {
		cfg.Horizon = 24 * time.Hour
	}
	return &Binding{
		cfg:       cfg,
		sessions:  map[sessionKey]*session{},
		reboots:   map[nasKey][]time.Time{},
		holders:   map[claimKey][]*session{},
		installed: map[address]schema.AccessRef{},
		usage:     map[counterKey]*counter{},
	}
}

// Ignored returns the counts of unusable observations since New.
func (b *Binding) Ignored() Ignored { return b.ignored }

// Live returns how many sessions are open and how many addresses are held.
func (b *Binding) Live() (sessions, addresses int) {
	for _, s := range b.sessions {
		if s.live() {
			sessions++
		}
	}
	return sessions, len(b.installed)
}

// Installed returns every address that should be counting, in no order: what a
// restarted caller compares the datapath's table with.
func (b *Binding) Installed() []Change {
	out := make([]Change, 0, len(b.installed))
	for a, ref := range b.installed {
		out = append(out, Change{a.Prefix, a.Scope, ref})
	}
	return out
}

// Apply merges one observation that arrived at now. Repeating it changes
// nothing.
func (b *Binding) Apply(now time.Time, o Observation) Effects {
	now = milli(now)
	o.At, o.SessionStartedAt, o.ExpiresAt = milli(o.At), milli(o.SessionStartedAt), milli(o.ExpiresAt)
	if o.At.Before(now.Add(-b.cfg.Horizon)) && !(o.Source == schema.SourceStatic) {
		b.ignored.TooLate++
		return Effects{}
	}
	ev := event{Now: now, Observation: &o}
	e, changed := b.do(ev)
	if changed {
		e.Delta = b.encode(ev)
	}
	return e
}

func (b *Binding) observe(now time.Time, o Observation, e *Effects) (changed bool) {
	var touched []*session
	if o.Kind == NASReboot {
		touched = b.reboot(o)
	} else if s := b.merge(now, o); s != nil {
		touched = []*session{s}
	}
	b.settle(now, touched, false, e)
	if len(touched) == 1 {
		b.octets(touched[0], o, e)
	}
	return o.Kind == NASReboot || len(touched) > 0
}

// reboot remembers that a NAS restarted and returns the sessions it may end.
func (b *Binding) reboot(o Observation) (touched []*session) {
	k := nasKey{o.Source, o.NAS}
	i, found := slices.BinarySearchFunc(b.reboots[k], o.At, time.Time.Compare)
	if found {
		return nil
	}
	b.reboots[k] = slices.Insert(b.reboots[k], i, o.At)
	for _, s := range b.sessions {
		if s.Key.Source == o.Source && s.NAS == o.NAS {
			touched = append(touched, s)
		}
	}
	slices.SortFunc(touched, compareSessions)
	return touched
}

// merge adds the observation to its session's facts and returns the session.
func (b *Binding) merge(now time.Time, o Observation) *session {
	if o.SessionKey == "" {
		b.ignored.NoIdentifier++
		return nil
	}
	k := sessionKey{o.Source, o.SessionKey}
	s := b.sessions[k]
	if s == nil {
		s = &session{
			Key:          k,
			ID:           b.cfg.Pseudonymiser.ID("session", b.cfg.CollectorID, string(k.Source), k.Key),
			SettledUntil: midnight(now.Add(-b.cfg.Horizon)),
		}
		b.sessions[k] = s
	}
	if o.Identifier.Value != "" {
		ref := b.cfg.Pseudonymiser.Ref(o.Identifier)
		switch {
		case !s.Known:
			s.Ref, s.Known, s.Identifier = ref, true, o.Identifier
		case s.Ref != ref:
			b.ignored.IdentifierChanged++
		}
	}
	if len(o.Prefixes) > maxPrefixes {
		b.ignored.TooManyPrefixes++
		o.Prefixes = o.Prefixes[:maxPrefixes]
	}
	o.Prefixes = b.own(o.Prefixes)
	s.observe(o)
	return s
}

// own leaves out prefixes that are not within the provider's ranges.
func (b *Binding) own(prefixes []netip.Prefix) []netip.Prefix {
	if len(b.cfg.Ranges) == 0 {
		return prefixes
	}
	var out []netip.Prefix
	for _, p := range prefixes {
		if slices.ContainsFunc(b.cfg.Ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr().Unmap()) }) {
			out = append(out, p)
		} else {
			b.ignored.OutsideRanges++
		}
	}
	return out
}

// Tick lets time pass: leases lapse, slices are cut at UTC midnight, and every
// ReemitInterval all open slices are emitted up to now, followed by a coverage
// row that ends at now. Call it about once a second.
func (b *Binding) Tick(now time.Time, clock Clock) Effects {
	now = milli(now)
	if !b.reemitDue(now) && (b.nextExpiry.IsZero() || now.Before(b.nextExpiry)) {
		return Effects{}
	}
	return b.must(event{Now: now, Tick: &clock})
}

// NextTick returns the time before which Tick does nothing, unless Apply changes
// that.
func (b *Binding) NextTick() time.Time {
	next := b.lastReemit.Add(b.cfg.ReemitInterval)
	if day := midnight(b.lastReemit).Add(24 * time.Hour); day.Before(next) {
		next = day
	}
	if !b.nextExpiry.IsZero() && b.nextExpiry.Before(next) {
		next = b.nextExpiry
	}
	return next
}

func (b *Binding) reemitDue(now time.Time) bool {
	return !now.Before(b.lastReemit.Add(b.cfg.ReemitInterval)) || !midnight(now).Equal(midnight(b.lastReemit))
}

func (b *Binding) tick(now time.Time, clock Clock, reemit bool, e *Effects) {
	var touched []*session
	b.nextExpiry = time.Time{}
	for _, s := range b.sessions {
		if s.live() && (reemit || s.lapsed(now)) {
			touched = append(touched, s)
		} else {
			b.awaitExpiry(s)
		}
	}
	slices.SortFunc(touched, compareSessions)
	b.settle(now, touched, reemit, e)
	if reemit {
		b.lastReemit = now
		b.forget(now)
		e.Records = append(e.Records, b.cover(now, clock)...)
	}
}

func (s *session) lapsed(now time.Time) bool {
	return !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt)
}

// awaitExpiry makes sure that a tick looks at s when its lease lapses.
func (b *Binding) awaitExpiry(s *session) {
	if s.live() && !s.ExpiresAt.IsZero() && (b.nextExpiry.IsZero() || s.ExpiresAt.Before(b.nextExpiry)) {
		b.nextExpiry = s.ExpiresAt
	}
}

// forget drops what can no longer change: sessions that ended, and slices and
// restarts that lie, beyond the horizon.
func (b *Binding) forget(now time.Time) {
	old := now.Add(-b.cfg.Horizon)
	for k, s := range b.sessions {
		ended := !s.live() && s.end.At.Before(old) || !s.Known && s.FirstAt.Before(old)
		if ended && s.LastAt.Before(old) {
			b.unindex(s)
			delete(b.sessions, k)
			continue
		}
		s.settleUntil(midnight(old))
	}
	for k, at := range b.reboots {
		at = slices.DeleteFunc(at, func(t time.Time) bool { return t.Before(old) })
		if len(at) == 0 {
			delete(b.reboots, k)
			continue
		}
		b.reboots[k] = at
	}
}

// settle recomputes the touched sessions and every session that shares an
// address with them, and emits what changed.
func (b *Binding) settle(now time.Time, touched []*session, reemit bool, e *Effects) {
	affected := map[*session]bool{}
	keys := map[address]bool{}
	note := func(s *session) {
		for _, c := range s.claims {
			k := claimKey{s.Key.Source, address{c.Prefix, s.Scope}}
			keys[k.address] = true
			for _, other := range b.holders[k] {
				affected[other] = true
			}
		}
	}
	for _, s := range touched {
		affected[s] = true
		note(s)
		b.unindex(s)
		b.derive(s, now)
		b.index(s)
		note(s)
	}
	order := slices.SortedFunc(maps.Keys(affected), compareSessions)
	for _, s := range order {
		b.resolve(s)
		b.awaitExpiry(s)
		e.Records = append(e.Records, b.emit(s, now, reemit)...)
	}
	b.install(keys, e)
}

func milli(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func midnight(t time.Time) time.Time { return t.Truncate(24 * time.Hour) }
