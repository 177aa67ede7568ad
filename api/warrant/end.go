package warrant

import (
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of the entries that end a warrant.
const (
	KindReject = "warrant.reject"
	KindRevoke = "warrant.revoke"
	KindCancel = "warrant.cancel"
)

// EndRequest rejects, revokes or cancels a warrant. The explanation is sealed, and
// so is the document by which an authority cancelled, which need not be there yet:
// a call is enough to stop.
type EndRequest struct {
	WarrantID      string
	Generation     uint64
	Explanation    string
	DocumentSHA256 string // of [Rules.Cancel] only; may be empty
}

// Reject ends a warrant that was never approved. A new one with the same reference
// may follow, since a rejection is how a mistake at intake is put right.
func (r *Rules) Reject(s *State, now time.Time, by Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if w.WasApproved {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It was approved: revoke it.")
	}
	return explained(KindReject, w, by, req.Explanation, struct{}{})
}

// Revoke ends a warrant in any live state, by our own decision. Running tasks of it
// stop, unfetched packages are destroyed.
func (r *Rules) Revoke(s *State, now time.Time, by Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	return explained(KindRevoke, w, by, req.Explanation, struct{}{})
}

// Cancel ends a warrant in any live state because the authority withdrew it. It
// does what a revocation does; who decided is another, and stays told apart.
func (r *Rules) Cancel(s *State, now time.Time, by Caller, req EndRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if req.DocumentSHA256 != "" {
		if err := checkDocument(req.DocumentSHA256, ""); err != nil {
			return ledger.Draft{}, err
		}
	}
	d, err := explained(KindCancel, w, by, req.Explanation, struct{}{})
	if err == nil {
		d.Body = documentBody{req.DocumentSHA256, req.Explanation}
	}
	return d, err
}

// explained drafts an act on a warrant that needs a legal role and an explanation.
func explained(kind string, w Warrant, by Caller, explanation string, facts any) (ledger.Draft, *reason.Error) {
	role, err := by.legal()
	if err != nil {
		return ledger.Draft{}, err
	}
	if len(explanation) > maxExplanation {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, tooLong)
	}
	return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: facts, Body: explanationBody{explanation}}, nil
}

// legal returns the role in which a caller does what either legal role may, or
// PERMISSION_DENIED.
func (c Caller) legal() (Role, *reason.Error) {
	for _, role := range []Role{LegalOfficer, LegalApprover} {
		if c.Has(role) {
			return role, nil
		}
	}
	return "", reason.New(reason.PermissionDenied, "")
}

// ends are the states that the kinds of ending entries leave.
var ends = map[string]WarrantState{KindReject: Rejected, KindRevoke: Revoked, KindCancel: Cancelled}

// applyEnd takes in an end whatever the revision: to stop is always safe. Only a
// rejection frees the reference: it was a mistake of ours.
func (s *State) applyEnd(e ledger.Entry) bool {
	w := s.warrants[e.Header.WarrantID]
	if w == nil || w.Ended != "" {
		return false
	}
	w.Ended, w.EndedAt = ends[e.Header.Kind], e.Header.At
	if w.Ended == Rejected {
		delete(s.duplicates, w.DuplicateKey)
	}
	w.Revision++
	return true
}
