package warrant

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"griffier/api/reason"
)

// Profile is the legal bases that a provider acts on: data, confirmed by its
// lawyer. Everything that a profile does not permit is denied.
type Profile struct {
	Name string `yaml:"profile"`
	// Zone is the zone that packages show instants in beside UTC.
	Zone string `yaml:"zone"`
	// Authorities is the provider's register of authorities. An authority in it
	// may use only the bases that one of its offices signs. One that is not in it
	// is left to the two approvers, unless OnlyRegistered is set.
	Authorities    []Authority `yaml:"authorities"`
	OnlyRegistered bool        `yaml:"only_registered_authorities"`
	Bases          []Basis     `yaml:"bases"`
}

// Authority is a registered authority and the offices it holds.
type Authority struct {
	ID      string   `yaml:"id"`
	Offices []string `yaml:"offices"`
}

// Basis is one legal basis, a row of the disclosure matrix.
type Basis struct {
	ID      string `yaml:"id"`
	Article string `yaml:"article"`
	// SignedBy lists the offices that may sign.
	SignedBy []string `yaml:"signed_by"`
	// Categories are the permitted ones; those in Review are denied until a
	// lawyer moves them.
	Categories      []Category `yaml:"categories"`
	Review          []Category `yaml:"review"`
	NeedsMagistrate bool       `yaml:"needs_magistrate"`
	MaxValidityDays int        `yaml:"max_validity_days"`
	// HoldDays is how long a hold under the basis lasts at most, in days of 24
	// hours since it was made, and ExtensionDays by how much it may be extended,
	// once; 0: not at all. Only a basis for preservation has them.
	HoldDays      int `yaml:"hold_days"`
	ExtensionDays int `yaml:"extension_days"`
	// Compels is false for what can only be forwarded; absent means true.
	Compels  *bool  `yaml:"compels"`
	Disabled bool   `yaml:"disabled"`
	Status   string `yaml:"status"` // read, secondary or check
	Note     string `yaml:"note"`
}

//go:embed profile/nl.yaml profile/be.yaml
var embedded embed.FS

// LoadProfile returns an embedded profile, "nl" or "be".
func LoadProfile(name string) (*Profile, error) {
	if name != "nl" && name != "be" {
		return nil, fmt.Errorf("legal profile: unknown name %q; nl and be are built in", name)
	}
	text, err := embedded.ReadFile("profile/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("legal profile: %w", err)
	}
	return ParseProfile(text)
}

// ParseProfile reads a profile. Unknown keys are errors with their line and
// column, and so is everything that would leave a rule unclear.
func ParseProfile(text []byte) (*Profile, error) {
	var p Profile
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&p); err != nil {
		return nil, fmt.Errorf("legal profile: %w", err)
	}
	var errs []error
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("legal profile %s: "+format, append([]any{p.Name}, args...)...))
	}
	if p.Name == "" || len(p.Bases) == 0 {
		complain("profile and bases are needed")
	}
	if _, err := time.LoadLocation(p.Zone); err != nil || p.Zone == "" {
		complain("zone %q is not an IANA time zone", p.Zone)
	}
	seen := map[string]bool{}
	for _, b := range p.Bases {
		switch {
		case !identifierForm.MatchString(b.ID) || seen[b.ID]:
			complain("basis %q: id is malformed or stands there twice", b.ID)
		case b.Article == "" || len(b.SignedBy) == 0:
			complain("basis %s: article and signed_by are needed", b.ID)
		case b.MaxValidityDays < 1 || b.MaxValidityDays > 3660:
			complain("basis %s: max_validity_days must be 1 to 3660", b.ID)
		case !slices.Contains([]string{"read", "secondary", "check"}, b.Status):
			complain("basis %s: status must be read, secondary or check", b.ID)
		}
		preserves := slices.Contains(b.Categories, Preservation) || slices.Contains(b.Review, Preservation)
		switch {
		case preserves && (b.HoldDays < 1 || b.HoldDays > 366 || b.ExtensionDays < 0 || b.ExtensionDays > 366):
			complain("basis %s: hold_days must be 1 to 366 and extension_days 0 to 366", b.ID)
		case !preserves && (b.HoldDays != 0 || b.ExtensionDays != 0):
			complain("basis %s: hold_days and extension_days belong to a basis for PRESERVATION", b.ID)
		}
		seen[b.ID] = true
		for _, c := range slices.Concat(b.Categories, b.Review) {
			if !c.Known() {
				complain("basis %s: unknown category %q", b.ID, c)
			}
		}
		if slices.ContainsFunc(b.Review, func(c Category) bool { return slices.Contains(b.Categories, c) }) {
			complain("basis %s: a category is both permitted and under review", b.ID)
		}
	}
	return &p, errors.Join(errs...)
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
func (p *Profile) compelled(c Content) *reason.Error {
	if c.LegalBasis == "" {
		return nil // reported with everything else that is missing
	}
	b, ok := p.Basis(c.LegalBasis)
	switch {
	case !ok:
		return reason.New(reason.NoLegalCompulsion, "The legal basis is not in the loaded profile.")
	case b.Compels != nil && !*b.Compels:
		return reason.New(reason.NoLegalCompulsion, "It can only be forwarded to the subscriber.")
	case b.Disabled:
		return reason.New(reason.AuthorityNotEntitled, "The profile holds this basis as disabled.")
	}
	i := slices.IndexFunc(p.Authorities, func(a Authority) bool { return a.ID == c.Authority })
	switch {
	case i < 0 && p.OnlyRegistered && c.Authority != "":
		return reason.New(reason.AuthorityNotEntitled, "The authority is not registered.")
	case i >= 0 && !slices.ContainsFunc(p.Authorities[i].Offices, func(o string) bool { return slices.Contains(b.SignedBy, o) }):
		return reason.New(reason.AuthorityNotEntitled, "The basis is signed by: "+strings.Join(b.SignedBy, ", ")+".")
	}
	return nil
}

// permit judges a content of valid form against its basis.
func (p *Profile) permit(c Content, t Times) *reason.Error {
	b, ok := p.Basis(c.LegalBasis)
	if !ok {
		return reason.New(reason.NoLegalCompulsion, "The legal basis is not in the loaded profile.")
	}
	for _, category := range c.Categories {
		if !slices.Contains(b.Categories, category) {
			return p.exceeds(b, category)
		}
	}
	if b.NeedsMagistrate && c.ExaminingMagistrateAuthorisation == "" {
		return reason.Invalid(reason.RCAuthorisationMissing,
			reason.Violation{Field: "content.examining_magistrate_authorisation", Description: "is missing"})
	}
	if t.ValidUntil.Sub(t.ValidFrom) > time.Duration(b.MaxValidityDays)*24*time.Hour {
		return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "content.valid_until",
			Description: fmt.Sprintf("lies more than %d days after valid_from, the most that the basis allows", b.MaxValidityDays)})
	}
	return nil
}

// exceeds names the article, the category and the bases that would cover it.
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
	}
	return reason.New(reason.CategoryExceedsBasis, detail+".")
}
