package warrant_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// released returns a book with a task "t" whose package was released at start.
func released(t testing.TB) (*book, *warrant.Rules) {
	b, r := newBook(t), testRules(t)
	b.approved(r, start, "w")
	b.task(r, start, "w", "t")
	wantReason(t, "run", b.run(r, start, "t", reason.Match), "")
	return b, r
}

// do drafts and appends, and returns why not.
func (b *book) do(at time.Time, d ledger.Draft, err *reason.Error) *reason.Error {
	if err == nil {
		b.append(at, d)
	}
	return err
}

func (b *book) fetchAs(r *warrant.Rules, at time.Time, by warrant.Caller) *reason.Error {
	d, err := r.Fetch(b.state, at, by, "t")
	return b.do(at, d, err)
}

func (b *book) grant(r *warrant.Rules, at time.Time, by warrant.Caller, to warrant.Role) *reason.Error {
	d, err := r.Grant(b.state, at, by, "t", to)
	return b.do(at, d, err)
}

func TestDownloadIsSingleUse(t *testing.T) {
	b, r := released(t)
	task, _, _ := b.state.Task("t")
	if until, ok := r.DownloadUntil(task, start); !ok || !until.Equal(start.Add(72*time.Hour)) {
		t.Errorf("open until %v, %v", until, ok)
	}
	wantReason(t, "a stranger", b.fetchAs(r, start, stranger), reason.PermissionDenied)
	wantReason(t, "grant beside an open download", b.grant(r, start, officer, warrant.LegalApprover), reason.WarrantTerminal)
	wantReason(t, "first", b.fetchAs(r, start, officer), "")
	wantReason(t, "second", b.fetchAs(r, start, officer), reason.DownloadUsed)
	wantReason(t, "second, by another", b.fetchAs(r, start, approver), reason.DownloadUsed)
	if _, ok := r.DownloadUntil(task, start.Add(72*time.Hour)); ok {
		t.Error("open after it lapsed")
	}

	wantReason(t, "grant by a stranger", b.grant(r, start, stranger, warrant.LegalOfficer), reason.PermissionDenied)
	wantReason(t, "grant to a stranger", b.grant(r, start, approver, warrant.Executor), reason.InvalidRequest)
	wantReason(t, "grant", b.grant(r, start.Add(time.Hour), approver, warrant.LegalOfficer), "")
	wantReason(t, "by another role", b.fetchAs(r, start.Add(time.Hour), approver), reason.DownloadUsed)
	wantReason(t, "a day later", b.fetchAs(r, start.Add(25*time.Hour), officer), "")
	wantReason(t, "the grant is used", b.fetchAs(r, start.Add(25*time.Hour), officer), reason.DownloadUsed)

	// Who has both roles does not grant it to himself.
	wantReason(t, "grant", b.grant(r, start.Add(25*time.Hour), both, warrant.LegalOfficer), "")
	wantReason(t, "the grantor", b.fetchAs(r, start.Add(25*time.Hour), both), reason.DownloadUsed)
	wantReason(t, "an officer", b.fetchAs(r, start.Add(25*time.Hour), officer), "")
}

// TestDeniedIsNotHandedOver: what the authority says that it did not order, it does not
// get, however it was approved; nor does anybody who sent the order in its name.
func TestDeniedIsNotHandedOver(t *testing.T) {
	b, r := released(t)
	say := func(outcome warrant.CallBack) {
		w, _ := b.state.Warrant("w")
		d, err := r.Verify(b.state, start, approver, warrant.VerifyRequest{WarrantID: "w", Generation: w.Generation, ContentSHA256: w.ContentSHA256,
			Number: "+31201234567", Outcome: outcome, SpokeWith: "the desk"})
		wantReason(t, string(outcome), b.do(start, d, err), "")
	}
	say(warrant.CallBackDenied)
	wantReason(t, "fetch", b.fetchAs(r, start, officer), reason.WarrantIncomplete)
	say(warrant.CallBackNoAnswer)
	wantReason(t, "fetch when nobody answers", b.fetchAs(r, start, officer), reason.WarrantIncomplete)
	say(warrant.CallBackConfirmed)
	wantReason(t, "fetch when it was a mistake", b.fetchAs(r, start, officer), "")
	say(warrant.CallBackDenied)
	wantReason(t, "grant", b.grant(r, start, approver, warrant.LegalOfficer), reason.WarrantIncomplete)
}

func TestDownloadLapses(t *testing.T) {
	b, r := released(t)
	wantReason(t, "the last moment", func() *reason.Error { _, err := r.Fetch(b.state, start.Add(72*time.Hour-1), officer, "t"); return err }(), "")
	wantReason(t, "lapsed", b.fetchAs(r, start.Add(72*time.Hour), officer), reason.DownloadUsed)
	wantReason(t, "grant", b.grant(r, start.Add(72*time.Hour), approver, warrant.LegalOfficer), "")
	wantReason(t, "fetched then", b.fetchAs(r, start.Add(73*time.Hour), officer), "")

	b, r = released(t)
	r.DownloadFor = time.Hour
	wantReason(t, "a shorter time", b.fetchAs(r, start.Add(time.Hour), officer), reason.DownloadUsed)
	r.DownloadFor = 1000 * time.Hour
	wantReason(t, "no longer one", b.fetchAs(r, start.Add(72*time.Hour), officer), reason.DownloadUsed)
}

func TestAcknowledge(t *testing.T) {
	b, r := released(t)
	acknowledge := func(at time.Time, by warrant.Caller, reference string) *reason.Error {
		d, err := r.Acknowledge(b.state, by, "t", reference)
		return b.do(at, d, err)
	}
	wantReason(t, "before it was fetched", acknowledge(start, officer, "ONTV-7"), reason.WarrantTerminal)
	wantReason(t, "fetch", b.fetchAs(r, start, officer), "")
	wantReason(t, "without a reference", acknowledge(start, officer, ""), reason.InvalidRequest)
	wantReason(t, "homoglyph", acknowledge(start, officer, "ONTV\u20117"), reason.InvalidRequest)
	wantReason(t, "stranger", acknowledge(start, stranger, "ONTV-7"), reason.PermissionDenied)
	r.AcknowledgedFor = 48 * time.Hour // within the warrant's days, so that they differ
	wantReason(t, "acknowledge", acknowledge(start.Add(time.Hour), approver, "ONTV-7"), "")
	wantReason(t, "twice", acknowledge(start.Add(time.Hour), approver, "ONTV-7"), reason.WarrantTerminal)

	end := start.Add(49 * time.Hour)
	task, _, _ := b.state.Task("t")
	if at, ok := r.DestroyAfter(task); !ok || !at.Equal(end) || r.Doomed(task, end.Add(-1)) || !r.Doomed(task, end) {
		t.Errorf("destroyed after %v, %v", at, ok)
	}
	r.AcknowledgedFor = 0
	if at, _ := r.DestroyAfter(task); !at.Equal(start.Add(time.Hour + 30*24*time.Hour)) {
		t.Errorf("by default after %v", at)
	}
	// The retention policy may end it sooner, never later.
	r.PackageExpires = func(at time.Time) (time.Time, bool) { return at.Add(24 * time.Hour), true }
	if at, _ := r.DestroyAfter(task); !at.Equal(start.Add(24 * time.Hour)) {
		t.Errorf("by policy after %v", at)
	}
	r.PackageExpires = func(at time.Time) (time.Time, bool) { return at.AddDate(5, 0, 0), true }
	if at, _ := r.DestroyAfter(task); !at.Equal(start.Add(time.Hour + 30*24*time.Hour)) {
		t.Errorf("by a longer policy after %v", at)
	}
}

func TestRecallAndCorrect(t *testing.T) {
	b, r := released(t)
	b.task(r, start, "w", "again")
	recall := func(by warrant.Caller, explanation, told string) *reason.Error {
		d, err := r.Recall(b.state, by, warrant.RecallRequest{TaskID: "t", Explanation: explanation, ToldHow: told})
		return b.do(start, d, err)
	}
	correct := func(task, wrong string) *reason.Error {
		d, err := r.Correct(b.state, start, officer, task, wrong)
		return b.do(start, d, err)
	}
	wantReason(t, "correct what is not recalled", correct("again", "t"), reason.WarrantTerminal)
	wantReason(t, "no reason", recall(officer, "", "by telephone"), reason.InvalidRequest)
	wantReason(t, "stranger", recall(stranger, "wrong", ""), reason.PermissionDenied)
	wantReason(t, "fetch", b.fetchAs(r, start, officer), "")
	wantReason(t, "authority not told", recall(officer, "an hour off", ""), reason.InvalidRequest)
	wantReason(t, "recall", recall(officer, "an hour off", "by telephone, 10:00"), "")
	wantReason(t, "twice", recall(approver, "an hour off", "by telephone, 10:00"), reason.PackageRecalled)
	wantReason(t, "fetch a recalled one", b.fetchAs(r, start, officer), reason.PackageRecalled)
	wantReason(t, "grant a recalled one", b.grant(r, start, approver, warrant.LegalOfficer), reason.PackageRecalled)
	task, _, _ := b.state.Task("t")
	if r.Doomed(task, start) {
		t.Error("a package that the authority has is evidence of the mistake, and is kept")
	}

	wantReason(t, "correct itself", correct("t", "t"), reason.WarrantTerminal)
	wantReason(t, "correct by nothing", correct("no such", "t"), reason.NotFound)
	c := testContent()
	c.Authority = "NL-OM-Rotterdam"
	b.made(r, start, "elsewhere", c)
	b.task(r, start, "elsewhere", "theirs")
	wantReason(t, "correct for another authority", correct("theirs", "t"), reason.WarrantTerminal)
	wantReason(t, "correct", correct("again", "t"), "")
	b.task(r, start, "w", "third")
	wantReason(t, "correct twice", correct("third", "t"), reason.WarrantTerminal)
	again, _, _ := b.state.Task("again")
	wrong, _, _ := b.state.Task("t")
	if again.Delivery.Corrects != "t" || again.Delivery.CorrectsSHA256 != wrong.PackageSHA256 || wrong.Delivery.CorrectedBy != "again" {
		t.Errorf("%+v %+v", again.Delivery, wrong.Delivery)
	}
	wantReason(t, "the correction runs", b.run(r, start, "again", reason.NoMatch), "")
	wantReason(t, "and is fetched", func() *reason.Error { d, err := r.Fetch(b.state, start, officer, "again"); return b.do(start, d, err) }(), "")
}

// TestRecallUnfetched: what nobody has seen is destroyed, also after the warrant's end.
func TestRecallUnfetched(t *testing.T) {
	b, r := released(t)
	w, _ := b.state.Warrant("w")
	d, err := r.Recall(b.state, officer, warrant.RecallRequest{TaskID: "t", Explanation: "the wrong line"})
	wantReason(t, "recall", b.do(w.ValidUntil.Add(time.Hour), d, err), "")
	task, _, _ := b.state.Task("t")
	if !r.Doomed(task, start) {
		t.Error("not destroyed")
	}
	d, err = r.Destroy(b.state, start, officer, "t")
	wantReason(t, "destroy", err, "")
	if d.Reason != string(reason.PackageRecalled) {
		t.Errorf("destroyed for %s", d.Reason)
	}
}

// TestDeliveryModel: whatever is done, in whatever order, no download is used twice,
// none is used after it lapsed, and nothing recalled is fetched.
func TestDeliveryModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b, r := released(t)
		now, opened, open, recalled := start, start, true, false
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(rt, "hours")) * time.Hour)
			by := rapid.SampledFrom([]warrant.Caller{officer, approver, both}).Draw(rt, "by")
			switch rapid.IntRange(0, 5).Draw(rt, "do") {
			case 0, 1, 2:
				if b.fetchAs(r, now, by) == nil {
					if !open || recalled || !now.Before(opened.Add(72*time.Hour)) {
						rt.Fatalf("fetched at %v: open %v since %v, recalled %v", now, open, opened, recalled)
					}
					open = false
				}
			case 3, 4:
				if b.grant(r, now, by, rapid.SampledFrom([]warrant.Role{warrant.LegalOfficer, warrant.LegalApprover}).Draw(rt, "to")) == nil {
					if recalled || open && now.Before(opened.Add(72*time.Hour)) {
						rt.Fatalf("granted at %v", now)
					}
					opened, open = now, true
				}
			case 5:
				d, err := r.Recall(b.state, by, warrant.RecallRequest{TaskID: "t", Explanation: "wrong", ToldHow: "told"})
				recalled = b.do(now, d, err) == nil || recalled
			}
		}
	})
}
