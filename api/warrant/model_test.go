package warrant_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// model drives one warrant and two tasks with random acts at random times, and
// keeps its own account of what must hold.
type model struct {
	book  *book
	rules *warrant.Rules
	now   time.Time
	until time.Time // end of validity
	ended time.Time // of rejection or revocation; zero while live
	// fresh holds, by actor, when and in which role the last approval was given.
	fresh map[string]warrant.Approval
	// late are drafts that were decided and not appended yet, as an append that
	// hangs leaves them.
	late     []ledger.Draft
	released map[string]time.Time
}

func (m *model) live() bool { return m.ended.IsZero() && m.now.Before(m.until) }

// fourEyes is the model's own reading of the rule: two people, two roles, both
// within a day.
func (m *model) fourEyes() bool {
	for _, a := range m.fresh {
		for _, b := range m.fresh {
			if a.Actor != b.Actor && a.Role != b.Role && m.now.Sub(a.At) < 24*time.Hour && m.now.Sub(b.At) < 24*time.Hour {
				return true
			}
		}
	}
	return false
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{book: newBook(t), rules: testRules(t), now: start, fresh: map[string]warrant.Approval{}, released: map[string]time.Time{}}
		m.until = m.book.create(m.rules, start, "w").ValidUntil
		m.book.task(m.rules, start, "w", "t1")
		m.book.task(m.rules, start, "w", "t2")
		callers := []warrant.Caller{officer, approver, both, stranger,
			{Actor: "dd", Roles: []warrant.Role{warrant.LegalOfficer}}, {Actor: "ee", Roles: []warrant.Role{warrant.LegalApprover}}}
		caller := rapid.SampledFrom(callers)
		task := rapid.SampledFrom([]string{"t1", "t2"})
		// commit appends a draft, or keeps it back as a hanging append would.
		commit := func(rt *rapid.T, d ledger.Draft) bool {
			if rapid.IntRange(0, 9).Draw(rt, "hang") == 0 {
				m.late = append(m.late, d)
				return false
			}
			before := m.book.state.Ignored()
			m.book.append(m.now, d)
			if m.book.state.Ignored() != before {
				rt.Fatalf("a draft that was just decided is ignored: %+v", d)
			}
			return true
		}
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(rt *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.SampledFrom([]int64{1, 1e9, 3600e9, 6 * 3600e9, 23 * 3600e9}).Draw(rt, "for")))
			},
			"approve": func(rt *rapid.T) {
				by := caller.Draw(rt, "by")
				w, _ := m.book.state.Warrant("w")
				d, err := m.rules.Approve(m.book.state, m.now, by, warrant.ApproveRequest{WarrantID: "w", Generation: 1, ContentSHA256: w.ContentSHA256})
				if err != nil {
					return
				}
				if !m.live() {
					rt.Fatalf("approval after the end at %v", m.now)
				}
				if a, ok := m.fresh[by.Actor]; ok && m.now.Sub(a.At) < 24*time.Hour {
					rt.Fatalf("%s approves twice", by.Actor)
				}
				if commit(rt, d) {
					m.fresh[by.Actor] = warrant.Approval{Actor: by.Actor, Role: warrant.Role(d.Role), At: m.now}
				}
			},
			"reject": func(rt *rapid.T) {
				d, err := m.rules.Reject(m.book.state, m.now, caller.Draw(rt, "by"), warrant.EndRequest{WarrantID: "w", Generation: 1})
				if err == nil && rapid.IntRange(0, 5).Draw(rt, "rarely") == 0 && commit(rt, d) {
					m.ended = m.now
				}
			},
			"revoke": func(rt *rapid.T) {
				d, err := m.rules.Revoke(m.book.state, m.now, caller.Draw(rt, "by"), warrant.EndRequest{WarrantID: "w", Generation: 1})
				if err == nil && rapid.IntRange(0, 5).Draw(rt, "rarely") == 0 && commit(rt, d) {
					m.ended = m.now
				}
			},
			"begin": func(rt *rapid.T) {
				d, err := m.rules.Begin(m.book.state, m.now, caller.Draw(rt, "by"), task.Draw(rt, "task"), 1, warrant.TaskBody{})
				if err == nil {
					m.mustExecute(rt, "intent")
					commit(rt, d)
				}
			},
			"result": func(rt *rapid.T) {
				id := task.Draw(rt, "task")
				tk, _, _ := m.book.state.Task(id)
				answer := rapid.SampledFrom([]reason.Reason{reason.Match, reason.NoMatch}).Draw(rt, "answer")
				d, err := m.rules.Result(m.book.state, m.now, officer, id, 1, tk.Attempt,
					warrant.Outcome{Answer: answer, PackageSHA256: strings.Repeat("b", 64)})
				if err == nil {
					m.mustExecute(rt, "result")
					commit(rt, d)
				}
			},
			// Random acts alone seldom get as far as a sealed package.
			"advance": func(rt *rapid.T) {
				id := task.Draw(rt, "task")
				for _, by := range []warrant.Caller{officer, approver} {
					if m.book.approve(m.rules, m.now, by, "w") == nil {
						w, _ := m.book.state.Warrant("w")
						m.fresh[by.Actor] = w.Approvals[len(w.Approvals)-1]
					}
				}
				if d, err := m.rules.Begin(m.book.state, m.now, officer, id, 1, warrant.TaskBody{}); err == nil {
					m.mustExecute(rt, "intent")
					m.book.append(m.now, d)
				}
				tk, _, _ := m.book.state.Task(id)
				d, err := m.rules.Result(m.book.state, m.now, officer, id, 1, tk.Attempt,
					warrant.Outcome{Answer: reason.Match, PackageSHA256: strings.Repeat("b", 64)})
				if err == nil {
					m.mustExecute(rt, "result")
					m.book.append(m.now, d)
				}
			},
			"release": func(rt *rapid.T) {
				id := task.Draw(rt, "task")
				tk, _, _ := m.book.state.Task(id)
				d, err := m.rules.Release(m.book.state, m.now, officer, id, 1, tk.Attempt)
				if err != nil {
					return
				}
				m.mustExecute(rt, "release")
				if at, done := m.released[id]; done {
					rt.Fatalf("%s is released again, first at %v", id, at)
				}
				if commit(rt, d) {
					m.released[id] = m.now
				}
			},
			"abort": func(rt *rapid.T) {
				id := task.Draw(rt, "task")
				tk, _, _ := m.book.state.Task(id)
				d, err := m.rules.Abort(m.book.state, officer, id, tk.Attempt, reason.Internal, rapid.Bool().Draw(rt, "restart"))
				if err == nil {
					if _, done := m.released[id]; done {
						rt.Fatalf("%s is aborted after its release", id)
					}
					commit(rt, d)
				}
			},
			"fetch": func(rt *rapid.T) {
				id := task.Draw(rt, "task")
				_, err := m.rules.Fetch(m.book.state, m.now, approver, id)
				if _, done := m.released[id]; err == nil && (!done || !m.live()) {
					rt.Fatalf("%s is fetched, released %v, live %v", id, done, m.live())
				}
			},
			"late append": func(rt *rapid.T) {
				if len(m.late) == 0 {
					return
				}
				d := m.late[0]
				m.late = m.late[1:]
				before := m.book.state.Ignored()
				wasLive := m.live()
				m.book.append(m.now, d)
				if m.book.state.Ignored() != before {
					return
				}
				// It was taken in: then it must still have been true.
				switch d.Kind {
				case warrant.KindReject, warrant.KindRevoke:
					if m.ended.IsZero() {
						m.ended = m.now
					}
				case warrant.KindApprove:
					m.fresh[d.Actor] = warrant.Approval{Actor: d.Actor, Role: warrant.Role(d.Role), At: m.now}
				case warrant.KindRelease:
					m.released[d.TaskID] = m.now
				}
				if !wasLive && d.Kind != warrant.KindReject && d.Kind != warrant.KindRevoke && d.Kind != warrant.KindAbort {
					rt.Fatalf("a late %s is taken in after the end", d.Kind)
				}
			},
			"": func(rt *rapid.T) { m.check(rt) },
		})
	})
}

func (m *model) mustExecute(rt *rapid.T, act string) {
	if !m.live() || !m.fourEyes() {
		rt.Fatalf("%s at %v: live %v, approved by four eyes %v", act, m.now, m.live(), m.fourEyes())
	}
}

func (m *model) check(rt *rapid.T) {
	w, _ := m.book.state.Warrant("w")
	if got := w.State(m.now); (got == warrant.Rejected || got == warrant.Revoked || got == warrant.Expired) == m.live() {
		rt.Fatalf("state %s, live %v", got, m.live())
	}
	for _, id := range []string{"t1", "t2"} {
		tk, w, _ := m.book.state.Task(id)
		if at, done := m.released[id]; done != !tk.ReleasedAt.IsZero() || (done && !at.Equal(tk.ReleasedAt)) {
			rt.Fatalf("%s: released at %v, want %v", id, tk.ReleasedAt, at)
		}
		if !tk.ReleasedAt.IsZero() && (!tk.ReleasedAt.Before(m.until) || (!m.ended.IsZero() && tk.ReleasedAt.After(m.ended))) {
			rt.Fatalf("%s released at %v, not before the end", id, tk.ReleasedAt)
		}
		if s := tk.State(&w, m.now); !m.live() && s != warrant.TaskCancelled && s != warrant.TaskDisclosed && s != warrant.TaskNotAvailable {
			rt.Fatalf("%s is %s after the end", id, s)
		}
	}
	// The state is a function of the log: folding it anew gives the same.
	again := warrant.NewState()
	for _, e := range m.book.entries {
		e.Body = nil // shredded or not, the headers are enough
		if err := again.Apply(e); err != nil {
			rt.Fatal(err)
		}
	}
	if !reflect.DeepEqual(again.Warrants(), m.book.state.Warrants()) {
		rt.Fatal("folding the log again gives another state")
	}
}
