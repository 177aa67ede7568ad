package execute_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"griffier/api/auth"
	"griffier/api/disclosure"
	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/oversight"
	"griffier/api/oversight/oversightrpc"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// decliner records non-executions as griffierd does.
type decliner struct {
	*lab
	keeper *oversightrpc.Keeper
	rpc    *oversightrpc.Service
}

func (l *lab) decliner() decliner {
	k := &oversightrpc.Keeper{Book: l.Book, State: l.Overseen, Warrants: l.State, Copy: l.Executor.KeepUnexecuted, Log: slog.New(slog.DiscardHandler)}
	return decliner{l, k, oversightrpc.NewService(oversightrpc.Config{Book: l.Log, Keys: l.Keys, State: l.Overseen, Warrants: l.State, Holds: l.Holds, Rules: l.Rules,
		Zone: time.UTC, Now: l.Now, Kept: k})}
}

func (d decliner) record(request string, w *griffierv1.Warrant, task string, why griffierv1.NonExecutionReason) (*griffierv1.NonExecution, error) {
	ctx := auth.NewContext(d.T.Context(), auth.Caller{Subject: "officer", Actor: "0ff1", Roles: []griffierv1.Role{griffierv1.Role_ROLE_LEGAL_OFFICER}})
	return d.rpc.RecordNonExecution(ctx, &griffierv1.RecordNonExecutionRequest{RequestId: request, WarrantId: w.WarrantId, TaskId: task, Reason: why, Explanation: "why"})
}

// unapproved makes a warrant that nobody has approved.
func (l *lab) unapproved(basis string, targets []string, categories ...griffierv1.Category) *griffierv1.Warrant {
	l.T.Helper()
	content := l.Content(time.Hour)
	content.LegalBasis, content.Categories, content.Targets = basis, categories, targets
	content.WindowStart = l.Noon.Add(-2 * time.Hour).Format(time.RFC3339)
	if l.Rules.Law().Of(basis).Name == warrant.Union { // its authority is another member state's
		content.Authority = "DE-AG-Berlin"
	}
	w, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
	if err != nil {
		l.T.Fatal(err)
	}
	return w
}

const (
	incomplete = griffierv1.NonExecutionReason_NON_EXECUTION_REASON_INCOMPLETE
	immune     = griffierv1.NonExecutionReason_NON_EXECUTION_REASON_IMMUNITIES_OR_PRIVILEGES
	notHeld    = griffierv1.NonExecutionReason_NON_EXECUTION_REASON_DATA_NOT_HELD
	noJudge    = griffierv1.NonExecutionReason_NON_EXECUTION_REASON_INVALID_ISSUING_AUTHORITY
	conflict   = griffierv1.NonExecutionReason_NON_EXECUTION_REASON_CONFLICT_OF_LAW
)

// TestNonExecutionPreserves: what an EPOC asks is in a hold once its non-execution is
// recorded, before anybody approved it, once, for as long as the profile says, and no
// more of it than was asked; a national order leaves no trace in a hold.
func TestNonExecutionPreserves(t *testing.T) {
	l := newLab(t)
	d := l.decliner()
	address, identity, history := griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_IDENTITY, griffierv1.Category_CATEGORY_HISTORY
	epoc := l.unapproved("EPOC-USER", []string{"192.0.2.17", "192.0.2.200"}, address, identity)
	before := len(l.Entries())
	m, err := d.record("decline-0001", epoc, "", incomplete)
	if err != nil {
		t.Fatal(reason.From(err))
	}
	if m.Preservation != griffierv1.Preservation_PRESERVATION_HELD || m.PreservationGround != "BY_LAW" || m.PreservedAt == nil || len(m.Questions) != 2 ||
		m.Questions[0].Answer != string(reason.Preserved) || m.Questions[0].Target != 1 || m.Questions[1].HoldId != "" || m.Questions[1].Answer == "" {
		t.Fatalf("recorded %v", m)
	}
	var kinds []string
	for _, e := range l.Entries()[before:] {
		kinds = append(kinds, e.Header.Kind)
	}
	if len(kinds) != 3 || kinds[0] != oversight.KindWarrantNotExecuted || kinds[1] != "hold.make" || kinds[2] != oversight.KindKept {
		t.Errorf("entries %v, want the recording before what is read, the hold, and what came of it", kinds)
	}
	h, _ := l.Holds.Hold(m.Questions[0].HoldId)
	if !h.Unexecuted || h.EndsAt.Sub(h.MadeAt) != 60*24*time.Hour {
		t.Errorf("hold %+v, want sixty days", h)
	}
	// No more than was asked: who had the address, and nothing of what they did.
	opened, err := l.Keeper.Open(h.ID, func(keep.Head) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	if len(opened.Contents.Target) == 0 || len(opened.Contents.Persons) == 0 || len(opened.Contents.Usage)+len(opened.Contents.UsageDays)+len(opened.Contents.Sessions) != 0 {
		t.Errorf("copied %d assignments, %d persons, %d sessions, %d usage", len(opened.Contents.Target), len(opened.Contents.Persons), len(opened.Contents.Sessions), len(opened.Contents.Usage))
	}
	if limit := opened.Head.Limits[schema.ClassSession].ReadableFrom; limit.Before(opened.Head.To) {
		t.Errorf("sessions, which are not in it, could be read from %v", limit)
	}
	// Once: the same request, another reason, and the sweep make no second copy.
	again, err := d.record("decline-0001", epoc, "", incomplete)
	if err != nil || again.NonExecutionId != m.NonExecutionId {
		t.Errorf("the same request: %v, %v", again, err)
	}
	d.keeper.Look(t.Context())
	for request, why := range map[string]griffierv1.NonExecutionReason{"decline-0002": immune, "decline-0003": conflict} {
		if more, err := d.record(request, epoc, "", why); err != nil || len(more.HoldIds) != 1 {
			t.Errorf("%v: %v, %v; want the one hold", why, more, err)
		}
	}

	for _, test := range []struct {
		name, basis string
		category    griffierv1.Category
		why         griffierv1.NonExecutionReason
		ground      string
	}{
		{"a national basis", "NL-126na", address, incomplete, "NO_RULE"},
		{"nothing is held", "EPOC-USER", address, notHeld, "REASON"},
		{"nobody entitled", "EPOC-USER", address, noJudge, "REASON"},
		{"an authority that may not use it", "EPOC-TRAFFIC", history, incomplete, "NOT_ENTITLED"},
	} {
		w := l.unapproved(test.basis, []string{"192.0.2.17"}, test.category)
		if test.ground == "NOT_ENTITLED" {
			known := l.Rules.Authorities
			l.Rules.Authorities = func(id string) (v warrant.AuthorityView, ok bool) { return v, false }
			t.Cleanup(func() { l.Rules.Authorities = known })
		}
		reads := l.Traffic.Reads.Load()
		m, err := d.record(l.Request(), w, "", test.why)
		if err != nil || m.PreservationGround != test.ground || len(m.HoldIds) != 0 || m.PreservedAt != nil {
			t.Errorf("%s: %v, %v; want ground %s and no hold", test.name, m, err, test.ground)
		}
		if l.Traffic.Reads.Load() != reads {
			t.Errorf("%s: the traffic was read", test.name)
		}
	}
}

// TestNonExecutionIsPreservedLater: while the store is away the recording stands and the
// answer is an error; the sweep makes it good, and a withdrawal ends it.
func TestNonExecutionIsPreservedLater(t *testing.T) {
	l := newLab(t)
	d := l.decliner()
	epoc := l.unapproved("EPOC-TRAFFIC", []string{"192.0.2.17"}, griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_HISTORY)
	away := errors.New("the store is away")
	works := d.keeper.Copy
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(away)
	d.keeper.Copy = func(context.Context, string, string, int) ([]hold.Kept, error) {
		_, err := l.Traffic.Traffic.Coverage(ctx, []string{"c1"}, l.Noon, l.Noon) // a real read that fails
		return nil, reason.Wrap(reason.StoreUnavailable, errors.Join(err, away))
	}
	_, err := d.record("decline-0001", epoc, "", incomplete)
	l.Want(err, reason.StoreUnavailable)
	if n := len(l.Overseen.Unkept()); n != 1 || len(l.Holds.Holds()) != 0 {
		t.Fatalf("%d wait, %d holds", n, len(l.Holds.Holds()))
	}
	d.keeper.Copy = works
	d.keeper.Look(t.Context())
	if n := len(l.Overseen.Unkept()); n != 0 || len(l.Holds.Holds()) != 1 {
		t.Fatalf("%d wait, %d holds", n, len(l.Holds.Holds()))
	}
	h := l.Holds.Holds()[0]
	// A production order asks the hold after the base has nothing: the same line.
	plan := disclosure.NewPlan(disclosure.Question{Target: "192.0.2.17", Address: netip.MustParseAddr("192.0.2.17"), Instant: l.Noon}, 2*time.Second)
	if _, err := l.Keeper.Open(h.ID, func(head keep.Head) bool { return head.Covers(plan) }); err != nil {
		t.Errorf("the hold does not cover what was asked: %v", err)
	}
	if _, err := l.Warrants.CancelWarrant(l.Officer(), &griffierv1.CancelWarrantRequest{RequestId: l.Request(), WarrantId: epoc.WarrantId, ExpectedGeneration: 1, Explanation: "withdrawn"}); err != nil {
		t.Fatal(err)
	}
	if after, _ := l.Holds.Hold(h.ID); after.Readable(l.Now()) {
		t.Error("the authority withdrew its order, and the hold lives")
	}
	m, err := d.record("decline-0002", epoc, "", conflict)
	if err != nil || m.PreservationGround != "WARRANT_TERMINAL" || len(m.HoldIds) != 0 {
		t.Errorf("after the withdrawal: %v, %v", m, err)
	}
}
