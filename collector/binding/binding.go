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
	// Ranges are the provider's own prefixes and those of its resellers. If there
	// are any, nobody holds anything but what is the provider's own at the time,
	// whatever a source says.
	Ranges []Range
	// StaleAfter is after how much silence a RADIUS session counts as ended, with
	// [schema.EndInferred]: when it was last heard of, or, if its NAS never said
	// anything after the Start, at this limit. 0: never.
	StaleAfter time.Duration
	// ReemitSlice is at least how many sessions one tick of a re-emission looks at
	// ([DefaultReemitSlice]). More are if it would otherwise take longer than half
	// of ReemitInterval.
	ReemitSlice int
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

// Empty reports whether nothing follows.
func (e Effects) Empty() bool {
	return len(e.Records) == 0 && len(e.Unassign) == 0 && len(e.Assign) == 0 && len(e.Delta) == 0
}

// Ignored counts observations that changed nothing because they could not be
// used, by reason.
type Ignored struct {
	TooLate           uint64 // older than the horizon
	NoIdentifier      uint64 // no session key
	IdentifierChanged uint64 // a session cannot move to another line; its first identifier holds
	TooManyPrefixes   uint64 // more than maxPrefixes; the rest was cut off
	OutsideRanges     uint64 // prefixes in no range; left out
	OtherProvider     uint64 // prefixes in a range that another provider uses; left out
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
	ranges    *ranges
	sessions  map[sessionKey]*session
	buckets   [roundBuckets][]*session // the same, sorted
	live      int                      // how many of them live
	deadlines deadlines
	round     round

	snapshotBytes int                    // of the last one
	reboots       map[nasKey][]time.Time // ascending, within the horizon
	holders       map[claimKey][]*session
	installed     map[address]schema.AccessRef
	usage         map[counterIndex]*counter
	inOrder       []*counter // of the last readings
	drains        uint64     // calls of Usage
	coverage      coverage

	version    uint64 // last version given to a slice
	lastReemit time.Time
	lastFlush  time.Time
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
	if cfg.ReemitSlice <= 0 {
		cfg.ReemitSlice = DefaultReemitSlice
	}
	return &Binding{
		cfg:       cfg,
		ranges:    newRanges(cfg.Ranges),
		sessions:  map[sessionKey]*session{},
		reboots:   map[nasKey][]time.Time{},
		holders:   map[claimKey][]*session{},
		installed: map[address]schema.AccessRef{},
		usage:     map[counterIndex]*counter{},
	}
}

// Ignored returns the counts of unusable observations since New.
func (b *Binding) Ignored() Ignored { return b.ignored }

// Live returns how many sessions are open and how many addresses are held.
func (b *Binding) Live() (sessions, addresses int) {
	return b.live, len(b.installed)
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
	if o.Kind == Translation {
		return Effects{Delta: b.encode(event{Now: now, Observation: &o})}
	}
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
	if o.Kind == Translation {
		return true
	}
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
		b.remember(s)
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
	if len(o.Prefixes) == 0 {
		o.Prefixes = nil
	}
	o.Prefixes = b.own(o.Prefixes, o.At)
	s.observe(o)
	return s
}

// Tick lets time pass: leases lapse, sessions go stale, slices are cut at UTC
// midnight, and every ReemitInterval a round begins, in which all open slices are
// emitted up to now: some at each tick, and after the last a coverage row that
// ends at that tick. Call it about once a second.
func (b *Binding) Tick(now time.Time, clock Clock) Effects {
	now = milli(now)
	if next := b.nextDeadline(); !b.round.Running && !b.reemitDue(now) && (next.IsZero() || now.Before(next)) {
		return Effects{}
	}
	return b.must(event{Now: now, Tick: &clock})
}

// NextTick returns the time before which Tick does nothing, unless Apply changes
// that.
func (b *Binding) NextTick() time.Time {
	if b.round.Running {
		return b.round.At
	}
	next := b.lastReemit.Add(b.cfg.ReemitInterval)
	if day := midnight(b.lastReemit).Add(24 * time.Hour); day.Before(next) {
		next = day
	}
	return earliest(next, b.nextDeadline())
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
		b.count(s)
		b.await(s)
		e.Records = append(e.Records, b.emit(s, now, reemit)...)
	}
	b.install(keys, e)
}

// count keeps the number of live sessions.
func (b *Binding) count(s *session) {
	if live := s.live(); live != s.counted {
		s.counted = live
		if live {
			b.live++
		} else {
			b.live--
		}
	}
}

func milli(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func midnight(t time.Time) time.Time { return t.Truncate(24 * time.Hour) }
