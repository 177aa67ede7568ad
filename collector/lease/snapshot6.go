package lease

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"griffier/collector/binding"
	"griffier/schema"
)

// sessionKey6 names a lease for good: where, who, which prefix, first REPLY.
func sessionKey6(c client6, prefix netip.Prefix, first time.Time) string {
	client := c.DUID
	if c.PPP.Session != 0 {
		client = c.PPP.text() + "/" + c.DUID
	}
	return placeText(c.place) + "|" + client + "|" + prefix.String() + "|" + strconv.FormatInt(first.UnixNano(), 10)
}

// parseSessionKey6 is the inverse of sessionKey6, without the first REPLY.
func parseSessionKey6(key string) (c client6, prefix netip.Prefix, err error) {
	parts := strings.Split(key, "|")
	if len(parts) != 5 {
		return c, prefix, errSessionKey
	}
	if c.place, err = parsePlace(parts[0], parts[1]); err != nil {
		return c, prefix, err
	}
	c.DUID = parts[2]
	if ppp, duid, ok := strings.Cut(parts[2], "/"); ok {
		c.DUID = duid
		if c.PPP, err = parsePPPKey(c.place, ppp); err != nil {
			return c, prefix, err
		}
	}
	prefix, err = netip.ParsePrefix(parts[3])
	if err != nil || prefix != prefix.Masked() || c.DUID == "" {
		return c, prefix, errSessionKey
	}
	return c, prefix, nil
}

func placeText(p place) string {
	name := strings.NewReplacer("%", "%25", "|", "%7C").Replace(p.Interface)
	return name + "|" + VLANStack(p.Outer, p.Inner)
}

func parsePlace(name, stack string) (p place, err error) {
	outer, inner, ok := strings.Cut(stack, ".")
	o, errOuter := strconv.ParseUint(outer, 10, 12)
	i, errInner := strconv.ParseUint(inner, 10, 12)
	if !ok || errOuter != nil || errInner != nil {
		return p, errSessionKey
	}
	return place{strings.NewReplacer("%25", "%", "%7C", "|").Replace(name), uint16(o), uint16(i)}, nil
}

// text names a PPPoE session at its place: HOST.AC.SESSION.
func (k pppKey) text() string {
	return hex.EncodeToString(k.Host[:]) + "." + hex.EncodeToString(k.AC[:]) + "." + strconv.Itoa(int(k.Session))
}

func parsePPPKey(p place, text string) (pppKey, error) {
	k := pppKey{place: p}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return k, errSessionKey
	}
	host, errHost := hex.DecodeString(parts[0])
	ac, errAC := hex.DecodeString(parts[1])
	session, err := strconv.ParseUint(parts[2], 10, 16)
	if errHost != nil || errAC != nil || err != nil || len(host) != 6 || len(ac) != 6 || session == 0 {
		return k, errSessionKey
	}
	k.Host, k.AC, k.Session = [6]byte(host), [6]byte(ac), uint16(session)
	return k, nil
}

// state6 is the JSON form of a Tracker6.
type state6 struct {
	Version int          `json:"version"`
	Leases  []lease6Text `json:"leases"`
}

type lease6Text struct {
	Key        string            `json:"key"`
	Scope      uint32            `json:"scope,omitempty"`
	Identifier schema.Identifier `json:"identifier"`
	ExpiresAt  time.Time         `json:"expires_at,omitzero"`
	times
}

// Snapshot returns the leases for [Tracker6.Restore]. Messages that await an
// answer are not kept: a restart takes longer than an answer.
func (t *Tracker6) Snapshot() ([]byte, error) {
	out := state6{Version: stateVersion, Leases: make([]lease6Text, 0, len(t.leases))}
	for k, l := range t.leases {
		out.Leases = append(out.Leases, lease6Text{l.key, k.Scope, l.identifier, l.expiresAt, l.times})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("lease: snapshot: %w", err)
	}
	return text, nil
}

// Restore replaces the leases by those of a snapshot. On error the tracker is
// unchanged.
func (t *Tracker6) Restore(snapshot []byte) error {
	var in state6
	if err := json.Unmarshal(snapshot, &in); err != nil {
		return fmt.Errorf("lease: restore: %w", err)
	}
	if in.Version != stateVersion {
		return fmt.Errorf("lease: restore: unknown version %d", in.Version)
	}
	fresh := NewTracker6(t.cfg)
	for _, s := range in.Leases {
		if err := fresh.put(s); err != nil {
			return fmt.Errorf("lease: restore: %w", err)
		}
	}
	*t = *fresh
	return nil
}

func (t *Tracker6) put(s lease6Text) error {
	client, prefix, err := parseSessionKey6(s.Key)
	if err != nil {
		return err
	}
	k := leaseKey{s.Scope, prefix}
	if old := t.leases[k]; old != nil {
		t.drop(k, old)
	}
	t.keep(k, &lease6{client: client, key: s.Key, identifier: s.Identifier, circuit: byAccessNode(s.Identifier), expiresAt: s.ExpiresAt, times: s.times})
	return nil
}

// Redo brings the tracker up to an observation that it made before a crash, as
// [Tracker.Redo] does.
func (t *Tracker6) Redo(o binding.Observation) error {
	if o.Source != schema.SourceDHCPv6 {
		return nil
	}
	_, prefix, err := parseSessionKey6(o.SessionKey)
	if err != nil {
		return fmt.Errorf("redo: %w", err)
	}
	k := leaseKey{o.Scope, prefix}
	if o.Kind == binding.End {
		if l := t.leases[k]; l != nil && l.key == o.SessionKey {
			t.drop(k, l)
		}
		return nil
	}
	text := lease6Text{Key: o.SessionKey, Scope: o.Scope, Identifier: o.Identifier, ExpiresAt: o.ExpiresAt}
	if l := t.leases[k]; l != nil && l.key == o.SessionKey {
		text.times = l.times // observations do not tell of them; the next renewal does
	}
	return t.put(text)
}
