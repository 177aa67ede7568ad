package warrant

import (
	"slices"
	"sync"
	"time"

	"griffier/api/reason"
)

// WarrantState is the state of a warrant at a time.
type WarrantState string

// States of a warrant. The last three are terminal.
const (
	AwaitingApproval WarrantState = "AWAITING_APPROVAL"
	Approved         WarrantState = "APPROVED"
	Rejected         WarrantState = "REJECTED"
	Revoked          WarrantState = "REVOKED"
	Expired          WarrantState = "EXPIRED"
)

// TaskState is the state of a task at a time.
type TaskState string

// States of a task. TaskSealed is seen as EXECUTING from outside: the package
// exists and is not released.
const (
	TaskAwaiting     TaskState = "AWAITING_DISCLOSURE"
	TaskExecuting    TaskState = "EXECUTING"
	TaskSealed       TaskState = "SEALED"
	TaskDisclosed    TaskState = "DISCLOSED"
	TaskNotAvailable TaskState = "NOT_AVAILABLE"
	TaskPreserved    TaskState = "PRESERVED"
	TaskCancelled    TaskState = "CANCELLED"
	TaskError        TaskState = "ERROR"
)

// Approval is one person's approval in one role.
type Approval struct {
	Actor         string
	Role          Role
	Generation    uint64
	ContentSHA256 string
	At            time.Time
	Index         uint64 // of the ledger entry
}

// Warrant is what the headers tell about a warrant. Its content is in the
// sealed body of the entry at Index.
type Warrant struct {
	ID            string
	Index         uint64
	KeyID         string
	Generation    uint64
	Revision      uint64
	Basis         string
	Categories    []Category
	ValidFrom     time.Time
	ValidUntil    time.Time
	ContentSHA256 string
	DuplicateKey  string
	CreatedBy     string
	CreatedAt     time.Time
	Authority     string // its id in the registry
	Recipient     string // fingerprint of the key that packages are sealed to
	Profile       string // by which the content was judged, and the hash of its signed text
	ProfileSHA256 string
	// Verified tells that the authority was called back and confirmed the order, in
	// the entry at VerifiedIndex.
	Verified      bool
	VerifiedIndex uint64
	VerifiedBy    string
	VerifiedAt    time.Time
	Approvals     []Approval
	Ended         WarrantState // Rejected or Revoked, else empty
	EndedAt       time.Time
	Tasks         []string
}

// State returns the warrant's state at now. Expiry is a property of the
// warrant, not of a job: at ValidUntil it is EXPIRED, whoever looks.
func (w *Warrant) State(now time.Time) WarrantState {
	switch {
	case w.Ended != "":
		return w.Ended
	case !now.Before(w.ValidUntil):
		return Expired
	case w.fourEyes():
		return Approved
	}
	return AwaitingApproval
}

func (w *Warrant) fourEyes() bool {
	return len(w.Approvals) == 2 && w.Approvals[0].Actor != w.Approvals[1].Actor && w.Approvals[0].Role != w.Approvals[1].Role
}

// EffectiveUntil returns when the server stops executing under the warrant: the
// end of its validity, or earlier when an approval gets too old, or when it was
// ended.
func (w *Warrant) EffectiveUntil(approvalAge time.Duration) time.Time {
	until := w.ValidUntil
	if w.fourEyes() {
		for _, a := range w.Approvals {
			if lapse := a.At.Add(approvalAge); lapse.Before(until) {
				until = lapse
			}
		}
	}
	if w.Ended != "" && w.EndedAt.Before(until) {
		until = w.EndedAt
	}
	return until
}

// live refuses when the warrant has ended at now.
func (w *Warrant) live(now time.Time) *reason.Error {
	switch w.State(now) {
	case Rejected, Revoked:
		return reason.New(reason.WarrantTerminal, "")
	case Expired:
		return reason.New(reason.WarrantExpired, "")
	}
	return nil
}

// Task is what the headers tell about a task. Target and instant are in the
// sealed body of the entry at Index.
type Task struct {
	ID            string
	WarrantID     string
	Index         uint64
	Generation    uint64 // of the warrant when the task was made
	Category      Category
	CreatedAt     time.Time
	Attempt       uint32 // counts intents
	IntentIndex   uint64
	ResultIndex   uint64
	ReleaseIndex  uint64
	Answer        reason.Reason
	PackageSHA256 string
	PackageBytes  int64
	ReleasedAt    time.Time
	Fetched       uint32
	FetchedAt     time.Time // first
	Destroyed     bool
	stored        TaskState
}

// State returns the task's state under its warrant at now.
func (t *Task) State(w *Warrant, now time.Time) TaskState {
	switch t.stored {
	case TaskDisclosed, TaskNotAvailable, TaskPreserved:
		return t.stored
	}
	if s := w.State(now); s == Rejected || s == Revoked || s == Expired {
		return TaskCancelled
	}
	return t.stored
}

// Stored returns the state that the last entry left the task in, whether or not
// its warrant has ended since.
func (t *Task) Stored() TaskState { return t.stored }

// State is every warrant and task, folded from the ledger. Entries are applied
// by one goroutine; reading is safe from any.
type State struct {
	mu         sync.RWMutex
	warrants   map[string]*Warrant
	order      []string
	tasks      map[string]*Task
	duplicates map[string]string
	ignored    uint64
}

// NewState returns an empty state.
func NewState() *State {
	return &State{warrants: map[string]*Warrant{}, tasks: map[string]*Task{}, duplicates: map[string]string{}}
}

// Warrant returns a copy of a warrant, or false.
func (s *State) Warrant(id string) (Warrant, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	w, ok := s.warrants[id]
	if !ok {
		return Warrant{}, false
	}
	return w.clone(), true
}

// Warrants returns copies of all warrants, newest first.
func (s *State) Warrants() []Warrant {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Warrant, 0, len(s.order))
	for _, id := range slices.Backward(s.order) {
		out = append(out, s.warrants[id].clone())
	}
	return out
}

// Task returns copies of a task and its warrant, or false.
func (s *State) Task(id string) (Task, Warrant, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, ok := s.tasks[id]
	if !ok {
		return Task{}, Warrant{}, false
	}
	return *t, s.warrants[t.WarrantID].clone(), true
}

// Tasks returns copies of all tasks that pick accepts, in no order.
func (s *State) Tasks(pick func(Task) bool) []Task {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Task
	for _, t := range s.tasks {
		if pick(*t) {
			out = append(out, *t)
		}
	}
	return out
}

// Ignored returns how many entries lost a race and changed nothing.
func (s *State) Ignored() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ignored
}

func (w *Warrant) clone() Warrant {
	c := *w
	c.Categories = slices.Clone(w.Categories)
	c.Approvals = slices.Clone(w.Approvals)
	c.Tasks = slices.Clone(w.Tasks)
	return c
}
