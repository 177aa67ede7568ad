package radius

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/collector/binding"
)

// TestAnyOrder delivers the requests of some sessions in any order and number,
// with restarts in between, from a snapshot or by redoing. Each session must
// have one key, and end, if its Stop was delivered, when the Stop said.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type sent struct {
			packet  packet
			session int
		}
		var all []sent
		sessions := rapid.IntRange(1, 3).Draw(t, "sessions")
		for s := range sessions {
			begin := rapid.IntRange(0, 1000).Draw(t, "begin")
			lasted := 0
			id := fmt.Sprint("s", s)
			all = append(all, sent{packet{status: StatusStart, id: id, event: begin}, s})
			for range rapid.IntRange(0, 3).Draw(t, "interims") {
				lasted += rapid.IntRange(60, 300).Draw(t, "gap")
				all = append(all, sent{packet{status: StatusInterim, id: id, event: begin + lasted, lasted: lasted}, s})
			}
			lasted += rapid.IntRange(1, 300).Draw(t, "gap")
			all = append(all, sent{packet{status: StatusStop, id: id, event: begin + lasted, lasted: lasted}, s})
		}
		delivery := rapid.SliceOfN(rapid.SampledFrom(all), 1, 3*len(all)).Draw(t, "delivery")

		tracker := NewTracker(TrackerConfig{})
		keys, ends := map[int]string{}, map[int]time.Time{}
		var log []binding.Observation
		for i, d := range delivery {
			a, _ := d.packet.accounting()
			arrival := at(5000 + i)
			for _, o := range tracker.Apply(a, nasSource, arrival).Observations {
				log = append(log, o)
				if key, ok := keys[d.session]; ok && key != o.SessionKey {
					t.Fatalf("delivery %d: session has keys %q and %q", i, key, o.SessionKey)
				}
				keys[d.session] = o.SessionKey
				if end, ok := ends[d.session]; ok && o.At.After(end) {
					t.Fatalf("delivery %d: %s at %v extends a session that ended at %v", i, o.Kind, o.At, end)
				}
				if o.Kind == binding.End {
					ends[d.session] = o.At
				}
				if !o.SessionStartedAt.IsZero() && o.SessionStartedAt.After(o.At) {
					t.Fatalf("delivery %d: started after it was seen", i)
				}
			}
			if d.packet.status == StatusStop && !ends[d.session].Equal(at(d.packet.event)) {
				t.Fatalf("delivery %d: ended at %v, the Stop said %v", i, ends[d.session], at(d.packet.event))
			}
			switch rapid.IntRange(0, 9).Draw(t, "restart") {
			case 0:
				snapshot, err := tracker.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				tracker = NewTracker(TrackerConfig{})
				if err := tracker.Restore(snapshot); err != nil {
					t.Fatal(err)
				}
			case 1:
				tracker = NewTracker(TrackerConfig{})
				for _, o := range log {
					if err := tracker.Redo(o); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	})
}
