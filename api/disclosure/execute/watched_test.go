package execute_test

import (
	"context"
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
	l.watched = &limits
	l.restart()
	return l
}

// links are what the watch entered of disclosures, in the order of the log.
func (l *lab) links() (out []oversight.Link) {
	l.t.Helper()
	linkage, _ := l.overseen.Sealed(time.Time{})
	for _, m := range linkage {
		entries, err := l.log.Read(l.t.Context(), m.Index, 1)
		if err != nil {
			l.t.Fatal(err)
		}
		text, err := l.log.Body(entries[0])
		if err != nil {
			l.t.Fatal(err)
		}
		link, err := oversight.ReadLink(text)
		if err != nil {
			l.t.Fatal(err)
		}
		out = append(out, link)
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
			l.restart()
		}
		done, err := l.execute(l.task(l.approved(time.Hour), "192.0.2.17", l.noon))
		l.want(err, "")
		answers = append(answers, done)
	}
	other, err := l.execute(l.task(l.approved(time.Hour), "2001:db8:1:2::17", l.noon))
	l.want(err, "")
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
	for _, e := range l.entries() {
		if text := string(e.Header.Facts); strings.Contains(text, "line-") || strings.Contains(text, "192.0.2.17") {
			t.Errorf("entry %d (%s) says %s", e.Index, e.Header.Kind, text)
		}
	}
	told, err := l.watching.Disclosures(t.Context(), l.state, "line-alice")
	if err != nil || len(told) != 0 {
		t.Errorf("while all is secret %v are told, %v", told, err)
	}
}

// A disclosure about a colleague's line is refused when the line is found, and
// nothing of it is kept; with the approval of a lawyer from outside it is made.
func TestConflictOfInterest(t *testing.T) {
	l := newWatchedLab(t, oversight.Limits{})
	if err := l.register.PutStaffLine(t.Context(), strings.Repeat("e", 32), "line-alice", true); err != nil {
		t.Fatal(err)
	}
	task := l.task(l.approved(time.Hour), "192.0.2.17", l.noon)
	_, err := l.execute(task)
	l.want(err, reason.ConflictOfInterest)
	for _, never := range []string{"alice", "eeee", "192.0.2"} {
		if strings.Contains(err.Error(), never) {
			t.Errorf("the refusal tells %q: %v", never, err)
		}
	}
	if kept := l.shelved(); len(kept) != 0 {
		t.Errorf("%v is kept of what was refused", kept)
	}
	if links := l.links(); len(links) != 0 {
		t.Errorf("what was refused counts as a disclosure: %v", links)
	}
	if _, _, err := l.fetch(task); reason.Of(err) == "" {
		t.Error("a package was fetched")
	}
	// Another line is nobody's business.
	_, err = l.execute(l.task(l.approved(time.Hour), "2001:db8:1:2::17", l.noon))
	l.want(err, "")

	outside := l.as("outside", griffierv1.Role_ROLE_EXTERNAL_APPROVER)
	w, err := l.warrants.CreateWarrant(l.officer(), &griffierv1.CreateWarrantRequest{RequestId: l.request(), Content: l.content(time.Hour)})
	l.want(err, "")
	w, err = l.calledBack(w)
	l.want(err, "")
	for _, by := range []context.Context{l.officer(), outside} {
		w, err = l.warrants.ApproveWarrant(by, &griffierv1.ApproveWarrantRequest{RequestId: l.request(), WarrantId: w.GetWarrantId(),
			ExpectedGeneration: w.GetGeneration(), ContentSha256: w.GetContentSha256()})
		l.want(err, "")
	}
	done, err := l.execute(l.task(w, "192.0.2.17", l.noon))
	l.want(err, "")
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
		w = l.approved(time.Hour)
	}
	for range 2 {
		_, err := l.warrants.CreateWarrant(l.officer(), &griffierv1.CreateWarrantRequest{RequestId: l.request(), Content: l.content(time.Hour)})
		l.want(err, reason.RateLimited)
	}
	if n := len(l.state.Warrants()); n != 3 {
		t.Errorf("%d warrants", n)
	}
	first := l.task(w, "192.0.2.17", l.noon)
	l.task(w, "192.0.2.17", l.noon.Add(time.Minute))
	create := &griffierv1.CreateTaskRequest{RequestId: l.request(), WarrantId: w.GetWarrantId(), ExpectedGeneration: w.GetGeneration(),
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.17", Instant: l.noon.Format(time.RFC3339)}
	_, err := l.tasks.CreateTask(l.officer(), create)
	l.want(err, reason.RateLimited)
	l.restart()
	_, err = l.tasks.CreateTask(l.officer(), create)
	l.want(err, reason.RateLimited)
	hits := l.overseen.Hits(time.Time{})
	if len(hits) != 2 || hits[0].Limit != oversight.WarrantsOfAuthority || hits[1].Limit != oversight.TasksOfOfficer {
		t.Errorf("hits = %+v", hits)
	}
	// What was asked before the limit is answered.
	_, err = l.execute(first)
	l.want(err, "")
	if got, _, ok := l.state.Task(first.GetTaskId()); !ok || got.Stored() != warrant.TaskDisclosed {
		t.Errorf("the first task is %s", got.Stored())
	}
}
