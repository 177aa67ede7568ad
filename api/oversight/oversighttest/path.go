// Package oversighttest enters in a ledger what the legal path would, so that tests
// of what comes after it need no store and no orders.
package oversighttest

import (
	"strings"
	"testing"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Path enters warrants and tasks in a real ledger.
type Path struct {
	T     testing.TB
	Book  *ledger.Log
	Keys  *keystore.Store
	Legal *warrant.State // a fold of Book
	Now   func() time.Time
}

func (p Path) append(d ledger.Draft) ledger.Entry {
	p.T.Helper()
	e, err := p.Book.Append(p.T.Context(), d)
	if err != nil {
		p.T.Fatal(err)
	}
	return e
}

// revision is what the next entry of a warrant is decided on.
func (p Path) revision(warrantID string) uint64 {
	w, _ := p.Legal.Warrant(warrantID)
	return w.Revision
}

// Warrant enters an approved warrant of an authority, valid for a week.
func (p Path) Warrant(warrantID, authority string, categories ...warrant.Category) warrant.Warrant {
	p.T.Helper()
	if err := p.Keys.Ensure(warrant.KeyID(warrantID)); err != nil {
		p.T.Fatal(err)
	}
	content := warrant.Content{LegalBasis: "NL-126na", Authority: authority, Reference: "PV/" + warrantID, Categories: categories}
	hash := content.Hash("salt")
	p.append(ledger.Draft{Kind: warrant.KindCreate, Actor: "0f", WarrantID: warrantID, Generation: 1, KeyID: warrant.KeyID(warrantID),
		Facts: map[string]any{"basis": "NL-126na", "authority": authority, "categories": categories, "valid_from": p.Now().UTC(),
			"valid_until": p.Now().Add(7 * 24 * time.Hour).UTC(), "content_sha256": hash, "duplicate_key": warrantID, "document_key": warrantID},
		Body: warrant.CreateBody{Content: content, Salt: "salt"}})
	for i, role := range []warrant.Role{warrant.LegalOfficer, warrant.LegalApprover} {
		w, _ := p.Legal.Warrant(warrantID)
		beside := []uint64{}
		for _, a := range w.Approvals {
			beside = append(beside, a.Index)
		}
		p.append(ledger.Draft{Kind: warrant.KindApprove, Actor: strings.Repeat("a", i+1), Role: string(role), WarrantID: warrantID, Generation: 1,
			Facts: map[string]any{"revision": p.revision(warrantID), "content_sha256": hash, "role": role, "beside": beside}})
	}
	w, _ := p.Legal.Warrant(warrantID)
	if w.State(p.Now()) != warrant.Approved {
		p.T.Fatalf("the warrant is %s, want approved: %+v", w.State(p.Now()), w)
	}
	return w
}

// Task enters a task of a warrant, by an officer.
func (p Path) Task(warrantID, taskID, officer string, c warrant.Category) warrant.Task {
	p.T.Helper()
	p.append(ledger.Draft{Kind: warrant.KindTaskCreate, Actor: officer, WarrantID: warrantID, TaskID: taskID, Generation: 1, KeyID: warrant.KeyID(warrantID),
		Facts: map[string]any{"revision": p.revision(warrantID), "category": c}, Body: warrant.TaskBody{Target: "192.0.2.17", Instant: p.Now().Add(-time.Hour).Format(time.RFC3339)}})
	return p.task(taskID)
}

func (p Path) task(taskID string) warrant.Task {
	p.T.Helper()
	t, _, ok := p.Legal.Task(taskID)
	if !ok {
		p.T.Fatalf("task %s was not taken in", taskID)
	}
	return t
}

// Begin enters the intent of a task.
func (p Path) Begin(warrantID, taskID string) warrant.Task {
	p.T.Helper()
	t := p.task(taskID)
	p.append(ledger.Draft{Kind: warrant.KindTaskIntent, WarrantID: warrantID, TaskID: taskID, Generation: 1,
		Facts: map[string]any{"revision": p.revision(warrantID), "attempt": t.Attempt + 1}})
	return p.task(taskID)
}

// Release enters the result of a task that was begun, and its release.
func (p Path) Release(warrantID, taskID string, answer reason.Reason) warrant.Task {
	p.T.Helper()
	t := p.task(taskID)
	result := p.append(ledger.Draft{Kind: warrant.KindTaskResult, WarrantID: warrantID, TaskID: taskID, Generation: 1, Reason: string(answer),
		Facts: map[string]any{"revision": p.revision(warrantID), "attempt": t.Attempt, "intent_index": t.IntentIndex, "answer": answer,
			"package_sha256": strings.Repeat("ab", 32), "package_bytes": 1}})
	p.append(ledger.Draft{Kind: warrant.KindRelease, WarrantID: warrantID, TaskID: taskID, Generation: 1,
		Facts: map[string]any{"revision": p.revision(warrantID), "attempt": t.Attempt, "result_index": result.Index}})
	if t = p.task(taskID); t.ReleasedAt.IsZero() {
		p.T.Fatalf("task %s was not released: %s", taskID, t.Stored())
	}
	return t
}
