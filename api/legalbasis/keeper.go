package legalbasis

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"griffier/api/ledger"
	"griffier/api/signedfile"
	"griffier/api/warrant"
)

// Kinds of ledger entry that make the state of the profile.
const (
	KindAdopt    = "legal_basis.adopt" // the first profiles are in force from here on
	KindPropose  = "legal_basis.propose"
	KindApprove  = "legal_basis.approve" // the proposed profile is in force from here on
	KindWithdraw = "legal_basis.withdraw"
)

// ProposalAge is how long a proposal waits for its approval.
const ProposalAge = 30 * 24 * time.Hour

// Version is a profile and since when it holds.
type Version struct {
	*warrant.Profile
	File       string // as it was signed
	At         time.Time
	Index      uint64 // of the ledger entry
	ProposalID string // empty: the first one
	ProposedBy string
	ApprovedBy string
}

// Proposal is a profile on its way.
type Proposal struct {
	*warrant.Profile
	File           string
	ID             string
	BaseGeneration uint64 // of its profile that was in force; 0: it is an addition
	By             string
	At             time.Time
	ApprovedBy     string
	ApprovedAt     time.Time
	Withdrawn      bool
}

// ProposalState is the state of a proposal at a time.
type ProposalState string

// States of a proposal. All but the first are terminal.
const (
	AwaitingApproval ProposalState = "AWAITING_APPROVAL"
	InForce          ProposalState = "IN_FORCE"
	Withdrawn        ProposalState = "WITHDRAWN"
	Expired          ProposalState = "EXPIRED"
	Overtaken        ProposalState = "OVERTAKEN"
)

// State returns the state of p at now, with generation of its profile in force.
func (p Proposal) State(now time.Time, generation uint64) ProposalState {
	switch {
	case !p.ApprovedAt.IsZero():
		return InForce
	case p.Withdrawn:
		return Withdrawn
	case generation != p.BaseGeneration:
		return Overtaken
	case !now.Before(p.ExpiresAt()):
		return Expired
	}
	return AwaitingApproval
}

// ExpiresAt is when the approval comes too late.
func (p Proposal) ExpiresAt() time.Time { return p.At.Add(ProposalAge) }

// Keeper knows which profiles are in force and what is proposed: a fold over the
// headers of the ledger, which judges every entry again. An entry that was decided
// on a state that another entry changed first is counted and otherwise ignored. It
// is safe for concurrent use.
type Keeper struct {
	law       atomic.Pointer[warrant.Law]
	mu        sync.RWMutex
	history   []Version // the last one of each name is in force
	proposals []*Proposal
	ignored   int
}

// NewKeeper returns the keeper of an empty ledger, whose law denies everything.
func NewKeeper() *Keeper {
	k := &Keeper{}
	k.law.Store(&warrant.Law{})
	return k
}

// together lists what keeps profiles from being the first in force: what is wrong
// with each beside those before it, of which the nation's is the first.
func together(profiles []*warrant.Profile) (problems []signedfile.Problem) {
	var law warrant.Law
	for _, p := range profiles {
		if law.Profile(p.Name) != nil {
			problems = append(problems, signedfile.Problem{What: "profile " + p.Name + " is there twice"})
		}
		problems = append(problems, law.Beside(p)...)
		law = law.With(p)
	}
	return problems
}

// denial is a profile that permits nothing.
func denial(name, sha256 string) *warrant.Profile {
	return &warrant.Profile{Name: name, Zone: "UTC", OnlyRegistered: true, SHA256: sha256}
}

// Law returns the profiles in force; it never changes once it is returned. Where
// there is none it denies everything.
func (k *Keeper) Law() warrant.Law { return *k.law.Load() }

// fileFacts are a profile in the clear header. Name, generation and hash are said
// beside the file so that a program that cannot read it still knows them.
type fileFacts struct {
	Profile    string `json:"profile"`
	Generation uint64 `json:"profile_generation"`
	SHA256     string `json:"sha256"`
	SignedBy   string `json:"signed_by"`
	File       string `json:"file"`
}

// adoptFacts are all the first profiles: they are in force together or not at all.
type adoptFacts struct {
	Profiles []fileFacts `json:"profiles"`
}

type proposeFacts struct {
	fileFacts
	ProposalID     string `json:"proposal_id"`
	BaseGeneration uint64 `json:"base_generation"`
}

type approveFacts struct {
	ProposalID string `json:"proposal_id"`
	SHA256     string `json:"sha256"`
}

type withdrawFacts struct {
	ProposalID string `json:"proposal_id"`
}

func factsOf(p *warrant.Profile, signed []byte) fileFacts {
	return fileFacts{p.Name, p.Generation, p.SHA256, p.SignedBy, string(signed)}
}

// profile reads the profile again. Its signature was verified when it was taken.
func (f fileFacts) profile() *warrant.Profile {
	p, err := warrant.ParseProfile(signedfile.Text([]byte(f.File)))
	if err != nil || p.SHA256 != f.SHA256 {
		p = denial(f.Profile, f.SHA256)
	}
	p.Generation, p.SignedBy = f.Generation, f.SignedBy
	return p
}

// Apply implements [ledger.Fold].
func (k *Keeper) Apply(e ledger.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var applied bool
	var err error
	switch e.Header.Kind {
	case KindAdopt:
		applied, err = k.applyAdopt(e)
	case KindPropose:
		applied, err = k.applyPropose(e)
	case KindApprove:
		applied, err = k.applyApprove(e)
	case KindWithdraw:
		applied, err = k.applyWithdraw(e)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("fold entry %d (%s): %w", e.Index, e.Header.Kind, err)
	}
	if !applied {
		k.ignored++
	}
	return nil
}

// applyAdopt takes in the first profiles; any other takes two people.
func (k *Keeper) applyAdopt(e ledger.Entry) (bool, error) {
	var f adoptFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	var profiles []*warrant.Profile
	for _, file := range f.Profiles {
		profiles = append(profiles, file.profile())
	}
	if len(k.history) > 0 || len(profiles) == 0 || len(together(profiles)) > 0 {
		return false, nil
	}
	for i, p := range profiles {
		k.bring(Version{Profile: p, File: f.Profiles[i].File, At: e.Header.At, Index: e.Index})
	}
	return true, nil
}

func (k *Keeper) applyPropose(e ledger.Entry) (bool, error) {
	var f proposeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	generation := k.generation(f.Profile)
	if k.proposal(f.ProposalID) != nil || f.BaseGeneration != generation || f.Generation <= generation {
		return false, nil
	}
	k.proposals = append(k.proposals, &Proposal{Profile: f.profile(), File: f.File, ID: f.ProposalID, BaseGeneration: f.BaseGeneration, By: e.Header.Actor, At: e.Header.At})
	return true, nil
}

func (k *Keeper) applyApprove(e ledger.Entry) (bool, error) {
	var f approveFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	p := k.proposal(f.ProposalID)
	if p == nil || p.SHA256 != f.SHA256 || p.By == e.Header.Actor || p.State(e.Header.At, k.generation(p.Name)) != AwaitingApproval || len(k.Law().Beside(p.Profile)) > 0 {
		return false, nil
	}
	p.ApprovedBy, p.ApprovedAt = e.Header.Actor, e.Header.At
	k.bring(Version{Profile: p.Profile, File: p.File, At: e.Header.At, Index: e.Index, ProposalID: p.ID, ProposedBy: p.By, ApprovedBy: p.ApprovedBy})
	return true, nil
}

// applyWithdraw takes in an end: to stop is always safe.
func (k *Keeper) applyWithdraw(e ledger.Entry) (bool, error) {
	var f withdrawFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	p := k.proposal(f.ProposalID)
	if p == nil || p.Withdrawn || !p.ApprovedAt.IsZero() {
		return false, nil
	}
	p.Withdrawn = true
	return true, nil
}

// The rest, to InForce, is called with the lock held.

func (k *Keeper) bring(v Version) {
	k.history = append(k.history, v)
	law := k.Law().With(v.Profile)
	k.law.Store(&law)
}

func (k *Keeper) generation(profile string) uint64 {
	if p := k.Law().Profile(profile); p != nil {
		return p.Generation
	}
	return 0
}

func (k *Keeper) proposal(id string) *Proposal {
	i := slices.IndexFunc(k.proposals, func(p *Proposal) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return k.proposals[i]
}

// InForce returns the versions in force, the nation's first; none when the ledger
// knows none.
func (k *Keeper) InForce() []Version {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var out []Version
	for _, p := range k.Law() {
		i := slices.IndexFunc(k.history, func(v Version) bool { return v.Profile == p })
		out = append(out, k.history[i])
	}
	return out
}

// Generation returns that of a profile in force, 0 of one that is not.
func (k *Keeper) Generation(profile string) uint64 { return k.generation(profile) }

// History returns every version that was in force, oldest first.
func (k *Keeper) History() []Version {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.history)
}

// Proposals returns every proposal, oldest first.
func (k *Keeper) Proposals() []Proposal {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var out []Proposal
	for _, p := range k.proposals {
		out = append(out, *p)
	}
	return out
}

// Proposal returns one proposal.
func (k *Keeper) Proposal(id string) (Proposal, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if p := k.proposal(id); p != nil {
		return *p, true
	}
	return Proposal{}, false
}

// Ignored counts entries that lost a race or broke a rule.
func (k *Keeper) Ignored() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.ignored
}
