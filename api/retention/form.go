package retention

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"griffier/schema"
)

// word is a scalar of the file, which knows where it stands.
type word struct {
	text         string
	line, column int
}

// UnmarshalYAML takes a plain or quoted scalar.
func (w *word) UnmarshalYAML(n ast.Node) error {
	if t := n.GetToken(); t != nil {
		w.line, w.column = t.Position.Line, t.Position.Column
	}
	switch n := n.(type) {
	case *ast.StringNode:
		w.text = n.Value
	case *ast.LiteralNode:
		w.text = strings.TrimSpace(n.Value.Value)
	case *ast.IntegerNode:
		w.text = n.GetToken().Value
	case *ast.NullNode:
	default:
		return fmt.Errorf("%d:%d: want a text", w.line, w.column)
	}
	return nil
}

func (w word) problem(format string, args ...any) Problem {
	return Problem{w.line, w.column, fmt.Sprintf(format, args...)}
}

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

// indirections finds anchors, aliases, merges, tags and further documents: what
// makes a small file large, or one that reads differently from what it says.
func indirections(text []byte) (Problem, bool) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Problem{}, false // the decoder says what and where
	}
	var found *token.Token
	what := ""
	see := func(n ast.Node) {
		if found != nil {
			return
		}
		switch n.(type) {
		case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
			found, what = n.GetToken(), "anchors, aliases and merges are not taken; write it out"
		case *ast.TagNode, *ast.DirectiveNode:
			found, what = n.GetToken(), "tags and directives are not taken"
		}
	}
	for i, d := range file.Docs {
		if i > 0 && d.Body != nil && found == nil {
			found, what = d.Body.GetToken(), "there is more than one document"
		}
		ast.Walk(visitor(see), d)
	}
	if found == nil {
		return Problem{}, false
	}
	return Problem{found.Position.Line, found.Position.Column, what}, true
}

type visitor func(ast.Node)

func (v visitor) Visit(n ast.Node) ast.Visitor {
	v(n)
	return v
}

// file judges what the form says, and lists all that is wrong with it.
func (form fileForm) file() (File, []Problem) {
	var f File
	var problems []Problem
	complain := func(p Problem) { problems = append(problems, p) }

	var err error
	if f.Generation, err = strconv.ParseUint(form.Generation.text, 10, 64); err != nil || f.Generation == 0 || f.Generation > maxGeneration {
		complain(form.Generation.problem("generation: want a whole number from 1 that is higher than that of the file before it"))
	}
	laws, bad := form.laws()
	problems = append(problems, bad...)
	f.Jurisdiction = jurisdictionOf(laws)
	seen := map[schema.Class]word{}
	for _, c := range form.Classes {
		class := schema.Class(c.Class.text)
		first, twice := seen[class]
		switch {
		case !slices.Contains(Classes(), class):
			complain(c.Class.problem("class %q: unknown class; the classes are %v", clip(c.Class.text), Classes()))
			continue
		case twice:
			complain(c.Class.problem("class %q is there already, in line %d: the two overlap, and a store has one period a class", class, first.line))
			continue
		}
		seen[class] = c.Class
		rule, bad := c.rule(form.Zone, laws)
		problems = append(problems, bad...)
		f.Rules = append(f.Rules, rule)
	}
	for _, class := range Classes() {
		if _, there := seen[class]; !there {
			complain(Problem{What: fmt.Sprintf("class %s is missing; the classes are %v", class, Classes())})
		}
	}
	slices.SortFunc(f.Rules, func(a, b Rule) int {
		return slices.Index(Classes(), a.Class) - slices.Index(Classes(), b.Class)
	})
	return f, problems
}

func (form fileForm) laws() (laws []law, problems []Problem) {
	if len(form.Jurisdictions) == 0 {
		return nil, []Problem{{What: "jurisdictions: is missing; name the law that judges what this store holds, for example [nl]"}}
	}
	seen := map[string]word{}
	for _, j := range form.Jurisdictions {
		first, twice := seen[j.text]
		l, known := lawOf(j.text)
		switch {
		case twice:
			problems = append(problems, j.problem("jurisdiction %q is there already, in line %d: the two overlap", clip(j.text), first.line))
		case !known:
			problems = append(problems, j.problem("jurisdiction %q: unknown; there are nl and be", clip(j.text)))
		default:
			laws = append(laws, l)
		}
		seen[j.text] = j
	}
	return laws, problems
}

// rule judges one class. Problems stand at the value that is wrong, or at the
// class where the value is missing.
func (c classForm) rule(zone word, laws []law) (Rule, []Problem) {
	if c.Zone.text != "" {
		zone = c.Zone
	}
	r := Rule{Policy: schema.Policy{Class: schema.Class(c.Class.text), Period: c.Period.text, Zone: zone.text,
		Purpose: c.Purpose.text, Basis: c.Basis.text, Source: c.Source.text}, Status: c.Status.text}
	var problems []Problem
	fields := map[string]word{"period": c.Period, "zone": zone, "purpose": c.Purpose, "basis": c.Basis, "source": c.Source, "status": c.Status}
	complain := func(field, why string) {
		at := fields[field]
		if at.line == 0 {
			at = c.Class
		}
		problems = append(problems, at.problem("class %q: %s", r.Class, why))
	}
	for _, refusal := range r.Refusals(jurisdictionOf(laws)) {
		complain(refusal.Field, refusal.Why)
	}
	for _, field := range []string{"basis", "source"} {
		if strings.TrimSpace(fields[field].text) == "" {
			complain(field, field+" is missing")
		}
	}
	for _, field := range []string{"purpose", "basis", "source", "status"} {
		if len(fields[field].text) > maxText {
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

// clip bounds foreign text in an error.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
