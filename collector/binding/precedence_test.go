package binding

import (
	"fmt"
	"testing"
	"time"

	"griffier/schema"
)

// claimBy is a session of a source that begins at a time and claims an address.
func claimBy(source schema.Source, user string, t time.Time) Observation {
	o := start(fmt.Sprint(source, user), user, t, "192.0.2.1/32", "2001:db8:0:100::/56")
	o.Source = source
	return o
}

// Of every two sources both are recorded, in either order of arrival, and the
// address counts for the stronger as long as that holds it, then for the other.
func TestPrecedenceOfEveryPair(t *testing.T) {
	for i, strong := range bySourceStrength {
		for _, weak := range bySourceStrength[i+1:] {
			for _, strongFirst := range []bool{true, false} {
				t.Run(fmt.Sprint(strong, " over ", weak, " first ", strongFirst), func(t *testing.T) {
					b, s := newBinding(t), newStore(t)
					first, second := claimBy(weak, "w", at(10, 0)), claimBy(strong, "s", at(10, 1))
					if strongFirst {
						first, second = claimBy(strong, "s", at(10, 0)), claimBy(weak, "w", at(10, 1))
					}
					s.add(b.Apply(first.At, first))
					s.add(b.Apply(second.At, second))
					counts := func(user string) {
						t.Helper()
						for _, c := range b.Installed() {
							if want := b.cfg.Pseudonymiser.Ref(start("", user, at(0, 0)).Identifier); c.AccessRef != want {
								t.Errorf("%v does not count for %s", c.Prefix, user)
							}
						}
						if len(b.Installed()) != 2 {
							t.Errorf("%d addresses count, want 2", len(b.Installed()))
						}
					}
					counts("s")
					stop := claimBy(strong, "s", at(10, 10))
					stop.Kind, stop.EndCause, stop.Prefixes = End, schema.EndRelease, nil
					e := b.Apply(stop.At, stop)
					s.add(e)
					counts("w")
					if len(e.Unassign) != 2 || len(e.Assign) != 2 {
						t.Errorf("unassign %v, assign %v: want the two to pass from one to the other", e.Unassign, e.Assign)
					}
					s.add(b.Tick(at(10, 20), Clock{}))
					open, closed := 0, 0
					for _, r := range s.rows {
						if a, ok := r.(*schema.Assignment); ok {
							if a.Certainty != schema.CertaintyObserved {
								t.Errorf("%+v: one source made another's claim less sure", a)
							}
							if a.Open {
								open++
							} else {
								closed++
							}
						}
					}
					if open != 2 || closed != 2 {
						t.Errorf("%d open and %d closed assignments, want two of each source", open, closed)
					}
				})
			}
		}
	}
}

// Within any one source a newcomer supersedes who was silent since, and one who
// was not stays, in conflict, and nothing counts.
func TestRivalsWithinEachSource(t *testing.T) {
	for _, source := range bySourceStrength {
		t.Run(string(source), func(t *testing.T) {
			b, s := newBinding(t), newStore(t)
			s.add(b.Apply(at(10, 0), claimBy(source, "a", at(10, 0))))
			s.add(b.Apply(at(10, 30), claimBy(source, "b", at(10, 30))))
			s.want(t,
				"session 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false superseded inferred",
				"192.0.2.1/32 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false superseded inferred",
				"2001:db8:0:100::/56 20T10:00:00-20T10:30:00 from 20T10:00:00 open=false superseded inferred",
				"session 20T10:30:00-20T10:30:00 from 20T10:30:00 open=true observed",
				"192.0.2.1/32 20T10:30:00-20T10:30:00 from 20T10:30:00 open=true observed",
				"2001:db8:0:100::/56 20T10:30:00-20T10:30:00 from 20T10:30:00 open=true observed")
			if len(b.Installed()) != 2 {
				t.Errorf("%d addresses count for the newcomer, want 2", len(b.Installed()))
			}
			again := claimBy(source, "a", at(10, 40))
			again.Kind = Refresh
			s.add(b.Apply(at(10, 40), again))
			s.add(b.Tick(at(10, 50), Clock{}))
			s.want(t,
				"session 20T10:00:00-20T10:50:00 from 20T10:00:00 open=true observed",
				"192.0.2.1/32 20T10:00:00-20T10:50:00 from 20T10:00:00 open=true observed",
				"2001:db8:0:100::/56 20T10:00:00-20T10:50:00 from 20T10:00:00 open=true observed",
				"session 20T10:30:00-20T10:50:00 from 20T10:30:00 open=true observed",
				"192.0.2.1/32 20T10:30:00-20T10:50:00 from 20T10:30:00 open=true observed",
				"2001:db8:0:100::/56 20T10:30:00-20T10:50:00 from 20T10:30:00 open=true observed")
			if len(b.Installed()) != 0 {
				t.Errorf("%v counts, though two lines claim it", b.Installed())
			}
		})
	}
}

// An inferred end of a day later makes what lies after the last sign of life
// inferred on the day before too.
func TestInferredEndReachesBackOverMidnight(t *testing.T) {
	b, s := newBinding(t), newStore(t)
	evening := day.Add(-2 * time.Hour)
	s.add(b.Apply(evening, claimBy(schema.SourceRADIUS, "a", evening)))
	for now := evening; now.Before(at(1, 0)); now = now.Add(time.Minute) {
		s.add(b.Tick(now, Clock{}))
	}
	s.add(b.Apply(at(1, 0), claimBy(schema.SourceRADIUS, "b", at(1, 0))))
	for _, r := range s.rows {
		if a, ok := r.(*schema.Assignment); ok && a.AssignmentStartedAt.Equal(evening) && a.Certainty != schema.CertaintyInferred {
			t.Errorf("[%v, %v) is %s: nothing was heard of it after 22:00", a.StartedAt, a.EndedAt, a.Certainty)
		}
	}
}
