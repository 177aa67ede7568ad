package authority

import (
	"slices"
	"time"

	"griffier/api/warrant"
)

// Plan is what a record would do, were it approved now.
type Plan struct {
	Permits         []string // "BASIS CATEGORY", and what else it may not now
	Ends            []string
	WarrantsStopped int    // live ones under which nothing more could be done
	Generation      uint64 // of the authority now; 0: it is new
}

// Plan compares a record with the one in force, under a law. It judges the
// record as far as it has a meaning; what is wrong with it Propose says.
func (g *Registry) Plan(now time.Time, r Record, law warrant.Law, warrants []warrant.Warrant) Plan {
	r = r.normal()
	was, known := g.View(r.ID, now)
	is := viewOf(r)
	is.Keys = was.Keys // they stay
	out := Plan{Generation: was.Generation}
	before, after := may(was, known, law), may(is, true, law)
	for _, what := range after {
		if !slices.Contains(before, what) {
			out.Permits = append(out.Permits, what)
		}
	}
	for _, what := range before {
		if !slices.Contains(after, what) {
			out.Ends = append(out.Ends, what)
		}
	}
	judge := func(v warrant.AuthorityView, known bool) *warrant.Rules {
		return &warrant.Rules{Law: warrant.Always(law...), Authorities: func(string) (warrant.AuthorityView, bool) { return v, known }}
	}
	for _, w := range warrants {
		if w.Authority != r.ID || w.Ended != "" || !now.Before(w.ValidUntil) {
			continue
		}
		if judge(was, known).Entitled(w) == nil && judge(is, true).Entitled(w) != nil {
			out.WarrantsStopped++
		}
	}
	return out
}

// may lists what an authority may ask, as "BASIS CATEGORY", in the order of the profiles.
func may(v warrant.AuthorityView, known bool, law warrant.Law) []string {
	var out []string
	r := &warrant.Rules{Law: warrant.Always(law...), Authorities: func(string) (warrant.AuthorityView, bool) { return v, known }}
	if !known {
		return nil
	}
	for _, b := range law.Bases() {
		for _, c := range b.Categories {
			// Its key is not asked about here: it has one or it has not.
			v.Keys = []string{""}
			if r.Entitled(warrant.Warrant{Authority: v.ID, Basis: b.ID, Categories: []warrant.Category{c}}) == nil {
				out = append(out, b.ID+" "+string(c))
			}
		}
	}
	return out
}
