package disclosure_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// newWatchedLab is a lab that oversight watches.
func newWatchedLab(t *testing.T, limits oversight.Limits) *lab {
	l := newLab(t)
	l.Watched = &limits
	l.Restart()
	return l
}

// links are what the watch entered of disclosures, in the order of the log.
func (l *lab) links() (out []oversight.Link) {
	l.T.Helper()
	linkage, _ := l.Overseen.Sealed(time.Time{})
	for _, m := range linkage {
		entries, err := l.Log.Read(l.T.Context(), m.Index, 1)
		if err != nil {
			l.T.Fatal(err)
		}
		text, err := l.Log.Body(entries[0])
		if err != nil {
			l.T.Fatal(err)
		}
		var sealed oversight.WatchBody
		if err := json.Unmarshal(text, &sealed); err != nil {
			l.T.Fatal(err)
		}
		out = append(out, sealed.Link)
	}
	return out
}

// Scenario 6, insider: "LO queries ex-partner by opening 4 small orders in 30 days ->
// D-63 flag": with the third, over a restart, and no officer is told or stopped.
func TestScenario06FourSmallOrders(t *testing.T) {
	l := newWatchedLab(t, oversight.Limits{})
	var answers []*griffierv1.Task
	for n := range 4 {
		if n == 2 {
			l.Restart()
		}
		done, err := l.Execute(l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon))
		l.Want(err, "")
		answers = append(answers, done)
	}
	other, err := l.Execute(l.Task(l.Approved(time.Hour), "2001:db8:1:2::17", l.Noon))
	l.Want(err, "")
	got := l.links()
	if len(got) != 5 {
		t.Fatalf("%d disclosures were watched, want 5", len(got))
	}
	for i, want := range []int{0, 0, 3, 4, 0} {
		if got[i].Disclosures != want || want > 0 && len(got[i].Warrants) != want {
			t.Errorf("disclosure %d is linked to %+v, want %d", i, got[i], want)
		}
	}
	for _, a := range append(answers, other) { // every answer is of the same form
		a = proto.Clone(a).(*griffierv1.Task)
		a.TaskId, a.WarrantId, a.PackageSha256, a.ReleasedAt, a.Target = "", "", "", nil, ""
		first := proto.Clone(answers[0]).(*griffierv1.Task)
		first.TaskId, first.WarrantId, first.PackageSha256, first.ReleasedAt, first.Target = "", "", "", nil, ""
		if !proto.Equal(a, first) {
			t.Errorf("an officer is shown a difference: %v, %v", a, first)
		}
	}
	for _, e := range l.Entries() {
		if text := string(e.Header.Facts); strings.Contains(text, "line-") || strings.Contains(text, "192.0.2.17") {
			t.Errorf("entry %d (%s) says %s", e.Index, e.Header.Kind, text)
		}
	}
	told, err := l.Watching.Disclosures(t.Context(), l.State, "line-alice")
	if err != nil || len(told) != 0 {
		t.Errorf("while all is secret %v are told, %v", told, err)
	}
}

// A disclosure about a colleague's line is refused when the line is found, and
// nothing of it is kept; with the approval of a lawyer from outside it is made.
func TestConflictOfInterest(t *testing.T) {
	l := newWatchedLab(t, oversight.Limits{})
	if err := l.Register.PutStaffLine(t.Context(), strings.Repeat("e", 32), "line-alice", true); err != nil {
		t.Fatal(err)
	}
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	_, err := l.Execute(task)
	l.Want(err, reason.ConflictOfInterest)
	for _, never := range []string{"alice", "eeee", "192.0.2"} {
		if strings.Contains(err.Error(), never) {
			t.Errorf("the refusal tells %q: %v", never, err)
		}
	}
	if kept := l.Shelved(); len(kept) != 0 {
		t.Errorf("%v is kept of what was refused", kept)
	}
	if links := l.links(); len(links) != 0 {
		t.Errorf("what was refused counts as a disclosure: %v", links)
	}
	if _, _, err := l.Fetch(task); reason.Of(err) == "" {
		t.Error("a package was fetched")
	}
	// Another line is nobody's business.
	_, err = l.Execute(l.Task(l.Approved(time.Hour), "2001:db8:1:2::17", l.Noon))
	l.Want(err, "")

	outside := l.As("outside", griffierv1.Role_ROLE_EXTERNAL_APPROVER)
	w, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: l.Content(time.Hour)})
	l.Want(err, "")
	w, err = l.CalledBack(w)
	l.Want(err, "")
	for _, by := range []context.Context{l.Officer(), outside} {
		w, err = l.Warrants.ApproveWarrant(by, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.GetWarrantId(),
			ExpectedGeneration: w.GetGeneration(), ContentSha256: w.GetContentSha256()})
		l.Want(err, "")
	}
	done, err := l.Execute(l.Task(w, "192.0.2.17", l.Noon))
	l.Want(err, "")
	if done.GetAnswer() != string(reason.Match) {
		t.Errorf("approved from outside: %v", done)
	}
}

// Scenario 15: "50 orders/hour from one authority -> throttled", here with fewer; and
// an officer's tasks. What is refused is entered once, for oversight.
func TestScenario15Limits(t *testing.T) {
	l := newWatchedLab(t, oversight.Limits{WarrantsPerAuthorityHour: 3, TasksPerOfficerDay: 2})
	var w *griffierv1.Warrant
	for range 3 {
		w = l.Approved(time.Hour)
	}
	for range 2 {
		_, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: l.Content(time.Hour)})
		l.Want(err, reason.RateLimited)
	}
	if n := len(l.State.Warrants()); n != 3 {
		t.Errorf("%d warrants", n)
	}
	first := l.Task(w, "192.0.2.17", l.Noon)
	l.Task(w, "192.0.2.17", l.Noon.Add(time.Minute))
	create := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.GetWarrantId(), ExpectedGeneration: w.GetGeneration(),
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.17", Instant: l.Noon.Format(time.RFC3339)}
	_, err := l.Tasks.CreateTask(l.Officer(), create)
	l.Want(err, reason.RateLimited)
	l.Restart()
	_, err = l.Tasks.CreateTask(l.Officer(), create)
	l.Want(err, reason.RateLimited)
	hits := l.Overseen.Hits(time.Time{})
	if len(hits) != 2 || hits[0].Limit != oversight.WarrantsOfAuthority || hits[1].Limit != oversight.TasksOfOfficer {
		t.Errorf("hits = %+v", hits)
	}
	// What was asked before the limit is answered.
	_, err = l.Execute(first)
	l.Want(err, "")
	if got, _, ok := l.State.Task(first.GetTaskId()); !ok || got.Stored() != warrant.TaskDisclosed {
		t.Errorf("the first task is %s", got.Stored())
	}
}
