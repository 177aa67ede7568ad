package disclosure_test

import (
	"strings"
	"testing"
	"time"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Scenario 4, clock boundary: "A holds IP until 12:00:00.000, B from 12:00:00.000;
// ask 11:59:59, 12:00:00, 12:00:01 with ±2 s -> all AMBIGUOUS_BOUNDARY; at 11:59:57
// -> A; with uncertainty 0 and margin 0 (test profile) 12:00:00 -> B."
func TestScenario04Boundary(t *testing.T) {
	l := newLab(t)
	w := l.Approved(time.Hour)
	ask := func(at time.Time, uncertainty uint32) (*griffierv1.Task, string) {
		t.Helper()
		task, err := l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
			Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.20", Instant: at.Format(time.RFC3339Nano), UncertaintySeconds: uncertainty})
		if err != nil {
			t.Fatal(err)
		}
		done, err := l.Execute(task)
		if err != nil {
			t.Fatal(err)
		}
		sealed, _, err := l.Fetch(task)
		if err != nil {
			t.Fatal(err)
		}
		return done, l.Plain(sealed)
	}
	const second = time.Second
	for _, test := range []struct {
		at          time.Duration // around the hand-over
		uncertainty uint32
		want        reason.Reason
		says        string
	}{
		{-3 * second, 0, reason.Match, "line-alice"},
		{-2*second - time.Millisecond, 0, reason.Match, "line-alice"},
		{-2 * second, 0, reason.AmbiguousBoundary, ""}, // its interval has 12:00:00.000, when B begins
		{-second, 0, reason.AmbiguousBoundary, ""},
		{0, 0, reason.AmbiguousBoundary, ""},
		{second, 0, reason.AmbiguousBoundary, ""},
		{2*second - time.Millisecond, 0, reason.AmbiguousBoundary, ""},
		{2 * second, 0, reason.Match, "line-bob"}, // and from 12:00:00.000 on there is only B
		{3 * second, 0, reason.Match, "line-bob"},
		// What the authority says of its own clock comes on top of ours.
		{-3 * second, 1, reason.AmbiguousBoundary, ""},
		{-3*second - time.Millisecond, 1, reason.Match, "line-alice"},
	} {
		done, plain := ask(l.Noon.Add(test.at), test.uncertainty)
		if done.Answer != string(test.want) || !strings.Contains(plain, test.says) {
			t.Errorf("at %v ± %d s: %s, want %s of %q", test.at, test.uncertainty, done.Answer, test.want, test.says)
		}
		if found := reveals(plain); test.want != reason.Match && found != nil {
			t.Errorf("at %v: an ambiguous answer says %v", test.at, found)
		}
	}

	// A margin of a nanosecond is the least there is: zero means the default. The
	// interval of 12:00:00.000000001 begins at 12:00:00, which is B's alone.
	l.Margin = 1
	l.Restart()
	for _, test := range []struct {
		at   time.Duration
		want reason.Reason
		says string
	}{
		{-2, reason.Match, "line-alice"},
		{-1, reason.AmbiguousBoundary, ""},
		{0, reason.AmbiguousBoundary, ""},
		{1, reason.Match, "line-bob"},
	} {
		done, plain := ask(l.Noon.Add(test.at), 0)
		if done.Answer != string(test.want) || !strings.Contains(plain, test.says) {
			t.Errorf("without a margin, at %d ns: %s, want %s of %q", test.at, done.Answer, test.want, test.says)
		}
	}
}
