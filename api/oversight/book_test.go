package oversight

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

var (
	start    = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	officer  = warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}}
	second   = warrant.Caller{Actor: "0e", Roles: []warrant.Role{warrant.LegalOfficer}}
	stranger = warrant.Caller{Actor: "cc"}
)

// fataler is a test, or a check of a property.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// book is the log of a pure test: it numbers drafts and folds them.
type book struct {
	t       fataler
	state   *State
	legal   *warrant.State
	entries []ledger.Entry
}

func newBook(t fataler) *book { return &book{t: t, state: NewState(), legal: warrant.NewState()} }

func (b *book) append(at time.Time, d ledger.Draft) ledger.Entry {
	b.t.Helper()
	e := ledger.Entry{Index: uint64(len(b.entries)), Header: ledger.Header{V: 1, Kind: d.Kind, At: at, Actor: d.Actor, Role: d.Role,
		WarrantID: d.WarrantID, TaskID: d.TaskID, Generation: d.Generation, Reason: d.Reason, KeyID: d.KeyID}}
	if d.Facts != nil {
		facts, err := json.Marshal(d.Facts)
		if err != nil {
			b.t.Fatalf("facts: %v", err)
		}
		e.Header.Facts = facts
	}
	for _, f := range []ledger.Fold{b.state, b.legal} {
		if err := f.Apply(e); err != nil {
			b.t.Fatalf("fold: %v", err)
		}
	}
	b.entries = append(b.entries, e)
	return e
}

// again folds the log anew, as a restart does.
func (b *book) again() *State {
	s := NewState()
	for _, e := range b.entries {
		if err := s.Apply(e); err != nil {
			b.t.Fatalf("fold again: %v", err)
		}
	}
	return s
}

// warrant enters a warrant of an authority, valid for a week.
func (b *book) warrant(at time.Time, id, authority string, categories ...warrant.Category) {
	b.t.Helper()
	b.append(at, ledger.Draft{Kind: warrant.KindCreate, Actor: officer.Actor, WarrantID: id, Generation: 1, KeyID: warrant.KeyID(id),
		Facts: map[string]any{"basis": "NL-126na", "authority": authority, "categories": categories, "valid_from": at, "valid_until": at.Add(7 * day),
			"content_sha256": id, "duplicate_key": id, "document_key": id}})
	if _, ok := b.legal.Warrant(id); !ok {
		b.t.Fatalf("warrant %s was not taken in", id)
	}
}

// task enters a task of a warrant.
func (b *book) task(at time.Time, by warrant.Caller, warrantID, id string, c warrant.Category) {
	b.t.Helper()
	w, _ := b.legal.Warrant(warrantID)
	b.append(at, ledger.Draft{Kind: warrant.KindTaskCreate, Actor: by.Actor, WarrantID: warrantID, TaskID: id, Generation: 1,
		Facts: map[string]any{"revision": w.Revision, "category": c}})
}

func wantRefusal(t *testing.T, what string, err *reason.Error, want reason.Reason) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("%s: granted, want %s", what, want)
	case err != nil && err.Reason != want:
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func id(n int) string { return fmt.Sprintf("%032x", n) }
