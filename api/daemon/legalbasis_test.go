package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"griffier/api/legalbasis"
	"griffier/api/signedfile"
)

// What init writes is the law of the nation and of the Union, which griffierd takes.
func TestInitLegalBases(t *testing.T) {
	for _, nation := range []string{"nl", "be"} {
		o := options()
		o.Profile = nation
		path, err := Init(filepath.Join(t.TempDir(), "g"), o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		trusted, err := signedfile.ReadTrusted(c.Legal.BasisKeysFile)
		if err != nil {
			t.Fatal(err)
		}
		files, err := legalbasis.ReadFiles(c.Legal.BasisFiles, trusted)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range files {
			names = append(names, f.Name)
		}
		if !slices.Equal(names, []string{nation, "eu"}) {
			t.Errorf("profiles %q", names)
		}
	}
}

// The legal bases are one file or a list, both of which -check prints as they are.
func TestBasisFiles(t *testing.T) {
	dir, text := initialised(t)
	list := "  basis_file:\n  - legal-basis-nl.yaml\n  - legal-basis-eu.yaml\n"
	if !strings.Contains(text, list) {
		t.Fatalf("init wrote\n%s", text)
	}
	for name, test := range map[string]struct {
		yaml string
		want []string // nil: refused
	}{
		"one":          {"  basis_file: a.yaml\n", []string{"a.yaml"}},
		"a list":       {"  basis_file: [a.yaml, /b.yaml]\n", []string{"a.yaml", "/b.yaml"}},
		"none":         {"  basis_file: []\n", nil},
		"nothing":      {"  basis_file:\n", nil},
		"an empty one": {"  basis_file: [a.yaml, '']\n", nil},
		"a map":        {"  basis_file: {a: b}\n", nil},
		"a list in it": {"  basis_file: [[a.yaml]]\n", nil},
	} {
		path := filepath.Join(dir, "changed.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(text, list, test.yaml, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ReadConfig(path)
		if (err == nil) != (test.want != nil) {
			t.Errorf("%s: %v", name, err)
			continue
		} else if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v does not name the file", name, err)
			}
			continue
		}
		for i, f := range test.want {
			if !filepath.IsAbs(f) {
				test.want[i] = filepath.Join(dir, f)
			}
		}
		if !slices.Equal(c.Legal.BasisFiles, test.want) {
			t.Errorf("%s: %q", name, c.Legal.BasisFiles)
		}
	}
}
