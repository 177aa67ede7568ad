package retention

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"griffier/api/signedfile"
	"griffier/api/strictyaml"
	"griffier/schema"
)

// law is the outer limits of one jurisdiction. They are data that comes with the
// program, marked with how each was established, so that no signature on a policy
// file can go beyond them.
type law struct {
	Jurisdiction string    `yaml:"jurisdiction"`
	Classes      []maximum `yaml:"classes"`
}

type maximum struct {
	Class   schema.Class `yaml:"class"`
	Maximum string       `yaml:"maximum"`
	Source  string       `yaml:"source"`
	Status  string       `yaml:"status"` // read, secondary or check
}

//go:embed law/*.yaml
var lawFiles embed.FS

var laws = readLaws()

// readLaws panics on a file of its own that does not read: a test reads them too.
func readLaws() []law {
	var out []law
	for _, name := range []string{schema.ProfileBE, schema.ProfileNL} {
		text, err := lawFiles.ReadFile("law/" + name + ".yaml")
		if err != nil {
			panic(err)
		}
		var l law
		if err := strictyaml.Unmarshal("law/"+name+".yaml", text, &l); err != nil {
			panic(err)
		}
		out = append(out, l)
	}
	return out
}

func lawOf(jurisdiction string) (law, bool) {
	i := slices.IndexFunc(laws, func(l law) bool { return l.Jurisdiction == jurisdiction })
	if i < 0 {
		return law{}, false
	}
	return laws[i], true
}

// jurisdictionOf joins the names of laws, sorted, as the store notes them.
func jurisdictionOf(laws []law) string {
	var names []string
	for _, l := range laws {
		names = append(names, l.Jurisdiction)
	}
	slices.Sort(names)
	return strings.Join(names, "+")
}

// exceeded says by what a valid policy is longer than the law allows, or "".
func (l law) exceeded(p schema.Policy) string {
	i := slices.IndexFunc(l.Classes, func(m maximum) bool { return m.Class == p.Class })
	if i < 0 {
		return ""
	}
	most := p
	most.Period = l.Classes[i].Maximum
	if longer, err := most.Lengthens(p); err == nil && !longer {
		return ""
	}
	return fmt.Sprintf("period %s is longer than lawful in %s: at most %s (%s)", signedfile.Clip(p.Period), l.Jurisdiction, most.Period, l.Classes[i].Source)
}

// Maximum returns the longest lawful period of a class in a jurisdiction as
// [File] names it; "" if none of its laws limits the class.
func Maximum(jurisdiction string, c schema.Class) string {
	shortest := schema.Policy{Zone: "UTC"}
	for _, name := range strings.Split(jurisdiction, "+") {
		l, _ := lawOf(name)
		for _, m := range l.Classes {
			next := schema.Policy{Period: m.Maximum, Zone: "UTC"}
			if m.Class != c {
				continue
			}
			if longer, err := next.Lengthens(shortest); shortest.Period == "" || err == nil && longer {
				shortest = next
			}
		}
	}
	return shortest.Period
}
