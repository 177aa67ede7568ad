package cli

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	griffierv1 "griffier/proto/griffier/v1"
)

// Every griffier command that the README or the demo tells people to run is one
// that there is, with flags that it has and none missing that it needs.
func TestDocumentedCommandsExist(t *testing.T) {
	shown := regexp.MustCompile(`(?m)^\s+(?:[a-z]+ +)?griffier ((?:--home \S+ )?[a-z].*)$`)
	for file, least := range map[string]int{"../../README.md": 12, "../demo/demo.go": 8} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := shown.FindAllStringSubmatch(string(text), -1)
		if len(found) < least {
			t.Errorf("%s: %d commands found, want at least %d", file, len(found), least)
		}
		for _, m := range found {
			line, _, _ := strings.Cut(m[1], "#")
			if err := runnable(strings.Fields(line)); err != nil {
				t.Errorf("%s: griffier %s: %v", file, line, err)
			}
		}
	}
}

// runnable goes as far as the checks of the command line do.
func runnable(args []string) error {
	root := (&app{}).root()
	c, rest, err := root.Find(doubled(root, args))
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		if strings.Contains(err.Error(), pflag.ErrHelp.Error()) {
			return nil
		}
		return err
	}
	if help := c.Flags().Lookup("help"); help != nil && help.Changed {
		return nil
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return err
	}
	if missing := requiredMissing(c); missing != "" {
		return usageError{errMissing(missing)}
	}
	return c.ValidateRequiredFlags()
}

// requiredMissing names a flag that its help calls required and the line lacks.
func requiredMissing(c *cobra.Command) (name string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if strings.Contains(f.Usage, "(required)") && !f.Changed {
			name = f.Name
		}
	})
	return name
}

type errMissing string

func (e errMissing) Error() string { return "--" + string(e) + " is required" }

// What -o json prints as a category is what a file may say.
func TestCategoryAsPrinted(t *testing.T) {
	for _, name := range []string{"attribution", "Attribution", "CATEGORY_ATTRIBUTION"} {
		if c, err := parseCategory(name); err != nil || c != griffierv1.Category_CATEGORY_ATTRIBUTION {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	for _, name := range []string{"", "unspecified", "CATEGORY_UNSPECIFIED", "CATEGORY_", "CATEGORY_CATEGORY_TIME", "location"} {
		if c, err := parseCategory(name); err == nil {
			t.Errorf("%q is %v", name, c)
		}
	}
}
