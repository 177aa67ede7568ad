package warrant

import (
	"slices"
	"sync"
	"time"

	"griffier/api/reason"
)

// WarrantState is the state of a warrant at a time.
type WarrantState string

// States of a warrant (TS 103 120 AuthorisationStatus; Revoked is ours). The last
// four are terminal.
const (
	AwaitingApproval WarrantState = "AWAITING_APPROVAL"
	Approved         WarrantState = "APPROVED"
	// EmergencyApproval is that of an oral order under one approval, until its
	// paper and the second one are there, or the days for them are over.
	EmergencyApproval WarrantState = "EMERGENCY_APPROVAL"
	// Suspended: nothing executes, is released or is fetched. By a person, until two
	// lift it, or by itself when the paper of an oral order did not come.
	Suspended WarrantState = "SUSPENDED"
	Rejected  WarrantState = "REJECTED"  // by us, before it was approved
	Revoked   WarrantState = "REVOKED"   // by us
	Cancelled WarrantState = "CANCELLED" // by the authority
	Expired   WarrantState = "EXPIRED"
)

// WarrantStates lists every state.
var WarrantStates = []WarrantState{AwaitingApproval, Approved, EmergencyApproval, Suspended, Rejected, Revoked, Cancelled, Expired}

// Terminal reports whether nothing follows s.
func (s WarrantState) Terminal() bool {
	return s == Rejected || s == Revoked || s == Cancelled || s == Expired
}

// TaskState is the state of a task at a time.
type TaskState string

// States of a task. TaskSealed is seen as EXECUTING from outside: the package
// exists and is not released.
const (
	TaskAwaitingApproval TaskState = "AWAITING_APPROVAL" // its warrant does
	TaskAwaiting         TaskState = "AWAITING_DISCLOSURE"
	TaskExecuting        TaskState = "EXECUTING"
	TaskSealed           TaskState = "SEALED"
	TaskDisclosed        TaskState = "DISCLOSED"
	TaskNotAvailable     TaskState = "NOT_AVAILABLE"
	TaskPreserved        TaskState = "PRESERVED"
	TaskCancelled        TaskState = "CANCELLED"
	TaskError            TaskState = "ERROR"
	// TaskRejected: it was refused for what it asks, and is not asked again.
	TaskRejected TaskState = "REJECTED"
)

// Warrant is what the headers tell about a warrant. Its content is in the
// sealed body of the entry at ContentIndex.
type Warrant struct {
	ID            string
	Index         uint64 // of the entry that made it
	ContentIndex  uint64 // of the entry that made it, edited it last or extended it last
	KeyID         string
	Generation    uint64 // counts contents: 1 as made, one more with every edit and extension
	Revision      uint64
	Basis         string
	Categories    []Category
	ValidFrom     time.Time
	ValidUntil    time.Time // it lapses
	PeriodFrom    time.Time // the validity that the basis limits began: ValidFrom, or where the last extension went on from
	ContentSHA256 string
	DuplicateKey  string
	DocumentKey   string // keyed hash of the document that the content names
	Authority     string // its id in the registry
	Team          string // that works on it; empty where there are no teams
	Recipient     string // fingerprint of the key that packages are sealed to
	Profile       string // legal profile by which the content was judged, and the hash of its text
	ProfileSHA256 string
	Verified      bool // the authority was called back and confirmed the order, in the entry at VerifiedIndex
	VerifiedIndex uint64
	VerifiedBy    string
	VerifiedAt    time.Time
	DeniedAt      time.Time // the authority said since that it did not send the order; zero: it did not say so
	CreatedBy     string
	CreatedAt     time.Time // served: the server's clock, which starts its deadlines
	Terms
	Approvals   []Approval // of this generation
	Consents    []Consent  // of this generation, that wait for a second person's
	WasApproved bool       // by enough people to execute under it, in any generation
	// PaperAt is when the paper of an oral order was recorded, zero before.
	PaperAt         time.Time
	NoticeClearedAt time.Time
	SuspendedAt     time.Time    // by a person, zero when not
	ActedAt         time.Time    // the last of its tasks was answered; zero while one is open
	Ended           WarrantState // Rejected, Revoked or Cancelled, else empty
	EndedAt         time.Time
	Noted           Lapse // the last lapse that the ledger was told of
	Tasks           []string
}

// State returns the warrant's state at now. What a time brings about is a property
// of the warrant, not of a job: at ValidUntil it is EXPIRED, and when the paper of
// an oral order is not there in time it is SUSPENDED, whoever looks.
func (w *Warrant) State(now time.Time) WarrantState {
	switch {
	case w.Ended != "":
		return w.Ended
	case !now.Before(w.ValidUntil):
		return Expired
	case !w.SuspendedAt.IsZero(), w.paperOverdue(now):
		return Suspended
	case w.approved() && (!w.Emergency || !w.PaperAt.IsZero()):
		return Approved
	case w.Emergency && w.seat(LegalOfficer) != nil:
		return EmergencyApproval
	}
	return AwaitingApproval
}

// EffectiveUntil returns when the server stops executing under the warrant: the
// end of its validity, or earlier when an approval gets too old or the paper of an
// oral order is due, or when it was suspended or ended.
func (w *Warrant) EffectiveUntil(approvalAge time.Duration) time.Time {
	until := w.ValidUntil
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(until) {
			until = at
		}
	}
	whole := w.approved()
	if whole || w.Emergency {
		for _, a := range w.Approvals {
			sooner(a.At.Add(approvalAge))
		}
	}
	if w.Emergency && (!whole || w.PaperAt.IsZero()) {
		sooner(w.PaperBy)
	}
	sooner(w.SuspendedAt)
	sooner(w.EndedAt)
	return until
}

// live refuses when the warrant has ended at now.
func (w *Warrant) live(now time.Time) *reason.Error {
	switch s := w.State(now); {
	case s == Expired:
		return reason.New(reason.WarrantExpired, "")
	case s.Terminal():
		return reason.New(reason.WarrantTerminal, "")
	}
	return nil
}

// running refuses when the warrant has ended or is suspended at now.
func (w *Warrant) running(now time.Time) *reason.Error {
	if err := w.live(now); err != nil {
		return err
	}
	if w.State(now) == Suspended {
		return reason.New(reason.WarrantSuspended, w.whySuspended())
	}
	return nil
}

// Task is what the headers tell about a task. Target and instant are in the
// sealed body of the entry at Index.
type Task struct {
	ID        string
	WarrantID string
	Index     uint64
	// Generation is that of the warrant when the task was made, or when an edit or
	// extension last took it along. One that was left behind never runs.
	Generation     uint64
	Category       Category
	CreatedBy      string
	CreatedAt      time.Time
	ConfirmedBy    string // who keyed the question a second time, in the entry at ConfirmedIndex
	ConfirmedAt    time.Time
	ConfirmedIndex uint64
	Attempt        uint32 // counts intents
	AttemptOf      uint64 // generation of the warrant at the last intent
	IntentIndex    uint64
	ResultIndex    uint64
	ReleaseIndex   uint64
	RefusedIndex   uint64        // of the entry that refused it for good
	Refusal        reason.Reason // why; empty: it was not
	RefusedAt      time.Time
	Answer         reason.Reason
	PackageSHA256  string
	PackageBytes   int64
	Incomplete     []reason.Reason // of a released MATCH: records may be missing, and why
	Neighbours     string          // band of other holders at about that time
	ReleasedAt     time.Time
	SealedTo       string // fingerprint of the key that a released package is sealed to
	Fetched        uint32
	FetchedAt      time.Time // first
	Destroyed      bool
	Delivery       Delivery
	stored         TaskState
}

// State returns the task's state under its warrant at now.
func (t *Task) State(w *Warrant, now time.Time) TaskState {
	if !t.open() {
		return t.stored
	}
	if w.State(now).Terminal() || t.Generation != w.Generation {
		return TaskCancelled
	}
	if t.stored == TaskAwaiting && w.State(now) == AwaitingApproval {
		return TaskAwaitingApproval
	}
	return t.stored
}

// open reports whether the task was neither answered nor refused for good.
func (t *Task) open() bool {
	return t.stored != TaskDisclosed && t.stored != TaskNotAvailable && t.stored != TaskPreserved && t.stored != TaskRejected
}

// Asks reports whether the task waits for an answer under the warrant as it is.
func (t *Task) Asks(w *Warrant) bool { return t.open() && t.Generation == w.Generation }

// Void reports whether what the task's last attempt sealed can never be released:
// its warrant has ended at now, or its content is no longer the one that was
// approved for the attempt.
func (t *Task) Void(w *Warrant, now time.Time) bool {
	return w.State(now).Terminal() || t.open() && t.Attempt > 0 && t.AttemptOf != w.Generation
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
	documents  documentFold
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
	c.Consents = slices.Clone(w.Consents)
	c.Tasks = slices.Clone(w.Tasks)
	return c
}
