package warrant_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warranttest"
)

// matrix is section (b) of the requirements, written down a second time: Y and N
// for identity, attribution, history, time, volume and preservation, who signs, and
// the extra condition. Who signs orders of the Union is what art. 4(1) to (3) says, which
// section (b) has in short. hold is days and extension, days the longest validity, and
// source what the row's source must name.
var matrix = map[string]struct {
	row, signs, extra, hold string
	days                    int
	deadlines, source, mark string
}{
	"NL-126na":        {"YYNNNN", "investigating-officer", "", "", 92, national, "126na(1)", "read"},
	"NL-126na-2":      {"YYNNNN", "public-prosecutor", "", "", 92, national, "126na(2)", "read"},
	"NL-126n":         {"YYYYNN", "public-prosecutor", "magistrate future3 review-VOLUME", "", 92, national, "126n(1), (3)", "read"},
	"NL-126nd":        {"NNNNNN", "public-prosecutor", "oral3 review-VOLUME", "", 92, national, "126nd(4)", "check"},
	"NL-126ni":        {"NNNNNY", "public-prosecutor", "oral3", "90+0", 90, national, "126ni(1), (3)", "read"},
	"NL-CIVIL":        {"YYNNNN", "court", "", "", 92, national, "RBDHA 2020:3980", "read"},
	"NL-WIV":          {"disabled", "service-head", "", "", 1, "", "2017", "check"},
	"NL-CIOT":         {"disabled", "none", "", "", 1, "", "13.4", "secondary"},
	"NL-SUPERVISOR":   {"disabled", "supervisor", "", "", 1, "", "supervisor", "check"},
	"BE-46bis":        {"YYNNNN", "public-prosecutor", "", "", 92, national, "46bis", "check"},
	"BE-88bis":        {"YYYYNN", "investigating-judge", "review-VOLUME", "", 92, national, "88bis", "check"},
	"BE-39ter":        {"NNNNNY", "public-prosecutor police", "", "90+0", 90, national, "39ter", "check"},
	"BE-CIVIL":        {"YYNNNN", "court", "", "", 92, national, "judgment", "check"},
	"BE-SUPERVISOR":   {"disabled", "supervisor", "", "", 1, "", "supervisor", "check"},
	"EPOC-SUBSCRIBER": {"YNNNNN", "judge court investigating-judge public-prosecutor", "future0 kept60", "", 92, "TEN_DAYS_ASAP 240h EIGHT_HOURS 8h", "3(9), 4(1), 5(3), 10", "secondary"},
	"EPOC-USER":       {"YYNNNN", "judge court investigating-judge public-prosecutor", "future0 kept60", "", 92, "TEN_DAYS_ASAP 240h EIGHT_HOURS 8h", "3(10), 4(1), 5(3), 10", "secondary"},
	"EPOC-TRAFFIC": {"YYYYYN", "judge court investigating-judge", "notified future0 kept60", "", 92,
		"TEN_DAYS_ASAP 240h TEN_DAYS_SUBJECT_TO_EA 240h EIGHT_HOURS 8h", "4(2), 5(4), 8, 10", "secondary"},
	"EPOC-PR":        {"NNNNNY", "judge court investigating-judge public-prosecutor", "future0 kept60", "60+30", 60, "TEN_DAYS_ASAP 24h EIGHT_HOURS 8h", "art. 4(3), 6, 11", "read"},
	"PRIVATE-LETTER": {"none", "none", "", "", 1, "", "2019:423", "read"},
}

// national are the deadlines that the bundled profiles give an order of their own law,
// which names none: ten days, and one where it says that it is urgent.
const national = "ROUTINE 240h HIGH 24h"

// Every row of the bundled profiles is that of the matrix, and every category is
// permitted or refused as it says, to the authorities that the row is for and to no
// others: a nation's to its own, the Union's to those of another member state.
func TestMatrix(t *testing.T) {
	eu, err := warrant.LoadProfile(warrant.Union)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nl", "be"} {
		nation, err := warrant.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		law := warrant.Law{}.With(nation).With(eu)
		for _, p := range law {
			if !p.OnlyRegistered || p.Generation != 1 || len(p.SHA256) != 64 {
				t.Errorf("%s: %+v", p.Name, p)
			}
		}
		r, err := warrant.NewRules(warrant.Rules{Law: warrant.Always(law...), DuplicateKey: make([]byte, 16),
			Authorities: warranttest.Registry(testContent().Recipient)})
		if err != nil {
			t.Fatal(err)
		}
		home, rows := strings.ToUpper(name), 0
		for id, want := range matrix {
			own, union := strings.HasPrefix(id, home+"-") || id == "PRIVATE-LETTER", strings.HasPrefix(id, "EPOC")
			if b, there := law.Basis(id); there != (own || union) {
				t.Errorf("%s: %s is there: %v", name, id, there)
			} else if there {
				rows++
				compareRow(t, b)
			}
			for i, category := range warrant.Categories {
				for _, country := range []string{"NL", "BE", "DE", "DK"} {
					expect := reason.NoLegalCompulsion
					switch {
					case !own && !union || want.row == "none":
					case want.row == "disabled", own && country != home, union && country == home, union && country == "DK":
						expect = reason.AuthorityNotEntitled
					case want.row[i] == 'N':
						expect = reason.CategoryExceedsBasis
					default:
						expect = ""
					}
					c := testContent()
					c.LegalBasis, c.Categories, c.Authority = id, []warrant.Category{category}, country+"-OM"
					c.ExaminingMagistrateAuthorisation, c.ExaminingMagistrateDate, c.ExaminingMagistrateScope = "RC-2026-1", "2026-11-19", c.Categories
					_, got := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
					wantReason(t, name+" "+id+" "+string(category)+" "+country, got, expect)
				}
			}
		}
		if rows != len(law.Bases()) {
			t.Errorf("%s: %d rows, of which the matrix has %d", name, len(law.Bases()), rows)
		}
	}
}

// compareRow compares who signs, conditions, terms, source and the mark.
func compareRow(t *testing.T, b warrant.Basis) {
	t.Helper()
	var conditions, deadlines []string
	add := func(when bool, what string) {
		if when {
			conditions = append(conditions, what)
		}
	}
	add(b.NotifiesAuthority, "notified")
	add(b.NeedsMagistrate, "magistrate")
	add(b.FutureMonths >= 0, fmt.Sprintf("future%d", b.FutureMonths))
	add(b.OralOK, fmt.Sprintf("oral%d", b.PaperDays))
	add(b.NonExecutionHoldDays > 0, fmt.Sprintf("kept%d", b.NonExecutionHoldDays))
	for _, c := range b.Review {
		add(true, "review-"+string(c))
	}
	term := ""
	if b.HoldDays > 0 {
		term = fmt.Sprintf("%d+%d", b.HoldDays, b.ExtensionDays)
	}
	for _, d := range b.Deadlines {
		deadlines = append(deadlines, fmt.Sprintf("%s %.0fh", d.Priority, d.Within.Hours()))
	}
	want := matrix[b.ID]
	for _, f := range [][3]string{
		{"conditions", strings.Join(conditions, " "), want.extra}, {"signed by", strings.Join(b.SignedBy, " "), want.signs}, {"hold", term, want.hold},
		{"deadlines", strings.Join(deadlines, " "), want.deadlines}, {"days", fmt.Sprint(b.MaxValidityDays), fmt.Sprint(want.days)}, {"mark", b.Status, want.mark},
		{"compels", fmt.Sprint(b.Compels), fmt.Sprint(want.row != "none")}, {"disabled", fmt.Sprint(b.Disabled), fmt.Sprint(want.row == "disabled")},
	} {
		if f[1] != f[2] {
			t.Errorf("%s: %s %q, want %q", b.ID, f[0], f[1], f[2])
		}
	}
	if !strings.Contains(b.Source, want.source) {
		t.Errorf("%s: the source %q does not name %q", b.ID, b.Source, want.source)
	}
}

// Volume under 126n is denied, and said to be under review, until a lawyer moves it.
func TestReviewedVolume(t *testing.T) {
	text, err := warrant.ProfileText("nl")
	if err != nil {
		t.Fatal(err)
	}
	r := testRules(t)
	c := testContent()
	c.LegalBasis, c.Categories = "NL-126n", []warrant.Category{warrant.Volume}
	c.ExaminingMagistrateAuthorisation, c.ExaminingMagistrateDate, c.ExaminingMagistrateScope = "RC-2026-1", "2026-11-19", c.Categories
	create := func() *reason.Error {
		_, err := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
		return err
	}
	refusal := create()
	wantReason(t, "under review", refusal, reason.CategoryExceedsBasis)
	if !strings.Contains(refusal.Detail, "VOLUME, which is under legal review") {
		t.Errorf("detail %q", refusal.Detail)
	}
	moved := strings.Replace(string(text), "categories: [IDENTITY, ATTRIBUTION, HISTORY, TIME]\n    review: [VOLUME]", "categories: [IDENTITY, ATTRIBUTION, HISTORY, TIME, VOLUME]", 1)
	profile, err := warrant.ParseProfile([]byte(moved))
	if err != nil {
		t.Fatal(err)
	}
	r.Law = warrant.Always(profile)
	wantReason(t, "once a lawyer moved it", create(), "")
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
	wantReason(t, "too long", create(func(c *warrant.Content) { c.ValidUntil = "2027-11-27T09:00:00+01:00" }), reason.WarrantIncomplete)
	wantReason(t, "over already", create(func(c *warrant.Content) {
		c.ValidFrom, c.ValidUntil = "2026-11-18T09:00:00Z", "2026-11-20T09:00:00Z"
	}), reason.WarrantExpired)
	wantReason(t, "private letter with nothing else", create(func(c *warrant.Content) {
		*c = warrant.Content{LegalBasis: "PRIVATE-LETTER"}
	}), reason.NoLegalCompulsion)
	wantReason(t, "EPOC of what is yet to come", create(func(c *warrant.Content) {
		c.Authority, c.LegalBasis, c.WindowEnd = "DE-AG", "EPOC-USER", "2026-11-20T10:02:00+01:00"
	}), reason.WarrantIncomplete)
}

// TestEditReachesNoFurther: what was not there when the order was received is not, either,
// after an edit of another day; an extension is an order that is received anew.
func TestEditReachesNoFurther(t *testing.T) {
	b, r := newBook(t), testRules(t)
	c := testContent()
	c.Authority, c.LegalBasis, c.WindowEnd = "DE-AG", "EPOC-USER", "2026-11-20T09:00:00Z"
	b.made(r, start, "w", c)
	later := c
	later.WindowEnd = "2026-11-20T09:02:00Z"
	wantReason(t, "an edit of the next day", b.edit(r, start.Add(24*time.Hour), officer, "w", c, later), reason.WarrantIncomplete)
	later.WindowEnd = "2026-11-20T08:00:00Z"
	wantReason(t, "an edit that reaches less far", b.edit(r, start.Add(24*time.Hour), officer, "w", c, later), "")
}

// An examining magistrate's authorisation has a number, a date and a scope, and
// future data ends three months after the order by the calendar.
func TestMagistrateAndFuture(t *testing.T) {
	r := testRules(t)
	for _, test := range []struct {
		name   string
		change func(*warrant.Content)
		want   reason.Reason
		fields string
	}{
		{"whole", func(*warrant.Content) {}, "", ""},
		{"no number", func(c *warrant.Content) { c.ExaminingMagistrateAuthorisation = "" }, reason.RCAuthorisationMissing, "authorisation"},
		{"no date", func(c *warrant.Content) { c.ExaminingMagistrateDate = "" }, reason.RCAuthorisationMissing, "date"},
		{"no scope", func(c *warrant.Content) { c.ExaminingMagistrateScope = nil }, reason.RCAuthorisationMissing, "scope scope"},
		{"scope too small", func(c *warrant.Content) { c.ExaminingMagistrateScope = []warrant.Category{warrant.History} }, reason.RCAuthorisationMissing, "scope"},
		{"nothing", func(c *warrant.Content) {
			c.ExaminingMagistrateAuthorisation, c.ExaminingMagistrateDate, c.ExaminingMagistrateScope = "", "", nil
		}, reason.RCAuthorisationMissing, "authorisation date scope scope"},
		{"a date that there is not", func(c *warrant.Content) { c.ExaminingMagistrateDate = "2026-02-30" }, reason.WarrantIncomplete, "date"},
		{"a date to come", func(c *warrant.Content) { c.ExaminingMagistrateDate = "2026-11-22" }, reason.WarrantIncomplete, "date"},
		{"an unknown scope", func(c *warrant.Content) {
			c.ExaminingMagistrateScope = append(c.ExaminingMagistrateScope, "CONTENT")
		}, reason.WarrantIncomplete, "scope[2]"},
		{"three months", func(c *warrant.Content) { c.WindowEnd = "2027-02-20T09:30:00+01:00" }, "", ""},
		{"three months and a second", func(c *warrant.Content) { c.WindowEnd = "2027-02-20T09:30:01+01:00" }, reason.WarrantIncomplete, "window_end"},
		{"from the last of November", func(c *warrant.Content) {
			c.IssuedAt, c.WindowEnd = "2026-08-30T12:00:00+02:00", "2026-11-30T12:00:00+01:00"
		}, "", ""},
	} {
		c := testContent()
		c.LegalBasis, c.Categories = "NL-126n", []warrant.Category{warrant.History, warrant.TimeCategory}
		c.ExaminingMagistrateAuthorisation, c.ExaminingMagistrateDate, c.ExaminingMagistrateScope = "RC-2026-1", "2026-11-19", slices.Clone(c.Categories)
		test.change(&c)
		_, err := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})
		wantReason(t, test.name, err, test.want)
		var fields []string
		if err != nil {
			for _, v := range err.Violations {
				fields = append(fields, strings.TrimPrefix(strings.TrimPrefix(v.Field, "content."), "examining_magistrate_"))
			}
		}
		if got := strings.Join(fields, " "); got != test.fields {
			t.Errorf("%s: fields %q, want %q", test.name, got, test.fields)
		}
	}
}

const goodProfile = `generation: 1
profile: nl
zone: Europe/Amsterdam
bases:
  - {id: X-1, article: a, signed_by: [court], categories: [TIME], max_validity_days: 1, source: s, status: read}
`

func TestParseProfileFaults(t *testing.T) {
	if _, err := warrant.ParseProfile([]byte(goodProfile)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, from, to, want string }{
		{"unknown key", "article: a", "artikle: a", "5:"},
		{"unknown category", "[TIME]", "[CONTENT]", `5:60: basis X-1: categories: unknown or malformed "CONTENT"`},
		{"twice", "[TIME]", "[TIME, TIME]", "TIME stands there twice"},
		{"no article", "article: a, ", "", "5:10: basis X-1: article is missing"},
		{"no source", "source: s, ", "", "source is missing"},
		{"no generation", "generation: 1\n", "", "generation"},
		{"no signer", "[court]", "[]", "signed_by"},
		{"no such country", "article: a", "article: a, countries: [US]", "countries"},
		{"another's country", "article: a", "article: a, countries: [NL, BE]", "5:43: basis X-1: countries: a basis of profile nl is for authorities of NL;"},
		{"of no nation", "profile: nl", "profile: x", "2:10: profile: want a member state's code"},
		{"of a nation in capitals", "profile: nl", "profile: NL", "2:10: profile"},
		{"no limit", "max_validity_days: 1", "max_validity_days: 0", "max_validity_days"},
		{"no zone", "Europe/Amsterdam", "Europe/Rotterdam", "3:7: zone"},
		{"the server's zone", "Europe/Amsterdam", "Local", "zone"},
		{"no status", "status: read", "status: sure", "status"},
		{"both", "categories: [TIME]", "categories: [TIME], review: [TIME]", "under review"},
		{"preservation without a term", "[TIME]", "[PRESERVATION]", "hold_days"},
		{"preservation without end", "[TIME]", "[PRESERVATION], hold_days: 367", "hold_days"},
		{"an extension without end", "[TIME]", "[PRESERVATION], hold_days: 60, extension_days: 367", "extension_days"},
		{"an extension backwards", "[TIME]", "[PRESERVATION], hold_days: 60, extension_days: -1", "extension_days"},
		{"a term without preservation", "[TIME]", "[TIME], hold_days: 60", "PRESERVATION"},
		{"preserving and reading", "[TIME]", "[TIME, PRESERVATION], hold_days: 60", "never allows reading"},
		{"oral for ever", "[TIME]", "[TIME], oral_ok: true", "paper_days"},
		{"paper of nothing", "[TIME]", "[TIME], paper_days: 3", "oral_ok"},
		{"maybe", "[TIME]", "[TIME], disabled: maybe", "true or false"},
		{"a deadline twice", "[TIME]", "[TIME], deadlines: [{priority: HIGH, hours: 1}, {priority: HIGH, hours: 2}]", "twice"},
		{"a deadline of no priority", "[TIME]", "[TIME], deadlines: [{priority: SOON, hours: 1}]", "priority"},
		{"a deadline of no time", "[TIME]", "[TIME], deadlines: [{priority: HIGH}]", "hours"},
		{"an anchor", "[TIME]", "&a [TIME]", "anchors"},
		{"a homoglyph", "X-1", "Х-1", "id"},
		{"a tag", "article: a", "article: !!str a", "tags"},
	}
	for _, test := range tests {
		text := strings.Replace(goodProfile, test.from, test.to, 1)
		if _, err := warrant.ParseProfile([]byte(text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q in it", test.name, err, test.want)
		}
	}
	twice := goodProfile + "  - {id: x-1, article: a, signed_by: [court], max_validity_days: 1, source: s, status: read}\n"
	if _, err := warrant.ParseProfile([]byte(twice)); err == nil || !strings.Contains(err.Error(), "6:10") {
		t.Errorf("two ids that differ by case: %v", err)
	}
	if _, err := warrant.LoadProfile("../nl"); err == nil {
		t.Error("a path is accepted as a profile name")
	}
}

// Whatever a profile says, what it does not say is denied.
func TestDefaultDeny(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		category := rapid.SampledFrom([]warrant.Category{warrant.Identity, warrant.Attribution, warrant.History, warrant.TimeCategory, warrant.Volume})
		p := &warrant.Profile{Name: "x", Zone: "UTC", OnlyRegistered: rapid.Bool().Draw(rt, "registered")}
		for i := range rapid.IntRange(0, 4).Draw(rt, "bases") {
			p.Bases = append(p.Bases, warrant.Basis{ID: fmt.Sprintf("X-%d", i), Article: "a", FutureMonths: -1, MaxValidityDays: 3660,
				SignedBy:   rapid.SliceOfN(rapid.SampledFrom([]string{"court", "judge", "police"}), 1, 3).Draw(rt, "signed by"),
				Categories: rapid.SliceOfDistinct(category, func(c warrant.Category) warrant.Category { return c }).Draw(rt, "categories"),
				Compels:    rapid.Bool().Draw(rt, "compels"), Disabled: rapid.Bool().Draw(rt, "disabled")})
		}
		office := rapid.SampledFrom([]string{"court", "judge", "police"}).Draw(rt, "office")
		may := rapid.SliceOfDistinct(rapid.IntRange(0, 5), func(i int) int { return i }).Draw(rt, "may use")
		known, retired := rapid.Bool().Draw(rt, "known"), rapid.Bool().Draw(rt, "retired")
		country := rapid.SampledFrom([]string{"NL", "US"}).Draw(rt, "country")
		view := warrant.AuthorityView{Country: country, Offices: []string{office}, Retired: retired,
			Categories: rapid.SliceOf(category).Draw(rt, "may have")}
		for _, i := range may {
			view.Bases = append(view.Bases, fmt.Sprintf("X-%d", i))
		}
		recipient, _ := warrant.RecipientFingerprint(testContent().Recipient)
		if rapid.Bool().Draw(rt, "has the key") {
			view.Keys = []string{recipient}
		}
		r, err := warrant.NewRules(warrant.Rules{Law: warrant.Always(p), DuplicateKey: make([]byte, 16),
			Authorities: func(string) (warrant.AuthorityView, bool) { return view, known }})
		if err != nil {
			rt.Fatal(err)
		}
		c := testContent()
		c.LegalBasis = fmt.Sprintf("X-%d", rapid.IntRange(0, 5).Draw(rt, "basis"))
		c.Categories = rapid.SliceOfNDistinct(category, 1, 3, func(c warrant.Category) warrant.Category { return c }).Draw(rt, "asked")
		_, refusal := r.Create(warrant.NewState(), start, officer, warrant.CreateRequest{ID: "w", Salt: "s", Content: c})

		// The same, put the other way round: what must be there for a yes.
		i := slices.IndexFunc(p.Bases, func(b warrant.Basis) bool { return b.ID == c.LegalBasis })
		yes := i >= 0 && p.Bases[i].Compels && !p.Bases[i].Disabled
		for _, category := range c.Categories {
			yes = yes && slices.Contains(p.Bases[i].Categories, category) && (!known || slices.Contains(view.Categories, category))
		}
		if known {
			yes = yes && !retired && country == "NL" && slices.Contains(p.Bases[i].SignedBy, office) && slices.Contains(view.Bases, c.LegalBasis) && len(view.Keys) == 1
		} else {
			yes = yes && !p.OnlyRegistered
		}
		if (refusal == nil) != yes {
			rt.Fatalf("%s for %v: %v, want permitted %v", c.LegalBasis, c.Categories, refusal, yes)
		}
	})
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range warrant.ProfileNames {
		text, err := warrant.ProfileText(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(goodProfile))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := warrant.ParseProfile(text)
		if err != nil {
			return
		}
		for _, b := range p.Bases {
			if b.ID == "" || len(b.SignedBy) == 0 || b.MaxValidityDays < 1 || slices.ContainsFunc(b.Categories, func(c warrant.Category) bool { return !c.Known() }) {
				t.Errorf("accepted basis %+v", b)
			}
		}
	})
}
