package hold_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
)

var (
	start    = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	officer  = warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}}
	approver = warrant.Caller{Actor: "a0", Roles: []warrant.Role{warrant.LegalApprover}}
	outside  = warrant.Caller{Actor: "0e", Roles: []warrant.Role{warrant.ExternalApprover}}
	both     = warrant.Caller{Actor: "bb", Roles: []warrant.Role{warrant.LegalOfficer, warrant.LegalApprover}}
	service  = warrant.Caller{Actor: "griffierd", Roles: []warrant.Role{warrant.Executor}}
	document = strings.Repeat("ab", 32)
)

// book numbers drafts and folds them.
type book struct {
	t       testing.TB
	state   *hold.State
	entries []ledger.Entry
}

func newBook(t testing.TB) *book { return &book{t: t, state: hold.NewState()} }

func (b *book) append(at time.Time, d ledger.Draft) ledger.Entry {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		b.t.Fatal(err)
	}
	e := ledger.Entry{Index: uint64(len(b.entries)), Header: ledger.Header{V: 1, Kind: d.Kind, At: at, Actor: d.Actor, Role: d.Role,
		WarrantID: d.WarrantID, TaskID: d.TaskID, Generation: d.Generation, KeyID: d.KeyID, Facts: facts}}
	if err := b.state.Apply(e); err != nil {
		b.t.Fatal(err)
	}
	b.entries = append(b.entries, e)
	return e
}

// inDossier is a dossier that has two orders, which came when the hold was made or later.
func inDossier(warrantID, sha256 string) (warrant.Document, bool) {
	for _, known := range []string{document, strings.Repeat("cd", 32)} {
		if sha256 == known && warrantID != "" {
			return warrant.Document{ID: "document-" + known[:2], WarrantID: warrantID, StoredAt: start}, true
		}
	}
	return warrant.Document{ID: "the order itself", WarrantID: warrantID, StoredAt: start.Add(-1)}, sha256 == strings.Repeat("0f", 32)
}

func testRules(t testing.TB) *hold.Rules {
	t.Helper()
	return &hold.Rules{Law: warrant.Always(warranttest.Law()...), ApprovalAge: 24 * time.Hour, Document: inDossier}
}

// executing returns a preservation task that is being executed, made by the rules of
// package warrant, and its warrant.
func executing(t testing.TB, id, basis string) (warrant.Task, warrant.Warrant) {
	t.Helper()
	s := warrant.NewState()
	for i, e := range []struct{ kind, actor, facts string }{
		{warrant.KindCreate, "0f", `{"basis":"` + basis + `","categories":["PRESERVATION"],"valid_from":"2026-11-20T00:00:00Z","valid_until":"2027-01-20T00:00:00Z","content_sha256":"c","duplicate_key":"d"}`},
		{warrant.KindApprove, "0f", `{"revision":1,"content_sha256":"c","role":"legal_officer","beside":[]}`},
		{warrant.KindApprove, "a0", `{"revision":2,"content_sha256":"c","role":"legal_approver","beside":[1]}`},
		{warrant.KindTaskCreate, "0f", `{"revision":3,"category":"PRESERVATION"}`},
		{warrant.KindTaskIntent, "0f", `{"revision":4,"attempt":1}`},
	} {
		h := ledger.Header{V: 1, Kind: e.kind, At: start, Actor: e.actor, WarrantID: "w-" + id, Generation: 1, KeyID: "case:w-" + id, Facts: json.RawMessage(e.facts)}
		if i > 2 {
			h.TaskID = id
		}
		if err := s.Apply(ledger.Entry{Index: uint64(i), Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	task, w, ok := s.Task(id)
	if !ok || task.Stored() != warrant.TaskExecuting {
		t.Fatalf("task %+v", task)
	}
	return task, w
}

func (b *book) make(r *hold.Rules, at time.Time, id, basis string, days uint32) *reason.Error {
	b.t.Helper()
	task, w := executing(b.t, id, basis)
	d, err := r.Make(b.state, at, service, task, w, hold.MakeRequest{ID: "hold-" + id, Days: days, FileSHA256: document, Rows: map[string]uint64{"assignment": 3}})
	if err == nil {
		b.append(at, d)
	}
	return err
}

func want(t testing.TB, what string, err *reason.Error, want reason.Reason) {
	t.Helper()
	var got reason.Reason
	if err != nil {
		got = err.Reason
	}
	if got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}

func TestTerms(t *testing.T) {
	r := testRules(t)
	for _, test := range []struct {
		basis string
		days  uint32
		want  time.Duration
	}{{"EPOC-PR", 0, 60 * hold.Day}, {"NL-126ni", 0, 90 * hold.Day}, {"NL-126ni", 14, 14 * hold.Day}, {"EPOC-PR", 90, 60 * hold.Day}} {
		b := newBook(t)
		want(t, test.basis, b.make(r, start, "t1", test.basis, test.days), "")
		h, _ := b.state.Hold("hold-t1")
		if h.EndsAt.Sub(h.MadeAt) != test.want || h.CaseKeyID != "case:w-t1" {
			t.Errorf("%s for %d days: %+v", test.basis, test.days, h)
		}
		// The last nanosecond, and the instant of the end.
		if !h.Readable(h.EndsAt.Add(-1)) || h.Readable(h.EndsAt) || h.Status(h.EndsAt) != hold.Ended {
			t.Errorf("%s: the end is not exact", test.basis)
		}
		want(t, "another of the same task", b.make(r, start, "t1", test.basis, 0), reason.Internal)
	}
	b := newBook(t)
	want(t, "a basis that preserves nothing", b.make(r, start, "t1", "NL-126na", 0), reason.CategoryExceedsBasis)
	want(t, "a basis that there is not", b.make(r, start, "t1", "NL-none", 0), reason.CategoryExceedsBasis)
	if got := []string{hold.Band(0), hold.Band(10), hold.Band(11), hold.Band(100), hold.Band(1000), hold.Band(1001)}; strings.Join(got, " ") != "1-10 1-10 11-100 11-100 101-1,000 >1,000" {
		t.Errorf("bands %v", got)
	}
}

// TestExtensionApprovals: an approval counts for a day, of one document, on the
// hold as it was seen, and an entry that lost a race changes nothing.
func TestExtensionApprovals(t *testing.T) {
	r, b := testRules(t), newBook(t)
	want(t, "make", b.make(r, start, "t1", "EPOC-PR", 0), "")
	extend := func(at time.Time, by warrant.Caller, doc string) (ledger.Draft, *reason.Error) {
		h, _ := b.state.Hold("hold-t1")
		return r.Extend(b.state, at, by, hold.ExtendRequest{HoldID: h.ID, Generation: h.Generation, DocumentSHA256: doc})
	}
	other := strings.Repeat("cd", 32)
	first, err := extend(start, officer, document)
	want(t, "first", err, "")
	racing, err := extend(start, approver, document)
	want(t, "first, by another", err, "")
	b.append(start, first)
	b.append(start, racing) // decided before the first was folded
	if b.state.Ignored() != 1 {
		t.Errorf("%d entries ignored", b.state.Ignored())
	}
	d, err := extend(start, approver, other)
	want(t, "of another document", err, "")
	b.append(start, d)
	if h, _ := b.state.Hold("hold-t1"); !h.ExtendedAt.IsZero() {
		t.Error("two documents extended a hold")
	}
	_, err = extend(start, approver, other)
	want(t, "twice", err, reason.SelfApproval)
	d, err = extend(start.Add(25*time.Hour), officer, other)
	want(t, "a day later, the first", err, "")
	b.append(start.Add(25*time.Hour), d)
	if h, _ := b.state.Hold("hold-t1"); !h.ExtendedAt.IsZero() {
		t.Error("an approval that was a day old counted")
	}
	d, err = extend(start.Add(26*time.Hour), both, other)
	want(t, "second, in the other role", err, "")
	b.append(start.Add(26*time.Hour), d)
	h, _ := b.state.Hold("hold-t1")
	if h.EndsAt.Sub(h.MadeAt) != 90*hold.Day {
		t.Errorf("extended to %v", h.EndsAt.Sub(h.MadeAt))
	}
	_, err = extend(start.Add(27*time.Hour), officer, other)
	want(t, "again", err, reason.WarrantTerminal)
	_, err = r.Extend(b.state, h.EndsAt, officer, hold.ExtendRequest{HoldID: h.ID, Generation: h.Generation, DocumentSHA256: document})
	want(t, "at its end", err, reason.WarrantTerminal)
}

// TestOrders: an act rests on an order that is in the dossier of the hold's warrant, and
// an extension on another than the one by which the hold was made. What it would do is
// told before, and is what it does.
func TestOrders(t *testing.T) {
	r, b := testRules(t), newBook(t)
	want(t, "make", b.make(r, start, "t1", "EPOC-PR", 0), "")
	old, unknown := strings.Repeat("0f", 32), strings.Repeat("ee", 32)
	extend := func(by warrant.Caller, doc string) (ledger.Draft, *reason.Error) {
		h, _ := b.state.Hold("hold-t1")
		return r.Extend(b.state, start, by, hold.ExtendRequest{HoldID: h.ID, Generation: h.Generation, DocumentSHA256: doc})
	}
	end := func(doc string) (ledger.Draft, *reason.Error) {
		h, _ := b.state.Hold("hold-t1")
		return r.End(b.state, start, approver, hold.EndRequest{HoldID: h.ID, Generation: h.Generation, DocumentSHA256: doc})
	}
	for doc, reasons := range map[string][2]reason.Reason{"no hash": {reason.InvalidRequest, reason.InvalidRequest},
		unknown: {reason.WarrantIncomplete, reason.WarrantIncomplete}, old: {reason.WarrantIncomplete, ""}} {
		_, err := extend(officer, doc)
		want(t, "extend by "+doc, err, reasons[0])
		_, err = end(doc)
		want(t, "end by "+doc, err, reasons[1])
	}
	var told []string
	act := func(d ledger.Draft, err *reason.Error) hold.Hold {
		t.Helper()
		want(t, "act", err, "")
		before, _ := b.state.Hold("hold-t1")
		preview, effects, failed := r.Preview(b.state, start, d, "hold-t1")
		if now, _ := b.state.Hold("hold-t1"); failed != nil || now.Generation != before.Generation {
			t.Fatalf("a preview did something, or failed: %v", failed)
		}
		told = append(told, effects...)
		b.append(start, d)
		h, _ := b.state.Hold("hold-t1")
		if preview.EndsAt != h.EndsAt || preview.Generation != h.Generation || len(preview.Approvals) != len(h.Approvals) || preview.Status(start) != h.Status(start) {
			t.Errorf("previewed as %+v, became %+v", preview, h)
		}
		return h
	}
	if h := act(extend(officer, document)); h.Approvals[0].DocumentID != "document-ab" {
		t.Errorf("approved by %+v", h.Approvals)
	}
	act(extend(approver, document))
	act(end(old))
	for i, says := range []string{"it waits for a second person, as legal_approver, until 2026-11-21T09:00:00Z", "ends at: 2027-01-19T09:00:00Z becomes 2027-02-18T09:00:00Z",
		"the hold ends, which would have lasted until 2027-02-18T09:00:00Z", "what it has, 1-10 rows, is destroyed"} {
		if i >= len(told) || !strings.HasPrefix(told[i], says) {
			t.Errorf("told %q, want %q", told, says)
		}
	}
	r.Document = nil
	_, err := end(old)
	want(t, "after its end", err, reason.WarrantTerminal)
}

// TestModel lives a hold with random acts at random times, some of them decided long
// before they are folded, and holds it against what must never be.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, b := testRules(t), newBook(t)
		basis := rapid.SampledFrom([]string{"EPOC-PR", "NL-126ni"}).Draw(rt, "basis")
		if err := b.make(r, start, "t1", basis, 0); err != nil {
			rt.Fatal(err)
		}
		first, _ := b.state.Hold("hold-t1")
		most := first.EndsAt
		if basis == "EPOC-PR" {
			most = most.Add(30 * hold.Day)
		}
		now, stopped, destroyed := start, time.Time{}, false
		var late []ledger.Draft
		callers := rapid.SampledFrom([]warrant.Caller{officer, approver, outside, both, {Actor: "cc"}, {Actor: "dd", Roles: []warrant.Role{warrant.LegalOfficer}}})
		doc := rapid.SampledFrom([]string{document, strings.Repeat("cd", 32)})
		approvals := map[string][]warrant.Role{} // by document: every role that ever approved
		commit := func(d ledger.Draft) bool {
			if rapid.IntRange(0, 9).Draw(rt, "hang") == 0 {
				late = append(late, d)
				return false
			}
			before := b.state.Ignored()
			b.append(now, d)
			if b.state.Ignored() != before {
				rt.Fatalf("a draft that was just decided is ignored: %+v", d)
			}
			return true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.SampledFrom([]int64{1, 3600e9, 86400e9, 20 * 86400e9}).Draw(rt, "for")))
			},
			"to the end": func(rt *rapid.T) {
				h, _ := b.state.Hold("hold-t1")
				if at := h.End().Add(-time.Duration(rapid.IntRange(0, 1).Draw(rt, "before"))); at.After(now) {
					now = at
				}
			},
			"extend": func(rt *rapid.T) {
				h, _ := b.state.Hold("hold-t1")
				by, of := callers.Draw(rt, "by"), doc.Draw(rt, "of")
				d, err := r.Extend(b.state, now, by, hold.ExtendRequest{HoldID: h.ID, Generation: h.Generation, DocumentSHA256: of})
				if err != nil {
					return
				}
				if basis != "EPOC-PR" || !h.Readable(now) || !h.ExtendedAt.IsZero() || len(by.Roles) == 0 {
					rt.Fatalf("%s may extend %+v at %v", by.Actor, h, now)
				}
				approvals[of] = append(approvals[of], warrant.Role(d.Role))
				commit(d)
			},
			"end": func(rt *rapid.T) {
				h, _ := b.state.Hold("hold-t1")
				d, err := r.End(b.state, now, callers.Draw(rt, "by"), hold.EndRequest{HoldID: h.ID, Generation: h.Generation, DocumentSHA256: document})
				if err == nil && rapid.IntRange(0, 4).Draw(rt, "rarely") == 0 && commit(d) {
					stopped = now
				}
			},
			"revoke": func(rt *rapid.T) {
				if h, _ := b.state.Hold("hold-t1"); rapid.IntRange(0, 9).Draw(rt, "rarely") == 0 {
					live := h.Readable(now)
					b.append(now, ledger.Draft{Kind: rapid.SampledFrom([]string{warrant.KindRevoke, warrant.KindCancel}).Draw(rt, "as"), WarrantID: h.WarrantID, Facts: struct{}{}})
					if live {
						stopped = now
					}
				}
			},
			"destroy": func(rt *rapid.T) {
				d, err := r.Destroy(b.state, now, service, "hold-t1")
				h, _ := b.state.Hold("hold-t1")
				if err == nil && h.Readable(now) {
					rt.Fatalf("a hold that lives may be destroyed at %v: %+v", now, h)
				}
				if err == nil && commit(d) {
					destroyed = true
				}
			},
			"fold what is late": func(rt *rapid.T) {
				if len(late) == 0 {
					return
				}
				d := late[0]
				late = late[1:]
				before, _ := b.state.Hold("hold-t1")
				b.append(now, d)
				after, _ := b.state.Hold("hold-t1")
				if d.Kind == hold.KindEnd && before.Readable(now) && stopped.IsZero() {
					stopped = now
				}
				destroyed = destroyed || !after.DestroyedAt.IsZero()
			},
			"": func(rt *rapid.T) {
				h, _ := b.state.Hold("hold-t1")
				switch {
				case h.EndsAt.After(most):
					rt.Fatalf("it lasts until %v, longer than %v", h.EndsAt, most)
				case h.Readable(most):
					rt.Fatal("it can be read after its longest term")
				case !stopped.IsZero() && h.Readable(stopped):
					rt.Fatal("it can be read when it was ended")
				case !h.ExtendedAt.IsZero() && !twoRoles(approvals):
					rt.Fatal("one role extended it")
				case destroyed && h.Readable(start):
					rt.Fatal("a hold that was destroyed can be read")
				case destroyed && h.Status(now) != hold.Destroyed:
					rt.Fatal("a hold that was destroyed is " + string(h.Status(now)))
				}
				again := hold.NewState()
				for _, e := range b.entries {
					if err := again.Apply(e); err != nil {
						rt.Fatal(err)
					}
				}
				if g, _ := again.Hold("hold-t1"); g.EndsAt != h.EndsAt || g.Generation != h.Generation || g.Status(now) != h.Status(now) {
					rt.Fatalf("folded anew it is %+v, and was %+v", g, h)
				}
			},
		})
	})
}

// twoRoles reports whether one document was approved in both roles.
func twoRoles(approvals map[string][]warrant.Role) bool {
	for _, roles := range approvals {
		seen := map[warrant.Role]bool{}
		for _, role := range roles {
			seen[role.Seat()] = true
		}
		if len(seen) == 2 {
			return true
		}
	}
	return false
}
