package oversight

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
)

func TestNonExecution(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM", warrant.Attribution)
	b.warrant(start, id(2), "NL-OM", warrant.Attribution)
	b.task(start, officer, id(1), id(10), warrant.Attribution)
	b.append(start, ledger.Draft{Kind: warrant.KindReject, WarrantID: id(2), Generation: 1})
	long := strings.Repeat("x", maxText+1)
	for _, c := range []struct {
		name string
		by   warrant.Caller
		req  NonExecutionRequest
		want reason.Reason
	}{
		{"nobody", stranger, NonExecutionRequest{WarrantID: id(1), Why: Incomplete}, reason.PermissionDenied},
		{"no reason", officer, NonExecutionRequest{WarrantID: id(1)}, reason.InvalidRequest},
		{"a reason of one's own", officer, NonExecutionRequest{WarrantID: id(1), Why: "NOT_TODAY"}, reason.InvalidRequest},
		{"too much text", officer, NonExecutionRequest{WarrantID: id(1), Why: Incomplete, Explanation: long}, reason.InvalidRequest},
		{"unknown warrant", officer, NonExecutionRequest{WarrantID: id(9), Why: Incomplete}, reason.NotFound},
		{"task of another warrant", officer, NonExecutionRequest{WarrantID: id(2), TaskID: id(10), Why: Incomplete}, reason.NotFound},
		{"rejected warrant", officer, NonExecutionRequest{WarrantID: id(2), Why: Incomplete}, reason.WarrantTerminal},
		{"the warrant", officer, NonExecutionRequest{ID: "n1", WarrantID: id(1), Why: Incomplete, Explanation: "No period."}, ""},
		{"again", second, NonExecutionRequest{ID: "n2", WarrantID: id(1), Why: Incomplete}, reason.WarrantTerminal},
		{"for another reason", officer, NonExecutionRequest{ID: "n3", WarrantID: id(1), Why: ConflictOfLaw}, ""},
		{"the task", officer, NonExecutionRequest{ID: "n4", WarrantID: id(1), TaskID: id(10), Why: DataNotHeld}, ""},
	} {
		d, err := b.state.NotExecuted(b.legal, legalRules(t), start, c.by, c.req)
		wantRefusal(t, c.name, err, c.want)
		if err == nil {
			b.append(start, d)
		}
	}
	got := b.again().NonExecutions(id(1))
	if len(got) != 3 || got[0].Why != Incomplete || got[2].TaskID != id(10) || len(b.state.NonExecutions(id(2))) != 0 || len(b.state.NonExecutions("")) != 3 {
		t.Errorf("recorded %+v", got)
	}
	for _, e := range b.entries {
		if strings.Contains(string(e.Header.Facts), "period") {
			t.Errorf("the explanation is in the clear: %s", e.Header.Facts)
		}
	}
	for _, why := range Whys {
		if _, err := b.state.NotExecuted(b.legal, legalRules(t), start, officer, NonExecutionRequest{WarrantID: id(1), TaskID: id(10), Why: why}); err != nil && why != DataNotHeld {
			t.Errorf("%s: %v", why, err)
		}
	}
	if len(Whys) != 10 {
		t.Errorf("%d reasons, want the ten of TS 104 144", len(Whys))
	}
}

func TestCosts(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM", warrant.Attribution)
	for _, c := range []struct {
		name string
		by   warrant.Caller
		req  CostRequest
		want reason.Reason
	}{
		{"nobody", stranger, CostRequest{WarrantID: id(1), Minutes: 1, Tariff: "A1"}, reason.PermissionDenied},
		{"nothing", officer, CostRequest{WarrantID: id(1), Tariff: "A1"}, reason.InvalidRequest},
		{"a day", officer, CostRequest{WarrantID: id(1), Minutes: 1440, Tariff: "A1"}, reason.InvalidRequest},
		{"a formula for a spreadsheet", officer, CostRequest{WarrantID: id(1), Minutes: 5, Tariff: "=1+1"}, reason.InvalidRequest},
		{"unknown", officer, CostRequest{WarrantID: id(2), Minutes: 5, Tariff: "A1"}, reason.NotFound},
		{"good", officer, CostRequest{ID: "c1", WarrantID: id(1), Minutes: 25, Tariff: "NL-A1"}, ""},
	} {
		d, err := b.state.Spend(b.legal, c.by, c.req)
		wantRefusal(t, c.name, err, c.want)
		if err == nil {
			b.append(start.Add(time.Hour), d)
		}
	}
	// Time is spent after the end too.
	b.append(start.Add(2*time.Hour), ledger.Draft{Kind: warrant.KindRevoke, WarrantID: id(1), Generation: 1})
	if _, err := b.state.Spend(b.legal, officer, CostRequest{WarrantID: id(1), Minutes: 5, Tariff: "A1"}); err != nil {
		t.Errorf("after the end: %v", err)
	}
	again := b.again()
	if got := again.Costs(start, start.Add(day)); len(got) != 1 || got[0].Minutes != 25 || got[0].Tariff != "NL-A1" {
		t.Errorf("costs = %+v", got)
	}
	if got := again.Costs(start, start.Add(time.Hour)); len(got) != 0 {
		t.Errorf("the end is not exclusive: %+v", got)
	}
}

func TestFaults(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM", warrant.Attribution)
	b.task(start, officer, id(1), id(10), warrant.Attribution)
	good := FaultRequest{ID: "f1", Kind: WrongTime, Severity: Serious, Cause: TimeZoneError, WarrantID: id(1), TaskID: id(10),
		FaultBody: FaultBody{What: "One hour off.", Consequences: "A search of the wrong house.", Measures: "Apology, recall."}}
	change := func(f func(*FaultRequest)) FaultRequest { r := good; f(&r); return r }
	for _, c := range []struct {
		name string
		req  FaultRequest
		want reason.Reason
	}{
		{"nothing", FaultRequest{}, reason.InvalidRequest},
		{"no consequences of a serious one", change(func(r *FaultRequest) { r.Consequences = "" }), reason.InvalidRequest},
		{"unknown warrant", change(func(r *FaultRequest) { r.WarrantID = id(2) }), reason.NotFound},
		{"unknown task", change(func(r *FaultRequest) { r.TaskID = id(11) }), reason.NotFound},
		{"task without its warrant", change(func(r *FaultRequest) { r.WarrantID = "" }), reason.InvalidRequest},
		{"recall of nothing", change(func(r *FaultRequest) { r.TaskID, r.RecallIndex = "", 4 }), reason.InvalidRequest},
		{"good", good, ""},
		{"about no warrant", FaultRequest{ID: "f2", Kind: OtherFault, Severity: NearMiss, Cause: ProcessError, FaultBody: FaultBody{What: "A letter was left at the printer."}}, ""},
	} {
		d, err := b.state.Report(b.legal, "dd", "overseer", "class", c.req)
		wantRefusal(t, c.name, err, c.want)
		if err == nil {
			e := b.append(start, d)
			if strings.Contains(string(e.Header.Facts), "house") || strings.Contains(string(e.Header.Facts), "printer") {
				t.Errorf("what happened is in the clear: %s", e.Header.Facts)
			}
		}
	}
	if got := b.again().Faults(start, start.Add(1)); len(got) != 2 || got[0].Kind != WrongTime || got[0].Severity != Serious || got[1].WarrantID != "" {
		t.Errorf("faults = %+v", got)
	}
}

// Nothing but a confirmation ends secrecy, however long it lasts, and what has ended
// stays so.
func TestSecrecy(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM", warrant.Attribution)
	confirm := func(at time.Time, ended bool, want reason.Reason) {
		t.Helper()
		d, err := b.state.Confirm(b.legal, officer, id(1), ended, "letter of the prosecutor")
		wantRefusal(t, "confirm", err, want)
		if err == nil {
			b.append(at, d)
		}
	}
	check := func(at time.Time, ended, due bool) {
		t.Helper()
		x := b.again().Secrecy(id(1))
		if x.Ended() != ended || x.Due(start, at) != due {
			t.Errorf("at %v: ended %v, due %v; want %v, %v", at, x.Ended(), x.Due(start, at), ended, due)
		}
	}
	check(start.Add(SecrecyReminder-1), false, false)
	check(start.Add(SecrecyReminder), false, true)
	check(start.Add(100*365*day), false, true)
	asked := start.Add(SecrecyReminder)
	confirm(asked, false, "")
	check(asked.Add(SecrecyReminder-1), false, false)
	check(asked.Add(SecrecyReminder), false, true)
	confirm(asked.Add(SecrecyReminder), true, "")
	check(asked.Add(SecrecyReminder), true, false)
	confirm(asked.Add(SecrecyReminder), false, reason.WarrantTerminal)
	confirm(asked.Add(SecrecyReminder), true, reason.WarrantTerminal)
	// An entry that lost a race brings no secrecy back.
	b.append(asked.Add(SecrecyReminder), ledger.Draft{Kind: KindSecrecyKept, WarrantID: id(1)})
	check(asked.Add(SecrecyReminder), true, false)
	if _, err := b.state.Confirm(b.legal, stranger, id(1), true, "x"); err == nil || err.Reason != reason.PermissionDenied {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := b.state.Confirm(b.legal, officer, id(1), true, ""); err == nil || err.Reason != reason.InvalidRequest {
		t.Errorf("without grounds: %v", err)
	}
	if _, err := b.state.Confirm(b.legal, officer, id(7), true, "x"); err == nil || err.Reason != reason.NotFound {
		t.Errorf("an unknown warrant: %v", err)
	}
}

func TestStaffLine(t *testing.T) {
	for _, c := range []struct {
		staff, line string
		ok          bool
	}{{id(1), "L-1", true}, {"erin", "L-1", false}, {id(1), "", false}, {id(1), "L 1", false}, {strings.ToUpper(id(15)) + "F", "L-1", false}} {
		d, err := StaffLine(KindStaffLinePut, "aa", "privacy_controller", "class", StaffLineBody{Staff: c.staff, LineID: c.line})
		if (err == nil) != c.ok {
			t.Errorf("%q %q: %v", c.staff, c.line, err)
		}
		if err == nil && (d.Facts != nil || d.WarrantID != "" || d.KeyID == "") {
			t.Errorf("the entry tells of whom it is: %+v", d)
		}
	}
}

// A census is of the requests of the year, as they stood at its end.
func TestCensus(t *testing.T) {
	b := newBook(t)
	jan := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	dec := jan.AddDate(0, 11, 28)
	b.warrant(jan.Add(-time.Hour), id(1), "NL-OM", warrant.Attribution) // last year's, with a task of this year
	b.task(jan, officer, id(1), id(11), warrant.Attribution)
	b.warrant(jan.Add(time.Hour), id(2), "NL-OM", warrant.Identity) // rejected
	b.append(jan.Add(2*time.Hour), ledger.Draft{Kind: warrant.KindReject, WarrantID: id(2), Generation: 1})
	b.warrant(jan.Add(time.Hour), id(3), "BE-OM", warrant.Identity, warrant.History) // expired without a task
	b.warrant(dec, id(4), "BE-OM", warrant.Attribution)                              // open at the end of the year, declined after
	b.task(dec.Add(time.Hour), officer, id(4), id(14), warrant.Attribution)
	d, err := b.state.NotExecuted(b.legal, legalRules(t), jan.AddDate(1, 0, 1), officer, NonExecutionRequest{ID: "n", WarrantID: id(4), Why: Incomplete})
	wantRefusal(t, "decline", err, "")
	b.append(jan.AddDate(1, 0, 1), d)
	b.warrant(dec.Add(time.Minute), id(5), "BE-OM", warrant.Attribution) // declined in the year
	b.task(dec.Add(time.Hour), officer, id(5), id(15), warrant.Attribution)
	d, err = b.state.NotExecuted(b.legal, legalRules(t), dec.Add(2*time.Hour), officer, NonExecutionRequest{ID: "m", WarrantID: id(5), TaskID: id(15), Why: DataNotHeld})
	wantRefusal(t, "decline", err, "")
	b.append(dec.Add(2*time.Hour), d)
	instant := func(task warrant.Task) (time.Time, bool) {
		if task.ID == id(15) {
			return time.Time{}, false
		}
		return task.CreatedAt.Add(-10 * day), true
	}
	from, to := Year(2026, time.UTC)
	got := b.again().Census(b.legal, from, to, jan.AddDate(2, 0, 0), instant)
	want := []Cell{
		{"BE-OM", "NL-126na", "ATTRIBUTION", Unknown, Figures{Refused: 1}},
		{"BE-OM", "NL-126na", "ATTRIBUTION", AgeBands[2], Figures{Open: 1}},
		{"BE-OM", "NL-126na", "HISTORY", None, Figures{Unanswered: 1}},
		{"BE-OM", "NL-126na", "IDENTITY", None, Figures{Unanswered: 1}},
		{"NL-OM", "NL-126na", "ATTRIBUTION", AgeBands[2], Figures{Unanswered: 1}},
		{"NL-OM", "NL-126na", "IDENTITY", None, Figures{Refused: 1}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("census\n%+v, want\n%+v", got, want)
	}
	// What a year is asked about later does not change.
	if later := b.state.Census(b.legal, from, to, jan.AddDate(5, 0, 0), instant); !reflect.DeepEqual(later, got) {
		t.Errorf("asked later: %+v", later)
	}
	// While it runs, it is as things stand now.
	if now := b.state.Census(b.legal, from, to, jan.Add(90*time.Minute), instant); len(now) != 4 {
		t.Errorf("in its first hours: %+v", now)
	}
}

// A task that was refused for what it asks is refused in the year in which it was, and
// open no more.
func TestCensusOfRefusedTask(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM", warrant.Attribution)
	b.task(start, officer, id(1), id(11), warrant.Attribution)
	for _, e := range []struct{ kind, actor, facts string }{
		{warrant.KindApprove, "0f", `{"revision":2,"content_sha256":"` + id(1) + `","role":"legal_officer","beside":[]}`},
		{warrant.KindApprove, "a0", `{"revision":3,"content_sha256":"` + id(1) + `","role":"legal_approver","beside":[2]}`},
		{warrant.KindTaskIntent, "0f", `{"revision":4,"attempt":1}`},
		{warrant.KindRefuse, "0f", `{"attempt":1}`},
	} {
		b.append(start.Add(time.Hour), ledger.Draft{Kind: e.kind, Actor: e.actor, WarrantID: id(1), TaskID: id(11), Generation: 1, Reason: "MAX_HITS", Facts: json.RawMessage(e.facts)})
	}
	if task, w, _ := b.legal.Task(id(11)); task.State(&w, start) != warrant.TaskRejected {
		t.Fatalf("the task is %s", task.State(&w, start))
	}
	instant := func(warrant.Task) (time.Time, bool) { return time.Time{}, false }
	for hours, want := range map[time.Duration]Figures{1: {Open: 1}, 2: {Refused: 1}} {
		got := b.state.Census(b.legal, start, start.Add(hours*time.Hour), start.Add(day), instant)
		if len(got) != 1 || got[0].Figures != want {
			t.Errorf("after %d hours: %+v, want %+v", hours, got, want)
		}
	}
}

func TestAgeBands(t *testing.T) {
	for days, want := range map[int]string{-1: AgeBands[0], 0: AgeBands[0], 1: AgeBands[1], 7: AgeBands[1], 8: AgeBands[2], 30: AgeBands[2], 31: AgeBands[3], 90: AgeBands[3],
		91: AgeBands[4], 180: AgeBands[4], 181: AgeBands[5], 365: AgeBands[5], 366: AgeBands[6], 4000: AgeBands[6]} {
		if got := AgeBand(start, start.Add(-time.Duration(days)*day)); got != want {
			t.Errorf("%d days: %q, want %q", days, got, want)
		}
	}
}

func TestOverview(t *testing.T) {
	b := newBook(t)
	b.warrant(start, id(1), "NL-OM", warrant.Attribution)
	b.task(start, officer, id(1), id(10), warrant.Attribution)
	b.warrant(start, id(2), "NL-OM", warrant.Attribution)
	b.append(start, ledger.Draft{Kind: warrant.KindReject, WarrantID: id(2), Generation: 1})
	for i, why := range []reason.Reason{reason.SelfApproval, reason.SelfApproval, reason.CategoryExceedsBasis} {
		b.append(start.Add(time.Duration(i)*time.Hour), ledger.Draft{Kind: kindRefusal, Reason: string(why)})
	}
	d, _ := b.state.Limited(start, officer, TasksOfOfficer)
	b.append(start, d)
	v := b.again().Overview(b.legal, hold.NewState(), start.Add(time.Hour), 24*time.Hour, true)
	if len(v.Warrants) != 1 || v.Warrants[0].ID != id(1) || len(v.Warrants[0].Tasks) != 1 || !v.Warrants[0].Tasks[0].Unconfirmed || !v.Warrants[0].Unverified || v.Unconfirmed != 1 || v.Unverified != 1 {
		t.Errorf("open warrants = %+v", v.Warrants)
	}
	if want := (map[string]uint64{"SELF_APPROVAL": 2, "CATEGORY_EXCEEDS_BASIS": 1}); !maps.Equal(v.Refusals, want) || len(v.Hits) != 1 {
		t.Errorf("refusals = %v, hits = %v", v.Refusals, v.Hits)
	}
	if v.States[warrant.Rejected] != 1 || v.States[warrant.AwaitingApproval] != 1 {
		t.Errorf("states = %v", v.States)
	}
	if v = b.state.Overview(b.legal, hold.NewState(), start.Add(40*day), 24*time.Hour, true); len(v.Refusals) != 0 || len(v.Hits) != 0 || len(v.Warrants) != 0 {
		t.Errorf("after forty days %+v", v)
	}
}

// legalRules are those of the bundled profile, which every authority may use.
func legalRules(t testing.TB) *warrant.Rules {
	t.Helper()
	profile, err := warrant.LoadProfile("nl")
	if err != nil {
		t.Fatal(err)
	}
	profile.OnlyRegistered = false
	return &warrant.Rules{Law: warrant.Always(profile)}
}
