package warrant_test

import (
	"strings"
	"testing"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
)

// Nobody approves before the authority was called back on its number in the
// registry, and a denial makes approvals void.
func TestCallBack(t *testing.T) {
	b, r := newBook(t), testRules(t)
	d, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "w", Salt: "salt", Content: testContent()})
	wantReason(t, "create", err, "")
	b.append(start, d)
	w, _ := b.state.Warrant("w")
	if w.Authority != testContent().Authority || len(w.ProfileSHA256) != 64 || w.Profile != "nl" || len(w.Recipient) != 64 {
		t.Errorf("the first entry says %+v", w)
	}
	wantReason(t, "approve before", b.approve(r, start, officer, "w"), reason.WarrantIncomplete)
	good := warrant.VerifyRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256, Number: "+31 (20) 123-4567", Outcome: warrant.CallBackConfirmed, SpokeWith: "the desk"}
	for _, test := range []struct {
		name   string
		by     warrant.Caller
		change func(*warrant.VerifyRequest)
		want   reason.Reason
	}{
		{"a stranger", stranger, func(*warrant.VerifyRequest) {}, reason.PermissionDenied},
		{"unknown", officer, func(q *warrant.VerifyRequest) { q.WarrantID = "x" }, reason.NotFound},
		{"another generation", officer, func(q *warrant.VerifyRequest) { q.Generation = 2 }, reason.GenerationMismatch},
		{"another content", officer, func(q *warrant.VerifyRequest) { q.ContentSHA256 = "" }, reason.GenerationMismatch},
		{"the number of the letter", officer, func(q *warrant.VerifyRequest) { q.Number = "+31207654321" }, reason.InvalidRequest},
		{"no number", officer, func(q *warrant.VerifyRequest) { q.Number = "" }, reason.InvalidRequest},
		{"no outcome", officer, func(q *warrant.VerifyRequest) { q.Outcome = "" }, reason.InvalidRequest},
		{"with nobody", officer, func(q *warrant.VerifyRequest) { q.SpokeWith = "" }, reason.InvalidRequest},
		{"a book for a note", officer, func(q *warrant.VerifyRequest) { q.Note = strings.Repeat("a", 2001) }, reason.InvalidRequest},
		{"as it should be", approver, func(*warrant.VerifyRequest) {}, ""},
	} {
		q := good
		test.change(&q)
		_, err := r.Verify(b.state, start, test.by, q)
		wantReason(t, test.name, err, test.want)
		if err != nil && strings.Contains(err.Error(), "20123") {
			t.Errorf("%s: the refusal tells the number", test.name)
		}
	}
	verify := func(outcome warrant.CallBack) {
		t.Helper()
		q := good
		q.Outcome = outcome
		d, err := r.Verify(b.state, start, officer, q)
		wantReason(t, string(outcome), err, "")
		b.append(start, d)
	}
	verify(warrant.CallBackNoAnswer)
	wantReason(t, "approve after no answer", b.approve(r, start, officer, "w"), reason.WarrantIncomplete)
	verify(warrant.CallBackConfirmed)
	if w, _ := b.state.Warrant("w"); !w.Verified || w.VerifiedIndex != 2 || w.VerifiedBy != officer.Actor || !w.VerifiedAt.Equal(start) {
		t.Errorf("verified %+v", w)
	}
	wantReason(t, "approve", b.approve(r, start, officer, "w"), "")
	verify(warrant.CallBackDenied)
	if w, _ := b.state.Warrant("w"); w.Verified || len(w.Approvals) != 0 {
		t.Errorf("after a denial: %+v", w)
	}
	wantReason(t, "approve after a denial", b.approve(r, start, approver, "w"), reason.WarrantIncomplete)
}

func TestKeepsCallBack(t *testing.T) {
	before := testContent()
	for name, test := range map[string]struct {
		change func(*warrant.Content)
		want   bool
	}{
		"nothing":            {func(*warrant.Content) {}, true},
		"a later end":        {func(c *warrant.Content) { c.ValidUntil = "2026-11-28T09:00:00+01:00" }, true},
		"targets reordered":  {func(c *warrant.Content) { c.Targets = []string{"2001:DB8::17", "192.0.2.17"} }, true},
		"another target":     {func(c *warrant.Content) { c.Targets = []string{"192.0.2.18"} }, false},
		"another authority":  {func(c *warrant.Content) { c.Authority = "NL-OM" }, false},
		"another reference":  {func(c *warrant.Content) { c.Reference = "PV-2026/0043" }, false},
		"another recipient":  {func(c *warrant.Content) { c.Recipient = "sha256:" + strings.Repeat("a", 64) }, false},
		"another legal base": {func(c *warrant.Content) { c.LegalBasis = "NL-126na-2" }, false},
	} {
		after := testContent()
		test.change(&after)
		if got := after.KeepsCallBack(before); got != test.want {
			t.Errorf("%s: keeps the call-back %v, want %v", name, got, test.want)
		}
	}
}

// What the registry takes away while a case runs stops it at the next step.
func TestRegistryChangesMidCase(t *testing.T) {
	everyone := warranttest.Registry(testContent().Recipient)
	for name, test := range map[string]struct {
		change func(*warrant.AuthorityView)
		want   reason.Reason
	}{
		"nothing":      {func(*warrant.AuthorityView) {}, ""},
		"key swapped":  {func(a *warrant.AuthorityView) { a.Keys = []string{strings.Repeat("e", 64)} }, reason.AuthorityNotEntitled},
		"retired":      {func(a *warrant.AuthorityView) { a.Retired = true }, reason.AuthorityNotEntitled},
		"another land": {func(a *warrant.AuthorityView) { a.Country = "US" }, reason.NoLegalCompulsion},
		"neighbours":   {func(a *warrant.AuthorityView) { a.Country = "BE" }, reason.AuthorityNotEntitled},
		"office lost":  {func(a *warrant.AuthorityView) { a.Offices = nil }, reason.AuthorityNotEntitled},
		"basis lost":   {func(a *warrant.AuthorityView) { a.Bases = []string{"NL-126n"} }, reason.AuthorityNotEntitled},
		"category":     {func(a *warrant.AuthorityView) { a.Categories = []warrant.Category{warrant.Attribution} }, reason.AuthorityNotEntitled},
	} {
		t.Run(name, func(t *testing.T) {
			changed := false
			b, r := newBook(t), testRules(t)
			r.Authorities = func(id string) (warrant.AuthorityView, bool) {
				a, ok := everyone(id)
				if changed {
					test.change(&a)
				}
				return a, ok
			}
			w := b.create(r, start, "w")
			b.task(r, start, "w", "t")
			changed = true
			_, err := r.Create(b.state, start, officer, warrant.CreateRequest{ID: "v", Salt: "s", Content: testContent()})
			wantReason(t, "create", err, test.want)
			_, err = r.Approve(b.state, start, officer, warrant.ApproveRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256})
			wantReason(t, "approve", err, test.want)
			changed = false
			b.approve(r, start, officer, "w")
			b.approve(r, start, approver, "w")
			changed = true
			_, err = r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
			wantReason(t, "intent", err, test.want)
			changed = false
			d, _ := r.Begin(b.state, start, officer, "t", 1, warrant.TaskBody{})
			b.append(start, d)
			d, err = r.Result(b.state, start, officer, "t", 1, 1, warrant.Outcome{Answer: reason.Match, PackageSHA256: strings.Repeat("a", 64)})
			wantReason(t, "result", err, "")
			b.append(start, d)
			changed = true
			_, err = r.Release(b.state, start.Add(time.Second), officer, "t", 1, 1)
			wantReason(t, "release", err, test.want)
			changed = false
			d, _ = r.Release(b.state, start.Add(time.Second), officer, "t", 1, 1)
			b.append(start.Add(time.Second), d)
			changed = true
			_, err = r.Fetch(b.state, start.Add(2*time.Second), officer, "t")
			wantReason(t, "fetch", err, test.want)
		})
	}
	r := testRules(t)
	r.Authorities = nil
	_, err := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: testContent()})
	wantReason(t, "without a registry", err, reason.AuthorityNotEntitled)
	profile := *r.Law()[0]
	profile.OnlyRegistered, r.Law = false, warrant.Always(&profile)
	_, err = r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: testContent()})
	wantReason(t, "without a registry, left to the approvers", err, "")
}
