// Package strictyaml reads YAML files in which an unknown key is an error, and
// every error begins with file:line:column, as editors and people want it.
package strictyaml

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
)

// Unmarshal reads text into a value. name is what the file is called in errors;
// without a name they begin with line:column.
func Unmarshal(name string, text []byte, into any) error {
	err := yaml.UnmarshalWithOptions(text, into, yaml.Strict())
	if err == nil {
		return nil
	}
	if name != "" {
		name += ":"
	}
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		p := at.GetToken().Position
		return fmt.Errorf("%s%d:%d: %s", name, p.Line, p.Column, at.GetMessage())
	}
	return fmt.Errorf("%s %w", name, err)
}
