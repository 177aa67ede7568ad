package retention

import (
	"fmt"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/schema"
)

// Roles of this package, by their names in claims and the ledger.
const (
	RoleOperator          = "operator"
	RoleOverseer          = "overseer"
	RolePrivacyController = "privacy_controller"
)

// Limits of what people write.
const (
	maxAdvice      = 8000
	maxExplanation = 2000
)

// fileBody, adviceBody and explanationBody are sealed.
type fileBody struct {
	File string `json:"file"` // as it was signed
}

type adviceBody struct {
	Text string `json:"text"`
}

type explanationBody struct {
	Explanation string `json:"explanation"`
}

// Propose judges a proposal of a signed file that lengthens something. id is
// random, key the name of the key that seals the file's bytes.
//
// It and its fellows below are pure: they return the entry to append, or why not.
// The road is: propose (an operator), advise (an overseer, another person),
// approve (a privacy controller, a third). All are bound to the file's hash, an
// approval also to the stage of the proposal that its maker saw; a policy that
// comes into force meanwhile overtakes it.
func (k *Keeper) Propose(by ledger.Caller, id, key string, f File, signed []byte) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleOperator)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if f.Generation <= k.generation() {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch,
			fmt.Sprintf("The file has generation %d; generation %d is in force.", f.Generation, k.generation()))
	}
	longer, err := k.lengthened(f)
	switch {
	case err != nil:
		return ledger.Draft{}, reason.Wrap(reason.Internal, err)
	case len(longer) == 0:
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "file",
			Description: "lengthens nothing: put it in the place of the policy file and reload griffierd"})
	}
	return ledger.Draft{Kind: KindPropose, Actor: by.Actor, Role: role, Generation: 1, KeyID: key,
		Facts: proposeFacts{contentFacts: factsOf(f), ProposalID: id, BaseGeneration: k.generation(), Lengthens: longer},
		Body:  fileBody{string(signed)}}, nil
}

// awaiting returns a proposal that is open at now and is of this file.
func (k *Keeper) awaiting(now time.Time, id, sha256 string) (*Proposal, *reason.Error) {
	p := k.proposal(id)
	if p == nil {
		return nil, reason.New(reason.NotFound, "")
	}
	switch state := p.State(now, k.generation()); state {
	case AwaitingAdvice, AwaitingApproval:
	case Overtaken:
		return nil, reason.New(reason.GenerationMismatch, "Another policy came into force since it was proposed.")
	default:
		return nil, reason.New(reason.ProposalEnded, "It is "+string(state)+".")
	}
	if p.SHA256 != sha256 {
		return nil, reason.New(reason.GenerationMismatch, "")
	}
	return p, nil
}

// Advise judges advice on a proposal. Whoever proposed cannot advise.
func (k *Keeper) Advise(now time.Time, by ledger.Caller, id, key, sha256 string, advice Advice, text string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleOverseer)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	var bad []reason.Violation
	if !slices.Contains([]Advice{InFavour, Against, InConditions}, advice) {
		bad = append(bad, reason.Violation{Field: "advice", Description: "is missing"})
	}
	if text == "" || len(text) > maxAdvice {
		bad = append(bad, reason.Violation{Field: "text", Description: fmt.Sprintf("must have 1 to %d bytes", maxAdvice)})
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	p, refusal := k.awaiting(now, id, sha256)
	switch {
	case refusal != nil:
		return ledger.Draft{}, refusal
	case p.By == by.Actor:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The adviser proposed it.")
	}
	return ledger.Draft{Kind: KindAdvise, Actor: by.Actor, Role: role, Generation: p.Stage, KeyID: key,
		Facts: adviseFacts{id, sha256, advice}, Body: adviceBody{text}}, nil
}

// Approve judges an approval: by a third person in the third role, of the file
// and stage that they saw, with the advice recorded. The advice need not be
// favourable: the officer advises and does not decide (GDPR 38, 39).
func (k *Keeper) Approve(now time.Time, by ledger.Caller, id, sha256 string, stage uint64) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RolePrivacyController)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	p, refusal := k.awaiting(now, id, sha256)
	switch {
	case refusal != nil:
		return ledger.Draft{}, refusal
	case p.Stage != stage:
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "There is other advice since.")
	case by.Actor == p.By:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approver proposed it.")
	case p.Advice == "":
		return ledger.Draft{}, reason.New(reason.AdviceMissing, "")
	case by.Actor == p.AdvisedBy:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approver gave the advice.")
	}
	return ledger.Draft{Kind: KindApprove, Actor: by.Actor, Role: role, Generation: p.Stage,
		Facts: approveFacts{id, sha256}}, nil
}

// Withdraw judges the end of a proposal that is not in force.
func (k *Keeper) Withdraw(by ledger.Caller, id, key, explanation string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleOperator, RolePrivacyController)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	if len(explanation) > maxExplanation {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest,
			reason.Violation{Field: "explanation", Description: fmt.Sprintf("is longer than %d bytes", maxExplanation)})
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	p := k.proposal(id)
	switch {
	case p == nil:
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	case p.Withdrawn || !p.InForceAt.IsZero():
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "")
	}
	return ledger.Draft{Kind: KindWithdraw, Actor: by.Actor, Role: role, Generation: p.Stage, KeyID: key,
		Facts: withdrawFacts{id}, Body: explanationBody{explanation}}, nil
}

// Lengthened returns the classes that f keeps longer than old, or by another
// zone's calendar. A class that old lacks is not among them: nobody can read it
// yet. That takes two people.
func (f File) Lengthened(old []schema.Policy) ([]schema.Class, error) {
	var out []schema.Class
	for _, was := range old {
		now, ok := f.Rule(was.Class)
		if !ok {
			continue
		}
		longer, err := was.Lengthens(now.Policy)
		if err != nil {
			return nil, err
		}
		if longer {
			out = append(out, was.Class)
		}
	}
	return out, nil
}
