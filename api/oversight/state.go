package oversight

import (
	"fmt"
	"sync"
	"time"

	"griffier/api/ledger"
	"griffier/api/warrant"
)

// kindRefusal is the interceptor's entry of a refused call.
const kindRefusal = "refusal"

// State is everything of this package, folded from the ledger. Entries are applied
// by one goroutine; reading is safe from any.
type State struct {
	mu          sync.RWMutex
	keys        []TagKey
	tags        []Tag // of the last [Window]
	linkages    []Mark
	intakes     []Mark
	recipients  []Recipient
	recipientOf map[string]int         // by task
	received    map[string][]time.Time // warrants of the last hour, by authority
	asked       map[string][]time.Time // tasks of the last day, by officer
	hits        []Hit
	refusals    []refusal
	declined    []NonExecution
	costs       []Cost
	faults      []Fault
	secrecy     map[string]Secrecy // by warrant
	published   map[int][]Table    // by year
	// When the list of staff's lines was imported, and a line of it changed.
	staffImported, staffChanged time.Time
}

// NewState returns an empty state, for a ledger to fill.
func NewState() *State {
	return &State{recipientOf: map[string]int{}, received: map[string][]time.Time{}, asked: map[string][]time.Time{}, secrecy: map[string]Secrecy{}, published: map[int][]Table{}}
}

// refusal counts refusals of one reason on one UTC day.
type refusal struct {
	day    time.Time
	reason string
	n      uint64
}

// Apply takes in one entry of the ledger; it implements [ledger.Fold].
func (s *State) Apply(e ledger.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	switch e.Header.Kind {
	case KindTagKey, KindTagKeyShredded:
		err = s.applyTagKey(e)
	case KindLinkage:
		err = s.applyLinkage(e)
	case KindRecipient:
		err = s.applyRecipient(e)
	case KindIntake:
		err = s.applyIntake(e)
	case KindLimited:
		err = s.applyLimited(e)
	case KindWarrantNotExecuted, KindTaskNotExecuted:
		err = s.applyNotExecuted(e)
	case KindKept:
		err = s.applyKept(e)
	case KindStaffImported, KindStaffLinePut, KindStaffLineRemoved:
		s.applyStaff(e)
	case KindCost:
		err = s.applyCost(e)
	case KindFault:
		err = s.applyFault(e)
	case KindSecrecyKept, KindSecrecyEnded:
		s.applySecrecy(e)
	case KindPublished:
		err = s.applyPublished(e)
	case warrant.KindTaskCreate:
		s.applyTask(e)
	case kindRefusal:
		s.applyRefusal(e)
	}
	if err != nil {
		return fmt.Errorf("fold entry %d (%s): %w", e.Index, e.Header.Kind, err)
	}
	return nil
}

func (s *State) applyRefusal(e ledger.Entry) {
	at := e.Header.At.UTC().Truncate(day)
	for i := len(s.refusals) - 1; i >= 0 && s.refusals[i].day.Equal(at); i-- {
		if s.refusals[i].reason == e.Header.Reason {
			s.refusals[i].n++
			return
		}
	}
	s.refusals = append(s.refusals, refusal{at, e.Header.Reason, 1})
}

// Refusals counts refused calls since the UTC day of an instant, by reason.
func (s *State) Refusals(since time.Time) map[string]uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[string]uint64{}
	for _, r := range s.refusals {
		if !r.day.Before(since.UTC().Truncate(day)) {
			out[r.reason] += r.n
		}
	}
	return out
}
