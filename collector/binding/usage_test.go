package binding

import (
	"testing"
	"time"

	"griffier/schema"

	"pgregory.net/rapid"
)

func TestUsageGoesToTheBucketOfItsDrain(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	id, ref := schema.ID{1}, schema.AccessRef{2}
	read := func(t time.Time, bytes uint64) {
		s.add(b.Usage(t, []Reading{{CounterID: id, AccessRef: ref, Direction: schema.Up, IPVersion: 4, Bytes: bytes, Packets: bytes / 100}}, false))
	}
	read(at(10, 0).Add(20*time.Millisecond), 100) // due at 10:00: belongs to 09:55
	read(at(10, 2), 500)
	read(at(10, 4), 600)
	read(at(10, 5).Add(3*time.Millisecond), 1000)
	read(at(10, 7), 1000)
	read(at(10, 10).Add(time.Millisecond), 1000)
	read(at(10, 31), 5000) // the collector was away for twenty minutes
	read(at(10, 35), 5000)
	type row struct {
		bucket time.Time
		bytes  uint64
	}
	want := []row{{at(9, 55), 100}, {at(10, 0), 900}, {at(10, 30), 4000}}
	if len(s.usage) != len(want) {
		t.Fatalf("%d usage records, want %d: %+v", len(s.usage), len(want), s.usage)
	}
	for i, u := range s.usage {
		if !u.BucketStartedAt.Equal(want[i].bucket) || u.Bytes != want[i].bytes || !u.EndedAt.Equal(want[i].bucket.Add(5*time.Minute)) {
			t.Errorf("record %d: %d bytes in bucket %v, want %d in %v", i, u.Bytes, u.BucketStartedAt, want[i].bytes, want[i].bucket)
		}
	}
}

func TestUsageCounterThatGoesBackCountsNothing(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	r := Reading{CounterID: schema.ID{1}, AccessRef: schema.AccessRef{1}, Direction: schema.Up, IPVersion: 4, Bytes: 1000, Packets: 10}
	s.add(b.Usage(at(10, 1), []Reading{r}, true))
	r.Bytes = 400
	s.add(b.Usage(at(10, 2), []Reading{r}, true))
	r.Bytes = 450
	s.add(b.Usage(at(10, 3), []Reading{r}, true))
	var sum uint64
	for _, u := range s.usage {
		sum += u.Bytes
	}
	if sum != 1050 || b.Ignored().CounterRegressed != 1 {
		t.Errorf("counted %d bytes (want 1050), %d regressions", sum, b.Ignored().CounterRegressed)
	}
}

// Whatever the drains, the flushes and the crashes, the records of a counter
// add up to its last emitted value, each line's bytes stay its own, and nothing
// is emitted twice.
func TestUsageSumsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, s := newBinding(t), newStore(t)
		now := at(10, 0)
		var log [][]byte
		truth := map[schema.ID]uint64{}
		owner := map[schema.ID]schema.AccessRef{}
		live := []schema.ID{{1}, {2}}
		next := byte(3)
		var finals []Reading
		for i := range live {
			owner[live[i]] = schema.AccessRef{byte(i), 1}
		}
		for range rapid.IntRange(1, 60).Draw(t, "drains") {
			now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "seconds")) * time.Second)
			var readings []Reading
			// What stopped before the last drain may be reported once more.
			if rapid.Bool().Draw(t, "again") {
				readings = append(readings, finals...)
			}
			finals = nil
			for i, id := range live {
				truth[id] += uint64(rapid.IntRange(0, 3).Draw(t, "packets")) * 1000
				final := rapid.IntRange(0, 9).Draw(t, "final") == 0
				readings = append(readings, Reading{CounterID: id, AccessRef: owner[id], Direction: schema.Down, IPVersion: 6,
					Bytes: truth[id], Packets: truth[id] / 1000, Final: final})
				if final {
					finals = append(finals, readings[len(readings)-1])
					live[i] = schema.ID{next}
					owner[live[i]] = schema.AccessRef{byte(rapid.IntRange(0, 5).Draw(t, "line")), 1}
					next++
				}
			}
			e := b.Usage(now, readings, rapid.Bool().Draw(t, "flush"))
			s.add(e)
			log = append(log, e.Delta)
			if rapid.IntRange(0, 7).Draw(t, "crash") == 0 {
				b = newBinding(t)
				if err := b.Restore(nil, log); err != nil {
					t.Fatal(err)
				}
			}
		}
		var readings []Reading
		for _, id := range live {
			readings = append(readings, Reading{CounterID: id, AccessRef: owner[id], Direction: schema.Down, IPVersion: 6, Bytes: truth[id], Packets: truth[id] / 1000})
		}
		s.add(b.Usage(now.Add(time.Second), readings, true))
		if len(b.usage) > 2 {
			t.Fatalf("%d counters are remembered, 2 live", len(b.usage))
		}
		sum := map[schema.ID]uint64{}
		for _, u := range s.usage {
			if u.AccessRef != owner[u.CounterID] {
				t.Fatalf("counter %v of line %v was counted for %v", u.CounterID, owner[u.CounterID], u.AccessRef)
			}
			sum[u.CounterID] += u.Bytes
			if sum[u.CounterID] != u.CumulativeBytes {
				t.Fatalf("counter %v: records add up to %d, cumulative says %d", u.CounterID, sum[u.CounterID], u.CumulativeBytes)
			}
			if u.SampledAt.Before(u.BucketStartedAt) {
				t.Fatalf("sampled at %v, before its bucket %v", u.SampledAt, u.BucketStartedAt)
			}
		}
		for id, bytes := range truth {
			if sum[id] != bytes {
				t.Fatalf("counter %v moved %d bytes, records say %d", id, bytes, sum[id])
			}
		}
	})
}
