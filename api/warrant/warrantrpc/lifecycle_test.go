package warrantrpc_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

var (
	outside    = as("0e11", griffierv1.Role_ROLE_EXTERNAL_APPROVER)
	controller = as("c0c0", griffierv1.Role_ROLE_PRIVACY_CONTROLLER)
	overseer   = as("0e5e", griffierv1.Role_ROLE_OVERSEER)
)

// live is a warrant that was made, and the authority called back.
func (o *office) live(reference string, change func(*griffierv1.WarrantContent)) *griffierv1.Warrant {
	o.t.Helper()
	c := content(o.t, reference)
	if change != nil {
		change(c)
	}
	w, err := o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "create-" + reference, Content: c})
	want(o.t, "create "+reference, err, "")
	return o.called(w, "verify-"+reference)
}

func (o *office) called(w *griffierv1.Warrant, request string) *griffierv1.Warrant {
	o.t.Helper()
	w, err := o.VerifyWarrant(officer, &griffierv1.VerifyWarrantRequest{RequestId: request, WarrantId: w.GetWarrantId(), ExpectedGeneration: w.GetGeneration(),
		ContentSha256: w.GetContentSha256(), Number: "+31201234567", Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"})
	want(o.t, "call-back", err, "")
	return w
}

func (o *office) kinds() (out []string) {
	o.t.Helper()
	entries, err := o.log.Read(o.t.Context(), 0, int(o.log.Size()))
	if err != nil {
		o.t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Header.Kind)
	}
	return out
}

func TestEditIsRead(t *testing.T) {
	o := newOffice(t)
	w := o.live("PV-0001", nil)
	_, err := o.ApproveWarrant(officer, &griffierv1.ApproveWarrantRequest{RequestId: "approve-1", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	want(t, "approve", err, "")
	c := proto.Clone(w.Content).(*griffierv1.WarrantContent)
	c.Targets = []string{"192.0.2.18"}
	req := &griffierv1.EditWarrantRequest{RequestId: "edit-0001", WarrantId: w.WarrantId, ExpectedGeneration: 1, Content: c, ValidateOnly: true}
	p, err := o.EditWarrant(officer, req)
	want(t, "preview", err, "")
	if len(p.Effects) == 0 || p.Content != nil || p.Generation != 2 || len(p.Approvals) != 0 {
		t.Errorf("preview %v", p)
	}
	if got, _ := o.GetWarrant(officer, &griffierv1.GetWarrantRequest{WarrantId: w.WarrantId}); got.GetGeneration() != 1 || len(got.GetApprovals()) != 1 {
		t.Errorf("the preview did something: %v", got)
	}
	if kinds := o.kinds(); kinds[len(kinds)-1] != warrant.KindPreview {
		t.Errorf("the preview left no trace: %v", kinds)
	}
	req.ValidateOnly = false
	e, err := o.EditWarrant(officer, req)
	want(t, "edit", err, "")
	if e.Generation != 2 || !proto.Equal(e.Content, c) || len(e.Approvals) != 0 || e.CallBack != nil || !slices.Equal(e.AwaitingRoles, []string{"legal_officer", "legal_approver"}) {
		t.Errorf("edited %v", e)
	}
	again, err := o.EditWarrant(officer, req)
	want(t, "the same request again", err, "")
	if again.GetGeneration() != 2 {
		t.Errorf("a retry edits again: %d", again.GetGeneration())
	}
	other := proto.Clone(req).(*griffierv1.EditWarrantRequest)
	other.Content.Targets = []string{"192.0.2.19"}
	_, err = o.EditWarrant(officer, other)
	want(t, "its id for another edit", err, reason.InvalidRequest)
	_, err = o.EditWarrant(approver, req)
	want(t, "by an approver", err, reason.PermissionDenied)
	if !slices.Contains(o.ended, w.WarrantId) {
		t.Error("what ran under the old content was not cut off")
	}
	extended, err := o.ExtendWarrant(officer, &griffierv1.ExtendWarrantRequest{RequestId: "extend-01", WarrantId: w.WarrantId, ExpectedGeneration: 2,
		ValidUntil: time.Now().Add(48 * time.Hour).Format(time.RFC3339), DocumentSha256: strings.Repeat("cd", 32)})
	want(t, "extend", err, "")
	if extended.GetGeneration() != 3 || extended.GetContent().GetDocumentSha256() != strings.Repeat("cd", 32) || extended.GetContent().GetTargets()[0] != "192.0.2.18" {
		t.Errorf("extended %v", extended)
	}
}

func TestSuspendResumeCancel(t *testing.T) {
	o := newOffice(t)
	w := o.live("PV-0001", nil)
	s, err := o.SuspendWarrant(approver, &griffierv1.SuspendWarrantRequest{RequestId: "suspend-1", WarrantId: w.WarrantId, ExpectedGeneration: 1, Explanation: "is it his?"})
	want(t, "suspend", err, "")
	if s.GetState() != griffierv1.WarrantState_WARRANT_STATE_SUSPENDED || s.GetStateDetail() == "" || len(o.ended) != 1 {
		t.Errorf("suspended %v; cut off %v", s, o.ended)
	}
	back := &griffierv1.ResumeWarrantRequest{RequestId: "resume-01", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256, ValidateOnly: true}
	r, err := o.ResumeWarrant(officer, back)
	want(t, "preview", err, "")
	if !slices.ContainsFunc(r.GetEffects(), func(s string) bool {
		return strings.HasPrefix(s, "it waits for a second person, as legal_approver, until ")
	}) {
		t.Errorf("half a resumption would: %q", r.GetEffects())
	}
	back.ValidateOnly = false
	for range 2 { // the second time is a retry
		r, err = o.ResumeWarrant(officer, back)
		want(t, "half", err, "")
		if r.GetState() != griffierv1.WarrantState_WARRANT_STATE_SUSPENDED || len(r.GetConsents()) != 1 || r.GetConsents()[0].GetAct() != "RESUME" || r.GetConsents()[0].GetPerson() != "0ff1" {
			t.Errorf("half resumed %v", r)
		}
	}
	for name, refused := range map[string]struct {
		by   context.Context
		hash string
		want reason.Reason
	}{
		"the same person":         {as("0ff1", griffierv1.Role_ROLE_LEGAL_OFFICER, griffierv1.Role_ROLE_LEGAL_APPROVER), w.ContentSha256, reason.SelfApproval},
		"the same role":           {as("0ff2", griffierv1.Role_ROLE_LEGAL_OFFICER), w.ContentSha256, reason.SelfApproval},
		"of what was not seen":    {approver, strings.Repeat("0", 64), reason.GenerationMismatch},
		"by a privacy controller": {controller, w.ContentSha256, reason.NotFound}, // who does not approve it
	} {
		_, err = o.ResumeWarrant(refused.by, &griffierv1.ResumeWarrantRequest{RequestId: "resume-02", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: refused.hash})
		want(t, name, err, refused.want)
	}
	r, err = o.ResumeWarrant(outside, &griffierv1.ResumeWarrantRequest{RequestId: "resume-03", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	want(t, "resume", err, "")
	if r.GetState() != griffierv1.WarrantState_WARRANT_STATE_AWAITING_APPROVAL || len(o.ended) != 1 {
		t.Errorf("resumed %v", r)
	}
	p, err := o.CancelWarrant(officer, &griffierv1.CancelWarrantRequest{RequestId: "cancel-01", WarrantId: w.WarrantId, ExpectedGeneration: 1, ValidateOnly: true})
	want(t, "preview", err, "")
	if !slices.Contains(p.GetEffects(), "state: AWAITING_APPROVAL becomes CANCELLED") || len(o.ended) != 1 {
		t.Errorf("effects %q; cut off %v", p.GetEffects(), o.ended)
	}
	c, err := o.CancelWarrant(officer, &griffierv1.CancelWarrantRequest{RequestId: "cancel-01", WarrantId: w.WarrantId, ExpectedGeneration: 1})
	want(t, "cancel", err, "")
	if c.GetState() != griffierv1.WarrantState_WARRANT_STATE_CANCELLED || c.GetEndedAt() == nil || len(o.ended) != 2 {
		t.Errorf("cancelled %v", c)
	}
	// It stays readable, content and all, for as long as its dossier lasts.
	got, err := o.GetWarrant(overseer, &griffierv1.GetWarrantRequest{WarrantId: w.WarrantId})
	want(t, "read", err, "")
	if got.GetContent().GetTargets()[0] != "192.0.2.17" {
		t.Errorf("read %v", got)
	}
	_, err = o.ExtendWarrant(officer, &griffierv1.ExtendWarrantRequest{RequestId: "extend-01", WarrantId: w.WarrantId, ExpectedGeneration: 1,
		ValidUntil: time.Now().Add(48 * time.Hour).Format(time.RFC3339), DocumentSha256: strings.Repeat("cd", 32)})
	want(t, "extend what was cancelled", err, reason.WarrantTerminal)
}

// To those who only approve, a warrant that they do not approve does not exist.
func TestApproversSeeWhatTheyApprove(t *testing.T) {
	o := newOffice(t)
	few := o.live("PV-FEW", nil)
	many := o.live("PV-MANY", func(c *griffierv1.WarrantContent) {
		for i := range 10 {
			c.Targets = append(c.Targets, "198.51.100."+string(rune('0'+i)))
		}
	})
	if !slices.Equal(many.GetAwaitingRoles(), []string{"legal_officer", "legal_approver", "privacy_controller"}) || many.GetTargetCount() != 11 {
		t.Errorf("eleven targets: %v", many)
	}
	get := func(ctx context.Context, w *griffierv1.Warrant) error {
		_, err := o.GetWarrant(ctx, &griffierv1.GetWarrantRequest{WarrantId: w.WarrantId})
		return err
	}
	want(t, "the controller and few", get(controller, few), reason.NotFound)
	want(t, "the controller and many", get(controller, many), "")
	want(t, "the outsider", get(outside, few), "")
	want(t, "the overseer", get(overseer, few), "")
	list, err := o.ListWarrants(controller, &griffierv1.ListWarrantsRequest{})
	want(t, "list", err, "")
	if len(list.GetWarrants()) != 1 || list.GetWarrants()[0].GetWarrantId() != many.GetWarrantId() {
		t.Errorf("the controller lists %v", list)
	}
	_, err = o.ApproveWarrant(controller, &griffierv1.ApproveWarrantRequest{RequestId: "approve-1", WarrantId: few.WarrantId, ExpectedGeneration: 1, ContentSha256: few.ContentSha256})
	want(t, "the controller approves few", err, reason.NotFound)
	_, err = o.ApproveWarrant(controller, &griffierv1.ApproveWarrantRequest{WarrantId: few.WarrantId, ExpectedGeneration: 1, ContentSha256: few.ContentSha256, ValidateOnly: true})
	want(t, "the controller asks what it would do", err, reason.NotFound)
	for i, ctx := range []context.Context{officer, outside, controller} {
		w, err := o.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: "approve-1", WarrantId: many.WarrantId, ExpectedGeneration: 1, ContentSha256: many.ContentSha256})
		want(t, "approval", err, "")
		if approved := w.GetState() == griffierv1.WarrantState_WARRANT_STATE_APPROVED; approved != (i == 2) {
			t.Errorf("after %d approvals: %v", i+1, w.GetState())
		}
	}
	// A seat that somebody took asks nobody, until the approval is too old to count.
	_, err = o.ApproveWarrant(approver, &griffierv1.ApproveWarrantRequest{RequestId: "approve-2", WarrantId: few.WarrantId, ExpectedGeneration: 1, ContentSha256: few.ContentSha256})
	want(t, "the seat is taken", err, "")
	want(t, "the outsider, who is not asked", get(outside, few), reason.NotFound)
	want(t, "the outsider, who approved", get(outside, many), "")
	if list, err = o.ListWarrants(outside, &griffierv1.ListWarrantsRequest{}); err != nil || len(list.GetWarrants()) != 1 {
		t.Errorf("the outsider lists %v, %v", list, err)
	}
	_, err = o.SuspendWarrant(officer, &griffierv1.SuspendWarrantRequest{RequestId: "suspend-1", WarrantId: few.WarrantId, ExpectedGeneration: 1})
	want(t, "suspend", err, "")
	want(t, "the outsider, of what is suspended", get(outside, few), reason.NotFound)
	_, err = o.ResumeWarrant(officer, &griffierv1.ResumeWarrantRequest{RequestId: "resume-01", WarrantId: few.WarrantId, ExpectedGeneration: 1, ContentSha256: few.ContentSha256})
	want(t, "half a resumption", err, "")
	want(t, "the outsider, who is asked to let it go on", get(outside, few), "")
	_, err = o.CancelWarrant(officer, &griffierv1.CancelWarrantRequest{RequestId: "cancel-01", WarrantId: few.WarrantId, ExpectedGeneration: 1})
	want(t, "cancel", err, "")
	want(t, "the outsider and what ended without them", get(outside, few), reason.NotFound)
}

// TestOverseerActsInNoOtherRole: whatever roles an account has beside that of the
// overseer, it looks and does nothing (D-21).
func TestOverseerActsInNoOtherRole(t *testing.T) {
	o := newOffice(t)
	w := o.live("PV-DPO", nil)
	all := as("d9d9", griffierv1.Role_ROLE_LEGAL_OFFICER, griffierv1.Role_ROLE_LEGAL_APPROVER, griffierv1.Role_ROLE_OVERSEER, griffierv1.Role_ROLE_PRIVACY_CONTROLLER)
	_, err := o.GetWarrant(all, &griffierv1.GetWarrantRequest{WarrantId: w.WarrantId})
	want(t, "look", err, "")
	_, err = o.CreateWarrant(all, &griffierv1.CreateWarrantRequest{RequestId: "create-all", Content: content(t, "PV-DPO-2")})
	want(t, "create", err, reason.PermissionDenied)
	_, err = o.ApproveWarrant(all, &griffierv1.ApproveWarrantRequest{RequestId: "approve-all", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	want(t, "approve", err, reason.PermissionDenied)
	_, err = o.CancelWarrant(all, &griffierv1.CancelWarrantRequest{RequestId: "cancel-all", WarrantId: w.WarrantId, ExpectedGeneration: 1})
	want(t, "cancel", err, reason.PermissionDenied)

	book := warrantrpc.ClassBook{Book: o.log, Keys: o.keys, Area: "test", Now: o.now}
	var roles []string
	_, err = book.Decide(all, "Test", "request-0001", func(_ time.Time, by ledger.Caller, _ string) (ledger.Draft, *reason.Error) {
		roles = by.Roles
		return ledger.Draft{Kind: "test", Actor: by.Actor}, nil
	})
	if want(t, "a policy", err, ""); !slices.Equal(roles, []string{"overseer"}) {
		t.Errorf("of a policy it decides as %v", roles)
	}
}

// Time's own transitions are in the ledger, each once; alarms say how many, and which
// only in the log, by random id.
func TestWatcher(t *testing.T) {
	o := newOffice(t)
	w := o.live("PV-0001", func(c *griffierv1.WarrantContent) {
		c.ValidUntil = time.Now().Add(20 * 24 * time.Hour).Format(time.RFC3339)
	})
	var logs bytes.Buffer
	var cut []string
	watch := &warrantrpc.Watcher{Book: o.log, State: o.state, Rules: o.rules, Now: o.now, Ended: func(id string) { cut = append(cut, id) },
		Log: slog.New(slog.NewTextHandler(&logs, nil))}
	collector := warrantrpc.Collector{State: o.state, Now: o.now}
	lapses := func() (n int) {
		for _, kind := range o.kinds() {
			if kind == warrant.KindLapse {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		after  time.Duration
		logged string // in the log once, however often it is looked
		metric string
		lapses int
	}{
		{0, "", `griffier_warrant_clocks{alarm="0",clock="ACT_BY"} 1`, 0},
		{5*24*time.Hour + time.Minute, "percent=50", `griffier_warrant_clocks{alarm="50",clock="ACT_BY"} 1`, 0},
		{8*24*time.Hour + time.Minute, "percent=80", `griffier_warrant_clocks{alarm="80",clock="ACT_BY"} 1`, 0},
		{10*24*time.Hour + time.Minute, "percent=100", `griffier_warrant_clocks{alarm="100",clock="ACT_BY"} 1`, 0},
		{20*24*time.Hour + time.Minute, "state=EXPIRED", `griffier_warrants{state="EXPIRED"} 1`, 1},
	} {
		o.ahead.Store(int64(step.after))
		logs.Reset()
		watch.Look(t.Context())
		watch.Look(t.Context())
		if step.logged == "" && logs.Len() != 0 || strings.Count(logs.String(), step.logged) != 1 && step.logged != "" {
			t.Errorf("after %v the log says %q, want %q once", step.after, logs.String(), step.logged)
		}
		if strings.Contains(logs.String(), "PV-0001") || strings.Contains(logs.String(), "192.0.2") {
			t.Errorf("the log tells what the warrant is about: %s", logs.String())
		}
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(collector)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		for _, f := range families {
			if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
				t.Fatal(err)
			}
		}
		if !strings.Contains(text.String(), step.metric+"\n") || strings.Contains(text.String(), w.WarrantId) {
			t.Errorf("after %v metrics lack %s:\n%s", step.after, step.metric, text.String())
		}
		if n := lapses(); n != step.lapses || len(cut) != step.lapses {
			t.Errorf("after %v %d lapses are in the ledger, %d cut off; want %d", step.after, n, len(cut), step.lapses)
		}
	}
}
