package warrant_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// made makes a warrant of a content and has the authority called back.
func (b *book) made(r *warrant.Rules, at time.Time, id string, c warrant.Content) warrant.Warrant {
	b.t.Helper()
	d, err := r.Create(b.state, at, officer, warrant.CreateRequest{ID: id, Salt: "salt", Content: c})
	if err != nil {
		b.t.Fatal(err)
	}
	b.append(at, d)
	b.verify(r, at, id)
	w, _ := b.state.Warrant(id)
	return w
}

// take appends what a rule drafted, or returns its refusal.
func (b *book) take(at time.Time, d ledger.Draft, err *reason.Error) *reason.Error {
	if err == nil {
		b.append(at, d)
	}
	return err
}

func (b *book) state1(id string, at time.Time) warrant.WarrantState {
	w, _ := b.state.Warrant(id)
	return w.State(at)
}

func (b *book) edit(r *warrant.Rules, at time.Time, by warrant.Caller, id string, before, content warrant.Content, open ...warrant.OpenTask) *reason.Error {
	w, _ := b.state.Warrant(id)
	d, err := r.Edit(b.state, at, by, warrant.EditRequest{WarrantID: id, Generation: w.Generation, Salt: "salt", Content: content, Before: before, Open: open})
	return b.take(at, d, err)
}

// openTask is a task of the book as the shell reads it.
func (b *book) openTask(id, target string) warrant.OpenTask {
	t, _, _ := b.state.Task(id)
	body, err := warrant.TaskRequest{Category: warrant.Attribution, Target: target, Instant: "2026-11-19T12:00:00+01:00", UncertaintySeconds: 1}.Body()
	if err != nil {
		b.t.Fatal(err)
	}
	return warrant.OpenTask{Task: t, Question: body}
}

// An insider who changes the target after the first approval has to begin again.
func TestEditVoidsApprovals(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	before := testContent()
	before.Reference = "PV-2026/w"
	b.approve(r, start, officer, "w")
	b.task(r, start, "w", "t")
	c := before
	c.Targets = []string{"192.0.2.18"}
	wantReason(t, "by an approver", b.edit(r, start, approver, "w", before, c), reason.PermissionDenied)
	wantReason(t, "without its open task", b.edit(r, start, officer, "w", before, c), reason.GenerationMismatch)
	old, _ := b.state.Warrant("w")
	wantReason(t, "edit", b.edit(r, start, officer, "w", before, c, b.openTask("t", "192.0.2.17")), "")
	w, _ := b.state.Warrant("w")
	if w.Generation != 2 || len(w.Approvals) != 0 || w.Verified || w.ContentSHA256 == old.ContentSHA256 || w.ContentIndex == w.Index {
		t.Errorf("after the edit: %+v", w)
	}
	wantReason(t, "approve before the call-back about the new target", b.approve(r, start, approver, "w"), reason.WarrantIncomplete)
	_, err := r.Approve(b.state, start, approver, warrant.ApproveRequest{WarrantID: "w", Generation: 1, ContentSHA256: old.ContentSHA256})
	wantReason(t, "approve what was seen before", err, reason.GenerationMismatch)
	b.verify(r, start, "w")
	b.approve(r, start, officer, "w")
	b.approve(r, start, approver, "w")
	if got := b.state1("w", start); got != warrant.Approved {
		t.Fatalf("state %s", got)
	}
	_, err = r.Begin(b.state, start, officer, "t", 2, warrant.TaskBody{})
	wantReason(t, "the task about the old target", err, reason.GenerationMismatch)
	if tk, w, _ := b.state.Task("t"); tk.State(&w, start) != warrant.TaskCancelled {
		t.Errorf("the task that was left behind is %s", tk.State(&w, start))
	}
}

// A task whose question the new content still covers goes on, once it is approved.
func TestEditTakesTasksAlong(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	before := testContent()
	before.Reference = "PV-2026/w"
	b.approve(r, start, officer, "w")
	b.approve(r, start, approver, "w")
	b.task(r, start, "w", "waits")
	b.task(r, start, "w", "runs")
	d, _ := r.Begin(b.state, start, officer, "runs", 1, warrant.TaskBody{})
	b.append(start, d)
	c := before
	c.RequestedBy = "J. de Vriesch"
	wantReason(t, "edit", b.edit(r, start, officer, "w", before, c, b.openTask("waits", "192.0.2.17"), b.openTask("runs", "192.0.2.17")), "")
	if w, _ := b.state.Warrant("w"); !w.Verified {
		t.Error("setting a name right made the call-back void")
	}
	_, err := r.Result(b.state, start, officer, "runs", 1, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: sealed})
	wantReason(t, "the result of what ran", err, reason.GenerationMismatch)
	_, err = r.Begin(b.state, start, officer, "waits", 2, warrant.TaskBody{})
	wantReason(t, "before it is approved again", err, reason.WarrantIncomplete)
	b.approve(r, start, officer, "w")
	b.approve(r, start, approver, "w")
	_, err = r.Result(b.state, start, officer, "runs", 2, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: sealed})
	wantReason(t, "the result of what ran under the old content", err, reason.GenerationMismatch)
	d, err = r.Begin(b.state, start, officer, "waits", 2, warrant.TaskBody{})
	wantReason(t, "what waited", b.take(start, d, err), "")
	d, err = r.Abort(b.state, officer, "runs", 1, reason.GenerationMismatch, false)
	wantReason(t, "abort", b.take(start, d, err), "")
	d, err = r.Begin(b.state, start, officer, "runs", 2, warrant.TaskBody{})
	wantReason(t, "what ran, anew", b.take(start, d, err), "")
}

func TestEditRefusals(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	b.create(r, start, "v")
	before := testContent()
	before.Reference = "PV-2026/w"
	for name, test := range map[string]struct {
		change func(*warrant.Content)
		want   reason.Reason
	}{
		"nothing":                          {func(*warrant.Content) {}, reason.InvalidRequest},
		"a taken reference":                {func(c *warrant.Content) { c.Reference = "PV-2026/v" }, reason.DuplicateWarrant},
		"a later end":                      {func(c *warrant.Content) { c.ValidUntil = "2026-11-27T09:00:01+01:00" }, reason.WarrantIncomplete},
		"an end in the past":               {func(c *warrant.Content) { c.ValidUntil = "2026-11-20T09:59:59+01:00" }, reason.WarrantExpired},
		"a prefix":                         {func(c *warrant.Content) { c.Targets = []string{"192.0.2.0/24"} }, reason.TargetNotSpecific},
		"another category":                 {func(c *warrant.Content) { c.Categories = []warrant.Category{warrant.Volume} }, reason.CategoryExceedsBasis},
		"a private letter":                 {func(c *warrant.Content) { c.LegalBasis = "PRIVATE-LETTER" }, reason.NoLegalCompulsion},
		"two things missing":               {func(c *warrant.Content) { c.RequestedBy, c.DocumentSHA256 = "", "" }, reason.WarrantIncomplete},
		"oral, on a basis that takes none": {func(c *warrant.Content) { c.Emergency = true }, reason.WarrantIncomplete},
	} {
		c := before
		test.change(&c)
		wantReason(t, name, b.edit(r, start, officer, "w", before, c), test.want)
	}
	w, _ := b.state.Warrant("w")
	c := before
	c.RequestedBy = "K. Jansen"
	wantReason(t, "after the end", b.edit(r, w.ValidUntil, officer, "w", before, c), reason.WarrantTerminal)
	// The reference that an edit gave up is free, and the one that it took is not.
	c.Reference = "PV-2026/x"
	wantReason(t, "another reference", b.edit(r, start, officer, "w", before, c), "")
	b.made(r, start, "u", before)
	again := c
	again.RequestedBy = "L. Smit"
	_, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "z", Salt: "s", Content: again})
	wantReason(t, "the reference that was taken", err, reason.DuplicateWarrant)
}

func TestExtend(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	before := testContent()
	before.Reference = "PV-2026/w"
	old, _ := b.state.Warrant("w")
	extend := func(at time.Time, until, document string) *reason.Error {
		w, _ := b.state.Warrant("w")
		d, err := r.Extend(b.state, at, officer, warrant.ExtendRequest{WarrantID: "w", Generation: w.Generation, Salt: "salt", ValidUntil: until,
			DocumentSHA256: document, Before: before, Open: []warrant.OpenTask{b.openTask("t", "192.0.2.17")}})
		return b.take(at, d, err)
	}
	at := start.Add(6 * 24 * time.Hour)
	wantReason(t, "the same end", extend(at, before.ValidUntil, hash), reason.WarrantIncomplete)
	wantReason(t, "an earlier end", extend(at, "2026-11-27T08:59:59+01:00", hash), reason.WarrantIncomplete)
	wantReason(t, "the same document", extend(at, "2026-12-27T09:00:00+01:00", before.DocumentSHA256), reason.WarrantIncomplete)
	wantReason(t, "no document", extend(at, "2026-12-27T09:00:00+01:00", ""), reason.WarrantIncomplete)
	wantReason(t, "no offset", extend(at, "2026-12-27T09:00:00", hash), reason.TimeZoneMissing)
	wantReason(t, "longer than the basis allows", extend(at, "2027-02-28T09:00:00+01:00", hash), reason.WarrantIncomplete)
	wantReason(t, "after the end", extend(old.ValidUntil, "2026-12-27T09:00:00+01:00", hash), reason.WarrantTerminal)
	wantReason(t, "extension", extend(at, "2026-12-27T09:00:00+01:00", hash), "")
	w, _ := b.state.Warrant("w")
	if w.Generation != 2 || w.State(at) != warrant.AwaitingApproval || !w.ServedAt.Equal(at) || !w.ActBy.Equal(at.Add(240*time.Hour)) || !w.PeriodFrom.Equal(old.ValidUntil) {
		t.Errorf("after the extension: %+v", w)
	}
	b.approve(r, at, officer, "w")
	b.approve(r, at, approver, "w")
	d, err := r.Begin(b.state, at, officer, "t", 2, warrant.TaskBody{})
	wantReason(t, "its task goes on", b.take(at, d, err), "")
	for _, end := range []func(*warrant.State, time.Time, warrant.Caller, warrant.EndRequest) (ledger.Draft, *reason.Error){r.Cancel} {
		d, err := end(b.state, at, officer, warrant.EndRequest{WarrantID: "w", Generation: 2})
		wantReason(t, "end", b.take(at, d, err), "")
	}
	wantReason(t, "extending what ended", extend(at, "2027-01-27T09:00:00+01:00", strings.Repeat("e", 64)), reason.WarrantTerminal)
}

func TestSuspension(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "released")
	b.task(r, start, "w", "runs")
	wantReason(t, "run", b.run(r, start, "released", reason.Match), "")
	d, _ := r.Begin(b.state, start, officer, "runs", 1, warrant.TaskBody{})
	b.append(start, d)
	q := warrant.SuspendRequest{WarrantID: "w", Generation: 1, Explanation: "is it his?"}
	d, err := r.Suspend(b.state, start, approver, q)
	wantReason(t, "suspend", b.take(start, d, err), "")
	_, err = r.Suspend(b.state, start, approver, q)
	wantReason(t, "suspend again", err, reason.WarrantSuspended)
	w, _ := b.state.Warrant("w")
	if w.State(start) != warrant.Suspended || !w.EffectiveUntil(24*time.Hour).Equal(start) {
		t.Errorf("%s, effective until %v", w.State(start), w.EffectiveUntil(24*time.Hour))
	}
	_, err = r.Result(b.state, start, officer, "runs", 1, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: sealed})
	wantReason(t, "result", err, reason.WarrantSuspended)
	_, err = r.Fetch(b.state, start, officer, "released")
	wantReason(t, "fetch", err, reason.WarrantSuspended)
	back := warrant.ResumeRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256}
	d, err = r.Resume(b.state, start, officer, back)
	wantReason(t, "one of two", b.take(start, d, err), "")
	if got := b.state1("w", start); got != warrant.Suspended {
		t.Errorf("one person resumed it: %s", got)
	}
	d, err = r.Resume(b.state, start, approver, back)
	wantReason(t, "resume", b.take(start, d, err), "")
	_, err = r.Resume(b.state, start, officer, back)
	wantReason(t, "resume again", err, reason.WarrantTerminal)
	wantReason(t, "the query goes on", r.StillExecutable(b.state, start, "runs", 1), "")
}

// Cancelled by the authority and revoked by us are told apart, for ever.
func TestCancel(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	q := warrant.EndRequest{WarrantID: "w", Generation: 1, Explanation: "by telephone"}
	_, err := r.Cancel(b.state, start, outside, q)
	wantReason(t, "by a lawyer from outside", err, reason.PermissionDenied)
	q.DocumentSHA256 = "no hash"
	_, err = r.Cancel(b.state, start, officer, q)
	wantReason(t, "by a malformed letter", err, reason.InvalidRequest)
	q.DocumentSHA256 = hash
	d, err := r.Cancel(b.state, start, officer, q)
	wantReason(t, "cancel", b.take(start, d, err), "")
	if got := b.state1("w", start.Add(1000*time.Hour)); got != warrant.Cancelled {
		t.Errorf("state %s", got)
	}
	for _, act := range []func(*warrant.State, time.Time, warrant.Caller, warrant.EndRequest) (ledger.Draft, *reason.Error){r.Cancel, r.Revoke, r.Reject} {
		_, err := act(b.state, start, officer, q)
		wantReason(t, "what ended", err, reason.WarrantTerminal)
	}
	// The reference stays taken: the order was one.
	c := testContent()
	c.Reference = "PV-2026/w"
	_, err = r.Create(b.state, start, officer, warrant.CreateRequest{ID: "v", Salt: "s", Content: c})
	wantReason(t, "the same order again", err, reason.DuplicateWarrant)
}

func TestThirdApprover(t *testing.T) {
	b, r := newBook(t), testRules(t)
	c := testContent()
	for i := range 8 {
		c.Targets = append(c.Targets, "198.51.100."+string(rune('0'+i)))
	}
	b.made(r, start, "ten", c)
	wantReason(t, "a privacy controller where two suffice", b.approve(r, start, controller, "ten"), reason.PermissionDenied)
	c.Targets = append(c.Targets, "198.51.100.8")
	c.Reference += "-11"
	b.made(r, start, "eleven", c)
	for _, by := range []warrant.Caller{officer, approver} {
		wantReason(t, by.Actor, b.approve(r, start, by, "eleven"), "")
	}
	if got := b.state1("eleven", start); got != warrant.AwaitingApproval {
		t.Errorf("with two of three: %s", got)
	}
	three := warrant.Caller{Actor: officer.Actor, Roles: []warrant.Role{warrant.LegalOfficer, warrant.PrivacyController}}
	wantReason(t, "the officer in a third role", b.approve(r, start, three, "eleven"), reason.SelfApproval)
	wantReason(t, "the controller", b.approve(r, start, controller, "eleven"), "")
	if got := b.state1("eleven", start); got != warrant.Approved {
		t.Errorf("with three of three: %s", got)
	}
	c.Targets = slices.Repeat([]string{"192.0.2.1"}, warrant.MaxTargets+1)
	_, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "many", Salt: "s", Content: c})
	wantReason(t, "more than anybody may approve", err, reason.TargetNotSpecific)
}

// A provider with one lawyer borrows the second pair of eyes.
func TestExternalApprover(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	b.approve(r, start, officer, "w")
	wantReason(t, "outside", b.approve(r, start, outside, "w"), "")
	w, _ := b.state.Warrant("w")
	if w.State(start) != warrant.Approved || w.Approvals[1].Role != warrant.ExternalApprover {
		t.Errorf("%s by %+v", w.State(start), w.Approvals)
	}
	wantReason(t, "inside after outside", b.approve(r, start, approver, "w"), reason.WarrantTerminal)
	b.create(r, start, "v")
	b.approve(r, start, approver, "v")
	wantReason(t, "outside beside inside", b.approve(r, start, outside, "v"), reason.SelfApproval)
}

// TestAnsweredStaysWhose: what a person is told later of an answer, to whom it went and by
// what article, is not edited once it has left.
func TestAnsweredStaysWhose(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	before := testContent()
	before.Reference = "PV-2026/w"
	other, basis := before, before
	other.Authority, basis.LegalBasis = "NL-OM-Rotterdam", "NL-126na-2"
	wantReason(t, "another authority before an answer", b.edit(r, start, officer, "w", before, other, b.openTask("t", "192.0.2.17")), "")
	wantReason(t, "and back", b.edit(r, start, officer, "w", other, before, b.openTask("t", "192.0.2.17")), "")

	b, r = released(t)
	wantReason(t, "another authority", b.edit(r, start, officer, "w", before, other), reason.WarrantIncomplete)
	wantReason(t, "another article", b.edit(r, start, officer, "w", before, basis), reason.WarrantIncomplete)
	name := before
	name.RequestedBy = "J. de Vries-Bakker"
	wantReason(t, "another name", b.edit(r, start, officer, "w", before, name), "")
}

// A preview says what will be, and does nothing.
func TestPreview(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	b.task(r, start, "w", "u")
	b.run(r, start, "u", reason.Match)
	before := testContent()
	before.Reference = "PV-2026/w"
	c := before
	c.Targets = []string{"2001:db8::17"}
	old := b.state.Warrants()
	d, err := r.Edit(b.state, start, officer, warrant.EditRequest{WarrantID: "w", Generation: 1, Salt: "s", Content: c, Before: before, Open: []warrant.OpenTask{b.openTask("t", "192.0.2.17")}})
	wantReason(t, "edit", err, "")
	p, bad := r.Preview(b.state, start, d)
	if bad != nil {
		t.Fatal(bad)
	}
	text := strings.Join(p.Effects, "\n")
	for _, want := range []string{"state: APPROVED becomes AWAITING_APPROVAL", "generation: 1 becomes 2", "approvals: 2 become void", "the call-back to the authority becomes void",
		"still to approve: legal_officer, legal_approver", "1 open task never runs"} {
		if !strings.Contains(text, want) {
			t.Errorf("effects lack %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "192.0.2") || strings.Contains(text, "2001:db8") || !reflect.DeepEqual(old, b.state.Warrants()) {
		t.Errorf("a preview names a target, or changes something:\n%s", text)
	}
	d, _ = r.Cancel(b.state, start, officer, warrant.EndRequest{WarrantID: "w", Generation: 1})
	if p, bad = r.Preview(b.state, start, d); bad != nil || !slices.Contains(p.Effects, "1 package is destroyed") {
		t.Errorf("cancelling: %q, %v", p.Effects, bad)
	}
	c.Reference = "PV-2026/new"
	d, _ = r.Create(b.state, start, officer, warrant.CreateRequest{ID: "n", Salt: "s", Content: c})
	if p, bad = r.Preview(b.state, start, d); bad != nil || !strings.Contains(strings.Join(p.Effects, "\n"), "act by: 2026-11-30T09:00:00Z (ROUTINE)") {
		t.Errorf("making: %q, %v", p.Effects, bad)
	}
}

// Every field of a question comes along when a task is judged anew, so that none is
// lost when the next one is added.
func TestQuestionIsWhole(t *testing.T) {
	b, r := newBook(t), testRules(t)
	b.create(r, start, "w")
	body := reflect.TypeFor[warrant.TaskBody]()
	request := reflect.TypeFor[warrant.TaskRequest]()
	for i := range body.NumField() {
		if _, ok := request.FieldByName(body.Field(i).Name); !ok {
			t.Errorf("a task has %s, which nobody can ask for again", body.Field(i).Name)
		}
	}
	if n := body.NumField(); n != 10 {
		t.Errorf("a task's body has %d fields: see OpenTask's request, and set this number", n)
	}
}

// FuzzApply folds anything: what it cannot read is an error, and nothing panics.
func FuzzApply(f *testing.F) {
	b, r := newBook(f), testRules(f)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	before := testContent()
	before.Reference = "PV-2026/w"
	c := before
	c.RequestedBy = "K. Jansen"
	b.edit(r, start, officer, "w", before, c, b.openTask("t", "192.0.2.17"))
	b.made(r, start, "o", oralContent())
	for _, e := range b.entries {
		f.Add(e.Header.Kind, e.Header.WarrantID, e.Header.Generation, []byte(e.Header.Facts))
	}
	for _, kind := range []string{warrant.KindExtend, warrant.KindPaper, warrant.KindClearNotice, warrant.KindSuspend, warrant.KindResume, warrant.KindCancel, warrant.KindLapse, warrant.KindRefuse} {
		f.Add(kind, "w", uint64(2), []byte(`{"revision":6}`))
	}
	f.Fuzz(func(t *testing.T, kind, id string, generation uint64, facts []byte) {
		s := warrant.NewState()
		for _, e := range b.entries {
			if err := s.Apply(e); err != nil {
				t.Fatal(err)
			}
		}
		s.Apply(ledger.Entry{Index: 99, Header: ledger.Header{Kind: kind, WarrantID: id, TaskID: "t", Generation: generation, At: start.Add(time.Hour), Actor: "x", Facts: json.RawMessage(facts)}})
		for _, w := range s.Warrants() {
			state := w.State(start.Add(2 * time.Hour))
			if !slices.Contains(warrant.WarrantStates, state) {
				t.Errorf("state %q", state)
			}
			if state == warrant.Approved && len(w.Approvals) < len(w.Seats()) {
				t.Errorf("approved by %d of %d", len(w.Approvals), len(w.Seats()))
			}
			w.Running(start)
			w.EffectiveUntil(time.Hour)
		}
	})
}
