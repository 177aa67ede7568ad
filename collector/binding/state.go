package binding

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// stateVersion is the version of the snapshot and of the deltas.
const stateVersion = 1

// An event is everything that changes a Binding; a delta is its JSON.
type event struct {
	Now         time.Time    `json:"now"`
	Observation *Observation `json:"observation,omitempty"`
	Tick        *Clock       `json:"tick,omitempty"`
	Gap         *gap         `json:"gap,omitempty"` // with Tick as its clock
	Usage       []usageEvent `json:"usage,omitempty"`
	Flushed     bool         `json:"flushed,omitempty"`
	Started     *Clock       `json:"started,omitempty"`
	Stopped     *Clock       `json:"stopped,omitempty"`
}

type usageEvent struct {
	Key     counterKey       `json:"key"`
	Ref     schema.AccessRef `json:"ref"`
	Bytes   uint64           `json:"bytes"`
	Packets uint64           `json:"packets"`
	Gone    bool             `json:"gone,omitempty"` // forgotten
}

// encode cannot fail: an event holds nothing that JSON cannot.
func (b *Binding) encode(ev event) []byte {
	if b.cfg.WithoutDeltas {
		return nil
	}
	if ev.Usage != nil || ev.Flushed {
		return append(appendUsage(nil, ev), '\n')
	}
	out, err := json.Marshal(ev)
	if err != nil {
		panic("binding: encode event: " + err.Error())
	}
	return append(out, '\n')
}

// do performs an event and reports whether it changed the state.
func (b *Binding) do(ev event) (e Effects, changed bool) {
	switch {
	case ev.Observation != nil:
		changed = b.observe(ev.Now, *ev.Observation, &e)
	case ev.Gap != nil && ev.Tick != nil:
		b.gapped(*ev.Gap, *ev.Tick, &e)
		changed = true
	case ev.Tick != nil:
		b.tick(ev.Now, *ev.Tick, false, &e)
		changed = true
	case ev.Started != nil:
		b.started(ev.Now, *ev.Started, &e)
		changed = true
	case ev.Stopped != nil:
		b.tick(ev.Now, *ev.Stopped, true, &e)
		if b.coverage.Open {
			e.Records = append(e.Records, b.coverageRecord(ev.Now, false))
		}
		changed = true
	case ev.Usage != nil || ev.Flushed:
		b.usageDone(ev)
		changed = true
	}
	return e, changed
}

func (b *Binding) must(ev event) Effects {
	e, _ := b.do(ev)
	e.Delta = b.encode(ev)
	return e
}

type snapshot struct {
	StateVersion int          `json:"state_version"`
	AsOf         time.Time    `json:"as_of"` // leases that lapsed by then are closed
	Version      uint64       `json:"version"`
	LastReemit   time.Time    `json:"last_reemit"`
	LastFlush    time.Time    `json:"last_flush"`
	Round        round        `json:"round"`
	Sessions     []*session   `json:"sessions,omitempty"` // last, by appendSession
	Reboots      []nasReboots `json:"reboots"`
	Usage        []usageEvent `json:"usage"`
	Coverage     coverage     `json:"coverage"`
}

type nasReboots struct {
	Key nasKey
	At  []time.Time
}

// Snapshot returns the whole state, to be kept with the deltas that follow it.
// It holds access identifiers in clear: keep it where only the collector reads.
func (b *Binding) Snapshot() ([]byte, error) {
	s := snapshot{
		StateVersion: stateVersion, AsOf: b.asOf(), Version: b.version,
		LastReemit: b.lastReemit, LastFlush: b.lastFlush, Round: b.round, Coverage: b.coverage,
	}
	for k, at := range b.reboots {
		s.Reboots = append(s.Reboots, nasReboots{k, at})
	}
	slices.SortFunc(s.Reboots, func(x, y nasReboots) int {
		return cmp.Or(cmp.Compare(x.Key.Source, y.Key.Source), cmp.Compare(x.Key.NAS, y.Key.NAS))
	})
	for _, c := range b.sortedUsage(true) {
		s.Usage = append(s.Usage, usageEvent{c.Key, c.Ref, c.Bytes, c.Packets, false})
	}
	head, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("binding: snapshot: %w", err)
	}
	out := make([]byte, 0, len(head)+b.snapshotBytes+b.snapshotBytes/8)
	out = append(append(out, head[:len(head)-1]...), `,"sessions":[`...)
	for _, bucket := range b.buckets {
		for _, x := range bucket {
			out = append(appendSession(out, x), ',')
		}
	}
	out = append(bytes.TrimSuffix(out, []byte(",")), `]}`...)
	b.snapshotBytes = len(out)
	return out, nil
}

// asOf is a time at which every lease that was closed had lapsed and every
// live one had not.
func (b *Binding) asOf() time.Time {
	next := b.nextDeadline()
	if next.IsZero() {
		return time.UnixMilli(1 << 47).UTC() // no live session expires
	}
	return next.Add(-time.Millisecond)
}

// Restore brings a new Binding to the state that Snapshot saw, as changed by
// the deltas that Effects returned since, in their order. A nil snapshot is the
// empty state.
func (b *Binding) Restore(state []byte, deltas [][]byte) error {
	if state != nil {
		if err := b.restore(state); err != nil {
			return fmt.Errorf("binding: restore: %w", err)
		}
	}
	for i, delta := range deltas {
		decoder := json.NewDecoder(bytes.NewReader(delta))
		for {
			var ev event
			err := decoder.Decode(&ev)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("binding: restore: delta %d: %w", i, err)
			}
			b.do(ev)
		}
	}
	return nil
}

func (b *Binding) restore(state []byte) error {
	var s snapshot
	if err := json.Unmarshal(state, &s); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if s.StateVersion != stateVersion {
		return fmt.Errorf("snapshot: version %d, want %d: it was written by another release", s.StateVersion, stateVersion)
	}
	b.version, b.lastReemit, b.lastFlush, b.round, b.coverage = s.Version, s.LastReemit, s.LastFlush, s.Round, s.Coverage
	for _, r := range s.Reboots {
		b.reboots[r.Key] = r.At
	}
	for _, u := range s.Usage {
		b.usage[u.Key.index()] = &counter{Key: u.Key, Ref: u.Ref, Bytes: u.Bytes, Packets: u.Packets}
	}
	keys := map[address]bool{}
	for _, x := range s.Sessions {
		b.remember(x)
		b.derive(x, s.AsOf)
		b.index(x)
		for _, c := range x.claims {
			keys[address{c.Prefix, x.Scope}] = true
		}
	}
	for _, x := range s.Sessions {
		b.resolve(x)
		b.count(x)
		b.await(x)
	}
	b.install(keys, &Effects{})
	return nil
}

// Observations returns the observations among the events of a delta, in their
// order, so that sources that keep state of their own can follow it.
func Observations(delta []byte) (out []Observation, err error) {
	decoder := json.NewDecoder(bytes.NewReader(delta))
	for {
		var ev event
		err := decoder.Decode(&ev)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("binding: delta: %w", err)
		}
		if ev.Observation != nil {
			out = append(out, *ev.Observation)
		}
	}
}

// Sessions returns every remembered session as one observation, in a stable
// order: the live ones as Refresh, ended ones as End. Sources that keep
// state of their own rebuild it from these after a restart.
func (b *Binding) Sessions() []Observation {
	out := make([]Observation, 0, len(b.sessions))
	for _, s := range b.sessions {
		o := Observation{
			At: s.LastAt, Kind: Refresh, Source: s.Key.Source, Certainty: schema.CertaintyObserved,
			SessionKey: s.Key.Key, Identifier: s.Identifier, NAS: s.NAS, NASPort: s.NASPort, Scope: s.Scope,
			SessionStartedAt: s.start.At, ExpiresAt: s.ExpiresAt,
		}
		if n := len(s.Runs); n > 0 {
			o.Prefixes = append([]netip.Prefix(nil), s.Runs[n-1].Prefixes...)
		}
		if !s.live() {
			o.Kind, o.At, o.EndCause, o.Certainty = End, s.end.At, s.end.Cause, s.end.Certainty
		}
		out = append(out, o)
	}
	slices.SortFunc(out, func(x, y Observation) int {
		return cmp.Or(cmp.Compare(x.Source, y.Source), cmp.Compare(x.SessionKey, y.SessionKey))
	})
	return out
}
