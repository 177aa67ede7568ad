package warrant_test

import (
	"testing"

	"griffier/api/reason"
	"griffier/api/warrant"
)

func TestWithin(t *testing.T) {
	officer, approver, external, controller := warrant.LegalOfficer, warrant.LegalApprover, warrant.ExternalApprover, warrant.PrivacyController
	for _, test := range []struct {
		name  string
		roles []warrant.Role
		teams []string
		team  string
		want  bool
	}{
		{"no teams at all", []warrant.Role{officer}, nil, "", true},
		{"own", []warrant.Role{officer}, []string{"noord"}, "noord", true},
		{"one of several", []warrant.Role{approver}, []string{"noord", "zuid"}, "zuid", true},
		{"another's", []warrant.Role{approver}, []string{"noord"}, "zuid", false},
		{"a team's, of somebody without", []warrant.Role{officer}, nil, "noord", false},
		{"nobody's, of somebody with a team", []warrant.Role{officer}, []string{"noord"}, "", false},
		{"a lawyer from outside", []warrant.Role{external}, nil, "noord", true},
		{"a lawyer from outside who was given a team", []warrant.Role{external}, []string{"zuid"}, "noord", false},
		{"the privacy controller", []warrant.Role{controller}, []string{"zuid"}, "noord", true},
		{"the privacy controller, who is an officer too", []warrant.Role{controller, officer}, nil, "noord", false},
		{"a lawyer from outside, who is an approver too", []warrant.Role{external, approver}, nil, "noord", false},
	} {
		if got := (warrant.Caller{Roles: test.roles, Teams: test.teams}).Within(warrant.Warrant{Team: test.team}); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

// TestTeamOfAWarrant: it is the creator's, no edit changes that, the privacy controller
// may, and an assignment that lost a race changes nothing.
func TestTeamOfAWarrant(t *testing.T) {
	b, r := newBook(t), testRules(t)
	by := warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}, Teams: []string{"noord", "zuid"}}
	create := func(id, reference, team string) *reason.Error {
		content := testContent()
		content.Reference = reference
		d, err := r.Create(b.state, start, by, warrant.CreateRequest{ID: id, Salt: "s", Content: content, Team: team})
		if err == nil {
			b.append(start, d)
		}
		return err
	}
	for _, test := range []struct {
		team string
		want reason.Reason
	}{{"", reason.InvalidRequest}, {"oost", reason.InvalidRequest}, {"zuid", ""}} {
		err := create("w1", "PV 1", test.team)
		if got := err; (got == nil) != (test.want == "") || got != nil && got.Reason != test.want {
			t.Errorf("for team %q: %v, want %q", test.team, err, test.want)
		}
	}
	w, _ := b.state.Warrant("w1")
	if w.Team != "zuid" {
		t.Fatalf("the warrant is of %q", w.Team)
	}
	edited := testContent()
	edited.Reference, edited.RequestedBy = "PV 1", "Another Person"
	d, err := r.Edit(b.state, start, by, warrant.EditRequest{WarrantID: "w1", Generation: 1, Salt: "s2", Content: edited, Before: testContent()})
	if err != nil {
		t.Fatal(err)
	}
	b.append(start, d)
	if w, _ = b.state.Warrant("w1"); w.Team != "zuid" || w.Generation != 2 {
		t.Fatalf("after an edit it is of %q, generation %d", w.Team, w.Generation)
	}
	controller := warrant.Caller{Actor: "c0", Roles: []warrant.Role{warrant.PrivacyController}}
	both := warrant.Caller{Actor: "c1", Roles: []warrant.Role{warrant.PrivacyController, warrant.LegalApprover}}
	assign := warrant.AssignRequest{WarrantID: "w1", Team: "noord", Explanation: "ill"}
	for _, test := range []struct {
		name string
		by   warrant.Caller
		edit func(*warrant.AssignRequest)
		want reason.Reason
	}{
		{"an officer", by, nil, reason.PermissionDenied},
		{"who would read it after", both, nil, reason.SelfApproval},
		{"without saying why", controller, func(q *warrant.AssignRequest) { q.Explanation = "" }, reason.InvalidRequest},
		{"to what is no name", controller, func(q *warrant.AssignRequest) { q.Team = "Noord" }, reason.InvalidRequest},
		{"what is not there", controller, func(q *warrant.AssignRequest) { q.WarrantID = "w2" }, reason.NotFound},
		{"to whom it belongs", controller, func(q *warrant.AssignRequest) { q.Team = "zuid" }, reason.WarrantTerminal},
	} {
		q := assign
		if test.edit != nil {
			test.edit(&q)
		}
		if _, err := r.Assign(b.state, test.by, q); err == nil || err.Reason != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
	first, err := r.Assign(b.state, controller, assign)
	if err != nil {
		t.Fatal(err)
	}
	assign.Team = ""
	late, err := r.Assign(b.state, controller, assign)
	if err != nil {
		t.Fatal(err)
	}
	b.append(start, first)
	before := b.state.Ignored()
	b.append(start, late) // decided before the first was folded
	if w, _ = b.state.Warrant("w1"); w.Team != "noord" || b.state.Ignored() != before+1 {
		t.Errorf("it is of %q, and %d entries lost a race; want noord, and one more", w.Team, b.state.Ignored()-before)
	}
}
