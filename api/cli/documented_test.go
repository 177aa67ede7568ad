package cli

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	griffierv1 "griffier/proto/griffier/v1"
)

// Every griffier command that the README, a guide or the demo tells people to run
// is one that there is, with flags that it has and none missing that it needs.
func TestDocumentedCommandsExist(t *testing.T) {
	shown := regexp.MustCompile(`(?m)^\s+(?:[a-z]+ +)?griffier ((?:--home \S+ )?[a-z].*)$`)
	for file, least := range map[string]int{"../../README.md": 20, "../demo/try.go": 20, "../dist/OVERSIGHT.md": 10,
		"../dist/INSTALL.md": 15, "../dist/BACKUP.md": 4, "../dist/LEDGER.md": 12} {
		found := shown.FindAllStringSubmatch(strings.ReplaceAll(read(t, file), "\\\n", ""), -1)
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

// So is every example that a command's help has.
func TestExamplesOfHelpExist(t *testing.T) {
	var examples []string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "griffier "); ok {
				examples = append(examples, rest)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
	if len(examples) < 8 {
		t.Errorf("%d examples found, want at least 8", len(examples))
	}
	for _, example := range examples {
		line, _, _ := strings.Cut(example, " #")
		if err := runnable(strings.Fields(line)); err != nil {
			t.Errorf("griffier %s: %v", example, err)
		}
	}
}

// What running text calls `griffier NOUN VERB` is a command, and its flags are flags
// of it.
func TestCommandsInTextExist(t *testing.T) {
	inline := regexp.MustCompile("`griffier ([a-z][^`]*)`")
	for file, least := range map[string]int{"../../README.md": 1, "../dist/INSTALL.md": 10, "../dist/BACKUP.md": 4, "../dist/STORE.md": 2, "../dist/LEDGER.md": 3, "../dist/OVERSIGHT.md": 1} {
		found := inline.FindAllStringSubmatch(read(t, file), -1)
		if len(found) < least {
			t.Errorf("%s: %d commands found, want at least %d", file, len(found), least)
		}
		for _, m := range found {
			root := (&app{}).root()
			c, rest, err := root.Find(doubled(root, strings.Fields(m[1])))
			if err != nil || c.HasSubCommands() && len(rest) > 0 {
				t.Errorf("%s: griffier %s: %v", file, m[1], errors.Join(err, c.ParseFlags(rest)))
				continue
			}
			if err := c.ParseFlags(rest); err != nil {
				t.Errorf("%s: griffier %s: %v", file, m[1], err)
			}
		}
	}
}

// Every flag that a guide gives to a daemon is one that the daemon defines.
func TestDocumentedFlagsOfDaemonsExist(t *testing.T) {
	sources := map[string]string{"griffierd": "../cmd/griffierd", "griffier-collector": "../../collector/cmd/griffier-collector"}
	defined := map[string]string{}
	for daemon, dir := range sources {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(files), err)
		}
		for _, file := range files {
			defined[daemon] += read(t, file)
		}
	}
	called := regexp.MustCompile("(?m)(?:^|[\\s`])(griffierd|griffier-collector)((?: +[^\\s`#]+)*)")
	flags := regexp.MustCompile(`(?:^| )--?([a-z][a-z0-9-]*)`)
	for file, least := range map[string]int{"../../README.md": 12, "../dist/INSTALL.md": 8, "../dist/BACKUP.md": 5, "../dist/STORE.md": 8, "../dist/LEDGER.md": 5, "../../collector/dist/FIRST_ROUTER.md": 5} {
		n := 0
		for _, call := range called.FindAllStringSubmatch(read(t, file), -1) {
			for _, m := range flags.FindAllStringSubmatch(call[2], -1) {
				n++
				if !strings.Contains(defined[call[1]], `"`+m[1]+`", `) {
					t.Errorf("%s: %s has no flag -%s", file, call[1], m[1])
				}
			}
		}
		if n < least {
			t.Errorf("%s: %d flags found, want at least %d", file, n, least)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
	return required(c)
}

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
