// Package retention keeps the provider's retention policy, which is a file that
// a lawyer can read and sign, and carries out what follows from it: rows become
// unreadable by the policy table at their instant; this package writes that
// table, drops what has expired from disk, and puts both in the ledger.
//
// # The policy file
//
// It is YAML with signatures below it. Nothing in it has a default:
//
//	generation: 4              # rises with every file; an older file is refused
//	jurisdictions: [nl]        # whose law judges what this store holds
//	zone: Europe/Amsterdam     # whose calendar counts; a class may name its own
//	classes:                   # each class once, see [Classes]
//	  - class: usage_5m
//	    period: P14D           # ISO 8601: P6M, P2W, P1Y3M, PT24H; counted from the row's end
//	    purpose: faults and complaints
//	    basis: Tw 11.5; GDPR 6(1)(b)
//	    source: decision of the board, 2026-11-02
//	    status: to be confirmed           # may be left out
//
// A row of the store does not say which country it is from. So a store has one
// set of periods, and every jurisdiction that the file lists judges every class:
// the shortest maximum holds, and a purpose that one of them does not know is
// refused. Where one country wants longer than another allows, give each a store
// of its own. A jurisdiction or a class that stands there twice is refused: the
// two would overlap.
//
// A purpose is mandatory, and a legal duty to retain is none in the Netherlands.
// No period is longer than the law of package folder law allows (unless that
// knows no limit), whoever signed it. Anchors, aliases, tags and unknown keys are
// refused; every refusal has its line and column.
//
// # Signatures
//
// The text, to its last line, is signed with Ed25519 as a signed note (C2SP
// signed-note): a blank line and one line a signature follow it, which are not
// part of the YAML. griffierd takes a file that one of the keys that its own
// configuration names signed, and no other. What it cannot take changes nothing: the
// policy in force stays in force, and griffierd says so.
//
// # Changes
//
// A file that shortens is put in force when griffierd starts or reloads. One that
// lengthens any period, or changes a zone, needs a proposal, the data protection
// officer's advice and another person's approval first: see [Keeper.Propose].
// What had expired before stays expired.
package retention

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"griffier/api/strictyaml"
	"griffier/schema"
)

//go:embed profile/*.yaml
var profiles embed.FS

// Profile returns the bundled policy file of a profile, nl or be, unsigned: a
// start for the provider's own.
func Profile(name string) ([]byte, error) {
	text, err := profiles.ReadFile("profile/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("retention profile %q: there are nl and be", name)
	}
	return text, nil
}

// Rule is what a policy says of one class.
type Rule struct {
	schema.Policy
	Status string // how well established it is; empty: the provider decided it
}

// File is a retention policy as it was read.
type File struct {
	Generation   uint64
	Jurisdiction string // nl, be, or be+nl
	Rules        []Rule // one of each of Classes, in that order
	SHA256       string // of the text that was signed, hexadecimal
	SignedBy     string // names of the trusted keys that signed it
}

// Policies returns the rules of the classes that the traffic store holds.
func (f File) Policies() []schema.Policy {
	var out []schema.Policy
	for _, r := range f.Rules {
		if stored(r.Class) {
			out = append(out, r.Policy)
		}
	}
	return out
}

// Rule returns the rule of a class.
func (f File) Rule(c schema.Class) (Rule, bool) {
	i := slices.IndexFunc(f.Rules, func(r Rule) bool { return r.Class == c })
	if i < 0 {
		return Rule{}, false
	}
	return f.Rules[i], true
}

// MaxFile bounds a policy file with its signatures, in bytes.
const MaxFile = 24 << 10

// Limits on what a file says, so that it can stand in the ledger.
const (
	maxText       = 500 // bytes of a purpose, basis, source or status
	maxFlowDepth  = 8   // of nested [ and {
	maxProblems   = 20  // told at once
	maxGeneration = 1 << 32
)

// Problem is one thing that is wrong with a file, and where.
type Problem struct {
	Line, Column int // from 1; 0: the file as a whole
	What         string
}

// FileError lists what is wrong with a policy file.
type FileError struct {
	Name     string // of the file, may be empty
	Problems []Problem
}

func (e *FileError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		at := e.Name
		if p.Line > 0 {
			at = strings.TrimPrefix(fmt.Sprintf("%s:%d:%d", e.Name, p.Line, p.Column), ":")
		}
		if at != "" {
			at += ": "
		}
		lines = append(lines, at+p.What)
	}
	return strings.Join(lines, "\n")
}

// ReadFile reads, verifies and validates the policy file at path. Its error is
// a [*FileError] unless the file could not be read at all.
func ReadFile(path string, trusted Trusted) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("retention policy: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return File{}, fmt.Errorf("retention policy: %w", err)
	}
	return Open(path, text, trusted)
}

// isNoFile tells the error of [ReadFile] for a file that could not be read.
func isNoFile(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path)
}

// Open verifies and validates a signed policy file. name is what it is called in
// errors, which are a [*FileError] and tell what is wrong with the text as well
// as with the signature.
func Open(name string, signed []byte, trusted Trusted) (File, error) {
	if len(signed) > MaxFile {
		return File{}, tooLong(name)
	}
	f, err := parse(name, Text(signed))
	var wrong *FileError
	if !errors.As(err, &wrong) {
		wrong = &FileError{Name: name}
	}
	_, signers, err := trusted.verify(signed)
	if err != nil {
		wrong.Problems = append(wrong.Problems, Problem{What: err.Error()})
	}
	if len(wrong.Problems) > 0 {
		return File{}, wrong
	}
	f.SignedBy = strings.Join(signers, ",")
	return f, nil
}

// Parse validates the text of a policy file, which is not signed or whose
// signatures were taken off. Its error is a [*FileError].
func Parse(text []byte) (File, error) { return parse("", text) }

func parse(name string, text []byte) (File, error) {
	refuse := func(problems ...Problem) (File, error) { return File{}, &FileError{name, problems} }
	if len(text) > MaxFile {
		return File{}, tooLong(name)
	}
	if p, deep := tooDeep(text); deep {
		return refuse(p)
	}
	if p, odd := indirections(text); odd {
		return refuse(p)
	}
	var form fileForm
	if err := strictyaml.Unmarshal("", text, &form); err != nil {
		return refuse(problemOf(err))
	}
	sum := sha256.Sum256(text)
	f, problems := form.file()
	f.SHA256 = hex.EncodeToString(sum[:])
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
		return refuse(problems[:min(len(problems), maxProblems)]...)
	}
	return f, nil
}

func tooLong(name string) *FileError {
	return &FileError{name, []Problem{{What: fmt.Sprintf("is longer than %d bytes", MaxFile)}}}
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

// ErrNotSigned is wrapped by the refusal of a file that no trusted key signed.
var ErrNotSigned = errors.New("no trusted key signed it")
