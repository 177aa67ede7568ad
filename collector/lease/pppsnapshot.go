package lease

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// sessionKeyPPP names a session for good: where, who, which id, its PADS.
func sessionKeyPPP(k pppKey, first time.Time) string {
	return placeText(k.place) + "|" + k.text() + "|" + strconv.FormatInt(first.UnixNano(), 10)
}

func parseSessionKeyPPP(key string) (k pppKey, first time.Time, err error) {
	parts := strings.Split(key, "|")
	if len(parts) != 4 {
		return k, first, errSessionKey
	}
	p, err := parsePlace(parts[0], parts[1])
	if err != nil {
		return k, first, err
	}
	if k, err = parsePPPKey(p, parts[2]); err != nil {
		return k, first, err
	}
	nanos, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return k, first, errSessionKey
	}
	return k, time.Unix(0, nanos).UTC(), nil
}

// statePPP is the JSON form of a TrackerPPP: the last observation of every open
// session, which says all of it that a restart must not forget.
type statePPP struct {
	Version  int                   `json:"version"`
	Sessions []binding.Observation `json:"sessions"`
}

// Snapshot returns the open sessions for [TrackerPPP.Restore]. Requests that
// await an answer are not kept: a restart takes longer than an answer.
func (t *TrackerPPP) Snapshot() ([]byte, error) {
	out := statePPP{Version: stateVersion, Sessions: make([]binding.Observation, 0, len(t.sessions))}
	for key, s := range t.sessions {
		out.Sessions = append(out.Sessions, s.observe(key, binding.Refresh, s.confirmed))
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("lease: snapshot: %w", err)
	}
	return text, nil
}

// Restore replaces the sessions by those of a snapshot. On error the tracker is
// unchanged.
func (t *TrackerPPP) Restore(snapshot []byte) error {
	var in statePPP
	if err := json.Unmarshal(snapshot, &in); err != nil {
		return fmt.Errorf("lease: restore: %w", err)
	}
	if in.Version != stateVersion {
		return fmt.Errorf("lease: restore: unknown version %d", in.Version)
	}
	fresh := NewTrackerPPP(t.cfg)
	for _, o := range in.Sessions {
		if err := fresh.Redo(o); err != nil {
			return fmt.Errorf("lease: restore: %w", err)
		}
	}
	*t = *fresh
	return nil
}

// Redo brings the tracker up to an observation that it made before a crash, as
// [Tracker.Redo] does.
func (t *TrackerPPP) Redo(o binding.Observation) error {
	if o.Source != schema.SourcePPPoE {
		return nil
	}
	key, first, err := parseSessionKeyPPP(o.SessionKey)
	if err != nil {
		return fmt.Errorf("redo: %w", err)
	}
	s := t.sessions[key]
	if s != nil && s.key != o.SessionKey {
		if s.confirmed.After(first) {
			return nil // of an earlier use of the id
		}
		t.drop(key, s)
		s = nil
	}
	if o.Kind == binding.End {
		if s != nil {
			t.drop(key, s)
		}
		return nil
	}
	if s == nil {
		s = &pppSession{key: o.SessionKey, scope: o.Scope, identifier: o.Identifier, confirmed: first}
		t.sessions[key] = s
	}
	if len(o.Prefixes) == 0 {
		return nil
	}
	if s.address.IsValid() {
		delete(t.addresses, addressKey{Scope: s.scope, Address: s.address})
	}
	s.address = o.Prefixes[0].Addr()
	t.addresses[addressKey{Scope: s.scope, Address: s.address}] = key
	return nil
}
