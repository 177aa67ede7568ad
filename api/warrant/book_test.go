package warrant_test

import (
	"encoding/json"
	"testing"
	"time"

	"filippo.io/age"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
)

// book is the log of a pure test: it numbers drafts and folds them.
type book struct {
	t       testing.TB
	state   *warrant.State
	entries []ledger.Entry
}

func newBook(t testing.TB) *book { return &book{t: t, state: warrant.NewState()} }

func (b *book) append(at time.Time, d ledger.Draft) ledger.Entry {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		b.t.Fatal(err)
	}
	e := ledger.Entry{Index: uint64(len(b.entries)), Header: ledger.Header{V: 1, Kind: d.Kind, RequestID: d.RequestID, At: at,
		Actor: d.Actor, Role: d.Role, WarrantID: d.WarrantID, TaskID: d.TaskID, Generation: d.Generation, Reason: d.Reason,
		KeyID: d.KeyID, Facts: facts}}
	if err := b.state.Apply(e); err != nil {
		b.t.Fatal(err)
	}
	b.entries = append(b.entries, e)
	return e
}

var (
	identity, _ = age.GenerateX25519Identity()
	start       = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	officer     = warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}}
	approver    = warrant.Caller{Actor: "a0", Roles: []warrant.Role{warrant.LegalApprover}}
	both        = warrant.Caller{Actor: "bb", Roles: []warrant.Role{warrant.LegalOfficer, warrant.LegalApprover}}
	stranger    = warrant.Caller{Actor: "cc"}
)

func testRules(t testing.TB) *warrant.Rules {
	r, err := warrant.NewRules(warrant.Rules{Law: warrant.Always(warranttest.Law()...), Authorities: warranttest.Registry(identity.Recipient().String()), DuplicateKey: []byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func testContent() warrant.Content {
	return warrant.Content{
		LegalBasis: "NL-126na", Authority: "NL-OM-Amsterdam", Reference: "PV-2026/0042", RequestedBy: "J. de Vries",
		IssuedAt: "2026-11-20T09:30:00+01:00", ValidFrom: "2026-11-20T09:00:00+01:00", ValidUntil: "2026-11-27T09:00:00+01:00",
		DocumentSHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Categories:     []warrant.Category{warrant.Identity, warrant.Attribution},
		Targets:        []string{"192.0.2.17", "2001:db8::17"},
		WindowStart:    "2026-11-19T00:00:00+01:00", WindowEnd: "2026-11-20T00:00:00+01:00",
		Recipient: identity.Recipient().String(),
	}
}

func (b *book) create(r *warrant.Rules, at time.Time, id string) warrant.Warrant {
	c := testContent()
	c.Reference = "PV-2026/" + id
	d, err := r.Create(b.state, at, officer, warrant.CreateRequest{ID: id, Salt: "salt", Content: c})
	if err != nil {
		b.t.Fatal(err)
	}
	b.append(at, d)
	b.verify(r, at, id)
	w, _ := b.state.Warrant(id)
	return w
}

// verify records that the authority was called back and confirmed the order.
func (b *book) verify(r *warrant.Rules, at time.Time, id string) {
	w, _ := b.state.Warrant(id)
	d, err := r.Verify(b.state, at, officer, warrant.VerifyRequest{WarrantID: id, Generation: w.Generation, ContentSHA256: w.ContentSHA256,
		Number: "+31 20 1234567", Outcome: warrant.CallBackConfirmed, SpokeWith: "the desk"})
	if err != nil {
		b.t.Fatal(err)
	}
	b.append(at, d)
}

func (b *book) approve(r *warrant.Rules, at time.Time, by warrant.Caller, id string) *reason.Error {
	w, _ := b.state.Warrant(id)
	d, err := r.Approve(b.state, at, by, warrant.ApproveRequest{WarrantID: id, Generation: w.Generation, ContentSHA256: w.ContentSHA256})
	if err == nil {
		b.append(at, d)
	}
	return err
}

func (b *book) task(r *warrant.Rules, at time.Time, warrantID, id string) {
	d, err := r.CreateTask(b.state, at, officer, warrant.TaskRequest{ID: id, WarrantID: warrantID, Generation: 1,
		Category: warrant.Attribution, Target: "192.0.2.17", Instant: "2026-11-19T12:00:00+01:00", UncertaintySeconds: 1}, testContent())
	if err != nil {
		b.t.Fatal(err)
	}
	b.append(at, d)
}

func wantReason(t testing.TB, what string, err *reason.Error, want reason.Reason) {
	t.Helper()
	var got reason.Reason
	if err != nil {
		got = err.Reason
	}
	if got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}
