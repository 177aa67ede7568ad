package warrant

import (
	"slices"
	"strings"

	"griffier/api/signedfile"
)

// Union is the name of the profile of the European Union's own orders. It is an
// addition to a nation's profile and never in force alone.
const Union = "eu"

// Law is the profiles that are in force together: that of a nation first, then
// the Union's, if it is there. A basis id is in one of them. The zero Law permits
// nothing.
type Law []*Profile

// Always returns what answers with the same profiles for ever, for [Rules].
func Always(profiles ...*Profile) func() Law { return func() Law { return profiles } }

// Basis returns the basis with an id.
func (l Law) Basis(id string) (Basis, bool) {
	for _, p := range l {
		if b, ok := p.Basis(id); ok {
			return b, true
		}
	}
	return Basis{}, false
}

// Of returns the profile that has a basis, nil if none has it.
func (l Law) Of(basis string) *Profile {
	for _, p := range l {
		if _, ok := p.Basis(basis); ok {
			return p
		}
	}
	return nil
}

// Profile returns the profile of a name, nil if it is not in force.
func (l Law) Profile(name string) *Profile {
	i := slices.IndexFunc(l, func(p *Profile) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return l[i]
}

// Bases returns every basis, in the order of the files.
func (l Law) Bases() []Basis {
	var out []Basis
	for _, p := range l {
		out = append(out, p.Bases...)
	}
	return out
}

// Nation is the country whose law this is (ISO 3166-1 alpha-2), which is the
// provider's own; "" without one.
func (l Law) Nation() string {
	for _, p := range l {
		if nation := p.Nation(); nation != "" {
			return nation
		}
	}
	return ""
}

// Unfit tells why a basis is not for an authority of a country that holds offices;
// "" if it is.
func (l Law) Unfit(b Basis, country string, offices []string) string {
	if why := l.foreign(b, country); why != "" {
		return why
	}
	if !slices.ContainsFunc(offices, func(o string) bool { return slices.Contains(b.SignedBy, o) }) {
		return "The basis is signed by: " + strings.Join(b.SignedBy, ", ") + "."
	}
	return ""
}

// foreign tells why a basis is not for authorities of a country. A nation's is for
// its own, the Union's for those of any member state but the provider's own
// (Regulation (EU) 2023/1543 art. 1(1)).
func (l Law) foreign(b Basis, country string) string {
	switch p := l.Of(b.ID); {
	case p == nil:
		return "The legal basis is in no profile in force."
	case p.Name == Union && country == l.Nation():
		return "An order of the Union is for authorities of another member state than " + country +
			", where the provider is established: this one orders by the bases of its own law."
	case len(b.Countries) > 0 && !slices.Contains(b.Countries, country):
		return "The basis is for authorities of: " + strings.Join(b.Countries, ", ") + "."
	}
	return ""
}

// Zone is the zone that packages show instants in beside UTC: the nation's.
func (l Law) Zone() string {
	if len(l) == 0 {
		return "UTC"
	}
	return l[0].Zone
}

// With returns the law with a profile in the place of the one of its name.
func (l Law) With(p *Profile) Law {
	out := slices.DeleteFunc(slices.Clone(l), func(o *Profile) bool { return o.Name == p.Name })
	if p.Name == Union {
		return append(out, p)
	}
	return append(Law{p}, out...)
}

// Beside lists what keeps p from being in force beside the other profiles: a
// second nation, the Union's without a nation, an id that another profile has.
// Whether p may follow the profile of its own name is not asked.
func (l Law) Beside(p *Profile) []signedfile.Problem {
	switch nation := l.Nation(); {
	case p.Name == Union && nation == "":
		return []signedfile.Problem{{What: "profile eu is an addition to a nation's profile, and none is in force"}}
	case p.Name != Union && nation != "" && nation != p.Nation():
		return []signedfile.Problem{{What: "profile " + strings.ToLower(nation) + " is in force: a provider is under the law of one nation"}}
	}
	var problems []signedfile.Problem
	for _, b := range p.Bases {
		for _, other := range l {
			if other.Name == p.Name {
				continue
			}
			i := slices.IndexFunc(other.Bases, func(o Basis) bool { return strings.EqualFold(o.ID, b.ID) })
			if i >= 0 {
				problems = append(problems, b.at.Problem("basis %q is in profile %s already, in line %d of its file", b.ID, other.Name, other.Bases[i].at.Line))
			}
		}
	}
	return problems
}
