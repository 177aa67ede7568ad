package authority

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Roles of this package, by their names in claims and the ledger.
const (
	RoleLegalOfficer      = "legal_officer"
	RoleLegalApprover     = "legal_approver"
	RolePrivacyController = "privacy_controller"
)

const maxExplanation = 2000

// Contact is the person at the authority whom a call-back asks for. It is sealed.
type Contact struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// ContactBody, KeyBody and callBody are sealed under the class key of their month.
type ContactBody struct {
	Contact Contact `json:"contact"`
}

// KeyBody holds a key as [ParseKey] reads it.
type KeyBody struct {
	Key string `json:"key"`
}

type callBody struct {
	Number    string `json:"number"`
	SpokeWith string `json:"spoke_with"`
}

type explanationBody struct {
	Explanation string `json:"explanation"`
}

// The commands below are pure: they return the entry to append, or why not. key is
// the name of the class key that seals the body.

// Propose judges a record of a new authority, or another record of a known one.
// generation is the authority's as the caller saw it, 0 for a new one. A retired
// authority comes back that way.
func (g *Registry) Propose(by ledger.Caller, id, key string, generation uint64, r Record, contact Contact, law warrant.Law) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleLegalOfficer)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	r = r.normal()
	bad := r.validate(law)
	for _, of := range [][2]string{{"contact.name", contact.Name}, {"contact.email", contact.Email}} {
		if v, wrong := badText(of[0], of[1]); wrong {
			bad = append(bad, v)
		}
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.taken(r.ID) {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "id", Description: "could be read as that of another authority in the registry"})
	}
	if g.generation(r.ID) != generation {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, fmt.Sprintf("The authority has generation %d.", g.generation(r.ID)))
	}
	return ledger.Draft{Kind: KindPropose, Actor: by.Actor, Role: role, Generation: generation, KeyID: key,
		Facts: proposeFacts{id, r}, Body: ContactBody{contact}}, nil
}

// Approve judges an approval of what a proposal with this hash says, by another
// person in the other role.
func (g *Registry) Approve(now time.Time, by ledger.Caller, id, sha256 string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RolePrivacyController)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	p := g.proposal(id)
	switch {
	case p == nil:
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	case !p.ApprovedAt.IsZero():
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "It was approved.")
	case !now.Before(p.At.Add(ProposalAge)):
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "It is too old.")
	case p.BaseGeneration != g.generation(p.Record.ID), p.Record.Hash() != sha256:
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	case p.By == by.Actor:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "The approver proposed it.")
	case g.taken(p.Record.ID):
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "An authority with an id that could be read as this one was registered since.")
	}
	return ledger.Draft{Kind: KindApprove, Actor: by.Actor, Role: role, Generation: p.BaseGeneration,
		Facts: approveFacts{id, p.Record.ID, sha256}}, nil
}

// current returns an authority that is not retired and has the generation that the
// caller saw. The lock is held.
func (g *Registry) current(id string, generation uint64) (*Authority, *reason.Error) {
	a := g.known[id]
	switch {
	case a == nil:
		return nil, reason.New(reason.NotFound, "")
	case a.Generation != generation:
		return nil, reason.New(reason.GenerationMismatch, fmt.Sprintf("The authority has generation %d.", a.Generation))
	case !a.RetiredAt.IsZero():
		return nil, reason.New(reason.AuthorityNotEntitled, "The authority was retired; propose it anew first.")
	}
	return a, nil
}

// AddKey judges a key of an authority. Until another person has confirmed it,
// nothing is sealed to it.
func (g *Registry) AddKey(now time.Time, by ledger.Caller, key string, id string, generation uint64, text string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleLegalOfficer)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	invalid := func(why string) (ledger.Draft, *reason.Error) {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "key", Description: why})
	}
	k, err := ParseKey(text)
	if err != nil {
		return invalid(strings.TrimPrefix(err.Error(), "key: "))
	}
	if c := k.Certificate; c != nil && (now.Before(c.NotBefore) || !now.Before(c.NotAfter)) {
		return invalid("the certificate is not valid now")
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	a, refusal := g.current(id, generation)
	if refusal != nil {
		return ledger.Draft{}, refusal
	}
	if g.keyInUse(k.Fingerprint) {
		return invalid("is in the registry already")
	}
	return ledger.Draft{Kind: KindKeyAdd, Actor: by.Actor, Role: role, Generation: a.Generation, KeyID: key,
		Facts: keyFacts{id, k.Fingerprint, k.Kind, k.Expires()}, Body: KeyBody{k.Text()}}, nil
}

// ConfirmKey judges that a key's fingerprint was compared with the authority, by
// another person than who added it, in a call to the number in the registry.
func (g *Registry) ConfirmKey(now time.Time, by ledger.Caller, key, id string, generation uint64, fingerprint, number, spokeWith string) (ledger.Draft, *reason.Error) {
	role, ok := by.As(RoleLegalOfficer, RoleLegalApprover, RolePrivacyController)
	if !ok {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	a, refusal := g.current(id, generation)
	if refusal != nil {
		return ledger.Draft{}, refusal
	}
	k := a.key(fingerprint)
	switch {
	case k == nil:
		return ledger.Draft{}, reason.New(reason.NotFound, "The authority has no key with this fingerprint.")
	case !k.RevokedAt.IsZero(), !k.NotAfter.IsZero() && !now.Before(k.NotAfter):
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "The key was revoked, or is no longer valid.")
	case !k.ConfirmedAt.IsZero():
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "The key is confirmed.")
	case k.AddedBy == by.Actor:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "Whoever added the key cannot confirm it.")
	}
	var bad []reason.Violation
	if warrant.NormalNumber(number) != a.CallBack {
		bad = append(bad, reason.Violation{Field: "number", Description: "is not the authority's number in the registry: call that one"})
	}
	if v, ok := badText("spoke_with", spokeWith); ok || spokeWith == "" {
		v.Field, v.Description = "spoke_with", "must be who compared the fingerprint, printable text of at most "+fmt.Sprint(maxText)+" bytes"
		bad = append(bad, v)
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	return ledger.Draft{Kind: KindKeyConfirm, Actor: by.Actor, Role: role, Generation: a.Generation, KeyID: key,
		Facts: keyFacts{AuthorityID: id, Fingerprint: fingerprint}, Body: callBody{warrant.NormalNumber(number), spokeWith}}, nil
}

// RevokeKey judges that nothing is sealed to a key any more, from this entry on.
func (g *Registry) RevokeKey(by ledger.Caller, key, id, fingerprint, explanation string) (ledger.Draft, *reason.Error) {
	role, refusal := stopper(by, explanation)
	if refusal != nil {
		return ledger.Draft{}, refusal
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	a := g.known[id]
	if a == nil || a.key(fingerprint) == nil {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if !a.key(fingerprint).RevokedAt.IsZero() {
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "The key was revoked.")
	}
	return ledger.Draft{Kind: KindKeyRevoke, Actor: by.Actor, Role: role, Generation: a.Generation, KeyID: key,
		Facts: keyFacts{AuthorityID: id, Fingerprint: fingerprint}, Body: explanationBody{explanation}}, nil
}

// Retire judges that an authority may order nothing any more, from this entry on.
func (g *Registry) Retire(by ledger.Caller, key, id, explanation string) (ledger.Draft, *reason.Error) {
	role, refusal := stopper(by, explanation)
	if refusal != nil {
		return ledger.Draft{}, refusal
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	a := g.known[id]
	if a == nil {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if !a.RetiredAt.IsZero() {
		return ledger.Draft{}, reason.New(reason.ProposalEnded, "The authority was retired.")
	}
	return ledger.Draft{Kind: KindRetire, Actor: by.Actor, Role: role, Generation: a.Generation, KeyID: key,
		Facts: retireFacts{id}, Body: explanationBody{explanation}}, nil
}

// stopper returns in which role a caller may take away.
func stopper(by ledger.Caller, explanation string) (string, *reason.Error) {
	role, ok := by.As(RoleLegalOfficer, RoleLegalApprover, RolePrivacyController)
	switch {
	case !ok:
		return "", reason.New(reason.PermissionDenied, "")
	case len(explanation) > maxExplanation:
		return "", reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "explanation", Description: fmt.Sprintf("is longer than %d bytes", maxExplanation)})
	}
	return role, nil
}

func badText(field, s string) (reason.Violation, bool) {
	bad := len(s) > maxText || strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
	return reason.Violation{Field: field, Description: fmt.Sprintf("must be printable text of at most %d bytes", maxText)}, bad
}
