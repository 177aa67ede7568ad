package authority_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/authority"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
)

var (
	start      = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	officer    = ledger.Caller{Actor: "0f", Roles: []string{"legal_officer"}}
	colleague  = ledger.Caller{Actor: "0d", Roles: []string{"legal_officer"}}
	approver   = ledger.Caller{Actor: "a0", Roles: []string{"legal_approver"}}
	controller = ledger.Caller{Actor: "c0", Roles: []string{"privacy_controller"}}
	everything = ledger.Caller{Actor: "ee", Roles: []string{"legal_officer", "legal_approver", "privacy_controller"}}
	machine    = ledger.Caller{Actor: "mm", Roles: everything.Roles, Machine: true}
	callers    = []ledger.Caller{officer, colleague, approver, controller, everything, machine, {Actor: "xx"}}
)

// book is the log of a pure test.
type book struct {
	registry *authority.Registry
	entries  []ledger.Entry
}

func newBook() *book { return &book{registry: authority.NewRegistry()} }

type fataler interface{ Fatal(...any) }

func (b *book) append(t fataler, at time.Time, d ledger.Draft) {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		t.Fatal(err)
	}
	e := ledger.Entry{Index: uint64(len(b.entries)), Header: ledger.Header{V: 1, Kind: d.Kind, At: at, Actor: d.Actor, Role: d.Role, Generation: d.Generation, Facts: facts}}
	if err := b.registry.Apply(e); err != nil {
		t.Fatal(err)
	}
	b.entries = append(b.entries, e)
}

func record(id string) authority.Record {
	bases := []string{"NL-126na-2", "NL-126n"}
	if id[:2] != "NL" { // it orders by the Union's law
		bases = []string{"EPOC-SUBSCRIBER", "EPOC-USER"}
	}
	return authority.Record{ID: id, Name: "Office of the prosecutor", Country: id[:2], Offices: []string{"public-prosecutor"},
		Bases: bases, Categories: []warrant.Category{warrant.Identity, warrant.Attribution}, CallBack: "+31 20 1234567"}
}

func want(t testing.TB, what string, err *reason.Error, want reason.Reason) {
	t.Helper()
	var got reason.Reason
	if err != nil {
		got = err.Reason
	}
	if got != want {
		t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}

// registered puts an authority in force.
func (b *book) registered(t testing.TB, id string) {
	t.Helper()
	d, err := b.registry.Propose(officer, "p-"+id, "k", 0, record(id), authority.Contact{Name: "the desk"}, warranttest.Law())
	want(t, "propose", err, "")
	b.append(t, start, d)
	p, _ := b.registry.Proposal("p-" + id)
	d, err = b.registry.Approve(start, controller, "p-"+id, p.Record.Hash())
	want(t, "approve", err, "")
	b.append(t, start, d)
}

func TestProposeAndApprove(t *testing.T) {
	b := newBook()
	for _, test := range []struct {
		name   string
		by     ledger.Caller
		change func(*authority.Record)
		want   reason.Reason
		fields string
	}{
		{"as it should be", officer, func(*authority.Record) {}, "", ""},
		{"an approver", approver, func(*authority.Record) {}, reason.PermissionDenied, ""},
		{"a machine", machine, func(*authority.Record) {}, reason.PermissionDenied, ""},
		{"a homoglyph", officer, func(r *authority.Record) { r.ID = "NL-ОM" }, reason.InvalidRequest, "id"}, // a Cyrillic O
		{"another country's id", officer, func(r *authority.Record) { r.Country = "BE" }, reason.InvalidRequest, "country"},
		{"nothing", officer, func(r *authority.Record) { *r = authority.Record{} }, reason.InvalidRequest, "id country name offices bases categories call_back"},
		{"an unknown basis", officer, func(r *authority.Record) { r.Bases = []string{"NL-1"} }, reason.InvalidRequest, "bases[0]"},
		{"a basis twice", officer, func(r *authority.Record) { r.Bases = []string{"NL-126n", "NL-126n"} }, reason.InvalidRequest, "bases[1]"},
		{"a wildcard office", officer, func(r *authority.Record) { r.Offices = []string{"*"} }, reason.InvalidRequest, "offices[0]"},
		{"the Union's basis for an authority of the provider's own state", officer, func(r *authority.Record) { r.Bases = []string{"NL-126n", "EPOC-PR"} }, reason.InvalidRequest, "bases[0]"},
		{"a nation's basis for another's authority", officer, func(r *authority.Record) { r.ID, r.Country = "BE-OM", "BE" }, reason.InvalidRequest, "bases[0] bases[1]"},
		{"the Union's basis for another's authority", officer, func(r *authority.Record) { r.ID, r.Country, r.Bases = "BE-OM", "BE", []string{"EPOC-PR"} }, "", ""},
		{"the Union's basis for a state that takes no part", officer, func(r *authority.Record) { r.ID, r.Country, r.Bases = "DK-OM", "DK", []string{"EPOC-PR"} }, reason.InvalidRequest, "bases[0]"},
		{"the Union's basis from outside of it", officer, func(r *authority.Record) { r.ID, r.Country, r.Bases = "US-OM", "US", []string{"EPOC-PR"} }, reason.InvalidRequest, "bases[0]"},
		{"a basis that its office does not sign", officer, func(r *authority.Record) { r.Bases = []string{"NL-126n", "NL-CIVIL"} }, reason.InvalidRequest, "bases[1]"},
		{"a control character", officer, func(r *authority.Record) { r.Name = "a\u202eb" }, reason.InvalidRequest, "name"},
		{"an emergency number", officer, func(r *authority.Record) { r.CallBack = "112" }, reason.InvalidRequest, "call_back"},
	} {
		r := record("NL-OM")
		test.change(&r)
		_, err := b.registry.Propose(test.by, "p", "k", 0, r, authority.Contact{}, warranttest.Law())
		want(t, test.name, err, test.want)
		var fields []string
		if err != nil {
			for _, v := range err.Violations {
				fields = append(fields, v.Field)
			}
		}
		if got := strings.Join(fields, " "); got != test.fields {
			t.Errorf("%s: %q, want %q", test.name, got, test.fields)
		}
	}
	d, err := b.registry.Propose(everything, "p1", "k", 0, record("NL-OM"), authority.Contact{}, warranttest.Law())
	want(t, "propose", err, "")
	b.append(t, start, d)
	p, _ := b.registry.Proposal("p1")
	_, err = b.registry.Approve(start, everything, "p1", p.Record.Hash())
	want(t, "whoever proposed", err, reason.SelfApproval)
	_, err = b.registry.Approve(start, officer, "p1", p.Record.Hash())
	want(t, "an officer", err, reason.PermissionDenied)
	_, err = b.registry.Approve(start, controller, "p1", strings.Repeat("0", 64))
	want(t, "another record", err, reason.GenerationMismatch)
	_, err = b.registry.Approve(start, controller, "p2", p.Record.Hash())
	want(t, "another proposal", err, reason.NotFound)
	_, err = b.registry.Approve(start.Add(authority.ProposalAge), controller, "p1", p.Record.Hash())
	want(t, "too late", err, reason.ProposalEnded)
	if _, known := b.registry.View("NL-OM", start); known {
		t.Error("a proposal is an authority")
	}
	d, err = b.registry.Approve(start.Add(authority.ProposalAge-1), controller, "p1", p.Record.Hash())
	want(t, "just in time", err, "")
	b.append(t, start.Add(authority.ProposalAge-1), d)
	v, known := b.registry.View("NL-OM", start)
	if !known || v.CallBack != "+31201234567" || len(v.Keys) != 0 || v.Generation != 1 {
		t.Errorf("in force: %+v, %v", v, known)
	}
	for _, id := range []string{"NL-0M", "NL-O-M", "NL-om", "NL-ORN"} {
		_, err := b.registry.Propose(officer, "p3", "k", 0, record(id), authority.Contact{}, warranttest.Law())
		want(t, id+" beside NL-OM", err, reason.InvalidRequest)
	}
	_, err = b.registry.Propose(officer, "p3", "k", 0, record("NL-OM"), authority.Contact{}, warranttest.Law())
	want(t, "the same id as a new one", err, reason.GenerationMismatch)
	_, err = b.registry.Propose(officer, "p3", "k", 1, record("NL-OM"), authority.Contact{}, warranttest.Law())
	want(t, "another record of it", err, "")
}

func TestKeys(t *testing.T) {
	b := newBook()
	b.registered(t, "NL-OM")
	b.registered(t, "NL-RB")
	key := ageKey(t).Recipient().String()
	do := func(what string, at time.Time, d ledger.Draft, err *reason.Error, expect reason.Reason) {
		t.Helper()
		want(t, what, err, expect)
		if err == nil {
			b.append(t, at, d)
		}
	}
	add := func(by ledger.Caller, id string, generation uint64, text string, expect reason.Reason) {
		t.Helper()
		d, err := b.registry.AddKey(start, by, "k", id, generation, text)
		do("add to "+id, start, d, err, expect)
	}
	add(approver, "NL-OM", 1, key, reason.PermissionDenied)
	add(officer, "NL-OM", 2, key, reason.GenerationMismatch)
	add(officer, "NL-XX", 1, key, reason.NotFound)
	add(officer, "NL-OM", 1, "age1", reason.InvalidRequest)
	add(officer, "NL-OM", 1, key, "")
	add(officer, "NL-OM", 2, key, reason.InvalidRequest)
	add(officer, "NL-RB", 1, key, reason.InvalidRequest)
	a, _ := b.registry.Authority("NL-OM")
	fingerprint := a.Keys[0].Fingerprint
	confirm := func(by ledger.Caller, generation uint64, fingerprint, number, who string, expect reason.Reason) {
		t.Helper()
		d, err := b.registry.ConfirmKey(start, by, "k", "NL-OM", generation, fingerprint, number, who)
		do("confirm", start, d, err, expect)
	}
	confirm(officer, 2, fingerprint, "+31201234567", "desk", reason.SelfApproval)
	confirm(ledger.Caller{Actor: "xx"}, 2, fingerprint, "+31201234567", "desk", reason.PermissionDenied)
	confirm(approver, 2, strings.Repeat("0", 64), "+31201234567", "desk", reason.NotFound)
	confirm(approver, 2, fingerprint, "+31207654321", "desk", reason.InvalidRequest)
	confirm(approver, 2, fingerprint, "+31201234567", "", reason.InvalidRequest)
	confirm(approver, 1, fingerprint, "+31201234567", "desk", reason.GenerationMismatch)
	if v, _ := b.registry.View("NL-OM", start); len(v.Keys) != 0 {
		t.Errorf("unconfirmed keys count: %v", v.Keys)
	}
	confirm(approver, 2, fingerprint, "+31 20 123 45 67", "desk", "")
	confirm(controller, 3, fingerprint, "+31201234567", "desk", reason.ProposalEnded)
	if v, _ := b.registry.View("NL-OM", start); len(v.Keys) != 1 || v.Keys[0] != fingerprint {
		t.Errorf("confirmed keys: %v", v.Keys)
	}
	d, err := b.registry.RevokeKey(controller, "k", "NL-OM", fingerprint, "lost")
	do("revoke", start, d, err, "")
	_, err = b.registry.RevokeKey(controller, "k", "NL-OM", fingerprint, "lost")
	want(t, "revoke twice", err, reason.ProposalEnded)
	if v, _ := b.registry.View("NL-OM", start); len(v.Keys) != 0 {
		t.Errorf("a revoked key counts: %v", v.Keys)
	}
	// Anew, it must be confirmed anew.
	add(officer, "NL-OM", 4, key, "")
	if v, _ := b.registry.View("NL-OM", start); len(v.Keys) != 0 {
		t.Error("a key that was revoked and added again counts at once")
	}
	// A certificate counts while it is valid.
	k := rsaKey(t, 2048)
	until := start.Add(time.Hour)
	add(officer, "NL-OM", 5, certificate(t, &k.PublicKey, k, 0, start.Add(time.Hour), until.Add(time.Hour)), reason.InvalidRequest)
	add(officer, "NL-OM", 5, certificate(t, &k.PublicKey, k, 0, start.Add(-time.Hour), until), "")
	a, _ = b.registry.Authority("NL-OM")
	confirm(approver, 6, a.Keys[2].Fingerprint, "+31201234567", "desk", "")
	if v, _ := b.registry.View("NL-OM", until.Add(-1)); len(v.Keys) != 1 {
		t.Errorf("a valid certificate: %v", v.Keys)
	}
	if v, _ := b.registry.View("NL-OM", until); len(v.Keys) != 0 {
		t.Errorf("an expired certificate counts: %v", v.Keys)
	}
	d, err = b.registry.Retire(approver, "k", "NL-OM", "")
	do("retire", start, d, err, "")
	add(officer, "NL-OM", 8, key, reason.AuthorityNotEntitled)
	if v, known := b.registry.View("NL-OM", start); !known || !v.Retired {
		t.Errorf("retired: %+v, %v", v, known)
	}
}

func TestPlan(t *testing.T) {
	b := newBook()
	b.registered(t, "NL-OM")
	live := warrant.Warrant{ID: "w", Authority: "NL-OM", Basis: "NL-126n", Categories: []warrant.Category{warrant.Attribution}, Recipient: strings.Repeat("a", 64), ValidUntil: start.Add(time.Hour)}
	key := ageKey(t).Recipient().String()
	d, err := b.registry.AddKey(start, officer, "k", "NL-OM", 1, key)
	want(t, "add", err, "")
	b.append(t, start, d)
	a, _ := b.registry.Authority("NL-OM")
	live.Recipient = a.Keys[0].Fingerprint
	d, err = b.registry.ConfirmKey(start, approver, "k", "NL-OM", 2, live.Recipient, "+31201234567", "desk")
	want(t, "confirm", err, "")
	b.append(t, start, d)
	ended, other := live, live
	ended.Ended, other.Authority = warrant.Revoked, "NL-RB"
	r := record("NL-OM")
	r.Bases, r.Categories = []string{"NL-126na-2", "NL-126ni"}, []warrant.Category{warrant.Identity, warrant.Attribution, warrant.Preservation}
	plan := b.registry.Plan(start, r, warranttest.Law(), []warrant.Warrant{live, ended, other})
	if got := strings.Join(plan.Permits, ","); got != "NL-126ni PRESERVATION" {
		t.Errorf("permits %s", got)
	}
	if got := strings.Join(plan.Ends, ","); got != "NL-126n IDENTITY,NL-126n ATTRIBUTION" {
		t.Errorf("ends %s", got)
	}
	if plan.WarrantsStopped != 1 || plan.Generation != 3 {
		t.Errorf("plan %+v", plan)
	}
	if plan := b.registry.Plan(start, record("NL-RB"), warranttest.Law(), nil); len(plan.Permits) != 4 || len(plan.Ends) != 0 || plan.Generation != 0 {
		t.Errorf("of a new one: %+v", plan)
	}
}

// TestModel acts at random, also on what was decided long before, as an append that
// hung does. Whatever is in force was seen by two people, and what was taken away
// stays away.
func TestModel(t *testing.T) {
	p := warranttest.Law()
	keys := []string{ageKey(t).Recipient().String(), ageKey(t).Recipient().String()}
	ids := []string{"NL-OM", "NL-0M", "BE-FP"}
	rapid.Check(t, func(rt *rapid.T) {
		b, now, n := newBook(), start, 0
		var late []ledger.Draft
		caller, id := rapid.SampledFrom(callers), rapid.SampledFrom(ids)
		generation := func() uint64 { return uint64(rapid.IntRange(0, 6).Draw(rt, "generation")) }
		commit := func(d ledger.Draft, err *reason.Error) {
			if err != nil {
				return
			}
			if rapid.IntRange(0, 4).Draw(rt, "hang") == 0 {
				late = append(late, d)
				return
			}
			before := b.registry.Ignored()
			b.append(rt, now, d)
			if b.registry.Ignored() != before {
				rt.Fatalf("just decided and ignored: %+v", d)
			}
		}
		fingerprint := func(id string) string {
			if a, ok := b.registry.Authority(id); ok && len(a.Keys) > 0 {
				return rapid.SampledFrom(a.Keys).Draw(rt, "key").Fingerprint
			}
			return ""
		}
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(*rapid.T) { now = now.Add(10 * 24 * time.Hour) },
			"propose": func(rt *rapid.T) {
				n++
				commit(b.registry.Propose(caller.Draw(rt, "by"), "p"+string(rune('a'+n%26))+string(rune('a'+n/26%26)), "k", generation(), record(id.Draw(rt, "id")), authority.Contact{}, p))
			},
			"approve": func(rt *rapid.T) {
				if open := b.registry.Proposals(now); len(open) > 0 {
					o := rapid.SampledFrom(open).Draw(rt, "proposal")
					commit(b.registry.Approve(now, caller.Draw(rt, "by"), o.ID, o.Record.Hash()))
				}
			},
			"add": func(rt *rapid.T) {
				commit(b.registry.AddKey(now, caller.Draw(rt, "by"), "k", id.Draw(rt, "id"), generation(), rapid.SampledFrom(keys).Draw(rt, "which")))
			},
			"confirm": func(rt *rapid.T) {
				id := id.Draw(rt, "id")
				commit(b.registry.ConfirmKey(now, caller.Draw(rt, "by"), "k", id, generation(), fingerprint(id), "+31201234567", "desk"))
			},
			"revoke": func(rt *rapid.T) {
				id := id.Draw(rt, "id")
				commit(b.registry.RevokeKey(caller.Draw(rt, "by"), "k", id, fingerprint(id), ""))
			},
			"retire": func(rt *rapid.T) {
				if rapid.IntRange(0, 5).Draw(rt, "rarely") == 0 {
					commit(b.registry.Retire(caller.Draw(rt, "by"), "k", id.Draw(rt, "id"), ""))
				}
			},
			"late": func(*rapid.T) {
				if len(late) > 0 {
					b.append(rt, now, late[0])
					late = late[1:]
				}
			},
			"": func(rt *rapid.T) {
				holders := map[string]string{}
				for _, a := range b.registry.Authorities() {
					prop, _ := b.registry.Proposal(a.ProposalID)
					if prop.By == a.ApprovedBy || prop.By == "" || !reflect.DeepEqual(prop.Record, a.Record) {
						rt.Fatalf("%s was proposed by %q and approved by %q", a.ID, prop.By, a.ApprovedBy)
					}
					v, _ := b.registry.View(a.ID, now)
					for _, k := range a.Keys {
						live := k.Confirmed(now)
						if live && (k.AddedBy == k.ConfirmedBy || !k.RevokedAt.IsZero()) {
							rt.Fatalf("a key of %s counts: %+v", a.ID, k)
						}
						if k.RevokedAt.IsZero() {
							if other := holders[k.Fingerprint]; other != "" {
								rt.Fatalf("%s and %s have one key", other, a.ID)
							}
							holders[k.Fingerprint] = a.ID
						}
					}
					if v.Retired != !a.RetiredAt.IsZero() {
						rt.Fatalf("%s is retired %v", a.ID, v.Retired)
					}
				}
				if _, one := b.registry.Authority("NL-OM"); one {
					if _, two := b.registry.Authority("NL-0M"); two {
						rt.Fatal("two authorities that read as one")
					}
				}
				again := authority.NewRegistry()
				for _, e := range b.entries {
					if err := again.Apply(e); err != nil {
						rt.Fatal(err)
					}
				}
				if !reflect.DeepEqual(again.Authorities(), b.registry.Authorities()) {
					rt.Fatal("folding the log again gives another registry")
				}
			},
		})
	})
}

// FuzzApply: an entry of any form folds, is ignored or fails, and never panics.
func FuzzApply(f *testing.F) {
	kinds := []string{authority.KindPropose, authority.KindApprove, authority.KindKeyAdd, authority.KindKeyConfirm, authority.KindKeyRevoke, authority.KindRetire}
	for i := range kinds {
		f.Add(i, uint64(0), "0f", `{"proposal_id":"p","record":{"id":"NL-OM"},"authority_id":"NL-OM","fingerprint":"a","sha256":"b","not_after":"2026-11-20T09:00:00Z"}`)
	}
	f.Fuzz(func(t *testing.T, kind int, generation uint64, actor, facts string) {
		b := newBook()
		b.registered(t, "NL-OM")
		e := ledger.Entry{Index: 2, Header: ledger.Header{Kind: kinds[uint(kind)%uint(len(kinds))], At: start, Actor: actor, Generation: generation, Facts: json.RawMessage(facts)}}
		if err := b.registry.Apply(e); err != nil {
			return
		}
		if v, known := b.registry.View("NL-OM", start); !known || len(v.Keys) != 0 {
			t.Errorf("one entry confirmed a key: %+v", v)
		}
	})
}
