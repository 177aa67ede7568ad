package warrant_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

// model drives one warrant and two tasks through random acts at random times. It
// keeps its own account, in plain words and without looking at the state, of what
// must hold (disclosure.md (c)).
type model struct {
	book  *book
	rules *warrant.Rules
	now   time.Time

	content   warrant.Content
	oral      bool // the order was given orally, and its paper is due three days after it was served
	many      bool // it names so many targets that three must approve
	notified  bool // an enforcing authority was notified
	served    time.Time
	until     time.Time // end of validity
	gen       uint64
	called    bool // the authority was called back about this content
	paper     bool
	cleared   bool
	suspended bool
	ended     time.Time // by a person; zero while not
	endedAs   warrant.WarrantState
	everRan   bool // it was approved once
	votes     []vote
	letGo     map[string][]vote // of those who would resume, or clear: one waits for another
	tasks     map[string]*modelTask

	// late are drafts that were decided and not appended yet, as an append that
	// hangs leaves them, with what they will mean if they are taken in.
	late []lateDraft
}

type vote struct {
	actor string
	seat  string // officer, approver, controller
	at    time.Time
}

type modelTask struct {
	gen      uint64
	state    string // waits, runs, sealed, failed, answered, refused
	of       uint64 // generation that the last attempt ran under
	released time.Time
}

type lateDraft struct {
	draft ledger.Draft
	took  func(rt *rapid.T)
}

var (
	colleague  = warrant.Caller{Actor: "dd", Roles: []warrant.Role{warrant.LegalOfficer}}
	second     = warrant.Caller{Actor: "ee", Roles: []warrant.Role{warrant.LegalApprover}}
	outside    = warrant.Caller{Actor: "ff", Roles: []warrant.Role{warrant.ExternalApprover}}
	controller = warrant.Caller{Actor: "0c", Roles: []warrant.Role{warrant.PrivacyController}}
	everyone   = []warrant.Caller{officer, approver, both, stranger, colleague, second, outside, controller}
)

func (m *model) live() bool { return m.ended.IsZero() && m.now.Before(m.until) }

// whole reports whether every seat has a vote, whatever its age.
func (m *model) whole() bool {
	return m.voted("officer", 1000*time.Hour) && m.voted("approver", 1000*time.Hour) && (!m.many || m.voted("controller", 1000*time.Hour))
}

func (m *model) voted(seat string, within time.Duration) bool {
	return slices.ContainsFunc(m.votes, func(v vote) bool { return v.seat == seat && m.now.Sub(v.at) < within })
}

func (m *model) halted() bool {
	return m.suspended || m.oral && !(m.paper && m.whole()) && !m.now.Before(m.served.Add(72*time.Hour))
}

// state is the model's own reading of the states.
func (m *model) state() warrant.WarrantState {
	switch {
	case !m.ended.IsZero():
		return m.endedAs
	case !m.live():
		return warrant.Expired
	case m.halted():
		return warrant.Suspended
	case m.whole() && (!m.oral || m.paper):
		return warrant.Approved
	case m.oral && m.voted("officer", 1000*time.Hour):
		return warrant.EmergencyApproval
	}
	return warrant.AwaitingApproval
}

// mayRun is the model's own reading of when anything may run: live, not halted, and
// every vote that is needed is younger than a day.
func (m *model) mayRun() bool {
	if !m.live() || m.halted() {
		return false
	}
	day := 24 * time.Hour
	if m.oral && (!m.paper || !m.whole()) {
		return m.voted("officer", day) && !slices.ContainsFunc(m.votes, func(v vote) bool { return m.now.Sub(v.at) >= day })
	}
	return m.voted("officer", day) && m.voted("approver", day) && (!m.many || m.voted("controller", day))
}

// blocked reports whether the enforcing authority's ten days, after the day of
// service, run in Amsterdam.
func (m *model) blocked() bool {
	if !m.notified || m.cleared {
		return false
	}
	zone, _ := time.LoadLocation("Europe/Amsterdam")
	day := m.served.In(zone).Format("2006-01-02")
	return m.now.In(zone).AddDate(0, 0, -10).Format("2006-01-02") <= day
}

func (m *model) mustLive(rt *rapid.T, act string) {
	if !m.live() {
		rt.Fatalf("%s after the end at %v", act, m.now)
	}
}

// commit appends a draft, or keeps it back as a hanging append would.
func (m *model) commit(rt *rapid.T, d ledger.Draft, took func(rt *rapid.T)) {
	if rapid.IntRange(0, 9).Draw(rt, "hang") == 0 {
		m.late = append(m.late, lateDraft{d, took})
		return
	}
	m.must(rt, d, took)
}

// must appends a draft that was just decided: it is taken in.
func (m *model) must(rt *rapid.T, d ledger.Draft, took func(rt *rapid.T)) {
	preview, err := m.rules.Preview(m.book.state, m.now, d)
	if err != nil || len(preview.Effects) == 0 {
		rt.Fatalf("preview of %s: %v, %v", d.Kind, preview.Effects, err)
	}
	before := m.book.state.Ignored()
	m.book.append(m.now, d)
	if m.book.state.Ignored() != before {
		rt.Fatalf("a draft that was just decided is ignored: %+v", d)
	}
	took(rt)
	// What was told is what happened.
	w, _ := m.book.state.Warrant("w")
	preview.Warrant.Index, preview.Warrant.ContentIndex, preview.Warrant.VerifiedIndex = w.Index, w.ContentIndex, w.VerifiedIndex
	for i := range preview.Warrant.Consents {
		if i < len(w.Consents) && preview.Warrant.Consents[i].Index == 0 {
			preview.Warrant.Consents[i].Index = w.Consents[i].Index
		}
	}
	for i := range preview.Warrant.Approvals {
		if i < len(w.Approvals) && preview.Warrant.Approvals[i].Index == 0 {
			preview.Warrant.Approvals[i].Index = w.Approvals[i].Index
		}
	}
	if !reflect.DeepEqual(preview.Warrant, w) {
		rt.Fatalf("%s was previewed as\n%+v\nand became\n%+v", d.Kind, preview.Warrant, w)
	}
}

func newModel(t *testing.T, rt *rapid.T) *model {
	m := &model{book: newBook(t), rules: testRules(t), now: start, served: start, gen: 1, letGo: map[string][]vote{}, tasks: map[string]*modelTask{}, content: testContent()}
	m.content.Reference = "PV-2026/w"
	switch rapid.SampledFrom([]string{"plain", "many", "oral", "notified"}).Draw(rt, "order") {
	case "many":
		m.many = true
		for i := range 10 {
			m.content.Targets = append(m.content.Targets, "198.51.100."+string(rune('0'+i)))
		}
	case "oral":
		m.oral = true
		m.content.LegalBasis, m.content.Categories, m.content.Emergency, m.content.DocumentSHA256 = "NL-126ni", []warrant.Category{warrant.Preservation}, true, ""
	case "notified":
		m.notified = true
		m.content.EnforcingAuthorityNotified = true
		m.content.ValidUntil = "2026-12-20T09:00:00+01:00"
	}
	d, err := m.rules.Create(m.book.state, start, officer, warrant.CreateRequest{ID: "w", Salt: "salt", Content: m.content})
	if err != nil {
		rt.Fatal(err)
	}
	m.book.append(start, d)
	m.until, _ = time.Parse(time.RFC3339, m.content.ValidUntil)
	for id, target := range map[string]string{"t1": "192.0.2.17", "t2": "2001:db8::17"} {
		d, err := m.rules.CreateTask(m.book.state, start, officer, m.question(id, target), m.content)
		if err != nil {
			rt.Fatal(err)
		}
		m.book.append(start, d)
		m.tasks[id] = &modelTask{gen: 1, state: "waits"}
	}
	return m
}

func (m *model) question(id, target string) warrant.TaskRequest {
	return warrant.TaskRequest{ID: id, WarrantID: "w", Generation: m.gen, Category: m.content.Categories[len(m.content.Categories)-1], Target: target,
		Instant: "2026-11-19T12:00:00+01:00", UncertaintySeconds: 1}
}

// open are the open tasks with their questions, as the shell would read them.
func (m *model) open() (out []warrant.OpenTask) {
	for _, e := range m.book.entries {
		if e.Header.Kind != warrant.KindTaskCreate {
			continue
		}
		t, w, _ := m.book.state.Task(e.Header.TaskID)
		if !t.Asks(&w) {
			continue
		}
		target := map[string]string{"t1": "192.0.2.17", "t2": "2001:db8::17"}[t.ID]
		body, _ := m.question(t.ID, target).Body()
		out = append(out, warrant.OpenTask{Task: t, Question: body})
	}
	return out
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newModel(t, rt)
		caller := rapid.SampledFrom(everyone)
		task := rapid.SampledFrom([]string{"t1", "t2"})
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(rt *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.SampledFrom([]int64{1, 1e9, 3600e9, 6 * 3600e9, 23 * 3600e9}).Draw(rt, "for")))
			},
			// The ten days of an enforcing authority are long.
			"wait for days": func(rt *rapid.T) {
				if m.notified {
					m.now = m.now.Add(time.Duration(rapid.IntRange(2, 5).Draw(rt, "days")) * 24 * time.Hour)
				}
			},
			// Who approved tries to again, in whatever role is left.
			"approve twice": func(rt *rapid.T) {
				m.callBack(rt, officer)
				by := caller.Draw(rt, "by")
				m.approve(rt, by)
				m.approve(rt, by)
			},
			"call back": func(rt *rapid.T) { m.callBack(rt, caller.Draw(rt, "by")) },
			"approve":   func(rt *rapid.T) { m.approve(rt, caller.Draw(rt, "by")) },
			"edit":      func(rt *rapid.T) { m.edit(rt, caller.Draw(rt, "by")) },
			"extend":    func(rt *rapid.T) { m.extend(rt, caller.Draw(rt, "by")) },
			"suspend":   func(rt *rapid.T) { m.suspend(rt, caller.Draw(rt, "by")) },
			"resume":    func(rt *rapid.T) { m.resume(rt, caller.Draw(rt, "by")) },
			"paper":     func(rt *rapid.T) { m.bringPaper(rt, caller.Draw(rt, "by")) },
			"clear": func(rt *rapid.T) {
				m.clearBy(rt, caller.Draw(rt, "by"), rapid.SampledFrom([]string{hash, sealed}).Draw(rt, "message"))
			},
			"end":     func(rt *rapid.T) { m.end(rt, caller.Draw(rt, "by")) },
			"lapse":   func(rt *rapid.T) { m.lapse(rt) },
			"begin":   func(rt *rapid.T) { m.begin(rt, caller.Draw(rt, "by"), task.Draw(rt, "task")) },
			"result":  func(rt *rapid.T) { m.result(rt, task.Draw(rt, "task")) },
			"release": func(rt *rapid.T) { m.release(rt, task.Draw(rt, "task")) },
			"abort":   func(rt *rapid.T) { m.abort(rt, task.Draw(rt, "task")) },
			"refuse":  func(rt *rapid.T) { m.refuse(rt, task.Draw(rt, "task")) },
			// One person's word seldom meets another's about the same in time.
			"let go": func(rt *rapid.T) {
				m.resume(rt, caller.Draw(rt, "first"))
				m.resume(rt, caller.Draw(rt, "second"))
				message := rapid.SampledFrom([]string{hash, sealed}).Draw(rt, "message")
				m.clearBy(rt, caller.Draw(rt, "first"), message)
				m.clearBy(rt, caller.Draw(rt, "second"), message)
			},
			"fetch": func(rt *rapid.T) { m.fetch(rt, task.Draw(rt, "task")) },
			// Random acts alone seldom get as far as a sealed package.
			"advance": func(rt *rapid.T) {
				m.callBack(rt, officer)
				for _, by := range []warrant.Caller{officer, approver, controller} {
					m.approve(rt, by)
				}
				id := task.Draw(rt, "task")
				m.begin(rt, officer, id)
				m.result(rt, id)
			},
			"late append": func(rt *rapid.T) {
				if len(m.late) == 0 {
					return
				}
				l := m.late[0]
				m.late = m.late[1:]
				before := m.book.state.Ignored()
				m.book.append(m.now, l.draft)
				if m.book.state.Ignored() == before {
					l.took(rt) // it was taken in: then it must still have been right
				}
			},
			"": func(rt *rapid.T) { m.check(rt) },
		})
	})
}

func (m *model) check(rt *rapid.T) {
	w, _ := m.book.state.Warrant("w")
	if got := w.State(m.now); got != m.state() {
		rt.Fatalf("at %v the state is %s, want %s", m.now, got, m.state())
	}
	if w.Generation != m.gen || w.ContentSHA256 != m.content.Hash("salt") || !w.ValidUntil.Equal(m.until) || w.Targets != len(m.content.Targets) {
		rt.Fatalf("generation %d, until %v; want %d, %v", w.Generation, w.ValidUntil, m.gen, m.until)
	}
	if m.mayRun() != m.now.Before(w.EffectiveUntil(24*time.Hour)) && (w.State(m.now) == warrant.Approved || w.State(m.now) == warrant.EmergencyApproval) {
		rt.Fatalf("effective until %v at %v, may run %v", w.EffectiveUntil(24*time.Hour), m.now, m.mayRun())
	}
	m.checkTimes(rt, w)
	for _, c := range w.Running(m.now) {
		if c.Alarm == 100 && m.now.Before(c.By) || c.Percent > 100 || c.Alarm > c.Percent {
			rt.Fatalf("clock %+v at %v", c, m.now)
		}
	}
	for id, want := range m.tasks {
		tk, w, _ := m.book.state.Task(id)
		if !want.released.Equal(tk.ReleasedAt) {
			rt.Fatalf("%s: released at %v, want %v", id, tk.ReleasedAt, want.released)
		}
		cancelled := want.released.IsZero() && want.state != "refused" && (!m.live() || want.gen != m.gen)
		if got := tk.State(&w, m.now) == warrant.TaskRejected; got != (want.state == "refused") {
			rt.Fatalf("%s is %s; refused for good: %v", id, tk.State(&w, m.now), want.state)
		}
		if got := tk.State(&w, m.now) == warrant.TaskCancelled; got != cancelled {
			rt.Fatalf("%s is %s; want cancelled %v", id, tk.State(&w, m.now), cancelled)
		}
	}
	for id, want := range m.tasks {
		tk, w, _ := m.book.state.Task(id)
		if waits := want.state == "waits" && want.gen == m.gen && m.state() == warrant.AwaitingApproval; waits != (tk.State(&w, m.now) == warrant.TaskAwaitingApproval) {
			rt.Fatalf("%s is %s under %s", id, tk.State(&w, m.now), m.state())
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

// checkTimes compares when things are due, which random times seldom meet to the
// nanosecond: a nanosecond before, the one holds, and at the instant the other.
func (m *model) checkTimes(rt *rapid.T, w warrant.Warrant) {
	due := m.served.Add(72 * time.Hour)
	for _, at := range []time.Time{due.Add(-1), due, m.until.Add(-1), m.until, w.NoticeUntil.Add(-1), w.NoticeUntil} {
		if at.Before(m.now) {
			continue // what is over is not judged anew: votes came since
		}
		then := *m
		then.now = at
		if got := w.State(at); got != then.state() {
			rt.Fatalf("at %v the state will be %s, want %s", at, got, then.state())
		}
		blocked := slices.ContainsFunc(w.Running(at), func(c warrant.Running) bool { return c.Clock == warrant.NoticeClock })
		if blocked != (then.live() && then.blocked()) {
			rt.Fatalf("at %v a release will be blocked: %v, want %v", at, blocked, then.blocked())
		}
	}
}

// isLegal and isOfficer are who may do what either legal role may, and what only an
// officer may.
func isOfficer(by warrant.Caller) bool { return slices.Contains(by.Roles, warrant.LegalOfficer) }
func isLegal(by warrant.Caller) bool {
	return isOfficer(by) || slices.Contains(by.Roles, warrant.LegalApprover)
}

// agree compares whether an act was granted with whether it should have been.
func agree(rt *rapid.T, act string, err *reason.Error, should bool) bool {
	if (err == nil) != should {
		rt.Fatalf("%s: %v, want it granted: %v", act, err, should)
	}
	return err == nil
}

var (
	hash   = strings.Repeat("c", 64)
	sealed = strings.Repeat("b", 64)
)
