package binding

import (
	"fmt"
	"testing"
	"time"

	"griffier/schema"

	"pgregory.net/rapid"
)

// Whatever happens during a round, whatever interrupts it and wherever the
// collector crashes, a moment that coverage holds is one at which every session
// that lived is found: by an open slice, taken to go on as far as the coverage
// row in which it was emitted does, or by a closed one.
func TestCoverageNeverOutrunsSlicesProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fresh := func() *Binding {
			b := newBinding(t)
			b.cfg.ReemitSlice = 3
			return b
		}
		b, s := fresh(), newStore(t)
		now := at(23, 40).Add(-24 * time.Hour)
		var state []byte
		var deltas [][]byte
		step := func(e Effects) { s.add(e); deltas = append(deltas, e.Delta) }
		step(b.Started(now, Clock{}))
		type life struct{ from, to time.Time }
		lives := map[string]*life{}
		ticks := 0
		for i := range rapid.IntRange(20, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
			key := fmt.Sprint("s", rapid.IntRange(0, 20).Draw(t, "session"))
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1, 2:
				if lives[key] == nil {
					lives[key] = &life{from: now}
					step(b.Apply(now, start(key, key, now, fmt.Sprintf("192.0.2.%s/32", key[1:]))))
				}
			case 3:
				if l := lives[key]; l != nil && l.to.IsZero() {
					l.to = now
					step(b.Apply(now, end(key, key, now, l.from, schema.EndRelease)))
				}
			case 4:
				step(b.Gap(now, now.Add(-time.Second), now, GapRingDrop, Clock{}))
			case 5:
				var err error
				if rapid.Bool().Draw(t, "checkpoint") {
					if state, err = b.Snapshot(); err != nil {
						t.Fatal(err)
					}
					deltas = nil
				}
				b = fresh()
				if err := b.Restore(state, deltas); err != nil {
					t.Fatal(err)
				}
			default:
				running := b.round.Running
				step(b.Tick(now, Clock{}))
				if running && b.round.Running {
					ticks++
				}
			}
			if i%5 == 0 {
				for key, l := range lives {
					found(t, s, key, l.from, l.to)
				}
			}
		}
		step(b.Stopped(now, Clock{}))
		for key, l := range lives {
			found(t, s, key, l.from, l.to)
		}
	})
}

// found checks that at every covered second of [from, to) the address of a
// session, which ends in the digits of its key, is held by what is stored.
func found(t *rapid.T, s *store, key string, from, to time.Time) {
	covers := map[string]*schema.Coverage{}
	for _, c := range s.cover {
		k := fmt.Sprint(c.CoverageID, c.StartedAt)
		if old := covers[k]; old == nil || old.Version < c.Version {
			covers[k] = c
		}
	}
	type interval struct{ from, to time.Time }
	var held []interval
	for _, r := range s.rows {
		a, ok := r.(*schema.Assignment)
		if !ok || a.Prefix.String() != fmt.Sprintf("192.0.2.%s/32", key[1:]) {
			continue
		}
		until := a.EndedAt
		for _, c := range covers {
			if a.Open && c.State == schema.Covered && !c.StartedAt.After(a.EndedAt) && c.EndedAt.After(until) {
				until = c.EndedAt
			}
		}
		held = append(held, interval{a.StartedAt, until})
	}
	for _, c := range covers {
		if c.State != schema.Covered {
			continue
		}
		for m := c.StartedAt; m.Before(c.EndedAt); m = m.Add(time.Second) {
			lived := !m.Before(from) && (to.IsZero() || m.Before(to))
			known := false
			for _, h := range held {
				known = known || !m.Before(h.from) && m.Before(h.to)
			}
			if lived != known {
				t.Fatalf("%s lived from %v to %v; at %v, covered by [%v, %v), stored says %v", key, from, to, m, c.StartedAt, c.EndedAt, known)
			}
		}
	}
}

// A round of many sessions takes many ticks, none of which emits more than its
// share, and is through in time for the next.
func TestRoundIsSpread(t *testing.T) {
	b := newBinding(t)
	b.cfg.ReemitSlice = 50
	b.Started(at(10, 0), Clock{})
	b.Tick(at(10, 0), Clock{})
	const sessions = 3000
	for i := range sessions {
		b.Apply(at(10, 0), start(fmt.Sprint("s", i), fmt.Sprint("u", i), at(10, 0), fmt.Sprintf("2001:db8:%x::/56", i)))
	}
	emitted, most, covered, ticks := 0, 0, time.Time{}, 0
	for now := at(10, 5); now.Before(at(10, 10)) && covered.IsZero(); now = now.Add(time.Second) {
		if ticks > 0 && b.NextTick().After(now) {
			t.Fatalf("at %v a round is running and the next tick is at %v", now, b.NextTick())
		}
		records := b.Tick(now, Clock{}).Records
		for _, r := range records {
			if c, ok := r.(*schema.Coverage); ok {
				covered = c.EndedAt
			} else {
				emitted++
			}
		}
		most, ticks = max(most, len(records)), ticks+1
	}
	if emitted != 2*sessions || covered.IsZero() || most > 200 || ticks < 20 || ticks > 150 {
		t.Errorf("%d records in %d ticks, at most %d in one, covered until %v", emitted, ticks, most, covered)
	}
	if live, addresses := b.Live(); live != sessions || addresses != sessions {
		t.Errorf("%d sessions and %d addresses live, want %d", live, addresses, sessions)
	}
}
