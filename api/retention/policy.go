// Package retention keeps the provider's retention policy, which is a file that
// a lawyer can read, and carries out what follows from it: rows become
// unreadable by the policy table at their instant; this package writes that
// table, drops what has expired from disk, and puts both in the ledger.
package retention

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"slices"

	"griffier/api/strictyaml"
	"griffier/schema"
)

//go:embed profile/*.yaml
var profiles embed.FS

// Profile returns the bundled policy file of a profile, nl or be: a start for
// the provider's own.
func Profile(name string) ([]byte, error) {
	text, err := profiles.ReadFile("profile/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("retention profile %q: there are nl and be", name)
	}
	return text, nil
}

// File is a retention policy as it was read.
type File struct {
	Profile  string
	Policies []schema.Policy
	SHA256   string // of the file's bytes, hexadecimal
}

type fileForm struct {
	Profile string `yaml:"profile"`
	Zone    string `yaml:"zone"`
	Classes []struct {
		Class   string `yaml:"class"`
		Period  string `yaml:"period"`
		Zone    string `yaml:"zone"`
		Purpose string `yaml:"purpose"`
		Basis   string `yaml:"basis"`
		Source  string `yaml:"source"`
	} `yaml:"classes"`
}

// maxFile bounds a policy file, in bytes.
const maxFile = 256 << 10

// ReadFile reads and validates a policy file. An unknown key is an error with
// its line and column; every class of the schema must be there exactly once, so
// that nothing is kept without a reason or lost by a slip.
func ReadFile(path string) (File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("retention policy: %w", err)
	}
	f, err := parse(path, text)
	if err != nil {
		return File{}, fmt.Errorf("retention policy: %w", err)
	}
	return f, nil
}

// Parse is [ReadFile] for text.
func Parse(text []byte) (File, error) { return parse("", text) }

// parse begins errors about a file's form with its name, line and column, and
// errors about what it says with its name.
func parse(name string, text []byte) (File, error) {
	var form fileForm
	if len(text) > maxFile {
		return File{}, fmt.Errorf("%s: is longer than %d bytes", name, maxFile)
	}
	if err := strictyaml.Unmarshal(name, text, &form); err != nil {
		return File{}, err
	}
	f, err := form.file(text)
	if err != nil && name != "" {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return f, err
}

func (form fileForm) file(text []byte) (File, error) {
	sum := sha256.Sum256(text)
	f := File{Profile: form.Profile, SHA256: hex.EncodeToString(sum[:])}
	for _, c := range form.Classes {
		zone := c.Zone
		if zone == "" {
			zone = form.Zone
		}
		p := schema.Policy{Class: schema.Class(c.Class), Period: c.Period, Zone: zone, Purpose: c.Purpose, Basis: c.Basis, Source: c.Source}
		if err := p.Validate(form.Profile); err != nil {
			return File{}, err
		}
		f.Policies = append(f.Policies, p)
	}
	for _, class := range schema.Classes {
		n := 0
		for _, p := range f.Policies {
			if p.Class == class {
				n++
			}
		}
		if n != 1 {
			return File{}, fmt.Errorf("class %s is there %d times, want once; the classes are %v", class, n, schema.Classes)
		}
	}
	return f, nil
}

// Lengthened returns the classes whose period becomes longer from old to f, or
// whose zone changes. That takes two people.
func (f File) Lengthened(old []schema.Policy) ([]schema.Class, error) {
	var out []schema.Class
	for _, was := range old {
		i := slices.IndexFunc(f.Policies, func(p schema.Policy) bool { return p.Class == was.Class })
		if i < 0 {
			continue
		}
		longer, err := longer(was, f.Policies[i])
		if err != nil {
			return nil, err
		}
		if longer {
			out = append(out, was.Class)
		}
	}
	return out, nil
}
