// Package subject carries out a person's rights over stored data: access (GDPR 15),
// erasure (17) and restriction, also while an objection is judged (18, 21).
//
// An export of access lists who received data, without what is secret; no form of
// it says whether anything is.
//
// An erasure takes two people. When the second approves, the line's traffic is
// unreadable at once ([schema.PutTombstones]), the person's key is destroyed and
// the line leaves the register; within [RewriteWithin] the rows leave the disk, of
// which an entry in the ledger is the proof. Copies that an authority had
// preserved are elsewhere and not touched, and no answer says whether there are any.
//
// The ledger names a line by a token that only this register's key leads back
// from. With it an erasure is carried out again on what a restore brought back.
package subject

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"griffier/api/ledger"
)

// Kinds of ledger entry.
const (
	KindErasureRequested = "subject.erasure_requested"
	KindErasureApproved  = "subject.erasure_approved"
	KindErased           = "subject.erased"
	KindRewritten        = "subject.rewritten"
	KindRestricted       = "subject.restricted"
	KindLifted           = "subject.restriction_lifted"
)

// RequestLife is how long a request waits for its second person.
const RequestLife = 30 * 24 * time.Hour

// RewriteWithin is when the rows of an erasure must have left the disk.
const RewriteWithin = 8 * 24 * time.Hour

// Copy is a backup that was made before an erasure and may hold what it erased.
type Copy struct {
	BackupID     string    `json:"backup_id"`
	MadeAt       time.Time `json:"made_at"`
	UnreadableBy time.Time `json:"unreadable_by"`
}

// Erasure is what the ledger knows of one.
type Erasure struct {
	ID          string
	Token       string // of the line, see [register.Register.Token]
	RequestedAt time.Time
	RequestedBy string // pseudonyms
	ApprovedAt  time.Time
	ApprovedBy  string
	ErasedAt    time.Time // unreadable
	RewrittenAt time.Time // off the disk
	Backups     []Copy
}

// Restriction is one that was made.
type Restriction struct {
	ID, Token, Ground string
	Since, LiftedAt   time.Time
}

// State is the fold of all of them. Its methods may be called concurrently.
type State struct {
	mu           sync.RWMutex
	erasures     []*Erasure
	restrictions []*Restriction
}

// NewState returns an empty one, for a ledger to fill.
func NewState() *State { return &State{} }

type lineFacts struct {
	ID     string `json:"id"`
	Token  string `json:"line_token"`
	Ground string `json:"ground,omitempty"`
}

type idFacts struct {
	ID string `json:"id"`
}

type erasedFacts struct {
	ID      string `json:"id"`
	Cause   string `json:"cause"` // approved, or restored: a restore had brought it back
	Stones  int    `json:"tombstones"`
	Found   bool   `json:"line_found"` // false: an earlier run had removed it already
	Backups []Copy `json:"backups"`
}

// rewrittenFacts are the proof: the parts in use were rewritten, what they replaced
// is unlinked, and no row is left that a tombstone covers.
type rewrittenFacts struct {
	IDs       []string `json:"ids"`
	Remaining uint64   `json:"rows_remaining"`
	Counted   bool     `json:"rows_counted"` // false on a server, where the operator may not read rows
	Idle      uint64   `json:"idle_parts"`
}

// Apply implements [ledger.Fold].
func (s *State) Apply(e ledger.Entry) error {
	read := func(to any) error {
		if err := json.Unmarshal(e.Header.Facts, to); err != nil {
			return fmt.Errorf("entry %d: %s: %w", e.Index, e.Header.Kind, err)
		}
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Header.Kind {
	case KindErasureRequested:
		var f lineFacts
		if err := read(&f); err != nil {
			return err
		}
		s.erasures = append(s.erasures, &Erasure{ID: f.ID, Token: f.Token, RequestedAt: e.Header.At, RequestedBy: e.Header.Actor})
	case KindErasureApproved:
		var f idFacts
		if err := read(&f); err != nil {
			return err
		}
		if x := s.find(f.ID); x != nil && x.ApprovedAt.IsZero() {
			x.ApprovedAt, x.ApprovedBy = e.Header.At, e.Header.Actor
		}
	case KindErased:
		var f erasedFacts
		if err := read(&f); err != nil {
			return err
		}
		if x := s.find(f.ID); x != nil {
			x.ErasedAt, x.RewrittenAt = e.Header.At, time.Time{}
			if f.Cause == causeApproved {
				x.Backups = f.Backups
			}
		}
	case KindRewritten:
		var f rewrittenFacts
		if err := read(&f); err != nil {
			return err
		}
		for _, id := range f.IDs {
			if x := s.find(id); x != nil {
				x.RewrittenAt = e.Header.At
			}
		}
	case KindRestricted:
		var f lineFacts
		if err := read(&f); err != nil {
			return err
		}
		s.restrictions = append(s.restrictions, &Restriction{ID: f.ID, Token: f.Token, Ground: f.Ground, Since: e.Header.At})
	case KindLifted:
		var f idFacts
		if err := read(&f); err != nil {
			return err
		}
		for _, x := range s.restrictions {
			if x.ID == f.ID && x.LiftedAt.IsZero() {
				x.LiftedAt = e.Header.At
			}
		}
	}
	return nil
}

func (s *State) find(id string) *Erasure {
	i := slices.IndexFunc(s.erasures, func(x *Erasure) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	return s.erasures[i]
}

// Erasure returns one.
func (s *State) Erasure(id string) (Erasure, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x := s.find(id); x != nil {
		return *x, true
	}
	return Erasure{}, false
}

// Erasures returns all, oldest first.
func (s *State) Erasures() []Erasure {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]Erasure, len(s.erasures))
	for i, x := range s.erasures {
		out[i] = *x
	}
	return out
}

// Restrictions returns those that hold, oldest first.
func (s *State) Restrictions() []Restriction {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Restriction
	for _, x := range s.restrictions {
		if x.LiftedAt.IsZero() {
			out = append(out, *x)
		}
	}
	return out
}

// restriction returns one, lifted or not.
func (s *State) restriction(id string) (Restriction, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, x := range s.restrictions {
		if x.ID == id {
			return *x, true
		}
	}
	return Restriction{}, false
}
