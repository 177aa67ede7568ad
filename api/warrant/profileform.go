package warrant

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"griffier/api/signedfile"
)

// Limits on what a profile says.
const (
	maxGeneration = 1 << 32
	maxBases      = 100
	maxDays       = 3660
	maxHours      = 24 * 366
)

type word = signedfile.Word

// profileForm is a profile file.
//
//	generation: 4
//	profile: nl                          # a member state, or eu
//	zone: Europe/Amsterdam
//	only_registered_authorities: true    # may be left out
//	bases:
//	  - id: NL-126n
//	    article: Sv 126n
//	    signed_by: [public-prosecutor]
//	    countries: [BE, DE]              # of profile eu; none: any member state
//	    categories: [IDENTITY, …]        # what is not listed is denied
//	    review: [VOLUME]                 # denied, and said to be under review
//	    needs_magistrate: true           # number, date and scope
//	    future_months: 3                 # 0: nothing after the receipt; absent: no limit
//	    oral_ok: true
//	    paper_days: 3                    # with oral_ok
//	    notifies_enforcing_authority: true
//	    max_validity_days: 92
//	    hold_days: 90                    # with PRESERVATION
//	    extension_days: 30
//	    non_execution_hold_days: 60      # what is asked is preserved when it is not executed
//	    deadlines: [{priority: ROUTINE, hours: 240}]
//	    compels: false                   # absent: true
//	    disabled: true                   # absent: false
//	    source: …
//	    status: read                     # secondary, check
//	    note: …
type profileForm struct {
	Generation     word        `yaml:"generation"`
	Profile        word        `yaml:"profile"`
	Zone           word        `yaml:"zone"`
	OnlyRegistered word        `yaml:"only_registered_authorities"`
	Bases          []basisForm `yaml:"bases"`
}

type basisForm struct {
	ID                word           `yaml:"id"`
	Article           word           `yaml:"article"`
	SignedBy          []word         `yaml:"signed_by"`
	Countries         []word         `yaml:"countries"`
	Categories        []word         `yaml:"categories"`
	Review            []word         `yaml:"review"`
	NeedsMagistrate   word           `yaml:"needs_magistrate"`
	FutureMonths      word           `yaml:"future_months"`
	OralOK            word           `yaml:"oral_ok"`
	PaperDays         word           `yaml:"paper_days"`
	NotifiesAuthority word           `yaml:"notifies_enforcing_authority"`
	MaxValidityDays   word           `yaml:"max_validity_days"`
	HoldDays          word           `yaml:"hold_days"`
	ExtensionDays     word           `yaml:"extension_days"`
	NonExecutionHold  word           `yaml:"non_execution_hold_days"`
	Deadlines         []deadlineForm `yaml:"deadlines"`
	Compels           word           `yaml:"compels"`
	Disabled          word           `yaml:"disabled"`
	Source            word           `yaml:"source"`
	Status            word           `yaml:"status"`
	Note              word           `yaml:"note"`
}

type deadlineForm struct {
	Priority word `yaml:"priority"`
	Hours    word `yaml:"hours"`
}

var (
	basisIDForm = regexp.MustCompile(`^[A-Z][A-Za-z0-9.-]{1,39}$`)
	officeForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)
)

func parseProfile(name string, text []byte) (*Profile, error) {
	var form profileForm
	if err := signedfile.Decode(name, text, &form); err != nil {
		return nil, err
	}
	p, problems := form.profile()
	if len(problems) > 0 {
		return nil, signedfile.Refuse(name, problems...)
	}
	sum := sha256.Sum256(text)
	p.SHA256 = hex.EncodeToString(sum[:])
	return p, nil
}

// judge collects what is wrong, each at its word, or where it is missing at the
// word that stands for the whole.
type judge struct {
	whole    word
	what     string // before each complaint
	problems []signedfile.Problem
}

func (j *judge) complain(at word, format string, args ...any) {
	if at.Line == 0 {
		at.Line, at.Column = j.whole.Line, j.whole.Column
	}
	j.problems = append(j.problems, at.Problem("%s%s", j.what, fmt.Sprintf(format, args...)))
}

// number reads a whole number; one that is absent is the default.
func (j *judge) number(field string, w word, least, most, absent int) int {
	if w.Text == "" {
		if absent < least && absent != -1 {
			j.complain(w, "%s is missing", field)
		}
		return absent
	}
	n, err := strconv.Atoi(w.Text)
	if err != nil || n < least || n > most {
		j.complain(w, "%s must be a whole number from %d to %d", field, least, most)
	}
	return n
}

func (j *judge) boolean(field string, w word, absent bool) bool {
	switch w.Text {
	case "":
		return absent
	case "true", "false":
	default:
		j.complain(w, "%s must be true or false", field)
	}
	return w.Text == "true"
}

func (j *judge) text(field string, w word, needed bool) string {
	switch {
	case w.Text == "" && needed:
		j.complain(w, "%s is missing", field)
	case len(w.Text) > maxText || strings.ContainsFunc(w.Text, notPrintable):
		j.complain(w, "%s must be printable text of at most %d bytes", field, maxText)
	}
	return w.Text
}

// list reads words of which each is there once and good.
func (j *judge) list(field string, words []word, good func(string) bool) []string {
	var out []string
	for _, w := range words {
		switch {
		case !good(w.Text):
			j.complain(w, "%s: unknown or malformed %q", field, signedfile.Clip(w.Text))
		case slices.Contains(out, w.Text):
			j.complain(w, "%s: %s stands there twice", field, w.Text)
		}
		out = append(out, w.Text)
	}
	return out
}

func categoriesOf(names []string) []Category {
	var out []Category
	for _, n := range names {
		out = append(out, Category(n))
	}
	return out
}

func (form profileForm) profile() (*Profile, []signedfile.Problem) {
	j := &judge{}
	p := &Profile{Name: form.Profile.Text, Zone: form.Zone.Text, OnlyRegistered: j.boolean("only_registered_authorities", form.OnlyRegistered, true)}
	var err error
	if p.Generation, err = strconv.ParseUint(form.Generation.Text, 10, 64); err != nil || p.Generation == 0 || p.Generation > maxGeneration {
		j.complain(form.Generation, "generation: want a whole number from 1 that is higher than that of the file before it")
	}
	if p.Name != Union && p.Nation() == "" {
		j.complain(form.Profile, "profile: want a member state's code in small letters, as nl, or eu")
	}
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "" || p.Zone == "Local" {
		j.complain(form.Zone, "zone: %q is not an IANA time zone", signedfile.Clip(p.Zone))
	}
	switch n := len(form.Bases); {
	case n == 0:
		j.complain(word{}, "bases: there is none")
	case n > maxBases:
		j.complain(form.Bases[maxBases].ID, "bases: there are more than %d", maxBases)
		return nil, j.problems
	}
	seen := map[string]int{}
	for _, f := range form.Bases {
		key := strings.ToUpper(f.ID.Text) // two that differ by case only would be taken for one
		if line, twice := seen[key]; twice {
			j.complain(f.ID, "basis %q is there already, in line %d", signedfile.Clip(f.ID.Text), line)
		}
		seen[key] = f.ID.Line
		b, problems := f.basis(p.Nation())
		j.problems = append(j.problems, problems...)
		p.Bases = append(p.Bases, b)
	}
	return p, j.problems
}

func (f basisForm) basis(nation string) (Basis, []signedfile.Problem) {
	j := &judge{whole: f.ID, what: "basis " + signedfile.Clip(f.ID.Text) + ": "}
	if !basisIDForm.MatchString(f.ID.Text) {
		j.complain(f.ID, "id: want 2 to 40 letters, digits, dots and hyphens, the first a capital")
	}
	known := func(s string) bool { return Category(s).Known() }
	b := Basis{
		ID: f.ID.Text, Article: j.text("article", f.Article, true),
		SignedBy:        j.list("signed_by", f.SignedBy, officeForm.MatchString),
		Countries:       j.list("countries", f.Countries, func(s string) bool { return slices.Contains(MemberStates, s) }),
		Categories:      categoriesOf(j.list("categories", f.Categories, known)),
		Review:          categoriesOf(j.list("review", f.Review, known)),
		NeedsMagistrate: j.boolean("needs_magistrate", f.NeedsMagistrate, false), FutureMonths: j.number("future_months", f.FutureMonths, 0, 120, -1),
		OralOK: j.boolean("oral_ok", f.OralOK, false), PaperDays: j.number("paper_days", f.PaperDays, 0, 30, 0),
		NotifiesAuthority: j.boolean("notifies_enforcing_authority", f.NotifiesAuthority, false),
		MaxValidityDays:   j.number("max_validity_days", f.MaxValidityDays, 1, maxDays, 0),
		HoldDays:          j.number("hold_days", f.HoldDays, 0, 366, 0), ExtensionDays: j.number("extension_days", f.ExtensionDays, 0, 366, 0),
		NonExecutionHoldDays: j.number("non_execution_hold_days", f.NonExecutionHold, 0, 366, 0),
		Compels:              j.boolean("compels", f.Compels, true), Disabled: j.boolean("disabled", f.Disabled, false),
		Source: j.text("source", f.Source, true), Status: f.Status.Text, Note: j.text("note", f.Note, false),
		at: f.ID,
	}
	if nation != "" {
		for _, w := range f.Countries {
			if w.Text != nation {
				j.complain(w, "countries: a basis of profile %s is for authorities of %s; those of other member states order by profile eu", strings.ToLower(nation), nation)
			}
		}
		b.Countries = []string{nation}
	}
	if len(b.SignedBy) == 0 {
		j.complain(word{}, "signed_by is missing")
	}
	for _, w := range f.Review {
		if slices.Contains(b.Categories, Category(w.Text)) {
			j.complain(w, "%s is both permitted and under review", w.Text)
		}
	}
	if b.OralOK != (b.PaperDays > 0) {
		j.complain(f.PaperDays, "oral_ok and paper_days, 1 to 30, go together")
	}
	preserves := slices.Contains(b.Categories, Preservation) || slices.Contains(b.Review, Preservation)
	if preserves && b.HoldDays < 1 {
		j.complain(f.HoldDays, "hold_days must be 1 to 366 with PRESERVATION")
	}
	if !preserves && (b.HoldDays != 0 || b.ExtensionDays != 0) {
		j.complain(f.HoldDays, "hold_days and extension_days belong to a basis for PRESERVATION")
	}
	if b.NonExecutionHoldDays > 0 && !b.Compels {
		j.complain(f.NonExecutionHold, "non_execution_hold_days belongs to a basis that compels")
	}
	if preserves && len(b.Categories) > 1 {
		j.complain(f.ID, "preservation never allows reading: a basis for PRESERVATION has no other category")
	}
	if !slices.Contains([]string{"read", "secondary", "check"}, b.Status) {
		j.complain(f.Status, "status must be read, secondary or check")
	}
	for _, d := range f.Deadlines {
		priority := Priority(d.Priority.Text)
		if _, twice := b.Deadline(priority); twice || !slices.Contains(Priorities, priority) {
			j.complain(d.Priority, "deadlines: unknown priority, or one that stands there twice")
		}
		hours := j.number("hours", d.Hours, 1, maxHours, 0)
		b.Deadlines = append(b.Deadlines, Deadline{priority, time.Duration(hours) * time.Hour})
	}
	return b, j.problems
}
