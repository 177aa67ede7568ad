package execute_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/keystore"
	"griffier/api/reason"
	"griffier/api/retention/expiry"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

const document = "2222222222222222222222222222222222222222222222222222222222222222"

func (l *lab) later(d time.Duration) { l.Skew.Add(int64(d)) }

// noCopy fails if there is a file or key of a hold.
func (l *lab) noCopy(holdID string) {
	l.T.Helper()
	files, err := os.ReadDir(filepath.Join(l.Dir, "holds"))
	if err != nil || len(files) != 0 {
		l.T.Errorf("files of holds: %v, %v", files, err)
	}
	if err := l.Keys.State(hold.KeyID(holdID)); err != keystore.ErrShredded {
		l.T.Errorf("the hold's key: %v", err)
	}
}

// Scenario 9: a subject is preserved; then the base expires, then they are erased;
// then a production order comes on day 59, and another on day 61.
func TestDeletionUnderHold(t *testing.T) {
	l := newLab(t)
	ctx := t.Context()
	made, plain := l.MustExecute(l.Preservation(l.Order("EPOC-PR", time.Hour), "192.0.2.17", l.Noon.Add(-time.Hour), l.Noon.Add(time.Hour)), reason.Preserved)
	if made.State != griffierv1.TaskState_TASK_STATE_PRESERVED || made.HoldId == "" {
		t.Fatalf("task %v", made)
	}
	for _, secret := range []string{"Jansen", "line-alice", "line-bob", "edge1", "Dorpsstraat", "radius"} {
		if strings.Contains(plain, secret) {
			t.Errorf("the answer to a preservation order says %q", secret)
		}
	}
	h, _ := l.Holds.Hold(made.HoldId)
	if h.EndsAt.Sub(h.MadeAt) != 60*24*time.Hour || !strings.Contains(plain, h.EndsAt.UTC().Format("2006-01-02T15:04:05")) {
		t.Fatalf("hold %+v, package:\n%s", h, plain)
	}

	// The hold is an exception to the proof of retention, not a failure of it.
	held, err := l.Keeper.Held(ctx)
	if err != nil || held[schema.ClassAssignment] == 0 {
		t.Errorf("held rows %v, %v", held, err)
	}

	// The base passes its term, and the person is erased.
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: "PT1H", Zone: "Europe/Amsterdam", Purpose: "faults and complaints", Basis: "test", Source: "test"})
	}
	if err := schema.WritePolicy(ctx, l.Conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
	yes, err := l.Keeper.HoldsLine("line-alice", nil)
	if err != nil || !yes {
		t.Errorf("HoldsLine(line-alice) = %v, %v", yes, err)
	}
	if yes, err := l.Keeper.HoldsLine("line-bob", nil); err != nil || yes {
		t.Errorf("HoldsLine(line-bob) = %v, %v", yes, err)
	}
	l.eraseLine("line-alice")

	l.later(59 * 24 * time.Hour)
	w := l.Approved(time.Hour)
	l.MustExecute(l.Task(w, "192.0.2.17", l.Noon), reason.RetentionElapsed)
	_, plain = l.MustExecute(l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon), reason.Match)
	for _, want := range []string{"line-alice", "Alice Jansen", "Dorpsstraat", `"from_hold": "` + made.HoldId + `"`, disclosure.SearchedHold[0]} {
		if !strings.Contains(plain, want) {
			t.Errorf("the production does not say %q", want)
		}
	}
	if strings.Contains(plain, "Betaalweg") {
		t.Error("the hold kept the billing address")
	}
	limits, now, err := schema.Limits(ctx, l.Conn)
	if err != nil {
		t.Fatal(err)
	}
	findings, err := (keep.Place{Keeper: l.Keeper}).Check(ctx, expiry.Limits{Now: now.Add(90 * 24 * time.Hour), Class: limits})
	if err != nil || !slices.ContainsFunc(findings, func(f expiry.Finding) bool {
		return f.Class == schema.ClassAssignment && f.Verdict == expiry.Exception && f.Checked > 0
	}) || slices.ContainsFunc(findings, func(f expiry.Finding) bool { return f.Verdict == expiry.Fail }) {
		t.Errorf("findings %+v, %v", findings, err)
	}

	l.later(2 * 24 * time.Hour) // day 61, before any sweep
	w = l.Approved(time.Hour)
	_, plain = l.MustExecute(l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon), reason.DataNotHeld)
	if strings.Contains(plain, "Jansen") {
		t.Error("the hold speaks after its end")
	}
	if err := l.Keeper.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	l.noCopy(made.HoldId)
	if h, _ := l.Holds.Hold(made.HoldId); h.Status(l.Now()) != hold.Destroyed || h.DestroyIndex == 0 {
		t.Errorf("hold %+v", h)
	}
	l.MustExecute(l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon), reason.DataNotHeld)
	if err := l.Keeper.Sweep(ctx); err != nil { // again, to no effect
		t.Fatal(err)
	}
	certificates := 0
	for _, e := range l.Entries() {
		text := disclosuretest.JSON(e.Header)
		if e.Header.Kind == hold.KindDestroy {
			certificates++
			if !strings.Contains(text, hold.KeyID(made.HoldId)) {
				t.Errorf("the certificate does not name the key: %s", text)
			}
		}
		for _, secret := range []string{"192.0.2.", "Jansen", "line-", "edge1"} {
			if strings.Contains(text, secret) {
				t.Errorf("entry %d says %q: %s", e.Index, secret, text)
			}
		}
	}
	if certificates != 1 {
		t.Errorf("%d certificates", certificates)
	}
}

// eraseLine does to a line what an erasure does: traffic, person and line map.
func (l *lab) eraseLine(lineID string) {
	l.T.Helper()
	ctx := l.T.Context()
	refs, err := l.Register.ErasureOf(ctx, lineID, l.Now())
	if err == nil {
		err = schema.PutTombstones(ctx, l.Conn, refs)
	}
	if err == nil {
		err = l.Register.Erase(ctx, lineID)
	}
	if err != nil {
		l.T.Fatal(err)
	}
}

// The answer to a preservation order, where there is nothing to preserve.
func TestNothingToPreserve(t *testing.T) {
	l := newLab(t)
	w := l.Order("NL-126ni", time.Hour)
	for _, test := range []struct {
		name, target string
		from, to     time.Duration
		want         reason.Reason
		says         string
	}{
		{"reseller", "192.0.2.200", 0, 0, reason.OtherProvider, "Example Telecom"},
		{"not ours", "198.51.100.7", 0, 0, reason.NotOurRange, ""},
		{"shared, no port", "192.0.2.21", 0, 0, reason.PortRequired, "2-10"},
		{"nobody", "192.0.2.99", 0, time.Minute, reason.NoMatch, ""},
		{"a gap", "192.0.2.99", time.Hour, 3 * time.Hour, reason.CoverageGap, ""},
		{"past retention", "192.0.2.17", -20 * 24 * time.Hour, -12 * 24 * time.Hour, reason.RetentionElapsed, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var to time.Time
			if test.to != 0 {
				to = l.Noon.Add(test.to)
			}
			_, plain := l.MustExecute(l.Preservation(w, test.target, l.Noon.Add(test.from), to), test.want)
			if !strings.Contains(plain, test.says) {
				t.Errorf("the answer does not say %q", test.says)
			}
		})
	}
	if holds := l.Holds.Holds(); len(holds) != 0 {
		t.Errorf("holds %v", holds)
	}

	refused := func(change func(*griffierv1.CreateTaskRequest)) reason.Reason {
		req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
			Category: griffierv1.Category_CATEGORY_PRESERVATION, Target: "192.0.2.17", Instant: l.Noon.Format(time.RFC3339)}
		change(req)
		_, err := l.Tasks.CreateTask(l.Officer(), req)
		return reason.Of(err)
	}
	for name, test := range map[string]struct {
		change func(*griffierv1.CreateTaskRequest)
		want   reason.Reason
	}{
		"a window that ends before it begins": {func(r *griffierv1.CreateTaskRequest) { r.WindowEnd = l.Noon.Add(-time.Second).Format(time.RFC3339) }, reason.InvalidRequest},
		"an empty window":                     {func(r *griffierv1.CreateTaskRequest) { r.WindowEnd = r.Instant }, reason.InvalidRequest},
		"a window without zone":               {func(r *griffierv1.CreateTaskRequest) { r.WindowEnd = "2026-11-19T13:00:00" }, reason.TimeZoneMissing},
		"a window past the order's": {func(r *griffierv1.CreateTaskRequest) {
			r.WindowEnd = l.Noon.Add(20*time.Hour + time.Second).Format(time.RFC3339)
		}, reason.WindowExceedsWarrant},
		"longer than the basis allows": {func(r *griffierv1.CreateTaskRequest) { r.HoldDays = 91 }, reason.InvalidRequest},
		"a hold of a hold":             {func(r *griffierv1.CreateTaskRequest) { r.FromHold = strings.Repeat("a", 32) }, reason.InvalidRequest},
		"reading under a preservation order": {func(r *griffierv1.CreateTaskRequest) {
			r.Category, r.FromHold = griffierv1.Category_CATEGORY_ATTRIBUTION, strings.Repeat("a", 32)
		}, reason.CategoryExceedsBasis},
	} {
		if got := refused(test.change); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// Whoever asks a hold learns nothing of what else it may have: unknown, ended,
// another address and another time read the same, to the byte but for the ids.
func TestHoldIsNoOracle(t *testing.T) {
	l := newLab(t)
	made, _ := l.MustExecute(l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon, l.Noon.Add(time.Hour)), reason.Preserved)
	w := l.Approved(time.Hour)
	ask := func(holdID, target string, at time.Time) string {
		task, plain := l.MustExecute(l.FromHold(w, holdID, target, at), reason.DataNotHeld)
		_, certificate, _ := strings.Cut(plain, "Certificate: ")
		certificate, _, _ = strings.Cut(certificate, "\x00")
		for _, id := range []string{task.TaskId, holdID, target, at.UTC().Format(time.RFC3339Nano)} {
			certificate = strings.ReplaceAll(certificate, id, "-")
		}
		_, rest, _ := strings.Cut(certificate, "\nAnswer")
		return rest
	}
	unknown := ask(strings.Repeat("a", 32), "192.0.2.17", l.Noon)
	if unknown == "" || strings.Contains(unknown, "192.0.2") {
		t.Fatalf("certificate %q", unknown)
	}
	for name, got := range map[string]string{
		"another address":              ask(made.HoldId, "192.0.2.20", l.Noon),
		"an address that nobody has":   ask(made.HoldId, "192.0.2.99", l.Noon),
		"before the window":            ask(made.HoldId, "192.0.2.17", l.Noon.Add(-time.Second)),
		"at the end of the window":     ask(made.HoldId, "192.0.2.17", l.Noon.Add(time.Hour)),
		"the person's other addresses": ask(made.HoldId, "192.0.2.20", l.Noon.Add(-time.Minute)),
	} {
		if got != unknown {
			t.Errorf("%s: %q, want %q", name, got, unknown)
		}
	}
	l.MustExecute(l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon), reason.Match)
	l.MustExecute(l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon.Add(time.Hour-time.Second)), reason.Match)
}

// At the instant of its end a hold is unreadable, also for a clock that was set
// back, and for an answer that was read just before.
func TestHoldBoundary(t *testing.T) {
	l := newLab(t)
	made, _ := l.MustExecute(l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon, time.Time{}), reason.Preserved)
	h, _ := l.Holds.Hold(made.HoldId)
	l.later(h.EndsAt.Sub(l.Now()) - 10*time.Minute)
	w := l.Approved(time.Hour)
	before := l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon)
	atEnd := l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon)
	l.MustExecute(before, reason.Match)

	// Read while it lives, decided at its end: refused, and nothing is kept of it.
	slow := l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon)
	calls := 0
	l.Book.Before = func(context.Context) {
		if calls++; calls == 2 { // the result
			l.later(h.EndsAt.Sub(l.Now()))
		}
	}
	_, err := l.Execute(slow)
	l.Book.Before = nil
	l.Want(err, reason.DataNotHeld)
	if files := strings.Join(l.Shelved(), " "); strings.Contains(files, slow.TaskId) {
		t.Errorf("left behind: %v", files)
	}
	l.MustExecute(atEnd, reason.DataNotHeld)
	l.later(-time.Hour) // the ledger knows better
	if _, err := l.Keeper.Open(made.HoldId, nil); err == nil {
		t.Error("a clock set back opens a hold that has ended")
	}
}

// The officer's desk dies at each step of a preservation; after the restart there is
// a whole hold or none, and the task comes to exactly one.
func TestDeathWhilePreserving(t *testing.T) {
	l := newLab(t)
	for i, step := range []string{"intent", "hold", "result", "release"} {
		t.Run(step, func(t *testing.T) {
			task := l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon, l.Noon.Add(time.Hour))
			l.Book.DieAt.Store(int64(i + 1))
			_, err := l.Execute(task)
			if err == nil || !strings.Contains(err.Error(), disclosuretest.ErrDied.Error()) {
				t.Fatalf("the server did not die: %v", err)
			}
			l.Restart()
			if h, ok := l.Holds.OfTask(task.TaskId); ok != (i >= 2) || ok && !h.Readable(l.Now()) {
				t.Fatalf("after the restart: %+v, %v", h, ok)
			}
			l.whole()
			done, _ := l.MustExecute(task, reason.Preserved)
			made := 0
			for _, h := range l.Holds.Holds() {
				if h.TaskID == task.TaskId {
					made++
				}
			}
			if made != 1 {
				t.Errorf("%d holds", made)
			}
			l.whole()
			l.MustExecute(l.FromHold(l.Approved(time.Hour), done.HoldId, "192.0.2.17", l.Noon), reason.Match)
		})
	}
	// And while one is destroyed: the key is gone, the certificate not written.
	task := l.Preservation(l.Order("NL-126ni", time.Hour), "192.0.2.17", l.Noon, time.Time{})
	done, _ := l.MustExecute(task, reason.Preserved)
	l.later(90 * 24 * time.Hour)
	func() {
		defer func() { recover() }()
		l.Book.DieAt.Store(1)
		l.Keeper.Sweep(t.Context())
	}()
	l.Restart()
	for _, h := range l.Holds.Holds() {
		if h.Status(l.Now()) != hold.Destroyed {
			t.Errorf("%s is %s after the restart", h.ID, h.Status(l.Now()))
		}
	}
	l.noCopy(done.HoldId)
}

// whole fails unless the folder has exactly the files of the holds that live.
func (l *lab) whole() {
	l.T.Helper()
	var want, have []string
	for _, h := range l.Holds.Holds() {
		if h.Readable(l.Now()) {
			want = append(want, h.ID+".hold")
		}
	}
	files, err := os.ReadDir(filepath.Join(l.Dir, "holds"))
	if err != nil {
		l.T.Fatal(err)
	}
	for _, f := range files {
		have = append(have, f.Name())
		text, err := os.ReadFile(filepath.Join(l.Dir, "holds", f.Name()))
		if info, e := f.Info(); err != nil || e != nil || info.Mode().Perm() != 0o600 {
			l.T.Errorf("%s: %v, %v", f.Name(), err, e)
		}
		for _, secret := range []string{"192.0.2", "Jansen", "line-alice", "edge1", "assignment"} {
			if bytes.Contains(text, []byte(secret)) {
				l.T.Errorf("the sealed file says %q", secret)
			}
		}
	}
	slices.Sort(want)
	if slices.Sort(have); !slices.Equal(want, have) {
		l.T.Errorf("files %v, want %v", have, want)
	}
}

// A hold is extended by two people in two roles, once, and where its basis says so;
// it ends when the authority says so, and when its order is revoked.
func TestExtendAndEnd(t *testing.T) {
	l := newLab(t)
	made, _ := l.MustExecute(l.Preservation(l.Order("EPOC-PR", time.Hour), "192.0.2.17", l.Noon, time.Time{}), reason.Preserved)
	first, _ := l.Holds.Hold(made.HoldId)
	extend := func(ctx context.Context, generation uint64, document string) (*griffierv1.Hold, error) {
		return l.Held.ExtendHold(ctx, &griffierv1.ExtendHoldRequest{RequestId: l.Request(), HoldId: made.HoldId, ExpectedGeneration: generation, DocumentSha256: document})
	}
	_, err := extend(l.As("0v3r", griffierv1.Role_ROLE_OVERSEER), 1, document)
	l.Want(err, reason.PermissionDenied)
	_, err = extend(l.Officer(), 1, "x")
	l.Want(err, reason.InvalidRequest)
	_, err = extend(l.Officer(), 1, document) // which nobody received
	l.Want(err, reason.WarrantIncomplete)
	l.later(2 * time.Hour) // the order has lapsed, and the hold lasts: its dossier is open for that
	l.Want(l.Receive(first.WarrantID, document), "")
	h, err := extend(l.Officer(), 1, document)
	if err != nil || h.ExtendedAt != nil || len(h.ExtensionApprovals) != 1 {
		t.Fatalf("after one approval: %v, %v", h, err)
	}
	_, err = extend(l.Officer(), 2, document)
	l.Want(err, reason.SelfApproval)
	_, err = extend(l.As("0ff2", griffierv1.Role_ROLE_LEGAL_OFFICER), 2, document)
	l.Want(err, reason.SelfApproval)
	_, err = extend(l.Approver(), 1, document)
	l.Want(err, reason.GenerationMismatch)
	again := l.Request()
	retry := &griffierv1.ExtendHoldRequest{RequestId: again, HoldId: made.HoldId, ExpectedGeneration: 2, DocumentSha256: document}
	h, err = l.Held.ExtendHold(l.Approver(), retry)
	if err != nil || !h.EndsAt.AsTime().Equal(first.EndsAt.Add(30*24*time.Hour)) {
		t.Fatalf("after two approvals: %v, %v", h, err)
	}
	h, err = l.Held.ExtendHold(l.Approver(), retry) // the same request again finds what became of it
	if err != nil || h.Generation != 3 || !h.EndsAt.AsTime().Equal(first.EndsAt.Add(30*24*time.Hour)) {
		t.Errorf("a retry: %v, %v", h, err)
	}
	_, err = l.Held.EndHold(l.Approver(), &griffierv1.EndHoldRequest{RequestId: "x", HoldId: made.HoldId, ExpectedGeneration: 3, DocumentSha256: document})
	l.Want(err, reason.InvalidRequest)
	_, err = extend(l.Approver(), 3, document)
	l.Want(err, reason.WarrantTerminal)
	for _, e := range l.Entries() {
		if strings.Contains(disclosuretest.JSON(e.Header), document) {
			t.Errorf("entry %d names the document in clear", e.Index)
		}
	}

	l.later(89*24*time.Hour - 2*time.Hour)
	w := l.Approved(time.Hour)
	l.MustExecute(l.FromHold(w, made.HoldId, "192.0.2.17", l.Noon), reason.Match)
	h, err = l.Held.EndHold(l.Officer(), &griffierv1.EndHoldRequest{RequestId: l.Request(), HoldId: made.HoldId, ExpectedGeneration: 3, DocumentSha256: document, Explanation: "art. 11(3)"})
	if err != nil || h.State != griffierv1.HoldState_HOLD_STATE_DESTROYED || h.EndedBy != hold.ByOrder {
		t.Fatalf("after its end: %v, %v", h, err)
	}
	l.noCopy(made.HoldId)
	l.Want(l.Receive(first.WarrantID, strings.Repeat("3", 64)), reason.WarrantExpired)
	_, err = l.Held.EndHold(l.Officer(), &griffierv1.EndHoldRequest{RequestId: l.Request(), HoldId: made.HoldId, ExpectedGeneration: 5, DocumentSha256: document})
	l.Want(err, reason.WarrantTerminal)

	// NL-126ni has no extension; a revoked order holds nothing.
	order := l.Order("NL-126ni", time.Hour)
	made, _ = l.MustExecute(l.Preservation(order, "192.0.2.17", l.Noon, time.Time{}), reason.Preserved)
	_, err = extend(l.Officer(), 1, document)
	l.Want(err, reason.AuthorityNotEntitled)
	if _, err := l.Warrants.RevokeWarrant(l.Officer(), &griffierv1.RevokeWarrantRequest{RequestId: l.Request(), WarrantId: order.WarrantId, ExpectedGeneration: 1}); err != nil {
		t.Fatal(err)
	}
	if h, _ := l.Holds.Hold(made.HoldId); h.EndedBy != hold.ByRevocation || h.DestroyedAt.IsZero() {
		t.Errorf("after the revocation: %+v", h)
	}
	l.noCopy(made.HoldId)
	list, err := l.Held.ListHolds(l.As("0v3r", griffierv1.Role_ROLE_OVERSEER), &griffierv1.ListHoldsRequest{})
	if err != nil || len(list.Holds) != 2 || strings.Contains(disclosuretest.JSON(list), "192.0.2") {
		t.Errorf("the overseer's list: %v, %v", list, err)
	}
	// Its term may be shorter than what the basis allows.
	task, err := l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: l.Order("NL-126ni", time.Hour).WarrantId,
		ExpectedGeneration: 1, Category: griffierv1.Category_CATEGORY_PRESERVATION, Target: "192.0.2.17", Instant: l.Noon.Format(time.RFC3339), HoldDays: 14})
	if err != nil {
		t.Fatal(err)
	}
	made, _ = l.MustExecute(task, reason.Preserved)
	if h, _ := l.Holds.Hold(made.HoldId); h.EndsAt.Sub(h.MadeAt) != 14*24*time.Hour {
		t.Errorf("a hold of 14 days: %+v", h)
	}
}
