package warrant

import (
	"encoding/json"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of the entries that suspend a warrant and let it go on.
const (
	KindSuspend = "warrant.suspend"
	KindResume  = "warrant.resume"
)

// SuspendRequest suspends or resumes a warrant. The explanation is sealed.
type SuspendRequest struct {
	WarrantID   string
	Generation  uint64
	Explanation string
}

type resumeFacts struct {
	Revision uint64 `json:"revision"`
}

// Suspend stops everything under a warrant until a person resumes it: what runs is
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

// Resume lifts a suspension by a person. Approvals that have grown too old
// meanwhile are to be given anew, and a missing paper is still missing.
func (r *Rules) Resume(s *State, now time.Time, by Caller, req SuspendRequest) (ledger.Draft, *reason.Error) {
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
	return explained(KindResume, w, by, req.Explanation, resumeFacts{w.Revision})
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

func (s *State) applyResume(e ledger.Entry) (bool, error) {
	var f resumeFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || w.SuspendedAt.IsZero() {
		return false, nil
	}
	w.SuspendedAt = time.Time{}
	w.Revision++
	return true, nil
}
