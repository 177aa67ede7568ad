package warrant_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// The matrix of the requirements, written down a second time: Y and N for
// identity, attribution, history, time, volume, preservation.
func TestMatrix(t *testing.T) {
	want := map[string]map[string]string{
		"nl": {
			"NL-126na": "YYNNNN", "NL-126na-2": "YYNNNN", "NL-126n": "YYYYNN", "NL-126nd": "NNNNNN", "NL-126ni": "NNNNNY",
			"NL-CIVIL": "YYNNNN", "EPOC-SUBSCRIBER": "YNNNNN", "EPOC-USER": "YYNNNN", "EPOC-TRAFFIC": "YYYYYN", "EPOC-PR": "NNNNNY",
			"NL-WIV": "disabled", "NL-CIOT": "disabled", "PRIVATE-LETTER": "none", "NL-666": "none",
		},
		"be": {
			"BE-46bis": "YYNNNN", "BE-88bis": "YYYYNN", "BE-39ter": "NNNNNY",
			"EPOC-SUBSCRIBER": "YNNNNN", "EPOC-USER": "YYNNNN", "EPOC-TRAFFIC": "YYYYYN", "EPOC-PR": "NNNNNY",
			"PRIVATE-LETTER": "none", "NL-126na": "none", "be-46BIS": "none",
		},
	}
	for name, bases := range want {
		profile, err := warrant.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := warrant.NewRules(warrant.Rules{Profile: profile, DuplicateKey: make([]byte, 16)})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range profile.Bases {
			if _, ok := bases[b.ID]; !ok {
				t.Errorf("%s: basis %s is not in the test's matrix", name, b.ID)
			}
		}
		for basis, row := range bases {
			for i, category := range warrant.Categories {
				c := testContent()
				c.LegalBasis, c.Categories = basis, []warrant.Category{category}
				c.ExaminingMagistrateAuthorisation = "RC-2026-1"
				_, err := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
				var expect reason.Reason
				switch {
				case row == "none":
					expect = reason.NoLegalCompulsion
				case row == "disabled":
					expect = reason.AuthorityNotEntitled
				case row[i] == 'N':
					expect = reason.CategoryExceedsBasis
				}
				wantReason(t, name+" "+basis+" "+string(category), err, expect)
			}
		}
	}
}

func TestProfileRefusals(t *testing.T) {
	r := testRules(t)
	create := func(change func(*warrant.Content)) *reason.Error {
		c := testContent()
		change(&c)
		_, err := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
		return err
	}
	err := create(func(c *warrant.Content) {
		c.LegalBasis, c.Categories = "NL-126na", []warrant.Category{warrant.TimeCategory}
	})
	wantReason(t, "times under 126na", err, reason.CategoryExceedsBasis)
	for _, part := range []string{"126na", "TIME", "NL-126n"} {
		if !strings.Contains(err.Detail, part) {
			t.Errorf("detail %q does not name %s", err.Detail, part)
		}
	}
	wantReason(t, "126n without magistrate", create(func(c *warrant.Content) { c.LegalBasis = "NL-126n" }), reason.RCAuthorisationMissing)
	wantReason(t, "too long", create(func(c *warrant.Content) { c.ValidUntil = "2027-11-27T09:00:00+01:00" }), reason.WarrantIncomplete)
	wantReason(t, "over already", create(func(c *warrant.Content) {
		c.ValidFrom, c.ValidUntil = "2026-11-18T09:00:00Z", "2026-11-20T09:00:00Z"
	}), reason.WarrantExpired)
	wantReason(t, "private letter with nothing else", create(func(c *warrant.Content) {
		*c = warrant.Content{LegalBasis: "PRIVATE-LETTER"}
	}), reason.NoLegalCompulsion)

	r.Profile.Authorities = []warrant.Authority{{ID: "NL-POL-1", Offices: []string{"investigating-officer"}}, {ID: "NL-OM-1", Offices: []string{"public-prosecutor"}}}
	police := func(basis string) func(*warrant.Content) {
		return func(c *warrant.Content) {
			c.Authority, c.LegalBasis, c.ExaminingMagistrateAuthorisation = "NL-POL-1", basis, "RC-1"
		}
	}
	wantReason(t, "police, 126na", create(police("NL-126na")), "")
	wantReason(t, "police, 126n", create(police("NL-126n")), reason.AuthorityNotEntitled)
	wantReason(t, "unregistered", create(func(*warrant.Content) {}), "")
	r.Profile.OnlyRegistered = true
	wantReason(t, "unregistered, register closed", create(func(*warrant.Content) {}), reason.AuthorityNotEntitled)
}

func TestParseProfileFaults(t *testing.T) {
	good := "profile: x\nzone: Europe/Amsterdam\nbases:\n  - {id: X-1, article: a, signed_by: [court], categories: [TIME], max_validity_days: 1, status: read}\n"
	if _, err := warrant.ParseProfile([]byte(good)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, from, to, want string }{
		{"unknown key", "article: a", "artikle: a", "[4:"},
		{"unknown category", "[TIME]", "[CONTENT]", "CONTENT"},
		{"no article", "article: a, ", "", "article"},
		{"no signer", "[court]", "[]", "signed_by"},
		{"no limit", "max_validity_days: 1", "max_validity_days: 0", "max_validity_days"},
		{"no zone", "Europe/Amsterdam", "Europe/Rotterdam", "zone"},
		{"no status", "status: read", "status: sure", "status"},
		{"both", "categories: [TIME]", "categories: [TIME], review: [TIME]", "under review"},
		{"preservation without a term", "[TIME]", "[PRESERVATION]", "hold_days"},
		{"preservation without end", "[TIME]", "[PRESERVATION], hold_days: 367", "hold_days"},
		{"an extension without end", "[TIME]", "[PRESERVATION], hold_days: 60, extension_days: 367", "extension_days"},
		{"an extension backwards", "[TIME]", "[PRESERVATION], hold_days: 60, extension_days: -1", "extension_days"},
		{"a term without preservation", "[TIME]", "[TIME], hold_days: 60", "PRESERVATION"},
	}
	for _, test := range tests {
		text := strings.Replace(good, test.from, test.to, 1)
		if _, err := warrant.ParseProfile([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
	if _, err := warrant.LoadProfile("../nl"); err == nil {
		t.Error("a path is accepted as a profile name")
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range []string{"profile/nl.yaml", "profile/be.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := warrant.ParseProfile(text)
		if err != nil {
			return
		}
		for _, b := range p.Bases {
			if b.ID == "" || len(b.SignedBy) == 0 || slices.ContainsFunc(b.Categories, func(c warrant.Category) bool { return !c.Known() }) {
				t.Errorf("accepted basis %+v", b)
			}
		}
	})
}
