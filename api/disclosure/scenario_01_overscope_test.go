package disclosure_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	"griffier/api/server"
	griffierv1 "griffier/proto/griffier/v1"
)

// Scenario 1, over-scope: "126na order, task asks TIME -> FAILED_PRECONDITION/
// CATEGORY_EXCEEDS_BASIS; zero ClickHouse queries issued (assert on query log);
// audit has the refusal."
func TestScenario01OverScope(t *testing.T) {
	l := newGatedLab(t)
	w := l.Approved(time.Hour)
	ask := func(category griffierv1.Category, target string) (*griffierv1.Task, error) {
		return l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
			Category: category, Target: target, Instant: l.Noon.Format(time.RFC3339)})
	}
	for _, category := range []griffierv1.Category{griffierv1.Category_CATEGORY_TIME, griffierv1.Category_CATEGORY_HISTORY, griffierv1.Category_CATEGORY_VOLUME} {
		size := l.Log.Size()
		var err error
		queries := l.Queries(func() { _, err = ask(category, "192.0.2.17") })
		l.Want(err, reason.CategoryExceedsBasis)
		if status.Code(err) != codes.FailedPrecondition {
			t.Errorf("%v: code %v", category, status.Code(err))
		}
		// The message names the article, the category, and an article of the same law
		// that would do, if there is one.
		name, needed := strings.TrimPrefix(category.String(), "CATEGORY_"), "NL-126n"
		if category == griffierv1.Category_CATEGORY_VOLUME {
			needed = "no basis of this law does"
		}
		for _, want := range []string{"126na", name, needed} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: the refusal does not say %q: %v", category, want, err)
			}
		}
		if queries != 0 {
			t.Errorf("%v: %d queries were issued", category, queries)
		}
		entries := l.since(size)
		if len(entries) != 1 || entries[0].Header.Kind != server.KindRefusal || entries[0].Header.Reason != string(reason.CategoryExceedsBasis) ||
			entries[0].Header.Actor == "" || strings.Contains(disclosuretest.JSON(entries[0].Header), "192.0.2") {
			t.Errorf("%v: entries %s", category, disclosuretest.JSON(entries))
		}
	}
	// Neither does a change of target help.
	queries := l.Queries(func() {
		_, err := ask(griffierv1.Category_CATEGORY_ATTRIBUTION, "192.0.2.18")
		l.Want(err, reason.TargetNotSpecific)
	})
	if queries != 0 {
		t.Errorf("%d queries were issued for a target that the warrant does not name", queries)
	}
	// Negative control: what the order covers is asked of the engine, and is seen there.
	var task *griffierv1.Task
	queries = l.Queries(func() {
		var err error
		if task, err = ask(griffierv1.Category_CATEGORY_ATTRIBUTION, "192.0.2.17"); err != nil {
			t.Fatal(err)
		}
	})
	if queries != 0 {
		t.Errorf("making a task issued %d queries", queries)
	}
	queries = l.Queries(func() {
		if done, err := l.Execute(task); err != nil || done.Answer != string(reason.Match) {
			t.Fatalf("%v, %v", done, err)
		}
	})
	if queries < 3 {
		t.Errorf("the execution issued %d queries: the count counts nothing", queries)
	}
}
