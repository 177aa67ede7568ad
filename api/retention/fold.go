package retention

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"griffier/api/ledger"
	"griffier/schema"
)

// Kinds of ledger entry that make the state of the policy.
const (
	KindPolicy   = "retention.policy" // a policy is in force from here on
	KindPropose  = "retention.propose"
	KindAdvise   = "retention.advise"
	KindApprove  = "retention.approve"
	KindWithdraw = "retention.withdraw"
)

// How long the steps to a longer period hold. After that they are taken anew.
const (
	ProposalAge = 30 * 24 * time.Hour // of a proposal, until it is approved
	ApprovalAge = 24 * time.Hour      // of an approval, until the policy is in force
)

// Advice is the outcome of the data protection officer's advice.
type Advice string

// Outcomes of advice.
const (
	InFavour     Advice = "in_favour"
	Against      Advice = "against"
	InConditions Advice = "in_favour_with_conditions"
)

// InForce is a policy and since when it holds.
type InForce struct {
	File
	At         time.Time
	Index      uint64 // of the ledger entry
	ProposalID string // empty: it lengthened nothing
}

// Proposal is a file that lengthens a period, on its way.
type Proposal struct {
	File
	ID             string
	Stage          uint64 // rises with each advice; an approval names the one it saw
	BaseGeneration uint64 // of the policy that was in force
	Lengthens      []schema.Class
	By, Role       string
	At             time.Time
	Advice         Advice // empty: none yet
	AdvisedBy      string
	AdvisedAt      time.Time
	ApprovedBy     string
	ApprovedAt     time.Time
	Withdrawn      bool
	InForceAt      time.Time
}

// ProposalState is the state of a proposal at a time.
type ProposalState string

// States of a proposal. All but the first three are terminal.
const (
	AwaitingAdvice   ProposalState = "AWAITING_ADVICE"
	AwaitingApproval ProposalState = "AWAITING_APPROVAL"
	Approved         ProposalState = "APPROVED"
	InForceState     ProposalState = "IN_FORCE"
	Withdrawn        ProposalState = "WITHDRAWN"
	Expired          ProposalState = "EXPIRED"
	Overtaken        ProposalState = "OVERTAKEN"
)

// State returns the state of p at now, with the policy of generation in force.
func (p Proposal) State(now time.Time, generation uint64) ProposalState {
	switch {
	case !p.InForceAt.IsZero():
		return InForceState
	case p.Withdrawn:
		return Withdrawn
	case generation != p.BaseGeneration:
		return Overtaken
	case !now.Before(p.ExpiresAt()):
		return Expired
	case !p.ApprovedAt.IsZero():
		return Approved
	case p.Advice != "":
		return AwaitingApproval
	}
	return AwaitingAdvice
}

// ExpiresAt is when the next step comes too late.
func (p Proposal) ExpiresAt() time.Time {
	if !p.ApprovedAt.IsZero() {
		return p.ApprovedAt.Add(ApprovalAge)
	}
	return p.At.Add(ProposalAge)
}

// Keeper knows which policy is in force and what is proposed: a fold over the
// headers of the ledger, which judges every entry again. An entry that was decided
// on a state that another entry changed first is counted and otherwise ignored.
// It is safe for concurrent use; the zero Keeper is one of an empty ledger.
type Keeper struct {
	Now func() time.Time // by which approvals age; nil: time.Now
	// Clock is asked before a policy comes into force, since that expires for good;
	// nil: every time is believed.
	Clock trust
	// Changed, if not nil, is called when the store has another policy than before.
	Changed func()
	// Room, if not nil, frees some room if the store's disk is full, and reports whether
	// it did: a shorter period is what frees more.
	Room func() bool

	mu        sync.RWMutex
	history   []InForce // the last one is in force
	proposals []*Proposal
	ignored   int

	writing sync.Mutex // held while a policy is brought into force
}

// contentFacts are a policy in the clear header: what GDPR 13(2)(a) has a
// provider publish, and no personal data.
type contentFacts struct {
	SHA256       string      `json:"sha256"`
	Jurisdiction string      `json:"jurisdiction"`
	SignedBy     string      `json:"signed_by"`
	Generation   uint64      `json:"policy_generation"`
	Rules        []ruleFacts `json:"rules"`
}

type ruleFacts struct {
	Class   schema.Class `json:"class"`
	Period  string       `json:"period"`
	Zone    string       `json:"zone"`
	Purpose string       `json:"purpose"`
	Basis   string       `json:"basis"`
	Source  string       `json:"source"`
	Status  string       `json:"status,omitempty"`
}

type policyFacts struct {
	contentFacts
	ProposalID string `json:"proposal_id,omitempty"`
}

type proposeFacts struct {
	contentFacts
	ProposalID     string         `json:"proposal_id"`
	BaseGeneration uint64         `json:"base_generation"`
	Lengthens      []schema.Class `json:"lengthens"`
}

type adviseFacts struct {
	ProposalID string `json:"proposal_id"`
	SHA256     string `json:"sha256"`
	Advice     Advice `json:"advice"`
}

type approveFacts struct {
	ProposalID string `json:"proposal_id"`
	SHA256     string `json:"sha256"`
}

type withdrawFacts struct {
	ProposalID string `json:"proposal_id"`
}

func factsOf(f File) contentFacts {
	out := contentFacts{SHA256: f.SHA256, Jurisdiction: f.Jurisdiction, SignedBy: f.SignedBy, Generation: f.Generation}
	for _, r := range f.Rules {
		out.Rules = append(out.Rules, ruleFacts{r.Class, r.Period, r.Zone, r.Purpose, r.Basis, r.Source, r.Status})
	}
	return out
}

func (c contentFacts) file() File {
	f := File{SHA256: c.SHA256, Jurisdiction: c.Jurisdiction, SignedBy: c.SignedBy, Generation: c.Generation}
	for _, r := range c.Rules {
		f.Rules = append(f.Rules, Rule{schema.Policy{Class: r.Class, Period: r.Period, Zone: r.Zone,
			Purpose: r.Purpose, Basis: r.Basis, Source: r.Source}, r.Status})
	}
	return f
}

// Apply implements [ledger.Fold].
func (k *Keeper) Apply(e ledger.Entry) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var applied bool
	var err error
	switch e.Header.Kind {
	case KindPolicy:
		applied, err = k.applyPolicy(e)
	case KindPropose:
		applied, err = k.applyPropose(e)
	case KindAdvise:
		applied, err = k.applyAdvise(e)
	case KindApprove:
		applied, err = k.applyApprove(e)
	case KindWithdraw:
		applied, err = k.applyWithdraw(e)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, e.Header.Kind, err)
	}
	if !applied {
		k.ignored++
	}
	return nil
}

// applyPolicy takes in a policy that is newer than the one in force and, where it
// lengthens that, was approved for just this.
func (k *Keeper) applyPolicy(e ledger.Entry) (bool, error) {
	var f policyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	file := f.file()
	if file.Generation <= k.generation() {
		return false, nil
	}
	longer, err := k.lengthened(file)
	if err != nil {
		return false, err
	}
	var p *Proposal
	if len(longer) > 0 {
		p = k.proposal(f.ProposalID)
		if p == nil || p.SHA256 != file.SHA256 || p.State(e.Header.At, k.generation()) != Approved {
			return false, nil
		}
		p.InForceAt = e.Header.At
	}
	k.history = append(k.history, InForce{File: file, At: e.Header.At, Index: e.Index, ProposalID: f.ProposalID})
	return true, nil
}

func (k *Keeper) applyPropose(e ledger.Entry) (bool, error) {
	var f proposeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	if k.proposal(f.ProposalID) != nil || f.BaseGeneration != k.generation() || f.Generation <= k.generation() {
		return false, nil
	}
	k.proposals = append(k.proposals, &Proposal{File: f.file(), ID: f.ProposalID, Stage: 1, BaseGeneration: f.BaseGeneration,
		Lengthens: f.Lengthens, By: e.Header.Actor, Role: e.Header.Role, At: e.Header.At})
	return true, nil
}

// open returns the proposal of an entry if it was decided on its present stage
// and is still open when the entry was appended.
func (k *Keeper) open(e ledger.Entry, id, sha256 string) *Proposal {
	p := k.proposal(id)
	if p == nil || p.SHA256 != sha256 || p.Stage != e.Header.Generation {
		return nil
	}
	switch p.State(e.Header.At, k.generation()) {
	case AwaitingAdvice, AwaitingApproval:
		return p
	}
	return nil
}

func (k *Keeper) applyAdvise(e ledger.Entry) (bool, error) {
	var f adviseFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	p := k.open(e, f.ProposalID, f.SHA256)
	if p == nil || e.Header.Actor == p.By {
		return false, nil
	}
	p.Advice, p.AdvisedBy, p.AdvisedAt = f.Advice, e.Header.Actor, e.Header.At
	p.Stage++
	return true, nil
}

func (k *Keeper) applyApprove(e ledger.Entry) (bool, error) {
	var f approveFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	p := k.open(e, f.ProposalID, f.SHA256)
	if p == nil || p.Advice == "" || e.Header.Actor == p.By || e.Header.Actor == p.AdvisedBy || e.Header.Role == p.Role {
		return false, nil
	}
	p.ApprovedBy, p.ApprovedAt = e.Header.Actor, e.Header.At
	return true, nil
}

// applyWithdraw takes in an end whatever the stage: to stop is always safe.
func (k *Keeper) applyWithdraw(e ledger.Entry) (bool, error) {
	var f withdrawFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	p := k.proposal(f.ProposalID)
	if p == nil || p.Withdrawn || !p.InForceAt.IsZero() {
		return false, nil
	}
	p.Withdrawn = true
	return true, nil
}

// The rest is called with the lock held.

func (k *Keeper) generation() uint64 {
	if len(k.history) == 0 {
		return 0
	}
	return k.history[len(k.history)-1].Generation
}

func (k *Keeper) proposal(id string) *Proposal {
	i := slices.IndexFunc(k.proposals, func(p *Proposal) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return k.proposals[i]
}

// lengthened lists the classes that file keeps longer than what is in force.
func (k *Keeper) lengthened(file File) ([]schema.Class, error) {
	if len(k.history) == 0 {
		return nil, nil
	}
	var old []schema.Policy
	for _, r := range k.history[len(k.history)-1].Rules {
		old = append(old, r.Policy)
	}
	return file.Lengthened(old)
}

func (k *Keeper) now() time.Time {
	if k.Now == nil {
		return time.Now()
	}
	return k.Now()
}

// InForce returns the policy in force; false when the ledger knows none.
func (k *Keeper) InForce() (InForce, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if len(k.history) == 0 {
		return InForce{}, false
	}
	return k.history[len(k.history)-1], true
}

// Generation returns that of the policy in force, 0 without one.
func (k *Keeper) Generation() uint64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.generation()
}

// History returns every policy that was in force, oldest first.
func (k *Keeper) History() []InForce {
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
