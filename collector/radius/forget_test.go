package radius

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSilentSessionsAreForgotten has sessions come, say something now and then,
// and never stop, over weeks. What is remembered is bounded by what was heard of
// lately; a session that goes on keeps its key; and news of one that is forgotten
// which lay in a queue opens nothing.
func TestSilentSessionsAreForgotten(t *testing.T) {
	cfg := TrackerConfig{StaleAfter: 26 * time.Hour}
	silence := cfg.StaleAfter + 48*time.Hour
	rapid.Check(t, func(t *rapid.T) {
		tracker := NewTracker(cfg)
		now := at(0)
		heard, begun, keys := map[string]time.Time{}, map[string]time.Time{}, map[string]string{}
		fresh := 0
		apply := func(a Accounting) Result {
			a.MultiSession = "m" + a.SessionID[len(a.SessionID)-1:] // a few share one
			a.UserName, a.NASIdentifier = "alice", "bng1"
			return tracker.Apply(a, nasSource, now)
		}
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(1, 14*60).Draw(t, "minutes")) * time.Minute)
			id := fmt.Sprint("s", fresh)
			kind := rapid.SampledFrom([]string{"start", "start", "interim", "interim", "queued", "restart"}).Draw(t, "kind")
			if kind != "start" && kind != "restart" {
				if fresh == 0 {
					continue
				}
				id = fmt.Sprint("s", rapid.IntRange(0, fresh-1).Draw(t, "session"))
			}
			silent := now.Sub(heard[id])
			switch kind {
			case "start":
				fresh++
				r := apply(Accounting{Status: StatusStart, SessionID: id, EventAt: now})
				heard[id], begun[id], keys[id] = now, now, r.Observations[0].SessionKey
			case "interim":
				r := apply(Accounting{Status: StatusInterim, SessionID: id, EventAt: now, SessionTime: now.Sub(begun[id]), HasSessionTime: true})
				// Its start as told, in whole seconds here, makes the same key again.
				if len(r.Observations) != 1 || r.Observations[0].SessionKey != keys[id] {
					t.Fatalf("after %v: %+v, want one observation of %s", silent, r, keys[id])
				}
				heard[id] = now
			case "queued":
				last := heard[id]
				known := tracker.nas["bng1"].sessions[id] != nil
				r := apply(Accounting{Status: StatusInterim, SessionID: id, EventAt: last, SessionTime: last.Sub(begun[id]), HasSessionTime: true})
				still := tracker.nas["bng1"].sessions[id] != nil
				if silent >= 24*time.Hour && silent < maxQueued && !still && (len(r.Observations) > 0 || r.Reason != ReasonQueued) {
					t.Fatalf("queued for %v, session forgotten: %+v", silent, r)
				}
				if !known && still && silent >= 24*time.Hour {
					t.Fatalf("queued for %v: opened a session that is over", silent)
				}
				if len(r.Observations) > 0 && r.Observations[0].At.After(last) {
					heard[id] = r.Observations[0].At
				}
			case "restart":
				snapshot, err := tracker.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				tracker = NewTracker(cfg)
				if err := tracker.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Whoever comes next finds the silent ones gone.
		now = now.Add(watchEvery)
		apply(Accounting{Status: StatusStart, SessionID: "last", EventAt: now})
		apply(Accounting{Status: StatusInterim, SessionID: "last", EventAt: now})
		apply(Accounting{Status: StatusInterim, SessionID: "last", EventAt: now})
		want := 1
		for id, last := range heard {
			switch known := tracker.nas["bng1"].sessions[id] != nil; {
			case now.Sub(last) <= silence && !known:
				t.Fatalf("session heard of %v ago is forgotten", now.Sub(last))
			case now.Sub(last) > silence+watchEvery && known:
				t.Fatalf("session silent for %v is remembered", now.Sub(last))
			case known:
				want++
			}
		}
		if tracker.Len() != want {
			t.Fatalf("Len is %d, and %d are there", tracker.Len(), want)
		}
		grouped := 0
		for _, g := range tracker.nas["bng1"].groups {
			grouped += g.sessions
		}
		if grouped != want || len(tracker.nas["bng1"].groups) > want {
			t.Fatalf("%d sessions in %d groups, want %d", grouped, len(tracker.nas["bng1"].groups), want)
		}
		if n := len(tracker.watches); n > want {
			t.Fatalf("%d watches of %d sessions", n, want)
		}
	})
}

// TestNeverStale: without a limit nothing is forgotten without a Stop.
func TestNeverStale(t *testing.T) {
	tracker := NewTracker(TrackerConfig{})
	tracker.Apply(Accounting{Status: StatusStart, SessionID: "1", UserName: "alice"}, nasSource, at(0))
	tracker.Apply(Accounting{Status: StatusStart, SessionID: "2", UserName: "bob"}, nasSource, at(0).AddDate(1, 0, 0))
	if tracker.Len() != 2 || len(tracker.watches) != 0 || tracker.Silent() != 0 {
		t.Errorf("%d sessions, %d watches, %d forgotten", tracker.Len(), len(tracker.watches), tracker.Silent())
	}
}

// TestQueuedTooLong: a record from before what is believed says nothing of the
// present, unless its session is known or its clock was never set.
func TestQueuedTooLong(t *testing.T) {
	const day = 86400
	for name, test := range map[string]struct {
		packet packet
		want   string
	}{
		"interim":           {packet{status: StatusInterim, event: 0, arrives: 3 * day, lasted: 60, v4: "100.64.0.1"}, "queued_too_long"},
		"stop":              {packet{status: StatusStop, event: 0, arrives: 3 * day, lasted: 60, v4: "100.64.0.1"}, "queued_too_long"},
		"by its delay":      {packet{status: StatusInterim, event: -1, arrives: 3 * day, delay: 2 * day, v4: "100.64.0.1"}, "queued_too_long"},
		"clock never set":   {packet{status: StatusInterim, event: 0, arrives: 40 * day, v4: "100.64.0.1"}, "refresh@3456000 100.64.0.1 synthesised, implausible_at"},
		"late but believed": {packet{status: StatusInterim, event: 0, arrives: day - 1, v4: "100.64.0.1"}, "refresh@0 100.64.0.1"},
	} {
		a, arrival := test.packet.accounting()
		if got := describe(NewTracker(TrackerConfig{}).Apply(a, nasSource, arrival)); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// TestSkew: the two instants that no record holds are told as one difference.
func TestSkew(t *testing.T) {
	a, arrival := packet{status: StatusStart, event: 60, arrives: 100, delay: 30}.accounting()
	if r := NewTracker(TrackerConfig{}).Apply(a, nasSource, arrival); !r.Dated || r.Skew != 10*time.Second {
		t.Errorf("skew %v, dated %v", r.Skew, r.Dated)
	}
	a, arrival = packet{status: StatusStart, event: -1, arrives: 100, delay: 30}.accounting()
	if r := NewTracker(TrackerConfig{}).Apply(a, nasSource, arrival); r.Dated {
		t.Error("dated without Event-Timestamp")
	}
}
