package warrant

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"griffier/api/reason"
	"griffier/api/signedfile"
)

// Profile is the legal bases of a nation or of the Union that a provider acts on:
// data that its lawyer signs (package legalbasis). Everything that a profile does
// not permit is denied.
type Profile struct {
	// Name is a member state's code in small letters, or [Union].
	Name       string
	Generation uint64 // rises with every file
	// Zone is the zone by whose calendar its days and months are counted.
	Zone string
	// OnlyRegistered refuses an authority that is not in the registry; else it is
	// left to the two approvers. A file that says nothing means true.
	OnlyRegistered bool
	Bases          []Basis
	SHA256         string // of the text without its signatures, hexadecimal
	SignedBy       string // names of the trusted keys; empty: it was not asked
}

// Basis is one legal basis, a row of the disclosure matrix.
type Basis struct {
	ID      string
	Article string
	// SignedBy lists the offices that may sign, and Countries those of authorities
	// that may use it: of a nation's basis, that nation; of the Union's none means
	// any of [MemberStates], but never the provider's own.
	SignedBy, Countries []string
	// Categories are the permitted ones; those in Review are denied until a
	// lawyer moves them.
	Categories, Review []Category
	// NeedsMagistrate wants an examining magistrate's authorisation: its number, its
	// date, and a scope that has every category of the warrant.
	NeedsMagistrate bool
	// FutureMonths is how many calendar months after its issue an order may reach:
	// 0: only what is there when it is received; -1: the basis sets no limit.
	FutureMonths int
	// OralOK lets an order be given orally in an emergency; the paper must follow
	// within PaperDays.
	OralOK    bool
	PaperDays int
	// NotifiesAuthority blocks a release until the enforcing authority of this
	// country, which is notified, has cleared it or let its term pass.
	NotifiesAuthority bool
	MaxValidityDays   int
	// HoldDays is how long a hold under the basis lasts at most, in days of 24
	// hours since it was made, and ExtensionDays by how much it may be extended,
	// once; 0: not at all. Only a basis for preservation has them.
	HoldDays, ExtensionDays int
	// NonExecutionHoldDays is for how many days what an order asks for is preserved
	// when its non-execution is recorded (Regulation (EU) 2023/1543 art. 10(9)); 0:
	// the law has no such rule, and nothing is.
	NonExecutionHoldDays int
	Deadlines            []Deadline
	Compels              bool // false for what can only be forwarded
	Disabled             bool
	Source               string // the text of the law that it was taken from
	Status               string // how that was established: read, secondary or check
	Note                 string

	at word // where its id stands
}

// Priority is how urgent an order says it is (ETSI TS 103 120, TS 104 144).
type Priority string

// Priorities.
const (
	Routine            Priority = "ROUTINE"
	High               Priority = "HIGH"
	TenDays            Priority = "TEN_DAYS_ASAP"
	TenDaysSubjectToEA Priority = "TEN_DAYS_SUBJECT_TO_EA"
	EightHours         Priority = "EIGHT_HOURS"
)

// Priorities lists every priority.
var Priorities = []Priority{Routine, High, TenDays, TenDaysSubjectToEA, EightHours}

// Deadline is within how long after its receipt an order of a priority is to be
// acted on.
type Deadline struct {
	Priority Priority
	Within   time.Duration
}

// Deadline returns within how long an order of a priority is to be acted on; false:
// the basis has no such priority.
func (b Basis) Deadline(p Priority) (time.Duration, bool) {
	i := slices.IndexFunc(b.Deadlines, func(d Deadline) bool { return d.Priority == p })
	if i < 0 {
		return 0, false
	}
	return b.Deadlines[i].Within, true
}

//go:embed profile/nl.yaml profile/be.yaml profile/eu.yaml
var embedded embed.FS

// ProfileNames are those of the bundled profiles.
var ProfileNames = []string{"be", "eu", "nl"}

// ProfileText returns the bundled profile file of a name, unsigned: a start for
// the provider's own.
func ProfileText(name string) ([]byte, error) {
	if !slices.Contains(ProfileNames, name) {
		return nil, fmt.Errorf("legal profile: unknown name %q; there are %s", name, strings.Join(ProfileNames, ", "))
	}
	text, err := embedded.ReadFile("profile/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("legal profile: %w", err)
	}
	return text, nil
}

// LoadProfile returns a bundled profile as it is, without anybody's signature.
func LoadProfile(name string) (*Profile, error) {
	text, err := ProfileText(name)
	if err != nil {
		return nil, err
	}
	return ParseProfile(text)
}

// ParseProfile reads the text of a profile. Its error is a [*signedfile.FileError],
// which lists everything that is wrong with its line and column.
func ParseProfile(text []byte) (*Profile, error) { return parseProfile("", text) }

// OpenProfile verifies and reads a signed profile file. name is what errors call it.
func OpenProfile(name string, signed []byte, trusted signedfile.Trusted) (*Profile, error) {
	p, signedBy, err := signedfile.Open(name, signed, trusted, parseProfile)
	if err != nil {
		return nil, err
	}
	p.SignedBy = signedBy
	return p, nil
}

// SignProfile returns a profile file signed by signer: see [signedfile.Sign].
func SignProfile(file []byte, signer note.Signer) ([]byte, error) {
	return signedfile.Sign(file, signer, func(text []byte) error { _, err := ParseProfile(text); return err })
}

// Nation is the country whose law the profile is (ISO 3166-1 alpha-2), "" for the
// Union's.
func (p *Profile) Nation() string {
	if code := strings.ToUpper(p.Name); code != p.Name && slices.Contains(MemberStates, code) {
		return code
	}
	return ""
}

// Basis returns the basis with an id.
func (p *Profile) Basis(id string) (Basis, bool) {
	i := slices.IndexFunc(p.Bases, func(b Basis) bool { return b.ID == id })
	if i < 0 {
		return Basis{}, false
	}
	return p.Bases[i], true
}

// compelled refuses what does not compel the provider at all, before anything
// else about the content is judged.
func (r *Rules) compelled(law Law, c Content) *reason.Error {
	if c.LegalBasis == "" {
		return nil // reported with everything else that is missing
	}
	b, ok := law.Basis(c.LegalBasis)
	switch {
	case !ok:
		return reason.New(reason.NoLegalCompulsion, "The legal basis is in no profile in force.")
	case !b.Compels:
		return reason.New(reason.NoLegalCompulsion, "It can only be forwarded to the subscriber.")
	case b.Disabled:
		return reason.New(reason.AuthorityNotEntitled, "The profile holds this basis as disabled.")
	}
	return r.mayUse(law, c.Authority, b)
}

// permit judges a content of valid form, of an order that was served at an instant,
// against its basis.
func (p *Profile) permit(b Basis, c Content, t Times, served time.Time) *reason.Error {
	for _, category := range c.Categories {
		if !slices.Contains(b.Categories, category) {
			return p.exceeds(b, category)
		}
	}
	if err := b.magistrate(c); err != nil {
		return err
	}
	tooLate := func(field, why string) *reason.Error {
		return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "content." + field, Description: why})
	}
	if t.ValidUntil.Sub(t.ValidFrom) > time.Duration(b.MaxValidityDays)*24*time.Hour {
		return tooLate("valid_until", fmt.Sprintf("lies more than %d days after valid_from, the most that the basis allows", b.MaxValidityDays))
	}
	switch {
	case b.FutureMonths == 0 && t.WindowEnd.After(served.Add(clockTolerance)):
		return tooLate("window_end", "lies after the receipt of the order: the basis covers only data that was there then")
	case b.FutureMonths > 0 && t.WindowEnd.After(p.monthsAfter(t.IssuedAt, b.FutureMonths)):
		return tooLate("window_end", fmt.Sprintf("lies more than %d months after issued_at, the most of future data that the basis allows", b.FutureMonths))
	}
	return nil
}

// magistrate wants of an examining magistrate's authorisation what the basis does.
func (b Basis) magistrate(c Content) *reason.Error {
	if !b.NeedsMagistrate {
		return nil
	}
	var bad []reason.Violation
	complain := func(field, description string) {
		bad = append(bad, reason.Violation{Field: "content." + field, Description: description})
	}
	if c.ExaminingMagistrateAuthorisation == "" {
		complain("examining_magistrate_authorisation", "is missing: its number")
	}
	if c.ExaminingMagistrateDate == "" {
		complain("examining_magistrate_date", "is missing")
	}
	for _, category := range c.Categories {
		if !slices.Contains(c.ExaminingMagistrateScope, category) {
			complain("examining_magistrate_scope", "does not have "+string(category))
		}
	}
	if len(bad) > 0 {
		return reason.Invalid(reason.RCAuthorisationMissing, bad...)
	}
	return nil
}

// monthsAfter counts calendar months in the profile's zone. A day that the month
// does not have counts as its last: three months from 30 November is the end of
// February.
func (p *Profile) monthsAfter(t time.Time, months int) time.Time {
	if zone, err := time.LoadLocation(p.Zone); err == nil { // the parser has checked it
		t = t.In(zone)
	}
	at := t.AddDate(0, months, 0)
	if at.Day() != t.Day() {
		at = at.AddDate(0, 0, -at.Day())
	}
	return at
}

// exceeds names the article, the category and the bases of the same law that would
// cover it.
func (p *Profile) exceeds(b Basis, category Category) *reason.Error {
	detail := b.ID + " (" + b.Article + ") does not cover " + string(category)
	if slices.Contains(b.Review, category) {
		detail += ", which is under legal review"
	}
	var others []string
	for _, o := range p.Bases {
		if slices.Contains(o.Categories, category) && !o.Disabled {
			others = append(others, o.ID)
		}
	}
	if len(others) > 0 {
		detail += "; it would need one of: " + strings.Join(others, ", ")
	} else {
		detail += "; no basis of this law does"
	}
	return reason.New(reason.CategoryExceedsBasis, detail+".")
}

// magistrate checks the form of what is said of an examining magistrate's
// authorisation, whether or not the basis needs one.
func (v *violations) magistrate(c Content, now time.Time) {
	if c.ExaminingMagistrateDate != "" {
		date, err := time.Parse(time.DateOnly, c.ExaminingMagistrateDate)
		switch {
		case err != nil:
			v.add(reason.WarrantIncomplete, "examining_magistrate_date", "must be a date, as 2026-11-19")
		case date.After(now.Add(14 * time.Hour)): // the earliest zone is that far ahead
			v.add(reason.WarrantIncomplete, "examining_magistrate_date", "lies in the future")
		}
	}
	for i, category := range c.ExaminingMagistrateScope {
		if !category.Known() || slices.Contains(c.ExaminingMagistrateScope[:i], category) {
			v.add(reason.WarrantIncomplete, fmt.Sprintf("examining_magistrate_scope[%d]", i), "is unknown or stands there twice")
		}
	}
}
