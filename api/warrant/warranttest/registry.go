// Package warranttest has what tests of the legal path need before they can
// begin: an authority that may do whatever the profiles let any.
package warranttest

import (
	"slices"
	"strings"

	"griffier/api/warrant"
)

// CallBack is the number of every authority of [Registry].
const CallBack = "+31201234567"

// Law is the bundled profiles of the Netherlands and of the Union, in force together.
func Law() warrant.Law {
	var law warrant.Law
	for _, name := range []string{"nl", warrant.Union} {
		law = law.With(profile(name))
	}
	return law
}

func profile(name string) *warrant.Profile {
	p, err := warrant.LoadProfile(name)
	if err != nil {
		panic(err)
	}
	return p
}

// Registry answers for every id: an authority of the member state that the id begins
// with (DE-, or else NL), which holds every office, may use every basis of the
// bundled profiles for every category, and has the keys of recipients, each as a
// warrant's content names it. It panics on a recipient of no form.
func Registry(recipients ...string) func(id string) (warrant.AuthorityView, bool) {
	a := warrant.AuthorityView{Country: "NL", Categories: warrant.Categories, CallBack: CallBack, Generation: 1}
	for _, name := range warrant.ProfileNames {
		for _, b := range profile(name).Bases {
			a.Bases = append(a.Bases, b.ID)
			a.Offices = append(a.Offices, b.SignedBy...)
		}
	}
	a.Bases, a.Offices = sorted(a.Bases), sorted(a.Offices)
	for _, r := range recipients {
		fingerprint, ok := warrant.RecipientFingerprint(r)
		if !ok {
			panic("warranttest: a recipient of no form")
		}
		a.Keys = append(a.Keys, fingerprint)
	}
	return func(id string) (warrant.AuthorityView, bool) {
		found := a
		found.ID = id
		if country, _, ok := strings.Cut(id, "-"); ok && slices.Contains(warrant.MemberStates, country) {
			found.Country = country
		}
		return found, true
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}
