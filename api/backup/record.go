package backup

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"griffier/api/ledger"
)

// Kinds of ledger entry.
const (
	KindBegun     = "backup.begun"
	KindMade      = "backup.made"
	KindDestroyed = "backup.key_destroyed"
)

type begunFacts struct {
	ID           string    `json:"id"`
	UnreadableBy time.Time `json:"unreadable_by"`
}

type madeFacts struct {
	ID             string `json:"id"`
	ManifestSHA256 string `json:"manifest_sha256"`
	Pieces         int    `json:"pieces"`
	Bytes          uint64 `json:"bytes"`
}

type destroyedFacts struct {
	ID string `json:"id"`
}

// Known is what the ledger knows of a backup.
type Known struct {
	ID           string
	BegunAt      time.Time
	MadeAt       time.Time // zero: not finished
	UnreadableBy time.Time
	DestroyedAt  time.Time // its key
}

// Record is the fold of all backups. Its methods may be called concurrently.
type Record struct {
	mu    sync.Mutex
	known []*Known
}

// Apply implements [ledger.Fold].
func (r *Record) Apply(e ledger.Entry) error {
	var f begunFacts
	switch e.Header.Kind {
	case KindBegun, KindMade, KindDestroyed:
		if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
			return fmt.Errorf("entry %d: %s: %w", e.Index, e.Header.Kind, err)
		}
	default:
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Header.Kind == KindBegun {
		r.known = append(r.known, &Known{ID: f.ID, BegunAt: e.Header.At, UnreadableBy: f.UnreadableBy})
		return nil
	}
	for _, k := range r.known {
		switch {
		case k.ID != f.ID:
		case e.Header.Kind == KindMade:
			k.MadeAt = e.Header.At
		default:
			k.DestroyedAt = e.Header.At
		}
	}
	return nil
}

// All returns every backup that was ever begun, oldest first.
func (r *Record) All() []Known {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Known, len(r.known))
	for i, k := range r.known {
		out[i] = *k
	}
	return out
}

// Newest returns when the newest backup was made; zero: never.
func (r *Record) Newest() (at time.Time) {
	for _, k := range r.All() {
		if k.MadeAt.After(at) {
			at = k.MadeAt
		}
	}
	return at
}

// Readable returns the backups that somebody could still read at an instant.
func (r *Record) Readable(at time.Time) (out []Known) {
	for _, k := range r.All() {
		if !k.MadeAt.IsZero() && k.UnreadableBy.After(at) {
			out = append(out, k)
		}
	}
	return out
}
