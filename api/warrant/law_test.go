package warrant_test

import (
	"strings"
	"testing"

	"griffier/api/reason"
	"griffier/api/signedfile"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
)

func parse(t *testing.T, text string) *warrant.Profile {
	t.Helper()
	p, err := warrant.ParseProfile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLaw(t *testing.T) {
	var none warrant.Law
	nl, eu := warranttest.Law()[0], warranttest.Law()[1]
	both := none.With(eu).With(nl) // whichever comes first
	if both[0] != nl || both[1] != eu || both.Nation() != "NL" || both.Zone() != "Europe/Amsterdam" || none.Nation() != "" || none.Zone() != "UTC" {
		t.Errorf("nation %s, zone %s", both.Nation(), both.Zone())
	}
	for id, want := range map[string]*warrant.Profile{"NL-126na": nl, "EPOC-PR": eu, "epoc-pr": nil, "BE-46bis": nil} {
		if got := both.Of(id); got != want {
			t.Errorf("%s is of %v", id, got)
		}
		if _, ok := both.Basis(id); ok != (want != nil) {
			t.Errorf("%s is there: %v", id, ok)
		}
	}
	// Another version takes the place of the one of its name, and of no other.
	next := parse(t, strings.Replace(goodProfile, "generation: 1", "generation: 2", 1))
	if law := both.With(next); len(law) != 2 || law[0] != next || law[1] != eu || both[0] != nl {
		t.Errorf("law %v", law)
	}

	be, err := warrant.LoadProfile("be")
	if err != nil {
		t.Fatal(err)
	}
	row := func(id string) string {
		return "  - {id: " + id + ", article: a, signed_by: [court], max_validity_days: 1, source: s, status: read}\n"
	}
	collides, other := parse(t, goodProfile+row("X-b")), parse(t, "generation: 1\nprofile: eu\nzone: UTC\nbases:\n"+row("X-B"))
	for _, test := range []struct {
		name string
		law  warrant.Law
		p    *warrant.Profile
		want string
	}{
		{"a nation first", none, nl, ""},
		{"the Union beside it", warrant.Law{nl}, eu, ""},
		{"another version", both, next, ""},
		{"the Union alone", none, eu, "profile eu is an addition to a nation's profile, and none is in force"},
		{"a second nation", both, be, "profile nl is in force: a provider is under the law of one nation"},
		{"an id of the Union's ", warrant.Law{nl, other}, collides, `6:10: basis "X-b" is in profile eu already, in line 5 of its file`},
		{"the Union's beside that", warrant.Law{collides}, other, `5:10: basis "X-B" is in profile nl already, in line 6 of its file`},
	} {
		got := ""
		if problems := test.law.Beside(test.p); len(problems) > 0 {
			got = signedfile.Refuse("", problems...).Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// A warrant names the profile that its own basis is in.
func TestWarrantPinsItsProfile(t *testing.T) {
	b, r := newBook(t), testRules(t)
	for id, want := range map[string]int{"NL-126na": 0, "EPOC-USER": 1} {
		c := testContent()
		c.LegalBasis, c.Reference = id, "PV "+id
		if want == 1 {
			c.Authority = "DE-AG"
		}
		if w := b.made(r, start, "w-"+id, c); w.Profile != r.Law()[want].Name || w.ProfileSHA256 != r.Law()[want].SHA256 {
			t.Errorf("%s: pinned to %s %s", id, w.Profile, w.ProfileSHA256)
		}
	}
}

// An authority that is not registered, where the profile leaves that to the
// approvers, still has a country by its id.
func TestUnregisteredOfAnotherLaw(t *testing.T) {
	r := testRules(t)
	var law warrant.Law
	for _, p := range r.Law() {
		open := *p
		open.OnlyRegistered = false
		law = law.With(&open)
	}
	r.Law, r.Authorities = warrant.Always(law...), nil
	for _, test := range []struct {
		basis, authority string
		want             reason.Reason
	}{
		{"NL-126na", "NL-OM", ""}, {"NL-126na", "BE-OM", reason.AuthorityNotEntitled},
		{"EPOC-USER", "BE-OM", ""}, {"EPOC-USER", "NL-OM", reason.AuthorityNotEntitled}, {"EPOC-USER", "DK-OM", reason.AuthorityNotEntitled},
	} {
		c := testContent()
		c.LegalBasis, c.Authority = test.basis, test.authority
		_, err := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
		wantReason(t, test.basis+" "+test.authority, err, test.want)
	}
}

// With one profile changed the warrants of the other go on, and those of a basis
// that is gone stop.
func TestLawChangesApart(t *testing.T) {
	b, r := newBook(t), testRules(t)
	c := testContent()
	national := b.made(r, start, "n", c)
	c.Authority, c.LegalBasis, c.Reference = "DE-AG", "EPOC-USER", "EPOC-1"
	union := b.made(r, start, "u", c)
	wantReason(t, "national", r.Entitled(national), "")
	wantReason(t, "of the Union", r.Entitled(union), "")
	less := *r.Law()[1]
	less.Generation, less.Bases = 2, less.Bases[:1]
	r.Law = warrant.Always(r.Law().With(&less)...)
	wantReason(t, "national, still", r.Entitled(national), "")
	wantReason(t, "of the Union, whose basis is gone", r.Entitled(union), reason.NoLegalCompulsion)
}
