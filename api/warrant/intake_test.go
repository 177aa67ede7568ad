package warrant_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// received is a request to store the document that testContent names, or another.
func received(id, warrantID, sha string) warrant.StoreDocumentRequest {
	return warrant.StoreDocumentRequest{ID: fmt.Sprintf("%032x", id), WarrantID: warrantID, SHA256: sha, Type: warrant.PDF, Bytes: 1000,
		FileSHA256: strings.Repeat("cd", 32), Scan: warrant.NotScan}
}

// undocumented creates a warrant and verifies it, but stores no document.
func (b *book) undocumented(r *warrant.Rules, id string) warrant.Warrant {
	c := testContent()
	c.Reference = "PV-2026/" + id
	d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: id, Salt: "salt", Content: c})
	if err != nil {
		b.t.Fatal(err)
	}
	b.append(start, d)
	b.verify(r, start, id)
	w, _ := b.state.Warrant(id)
	return w
}

func TestNoApprovalWithoutTheDocument(t *testing.T) {
	r, b := testRules(t), newBook(t)
	r.RequireDocument = true
	b.undocumented(r, "w")
	err := b.approve(r, start, officer, "w")
	wantReason(t, "approve without a document", err, reason.WarrantIncomplete)
	if err == nil || len(err.Violations) != 1 || err.Violations[0].Field != "document" {
		t.Errorf("refused with %+v", err)
	}
	store := func(by warrant.Caller, req warrant.StoreDocumentRequest) *reason.Error {
		d, err := r.StoreDocument(b.state, start, by, req)
		if err == nil {
			b.append(start, d)
		}
		return err
	}
	wantReason(t, "stored by an approver", store(approver, received("1", "w", testContent().DocumentSHA256)), reason.PermissionDenied)
	wantReason(t, "for no warrant", store(officer, received("1", "x", testContent().DocumentSHA256)), reason.NotFound)
	wantReason(t, "another document", store(officer, received("1", "w", strings.Repeat("ab", 32))), "")
	wantReason(t, "approve with another document", b.approve(r, start, officer, "w"), reason.WarrantIncomplete)
	wantReason(t, "the document", store(officer, received("2", "w", testContent().DocumentSHA256)), "")
	wantReason(t, "the document again", store(officer, received("3", "w", testContent().DocumentSHA256)), reason.DocumentRefused)
	wantReason(t, "approve", b.approve(r, start, officer, "w"), "")
	if got := b.state.Documents("w"); len(got) != 2 || got[0].StoredBy != officer.Actor || len(got[1].ReplayOf) != 0 {
		t.Errorf("documents %+v", got)
	}

	// The clear headers have no hash that somebody with the document could look up.
	for _, e := range b.entries {
		text, err := json.Marshal(e.Header)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), testContent().DocumentSHA256) {
			t.Errorf("header of %s has the document's hash", e.Header.Kind)
		}
	}
}

// D-02: the same document under another reference is an alert that the entry carries.
func TestReplayedDocument(t *testing.T) {
	r, b := testRules(t), newBook(t)
	b.undocumented(r, "w1")
	b.undocumented(r, "w2")
	store := func(warrantID string) ledger.Draft {
		d, err := r.StoreDocument(b.state, start, officer, received(warrantID, warrantID, testContent().DocumentSHA256))
		if err != nil {
			t.Fatal(err)
		}
		b.append(start, d)
		return d
	}
	if d := store("w1"); d.Reason != "" {
		t.Errorf("the first is %s", d.Reason)
	}
	if d := store("w2"); d.Reason != string(reason.DocumentReplayed) {
		t.Errorf("the second is %q, want an alert", d.Reason)
	}
	if got := b.state.Documents("w2"); len(got) != 1 || !slices.Equal(got[0].ReplayOf, []string{"w1"}) {
		t.Errorf("documents %+v", got)
	}
	if !b.state.DocumentStored("w2") {
		t.Error("the alert keeps the document out of the dossier")
	}
	d, err := r.Revoke(b.state, start, officer, warrant.EndRequest{WarrantID: "w1", Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	b.append(start, d)
	_, err = r.StoreDocument(b.state, start, officer, received("late", "w1", strings.Repeat("ab", 32)))
	wantReason(t, "a document for a warrant that ended", err, reason.WarrantTerminal)
}

// D-02: a reference that two people copied is one reference, and the refusal says
// which warrant has it.
func TestDuplicateReference(t *testing.T) {
	r, b := testRules(t), newBook(t)
	b.undocumented(r, "w")
	for reference, want := range map[string]reason.Reason{"PV-2026/w": reason.DuplicateWarrant, "pv-2026/W": reason.DuplicateWarrant, "PV - 2026 / w": reason.DuplicateWarrant,
		"PV-2026/w.": "", "PV-2026/vv": "", "РV-2026/w": reason.WarrantIncomplete /* a Cyrillic Р */, "PV-2026\u200b/w": reason.WarrantIncomplete, "PV\u00a02026": reason.WarrantIncomplete} {
		c := testContent()
		c.Reference = reference
		_, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "x", Salt: "salt", Content: c})
		wantReason(t, reference, err, want)
		if want == reason.DuplicateWarrant && (err == nil || err.Detail != "It is w.") {
			t.Errorf("%s: refused with %v", reference, err)
		}
	}
	c := testContent()
	c.Reference, c.Authority = "PV-2026/w", "NL-RB"
	if _, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "x", Salt: "salt", Content: c}); err != nil {
		t.Errorf("the same number of another authority: %v", err)
	}
}

// question is what b.task asks, as its body has it, and confirmation the same as another
// person keys it.
var (
	question     = warrant.TaskBody{Target: "192.0.2.17", Instant: "2026-11-19T12:00:00+01:00", UncertaintySeconds: 1, MaxSubjects: 1, MaxRecords: 1}
	confirmation = warrant.ConfirmRequest{TaskID: "t", Generation: 1, Category: warrant.Attribution, Target: "192.0.2.17", Instant: "2026-11-19T11:00:00Z", UncertaintySeconds: 1}
)

func TestConfirmTask(t *testing.T) {
	same := confirmation
	for _, test := range []struct {
		name     string
		by       warrant.Caller
		edit     func(*warrant.ConfirmRequest)
		question func(*warrant.TaskBody)
		want     reason.Reason
		field    string
	}{
		{"the same", approver, nil, nil, "", ""},
		{"the same by another officer", both, nil, nil, "", ""},
		{"who asked it", officer, nil, nil, reason.SelfApproval, ""},
		{"a stranger", stranger, nil, nil, reason.PermissionDenied, ""},
		{"of no task", approver, func(q *warrant.ConfirmRequest) { q.TaskID = "x" }, nil, reason.NotFound, ""},
		{"of another generation", approver, func(q *warrant.ConfirmRequest) { q.Generation = 2 }, nil, reason.GenerationMismatch, ""},
		{"another address", approver, func(q *warrant.ConfirmRequest) { q.Target = "192.0.2.71" }, nil, reason.EntryMismatch, "target"},
		{"no address", approver, func(q *warrant.ConfirmRequest) { q.Target = "192.0.2.*" }, nil, reason.TargetNotSpecific, "target"},
		{"an hour later", approver, func(q *warrant.ConfirmRequest) { q.Instant = "2026-11-19T12:00:00Z" }, nil, reason.EntryMismatch, "instant"},
		{"another year", approver, func(q *warrant.ConfirmRequest) { q.Instant = "2025-11-19T11:00:00Z" }, nil, reason.EntryMismatch, "instant"},
		{"a nanosecond later", approver, func(q *warrant.ConfirmRequest) { q.Instant = "2026-11-19T11:00:00.000000001Z" }, nil, reason.EntryMismatch, "instant"},
		{"with zeroes", approver, func(q *warrant.ConfirmRequest) { q.Instant = "2026-11-19T11:00:00.000Z" }, nil, "", ""},
		{"in local time", approver, func(q *warrant.ConfirmRequest) { q.Instant = "2026-11-19T12:00:00+01:00" }, nil, reason.TimeZoneMissing, "instant"},
		{"no instant", approver, func(q *warrant.ConfirmRequest) { q.Instant = "" }, nil, reason.EntryMismatch, "instant"},
		{"a window that there is not", approver, func(q *warrant.ConfirmRequest) { q.WindowEnd = "2026-11-19T12:00:00Z" }, nil, reason.EntryMismatch, "window_end"},
		{"a window that was left out", approver, nil, func(b *warrant.TaskBody) { b.WindowEnd = "2026-11-19T13:00:00+01:00" }, reason.EntryMismatch, "window_end"},
		{"a window", approver, func(q *warrant.ConfirmRequest) { q.WindowEnd = "2026-11-19T12:00:00Z" },
			func(b *warrant.TaskBody) { b.WindowEnd = "2026-11-19T13:00:00+01:00" }, "", ""},
		{"a port that was left out", approver, nil, func(b *warrant.TaskBody) { b.Port = 51234 }, reason.EntryMismatch, "port"},
		{"two digits of a port", approver, func(q *warrant.ConfirmRequest) { q.Port, q.Protocol = 52134, 6 }, func(b *warrant.TaskBody) { b.Port, b.Protocol = 51234, 6 }, reason.EntryMismatch, "port"},
		{"another protocol", approver, func(q *warrant.ConfirmRequest) { q.Port, q.Protocol = 51234, 17 }, func(b *warrant.TaskBody) { b.Port, b.Protocol = 51234, 6 }, reason.EntryMismatch, "protocol"},
		{"address and port in one", approver, func(q *warrant.ConfirmRequest) { q.Target = "192.0.2.17:51234/tcp" }, func(b *warrant.TaskBody) { b.Port, b.Protocol = 51234, 6 }, "", ""},
		{"another port in one", approver, func(q *warrant.ConfirmRequest) { q.Target = "192.0.2.17:52134/tcp" }, func(b *warrant.TaskBody) { b.Port, b.Protocol = 51234, 6 }, reason.EntryMismatch, "port"},
		{"two ports", approver, func(q *warrant.ConfirmRequest) { q.Target, q.Port = "192.0.2.17:51234/tcp", 52134 }, func(b *warrant.TaskBody) { b.Port, b.Protocol = 51234, 6 }, reason.InvalidRequest, "port"},
		// D-28: the interval that is searched decides which line is answered.
		{"a wider interval", approver, func(q *warrant.ConfirmRequest) { q.UncertaintySeconds = 10 }, nil, reason.EntryMismatch, "uncertainty_seconds"},
		{"an interval that was left out", approver, func(q *warrant.ConfirmRequest) { q.UncertaintySeconds = 0 }, nil, reason.EntryMismatch, "uncertainty_seconds"},
		{"an interval that there is not", approver, nil, func(b *warrant.TaskBody) { b.UncertaintySeconds = 0 }, reason.EntryMismatch, "uncertainty_seconds"},
		{"another category", approver, func(q *warrant.ConfirmRequest) { q.Category = warrant.Identity }, nil, reason.EntryMismatch, "category"},
		{"no category", approver, func(q *warrant.ConfirmRequest) { q.Category = "" }, nil, reason.EntryMismatch, "category"},
		{"limits that are the default", approver, func(q *warrant.ConfirmRequest) { q.MaxSubjects, q.MaxRecords = 1, 1 }, nil, "", ""},
		{"more lines", approver, nil, func(b *warrant.TaskBody) { b.MaxSubjects = 3 }, reason.EntryMismatch, "max_subjects"},
		{"as many lines", approver, func(q *warrant.ConfirmRequest) { q.MaxSubjects, q.MaxRecords = 3, 7 }, func(b *warrant.TaskBody) { b.MaxSubjects, b.MaxRecords = 3, 7 }, "", ""},
		{"more records", approver, func(q *warrant.ConfirmRequest) { q.MaxRecords = 500 }, nil, reason.EntryMismatch, "max_records"},
		{"of the store, and a hold was meant", approver, nil, func(b *warrant.TaskBody) { b.FromHold = strings.Repeat("a", 32) }, reason.EntryMismatch, "from_hold"},
		{"of another hold", approver, func(q *warrant.ConfirmRequest) { q.FromHold = strings.Repeat("b", 32) }, func(b *warrant.TaskBody) { b.FromHold = strings.Repeat("a", 32) }, reason.EntryMismatch, "from_hold"},
		{"other days", approver, func(q *warrant.ConfirmRequest) { q.HoldDays = 14 }, nil, reason.EntryMismatch, "hold_days"},
		{"last year, unconfirmed", approver, func(q *warrant.ConfirmRequest) { q.Instant = "2025-12-31T23:59:59Z" },
			func(b *warrant.TaskBody) { b.Instant = "2026-01-01T00:59:59+01:00" }, reason.EntryMismatch, "year_confirmed"},
		{"last year, confirmed", approver, func(q *warrant.ConfirmRequest) { q.Instant, q.YearConfirmed = "2025-12-31T23:59:59Z", true },
			func(b *warrant.TaskBody) { b.Instant = "2026-01-01T00:59:59+01:00" }, "", ""},
	} {
		r, b := testRules(t), newBook(t)
		b.undocumented(r, "w")
		b.task(r, start, "w", "t")
		req, first := same, question
		if test.edit != nil {
			test.edit(&req)
		}
		if test.question != nil {
			test.question(&first)
		}
		d, err := r.ConfirmTask(b.state, start, test.by, req, first, testContent())
		wantReason(t, test.name, err, test.want)
		if err != nil {
			if test.field != "" && (len(err.Violations) != 1 || err.Violations[0].Field != test.field) {
				t.Errorf("%s: refused for %+v, want %s", test.name, err.Violations, test.field)
			}
			for _, value := range []string{first.Target, first.Instant, "11:00:00", "51234"} {
				if strings.Contains(err.Error(), value) {
					t.Errorf("%s: the refusal shows what was entered first: %v", test.name, err)
				}
			}
			continue
		}
		b.append(start, d)
		task, _, _ := b.state.Task("t")
		if !task.Confirmed() || task.ConfirmedBy != test.by.Actor || task.ConfirmedAt != start {
			t.Errorf("%s: %+v", test.name, task)
		}
		_, err = r.ConfirmTask(b.state, start, warrant.Caller{Actor: "ff", Roles: []warrant.Role{warrant.LegalApprover}}, req, first, testContent())
		wantReason(t, test.name+", again", err, reason.WarrantTerminal)
	}
}

// D-25: with double entry nothing but preservation runs that one person keyed.
func TestNothingRunsThatOnePersonKeyed(t *testing.T) {
	r, b := testRules(t), newBook(t)
	strict := *r
	strict.DoubleEntry = true
	b.create(&strict, start, "w")
	b.task(&strict, start, "w", "t")
	for _, by := range []warrant.Caller{officer, approver} {
		wantReason(t, "approve", b.approve(&strict, start, by, "w"), "")
	}
	now := start.Add(time.Minute)
	withheld := func(rules *warrant.Rules, by warrant.Caller, at time.Time) bool {
		tk, w, _ := b.state.Task("t")
		return rules.Withheld(w, tk, at, by)
	}
	w, _ := b.state.Warrant("w")
	if !withheld(&strict, approver, now) || withheld(&strict, officer, now) || withheld(r, approver, now) || withheld(&strict, approver, w.ValidUntil) {
		t.Error("a question is shown to who may key it, or withheld from who asked it, or for ever")
	}
	_, err := strict.Begin(b.state, now, officer, "t", 1, question)
	wantReason(t, "run what one person keyed", err, reason.WarrantIncomplete)
	if err == nil || err.Violations[0].Field != "confirmation" {
		t.Errorf("refused with %+v", err)
	}
	late, err := strict.ConfirmTask(b.state, now, approver, confirmation, question, testContent())
	wantReason(t, "confirm", err, "")
	b.append(now, late)
	before := b.state.Ignored()
	b.append(now, late) // the same decided twice, as a retry that lost a race
	if b.state.Ignored() != before+1 {
		t.Error("a second confirmation was taken in")
	}
	if withheld(&strict, approver, now) {
		t.Error("what two keyed is withheld")
	}
	d, err := strict.Begin(b.state, now, officer, "t", 1, question)
	wantReason(t, "run what two keyed", err, "")
	b.append(now, d)
}

// A dossier is closed when its warrant has ended, but for the orders about a hold that
// outlives the warrant; and never once somebody ended it.
func TestDocumentForHold(t *testing.T) {
	r, b := testRules(t), newBook(t)
	w := b.undocumented(r, "w")
	after, holds := w.ValidUntil.Add(time.Hour), map[string]bool{"w": true}
	late := func(id string) (ledger.Draft, *reason.Error) {
		return r.StoreDocument(b.state, after, officer, received(id, "w", strings.Repeat(id, 64)))
	}
	_, err := late("1")
	wantReason(t, "without a hold", err, reason.WarrantExpired)
	r.HoldLasts = func(id string, now time.Time) bool { return holds[id] && now.Equal(after) }
	d, err := late("1")
	wantReason(t, "for a hold", b.take(after, d, err), "")
	if got := b.state.Documents("w"); len(got) != 1 {
		t.Errorf("documents %+v", got)
	}
	ignored := func(name string, d ledger.Draft, err *reason.Error) {
		t.Helper()
		wantReason(t, name, err, "")
		before := b.state.Ignored()
		if b.append(after, d); b.state.Ignored() != before+1 {
			t.Errorf("%s: a late entry is taken in", name)
		}
	}
	d, err = r.StoreDocument(b.state, start, officer, received("2", "w", strings.Repeat("2", 64)))
	ignored("of what has lapsed since, and not for a hold", d, err)
	d, err = late("2")
	end, refusal := r.Revoke(b.state, start, officer, warrant.EndRequest{WarrantID: "w", Generation: 1})
	wantReason(t, "revoke", b.take(start, end, refusal), "")
	ignored("of what was revoked since", d, err)
	_, err = late("3")
	wantReason(t, "of what was revoked, though a hold were there", err, reason.WarrantTerminal)
}
