package cgnat

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// A StaticBlock is a block of ports that the configuration gives to an inside
// address or, with an identifier, to a line.
type StaticBlock struct {
	Block      binding.PortBlock
	Inside     netip.Addr
	Identifier schema.Identifier
}

// BlocksConfig is what [Blocks] needs to know.
type BlocksConfig struct {
	CollectorID   string
	Pseudonymiser *schema.Pseudonymiser
}

// Blocks keeps the blocks of ports that sessions, inside addresses and the
// configuration have. It is pure and not safe for concurrent use. Like a [binding.Binding] it is rebuilt
// from a snapshot and the observations since.
type Blocks struct {
	cfg      BlocksConfig
	sessions map[sessionKey][]*held
	pages    map[page][]*held // by each page that a block touches
	count    int
	ended    []*held // to be given out
	version  uint64
	stats    BlocksStats
}

type sessionKey struct {
	Source  schema.Source
	Session string
}

// maxHeld bounds the blocks that are held at once.
const maxHeld = 4_000_000

// maxPerSession bounds the blocks that one session holds.
const maxPerSession = 256

type heldKey struct {
	sessionKey
	Outside netip.Addr
	Start   uint16
	End     uint16
	Proto   uint8
}

// held is a block as it is kept, also in a snapshot.
type held struct {
	Key       heldKey
	Ref       schema.AccessRef
	Inside    netip.Addr
	NAS       string
	Certainty schema.Certainty // of the start
	From      time.Time
	LastTold  time.Time // the session lived then
	Slice     time.Time // start of the slice that is open: From, or a midnight
	To        time.Time // zero while it is held
	Cause     schema.EndCause
	EndSure   schema.Certainty
	Flows     int `json:",omitempty"` // that live, of a port that a log tells of flow by flow

	stored bool
}

// NewBlocks returns an empty state.
func NewBlocks(cfg BlocksConfig) *Blocks {
	return &Blocks{cfg: cfg, sessions: map[sessionKey][]*held{}, pages: map[page][]*held{}}
}

// BlocksStats count since New, but for Held.
type BlocksStats struct {
	Held        int
	Refused     uint64 // blocks beyond what is remembered, of all or of one session
	UnknownEnds uint64 // a translator took back what it was not known to have given
	LateEnds    uint64 // or what it has given again since
	Aged        uint64 // flows whose end was not told for a day
}

// Stats returns the counts.
func (b *Blocks) Stats() BlocksStats {
	s := b.stats
	s.Held = b.count
	return s
}

// page is 256 ports of a shared address: what may overlap a block has a page in
// common with it.
type page struct {
	Outside netip.Addr
	Number  uint8
}

// each calls f with every page that the block touches.
func (k heldKey) each(f func(page)) {
	for n := int(k.Start >> 8); n <= int(k.End>>8); n++ {
		f(page{k.Outside, uint8(n)})
	}
}

// find returns a block that is held, or nil.
func (b *Blocks) find(k heldKey) *held {
	for _, h := range b.sessions[k.sessionKey] {
		if h.Key == k {
			return h
		}
	}
	return nil
}

// Apply takes in an observation of a session. Blocks are its own until they are
// taken back or the session ends. A block that another session is given while
// nothing was told of the first one since then was given up (superseded).
func (b *Blocks) Apply(o binding.Observation) {
	if o.Kind == binding.Translation {
		b.translated(o)
		return
	}
	if o.Kind == binding.NASReboot {
		for _, list := range b.sessions {
			for _, h := range slices.Clone(list) {
				if h.Key.Source == o.Source && h.NAS == o.NAS && !h.From.After(o.At) && !h.LastTold.After(o.At) {
					b.end(h, o.At, schema.EndNASReboot, schema.CertaintyInferred)
				}
			}
		}
		return
	}
	session := sessionKey{o.Source, o.SessionKey}
	for _, h := range b.sessions[session] {
		if o.At.After(h.LastTold) {
			h.LastTold = o.At
		}
	}
	for _, p := range o.Blocks {
		b.told(session, o, p)
	}
	if o.Kind == binding.End {
		for _, h := range slices.Clone(b.sessions[session]) {
			b.end(h, o.At, o.EndCause, o.Certainty)
		}
	}
}

// told takes in one block of an observation.
func (b *Blocks) told(session sessionKey, o binding.Observation, p binding.PortBlock) {
	key := heldKey{session, p.Outside, p.PortStart, p.PortEnd, p.Protocol}
	h := b.find(key)
	switch {
	case p.Released && h != nil:
		b.end(h, o.At, schema.EndRelease, o.Certainty)
		return
	case p.Released, h != nil, o.Identifier.Value == "":
		return
	case len(b.sessions[session]) >= maxPerSession:
		b.stats.Refused++
		return
	}
	from, certainty := o.At, o.Certainty
	if o.Kind == binding.End { // it had it all along, as far as anybody knows
		if o.SessionStartedAt.IsZero() {
			return
		}
		from, certainty = o.SessionStartedAt, schema.CertaintyInferred
	}
	b.give(&held{Key: key, Ref: b.cfg.Pseudonymiser.Ref(o.Identifier), NAS: o.NAS, Certainty: certainty, From: from, LastTold: o.At, Slice: from})
}

// give adds a block and ends those that it supersedes.
func (b *Blocks) give(n *held) {
	n.Key.each(func(p page) {
		for _, h := range slices.Clone(b.pages[p]) {
			if h.Key.Source == n.Key.Source && h.NAS == n.NAS && h.Key.Session != n.Key.Session && h.overlaps(n) && h.LastTold.Before(n.From) {
				b.end(h, n.From, schema.EndSuperseded, schema.CertaintyInferred)
			}
		}
	})
	b.add(n)
}

func (b *Blocks) add(n *held) {
	if b.count >= maxHeld {
		b.stats.Refused++
		return
	}
	b.sessions[n.Key.sessionKey] = append(b.sessions[n.Key.sessionKey], n)
	n.Key.each(func(p page) { b.pages[p] = append(b.pages[p], n) })
	b.count++
}

func (h *held) overlaps(o *held) bool {
	return h.Key.Outside == o.Key.Outside && h.Key.Start <= o.Key.End && o.Key.Start <= h.Key.End &&
		(h.Key.Proto == 0 || o.Key.Proto == 0 || h.Key.Proto == o.Key.Proto)
}

func (b *Blocks) end(h *held, at time.Time, cause schema.EndCause, sure schema.Certainty) {
	if at.Before(h.From) {
		at = h.From
	}
	h.To, h.Cause, h.EndSure = at, cause, sure
	without(b.sessions, h.Key.sessionKey, h)
	h.Key.each(func(p page) { without(b.pages, p, h) })
	b.count--
	b.ended = append(b.ended, h)
}

func without[K comparable](index map[K][]*held, k K, h *held) {
	rest := slices.DeleteFunc(index[k], func(x *held) bool { return x == h })
	if len(rest) == 0 {
		delete(index, k)
		return
	}
	index[k] = rest
}

// each calls f with every block that is held.
func (b *Blocks) each(f func(*held)) {
	for _, list := range b.sessions {
		for _, h := range slices.Clone(list) {
			f(h)
		}
	}
}

// Configure makes the configured blocks agree at now with the given ones. It
// returns the number of changes. They are not in any delta: after a crash the same is
// configured anew.
func (b *Blocks) Configure(blocks []StaticBlock, now time.Time) (changes int) {
	now = now.UTC()
	wanted := map[heldKey]*held{}
	for _, s := range blocks {
		h := &held{Inside: s.Inside, Certainty: schema.CertaintyObserved, From: now, LastTold: now, Slice: now}
		name := s.Inside.String()
		if s.Identifier.Value != "" {
			h.Ref = b.cfg.Pseudonymiser.Ref(s.Identifier)
			h.Inside, name = netip.Addr{}, h.Ref.String()
		}
		h.Key = heldKey{sessionKey{schema.SourceStatic, name}, s.Block.Outside, s.Block.PortStart, s.Block.PortEnd, s.Block.Protocol}
		wanted[h.Key] = h
	}
	b.each(func(h *held) {
		if h.Key.Source == schema.SourceStatic && wanted[h.Key] == nil {
			b.end(h, now, schema.EndRelease, schema.CertaintyObserved)
			changes++
		}
	})
	for key, h := range wanted {
		if b.find(key) == nil {
			b.add(h)
			changes++
		}
	}
	return changes
}

// Restate has everything that is held given out again, as [Table.Restate].
func (b *Blocks) Restate() {
	b.each(func(h *held) { h.stored = false })
}

// Records returns the rows of what ended and, with all set, of what is held and
// not stored as it is, as [Table.Records].
func (b *Blocks) Records(now time.Time, all bool) []schema.Record {
	var out []schema.Record
	if all {
		b.age(now)
	}
	slices.SortFunc(b.ended, func(x, y *held) int { return x.To.Compare(y.To) })
	for _, h := range b.ended {
		out = b.rows(out, h, now)
	}
	b.ended = nil
	if !all {
		return out
	}
	b.each(func(h *held) {
		if !h.stored || midnight(now).After(h.Slice) {
			out = b.rows(out, h, now)
			h.stored = true
		}
	})
	return out
}

func (b *Blocks) rows(out []schema.Record, h *held, now time.Time) []schema.Record {
	until := h.To
	if until.IsZero() {
		until = now
		if until.Before(h.Slice) {
			until = h.Slice
		}
	}
	for next := midnight(h.Slice).Add(24 * time.Hour); next.Before(until); next = next.Add(24 * time.Hour) {
		out = append(out, b.row(h, next, false, schema.EndCut, h.Certainty, now))
		h.Slice = next
	}
	certainty := h.Certainty
	if !h.To.IsZero() && (h.EndSure == schema.CertaintyInferred || certainty == schema.CertaintyObserved) {
		certainty = cmp.Or(h.EndSure, certainty)
	}
	return append(out, b.row(h, until, h.To.IsZero(), h.Cause, certainty, now))
}

func (b *Blocks) row(h *held, until time.Time, open bool, cause schema.EndCause, certainty schema.Certainty, now time.Time) *schema.Assignment {
	b.version = max(b.version+1, uint64(max(now.UnixMilli(), 0)))
	id := b.cfg.Pseudonymiser.ID("block", b.cfg.CollectorID, string(h.Key.Source), h.Key.Session, h.Key.Outside.String(),
		strconv.Itoa(int(h.Key.Start)), strconv.Itoa(int(h.Key.End)), strconv.Itoa(int(h.Key.Proto)), h.From.Format(time.RFC3339Nano))
	return &schema.Assignment{
		AssignmentID: id, AccessRef: h.Ref, Prefix: netip.PrefixFrom(h.Key.Outside, h.Key.Outside.BitLen()), PortStart: h.Key.Start, PortEnd: h.Key.End,
		Protocol: h.Key.Proto, Inside: h.Inside, AssignmentStartedAt: h.From.Truncate(time.Millisecond), StartedAt: h.Slice.Truncate(time.Millisecond),
		EndedAt: until.Truncate(time.Millisecond), Open: open, Version: b.version, EndCause: cause, Source: h.Key.Source, Certainty: certainty,
		CollectorID: b.cfg.CollectorID,
	}
}

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// blocksVersion is the version of the snapshot.
const blocksVersion = 1

type blocksSnapshot struct {
	Version     int     `json:"version"`
	RowsVersion uint64  `json:"rows_version"`
	Held        []*held `json:"held"`
}

// Snapshot returns the state. What ended must have been given out and stored.
func (b *Blocks) Snapshot() ([]byte, error) {
	s := blocksSnapshot{Version: blocksVersion, RowsVersion: b.version, Held: []*held{}}
	b.each(func(h *held) { s.Held = append(s.Held, h) })
	slices.SortFunc(s.Held, func(x, y *held) int {
		return cmp.Or(cmp.Compare(x.Key.Source, y.Key.Source), cmp.Compare(x.Key.Session, y.Key.Session), x.Key.Outside.Compare(y.Key.Outside),
			cmp.Compare(x.Key.Start, y.Key.Start), cmp.Compare(x.Key.End, y.Key.End), cmp.Compare(x.Key.Proto, y.Key.Proto))
	})
	out, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("port blocks: snapshot: %w", err)
	}
	return out, nil
}

// Restore brings a new Blocks to the state of a snapshot; nil is the empty one.
// Everything will be given out again.
func (b *Blocks) Restore(state []byte) error {
	if state == nil {
		return nil
	}
	var s blocksSnapshot
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("port blocks: snapshot: %w", err)
	}
	if s.Version != blocksVersion {
		return fmt.Errorf("port blocks: snapshot: version %d, want %d", s.Version, blocksVersion)
	}
	b.version = s.RowsVersion
	for _, h := range s.Held {
		b.add(h)
	}
	return nil
}
