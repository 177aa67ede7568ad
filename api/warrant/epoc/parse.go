package epoc

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a form.
const (
	MaxBytes = 256 << 10
	maxDepth = 8
	maxNodes = 2000
	maxText  = 2000
)

// node is an element of XML, or a member of JSON's objects.
type node struct {
	name     string
	text     string
	kind     byte // 'x': text of XML; 's', 'n', 'b': string, number, boolean of JSON; 'o': has children
	children []*node
}

// Parse reads a form: XML if it begins with <, else JSON. What it does not know,
// twice of what there is once, and everything of XML that is more than elements and
// their text, is an error. An error never repeats a value.
func Parse(data []byte) (Form, error) {
	if len(data) > MaxBytes {
		return Form{}, fmt.Errorf("epoc: longer than %d bytes", MaxBytes)
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 || !utf8.Valid(data) {
		return Form{}, errors.New("epoc: it is empty, or not UTF-8")
	}
	t := tree{}
	read := t.json
	if data[0] == '<' {
		read = t.xml
	}
	root, err := read(data)
	if err != nil {
		return Form{}, fmt.Errorf("epoc: %w", err)
	}
	var f Form
	if err := fill(root, reflect.ValueOf(&f).Elem(), "epoc"); err != nil {
		return Form{}, fmt.Errorf("epoc: %w", err)
	}
	return f, nil
}

// tree builds nodes within the limits.
type tree struct{ nodes int }

func (t *tree) node(name string, depth int) (*node, error) {
	if t.nodes++; t.nodes > maxNodes || depth > maxDepth {
		return nil, errors.New("too many elements, or too deep")
	}
	return &node{name: name, kind: 'o'}, nil
}

// xml reads elements and their text. Neither attributes nor a document type are
// part of a form; without a document type there are no entities but XML's own five.
func (t *tree) xml(data []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	var stack []*node
	var root *node
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, withoutText(err)
		}
		switch x := token.(type) {
		case xml.Directive:
			return nil, errors.New("a document type declaration")
		case xml.ProcInst:
			if x.Target != "xml" || root != nil {
				return nil, errors.New("a processing instruction")
			}
		case xml.StartElement:
			if len(x.Attr) > 0 || x.Name.Space != "" {
				return nil, errors.New("an attribute or a namespace")
			}
			n, err := t.node(x.Name.Local, len(stack))
			if err != nil {
				return nil, err
			}
			switch {
			case len(stack) > 0:
				parent := stack[len(stack)-1]
				parent.children = append(parent.children, n)
			case root != nil:
				return nil, errors.New("a second root element")
			default:
				root = n
			}
			stack = append(stack, n)
		case xml.EndElement:
			n := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			switch text := strings.TrimSpace(n.text); {
			case len(n.children) == 0:
				n.kind, n.text = 'x', text
			case text != "":
				return nil, errors.New("text between elements")
			}
		case xml.CharData:
			if len(stack) == 0 {
				if len(bytes.TrimSpace(x)) > 0 {
					return nil, errors.New("text outside of the root element")
				}
				continue
			}
			n := stack[len(stack)-1]
			if n.text += string(x); len(n.text) > maxText+maxText/2 {
				return nil, errors.New("a text is too long")
			}
		}
	}
	if root == nil || root.name != "epoc" {
		return nil, errors.New("the root element is not epoc")
	}
	if root.kind == 'x' {
		root.kind = 'o'
	}
	return root, nil
}

// withoutText keeps an error of the decoder from repeating what it read.
func withoutText(err error) error {
	var syntax *xml.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d is not XML", syntax.Line)
	}
	return errors.New("not XML")
}

// json reads an object. A list is its members, each under the list's name.
func (t *tree) json(data []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	root, err := t.node("epoc", 0)
	if err != nil {
		return nil, err
	}
	first, err := d.Token()
	if err != nil || first != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	if err := t.members(d, root, 1); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return root, nil
}

func (t *tree) members(d *json.Decoder, parent *node, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return errors.New("not JSON")
		}
		name, _ := key.(string)
		if seen[name] {
			return errors.New("a key stands there twice")
		}
		seen[name] = true
		if err := t.value(d, parent, name, depth, false); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("not JSON")
	}
	return nil
}

func (t *tree) value(d *json.Decoder, parent *node, name string, depth int, listed bool) error {
	token, err := d.Token()
	if err != nil {
		return errors.New("not JSON")
	}
	if token == json.Delim('[') {
		if listed {
			return errors.New("a list in a list")
		}
		for d.More() {
			if err := t.value(d, parent, name, depth, true); err != nil {
				return err
			}
		}
		if _, err := d.Token(); err != nil {
			return errors.New("not JSON")
		}
		return nil
	}
	n, err := t.node(name, depth)
	if err != nil {
		return err
	}
	parent.children = append(parent.children, n)
	switch x := token.(type) {
	case json.Delim:
		return t.members(d, n, depth+1)
	case string:
		n.kind, n.text = 's', x
	case json.Number:
		n.kind, n.text = 'n', x.String()
	case bool:
		n.kind, n.text = 'b', strconv.FormatBool(x)
	default:
		return errors.New("null is no value of a form")
	}
	return nil
}

// fill puts a node into a value of the form. path names it for errors: element names
// are the form's own by then.
func fill(n *node, to reflect.Value, path string) error {
	wrong := func(what string) error { return fmt.Errorf("%s: %s", path, what) }
	text := func(kinds string) bool { return n.kind == 'x' || strings.IndexByte(kinds, n.kind) >= 0 }
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		return fill(n, to.Elem(), path)
	case reflect.String:
		switch {
		case !text("s"):
			return wrong("must be text")
		case len(n.text) > maxText || strings.ContainsFunc(n.text, unprintable):
			return wrong("is too long, or has characters that are not printed")
		}
		to.SetString(n.text)
	case reflect.Bool:
		if !text("b") || n.text != "true" && n.text != "false" {
			return wrong("must be true or false")
		}
		to.SetBool(n.text == "true")
	case reflect.Uint16:
		number, err := strconv.ParseUint(n.text, 10, 16)
		if !text("n") || err != nil {
			return wrong("must be a whole number up to 65535")
		}
		to.SetUint(number)
	case reflect.Struct:
		return fillStruct(n, to, path)
	default:
		return wrong("is of no kind that a form has")
	}
	return nil
}

func fillStruct(n *node, to reflect.Value, path string) error {
	if n.kind != 'o' {
		return fmt.Errorf("%s: must have elements", path)
	}
	fields := map[string]int{}
	for i := range to.NumField() {
		fields[to.Type().Field(i).Tag.Get("json")] = i
	}
	seen := map[string]bool{}
	for _, child := range n.children {
		i, ok := fields[child.name]
		if !ok {
			return fmt.Errorf("%s: an element that is not of the form", path)
		}
		field := to.Field(i)
		if field.Kind() == reflect.Slice {
			element := reflect.New(field.Type().Elem()).Elem()
			if err := fill(child, element, path+"."+child.name); err != nil {
				return err
			}
			field.Set(reflect.Append(field, element))
			continue
		}
		if seen[child.name] {
			return fmt.Errorf("%s.%s: stands there twice", path, child.name)
		}
		seen[child.name] = true
		if err := fill(child, field, path+"."+child.name); err != nil {
			return err
		}
	}
	return nil
}
