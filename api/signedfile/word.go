package signedfile

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"griffier/api/strictyaml"
)

// maxFlowDepth is of nested [ and {.
const maxFlowDepth = 8

// Word is a scalar of a file, which knows where it stands.
type Word struct {
	Text         string
	Line, Column int // 0: it is not there
}

// UnmarshalYAML takes a plain or quoted scalar.
func (w *Word) UnmarshalYAML(n ast.Node) error {
	if t := n.GetToken(); t != nil {
		w.Line, w.Column = t.Position.Line, t.Position.Column
	}
	switch n := n.(type) {
	case *ast.StringNode:
		w.Text = n.Value
	case *ast.LiteralNode:
		w.Text = strings.TrimSpace(n.Value.Value)
	case *ast.IntegerNode, *ast.BoolNode:
		w.Text = n.GetToken().Value
	case *ast.NullNode:
	default:
		return fmt.Errorf("%d:%d: want a text", w.Line, w.Column)
	}
	return nil
}

// Problem is one at the word's place.
func (w Word) Problem(format string, args ...any) Problem {
	return Problem{w.Line, w.Column, fmt.Sprintf(format, args...)}
}

// Decode reads text into a form, strictly: unknown keys, anchors, aliases, tags,
// further documents and brackets nested too deep are refused. Its error is a
// [*FileError].
func Decode(name string, text []byte, form any) error {
	if len(text) > MaxFile {
		return TooLong(name)
	}
	if p, odd := unreadable(text); odd {
		return Refuse(name, p)
	}
	if p, deep := tooDeep(text); deep {
		return Refuse(name, p)
	}
	if p, odd := indirections(text); odd {
		return Refuse(name, p)
	}
	if err := strictyaml.Unmarshal("", text, form); err != nil {
		return Refuse(name, problemOf(err))
	}
	return nil
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

// problemOf takes line and column out of an error of package strictyaml.
func problemOf(err error) Problem {
	var p Problem
	rest := strings.TrimSpace(err.Error())
	if n, _ := fmt.Sscanf(rest, "%d:%d:", &p.Line, &p.Column); n == 2 {
		_, rest, _ = strings.Cut(rest, ": ")
	} else {
		p = Problem{}
	}
	p.What = rest
	return p
}

// tooDeep finds brackets nested so deep that only mischief or a slip does it;
// reading them would take time out of proportion.
func tooDeep(text []byte) (Problem, bool) {
	depth := 0
	for i, c := range text {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		}
		if depth > maxFlowDepth {
			line := bytes.Count(text[:i], []byte("\n")) + 1
			return Problem{line, i - bytes.LastIndexByte(text[:i], '\n'), "brackets are nested too deep"}, true
		}
	}
	return Problem{}, false
}
