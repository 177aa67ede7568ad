package hold

import (
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Kept is what came of preserving one question of an order that is not executed.
type Kept struct {
	TaskID string        `json:"task_id,omitempty"`
	Target uint32        `json:"target,omitempty"` // as in [Hold]
	Answer reason.Reason `json:"answer"`           // PRESERVED, or why there is no hold
	HoldID string        `json:"hold_id,omitempty"`
}

// of reports whether the hold is of a question: that of a task, or of a target of the
// order that no task asks for.
func (h *Hold) of(warrantID, taskID string, target uint32) bool {
	return h.WarrantID == warrantID && h.TaskID == taskID && h.Target == target
}

// OfQuestion returns the newest readable hold of a question, or false.
func (s *State) OfQuestion(now time.Time, warrantID string, k Kept) (Hold, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i := len(s.order) - 1; i >= 0; i-- {
		if h := s.holds[s.order[i]]; h.of(warrantID, k.TaskID, k.Target) && h.Readable(now) {
			return h.clone(), true
		}
	}
	return Hold{}, false
}

// MakeUnexecuted drafts the entry that a sealed copy of what a warrant asks is a hold,
// because its non-execution was recorded and its legal basis wants the data preserved
// meanwhile (Regulation (EU) 2023/1543 art. 10(1) and (9)). It rests on the receipt of
// the order and not on approvals, which would let anybody read: a hold lets nobody.
// days are those that the recording took from the legal profile.
func (r *Rules) MakeUnexecuted(s *State, now time.Time, by warrant.Caller, w warrant.Warrant, of Kept, days int, req MakeRequest) (ledger.Draft, *reason.Error) {
	switch {
	case w.State(now).Terminal():
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "")
	case days < 1:
		return ledger.Draft{}, reason.New(reason.CategoryExceedsBasis, "The legal basis does not preserve what is not executed.")
	case !sha256Form.MatchString(req.FileSHA256):
		return ledger.Draft{}, reason.New(reason.SchemaInvalid, "")
	}
	if _, taken := s.Hold(req.ID); taken {
		return ledger.Draft{}, reason.New(reason.Internal, "")
	}
	if _, ok := s.OfQuestion(now, w.ID, of); ok {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "There is a hold of it already.")
	}
	return req.draft(now, by, w, of, days, true), nil
}
