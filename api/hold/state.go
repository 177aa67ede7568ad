package hold

import (
	"slices"
	"sync"
	"time"

	"griffier/api/warrant"
)

// Status is the state of a hold at a time.
type Status string

// States of a hold. The last is terminal.
const (
	Live      Status = "LIVE"
	Ended     Status = "ENDED" // unreadable, and about to be destroyed
	Destroyed Status = "DESTROYED"
)

// Why a hold ended before its time.
const (
	ByOrder        = "order"
	ByRevocation   = "revocation"   // of the warrant, by us
	ByCancellation = "cancellation" // of the warrant, by the authority
)

// Approval is one person's approval of an extension.
type Approval struct {
	Actor      string
	Role       warrant.Role
	DocumentID string // in the dossier of the hold's warrant
	At         time.Time
	Index      uint64 // of the ledger entry
}

// Hold is what the headers tell about a hold.
type Hold struct {
	ID         string
	WarrantID  string
	TaskID     string
	Basis      string
	Index      uint64 // of the entry that made it
	Generation uint64 // counts the entries that changed it
	CaseKeyID  string // of the preservation warrant
	FileSHA256 string
	RowBand    string
	MadeAt     time.Time
	EndsAt     time.Time // exclusive; an extension moves it
	Unexecuted bool      // made because what the order asks is not executed
	Target     uint32    // its place in the order, from 1, if no task asks for it
	ExtendedAt time.Time // zero: not extended
	// Approvals are those of an extension that is under way.
	Approvals    []Approval
	EndedAt      time.Time // early; zero: not
	EndedBy      string
	DestroyedAt  time.Time
	DestroyIndex uint64
}

// KeyID returns the name of the key of a hold.
func KeyID(holdID string) string { return "hold:" + holdID }

// End returns the instant at which the hold ends or ended, early or not.
func (h *Hold) End() time.Time {
	if !h.EndedAt.IsZero() && h.EndedAt.Before(h.EndsAt) {
		return h.EndedAt
	}
	return h.EndsAt
}

// Status returns the hold's state at now. At the instant of its end it is ENDED.
func (h *Hold) Status(now time.Time) Status {
	switch {
	case !h.DestroyedAt.IsZero():
		return Destroyed
	case !now.Before(h.End()):
		return Ended
	}
	return Live
}

// Readable reports whether what is held may be read at now, under a warrant that
// permits it.
func (h *Hold) Readable(now time.Time) bool { return h.Status(now) == Live }

// State is every hold, folded from the ledger. Entries are applied by one
// goroutine; reading is safe from any.
type State struct {
	mu      sync.RWMutex
	holds   map[string]*Hold
	order   []string
	ignored uint64
}

// NewState returns an empty state.
func NewState() *State { return &State{holds: map[string]*Hold{}} }

// Hold returns a copy of a hold, or false.
func (s *State) Hold(id string) (Hold, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	h, ok := s.holds[id]
	if !ok {
		return Hold{}, false
	}
	return h.clone(), true
}

// Holds returns copies of all holds, newest first.
func (s *State) Holds() []Hold {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Hold, 0, len(s.order))
	for _, id := range slices.Backward(s.order) {
		out = append(out, s.holds[id].clone())
	}
	return out
}

// OfTask returns the newest hold that a task made, or false.
func (s *State) OfTask(taskID string) (Hold, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, id := range slices.Backward(s.order) {
		if h := s.holds[id]; h.TaskID == taskID {
			return h.clone(), true
		}
	}
	return Hold{}, false
}

// WarrantOf returns the warrant that a hold was made under, or false.
func (s *State) WarrantOf(id string) (warrantID string, ok bool) {
	h, ok := s.Hold(id)
	return h.WarrantID, ok
}

// Lasts reports whether a hold that a warrant made can be read at now.
func (s *State) Lasts(warrantID string, now time.Time) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.ContainsFunc(s.order, func(id string) bool { return s.holds[id].WarrantID == warrantID && s.holds[id].Readable(now) })
}

// Ignored returns how many entries lost a race and changed nothing.
func (s *State) Ignored() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ignored
}

func (h *Hold) clone() Hold {
	c := *h
	c.Approvals = slices.Clone(h.Approvals)
	return c
}
