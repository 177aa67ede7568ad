package radius

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// state is the JSON form of a Tracker.
type state struct {
	Version int                   `json:"version"`
	NAS     map[string]nasState   `json:"nas"`
	Names   map[netip.Addr]string `json:"names"`
	Tombs   []tombState           `json:"ended"`
}

type nasState struct {
	BootedAt time.Time           `json:"booted_at,omitzero"`
	Sessions map[string]*session `json:"sessions"`
}

type tombState struct {
	NAS       string    `json:"nas"`
	SessionID string    `json:"session_id"`
	Key       string    `json:"key"`
	ArrivedAt time.Time `json:"arrived_at"`
}

const stateVersion = 1

// Snapshot returns the tracker's state for [Tracker.Restore].
func (t *Tracker) Snapshot() ([]byte, error) {
	out := state{Version: stateVersion, NAS: make(map[string]nasState, len(t.nas)), Names: t.names}
	for name, n := range t.nas {
		out.NAS[name] = nasState{n.bootedAt, n.sessions}
	}
	for _, d := range t.tombs {
		out.Tombs = append(out.Tombs, tombState{d.nas, d.sessionID, d.key, d.arrivedAt})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("radius: snapshot: %w", err)
	}
	return text, nil
}

// Restore replaces the tracker's state by a snapshot. On error the tracker is
// unchanged.
func (t *Tracker) Restore(snapshot []byte) error {
	var in state
	if err := json.Unmarshal(snapshot, &in); err != nil {
		return fmt.Errorf("radius: restore: %w", err)
	}
	if in.Version != stateVersion {
		return fmt.Errorf("radius: restore: unknown version %d", in.Version)
	}
	fresh := NewTracker(t.cfg)
	for name, n := range in.NAS {
		if n.Sessions == nil {
			n.Sessions = map[string]*session{}
		}
		for id, s := range n.Sessions {
			if s == nil {
				return fmt.Errorf("radius: restore: empty session %d", len(id))
			}
			if !s.ended() {
				fresh.watch(name, id, s.Key, time.Time{})
			}
		}
		restored := newNAS()
		restored.bootedAt, restored.sessions = n.BootedAt, n.Sessions
		for _, s := range n.Sessions {
			multi := s.Multi
			s.Multi = ""
			restored.join(s, multi)
		}
		fresh.nas[name] = restored
		fresh.sessions += len(n.Sessions)
	}
	if in.Names != nil {
		fresh.names = in.Names
	}
	for _, d := range in.Tombs {
		fresh.tombs = append(fresh.tombs, tomb{d.NAS, d.SessionID, d.Key, d.ArrivedAt})
	}
	*t = *fresh
	return nil
}

// Redo brings the tracker up to an observation that it made before a crash and
// that was durable by then: observations since the snapshot, in their order.
// Those the snapshot already holds do no harm; other sources are ignored.
func (t *Tracker) Redo(o binding.Observation) error {
	if o.Source != schema.SourceRADIUS || o.Kind == binding.Translation {
		return nil
	}
	r := request{nasName: o.NAS, at: o.At, arrivedAt: o.At, nas: t.nas[o.NAS]}
	if r.nas == nil {
		r.nas = newNAS()
		t.nas[o.NAS] = r.nas
	}
	if o.Kind == binding.NASReboot {
		t.reboot(r)
		return nil
	}
	_, sessionID, start, err := parseSessionKey(o.SessionKey)
	if err != nil {
		return fmt.Errorf("redo: %w", err)
	}
	r.SessionID, r.NASPort = sessionID, o.NASPort
	s := r.nas.sessions[sessionID]
	if s == nil || s.Key != o.SessionKey {
		if s != nil && s.StartedAt.After(start) {
			return nil // of an earlier use of the session id
		}
		if s == nil {
			t.sessions++
		} else {
			r.nas.leave(s)
		}
		s = &session{
			Key: o.SessionKey, Identifier: o.Identifier, StartedAt: start, LastSeenAt: o.At,
			StartUnknown: o.SessionStartedAt.IsZero(),
		}
		if !o.SessionStartedAt.IsZero() {
			s.StartedAt = o.SessionStartedAt
		}
		r.nas.sessions[sessionID] = s
		t.watch(o.NAS, sessionID, s.Key, o.At)
	}
	if !o.At.Before(s.LastSeenAt) && len(o.Prefixes) > 0 && !samePrefixes(s.Addresses.prefixes(), o.Prefixes) {
		s.Addresses = unsorted(o.Prefixes)
	}
	s.take(r)
	if o.Octets != nil && (s.Counters == nil || o.Octets.Up >= s.Counters.Up && o.Octets.Down >= s.Counters.Down) {
		s.Counters = &counters{Octets: *o.Octets}
	}
	switch o.Kind {
	case binding.Start:
		s.StartSeen, s.StartUnknown = true, false
	case binding.Refresh:
		s.Interims = true
	case binding.End:
		if !s.ended() {
			t.end(r, s, o.At, o.EndCause)
		}
	}
	return nil
}

func samePrefixes(a, b []netip.Prefix) bool {
	if len(a) != len(b) {
		return false
	}
	have := make(map[netip.Prefix]bool, len(a))
	for _, p := range a {
		have[p] = true
	}
	for _, p := range b {
		if !have[p] {
			return false
		}
	}
	return true
}

// unsorted sorts prefixes by kind as far as their lengths tell.
func unsorted(prefixes []netip.Prefix) Addresses {
	var a Addresses
	for _, p := range prefixes {
		switch {
		case p.Addr().Is4():
			a.IPv4 = append(a.IPv4, p)
		case p.Bits() == 128:
			a.IPv6Address = append(a.IPv6Address, p)
		default:
			a.Unsorted = append(a.Unsorted, p)
		}
	}
	return a
}
