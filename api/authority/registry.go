package authority

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"griffier/api/ledger"
	"griffier/api/warrant"
)

// Kinds of ledger entry that make the registry.
const (
	KindPropose    = "authority.propose"
	KindApprove    = "authority.approve"
	KindKeyAdd     = "authority.key_add"
	KindKeyConfirm = "authority.key_confirm"
	KindKeyRevoke  = "authority.key_revoke"
	KindRetire     = "authority.retire"
)

// ProposalAge is how long a proposal waits for its approval.
const ProposalAge = 30 * 24 * time.Hour

// Authority is a record in force, and its keys.
type Authority struct {
	Record
	Generation uint64 // rises with every change, of keys too
	ProposalID string // that it comes from
	Index      uint64 // of the entry that holds its contact, sealed
	ApprovedBy string
	ApprovedAt time.Time
	RetiredAt  time.Time
	Keys       []KeyRecord
}

// KeyRecord is what the clear headers tell about a key.
type KeyRecord struct {
	Fingerprint string
	Kind        KeyKind
	Index       uint64 // of the entry that holds the key, sealed
	NotAfter    time.Time
	AddedBy     string
	AddedAt     time.Time
	ConfirmedBy string
	ConfirmedAt time.Time
	RevokedAt   time.Time
}

// Confirmed reports whether packages may be sealed to the key at now.
func (k KeyRecord) Confirmed(now time.Time) bool {
	return !k.ConfirmedAt.IsZero() && k.RevokedAt.IsZero() && (k.NotAfter.IsZero() || now.Before(k.NotAfter))
}

// Proposal is a record on its way.
type Proposal struct {
	Record
	ID             string
	BaseGeneration uint64 // of the authority; 0: it is new
	Index          uint64
	By             string
	At             time.Time
	ApprovedAt     time.Time
}

// open reports whether a proposal may be approved at now, on an authority of
// generation.
func (p Proposal) open(now time.Time, generation uint64) bool {
	return p.ApprovedAt.IsZero() && p.BaseGeneration == generation && now.Before(p.At.Add(ProposalAge))
}

// Registry is every authority, folded from the headers of the ledger. Entries are
// applied by one goroutine; reading is safe from any. An entry that was decided on
// a state that another entry changed first is counted and otherwise ignored.
type Registry struct {
	mu        sync.RWMutex
	known     map[string]*Authority
	proposals []*Proposal
	ignored   int
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{known: map[string]*Authority{}} }

type proposeFacts struct {
	ProposalID string `json:"proposal_id"`
	Record     Record `json:"record"`
}

type approveFacts struct {
	ProposalID  string `json:"proposal_id"`
	AuthorityID string `json:"authority_id"`
	SHA256      string `json:"sha256"`
}

type keyFacts struct {
	AuthorityID string    `json:"authority_id"`
	Fingerprint string    `json:"fingerprint"`
	Kind        KeyKind   `json:"key_kind,omitempty"`
	NotAfter    time.Time `json:"not_after,omitzero"`
}

type retireFacts struct {
	AuthorityID string `json:"authority_id"`
}

// Apply implements [ledger.Fold].
func (g *Registry) Apply(e ledger.Entry) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var applied bool
	var err error
	switch e.Header.Kind {
	case KindPropose:
		applied, err = g.applyPropose(e)
	case KindApprove:
		applied, err = g.applyApprove(e)
	case KindKeyAdd, KindKeyConfirm, KindKeyRevoke:
		applied, err = g.applyKey(e)
	case KindRetire:
		applied, err = g.applyRetire(e)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("fold entry %d (%s): %w", e.Index, e.Header.Kind, err)
	}
	if !applied {
		g.ignored++
	}
	return nil
}

func (g *Registry) applyPropose(e ledger.Entry) (bool, error) {
	var f proposeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	if g.proposal(f.ProposalID) != nil || e.Header.Generation != g.generation(f.Record.ID) {
		return false, nil
	}
	g.proposals = append(g.proposals, &Proposal{Record: f.Record, ID: f.ProposalID, BaseGeneration: e.Header.Generation,
		Index: e.Index, By: e.Header.Actor, At: e.Header.At})
	return true, nil
}

func (g *Registry) applyApprove(e ledger.Entry) (bool, error) {
	var f approveFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	p := g.proposal(f.ProposalID)
	if p == nil || p.Record.Hash() != f.SHA256 || p.By == e.Header.Actor || !p.open(e.Header.At, g.generation(p.Record.ID)) || g.taken(p.Record.ID) {
		return false, nil
	}
	p.ApprovedAt = e.Header.At
	a := g.known[p.Record.ID]
	if a == nil {
		a = &Authority{}
		g.known[p.Record.ID] = a
	}
	a.Record, a.ProposalID, a.Index = p.Record, p.ID, p.Index
	a.ApprovedBy, a.ApprovedAt, a.RetiredAt = e.Header.Actor, e.Header.At, time.Time{}
	a.Generation++
	return true, nil
}

func (g *Registry) applyKey(e ledger.Entry) (bool, error) {
	var f keyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	a := g.known[f.AuthorityID]
	if a == nil {
		return false, nil
	}
	k := a.key(f.Fingerprint)
	current := a.Generation == e.Header.Generation && a.RetiredAt.IsZero()
	switch e.Header.Kind {
	case KindKeyAdd:
		if !current || g.keyInUse(f.Fingerprint) {
			return false, nil
		}
		a.Keys = append(a.Keys, KeyRecord{Fingerprint: f.Fingerprint, Kind: f.Kind, Index: e.Index, NotAfter: f.NotAfter, AddedBy: e.Header.Actor, AddedAt: e.Header.At})
	case KindKeyConfirm:
		if !current || k == nil || !k.RevokedAt.IsZero() || !k.ConfirmedAt.IsZero() || k.AddedBy == e.Header.Actor {
			return false, nil
		}
		k.ConfirmedBy, k.ConfirmedAt = e.Header.Actor, e.Header.At
	case KindKeyRevoke: // whatever the generation: to stop is always safe
		if k == nil || !k.RevokedAt.IsZero() {
			return false, nil
		}
		k.RevokedAt = e.Header.At
	}
	a.Generation++
	return true, nil
}

// applyRetire takes in an end whatever the generation: to stop is always safe.
func (g *Registry) applyRetire(e ledger.Entry) (bool, error) {
	var f retireFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	a := g.known[f.AuthorityID]
	if a == nil || !a.RetiredAt.IsZero() {
		return false, nil
	}
	a.RetiredAt = e.Header.At
	a.Generation++
	return true, nil
}

// The rest is called with the lock held.

func (g *Registry) generation(id string) uint64 {
	if a := g.known[id]; a != nil {
		return a.Generation
	}
	return 0
}

func (g *Registry) proposal(id string) *Proposal {
	i := slices.IndexFunc(g.proposals, func(p *Proposal) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return g.proposals[i]
}

// taken reports whether another authority has an id that could be read as this one.
func (g *Registry) taken(id string) bool {
	for other := range g.known {
		if other != id && skeleton(other) == skeleton(id) {
			return true
		}
	}
	return false
}

// keyInUse reports whether any authority has a key that was not revoked. A key
// that two had would let one read what is for the other.
func (g *Registry) keyInUse(fingerprint string) bool {
	for _, a := range g.known {
		for _, k := range a.Keys {
			if k.Fingerprint == fingerprint && k.RevokedAt.IsZero() {
				return true
			}
		}
	}
	return false
}

// key returns the newest of a fingerprint: a revoked one may be added anew.
func (a *Authority) key(fingerprint string) *KeyRecord {
	for i := len(a.Keys) - 1; i >= 0; i-- {
		if a.Keys[i].Fingerprint == fingerprint {
			return &a.Keys[i]
		}
	}
	return nil
}

func (a *Authority) clone() Authority {
	c := *a
	c.Keys = slices.Clone(a.Keys)
	return c
}

// Authority returns one, retired or not.
func (g *Registry) Authority(id string) (Authority, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	a, ok := g.known[id]
	if !ok {
		return Authority{}, false
	}
	return a.clone(), true
}

// Authorities returns all, by id.
func (g *Registry) Authorities() []Authority {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var out []Authority
	for _, a := range g.known {
		out = append(out, a.clone())
	}
	slices.SortFunc(out, func(a, b Authority) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Proposals returns those that may be approved at now, oldest first.
func (g *Registry) Proposals(now time.Time) []Proposal {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var out []Proposal
	for _, p := range g.proposals {
		if p.open(now, g.generation(p.Record.ID)) {
			out = append(out, *p)
		}
	}
	return out
}

// Proposal returns one, whatever became of it.
func (g *Registry) Proposal(id string) (Proposal, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if p := g.proposal(id); p != nil {
		return *p, true
	}
	return Proposal{}, false
}

// Ignored counts entries that lost a race or broke a rule.
func (g *Registry) Ignored() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.ignored
}

// View returns what the rules of package warrant ask, at now.
func (g *Registry) View(id string, now time.Time) (warrant.AuthorityView, bool) {
	a, ok := g.Authority(id)
	if !ok {
		return warrant.AuthorityView{}, false
	}
	v := viewOf(a.Record)
	v.Generation, v.Retired = a.Generation, !a.RetiredAt.IsZero()
	for _, k := range a.Keys {
		if k.Confirmed(now) {
			v.Keys = append(v.Keys, k.Fingerprint)
		}
	}
	return v, true
}

func viewOf(r Record) warrant.AuthorityView {
	return warrant.AuthorityView{ID: r.ID, Country: r.Country, Offices: r.Offices, Bases: r.Bases, Categories: r.Categories, CallBack: r.CallBack}
}
