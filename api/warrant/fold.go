package warrant

import (
	"encoding/json"
	"fmt"
	"slices"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Apply takes in one entry of the ledger; it implements [ledger.Fold]. Entries
// of other kinds are none of its business. An entry that was decided on a state
// that another entry changed first is counted and otherwise ignored. An error
// means that the ledger holds something this version cannot read, and that
// deciding must not go on.
func (s *State) Apply(e ledger.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := e.Header
	var applied bool
	var err error
	switch h.Kind {
	case KindCreate:
		applied, err = s.applyCreate(e)
	case KindApprove:
		applied, err = s.applyApprove(e)
	case KindVerify:
		applied, err = s.applyVerify(e)
	case KindReject, KindRevoke:
		applied = s.applyEnd(e)
	case KindTaskCreate:
		applied, err = s.applyTaskCreate(e)
	case KindTaskIntent:
		applied, err = s.applyIntent(e)
	case KindTaskResult:
		applied, err = s.applyResult(e)
	case KindRelease:
		applied, err = s.applyRelease(e)
	case KindAbort:
		applied, err = s.applyAbort(e)
	case KindFetch, KindDestroy:
		applied = s.applyPackage(e)
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("fold entry %d (%s): %w", e.Index, h.Kind, err)
	}
	if !applied {
		s.ignored++
	}
	return nil
}

func (s *State) applyCreate(e ledger.Entry) (bool, error) {
	var f createFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	id := e.Header.WarrantID
	if s.warrants[id] != nil || s.duplicates[f.DuplicateKey] != "" {
		return false, nil
	}
	s.warrants[id] = &Warrant{
		ID: id, Index: e.Index, KeyID: e.Header.KeyID, Generation: e.Header.Generation, Revision: 1,
		Basis: f.Basis, Categories: f.Categories, ValidFrom: f.ValidFrom, ValidUntil: f.ValidUntil,
		ContentSHA256: f.ContentSHA256, DuplicateKey: f.DuplicateKey,
		Authority: f.Authority, Recipient: f.Recipient, Profile: f.Profile, ProfileSHA256: f.ProfileSHA256,
		CreatedBy: e.Header.Actor, CreatedAt: e.Header.At,
	}
	s.order = append(s.order, id)
	s.duplicates[f.DuplicateKey] = id
	return true, nil
}

// current returns the entry's warrant when the entry was decided on its present
// revision and the warrant had not ended when it was appended.
func (s *State) current(e ledger.Entry, revision uint64) *Warrant {
	w := s.warrants[e.Header.WarrantID]
	if w == nil || w.Revision != revision || w.Generation != e.Header.Generation || w.live(e.Header.At) != nil {
		return nil
	}
	return w
}

func (s *State) applyApprove(e ledger.Entry) (bool, error) {
	var f approveFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || f.ContentSHA256 != w.ContentSHA256 {
		return false, nil
	}
	var kept []Approval
	for _, a := range w.Approvals {
		if slices.Contains(f.Beside, a.Index) {
			if a.Actor == e.Header.Actor || a.Role == f.Role {
				return false, nil
			}
			kept = append(kept, a)
		}
	}
	w.Approvals = append(kept, Approval{Actor: e.Header.Actor, Role: f.Role, Generation: e.Header.Generation,
		ContentSHA256: f.ContentSHA256, At: e.Header.At, Index: e.Index})
	w.Revision++
	return true, nil
}

// applyEnd takes in an end whatever the revision: to stop is always safe.
func (s *State) applyEnd(e ledger.Entry) bool {
	w := s.warrants[e.Header.WarrantID]
	if w == nil || w.Ended != "" {
		return false
	}
	w.Ended, w.EndedAt = Revoked, e.Header.At
	if e.Header.Kind == KindReject {
		w.Ended = Rejected
		delete(s.duplicates, w.DuplicateKey)
	}
	w.Revision++
	return true
}

func (s *State) applyTaskCreate(e ledger.Entry) (bool, error) {
	var f taskCreateFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w := s.current(e, f.Revision)
	if w == nil || s.tasks[e.Header.TaskID] != nil {
		return false, nil
	}
	s.tasks[e.Header.TaskID] = &Task{ID: e.Header.TaskID, WarrantID: w.ID, Index: e.Index, Generation: e.Header.Generation,
		Category: f.Category, CreatedAt: e.Header.At, stored: TaskAwaiting}
	w.Tasks = append(w.Tasks, e.Header.TaskID)
	w.Revision++
	return true, nil
}

func (s *State) applyIntent(e ledger.Entry) (bool, error) {
	var f intentFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.current(e, f.Revision), s.tasks[e.Header.TaskID]
	if w == nil || t == nil || t.WarrantID != w.ID || !t.executable() || f.Attempt != t.Attempt+1 {
		return false, nil
	}
	t.stored, t.Attempt, t.IntentIndex = TaskExecuting, f.Attempt, e.Index
	w.Revision++
	return true, nil
}

func (s *State) applyResult(e ledger.Entry) (bool, error) {
	var f ResultFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.current(e, f.Revision), s.tasks[e.Header.TaskID]
	if w == nil || t == nil || t.WarrantID != w.ID || t.stored != TaskExecuting || f.Attempt != t.Attempt || f.IntentIndex != t.IntentIndex {
		return false, nil
	}
	t.stored, t.ResultIndex = TaskSealed, e.Index
	t.Answer, t.PackageSHA256, t.PackageBytes = reason.Reason(f.Answer), f.PackageSHA256, f.PackageBytes
	w.Revision++
	return true, nil
}

func (s *State) applyRelease(e ledger.Entry) (bool, error) {
	var f releaseFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.current(e, f.Revision), s.tasks[e.Header.TaskID]
	if w == nil || t == nil || t.WarrantID != w.ID || t.stored != TaskSealed || f.Attempt != t.Attempt || f.ResultIndex != t.ResultIndex {
		return false, nil
	}
	t.stored = TaskNotAvailable
	switch t.Answer {
	case reason.Match:
		t.stored = TaskDisclosed
	case reason.Preserved:
		t.stored = TaskPreserved
	}
	t.ReleaseIndex, t.ReleasedAt = e.Index, e.Header.At
	w.Revision++
	return true, nil
}

func (s *State) applyAbort(e ledger.Entry) (bool, error) {
	var f abortFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	t := s.tasks[e.Header.TaskID]
	if t == nil || f.Attempt != t.Attempt || (t.stored != TaskExecuting && t.stored != TaskSealed) {
		return false, nil
	}
	t.stored = TaskError
	if f.Restart {
		t.stored = TaskAwaiting
	}
	t.Answer, t.PackageSHA256, t.PackageBytes, t.ResultIndex = "", "", 0, 0
	s.warrants[t.WarrantID].Revision++
	return true, nil
}

func (s *State) applyPackage(e ledger.Entry) bool {
	t := s.tasks[e.Header.TaskID]
	if t == nil || t.ReleasedAt.IsZero() {
		return false
	}
	if e.Header.Kind == KindDestroy {
		t.Destroyed = true
	} else {
		if t.Fetched == 0 {
			t.FetchedAt = e.Header.At
		}
		t.Fetched++
	}
	return true
}

// executable reports whether an intent may follow.
func (t *Task) executable() bool { return t.stored == TaskAwaiting || t.stored == TaskError }
