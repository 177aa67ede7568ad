package daemon

import (
	"fmt"
	"path/filepath"

	"github.com/goccy/go-yaml/ast"

	"griffier/api/ledger"
	"griffier/api/signedfile"
	"griffier/api/warrant"
)

// Files are names of files: in YAML one, or a list.
type Files []string

// UnmarshalYAML reads one name or a list of them.
func (f *Files) UnmarshalYAML(node ast.Node) error {
	values := []ast.Node{node}
	if list, ok := node.(*ast.SequenceNode); ok {
		values = list.Values
	}
	*f = nil
	for _, value := range values {
		var word signedfile.Word
		if err := word.UnmarshalYAML(value); err != nil {
			return err
		}
		if word.Text == "" {
			return fmt.Errorf("%d:%d: want the name of a file, or a list of them", word.Line, word.Column)
		}
		*f = append(*f, word.Text)
	}
	return nil
}

// MarshalYAML writes one name as such.
func (f Files) MarshalYAML() (any, error) {
	if len(f) == 1 {
		return f[0], nil
	}
	return []string(f), nil
}

func (f Files) each() (out []*string) {
	for i := range f {
		out = append(out, &f[i])
	}
	return out
}

// initLegalBasis writes the bundled legal-basis profiles, of a nation and of the
// Union, signed by a new key, whose public part goes into trust/.
func initLegalBasis(dir string, o InitOptions) (Files, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	key, err := ledger.GenerateKey(in("secret/legal-basis-signing.key"), o.Origin+"/legal-basis")
	if err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	if err := writeNew(in("trust/legal-basis.pub"), []byte(key.Public+"\n")); err != nil {
		return nil, err
	}
	var files Files
	for _, name := range []string{o.Profile, warrant.Union} {
		text, err := warrant.ProfileText(name)
		if err != nil {
			return nil, fmt.Errorf("init: %w", err)
		}
		signed, err := warrant.SignProfile(text, key.Signer)
		if err != nil {
			return nil, fmt.Errorf("init: legal-basis profile: %w", err)
		}
		file := "legal-basis-" + name + ".yaml"
		if err := writeNew(in(file), signed); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}
