package execute_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/seal"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

func TestAnswers(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	tests := []struct {
		name, target string
		at           time.Duration // around noon
		want         reason.Reason
		state        griffierv1.TaskState
		says         string
	}{
		{"one line", "192.0.2.17", 0, reason.Match, griffierv1.TaskState_TASK_STATE_DISCLOSED, "Alice Jansen"},
		{"delegated prefix", "2001:db8:1:2::17", 0, reason.Match, griffierv1.TaskState_TASK_STATE_DISCLOSED, "2001:db8:1::/56"},
		{"before the hand-over", "192.0.2.20", -time.Minute, reason.Match, griffierv1.TaskState_TASK_STATE_DISCLOSED, "line-alice"},
		{"at the hand-over", "192.0.2.20", time.Second, reason.AmbiguousBoundary, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, ""},
		{"after the hand-over", "192.0.2.20", time.Minute, reason.Match, griffierv1.TaskState_TASK_STATE_DISCLOSED, "line-bob"},
		{"port blocks", "192.0.2.21", 0, reason.PortRequired, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, "2-10"},
		{"unregistered holder", "192.0.2.22", 0, reason.DataConflict, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, ""},
		{"erased person", "192.0.2.23", 0, reason.DataConflict, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, ""},
		{"nobody", "192.0.2.99", 0, reason.NoMatch, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, ""},
		{"declared gap", "192.0.2.17", 2 * time.Hour, reason.CoverageGap, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, "ring_drop"},
		{"not covered", "192.0.2.17", 8 * time.Hour, reason.CoverageGap, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, ""},
		{"past retention", "192.0.2.17", -11 * 24 * time.Hour, reason.RetentionElapsed, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, "P10D"},
		{"reseller", "192.0.2.200", 0, reason.OtherProvider, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, "Example Telecom"},
		{"not ours", "198.51.100.7", 0, reason.NotOurRange, griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			task := l.Task(w, test.target, l.Noon.Add(test.at))
			done, err := l.Execute(task)
			if err != nil {
				t.Fatal(err)
			}
			if done.Answer != string(test.want) || done.State != test.state || done.ReleasedAt == nil {
				t.Fatalf("task %v, want %s", done, test.want)
			}
			sealed, receipt, err := l.Fetch(task)
			if err != nil {
				t.Fatal(err)
			}
			if disclosure.SHA256(sealed) != done.PackageSha256 {
				t.Error("the package is not the one that the task names")
			}
			report := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity))
			if !report.Verified() || report.Manifest.Answer.Reason != test.want {
				t.Fatalf("report %s", disclosuretest.JSON(report))
			}
			plain := l.Plain(sealed)
			if !strings.Contains(plain, test.says) {
				t.Errorf("the package does not say %q", test.says)
			}
			for _, secret := range []string{"Betaalweg", "9999 ZZ"} {
				if strings.Contains(plain, secret) {
					t.Errorf("the package holds the billing address")
				}
			}
			if test.want != reason.Match {
				for _, secret := range []string{"Jansen", "line-alice", "line-bob", "Dorpsstraat"} {
					if strings.Contains(plain, secret) {
						t.Errorf("a negative answer says %q", secret)
					}
				}
			}
			reads := l.Traffic.Reads.Load()
			again, err := l.Execute(task)
			if err != nil || again.PackageSha256 != done.PackageSha256 || l.Traffic.Reads.Load() != reads {
				t.Errorf("a second execution: %v, %v, %d reads", again, err, l.Traffic.Reads.Load()-reads)
			}
			if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "release", "fetch"}) {
				t.Errorf("entries %v", got)
			}
		})
	}
	// Nobody and nothing stands in the clear.
	for _, e := range l.Entries() {
		header := disclosuretest.JSON(e.Header)
		for _, secret := range []string{"192.0.2.", "2001:db8", "Jansen", "Vries", "line-"} {
			if strings.Contains(header, secret) {
				t.Errorf("entry %d says %q: %s", e.Index, secret, header)
			}
		}
	}
}

// Refused tasks and executions read nothing of the traffic.
func TestRefusalsReadNothing(t *testing.T) {
	l := newLab(t)
	unapproved, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: l.Content(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Execute(l.Task(unapproved, "192.0.2.17", l.Noon))
	l.Want(err, reason.WarrantIncomplete)

	w := l.Approved(time.Hour)
	ask := func(change func(*griffierv1.CreateTaskRequest)) error {
		req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
			Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.17", Instant: l.Noon.Format(time.RFC3339)}
		change(req)
		_, err := l.Tasks.CreateTask(l.Officer(), req)
		return err
	}
	l.Want(ask(func(r *griffierv1.CreateTaskRequest) { r.Target = "192.0.2.0/24" }), reason.TargetNotSpecific)
	l.Want(ask(func(r *griffierv1.CreateTaskRequest) { r.Instant = "2026-11-19T12:00:00" }), reason.TimeZoneMissing)
	l.Want(ask(func(r *griffierv1.CreateTaskRequest) {
		r.Instant = l.Noon.Add(-61 * 24 * time.Hour).Format(time.RFC3339)
	}), reason.WindowExceedsWarrant)
	l.Want(ask(func(r *griffierv1.CreateTaskRequest) { r.Category = griffierv1.Category_CATEGORY_TIME }), reason.CategoryExceedsBasis)
	l.Want(ask(func(r *griffierv1.CreateTaskRequest) { r.RequestId = "x" }), reason.InvalidRequest)
	l.Want(ask(func(r *griffierv1.CreateTaskRequest) { r.WarrantId = "none" }), reason.NotFound)

	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err = l.Tasks.ExecuteTask(l.Officer(), &griffierv1.ExecuteTaskRequest{TaskId: task.TaskId, ExpectedGeneration: 2})
	l.Want(err, reason.GenerationMismatch)
	_, err = l.Tasks.ExecuteTask(l.Approver(), &griffierv1.ExecuteTaskRequest{TaskId: task.TaskId, ExpectedGeneration: 1})
	l.Want(err, reason.PermissionDenied)
	_, _, err = l.Fetch(task)
	l.Want(err, reason.NotFound)

	// An expired warrant, without any job having run.
	l.Skew.Store(int64(time.Hour))
	_, err = l.Execute(task)
	l.Want(err, reason.WarrantExpired)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads of traffic data for refused requests", n)
	}
}

// The same request, sent again, finds what became of it; a request id serves once.
func TestCreateTaskAgain(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "2001:DB8:1:2::0:17", Instant: l.Noon.Format(time.RFC3339)}
	first, err := l.Tasks.CreateTask(l.Officer(), req)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.Tasks.CreateTask(l.Officer(), req)
	if err != nil || again.TaskId != first.TaskId {
		t.Errorf("again: %v, %v", again, err)
	}
	req.Target = "192.0.2.17"
	_, err = l.Tasks.CreateTask(l.Officer(), req)
	l.Want(err, reason.InvalidRequest)
}

func TestWarrantEndsDuringTheQuery(t *testing.T) {
	revoke := func(l *lab, w *griffierv1.Warrant) error {
		_, err := l.Warrants.RevokeWarrant(l.Approver(), &griffierv1.RevokeWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1})
		return err
	}
	var beside sync.WaitGroup
	tests := []struct {
		name   string
		during func(t *testing.T, l *lab, w *griffierv1.Warrant) func(ctx context.Context)
		want   reason.Reason
	}{
		{"revoked", func(t *testing.T, l *lab, w *griffierv1.Warrant) func(context.Context) {
			return func(ctx context.Context) {
				// The revocation returns only after this execution let go of its task.
				beside.Go(func() {
					if err := revoke(l, w); err != nil {
						t.Error(err)
					}
				})
				select {
				case <-ctx.Done(): // the running query is cancelled
				case <-time.After(time.Minute):
					t.Error("the query goes on after the revocation")
				}
			}
		}, reason.WarrantTerminal},
		{"expired", func(_ *testing.T, l *lab, _ *griffierv1.Warrant) func(context.Context) {
			return func(context.Context) { l.Skew.Store(int64(time.Hour)) }
		}, reason.WarrantExpired},
		{"expired, by the clock on the wall", func(t *testing.T, _ *lab, _ *griffierv1.Warrant) func(context.Context) {
			return func(ctx context.Context) {
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
					t.Error("the query goes on after the end")
				}
			}
		}, reason.WarrantExpired},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			w := l.Approved(time.Hour)
			task := l.Task(w, "192.0.2.17", l.Noon)
			if strings.Contains(test.name, "wall") { // once the intent is entered, which takes as long as it takes
				until, _ := time.Parse(time.RFC3339Nano, w.Content.ValidUntil)
				l.afterDecision(warrant.KindTaskIntent, func() { l.Skew.Store(int64(time.Until(until) - 2*time.Second)) })
			}
			l.Traffic.During = test.during(t, l, w)
			_, err := l.Execute(task)
			l.Book.After = nil
			beside.Wait()
			l.Want(err, test.want)
			if files := l.Shelved(); len(files) != 0 {
				t.Errorf("left behind: %v", files)
			}
			if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "abort"}) {
				t.Errorf("entries %v", got)
			}
			_, _, err = l.Fetch(task)
			l.Want(err, test.want)
			tk, wt, _ := l.State.Task(task.TaskId)
			if s := tk.State(&wt, l.Now()); s != warrant.TaskCancelled {
				t.Errorf("task is %s", s)
			}
		})
	}
}

func TestRevocationDestroysUnfetchedPackage(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	task := l.Task(w, "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); err != nil {
		t.Fatal(err)
	}
	if files := l.Shelved(); len(files) != 2 {
		t.Fatalf("files %v", files)
	}
	if _, err := l.Warrants.RevokeWarrant(l.Officer(), &griffierv1.RevokeWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1}); err != nil {
		t.Fatal(err)
	}
	if files := l.Shelved(); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
	_, _, err := l.Fetch(task)
	l.Want(err, reason.WarrantTerminal)
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "result", "release", "destroy"}) {
		t.Errorf("entries %v", got)
	}
}

func TestExpiryDestroysPackageAtStart(t *testing.T) {
	l := newLab(t)
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); err != nil {
		t.Fatal(err)
	}
	l.Skew.Store(int64(time.Hour))
	l.Restart()
	if files := l.Shelved(); len(files) != 0 {
		t.Errorf("left behind: %v", files)
	}
	if got := l.Kinds(task.TaskId); got[len(got)-1] != "destroy" {
		t.Errorf("entries %v", got)
	}
}

// The server dies at each step; after a restart nothing is lost without a
// trace, and the task comes to one released package.
func TestDeathAtEachStep(t *testing.T) {
	tests := []struct {
		name string
		at   int64 // Decide: 1 intent, 2 result, 3 release
		want []string
		left int // files after the restart
	}{
		{"before the intent", 1, []string{"create", "intent", "result", "release"}, 0},
		{"between intent and result", 2, []string{"create", "intent", "abort", "intent", "result", "release"}, 0},
		{"between result and release", 3, []string{"create", "intent", "result", "release"}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
			l.Book.DieAt.Store(test.at)
			_, err := l.Execute(task)
			if err == nil || !strings.Contains(err.Error(), disclosuretest.ErrDied.Error()) {
				t.Fatalf("the server did not die: %v", err)
			}
			tk, _, _ := l.State.Task(task.TaskId)
			sealed := tk.PackageSHA256
			l.Restart()
			if files := l.Shelved(); len(files) != test.left {
				t.Errorf("files after the restart: %v", files)
			}
			tk, w, _ := l.State.Task(task.TaskId)
			if s := tk.State(&w, l.Now()); (s != warrant.TaskAwaiting) != (test.at == 3) {
				t.Errorf("task is %s after the restart", s)
			}
			done, err := l.Execute(task)
			if err != nil {
				t.Fatal(err)
			}
			if test.at == 3 && done.PackageSha256 != sealed {
				t.Error("another package than the one that was sealed")
			}
			if got := l.Kinds(task.TaskId); !slices.Equal(got, test.want) {
				t.Errorf("entries %v, want %v", got, test.want)
			}
			packed, receipt, err := l.Fetch(task)
			if err != nil {
				t.Fatal(err)
			}
			if r := disclosure.Verify(packed, receipt, l.Trust(), seal.AgeIdentity(l.Identity)); !r.Verified() {
				t.Errorf("report %s", disclosuretest.JSON(r))
			}
		})
	}
}

func TestStoreAway(t *testing.T) {
	l := newLab(t)
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	good := l.Traffic.Traffic
	closed, err := schema.Open(t.Context(), schema.Config{Socket: l.socket()})
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	l.Traffic.Traffic = newTraffic(closed)
	_, err = l.Execute(task)
	l.Want(err, reason.StoreUnavailable)
	if tk, w, _ := l.State.Task(task.TaskId); tk.State(&w, l.Now()) != warrant.TaskError {
		t.Errorf("task is %s", tk.State(&w, l.Now()))
	}
	l.Traffic.Traffic = good
	done, err := l.Execute(task)
	if err != nil || done.Answer != string(reason.Match) {
		t.Fatalf("after the store is back: %v, %v", done, err)
	}
	if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "abort", "intent", "result", "release"}) {
		t.Errorf("entries %v", got)
	}
}

// No ledger, no answer.
func TestLedgerAway(t *testing.T) {
	l := newLab(t)
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	if err := l.Log.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := l.Execute(task)
	l.Want(err, reason.LedgerUnavailable)
	_, _, err = l.Fetch(task)
	l.Want(err, reason.LedgerUnavailable)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads without a ledger", n)
	}
}

// The manifest cites the intent, which lies before the result in the ledger.
func TestOfflineLedgerAgrees(t *testing.T) {
	l := newLab(t)
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	if _, err := l.Execute(task); err != nil {
		t.Fatal(err)
	}
	sealed, receipt, err := l.Fetch(task)
	if err != nil {
		t.Fatal(err)
	}
	report := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity))
	for _, e := range l.Entries() {
		if e.Index == report.Manifest.IntentIndex && (e.Header.Kind != warrant.KindTaskIntent || e.Header.TaskID != task.TaskId) {
			t.Errorf("entry %d is %s", e.Index, e.Header.Kind)
		}
		if e.Header.Kind == warrant.KindTaskIntent {
			body, err := l.Log.Body(e)
			if err != nil || !strings.Contains(string(body), "192.0.2.17") {
				t.Errorf("the intent does not hold the question: %s, %v", body, err)
			}
		}
	}
	var shut []ledger.Entry
	if err := l.Keys.Shred(warrant.KeyID(task.WarrantId)); err != nil {
		t.Fatal(err)
	}
	l.Restart() // folds although every body of the case is gone
	if shut = l.Entries(); len(shut) == 0 {
		t.Fatal("no entries")
	}
	tk, _, ok := l.State.Task(task.TaskId)
	if !ok || tk.ReleasedAt.IsZero() || tk.Answer != reason.Match {
		t.Errorf("after shredding: %+v", tk)
	}
	if _, err := l.Log.Body(shut[0]); err == nil {
		t.Error("a shredded body opens")
	}
}

// TestZoneInForce: what is shown in local time is in the zone of the legal profile that
// is in force when it is shown, and not of the one that was when the server started.
func TestZoneInForce(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	law := l.Rules.Law()
	shown := func() string {
		t.Helper()
		task := l.Task(w, "192.0.2.17", l.Noon)
		dry, err := l.Tasks.ExecuteTask(l.Officer(), &griffierv1.ExecuteTaskRequest{RequestId: l.Request(), TaskId: task.TaskId, ExpectedGeneration: task.Generation, ValidateOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		sealed, receipt, err := func() ([]byte, []byte, error) {
			if _, err := l.Execute(task); err != nil {
				return nil, nil, err
			}
			return l.Fetch(task)
		}()
		if err != nil {
			t.Fatal(err)
		}
		r := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity))
		if !r.Verified() {
			t.Fatalf("%s", disclosuretest.JSON(r))
		}
		zone := r.Manifest.Question.LocalZone
		if !strings.Contains(strings.Join(dry.Effects, "\n"), zone) || !strings.Contains(l.Plain(sealed), zone) {
			t.Errorf("%s is not what the preview and the letter show: %v", zone, dry.Effects)
		}
		return zone
	}
	if zone := shown(); zone != "Europe/Amsterdam" {
		t.Errorf("shown in %s", zone)
	}
	moved := *law[0]
	moved.Zone = "Atlantic/Azores"
	l.Rules.Law = func() warrant.Law { return law.With(&moved) }
	if zone := shown(); zone != "Atlantic/Azores" {
		t.Errorf("shown in %s after the profile changed", zone)
	}
}
