package retention

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"griffier/api/signedfile"
	"griffier/schema"
)

type word = signedfile.Word

type fileForm struct {
	Generation    word        `yaml:"generation"`
	Jurisdictions []word      `yaml:"jurisdictions"`
	Zone          word        `yaml:"zone"`
	Classes       []classForm `yaml:"classes"`
}

type classForm struct {
	Class   word `yaml:"class"`
	Period  word `yaml:"period"`
	Zone    word `yaml:"zone"`
	Purpose word `yaml:"purpose"`
	Basis   word `yaml:"basis"`
	Source  word `yaml:"source"`
	Status  word `yaml:"status"`
}

// file judges what the form says, and lists all that is wrong with it.
func (form fileForm) file() (File, []signedfile.Problem) {
	var f File
	var problems []signedfile.Problem
	complain := func(p signedfile.Problem) { problems = append(problems, p) }

	var err error
	if f.Generation, err = strconv.ParseUint(form.Generation.Text, 10, 64); err != nil || f.Generation == 0 || f.Generation > maxGeneration {
		complain(form.Generation.Problem("generation: want a whole number from 1 that is higher than that of the file before it"))
	}
	laws, bad := form.laws()
	problems = append(problems, bad...)
	f.Jurisdiction = jurisdictionOf(laws)
	seen := map[schema.Class]word{}
	for _, c := range form.Classes {
		class := schema.Class(c.Class.Text)
		first, twice := seen[class]
		switch {
		case !slices.Contains(Classes(), class):
			complain(c.Class.Problem("class %q: unknown class; the classes are %v", signedfile.Clip(c.Class.Text), Classes()))
			continue
		case twice:
			complain(c.Class.Problem("class %q is there already, in line %d: the two overlap, and a store has one period a class", class, first.Line))
			continue
		}
		seen[class] = c.Class
		rule, bad := c.rule(form.Zone, laws)
		problems = append(problems, bad...)
		f.Rules = append(f.Rules, rule)
	}
	for _, class := range Classes() {
		if _, there := seen[class]; !there {
			complain(signedfile.Problem{What: fmt.Sprintf("class %s is missing; the classes are %v", class, Classes())})
		}
	}
	slices.SortFunc(f.Rules, func(a, b Rule) int {
		return slices.Index(Classes(), a.Class) - slices.Index(Classes(), b.Class)
	})
	return f, problems
}

func (form fileForm) laws() (laws []law, problems []signedfile.Problem) {
	if len(form.Jurisdictions) == 0 {
		return nil, []signedfile.Problem{{What: "jurisdictions: is missing; name the law that judges what this store holds, for example [nl]"}}
	}
	seen := map[string]word{}
	for _, j := range form.Jurisdictions {
		first, twice := seen[j.Text]
		l, known := lawOf(j.Text)
		switch {
		case twice:
			problems = append(problems, j.Problem("jurisdiction %q is there already, in line %d: the two overlap", signedfile.Clip(j.Text), first.Line))
		case !known:
			problems = append(problems, j.Problem("jurisdiction %q: unknown; there are nl and be", signedfile.Clip(j.Text)))
		default:
			laws = append(laws, l)
		}
		seen[j.Text] = j
	}
	return laws, problems
}

// rule judges one class. Problems stand at the value that is wrong, or at the
// class where the value is missing.
func (c classForm) rule(zone word, laws []law) (Rule, []signedfile.Problem) {
	if c.Zone.Text != "" {
		zone = c.Zone
	}
	r := Rule{Policy: schema.Policy{Class: schema.Class(c.Class.Text), Period: c.Period.Text, Zone: zone.Text,
		Purpose: c.Purpose.Text, Basis: c.Basis.Text, Source: c.Source.Text}, Status: c.Status.Text}
	var problems []signedfile.Problem
	fields := map[string]word{"period": c.Period, "zone": zone, "purpose": c.Purpose, "basis": c.Basis, "source": c.Source, "status": c.Status}
	complain := func(field, why string) {
		at := fields[field]
		if at.Line == 0 {
			at = c.Class
		}
		problems = append(problems, at.Problem("class %q: %s", r.Class, why))
	}
	for _, refusal := range r.Refusals(jurisdictionOf(laws)) {
		complain(refusal.Field, refusal.Why)
	}
	for _, field := range []string{"basis", "source"} {
		if strings.TrimSpace(fields[field].Text) == "" {
			complain(field, field+" is missing")
		}
	}
	for _, field := range []string{"purpose", "basis", "source", "status"} {
		if len(fields[field].Text) > maxText {
			complain(field, fmt.Sprintf("%s is longer than %d bytes", field, maxText))
		}
	}
	if len(problems) > 0 {
		return r, problems
	}
	for _, l := range laws {
		if why := l.exceeded(r.Policy); why != "" {
			complain("period", why)
		}
	}
	return r, problems
}
