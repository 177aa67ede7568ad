package legalbasis

import (
	"fmt"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/signedfile"
	"griffier/api/warrant"
)

// Roles of this package, by their names in claims and the ledger.
const (
	RoleLegalOfficer      = "legal_officer"
	RolePrivacyController = "privacy_controller"
)

const maxExplanation = 2000

// explanationBody is sealed.
type explanationBody struct {
	Explanation string `json:"explanation"`
}

// Adopt drafts the entry that puts the first profiles in force, which the lawyer's
// signature alone does: before it everything is denied. The nation's comes first.
func (k *Keeper) Adopt(files []File) (ledger.Draft, *reason.Error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if len(k.history) > 0 {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	}
	var facts adoptFacts
	var profiles []*warrant.Profile
	for _, f := range files {
		facts.Profiles, profiles = append(facts.Profiles, factsOf(f.Profile, f.Signed)), append(profiles, f.Profile)
	}
	if problems := together(profiles); len(problems) > 0 {
		return ledger.Draft{}, signedfile.Refuse("", problems...).Refusal()
	}
	return ledger.Draft{Kind: KindAdopt, Facts: facts}, nil
}

// Propose judges a proposal of a signed file: of another version of a profile in
// force, or of one beside it. id is random. It and its fellows below are pure: they
// return the entry to append, or why not.
func (k *Keeper) Propose(by ledger.Caller, id string, p *warrant.Profile, signed []byte) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleLegalOfficer)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	generation := k.generation(p.Name)
	if p.Generation <= generation {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch,
			fmt.Sprintf("The file has generation %d; generation %d of profile %s is in force.", p.Generation, generation, p.Name))
	}
	if problems := k.Law().Beside(p); len(problems) > 0 {
		return ledger.Draft{}, signedfile.Refuse("", problems...).Refusal()
	}
	return ledger.Draft{Kind: KindPropose, Actor: by.Actor, Role: role, Generation: 1,
		Facts: proposeFacts{fileFacts: factsOf(p, signed), ProposalID: id, BaseGeneration: generation}}, nil
}

// Approve judges an approval: by another person in the other role, of the file that
// they saw. The profile is in force with its entry.
func (k *Keeper) Approve(now time.Time, by ledger.Caller, id, sha256 string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RolePrivacyController)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	p := k.proposal(id)
	if p == nil {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	beside := k.Law().Beside(p.Profile)
	switch state := p.State(now, k.generation(p.Name)); {
	case state == Overtaken:
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "Another version of the profile came into force since it was proposed.")
	case state != AwaitingApproval:
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "It is "+string(state)+".")
	case p.SHA256 != sha256:
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	case p.By == by.Actor:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approver proposed it.")
	case len(beside) > 0: // since another profile changed
		return ledger.Draft{}, signedfile.Refuse("", beside...).Refusal()
	}
	return ledger.Draft{Kind: KindApprove, Actor: by.Actor, Role: role, Generation: 1, Facts: approveFacts{id, sha256}}, nil
}

// Withdraw judges the end of a proposal that is not in force. key is the name of
// the class key that seals the explanation.
func (k *Keeper) Withdraw(by ledger.Caller, id, key, explanation string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleLegalOfficer, RolePrivacyController)
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
	case p.Withdrawn || !p.ApprovedAt.IsZero():
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "")
	}
	return ledger.Draft{Kind: KindWithdraw, Actor: by.Actor, Role: role, Generation: 1, KeyID: key,
		Facts: withdrawFacts{id}, Body: explanationBody{explanation}}, nil
}
