package disclosure_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Scenario 6, insider: "LO approves own; two accounts of one person (same sub/device)
// -> SELF_APPROVAL". Roles are by person: who has two hats is one person still.
func TestScenario06Approvals(t *testing.T) {
	l := newGatedLab(t)
	create := func(by context.Context) *griffierv1.Warrant {
		t.Helper()
		w, err := l.Warrants.CreateWarrant(by, &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: l.Content(time.Hour)})
		if err == nil {
			w, err = l.CalledBack(w)
		}
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	approve := func(by context.Context, w *griffierv1.Warrant) error {
		_, err := l.Warrants.ApproveWarrant(by, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
			ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256})
		return err
	}
	w := create(l.Officer())
	l.Want(approve(l.Officer(), w), "")
	l.Want(approve(l.Officer(), w), reason.SelfApproval)
	task := l.Task(w, "192.0.2.17", l.Noon)
	_, err := l.Execute(task)
	l.Want(err, reason.WarrantIncomplete)

	w = create(l.As("two hats"))
	l.Want(approve(l.As("two hats"), w), "")
	l.Want(approve(l.As("two hats"), w), reason.SelfApproval)

	// Neither those who look on nor those without a part in it can approve, execute
	// or read; and an approval is of what was seen.
	w = create(l.Officer())
	for _, who := range []string{"support", "overseer"} {
		l.Want(approve(l.As(who), w), reason.PermissionDenied)
		_, err := l.Tasks.ExecuteTask(l.As(who), &griffierv1.ExecuteTaskRequest{TaskId: task.TaskId, ExpectedGeneration: 1})
		l.Want(err, reason.PermissionDenied)
	}
	w.ContentSha256 = strings.Repeat("0", 64)
	l.Want(approve(l.Approver(), w), reason.GenerationMismatch)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
}

// Scenario 6, insider: "LO edits target after first approval -> approvals void".
// What the second approver would sign is not what the first has seen, so neither
// the old approval nor one of the old content counts, and the task of it runs never.
func TestScenario06EditAfterApproval(t *testing.T) {
	l := newLab(t)
	content := l.Content(time.Hour)
	content.Targets = []string{"192.0.2.17"}
	w, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
	if err == nil {
		w, err = l.CalledBack(w)
	}
	approve := func(by context.Context, w *griffierv1.Warrant) (*griffierv1.Warrant, error) {
		return l.Warrants.ApproveWarrant(by, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
			ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256})
	}
	if err == nil {
		w, err = approve(l.Officer(), w)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen, task := w, l.Task(w, "192.0.2.17", l.Noon)
	content.Targets = []string{"192.0.2.20"}
	w, err = l.Warrants.EditWarrant(l.Officer(), &griffierv1.EditWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation, Content: content})
	if err != nil {
		t.Fatal(err)
	}
	if w.Generation != seen.Generation+1 || w.ContentSha256 == seen.ContentSha256 || len(w.Approvals) != 0 {
		t.Errorf("after the edit: generation %d, approvals %v", w.Generation, w.Approvals)
	}
	_, err = approve(l.Approver(), seen)
	l.Want(err, reason.GenerationMismatch)
	half := proto.Clone(seen).(*griffierv1.Warrant)
	half.Generation = w.Generation // what was seen, under the number of what is
	_, err = approve(l.Approver(), half)
	l.Want(err, reason.GenerationMismatch)
	_, err = l.Execute(task)
	if err == nil {
		t.Error("a task of the old content was executed")
	}
	if w, err = l.CalledBack(w); err != nil { // the authority is asked about what the order now says
		t.Fatal(err)
	}
	for _, by := range []context.Context{l.Approver(), l.Officer()} {
		next := l.Task(w, "192.0.2.20", l.Noon.Add(-time.Minute))
		_, err = l.Execute(next)
		l.Want(err, reason.WarrantIncomplete)
		if w, err = approve(by, w); err != nil {
			t.Fatal(err)
		}
	}
	_, err = l.Execute(task)
	l.Want(err, reason.GenerationMismatch)
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
	l.MustExecute(l.Task(w, "192.0.2.20", l.Noon.Add(-time.Minute)), reason.Match)
}

// Scenario 6, insider: "DBA selects the legal view -> denied". The embedded store
// has no users: its socket is its owner's alone, and what is behind it names nobody.
// A server's users are tried one by one in package schema.
func TestScenario06DatabaseAdministrator(t *testing.T) {
	l := newLab(t)
	info, err := os.Stat(l.Sock)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the store's socket: %v, %v", info.Mode(), err)
	}
	if _, err := l.Execute(l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)); err != nil {
		t.Fatal(err)
	}
	rows, err := l.Conn.Query(t.Context(), "SELECT concat(database, '.', name) FROM system.tables WHERE database IN ('traffic', 'register') AND engine LIKE '%MergeTree'")
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, name)
	}
	rows.Close()
	content := map[string]string{}
	for _, table := range tables {
		var text string
		if err := l.Conn.QueryRow(t.Context(), fmt.Sprintf("SELECT arrayStringConcat(groupArray(toString(tuple(*))), '\\n') FROM %s", table)).Scan(&text); err != nil {
			t.Fatalf("%s: %v", table, err)
		}
		content[table] = text
	}
	// The register knows lines by their ids, the traffic nothing but pseudonyms.
	for table, text := range content {
		for _, secret := range []string{"Jansen", "Dorpsstraat", "Betaalweg", "1234 AB", "alice@isp", "0ff1", "NL-OM"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s says %q", table, secret)
			}
		}
		if strings.HasPrefix(table, "traffic.") && strings.Contains(text, "line-") {
			t.Errorf("%s names a line", table)
		}
	}
	// Negative control: the rows were read.
	if text := content["register.line"]; !strings.Contains(text, "line-alice") {
		t.Errorf("register.line: %q", text)
	}
	if text := content["traffic.assignment_slice"]; !strings.Contains(text, "192.0.2.17") {
		t.Errorf("traffic.assignment_slice: %.200q", text)
	}
}
