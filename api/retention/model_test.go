package retention

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/schema"
)

var start = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// pageBook is the log of a pure test: it numbers drafts and folds them.
type pageBook struct {
	keeper  *Keeper
	entries []ledger.Entry
}

func (b *pageBook) append(t interface{ Fatal(...any) }, at time.Time, d ledger.Draft) (taken bool) {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		t.Fatal(err)
	}
	e := ledger.Entry{Index: uint64(len(b.entries)), Header: ledger.Header{V: 1, Kind: d.Kind, At: at, Actor: d.Actor, Role: d.Role,
		Generation: d.Generation, KeyID: d.KeyID, Facts: facts}}
	before := b.keeper.Ignored()
	if err := b.keeper.Apply(e); err != nil {
		t.Fatal(err)
	}
	b.entries = append(b.entries, e)
	return b.keeper.Ignored() == before
}

// simple is a policy of one class, whose only figure is its days.
func simple(generation uint64, days int) File {
	return File{Generation: generation, Jurisdiction: "nl", SHA256: fmt.Sprintf("%d/%d", generation, days), SignedBy: "k", Rules: []Rule{{Policy: schema.Policy{
		Class: schema.ClassSession, Period: fmt.Sprintf("P%dD", days), Zone: "UTC", Purpose: "faults", Basis: "b", Source: "s"}}}}
}

func policyDraft(f File, proposal string) ledger.Draft {
	return ledger.Draft{Kind: KindPolicy, Role: "system", Generation: f.Generation, Facts: policyFacts{factsOf(f), proposal}}
}

// road is what the model knows of one proposal, by its own account.
type road struct {
	file       File
	base       uint64
	by         string
	at         time.Time
	advisedBy  string
	stage      uint64
	approvedAt time.Time
	over       bool
}

// TestLengtheningTakesThreePeople drives the fold with random acts at random
// times, also of entries decided earlier and appended late, as an append that
// hangs leaves them, and of entries that nobody decided. However they come, a
// period gets longer only by a file that one person proposed, another advised on,
// and a third approved, each in their own role and in time.
func TestLengtheningTakesThreePeople(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := &pageBook{keeper: &Keeper{}}
		now, days, generation := start, 10, uint64(1)
		if !b.append(rt, now, policyDraft(simple(1, days), "")) {
			rt.Fatal("the first policy is ignored")
		}
		roads := map[string]*road{}
		var ids []string
		var late []ledger.Draft
		people := []ledger.Caller{
			{Actor: "op", Roles: []string{RoleOperator}}, {Actor: "op2", Roles: []string{RoleOperator}},
			{Actor: "dpo", Roles: []string{RoleOverseer}}, {Actor: "pc", Roles: []string{RolePrivacyController}},
			{Actor: "all", Roles: []string{RoleOperator, RoleOverseer, RolePrivacyController}},
			{Actor: "robot", Roles: []string{RoleOperator, RoleOverseer, RolePrivacyController}, Machine: true},
			{Actor: "cc"},
		}
		caller := rapid.SampledFrom(people)
		id := func(rt *rapid.T) string {
			if len(ids) == 0 {
				return "none"
			}
			return rapid.SampledFrom(ids).Draw(rt, "id")
		}
		// note takes in the account of an entry that the fold took.
		note := func(rt *rapid.T, d ledger.Draft) {
			switch f := d.Facts.(type) {
			case proposeFacts:
				roads[f.ProposalID] = &road{file: f.file(), base: generation, by: d.Actor, at: now, stage: 1}
				ids = append(ids, f.ProposalID)
			case adviseFacts:
				r := roads[f.ProposalID]
				if r.over || !r.approvedAt.IsZero() || d.Actor == r.by || !now.Before(r.at.Add(ProposalAge)) || r.base != generation {
					rt.Fatalf("advice by %s is taken on %+v at %v", d.Actor, r, now)
				}
				r.advisedBy = d.Actor
				r.stage++
			case approveFacts:
				r := roads[f.ProposalID]
				if r.over || !r.approvedAt.IsZero() || r.advisedBy == "" || d.Actor == r.by || d.Actor == r.advisedBy ||
					d.Role != RolePrivacyController || d.Generation != r.stage || !now.Before(r.at.Add(ProposalAge)) || r.base != generation {
					rt.Fatalf("an approval by %s (%s) is taken on %+v at %v", d.Actor, d.Role, r, now)
				}
				r.approvedAt = now
			case withdrawFacts:
				roads[f.ProposalID].over = true
			case policyFacts:
				var to int
				fmt.Sscanf(f.Rules[0].Period, "P%dD", &to)
				if f.Generation <= generation {
					rt.Fatalf("generation %d came into force after %d", f.Generation, generation)
				}
				if to > days {
					r := roads[f.ProposalID]
					if r == nil || r.over || r.approvedAt.IsZero() || !now.Before(r.approvedAt.Add(ApprovalAge)) || r.base != generation ||
						r.file.SHA256 != f.SHA256 || r.by == r.advisedBy {
						rt.Fatalf("from %d to %d days at %v by %+v", days, to, now, r)
					}
					r.over = true
				}
				days, generation = to, f.Generation
			}
		}
		// commit appends a draft that was just decided, or keeps it for later.
		commit := func(rt *rapid.T, d ledger.Draft) {
			if rapid.IntRange(0, 6).Draw(rt, "hang") == 0 {
				late = append(late, d)
				return
			}
			if !b.append(rt, now, d) {
				rt.Fatalf("a draft that was just decided is ignored: %+v", d)
			}
			note(rt, d)
		}
		newFile := func(rt *rapid.T) File {
			return simple(generation+uint64(rapid.IntRange(0, 3).Draw(rt, "generation")), rapid.IntRange(1, 20).Draw(rt, "days"))
		}
		propose := func(rt *rapid.T, by ledger.Caller, f File) {
			name := fmt.Sprintf("p%d", len(b.entries))
			d, err := b.keeper.Propose(by, name, "key", f, []byte("file"))
			if err == nil {
				if by.Machine || !slices.Contains(by.Roles, RoleOperator) || f.Generation <= generation {
					rt.Fatalf("%s proposes %+v", by.Actor, f)
				}
				commit(rt, d)
			}
		}
		stageOf := func(id string) (string, uint64) {
			p, _ := b.keeper.Proposal(id)
			return p.SHA256, p.Stage
		}
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(rt *rapid.T) {
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 23 * time.Hour, 29 * 24 * time.Hour}).Draw(rt, "for"))
			},
			"propose": func(rt *rapid.T) { propose(rt, caller.Draw(rt, "by"), newFile(rt)) },
			"advise": func(rt *rapid.T) {
				id, by := id(rt), caller.Draw(rt, "by")
				sha, _ := stageOf(id)
				if d, err := b.keeper.Advise(now, by, id, "key", sha, rapid.SampledFrom([]Advice{InFavour, Against}).Draw(rt, "advice"), "text"); err == nil {
					commit(rt, d)
				}
			},
			"approve": func(rt *rapid.T) {
				id, by := id(rt), caller.Draw(rt, "by")
				sha, stage := stageOf(id)
				if d, err := b.keeper.Approve(now, by, id, sha, stage); err == nil {
					commit(rt, d)
				}
			},
			// Random acts alone seldom get as far as an approval.
			"advance": func(rt *rapid.T) {
				propose(rt, people[0], simple(generation+1, days+1))
				id := id(rt)
				sha, _ := stageOf(id)
				if d, err := b.keeper.Advise(now, people[2], id, "key", sha, Against, "text"); err == nil {
					commit(rt, d)
				}
				sha, stage := stageOf(id)
				if d, err := b.keeper.Approve(now, people[3], id, sha, stage); err == nil {
					commit(rt, d)
				}
			},
			"withdraw": func(rt *rapid.T) {
				if d, err := b.keeper.Withdraw(caller.Draw(rt, "by"), id(rt), "key", ""); err == nil && rapid.IntRange(0, 3).Draw(rt, "rarely") == 0 {
					commit(rt, d)
				}
			},
			// What Enforce appends: whatever a signed file says, with or without a proposal.
			"policy": func(rt *rapid.T) {
				f, proposal := newFile(rt), id(rt)
				if r := roads[proposal]; r != nil && rapid.Bool().Draw(rt, "as proposed") {
					f = r.file
				}
				d := policyDraft(f, proposal)
				if b.append(rt, now, d) {
					note(rt, d)
				}
			},
			// An entry that the decider would not have made.
			"forged": func(rt *rapid.T) {
				id, by := id(rt), caller.Draw(rt, "by")
				sha, stage := stageOf(id)
				d := ledger.Draft{Kind: KindApprove, Actor: by.Actor, Role: rapid.SampledFrom([]string{RoleOperator, RolePrivacyController}).Draw(rt, "role"),
					Generation: stage, Facts: approveFacts{id, sha}}
				if b.append(rt, now, d) {
					note(rt, d)
				}
			},
			"late append": func(rt *rapid.T) {
				if len(late) == 0 {
					return
				}
				d := late[0]
				late = late[1:]
				if b.append(rt, now, d) {
					note(rt, d)
				}
			},
			"": func(rt *rapid.T) {
				f, _ := b.keeper.InForce()
				if f.Generation != generation || f.Rules[0].Period != fmt.Sprintf("P%dD", days) {
					rt.Fatalf("in force is generation %d with %s, want %d with P%dD", f.Generation, f.Rules[0].Period, generation, days)
				}
				again := &Keeper{}
				for _, e := range b.entries {
					e.Body = nil // shredded or not, the headers are enough
					if err := again.Apply(e); err != nil {
						rt.Fatal(err)
					}
				}
				if !reflect.DeepEqual(again.History(), b.keeper.History()) || !reflect.DeepEqual(again.Proposals(), b.keeper.Proposals()) {
					rt.Fatal("folding the log again gives another state")
				}
			},
		})
	})
}

// TestRoad takes the road once, and every wrong turn on it.
func TestRoad(t *testing.T) {
	op, dpo := ledger.Caller{Actor: "op", Roles: []string{RoleOperator}}, ledger.Caller{Actor: "dpo", Roles: []string{RoleOverseer}}
	pc := ledger.Caller{Actor: "pc", Roles: []string{RolePrivacyController}}
	opAsDPO, opAsPC := ledger.Caller{Actor: "op", Roles: []string{RoleOverseer}}, ledger.Caller{Actor: "op", Roles: []string{RolePrivacyController}}
	dpoAsPC := ledger.Caller{Actor: "dpo", Roles: []string{RolePrivacyController}}
	b := &pageBook{keeper: &Keeper{}}
	k := b.keeper
	b.append(t, start, policyDraft(simple(1, 10), ""))
	longer := simple(2, 12)
	want := func(what string, err *reason.Error, want reason.Reason) {
		t.Helper()
		var got reason.Reason
		if err != nil {
			got = err.Reason
		}
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	take := func(what string, d ledger.Draft, err *reason.Error) {
		t.Helper()
		if want(what, err, ""); err == nil && !b.append(t, start, d) {
			t.Errorf("%s: decided, and ignored", what)
		}
	}
	refused := func(what string, r reason.Reason) func(ledger.Draft, *reason.Error) {
		return func(_ ledger.Draft, err *reason.Error) { t.Helper(); want(what, err, r) }
	}
	refused("proposed by the overseer", reason.PermissionDenied)(k.Propose(dpo, "p", "key", longer, nil))
	refused("proposed by a machine", reason.PermissionDenied)(k.Propose(ledger.Caller{Actor: "m", Roles: op.Roles, Machine: true}, "p", "key", longer, nil))
	refused("the generation in force", reason.GenerationMismatch)(k.Propose(op, "p", "key", simple(1, 12), nil))
	refused("lengthens nothing", reason.InvalidRequest)(k.Propose(op, "p", "key", simple(2, 9), nil))
	d, err := k.Propose(op, "p", "key", longer, []byte("text"))
	take("propose", d, err)
	refused("approved without advice", reason.AdviceMissing)(k.Approve(start, pc, "p", longer.SHA256, 1))
	refused("advised by the proposer", reason.SelfApproval)(k.Advise(start, opAsDPO, "p", "key", longer.SHA256, InFavour, "text"))
	refused("advice without text", reason.InvalidRequest)(k.Advise(start, dpo, "p", "key", longer.SHA256, InFavour, ""))
	refused("advice without outcome", reason.InvalidRequest)(k.Advise(start, dpo, "p", "key", longer.SHA256, "", "text"))
	refused("advice on another file", reason.GenerationMismatch)(k.Advise(start, dpo, "p", "key", "x", InFavour, "text"))
	refused("advice on nothing", reason.NotFound)(k.Advise(start, dpo, "q", "key", "x", InFavour, "text"))
	d, err = k.Advise(start, dpo, "p", "key", longer.SHA256, Against, "too long")
	take("advise", d, err)
	refused("approved by the proposer", reason.SelfApproval)(k.Approve(start, opAsPC, "p", longer.SHA256, 2))
	refused("approved by the adviser", reason.SelfApproval)(k.Approve(start, dpoAsPC, "p", longer.SHA256, 2))
	refused("approved before the advice was seen", reason.GenerationMismatch)(k.Approve(start, pc, "p", longer.SHA256, 1))
	refused("approved, another file", reason.GenerationMismatch)(k.Approve(start, pc, "p", "x", 2))
	refused("approved by an operator", reason.PermissionDenied)(k.Approve(start, op, "p", longer.SHA256, 2))
	refused("approved a month later", reason.ProposalEnded)(k.Approve(start.Add(ProposalAge), pc, "p", longer.SHA256, 2))
	if b.append(t, start, policyDraft(longer, "p")) {
		t.Error("it came into force without an approval")
	}
	d, err = k.Approve(start, pc, "p", longer.SHA256, 2)
	take("approve", d, err)
	refused("approved twice", reason.ProposalEnded)(k.Approve(start, pc, "p", longer.SHA256, 2))
	if b.append(t, start.Add(ApprovalAge), policyDraft(longer, "p")) {
		t.Error("it came into force a day after its approval")
	}
	if b.append(t, start, policyDraft(simple(3, 30), "p")) {
		t.Error("another file came into force by that approval")
	}
	if !b.append(t, start, policyDraft(longer, "p")) {
		t.Error("it did not come into force")
	}
	if p, _ := k.Proposal("p"); p.State(start, k.Generation()) != InForceState || p.Advice != Against {
		t.Errorf("after all: %+v", p)
	}
	refused("withdrawn in force", reason.ProposalEnded)(k.Withdraw(op, "p", "key", ""))
	// A policy that comes in between overtakes a proposal.
	d, err = k.Propose(op, "q", "key", simple(5, 40), nil)
	take("propose again", d, err)
	b.append(t, start, policyDraft(simple(3, 1), ""))
	refused("overtaken", reason.GenerationMismatch)(k.Advise(start, dpo, "q", "key", simple(5, 40).SHA256, InFavour, "text"))
	refused("withdrawn by the overseer", reason.PermissionDenied)(k.Withdraw(dpo, "q", "key", ""))
	d, err = k.Withdraw(pc, "q", "key", "no longer wanted")
	take("withdraw", d, err)
}
