package oversight

import (
	"time"

	"griffier/api/hold"
	"griffier/api/warrant"
)

// OpenTask is a task that was not answered yet.
type OpenTask struct {
	ID          string
	Category    warrant.Category
	State       warrant.TaskState
	CreatedAt   time.Time
	Unconfirmed bool // nobody keyed the question a second time
}

// OpenWarrant is a warrant that has not ended.
type OpenWarrant struct {
	ID             string
	Basis          string
	State          warrant.WarrantState
	CreatedAt      time.Time
	ActBy          time.Time // zero: answered
	ValidUntil     time.Time
	EffectiveUntil time.Time
	PaperBy        time.Time // of an emergency whose paper is not there; else zero
	Emergency      bool
	Approvals      int
	Unverified     bool // the authority was not called back
	Overdue        bool // ActBy or PaperBy has passed
	NotExecuted    int
	Tasks          []OpenTask
}

// Overview is what the overseer sees: counts and ids, never targets or subjects.
type Overview struct {
	At          time.Time
	Warrants    []OpenWarrant // oldest first
	States      map[warrant.WarrantState]uint64
	TaskStates  map[warrant.TaskState]uint64
	Emergencies uint64 // open ones
	Unverified  uint64
	Unconfirmed uint64 // tasks
	Overdue     uint64
	HoldsLive   uint64
	HoldsEnded  uint64            // and not destroyed yet
	Refusals    map[string]uint64 // of the last [Window], by reason
	Hits        []Hit             // of the last [Window]
	NotExecuted uint64            // of the last [Window]
	Faults      uint64            // of the last [Window]
	SecrecyDue  uint64            // warrants whose authority should be asked
}

// Overview judges what there is at now. approvalAge is that of the rules; confirm
// tells whether questions must be keyed twice before they are run.
func (s *State) Overview(legal *warrant.State, holds *hold.State, now time.Time, approvalAge time.Duration, confirm bool) Overview {
	since := now.Add(-Window)
	v := Overview{At: now, States: map[warrant.WarrantState]uint64{}, TaskStates: map[warrant.TaskState]uint64{},
		SecrecyDue: s.SecrecyDue(legal, now),
		Refusals:   s.Refusals(since), Hits: s.Hits(since), Faults: uint64(len(s.Faults(since, now.Add(time.Second))))}
	notExecuted := map[string]int{}
	for _, d := range s.NonExecutions("") {
		notExecuted[d.WarrantID]++
		if !d.At.Before(since) {
			v.NotExecuted++
		}
	}
	all := legal.Warrants()
	for i := len(all) - 1; i >= 0; i-- {
		w := all[i]
		state := w.State(now)
		v.States[state]++
		o := OpenWarrant{ID: w.ID, Basis: w.Basis, State: state, CreatedAt: w.CreatedAt, ValidUntil: w.ValidUntil, EffectiveUntil: w.EffectiveUntil(approvalAge),
			Emergency: w.Emergency, Approvals: len(w.Approvals), Unverified: !w.Verified, NotExecuted: notExecuted[w.ID]}
		for _, id := range w.Tasks {
			t, _, ok := legal.Task(id)
			if !ok {
				continue
			}
			at := t.State(&w, now)
			v.TaskStates[at]++
			if t.ReleasedAt.IsZero() && at != warrant.TaskCancelled && at != warrant.TaskRejected {
				o.Tasks = append(o.Tasks, OpenTask{t.ID, t.Category, at, t.CreatedAt, confirm && t.ConfirmedAt.IsZero()})
			}
		}
		if state.Terminal() {
			continue
		}
		if w.ActedAt.IsZero() {
			o.ActBy = w.ActBy
		}
		if w.Emergency && w.PaperAt.IsZero() {
			o.PaperBy = w.PaperBy
		}
		o.Overdue = passed(o.ActBy, now) || passed(o.PaperBy, now)
		v.Warrants = append(v.Warrants, o)
		v.count(o)
	}
	for _, h := range holds.Holds() {
		switch h.Status(now) {
		case hold.Live:
			v.HoldsLive++
		case hold.Ended:
			v.HoldsEnded++
		}
	}
	return v
}

// SecrecyDue counts the warrants whose authority should be asked whether their
// disclosures are still secret.
func (s *State) SecrecyDue(legal *warrant.State, now time.Time) (n uint64) {
	for _, w := range legal.Warrants() {
		var released time.Time
		for _, id := range w.Tasks {
			if t, _, ok := legal.Task(id); ok && t.ReleasedAt.After(released) {
				released = t.ReleasedAt
			}
		}
		if !released.IsZero() && s.Secrecy(w.ID).Due(released, now) {
			n++
		}
	}
	return n
}

func (v *Overview) count(o OpenWarrant) {
	for _, c := range []struct {
		n  *uint64
		is bool
	}{{&v.Emergencies, o.Emergency}, {&v.Unverified, o.Unverified}, {&v.Overdue, o.Overdue}} {
		if c.is {
			*c.n++
		}
	}
	for _, t := range o.Tasks {
		if t.Unconfirmed {
			v.Unconfirmed++
		}
	}
}

func passed(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
