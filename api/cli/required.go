package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// isRequired marks, at the end of a flag's help, that a command does nothing
// without it.
const isRequired = " (required)"

// required refuses a command line that lacks flags which the help calls required,
// and names all of them at once with what the help says of them.
func required(c *cobra.Command) error {
	var names, lines []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if help, ok := strings.CutSuffix(f.Usage, isRequired); ok && !f.Changed {
			names = append(names, "--"+f.Name)
			lines = append(lines, "\n  --"+f.Name+": "+help)
		}
	})
	switch n := len(names); n {
	case 0:
		return nil
	case 1:
		return usageError{fmt.Errorf("%s: %s is required%s", called(c), names[0], lines[0])}
	default:
		return usageError{fmt.Errorf("%s: %s and %s are required%s", called(c), strings.Join(names[:n-1], ", "), names[n-1], strings.Join(lines, ""))}
	}
}

// called is a command as people say it: noun and verb.
func called(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

// verbsOf lists the visible commands of a noun.
func verbsOf(c *cobra.Command) string {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return strings.Join(names, ", ")
}
