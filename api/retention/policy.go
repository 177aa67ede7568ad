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
// griffierd takes a file that one of the keys that its own configuration names
// signed (package signedfile), and no other. What it cannot take changes nothing: the
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
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"slices"

	"griffier/api/signedfile"
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

// Limits on what a file says, so that it can stand in the ledger.
const (
	maxText       = 500 // bytes of a purpose, basis, source or status
	maxGeneration = 1 << 32
)

// ReadFile reads, verifies and validates the policy file at path. Its error is
// a [*signedfile.FileError] unless the file could not be read at all.
func ReadFile(path string, trusted signedfile.Trusted) (File, error) {
	text, err := signedfile.Read("retention policy", path)
	if err != nil {
		return File{}, err
	}
	return Open(path, text, trusted)
}

// Open verifies and validates a signed policy file. name is what it is called in
// errors, which are a [*signedfile.FileError] and tell what is wrong with the text
// as well as with the signature.
func Open(name string, signed []byte, trusted signedfile.Trusted) (File, error) {
	f, signedBy, err := signedfile.Open(name, signed, trusted, parse)
	f.SignedBy = signedBy
	return f, err
}

// Parse validates the text of a policy file, which is not signed or whose
// signatures were taken off. Its error is a [*signedfile.FileError].
func Parse(text []byte) (File, error) { return parse("", text) }

func parse(name string, text []byte) (File, error) {
	var form fileForm
	if err := signedfile.Decode(name, text, &form); err != nil {
		return File{}, err
	}
	sum := sha256.Sum256(text)
	f, problems := form.file()
	f.SHA256 = hex.EncodeToString(sum[:])
	if len(problems) > 0 {
		return File{}, signedfile.Refuse(name, problems...)
	}
	return f, nil
}
