package disclosure_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
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

// One line, asked for under five warrants by five spellings: it is linked whatever it is
// called, and by no officer's count of their own.
func TestOneLineByFiveNames(t *testing.T) {
	l := newWatchedLab(t, oversight.Limits{})
	begin := l.Noon.Add(-30 * 24 * time.Hour)
	mac := schema.Identifier{Kind: schema.IdentMAC, Value: "eth0/100.7/aa:bb:cc:dd:ee:0f"}
	circuit := schema.Identifier{Kind: schema.IdentCircuit, Value: hex.EncodeToString([]byte("dslam-1/7"))}
	user := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "alice@isp.example"}
	alice, err := l.Register.Line(t.Context(), "line-alice")
	if err != nil {
		t.Fatal(err)
	}
	who, err := l.Register.Identity(t.Context(), "line-alice", l.Noon)
	if err != nil {
		t.Fatal(err)
	}
	who.Name = "Carla Pietersen" // nobody else has it
	err = l.Register.PutLine(t.Context(), alice, []register.Identifier{{Identifier: user, ValidFrom: begin, ValidTo: schema.Forever},
		{Identifier: mac, ValidFrom: begin, ValidTo: schema.Forever}, {Identifier: circuit, ValidFrom: begin, ValidTo: schema.Forever}}, who)
	if err != nil {
		t.Fatal(err)
	}
	content := l.Content(time.Hour)
	content.Targets = []string{"192.0.2.17", "line:line-alice", "radius:alice@isp.example", "circuit:dslam-1/7", "mac:AA-BB-CC-DD-EE-0F", "person:carla PIETERSEN;1234ab;1"}
	content.Categories = []griffierv1.Category{griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_IDENTITY}
	for i, target := range content.Targets {
		one := proto.Clone(content).(*griffierv1.WarrantContent)
		one.Reference, one.Targets = "PV "+l.Request(), []string{target}
		category := griffierv1.Category_CATEGORY_IDENTITY
		if i == 0 {
			category = griffierv1.Category_CATEGORY_ATTRIBUTION
		}
		l.MustAsk(l.Approve(one), reason.Match, category, target, 0, 0)
	}
	got := l.links()
	if len(got) != len(content.Targets) {
		t.Fatalf("%d disclosures were watched, want %d", len(got), len(content.Targets))
	}
	for i, link := range got {
		if want := i + 1; want >= oversight.LinkDisclosures && (link.Disclosures != want || len(link.Warrants) != want) || want < oversight.LinkDisclosures && link.Disclosures != 0 {
			t.Errorf("disclosure %d, by %s, is linked to %+v", want, content.Targets[i], link)
		}
	}
}

// A hold of another team is to a task what one is that does not exist, in its answer and
// in its package; of the own team it answers.
func TestHoldOfAnotherTeam(t *testing.T) {
	l := newLab(t)
	order := l.Order("NL-126ni", time.Hour)
	made, _ := l.MustExecute(l.Preservation(order, "192.0.2.17", l.Noon.Add(-time.Hour), l.Noon.Add(time.Hour)), reason.Preserved)
	ask := func(holdID string, want reason.Reason) *griffierv1.Task {
		t.Helper()
		done, _ := l.MustExecute(l.FromHold(l.Approved(time.Hour), holdID, "192.0.2.17", l.Noon), want)
		return done
	}
	ask(made.HoldId, reason.Match)
	d, refusal := l.Rules.Assign(l.State, warrant.Caller{Actor: "c0", Roles: []warrant.Role{warrant.PrivacyController}},
		warrant.AssignRequest{WarrantID: order.WarrantId, Team: "zuid", Explanation: "test"})
	if refusal != nil {
		t.Fatal(refusal)
	}
	if _, err := l.Log.Append(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	foreign, unknown := ask(made.HoldId, reason.DataNotHeld), ask(strings.Repeat("0", 32), reason.DataNotHeld)
	for _, answer := range []*griffierv1.Task{foreign, unknown} {
		answer.TaskId, answer.WarrantId, answer.PackageSha256, answer.ReleasedAt, answer.FromHold = "", "", "", nil, ""
	}
	if !proto.Equal(foreign, unknown) {
		t.Errorf("another team's hold answers %v, one that is not there %v", foreign, unknown)
	}
}
