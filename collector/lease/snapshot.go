package lease

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// state is the JSON form of a Tracker. REQUESTs that await an answer are not
// kept: a restart takes longer than an answer.
type state struct {
	Version int          `json:"version"`
	Leases  []leaseState `json:"leases"`
}

type leaseState struct {
	Key        string            `json:"key"`
	Scope      uint32            `json:"scope,omitempty"`
	Address    netip.Addr        `json:"address"`
	Identifier schema.Identifier `json:"identifier"`
	ExpiresAt  time.Time         `json:"expires_at,omitzero"`
}

const stateVersion = 1

// Snapshot returns the leases for [Tracker.Restore].
func (t *Tracker) Snapshot() ([]byte, error) {
	out := state{Version: stateVersion, Leases: make([]leaseState, 0, len(t.leases))}
	for at, l := range t.leases {
		out.Leases = append(out.Leases, leaseState{l.key, at.Scope, at.Address, l.identifier, l.expiresAt})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("lease: snapshot: %w", err)
	}
	return text, nil
}

// Restore replaces the leases by those of a snapshot. On error the tracker is
// unchanged.
func (t *Tracker) Restore(snapshot []byte) error {
	var in state
	if err := json.Unmarshal(snapshot, &in); err != nil {
		return fmt.Errorf("lease: restore: %w", err)
	}
	if in.Version != stateVersion {
		return fmt.Errorf("lease: restore: unknown version %d", in.Version)
	}
	fresh := NewTracker(t.cfg)
	for _, s := range in.Leases {
		if err := fresh.put(s); err != nil {
			return fmt.Errorf("lease: restore: %w", err)
		}
	}
	*t = *fresh
	return nil
}

func (t *Tracker) put(s leaseState) error {
	client, address, err := parseSessionKey(s.Key)
	if err != nil {
		return err
	}
	if address != s.Address {
		return errSessionKey
	}
	at := addressKey{s.Scope, address, vpnIn(client.Client)}
	t.leases[at] = &lease{
		client: client, key: s.Key, identifier: s.Identifier,
		circuit: byAccessNode(s.Identifier), expiresAt: s.ExpiresAt,
	}
	t.clients[client] = at
	return nil
}

// Redo brings the tracker up to an observation that it made before a crash:
// those since the snapshot, in their order. Those that the snapshot already
// holds do no harm; other sources are ignored.
func (t *Tracker) Redo(o binding.Observation) error {
	if o.Source != schema.SourceDHCPv4 {
		return nil
	}
	client, address, err := parseSessionKey(o.SessionKey)
	if err != nil {
		return fmt.Errorf("redo: %w", err)
	}
	at := addressKey{o.Scope, address, vpnIn(client.Client)}
	if o.Kind == binding.End {
		if l := t.leases[at]; l != nil && l.key == o.SessionKey {
			t.drop(at, l)
		}
		return nil
	}
	return t.put(leaseState{o.SessionKey, o.Scope, address, o.Identifier, o.ExpiresAt})
}
