package warrant

import (
	"encoding/json"
	"fmt"
	"time"

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
	case KindEdit, KindExtend:
		applied, err = s.applyEdit(e)
	case KindPaper:
		applied, err = s.applyPaper(e)
	case KindSuspend:
		applied = s.applySuspend(e)
	case KindClearNotice, KindResume:
		applied, err = s.applyConsent(e)
	case KindReject, KindRevoke, KindCancel:
		applied = s.applyEnd(e)
	case KindAssign:
		applied, err = s.applyAssign(e)
	case KindLapse:
		applied, err = s.applyLapse(e)
	case KindTaskCreate:
		applied, err = s.applyTaskCreate(e)
	case KindDocument:
		applied, err = s.applyDocument(e)
	case KindTaskConfirm:
		applied, err = s.applyTaskConfirm(e)
	case KindTaskIntent:
		applied, err = s.applyIntent(e)
	case KindTaskResult:
		applied, err = s.applyResult(e)
	case KindRelease:
		applied, err = s.applyRelease(e)
	case KindAbort:
		applied, err = s.applyAbort(e)
	case KindRefuse:
		applied, err = s.applyRefuse(e)
	case KindFetch, KindDestroy, KindGrant, KindAcknowledge, KindRecall, KindCorrect:
		applied, err = s.applyPackage(e)
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
	var f newFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	id := e.Header.WarrantID
	if s.warrants[id] != nil || s.duplicates[f.DuplicateKey] != "" {
		return false, nil
	}
	w := &Warrant{ID: id, Index: e.Index, ContentIndex: e.Index, KeyID: e.Header.KeyID, Generation: e.Header.Generation, Revision: 1,
		CreatedBy: e.Header.Actor, CreatedAt: e.Header.At, Team: f.Team}
	w.set(f.createFacts)
	if w.Emergency && w.DocumentKey != "" {
		w.PaperAt = e.Header.At
	}
	s.warrants[id] = w
	s.order = append(s.order, id)
	s.duplicates[f.DuplicateKey] = id
	return true, nil
}

// set takes over what stands in clear of a content.
func (w *Warrant) set(f createFacts) {
	w.Basis, w.Categories, w.ValidFrom, w.ValidUntil, w.PeriodFrom = f.Basis, f.Categories, f.ValidFrom, f.ValidUntil, f.PeriodFrom
	w.ContentSHA256, w.DuplicateKey, w.DocumentKey = f.ContentSHA256, f.DuplicateKey, f.DocumentKey
	w.Authority, w.Recipient, w.Profile, w.ProfileSHA256 = f.Authority, f.Recipient, f.Profile, f.ProfileSHA256
	w.Terms = f.Terms
}

// acted notes when the last task of a warrant was answered that can be. A task that
// was refused leaves the order unanswered until another one is asked in its place.
func (s *State) acted(w *Warrant) {
	w.ActedAt = time.Time{}
	var last time.Time
	for _, id := range w.Tasks {
		t := s.tasks[id]
		if t.Generation == w.Generation && (t.open() || s.refusedLast(w, t)) {
			return
		}
		if t.ReleasedAt.After(last) {
			last = t.ReleasedAt
		}
	}
	w.ActedAt = last
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

// executing returns the entry's warrant and task as current does, when the warrant
// let its tasks run at the time of the entry.
func (s *State) executing(e ledger.Entry, revision uint64) (*Warrant, *Task) {
	w, t := s.current(e, revision), s.tasks[e.Header.TaskID]
	if w == nil || t == nil || t.WarrantID != w.ID || t.Generation != w.Generation {
		return nil, nil
	}
	if state := w.State(e.Header.At); state != Approved && state != EmergencyApproval {
		return nil, nil
	}
	return w, t
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
		Category: f.Category, CreatedBy: e.Header.Actor, CreatedAt: e.Header.At, stored: TaskAwaiting}
	w.Tasks = append(w.Tasks, e.Header.TaskID)
	w.ActedAt = time.Time{}
	w.Revision++
	return true, nil
}

func (s *State) applyIntent(e ledger.Entry) (bool, error) {
	var f intentFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.executing(e, f.Revision)
	if w == nil || !t.executable() || f.Attempt != t.Attempt+1 {
		return false, nil
	}
	t.stored, t.Attempt, t.AttemptOf, t.IntentIndex = TaskExecuting, f.Attempt, w.Generation, e.Index
	w.Revision++
	return true, nil
}

func (s *State) applyResult(e ledger.Entry) (bool, error) {
	var f ResultFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.executing(e, f.Revision)
	if w == nil || t.AttemptOf != w.Generation || t.stored != TaskExecuting || f.Attempt != t.Attempt || f.IntentIndex != t.IntentIndex {
		return false, nil
	}
	t.stored, t.ResultIndex = TaskSealed, e.Index
	t.Answer, t.PackageSHA256, t.PackageBytes = reason.Reason(f.Answer), f.PackageSHA256, f.PackageBytes
	t.Incomplete, t.Neighbours = f.Incomplete, f.Neighbours
	w.Revision++
	return true, nil
}

func (s *State) applyRelease(e ledger.Entry) (bool, error) {
	var f releaseFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.executing(e, f.Revision)
	if w == nil || w.noticeBlocks(e.Header.At) || t.AttemptOf != w.Generation || t.stored != TaskSealed || f.Attempt != t.Attempt || f.ResultIndex != t.ResultIndex {
		return false, nil
	}
	t.stored = TaskNotAvailable
	switch t.Answer {
	case reason.Match:
		t.stored = TaskDisclosed
	case reason.Preserved:
		t.stored = TaskPreserved
	}
	t.ReleaseIndex, t.ReleasedAt, t.SealedTo = e.Index, e.Header.At, w.Recipient
	t.Delivery.GrantedAt = e.Header.At // the first download
	s.acted(w)
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
	t.Incomplete, t.Neighbours = nil, ""
	s.warrants[t.WarrantID].Revision++
	return true, nil
}

// executable reports whether an intent may follow.
func (t *Task) executable() bool { return t.stored == TaskAwaiting || t.stored == TaskError }
