package warrant_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

func oralContent() warrant.Content {
	c := testContent()
	c.LegalBasis, c.Categories, c.Emergency, c.DocumentSHA256 = "NL-126ni", []warrant.Category{warrant.Preservation}, true, ""
	return c
}

func TestEmergency(t *testing.T) {
	b, r := newBook(t), testRules(t)
	w := b.made(r, start, "w", oralContent())
	if !w.PaperBy.Equal(start.Add(72 * time.Hour)) {
		t.Errorf("paper by %v", w.PaperBy)
	}
	wantReason(t, "approver before the paper", b.approve(r, start, approver, "w"), reason.WarrantIncomplete)
	wantReason(t, "officer", b.approve(r, start, officer, "w"), "")
	if got := b.state1("w", start); got != warrant.EmergencyApproval {
		t.Fatalf("state %s", got)
	}
	d, err := r.CreateTask(b.state, start, officer, warrant.TaskRequest{ID: "t", WarrantID: "w", Generation: 1, Category: warrant.Preservation,
		Target: "192.0.2.17", Instant: "2026-11-19T12:00:00+01:00"}, oralContent())
	wantReason(t, "task", b.take(start, d, err), "")
	wantReason(t, "runs under one approval", b.run(r, start, "t", reason.Preserved), "")
	// Nobody comes with a paper: it stops by itself, at the very instant.
	late := start.Add(72 * time.Hour)
	if got := b.state1("w", late.Add(-1)); got != warrant.EmergencyApproval {
		t.Errorf("a nanosecond before: %s", got)
	}
	if got := b.state1("w", late); got != warrant.Suspended {
		t.Errorf("after three days: %s", got)
	}
	_, err = r.Resume(b.state, late, officer, warrant.ResumeRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256})
	wantReason(t, "a person cannot resume it", err, reason.WarrantSuspended)
	p := warrant.PaperRequest{WarrantID: "w", Generation: 1, DocumentSHA256: "?"}
	_, err = r.Paper(b.state, late, officer, p)
	wantReason(t, "no paper", err, reason.InvalidRequest)
	p.DocumentSHA256 = hash
	d, err = r.Paper(b.state, late, officer, p)
	wantReason(t, "paper", b.take(late, d, err), "")
	if got := b.state1("w", late); got != warrant.Suspended {
		t.Errorf("with the paper alone: %s", got)
	}
	b.approve(r, late, officer, "w") // the first approval is three days old
	wantReason(t, "second approval", b.approve(r, late, approver, "w"), "")
	if got := b.state1("w", late); got != warrant.Approved {
		t.Errorf("with paper and both approvals: %s", got)
	}
	_, err = r.Paper(b.state, late, officer, p)
	wantReason(t, "paper again", err, reason.WarrantTerminal)

	c := oralContent()
	c.LegalBasis, c.Categories = "NL-126na", []warrant.Category{warrant.Identity}
	_, err = r.Create(b.state, start, officer, warrant.CreateRequest{ID: "v", Salt: "s", Content: c})
	wantReason(t, "oral on a basis that takes none", err, reason.WarrantIncomplete)
}

// A half that was decided before, and entered late, is worth no more than at its time;
// and the fold takes no second half that is the first person's, or in the first role.
func TestLateConsent(t *testing.T) {
	b, r := newBook(t), testRules(t)
	c := testContent()
	c.EnforcingAuthorityNotified, c.ValidUntil = true, "2026-12-20T09:00:00+01:00"
	w := b.made(r, start, "w", c)
	clear := warrant.ClearNoticeRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256, DocumentSHA256: hash}
	ignored := func(what string, at time.Time, d ledger.Draft) {
		t.Helper()
		before := b.state.Ignored()
		if b.append(at, d); b.state.Ignored() != before+1 {
			t.Errorf("%s is taken in", what)
		}
	}
	late, err := r.ClearNotice(b.state, start, officer, clear)
	wantReason(t, "half", err, "")
	ignored("a clearance after the notice is over", w.NoticeUntil, late)
	d, err := r.Suspend(b.state, start, officer, warrant.SuspendRequest{WarrantID: "w", Generation: 1})
	wantReason(t, "suspend", b.take(start, d, err), "")
	ignored("a half of what was suspended since", start, late)
	back := warrant.ResumeRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256}
	first, err := r.Resume(b.state, start, officer, back)
	wantReason(t, "half", err, "")
	e := b.append(start, first)
	w, _ = b.state.Warrant("w")
	for what, forged := range map[string]struct {
		actor string
		role  warrant.Role
	}{"the same person's": {officer.Actor, warrant.LegalApprover}, "another's in the same role": {colleague.Actor, warrant.LegalOfficer}} {
		ignored(what, start, ledger.Draft{Kind: warrant.KindResume, Actor: forged.actor, WarrantID: "w", Generation: 1,
			Facts: map[string]any{"revision": w.Revision, "content_sha256": w.ContentSHA256, "role": forged.role, "beside": []uint64{e.Index}}})
	}
	if got := b.state1("w", start); got != warrant.Suspended {
		t.Errorf("state %s", got)
	}
}

// What is sealed waits for the enforcing authority; the order is not executed twice.
func TestNotice(t *testing.T) {
	b, r := newBook(t), testRules(t)
	c := testContent()
	c.EnforcingAuthorityNotified, c.ValidUntil = true, "2026-12-20T09:00:00+01:00"
	w := b.made(r, start, "w", c)
	if want := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC); !w.NoticeUntil.Equal(want) || w.ActBy.Before(want) {
		t.Errorf("notice until %v, act by %v; want the end of 30 November in Amsterdam", w.NoticeUntil, w.ActBy)
	}
	b.approve(r, start, officer, "w")
	b.approve(r, start, approver, "w")
	b.task(r, start, "w", "t")
	wantReason(t, "release", b.run(r, start, "t", reason.Match), reason.NoticePending)
	tk, _, _ := b.state.Task("t")
	if tk.Stored() != warrant.TaskSealed {
		t.Fatalf("task is %s", tk.Stored())
	}
	q := warrant.ClearNoticeRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256, DocumentSHA256: hash}
	_, err := r.ClearNotice(b.state, start, controller, q)
	wantReason(t, "cleared by a privacy controller", err, reason.PermissionDenied)
	d, err := r.ClearNotice(b.state, start, officer, q)
	wantReason(t, "one of two", b.take(start, d, err), "")
	_, err = r.Release(b.state, start, officer, "t", 1, tk.Attempt)
	wantReason(t, "release with one of two", err, reason.NoticePending)
	other := q
	other.DocumentSHA256 = strings.Repeat("d", 64)
	d, err = r.ClearNotice(b.state, start, approver, other)
	wantReason(t, "the second, by another message", b.take(start, d, err), "")
	if w, _ := b.state.Warrant("w"); len(w.Consents) != 1 || w.Consents[0].Actor != approver.Actor {
		t.Errorf("by two messages: %+v", w.Consents)
	}
	_, err = r.Release(b.state, start, officer, "t", 1, tk.Attempt)
	wantReason(t, "release by two messages", err, reason.NoticePending)
	d, err = r.ClearNotice(b.state, start, officer, other)
	wantReason(t, "the second, by that message", b.take(start, d, err), "")
	_, err = r.ClearNotice(b.state, start, officer, q)
	wantReason(t, "clear again", err, reason.WarrantTerminal)
	d, err = r.Release(b.state, start, officer, "t", 1, tk.Attempt)
	wantReason(t, "release once cleared", b.take(start, d, err), "")

	// In an emergency case the notification suspends nothing (Regulation (EU) 2023/1543
	// art. 8(4)); else the eight hours of art. 10(4) would not be kept.
	c.Authority, c.LegalBasis, c.Categories, c.Priority, c.Reference = "DE-AG", "EPOC-TRAFFIC", []warrant.Category{warrant.Attribution}, warrant.EightHours, "EPOC-8"
	w = b.made(r, start, "e", c)
	if !w.NoticeUntil.IsZero() || !w.ActBy.Equal(start.Add(8*time.Hour)) {
		t.Errorf("an emergency case waits until %v, act by %v", w.NoticeUntil, w.ActBy)
	}
	c.Priority, c.Reference = warrant.TenDaysSubjectToEA, "EPOC-10"
	if w = b.made(r, start, "n", c); w.NoticeUntil.IsZero() || w.ActBy.Before(w.NoticeUntil) {
		t.Errorf("notice until %v, act by %v", w.NoticeUntil, w.ActBy)
	}
	c.Priority, c.Reference = warrant.Routine, "EPOC-0"
	_, err = r.Create(b.state, start, officer, warrant.CreateRequest{ID: "x", Salt: "s", Content: c})
	wantReason(t, "a priority that the basis does not know", err, reason.WarrantIncomplete)
}

func TestAlarms(t *testing.T) {
	b, r := newBook(t), testRules(t)
	w := b.approvedWarrant(r, "w")
	total := w.ActBy.Sub(w.ServedAt)
	for percent, alarm := range map[int]int{0: 0, 49: 0, 50: 50, 79: 50, 80: 80, 99: 80} {
		now := w.ServedAt.Add(total / 100 * time.Duration(percent))
		running := w.Running(now)
		if w.State(now).Terminal() {
			continue
		}
		if len(running) != 1 || running[0].Clock != warrant.ActByClock || running[0].Percent != percent || running[0].Alarm != alarm {
			t.Errorf("at %d %%: %+v, want alarm %d", percent, running, alarm)
		}
	}
	// Two ends: it is overdue long before it lapses, and lapses all the same.
	w.ValidUntil = w.ActBy.Add(24 * time.Hour)
	if got := w.Running(w.ActBy); len(got) != 1 || got[0].Alarm != 100 || w.State(w.ActBy) != warrant.Approved {
		t.Errorf("when it is to be answered: %+v, %s", got, w.State(w.ActBy))
	}
	if got := w.Running(w.ValidUntil); len(got) != 0 || w.State(w.ValidUntil) != warrant.Expired {
		t.Errorf("when it lapses: %+v, %s", got, w.State(w.ValidUntil))
	}
	b.task(r, start, "w", "t1")
	b.task(r, start, "w", "t2")
	b.run(r, start.Add(time.Hour), "t1", reason.Match)
	if w, _ = b.state.Warrant("w"); !w.ActedAt.IsZero() || len(w.Running(start)) != 1 {
		t.Errorf("with a task open: acted %v", w.ActedAt)
	}
	b.run(r, start.Add(2*time.Hour), "t2", reason.NoMatch)
	if w, _ = b.state.Warrant("w"); !w.ActedAt.Equal(start.Add(2*time.Hour)) || len(w.Running(start)) != 0 {
		t.Errorf("with every task answered: acted %v, %+v", w.ActedAt, w.Running(start))
	}
}

func (b *book) approvedWarrant(r *warrant.Rules, id string) warrant.Warrant {
	b.approved(r, start, id)
	w, _ := b.state.Warrant(id)
	return w
}

// What passes by itself is told to the ledger once, and what is told changes nothing.
func TestLapseIsNotedOnce(t *testing.T) {
	b, r := newBook(t), testRules(t)
	w := b.made(r, start, "w", oralContent())
	service := warrant.Caller{Actor: "griffierd", Roles: []warrant.Role{warrant.Executor}}
	for _, at := range []time.Time{w.PaperBy, w.ValidUntil} {
		_, err := r.NoteLapse(b.state, at.Add(-1), service, "w")
		wantReason(t, "before", err, reason.WarrantTerminal)
		d, err := r.NoteLapse(b.state, at, service, "w")
		wantReason(t, "at", b.take(at, d, err), "")
		before := b.state.Warrants()
		_, err = r.NoteLapse(b.state, at.Add(time.Hour), service, "w")
		wantReason(t, "again", err, reason.WarrantTerminal)
		if !reflect.DeepEqual(before, b.state.Warrants()) {
			t.Error("a lapse that was refused changed something")
		}
	}
}

// Where the order itself is wanted, nobody approves before it is in the dossier: the
// one that the content names, and of an oral order the paper.
func TestDocumentFirst(t *testing.T) {
	b, r := newBook(t), testRules(t)
	r.RequireDocument = true
	put := func(id, sha string) {
		t.Helper()
		d, err := r.StoreDocument(b.state, start, officer, warrant.StoreDocumentRequest{ID: strings.Repeat(sha[:1], 31) + id, WarrantID: map[string]string{"1": "w", "2": "w", "3": "o"}[id],
			SHA256: sha, Type: warrant.PDF, Bytes: 1, FileSHA256: hash, Scan: warrant.ScanClean})
		wantReason(t, "store "+id, b.take(start, d, err), "")
	}
	b.create(r, start, "w")
	wantReason(t, "without it", b.approve(r, start, officer, "w"), reason.WarrantIncomplete)
	put("1", strings.Repeat("a", 64))
	wantReason(t, "with another", b.approve(r, start, officer, "w"), reason.WarrantIncomplete)
	put("2", testContent().DocumentSHA256)
	wantReason(t, "with it", b.approve(r, start, officer, "w"), "")
	before := testContent()
	before.Reference = "PV-2026/w"
	c := before
	c.DocumentSHA256 = strings.Repeat("b", 64)
	wantReason(t, "edit", b.edit(r, start, officer, "w", before, c), "")
	wantReason(t, "with the one from before", b.approve(r, start, officer, "w"), reason.WarrantIncomplete)

	b.made(r, start, "o", oralContent())
	wantReason(t, "an oral order", b.approve(r, start, officer, "o"), "")
	d, err := r.Paper(b.state, start, officer, warrant.PaperRequest{WarrantID: "o", Generation: 1, DocumentSHA256: hash})
	wantReason(t, "paper", b.take(start, d, err), "")
	wantReason(t, "before the paper is in the dossier", b.approve(r, start, approver, "o"), reason.WarrantIncomplete)
	put("3", hash)
	wantReason(t, "once it is", b.approve(r, start, approver, "o"), "")
	if got := b.state1("o", start); got != warrant.Approved {
		t.Errorf("state %s", got)
	}
}

// FuzzContent judges contents of any text: whatever is taken has one canonical form,
// and terms that fit together.
func FuzzContent(f *testing.F) {
	r := testRules(f)
	add := func(c warrant.Content) {
		f.Add(c.LegalBasis, c.Reference, c.ValidUntil, c.DocumentSHA256, c.Targets[0], string(c.Categories[0]), string(c.Priority), c.Emergency, c.EnforcingAuthorityNotified)
	}
	add(testContent())
	add(oralContent())
	c := testContent()
	c.Priority, c.EnforcingAuthorityNotified, c.ValidUntil = warrant.High, true, "2026-12-20T09:00:00.5Z"
	add(c)
	c.Priority, c.Targets = "SOON", []string{"line:L-1001"}
	add(c)
	f.Fuzz(func(t *testing.T, basis, reference, until, document, target, category, priority string, emergency, notified bool) {
		c := testContent()
		c.LegalBasis, c.Reference, c.ValidUntil, c.DocumentSHA256 = basis, reference, until, document
		c.Targets, c.Categories, c.Priority = []string{target}, []warrant.Category{warrant.Category(category)}, warrant.Priority(priority)
		c.Emergency, c.EnforcingAuthorityNotified = emergency, notified
		b := newBook(t)
		d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
		if err != nil {
			return
		}
		b.append(start, d)
		w, _ := b.state.Warrant("w")
		var again warrant.Content
		if err := json.Unmarshal(c.Canonical(), &again); err != nil || string(again.Canonical()) != string(c.Canonical()) || again.Hash("s") != w.ContentSHA256 {
			t.Errorf("canonical form %s, then %s, %v", c.Canonical(), again.Canonical(), err)
		}
		switch {
		case w.State(start) != warrant.AwaitingApproval || !w.ValidUntil.After(start):
			t.Errorf("made as %s until %v", w.State(start), w.ValidUntil)
		case emergency != w.PaperBy.After(start) || document == "" && !emergency:
			t.Errorf("emergency %v, document %q, paper by %v", emergency, document, w.PaperBy)
		case notified && w.Priority != warrant.EightHours && (!w.NoticeUntil.After(start.AddDate(0, 0, 10)) || w.ActBy.Before(w.NoticeUntil)):
			t.Errorf("notice until %v, act by %v", w.NoticeUntil, w.ActBy)
		}
	})
}
