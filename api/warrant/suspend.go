package warrant

import (
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of the entries that suspend a warrant and let it go on. A resumption takes
// two of its kind, by two people.
const (
	KindSuspend = "warrant.suspend"
	KindResume  = "warrant.resume"
)

// SuspendRequest suspends a warrant. The explanation is sealed.
type SuspendRequest struct {
	WarrantID   string
	Generation  uint64
	Explanation string
}

// ResumeRequest lets a warrant go on, as far as one person can. The explanation is
// sealed.
type ResumeRequest struct {
	WarrantID     string
	Generation    uint64
	ContentSHA256 string // as the caller saw it
	Explanation   string
}

// Suspend stops everything under a warrant until two people resume it: what runs is
// cut off, and nothing executes, is released or is fetched. Its clocks run on.
func (r *Rules) Suspend(s *State, now time.Time, by Caller, req SuspendRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if !w.SuspendedAt.IsZero() {
		return ledger.Draft{}, reason.New(reason.WarrantSuspended, "It is suspended already.")
	}
	return explained(KindSuspend, w, by, req.Explanation, struct{}{})
}

// Resume lifts a suspension by a person, once two people said so: see [Consent].
// Approvals that have grown too old meanwhile are to be given anew, and a missing
// paper is still missing.
func (r *Rules) Resume(s *State, now time.Time, by Caller, req ResumeRequest) (ledger.Draft, *reason.Error) {
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if w.SuspendedAt.IsZero() {
		if w.State(now) == Suspended {
			return ledger.Draft{}, reason.New(reason.WarrantSuspended, w.whySuspended())
		}
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It is not suspended.")
	}
	f, err := r.consent(w, now, by, KindResume, req.ContentSHA256, "")
	if err != nil {
		return ledger.Draft{}, err
	}
	if len(req.Explanation) > maxExplanation {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, tooLong)
	}
	return ledger.Draft{Kind: KindResume, Actor: by.Actor, Role: string(f.Role), WarrantID: w.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: f, Body: explanationBody{req.Explanation}}, nil
}

// applySuspend takes in a suspension whatever the revision: to stop is always safe.
func (s *State) applySuspend(e ledger.Entry) bool {
	w := s.warrants[e.Header.WarrantID]
	if w == nil || w.Ended != "" || !w.SuspendedAt.IsZero() {
		return false
	}
	w.SuspendedAt = e.Header.At
	w.Revision++
	return true
}
