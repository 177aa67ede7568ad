package disclosure_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// TestNoReleaseAtOrAfterTheEnd lets warrants expire and be revoked at random
// moments around executions, releases and fetches that run at the same time,
// and reads in the ledger what happened in which order.
func TestNoReleaseAtOrAfterTheEnd(t *testing.T) {
	l := newLab(t)
	const rounds = 60
	released, refused := 0, 0
	ends := map[string]time.Time{}  // end of validity by warrant
	scale := 120 * time.Millisecond // follows the machine, so that the end falls amid the execution
	for round := range rounds {
		life := scale/2 + rand.N(scale)
		w, task := l.shortLived(life)
		if task == nil {
			scale += scale / 4
			continue // expired before it was approved; nothing to race
		}
		ends[w.WarrantId], _ = time.Parse(time.RFC3339Nano, w.Content.ValidUntil)
		var wg sync.WaitGroup
		for range 1 + rand.IntN(3) {
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
				_, err := l.Execute(task)
				allowed(t, err)
			})
		}
		if round%2 == 0 {
			wg.Go(func() {
				time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond)
				_, err := l.Warrants.RevokeWarrant(l.Approver(), &griffierv1.RevokeWarrantRequest{RequestId: "race-revoke-" + task.TaskId,
					WarrantId: w.WarrantId, ExpectedGeneration: 1})
				allowed(t, err)
			})
		}
		wg.Go(func() {
			for range 10 {
				time.Sleep(time.Duration(rand.IntN(15)) * time.Millisecond)
				_, _, err := l.Fetch(task)
				allowed(t, err)
			}
		})
		wg.Wait()
		if tk, _, _ := l.State.Task(task.TaskId); tk.ReleasedAt.IsZero() {
			refused++
			scale += scale / 4
		} else {
			released++
			scale -= scale / 5
		}
	}
	t.Logf("%d released, %d refused", released, refused)
	if released == 0 || refused == 0 {
		t.Errorf("the race is not one: %d released, %d refused", released, refused)
	}

	type story struct{ intents, results, aborts, releases int }
	stories := map[string]*story{}
	over := map[string]ledger.Entry{} // revocation by warrant
	for _, e := range l.Entries() {
		h := e.Header
		if h.Kind == warrant.KindRevoke {
			over[h.WarrantID] = e
		}
		if h.TaskID == "" {
			continue
		}
		s := stories[h.TaskID]
		if s == nil {
			s = &story{}
			stories[h.TaskID] = s
		}
		_, revoked := over[h.WarrantID]
		ended := revoked || (!ends[h.WarrantID].IsZero() && !h.At.Before(ends[h.WarrantID]))
		switch h.Kind {
		case warrant.KindTaskIntent:
			s.intents++
		case warrant.KindTaskResult:
			s.results++
		case warrant.KindAbort:
			s.aborts++
			continue
		case warrant.KindRelease:
			s.releases++
		case warrant.KindDestroy:
			continue
		}
		if ended {
			t.Errorf("entry %d, %s, at %v: the warrant had ended", e.Index, h.Kind, h.At)
		}
	}
	for id, s := range stories {
		if s.releases > 1 || s.intents != s.releases+s.aborts || s.results > s.intents {
			t.Errorf("task %s: %+v", id, *s)
		}
	}
}

// shortLived makes an approved warrant with a task; none if it ended on the way.
func (l *lab) shortLived(life time.Duration) (*griffierv1.Warrant, *griffierv1.Task) {
	l.T.Helper()
	w, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: l.Content(life)})
	if err == nil {
		_, err = l.CalledBack(w)
	}
	if err == nil {
		_, err = l.Warrants.ApproveWarrant(l.Officer(), &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
			ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	}
	if err == nil {
		_, err = l.Warrants.ApproveWarrant(l.Approver(), &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
			ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	}
	var task *griffierv1.Task
	if err == nil {
		task, err = l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
			Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.17", Instant: l.Noon.Format(time.RFC3339)})
	}
	if err != nil && reason.Of(err) != reason.WarrantExpired {
		l.T.Fatal(err)
	}
	return w, task
}

// allowed wants no error, or a reason that a race may end in.
func allowed(t *testing.T, err error) {
	switch reason.Of(err) {
	case reason.WarrantExpired, reason.WarrantTerminal, reason.NotFound:
	default:
		if err != nil {
			t.Error(err)
		}
	}
}
