// Package dossier destroys what the ledger holds sealed once the policy's class
// dossier says so: the key of a warrant, counted from the warrant's end, and the
// keys of a month's entries that belong to no warrant, counted from the month's
// end. The ledger's headers stay, and still verify; the bodies cannot be opened
// again.
package dossier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
)

// KindDestroyed is the entry before a key is destroyed.
const KindDestroyed = "retention.dossier"

// Interval is how often keys are looked at.
const Interval = time.Hour

// Case is a warrant that ended.
type Case struct {
	WarrantID string
	KeyID     string
	EndedAt   time.Time
}

// book is the part of the ledger that is needed ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// keys are where keys are destroyed ([keystore.Store]).
type keys interface {
	List() ([]string, error)
	Shred(id string) error
}

// trust tells whether this host's clock can be believed ([clock.Judge]): what a
// clock in the future destroys is gone.
type trust interface{ Check() error }

// Shredder destroys the keys of dossiers that have expired.
type Shredder struct {
	// Ended lists the warrants that had ended at an instant.
	Ended func(at time.Time) []Case
	// Rule is the rule of class dossier in force; false: nothing is destroyed.
	Rule   func() (schema.Policy, bool)
	Keys   keys
	Book   book
	Record *Record // a fold of Book
	Clock  trust
	Now    func() time.Time
	Log    *slog.Logger
}

// Record knows which keys the ledger says were destroyed. It is a fold over the
// ledger, safe for concurrent use; the zero Record is that of an empty one.
type Record struct {
	mu   sync.Mutex
	keys map[string]bool
}

type facts struct {
	KeyID   string    `json:"destroyed_key_id"`
	EndedAt time.Time `json:"ended_at"`
	Period  string    `json:"period"`
}

// Apply implements [ledger.Fold].
func (r *Record) Apply(e ledger.Entry) error {
	if e.Header.Kind != KindDestroyed {
		return nil
	}
	var f facts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, KindDestroyed, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys == nil {
		r.keys = map[string]bool{}
	}
	r.keys[f.KeyID] = true
	return nil
}

// all returns the keys that were destroyed.
func (r *Record) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.keys))
}

func (r *Record) has(keyID string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys[keyID]
}

// Run looks every [Interval] until ctx ends.
func (s *Shredder) Run(ctx context.Context) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		if err := s.Once(ctx); err != nil && ctx.Err() == nil {
			s.Log.LogAttrs(ctx, slog.LevelError, "expired dossiers not destroyed", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Once destroys every key that is due: first the entry, then the key. A key that
// has its entry and is there still, because a crash came between, gets no second
// entry. While the clock cannot be believed nothing is destroyed.
func (s *Shredder) Once(ctx context.Context) error {
	policy, ok := s.Rule()
	if !ok {
		return nil
	}
	now := s.Now()
	present, err := s.Keys.List()
	if err != nil {
		return fmt.Errorf("destroy dossiers: %w", err)
	}
	for _, c := range slices.Concat(s.Ended(now), months(present, now)) {
		if !slices.Contains(present, c.KeyID) {
			continue
		}
		expires, err := policy.ExpiresAt(c.EndedAt)
		if err != nil {
			return fmt.Errorf("destroy dossiers: %w", err)
		}
		if expires.After(now) {
			continue
		}
		if err := s.destroy(ctx, c, policy); err != nil {
			return err
		}
	}
	return nil
}

func (s *Shredder) destroy(ctx context.Context, c Case, policy schema.Policy) error {
	if err := s.Clock.Check(); err != nil {
		return fmt.Errorf("destroy a dossier: %w", err)
	}
	if !s.Record.has(c.KeyID) {
		_, err := s.Book.Append(ctx, ledger.Draft{Kind: KindDestroyed, Role: "system", WarrantID: c.WarrantID,
			Facts: facts{c.KeyID, c.EndedAt.UTC(), policy.Period}})
		if err != nil {
			return fmt.Errorf("enter that a dossier is destroyed: %w", err)
		}
	}
	return s.shred(c.KeyID)
}

func (s *Shredder) shred(keyID string) error {
	if err := s.Keys.Shred(keyID); err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return fmt.Errorf("destroy a dossier: %w", err)
	}
	return nil
}

// Repeat destroys again what the ledger says is destroyed, and what a copy of the keys
// brought back, whatever clock and policy say of it by now.
func (s *Shredder) Repeat() error {
	for _, id := range s.Record.all() {
		if err := s.shred(id); err != nil {
			return err
		}
	}
	return nil
}

// months are the class keys (class:AREA:YYYY-MM) of months that had ended at now.
func months(present []string, now time.Time) (out []Case) {
	for _, id := range present {
		rest, ok := strings.CutPrefix(id, "class:")
		if !ok {
			continue
		}
		_, month, ok := strings.Cut(rest, ":")
		if !ok {
			continue
		}
		begins, err := time.Parse("2006-01", month)
		if err != nil {
			continue
		}
		if ends := begins.AddDate(0, 1, 0); !ends.After(now) {
			out = append(out, Case{KeyID: id, EndedAt: ends})
		}
	}
	return out
}
