package warrant

import (
	"encoding/json"
	"regexp"
	"slices"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindAssign gives a warrant to another team.
const KindAssign = "warrant.assign"

// teamForm is that of auth.ValidTeam.
var teamForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// Within reports whether a warrant is of a team that the caller is in. Legal officers
// and approvers see and touch no other (disclosure.md D-42), in whatever other role
// they may be; so does a lawyer from outside who was given teams. To who is none of
// these, the privacy controller and the service itself, teams do not apply.
func (c Caller) Within(w Warrant) bool {
	bound := c.Has(LegalOfficer) || c.Has(LegalApprover) || c.Has(ExternalApprover) && len(c.Teams) > 0
	return !bound || c.isIn(w.Team)
}

// isIn reports whether the caller is in a team. Who has none is in the one without a
// name, which is everybody where there are no teams.
func (c Caller) isIn(team string) bool {
	if len(c.Teams) == 0 {
		return team == ""
	}
	return slices.Contains(c.Teams, team)
}

// teamFor returns the team that a new warrant of the caller belongs to.
func (c Caller) teamFor(named string) (string, *reason.Error) {
	refuse := func(description string) (string, *reason.Error) {
		return "", reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "team", Description: description})
	}
	switch {
	case named == "" && len(c.Teams) == 1:
		return c.Teams[0], nil
	case named == "" && len(c.Teams) > 1:
		return refuse("is required: the caller is in several")
	case !c.isIn(named):
		return refuse("is not one of the caller's")
	}
	return named, nil
}

// AssignRequest gives a warrant to another team, because those of the present one
// cannot go on with it. The explanation is sealed.
type AssignRequest struct {
	WarrantID   string
	Team        string // empty: the one without a name
	Explanation string
}

type assignFacts struct {
	From string `json:"from"`
	Team string `json:"team"`
}

// Assign judges it. It is the privacy controller's, who reads nothing of the warrant by
// that, and never somebody's who would read it after: a legal role excludes it. The
// content and its approvals stay as they are, also those of a warrant that has ended.
func (r *Rules) Assign(s *State, by Caller, req AssignRequest) (ledger.Draft, *reason.Error) {
	if !by.Has(PrivacyController) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	if by.Has(LegalOfficer) || by.Has(LegalApprover) {
		return ledger.Draft{}, reason.New(reason.SelfApproval, "Who has a legal role gives no warrant to a team.")
	}
	var bad []reason.Violation
	if req.Team != "" && !teamForm.MatchString(req.Team) {
		bad = append(bad, reason.Violation{Field: "team", Description: "must be 1 to 32 of a-z 0-9 . _ -"})
	}
	if req.Explanation == "" {
		bad = append(bad, reason.Violation{Field: "explanation", Description: "is missing: why the present team cannot go on with it"})
	}
	if len(req.Explanation) > maxExplanation {
		bad = append(bad, reason.Violation{Field: "explanation", Description: "is too long"})
	}
	if len(bad) > 0 {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	w, ok := s.Warrant(req.WarrantID)
	switch {
	case !ok:
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	case w.Team == req.Team:
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It is that team's already.")
	}
	return ledger.Draft{Kind: KindAssign, Actor: by.Actor, Role: string(PrivacyController), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: assignFacts{w.Team, req.Team}, Body: explanationBody{req.Explanation}}, nil
}

// applyAssign leaves the revision as it is: nothing that is decided about a warrant
// depends on whose it is, and what runs under it goes on.
func (s *State) applyAssign(e ledger.Entry) (bool, error) {
	var f assignFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.warrants[e.Header.WarrantID]
	if w == nil || w.Team != f.From {
		return false, nil
	}
	w.Team = f.Team
	return true, nil
}
