package warrant_test

import (
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"griffier/api/reason"
	"griffier/api/warrant"
)

func (m *model) callBack(rt *rapid.T, by warrant.Caller) {
	w, _ := m.book.state.Warrant("w")
	d, err := m.rules.Verify(m.book.state, m.now, by, warrant.VerifyRequest{WarrantID: "w", Generation: m.gen, ContentSHA256: w.ContentSHA256,
		Number: "+31 20 1234567", Outcome: warrant.CallBackConfirmed, SpokeWith: "the desk"})
	if err == nil {
		m.mustLive(rt, "call-back")
		m.commit(rt, d, func(rt *rapid.T) { m.mustLive(rt, "call-back"); m.called = true })
	}
}

func (m *model) approve(rt *rapid.T, by warrant.Caller) {
	w, _ := m.book.state.Warrant("w")
	d, err := m.rules.Approve(m.book.state, m.now, by, warrant.ApproveRequest{WarrantID: "w", Generation: m.gen, ContentSHA256: w.ContentSHA256})
	seats := map[warrant.Role]string{warrant.LegalOfficer: "officer", warrant.LegalApprover: "approver", warrant.ExternalApprover: "approver", warrant.PrivacyController: "controller"}
	fresh := slices.Clone(m.votes)
	fresh = slices.DeleteFunc(fresh, func(v vote) bool { return m.now.Sub(v.at) >= 24*time.Hour })
	// Somebody may vote who did not, for a seat of theirs that is free.
	free := ""
	for _, role := range []warrant.Role{warrant.LegalOfficer, warrant.LegalApprover, warrant.ExternalApprover, warrant.PrivacyController} {
		seat := seats[role]
		if free == "" && slices.Contains(by.Roles, role) && (seat != "controller" || m.many) && !slices.ContainsFunc(fresh, func(v vote) bool { return v.seat == seat }) {
			free = seat
		}
	}
	mine := slices.ContainsFunc(fresh, func(v vote) bool { return v.actor == by.Actor })
	onPaper := !m.oral || m.paper || free == "officer"
	if !agree(rt, "approval by "+by.Actor, err, m.live() && m.called && free != "" && !mine && onPaper) {
		return
	}
	gen := m.gen
	m.commit(rt, d, func(rt *rapid.T) {
		m.mustLive(rt, "approval")
		if m.gen != gen || !m.called {
			rt.Fatal("an approval of what was edited counts")
		}
		m.votes = append(fresh, vote{by.Actor, free, m.now})
		m.everRan = m.everRan || m.whole() || m.oral && m.voted("officer", 24*time.Hour)
	})
}

// edit takes the second target out or in, so that the second task is left behind
// or goes on, or only sets a name right.
func (m *model) edit(rt *rapid.T, by warrant.Caller) {
	if rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
		return
	}
	c := m.content
	what := rapid.SampledFrom([]string{"name", "target", "reference", "later"}).Draw(rt, "what")
	var changed bool
	switch what {
	case "name":
		c.RequestedBy = "J. de " + strings.Repeat("V", 1+int(m.gen))
	case "target":
		c.Targets = slices.DeleteFunc(slices.Clone(c.Targets), func(s string) bool { return s == "2001:db8::17" })
		changed = len(c.Targets) != len(m.content.Targets)
		if !changed {
			c.Targets = append(c.Targets, "2001:db8::17")
			changed = true
		}
	case "reference":
		c.Reference += "a"
		changed = true
	case "later":
		c.ValidUntil = m.until.Add(time.Second).Format(time.RFC3339)
	}
	d, err := m.rules.Edit(m.book.state, m.now, by, warrant.EditRequest{WarrantID: "w", Generation: m.gen, Salt: "salt", Content: c, Before: m.content, Open: m.open()})
	if !agree(rt, "edit", err, m.live() && isOfficer(by) && what != "later") {
		if err.Reason == reason.WarrantExpired {
			rt.Fatalf("an edit after the end is %s", err.Reason)
		}
		return
	}
	m.commit(rt, d, func(rt *rapid.T) {
		m.mustLive(rt, "edit")
		m.content = c
		m.many = len(c.Targets) > 10
		m.changed(func(id string) bool { return id == "t1" || slices.Contains(c.Targets, "2001:db8::17") })
		m.called = m.called && !changed
		m.paper = m.oral && c.DocumentSHA256 != ""
	})
}

// changed is what every new content does.
func (m *model) changed(fits func(id string) bool) {
	for id, t := range m.tasks {
		if t.released.IsZero() && t.state != "refused" && t.gen == m.gen && fits(id) {
			t.gen++
		}
	}
	m.gen++
	m.votes, m.cleared = nil, false
	m.letGo = map[string][]vote{}
}

func (m *model) extend(rt *rapid.T, by warrant.Caller) {
	if rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
		return
	}
	days := rapid.SampledFrom([]int{-1, 0, 1, 3}).Draw(rt, "days")
	until := m.until.AddDate(0, 0, days)
	document := strings.Repeat(string("0123456789abcdef"[m.gen%16]), 64)
	q := warrant.ExtendRequest{WarrantID: "w", Generation: m.gen, Salt: "salt", ValidUntil: until.Format(time.RFC3339), DocumentSHA256: document, Before: m.content, Open: m.open()}
	d, err := m.rules.Extend(m.book.state, m.now, by, q)
	if !agree(rt, "extension", err, m.live() && isOfficer(by) && days > 0) {
		if err.Reason == reason.WarrantExpired && !m.live() {
			rt.Fatalf("an extension after the end is %s", err.Reason)
		}
		return
	}
	decided := m.now
	m.commit(rt, d, func(rt *rapid.T) {
		m.mustLive(rt, "extension")
		m.changed(func(string) bool { return true })
		m.content, m.until, m.oral, m.paper = q.Content(), until, false, false
		m.served = decided
	})
}

func (m *model) suspend(rt *rapid.T, by warrant.Caller) {
	d, err := m.rules.Suspend(m.book.state, m.now, by, warrant.SuspendRequest{WarrantID: "w", Generation: m.gen})
	if agree(rt, "suspension", err, m.live() && isLegal(by) && !m.suspended) {
		m.commit(rt, d, func(*rapid.T) { m.suspended = true })
	}
}

// seatFor is the seat in which a person may give the half of an act that takes two, of
// the same thing, beside whoever did within the day; empty: in none.
func (m *model) seatFor(by warrant.Caller, what string) (string, []vote) {
	fresh := slices.DeleteFunc(slices.Clone(m.letGo[what]), func(v vote) bool { return m.now.Sub(v.at) >= 24*time.Hour })
	for _, seat := range []struct {
		name  string
		roles []warrant.Role
	}{{"officer", []warrant.Role{warrant.LegalOfficer}}, {"approver", []warrant.Role{warrant.LegalApprover, warrant.ExternalApprover}}} {
		has := slices.ContainsFunc(seat.roles, func(r warrant.Role) bool { return slices.Contains(by.Roles, r) })
		if has && !slices.ContainsFunc(fresh, func(v vote) bool { return v.seat == seat.name || v.actor == by.Actor }) {
			return seat.name, fresh
		}
	}
	return "", fresh
}

// half is one person's part in an act of a kind that takes two. Only what stands beside
// it is left of the kind; done is what two of them do.
func (m *model) half(what, kind, seat string, by warrant.Caller, beside []vote, done func()) {
	for other := range m.letGo {
		if strings.HasPrefix(other, kind) {
			delete(m.letGo, other)
		}
	}
	if len(beside) == 0 {
		m.letGo[what] = []vote{{by.Actor, seat, m.now}}
		return
	}
	done()
}

func (m *model) resume(rt *rapid.T, by warrant.Caller) {
	d, err := m.rules.Resume(m.book.state, m.now, by, warrant.ResumeRequest{WarrantID: "w", Generation: m.gen, ContentSHA256: m.content.Hash("salt")})
	seat, beside := m.seatFor(by, "resume")
	if agree(rt, "resumption", err, m.live() && seat != "" && m.suspended) {
		m.commit(rt, d, func(rt *rapid.T) {
			m.mustLive(rt, "resumption")
			if !m.suspended {
				rt.Fatal("what is not suspended is resumed")
			}
			m.half("resume", "resume", seat, by, beside, func() { m.suspended = false })
		})
	}
}

func (m *model) bringPaper(rt *rapid.T, by warrant.Caller) {
	d, err := m.rules.Paper(m.book.state, m.now, by, warrant.PaperRequest{WarrantID: "w", Generation: m.gen, DocumentSHA256: hash})
	if agree(rt, "paper", err, m.live() && isLegal(by) && m.oral && !m.paper) {
		m.commit(rt, d, func(rt *rapid.T) { m.mustLive(rt, "paper"); m.paper = true })
	}
}

func (m *model) clearBy(rt *rapid.T, by warrant.Caller, message string) {
	d, err := m.rules.ClearNotice(m.book.state, m.now, by, warrant.ClearNoticeRequest{WarrantID: "w", Generation: m.gen, ContentSHA256: m.content.Hash("salt"), DocumentSHA256: message})
	what := "clear by " + message
	seat, beside := m.seatFor(by, what)
	if agree(rt, "clearance", err, m.live() && seat != "" && m.blocked()) {
		m.commit(rt, d, func(rt *rapid.T) {
			m.mustLive(rt, "clearance")
			m.half(what, "clear", seat, by, beside, func() { m.cleared = true })
		})
	}
}

func (m *model) end(rt *rapid.T, by warrant.Caller) {
	as := rapid.SampledFrom([]warrant.WarrantState{warrant.Rejected, warrant.Revoked, warrant.Cancelled}).Draw(rt, "as")
	q := warrant.EndRequest{WarrantID: "w", Generation: m.gen}
	rule := m.rules.Revoke
	switch as {
	case warrant.Rejected:
		rule = m.rules.Reject
	case warrant.Cancelled:
		rule = m.rules.Cancel
	}
	d, err := rule(m.book.state, m.now, by, q)
	should := m.live() && isLegal(by) && (as != warrant.Rejected || !m.everRan)
	if !agree(rt, "end as "+string(as), err, should) || rapid.IntRange(0, 7).Draw(rt, "rarely") > 0 {
		return
	}
	m.commit(rt, d, func(*rapid.T) {
		if m.ended.IsZero() {
			m.ended, m.endedAs = m.now, as
		}
	})
}

func (m *model) lapse(rt *rapid.T) {
	service := warrant.Caller{Actor: "griffierd", Roles: []warrant.Role{warrant.Executor}}
	w, _ := m.book.state.Warrant("w")
	l, ok := w.Lapsed(m.now)
	overdue := m.ended.IsZero() && !m.now.Before(m.until)
	paperless := m.live() && m.oral && !(m.paper && m.whole()) && !m.now.Before(m.served.Add(72*time.Hour))
	if ok && !overdue && !paperless {
		rt.Fatalf("a lapse %+v at %v", l, m.now)
	}
	d, err := m.rules.NoteLapse(m.book.state, m.now, service, "w")
	if !agree(rt, "lapse", err, ok) {
		return
	}
	m.book.append(m.now, d)
	if w, _ = m.book.state.Warrant("w"); w.Noted.State != l.State {
		rt.Fatalf("the lapse was not noted: %+v", w.Noted)
	}
	if _, again := w.Lapsed(m.now); again {
		rt.Fatal("a lapse is told twice")
	}
}

func (m *model) begin(rt *rapid.T, by warrant.Caller, id string) {
	t := m.tasks[id]
	d, err := m.rules.Begin(m.book.state, m.now, by, id, m.gen, warrant.TaskBody{})
	should := isOfficer(by) && m.mayRun() && t.gen == m.gen && (t.state == "waits" || t.state == "failed")
	if agree(rt, "intent of "+id, err, should) {
		gen := m.gen
		m.commit(rt, d, func(rt *rapid.T) {
			m.mustLive(rt, "intent")
			if t.gen != gen || m.halted() {
				rt.Fatalf("an intent under generation %d is taken in under %d, suspended %v", gen, m.gen, m.halted())
			}
			t.state, t.of = "runs", m.gen
		})
	}
}

func (m *model) result(rt *rapid.T, id string) {
	t := m.tasks[id]
	tk, _, _ := m.book.state.Task(id)
	answer := rapid.SampledFrom([]reason.Reason{reason.Match, reason.NoMatch}).Draw(rt, "answer")
	d, err := m.rules.Result(m.book.state, m.now, officer, id, m.gen, tk.Attempt, warrant.Outcome{Answer: answer, PackageSHA256: sealed})
	if agree(rt, "result of "+id, err, m.mayRun() && t.gen == m.gen && t.state == "runs" && t.of == m.gen) {
		m.commit(rt, d, func(rt *rapid.T) {
			m.mustLive(rt, "result")
			if t.of != m.gen || m.halted() {
				rt.Fatal("a result of another content, or of a suspended warrant, is taken in")
			}
			t.state = "sealed"
		})
	}
}

func (m *model) release(rt *rapid.T, id string) {
	t := m.tasks[id]
	tk, _, _ := m.book.state.Task(id)
	d, err := m.rules.Release(m.book.state, m.now, officer, id, m.gen, tk.Attempt)
	if agree(rt, "release of "+id, err, m.mayRun() && !m.blocked() && t.gen == m.gen && t.state == "sealed" && t.of == m.gen) {
		m.commit(rt, d, func(rt *rapid.T) {
			m.mustLive(rt, "release")
			if t.of != m.gen || m.halted() || m.blocked() || !t.released.IsZero() {
				rt.Fatalf("released: of generation %d under %d, suspended %v, blocked %v, before at %v", t.of, m.gen, m.halted(), m.blocked(), t.released)
			}
			t.state, t.released = "answered", m.now
		})
	}
}

func (m *model) abort(rt *rapid.T, id string) {
	t := m.tasks[id]
	tk, _, _ := m.book.state.Task(id)
	restart := rapid.Bool().Draw(rt, "restart")
	d, err := m.rules.Abort(m.book.state, officer, id, tk.Attempt, reason.Internal, restart)
	if agree(rt, "abort of "+id, err, t.state == "runs" || t.state == "sealed") {
		m.commit(rt, d, func(rt *rapid.T) {
			if !t.released.IsZero() {
				rt.Fatalf("%s is aborted after its release", id)
			}
			t.state = map[bool]string{true: "waits", false: "failed"}[restart]
		})
	}
}

// refuse ends a task for good: nothing of it ever runs again.
func (m *model) refuse(rt *rapid.T, id string) {
	t := m.tasks[id]
	tk, _, _ := m.book.state.Task(id)
	_, err := m.rules.Refuse(m.book.state, officer, id, tk.Attempt, reason.New(reason.StoreUnavailable, ""))
	agree(rt, "refusal for good, for what passes", err, false)
	d, err := m.rules.Refuse(m.book.state, officer, id, tk.Attempt, reason.New(reason.MaxHits, "There are 2-10 lines."))
	if agree(rt, "refusal of "+id, err, t.state == "runs") && rapid.IntRange(0, 3).Draw(rt, "rarely") == 0 {
		m.commit(rt, d, func(rt *rapid.T) { t.state = "refused" })
	}
}

func (m *model) fetch(rt *rapid.T, id string) {
	_, err := m.rules.Fetch(m.book.state, m.now, approver, id)
	released := m.tasks[id].released // a download lasts for three days
	agree(rt, "fetch of "+id, err, !released.IsZero() && m.now.Before(released.Add(72*time.Hour)) && m.live() && !m.halted())
}
