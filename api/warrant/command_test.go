package warrant_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

func TestFourEyes(t *testing.T) {
	colleague := warrant.Caller{Actor: "dd", Roles: []warrant.Role{warrant.LegalOfficer}}
	second := warrant.Caller{Actor: "ee", Roles: []warrant.Role{warrant.LegalApprover}}
	tests := []struct {
		name  string
		by    []warrant.Caller
		want  []reason.Reason
		state warrant.WarrantState
	}{
		{"creator, then approver", []warrant.Caller{officer, approver}, []reason.Reason{"", ""}, warrant.Approved},
		{"approver, then officer", []warrant.Caller{approver, colleague}, []reason.Reason{"", ""}, warrant.Approved},
		{"the creator twice", []warrant.Caller{officer, officer}, []reason.Reason{"", reason.SelfApproval}, warrant.AwaitingApproval},
		{"two officers", []warrant.Caller{officer, colleague}, []reason.Reason{"", reason.SelfApproval}, warrant.AwaitingApproval},
		{"two approvers", []warrant.Caller{approver, second}, []reason.Reason{"", reason.SelfApproval}, warrant.AwaitingApproval},
		{"one person in both roles", []warrant.Caller{both, both}, []reason.Reason{"", reason.SelfApproval}, warrant.AwaitingApproval},
		{"one with both roles, then an approver", []warrant.Caller{both, approver}, []reason.Reason{"", ""}, warrant.Approved},
		{"an officer, then one with both roles", []warrant.Caller{officer, both}, []reason.Reason{"", ""}, warrant.Approved},
		{"someone without a role", []warrant.Caller{stranger}, []reason.Reason{reason.PermissionDenied}, warrant.AwaitingApproval},
		{"a third", []warrant.Caller{officer, approver, both}, []reason.Reason{"", "", reason.WarrantTerminal}, warrant.Approved},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b, r := newBook(t), testRules(t)
			b.create(r, start, "w")
			for i, by := range test.by {
				wantReason(t, by.Actor, b.approve(r, start.Add(time.Duration(i)*time.Minute), by, "w"), test.want[i])
			}
			if w, _ := b.state.Warrant("w"); w.State(start.Add(time.Hour)) != test.state {
				t.Errorf("state %s, want %s", w.State(start.Add(time.Hour)), test.state)
			}
		})
	}
}

func TestApprovalIsBoundToWhatWasSeen(t *testing.T) {
	b, r := newBook(t), testRules(t)
	w := b.create(r, start, "w")
	_, err := r.Approve(b.state, start, officer, warrant.ApproveRequest{WarrantID: "w", Generation: 2, ContentSHA256: w.ContentSHA256})
	wantReason(t, "other generation", err, reason.GenerationMismatch)
	_, err = r.Approve(b.state, start, officer, warrant.ApproveRequest{WarrantID: "w", Generation: 1, ContentSHA256: testContent().Hash("other")})
	wantReason(t, "other content", err, reason.GenerationMismatch)
	_, err = r.Approve(b.state, start, officer, warrant.ApproveRequest{WarrantID: "x", Generation: 1})
	wantReason(t, "unknown", err, reason.NotFound)
}

func TestApprovalAge(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	b.task(r, start, "w", "t")
	b.approve(r, start, officer, "w")
	begin := func(at time.Time) *reason.Error {
		_, err := r.Begin(b.state, at, officer, "t", 1, warrant.TaskBody{})
		return err
	}
	wantReason(t, "one approval", begin(start), reason.WarrantIncomplete)
	b.approve(r, start.Add(23*time.Hour), approver, "w")
	w, _ := b.state.Warrant("w")
	if got, want := w.EffectiveUntil(r.ApprovalAge), start.Add(24*time.Hour); !got.Equal(want) {
		t.Errorf("effective until %v, want %v", got, want)
	}
	wantReason(t, "just fresh", begin(start.Add(24*time.Hour-1)), "")
	wantReason(t, "first approval a day old", begin(start.Add(24*time.Hour)), reason.WarrantIncomplete)
	// The lapsed approval may be given anew, and the other still counts.
	wantReason(t, "again", b.approve(r, start.Add(25*time.Hour), officer, "w"), "")
	wantReason(t, "fresh again", begin(start.Add(25*time.Hour)), "")
	// A first approval that lapsed before the second came does not make four eyes.
	b.create(r, start, "v")
	b.approve(r, start, officer, "v")
	wantReason(t, "late second", b.approve(r, start.Add(24*time.Hour), approver, "v"), "")
	if w, _ := b.state.Warrant("v"); w.State(start.Add(24*time.Hour)) != warrant.AwaitingApproval || len(w.Approvals) != 1 {
		t.Errorf("a lapsed approval counts: %+v", w.Approvals)
	}
}

func TestEnds(t *testing.T) {
	b, r := newBook(t), testRules(t)
	end := func(f func(*warrant.State, time.Time, warrant.Caller, warrant.EndRequest) (ledger.Draft, *reason.Error), id string, at time.Time, by warrant.Caller) *reason.Error {
		d, err := f(b.state, at, by, warrant.EndRequest{WarrantID: id, Generation: 1, Explanation: "mistake"})
		if err == nil {
			b.append(at, d)
		}
		return err
	}
	b.create(r, start, "w")
	wantReason(t, "reject by nobody", end(r.Reject, "w", start, stranger), reason.PermissionDenied)
	wantReason(t, "reject", end(r.Reject, "w", start, approver), "")
	wantReason(t, "reject twice", end(r.Reject, "w", start, approver), reason.WarrantTerminal)
	wantReason(t, "approve the rejected", b.approve(r, start, officer, "w"), reason.WarrantTerminal)

	c := testContent()
	c.Reference = "PV-2026/w" // as the rejected one
	d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "w2", Salt: "s", Content: c})
	wantReason(t, "anew after rejection", err, "")
	b.append(start, d)
	b.verify(r, start, "w2")
	_, err = r.Create(b.state, start, officer, warrant.CreateRequest{ID: "w3", Salt: "s", Content: c})
	wantReason(t, "duplicate", err, reason.DuplicateWarrant)
	c.LegalBasis = "NL-126na-2"
	_, err = r.Create(b.state, start, officer, warrant.CreateRequest{ID: "w3", Salt: "s", Content: c})
	wantReason(t, "same reference, other basis", err, "")

	b.verify(r, start, "w2")
	b.approve(r, start, officer, "w2")
	b.approve(r, start, approver, "w2")
	wantReason(t, "reject the approved", end(r.Reject, "w2", start, officer), reason.WarrantTerminal)
	wantReason(t, "revoke", end(r.Revoke, "w2", start.Add(time.Minute), officer), "")
	if w, _ := b.state.Warrant("w2"); w.State(start.Add(time.Hour)) != warrant.Revoked || !w.EffectiveUntil(r.ApprovalAge).Equal(start.Add(time.Minute)) {
		t.Errorf("after revocation: %s until %v", w.State(start.Add(time.Hour)), w.EffectiveUntil(r.ApprovalAge))
	}

	w := b.create(r, start, "x")
	wantReason(t, "approve a millisecond before the end", b.approve(r, w.ValidUntil.Add(-time.Millisecond), officer, "x"), "")
	wantReason(t, "approve at the end", b.approve(r, w.ValidUntil, approver, "x"), reason.WarrantExpired)
	wantReason(t, "revoke at the end", end(r.Revoke, "x", w.ValidUntil, approver), reason.WarrantExpired)
}

func TestCreateTaskRefusals(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	good := warrant.TaskRequest{ID: "t", WarrantID: "w", Generation: 1, Category: warrant.Attribution,
		Target: "2001:DB8::0:17", Instant: "2026-11-19T12:00:00Z", UncertaintySeconds: 5}
	tests := []struct {
		name   string
		change func(*warrant.TaskRequest)
		want   reason.Reason
	}{
		{"as it should be", func(*warrant.TaskRequest) {}, ""},
		{"unknown warrant", func(q *warrant.TaskRequest) { q.WarrantID = "x" }, reason.NotFound},
		{"other generation", func(q *warrant.TaskRequest) { q.Generation = 2 }, reason.GenerationMismatch},
		{"over-broad category", func(q *warrant.TaskRequest) { q.Category = warrant.TimeCategory }, reason.CategoryExceedsBasis},
		{"no category", func(q *warrant.TaskRequest) { q.Category = "" }, reason.InvalidRequest},
		{"category without a task", func(q *warrant.TaskRequest) { q.Category = warrant.Identity }, reason.InvalidRequest},
		{"prefix", func(q *warrant.TaskRequest) { q.Target = "192.0.2.0/24" }, reason.TargetNotSpecific},
		{"wildcard", func(q *warrant.TaskRequest) { q.Target = "%" }, reason.TargetNotSpecific},
		{"not the warrant's", func(q *warrant.TaskRequest) { q.Target = "192.0.2.18" }, reason.TargetNotSpecific},
		{"no offset", func(q *warrant.TaskRequest) { q.Instant = "2026-11-19T12:00:00" }, reason.TimeZoneMissing},
		{"first instant", func(q *warrant.TaskRequest) { q.Instant, q.UncertaintySeconds = "2026-11-18T23:00:00Z", 0 }, ""},
		{"a second before", func(q *warrant.TaskRequest) { q.Instant, q.UncertaintySeconds = "2026-11-18T22:59:59Z", 0 }, reason.WindowExceedsWarrant},
		{"uncertainty reaches before", func(q *warrant.TaskRequest) { q.Instant = "2026-11-18T23:00:04Z" }, reason.WindowExceedsWarrant},
		{"the end is exclusive", func(q *warrant.TaskRequest) { q.Instant, q.UncertaintySeconds = "2026-11-19T23:00:00Z", 0 }, reason.WindowExceedsWarrant},
		{"uncertainty reaches the end", func(q *warrant.TaskRequest) { q.Instant = "2026-11-19T22:59:55Z" }, reason.WindowExceedsWarrant},
		{"too uncertain", func(q *warrant.TaskRequest) { q.UncertaintySeconds = 3601 }, reason.InvalidRequest},
	}
	for _, test := range tests {
		q := good
		test.change(&q)
		_, err := r.CreateTask(b.state, start, officer, q, testContent())
		wantReason(t, test.name, err, test.want)
	}
	_, err := r.CreateTask(b.state, start, approver, good, testContent())
	wantReason(t, "by an approver", err, reason.PermissionDenied)
	w, _ := b.state.Warrant("w")
	_, err = r.CreateTask(b.state, w.ValidUntil, officer, good, testContent())
	wantReason(t, "after the end", err, reason.WarrantExpired)
	r.MaxTasks = 1
	b.task(r, start, "w", "t1")
	_, err = r.CreateTask(b.state, start, officer, good, testContent())
	wantReason(t, "one too many", err, reason.RateLimited)
}

// run takes a task from intent to release.
func (b *book) run(r *warrant.Rules, at time.Time, task string, answer reason.Reason) *reason.Error {
	d, err := r.Begin(b.state, at, officer, task, 1, warrant.TaskBody{Target: "192.0.2.17", Instant: "2026-11-19T12:00:00+01:00"})
	if err != nil {
		return err
	}
	b.append(at, d)
	tk, _, _ := b.state.Task(task)
	d, err = r.Result(b.state, at, officer, task, 1, tk.Attempt, warrant.Outcome{Answer: answer, PackageSHA256: strings.Repeat("a", 64), PackageBytes: 9})
	if err != nil {
		return err
	}
	b.append(at, d)
	d, err = r.Release(b.state, at, officer, task, 1, tk.Attempt)
	if err != nil {
		return err
	}
	b.append(at, d)
	return nil
}

func (b *book) approved(r *warrant.Rules, at time.Time, id string) {
	b.create(r, at, id)
	b.approve(r, at, officer, id)
	b.approve(r, at, approver, id)
}

func TestTaskLife(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	for id, test := range map[string]struct {
		answer reason.Reason
		state  warrant.TaskState
	}{"hit": {reason.Match, warrant.TaskDisclosed}, "miss": {reason.NoMatch, warrant.TaskNotAvailable}} {
		b.task(r, start, "w", id)
		wantReason(t, "fetch before release", fetch(b, r, start, id), reason.NotFound)
		wantReason(t, id, b.run(r, start, id, test.answer), "")
		tk, w, _ := b.state.Task(id)
		if tk.State(&w, start) != test.state || !tk.ReleasedAt.Equal(start) {
			t.Errorf("%s: %s, released %v", id, tk.State(&w, start), tk.ReleasedAt)
		}
		wantReason(t, "again", b.run(r, start, id, test.answer), reason.WarrantTerminal)
		wantReason(t, "fetch", fetch(b, r, start, id), "")
	}
	w, _ := b.state.Warrant("w")
	wantReason(t, "fetch after the end", fetch(b, r, w.ValidUntil, "hit"), reason.WarrantExpired)
	d, err := r.Destroy(b.state, w.ValidUntil, officer, "hit")
	wantReason(t, "destroy", err, "")
	b.append(w.ValidUntil, d)
	_, err = r.Destroy(b.state, w.ValidUntil, officer, "hit")
	wantReason(t, "destroy twice", err, reason.WarrantTerminal)
	_, err = r.Destroy(b.state, start, officer, "miss")
	wantReason(t, "destroy of a live warrant's", err, reason.WarrantTerminal)

	// An hour after it was first fetched a package has been kept long enough here.
	r.PackageExpires = func(at time.Time) (time.Time, bool) { return at.Add(time.Hour), true }
	wantReason(t, "fetch again", fetch(b, r, start.Add(time.Hour-1), "miss"), "")
	wantReason(t, "fetch an hour after the first", fetch(b, r, start.Add(time.Hour), "miss"), reason.NotFound)
	_, err = r.Destroy(b.state, start.Add(time.Hour-1), officer, "miss")
	wantReason(t, "destroy before", err, reason.WarrantTerminal)
	d, err = r.Destroy(b.state, start.Add(time.Hour), officer, "miss")
	wantReason(t, "destroy", err, "")
	if d.Reason != string(reason.RetentionElapsed) {
		t.Errorf("destroyed for %s, want RETENTION_ELAPSED", d.Reason)
	}
}

// fetch fetches as the approver. Where the download was used, the officer grants
// another first.
func fetch(b *book, r *warrant.Rules, at time.Time, task string) *reason.Error {
	d, err := r.Fetch(b.state, at, approver, task)
	if err != nil && err.Reason == reason.DownloadUsed {
		if d, err = r.Grant(b.state, at, officer, task, warrant.LegalApprover); err != nil {
			return err
		}
		b.append(at, d)
		d, err = r.Fetch(b.state, at, approver, task)
	}
	if err == nil {
		b.append(at, d)
	}
	return err
}

func TestExecutionStopsAtTheEnd(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	d, err := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	wantReason(t, "begin", err, "")
	b.append(start, d)
	_, err = r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	wantReason(t, "begin while running", err, reason.WarrantTerminal)
	wantReason(t, "still", r.StillExecutable(b.state, start, "t", 1), "")

	d, err = r.Revoke(b.state, start.Add(time.Second), approver, warrant.EndRequest{WarrantID: "w", Generation: 1})
	wantReason(t, "revoke", err, "")
	b.append(start.Add(time.Second), d)
	at := start.Add(2 * time.Second)
	wantReason(t, "still after revocation", r.StillExecutable(b.state, at, "t", 1), reason.WarrantTerminal)
	_, err = r.Result(b.state, at, officer, "t", 1, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: strings.Repeat("a", 64)})
	wantReason(t, "result after revocation", err, reason.WarrantTerminal)
	d, err = r.Abort(b.state, officer, "t", 1, reason.WarrantTerminal, false)
	wantReason(t, "abort", err, "")
	b.append(at, d)
	_, err = r.Abort(b.state, officer, "t", 1, reason.WarrantTerminal, false)
	wantReason(t, "abort twice", err, reason.WarrantTerminal)
	tk, w, _ := b.state.Task("t")
	if tk.State(&w, at) != warrant.TaskCancelled || tk.Stored() != warrant.TaskError {
		t.Errorf("task is %s, stored %s", tk.State(&w, at), tk.Stored())
	}
}

// A sealed package is released only while everything still holds.
func TestReleaseAsksAgain(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	d, _ := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	b.append(start, d)
	d, err := r.Result(b.state, start, officer, "t", 1, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: strings.Repeat("a", 64)})
	wantReason(t, "result", err, "")
	b.append(start, d)
	w, _ := b.state.Warrant("w")
	release := func(at time.Time, generation uint64, attempt uint32) *reason.Error {
		_, err := r.Release(b.state, at, officer, "t", generation, attempt)
		return err
	}
	wantReason(t, "now", release(start, 1, 1), "")
	wantReason(t, "another generation", release(start, 2, 1), reason.GenerationMismatch)
	wantReason(t, "another attempt", release(start, 1, 2), reason.WarrantTerminal)
	wantReason(t, "approvals a day old", release(start.Add(24*time.Hour), 1, 1), reason.WarrantIncomplete)
	wantReason(t, "at the end", release(w.ValidUntil, 1, 1), reason.WarrantExpired)
	d, _ = r.Revoke(b.state, start, approver, warrant.EndRequest{WarrantID: "w", Generation: 1})
	b.append(start, d)
	wantReason(t, "revoked", release(start, 1, 1), reason.WarrantTerminal)
}

// A restart between intent and result puts the task back with a trace.
func TestRestartAborts(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	d, _ := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	b.append(start, d)
	d, err := r.Abort(b.state, warrant.Caller{Actor: "service", Roles: []warrant.Role{warrant.Executor}}, "t", 1, reason.Internal, true)
	wantReason(t, "abort", err, "")
	if e := b.append(start, d); e.Header.Role != string(warrant.Executor) || e.Header.Kind != warrant.KindAbort {
		t.Errorf("entry %+v", e.Header)
	}
	tk, w, _ := b.state.Task("t")
	if tk.State(&w, start) != warrant.TaskAwaiting {
		t.Errorf("state %s", tk.State(&w, start))
	}
	wantReason(t, "second attempt", b.run(r, start, "t", reason.Match), "")
	if tk, _, _ := b.state.Task("t"); tk.Attempt != 2 {
		t.Errorf("attempt %d, want 2", tk.Attempt)
	}
}

func TestNotInForceYet(t *testing.T) {
	b, r := newBook(t), testRules(t)
	c := testContent()
	c.ValidFrom = "2026-11-21T09:00:00Z"
	d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
	wantReason(t, "create", err, "")
	b.append(start, d)
	b.verify(r, start, "w")
	b.approve(r, start.Add(23*time.Hour), officer, "w")
	b.approve(r, start.Add(23*time.Hour), approver, "w")
	b.task(r, start, "w", "t")
	wantReason(t, "before", b.run(r, start.Add(23*time.Hour), "t", reason.Match), reason.WarrantIncomplete)
	wantReason(t, "after", b.run(r, start.Add(25*time.Hour), "t", reason.Match), "")
}

// Entries that were decided on a state that another entry changed first are ignored.
func TestFoldIgnoresLosers(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	first, _ := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	second, _ := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	revoke, _ := r.Revoke(b.state, start, officer, warrant.EndRequest{WarrantID: "w", Generation: 1})
	b.append(start, first)
	b.append(start, second)
	if tk, _, _ := b.state.Task("t"); tk.Attempt != 1 || b.state.Ignored() != 1 {
		t.Errorf("attempt %d, ignored %d", tk.Attempt, b.state.Ignored())
	}
	b.append(start, revoke) // also decided earlier, and yet it ends the warrant
	if w, _ := b.state.Warrant("w"); w.State(start) != warrant.Revoked {
		t.Errorf("a late revocation is ignored: %s", w.State(start))
	}
	other := first
	other.Generation = 2
	b.append(start, other)
	if b.state.Ignored() != 2 {
		t.Errorf("ignored %d, want 2", b.state.Ignored())
	}
	if err := b.state.Apply(ledger.Entry{Header: ledger.Header{Kind: warrant.KindCreate, Facts: json.RawMessage(`{"valid_until":1}`)}}); err == nil {
		t.Error("a malformed entry folds silently")
	}
	if err := b.state.Apply(ledger.Entry{Header: ledger.Header{Kind: "usage.read"}}); err != nil {
		t.Errorf("an entry of another package: %v", err)
	}
}

// What stands in the clear, for ever, tells nothing of what a warrant is about.
func TestHeadersAreClean(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	b.run(r, start, "t", reason.Match)
	fetch(b, r, start, "t")
	d, _ := r.Revoke(b.state, start, officer, warrant.EndRequest{WarrantID: "w", Generation: 1, Explanation: "J. de Vries called"})
	b.append(start, d)
	text, err := json.Marshal(b.entries)
	if err != nil {
		t.Fatal(err)
	}
	c := testContent()
	for _, secret := range append([]string{"PV-2026/w", c.RequestedBy, c.DocumentSHA256, c.Recipient, "called",
		"2026-11-19", c.IssuedAt, c.WindowStart}, c.Targets...) {
		if strings.Contains(string(text), secret) {
			t.Errorf("headers hold %q", secret)
		}
	}
	if len(b.entries) != 10 {
		t.Errorf("%d entries, want 10", len(b.entries))
	}
}

// What was refused for what it asks is refused for good: no edit revives it, and the
// order is unanswered until another question is asked in its place.
func TestRefusedForGood(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	b.task(r, start, "w", "other")
	d, _ := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
	b.append(start, d)
	d, err := r.Refuse(b.state, officer, "t", 1, reason.New(reason.MaxHits, "There are 2-10 lines; the task allows 1."))
	wantReason(t, "refusal", b.take(start, d, err), "")
	ignored := b.state.Ignored()
	b.append(start, d) // as a retry that lost a race
	if b.state.Ignored() != ignored+1 {
		t.Error("a task is refused twice")
	}
	wantReason(t, "the other", b.run(r, start, "other", reason.Match), "")
	if d.Reason != "MAX_HITS" || d.KeyID != warrant.KeyID("w") || d.Body.(warrant.RefuseBody).Detail == "" {
		t.Errorf("drafted %+v", d)
	}
	for _, again := range []func() *reason.Error{
		func() *reason.Error {
			_, err := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
			return err
		},
		func() *reason.Error { _, err := r.Abort(b.state, officer, "t", 1, reason.Internal, true); return err },
		func() *reason.Error {
			_, err := r.Refuse(b.state, officer, "t", 1, reason.New(reason.MaxHits, ""))
			return err
		},
		func() *reason.Error {
			_, err := r.Result(b.state, start, officer, "t", 1, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: sealed})
			return err
		},
	} {
		wantReason(t, "again", again(), reason.WarrantTerminal)
	}
	tk, w, _ := b.state.Task("t")
	if tk.State(&w, start) != warrant.TaskRejected || tk.Refusal != reason.MaxHits || !w.ActedAt.IsZero() {
		t.Errorf("the task is %+v, acted at %v", tk, w.ActedAt)
	}
	b.task(r, start, "w", "instead")
	wantReason(t, "another in its place", b.run(r, start.Add(time.Minute), "instead", reason.Match), "")
	if w, _ := b.state.Warrant("w"); !w.ActedAt.Equal(start.Add(time.Minute)) {
		t.Errorf("acted at %v", w.ActedAt)
	}
	before := testContent()
	before.Reference = "PV-2026/w"
	c := before
	c.RequestedBy = "K. Jansen"
	wantReason(t, "edit", b.edit(r, start, officer, "w", before, c), "")
	if tk, w, _ := b.state.Task("t"); tk.Generation != 1 || tk.State(&w, start) != warrant.TaskRejected {
		t.Errorf("an edit revived it: %+v", tk)
	}
}
