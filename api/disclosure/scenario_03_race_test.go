package disclosure_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// Scenario 3, race of expiry against a query: "query blocked 5 s by a failpoint,
// order expires at +2 s -> release refused, package never readable, audit shows
// intent + aborted result. Run 1000x with random offsets; no release with
// released_at >= EndTime." The thousand are [TestInterleavings].
func TestScenario03ExpiryDuringTheQuery(t *testing.T) {
	for _, test := range []struct {
		name  string
		clock func(l *lab, until time.Time) // once the intent is entered
		query func(l *lab, until time.Time) // in the middle of it
	}{
		{"the query does not notice", func(l *lab, until time.Time) { l.Skew.Store(int64(time.Until(until) - 2*time.Second)) },
			func(l *lab, until time.Time) { time.Sleep(until.Sub(l.Now()) + time.Second) }},
		{"the clock leaps in the query", func(*lab, time.Time) {},
			func(l *lab, until time.Time) { l.Skew.Store(int64(time.Until(until))) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			w := l.Approved(time.Hour)
			until, err := time.Parse(time.RFC3339Nano, w.Content.ValidUntil)
			if err != nil {
				t.Fatal(err)
			}
			task := l.Task(w, "192.0.2.17", l.Noon)
			l.Book.After = func(e ledger.Entry) {
				if e.Header.Kind == warrant.KindTaskIntent {
					test.clock(l, until)
				}
			}
			l.Traffic.During = func(context.Context) { test.query(l, until) }
			_, err = l.Execute(task)
			l.Want(err, reason.WarrantExpired)
			l.Traffic.During, l.Book.After = nil, nil
			if got := l.Kinds(task.TaskId); !slices.Equal(got, []string{"create", "intent", "abort"}) {
				t.Errorf("entries %v", got)
			}
			check := func(when string) {
				if files := l.Shelved(); len(files) != 0 {
					t.Errorf("%s: left behind: %v", when, files)
				}
				sealed, _, err := l.Fetch(task)
				if got := reason.Of(err); got != reason.WarrantExpired && got != reason.NotFound || len(sealed) != 0 {
					t.Errorf("%s: fetched %d bytes, %v", when, len(sealed), err)
				}
				_, err = l.Execute(task)
				l.Want(err, reason.WarrantExpired)
			}
			check("after the execution")
			l.Restart()
			check("after a restart")
		})
	}
}
