// Package cli is the griffier command: NOUN VERB, data on stdout, the rest on
// stderr. It decides nothing; every figure and limit that it shows was computed
// by the server.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/status"

	"griffier/api/reason"
)

// app is one invocation.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	home           string // folder with client.yaml
	format         string // table, json or csv
	server         *connection
}

// Run executes a command line and returns the exit code: 0 ok, 1 failed, 2
// usage, 3 try again, 4 denied, 5 not covered or expired.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	a.server = &connection{dial: a.dial}
	defer a.server.close()
	root := a.root()
	root.SetArgs(doubled(root, args))
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		err = usageError{err}
	}
	if err == nil {
		return int(reason.ExitOK)
	}
	return a.report(err)
}

// usageError is a mistake in the command line.
type usageError struct{ error }

// failure is an error whose exit code is known without a reason.
type failure struct {
	error
	code int
}

func (a *app) report(err error) int {
	if refused := reason.From(err); refused != nil {
		fmt.Fprintf(a.stderr, "griffier: %s: %s\n", refused.Reason, refused.Reason.Entry().Meaning)
		if refused.Detail != "" {
			fmt.Fprintf(a.stderr, "  %s\n", printable(refused.Detail))
		}
		for _, v := range refused.Violations {
			fmt.Fprintf(a.stderr, "  %s: %s\n", printable(v.Field), printable(v.Description))
		}
		fmt.Fprintf(a.stderr, "hint: %s\n", refused.Reason.Entry().Cure)
		return int(reason.ExitOf(refused))
	}
	var usage usageError
	var failed failure
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(a.stderr, "griffier: %v\n", err)
		return int(reason.ExitUsage)
	case errors.As(err, &failed):
		fmt.Fprintf(a.stderr, "griffier: %v\n", err)
		return failed.code
	}
	exit := reason.ExitOf(err)
	if st, ok := status.FromError(err); ok { // the transport's own: griffierd was not reached
		fmt.Fprintf(a.stderr, "griffier: %s: %s\n", st.Code(), printable(st.Message()))
		if exit == reason.ExitRetry {
			fmt.Fprintln(a.stderr, "hint: check that griffierd runs and that client.yaml names it, then try again")
		}
		return int(exit)
	}
	fmt.Fprintf(a.stderr, "griffier: %v\n", err)
	return int(exit)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "griffier",
		Short: "Look up usage, run authorised disclosures and check the ledger",
		Long: `Griffier keeps the traffic data that an ISP may keep, for as long as it may keep it,
and hands out exactly what an authorised person may see, with proof.`,
		Example: `  griffier login
  griffier usage totals --line L-1001 --from 2026-11-01T00:00:00+01:00 --to 2026-12-01T00:00:00+01:00
  griffier ledger verify --dir ledger --public-key FILE --witness ledger-witness/head
  griffier verify TASK.tar.age --trust trust.yaml --identity key.txt`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	home, err := os.UserConfigDir()
	if err != nil {
		home = "."
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.home, "home", filepath.Join(home, "griffier"), "folder with client.yaml and the token")
	flags.StringVarP(&a.format, "output", "o", "table", "output: table, json or csv")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		switch a.format {
		case "table", "json", "csv":
			return required(c)
		}
		return usageError{fmt.Errorf("-o %q: want table, json or csv", a.format)}
	}
	root.AddCommand(a.login(), a.line(), a.usage(), a.support(), a.warrant(), a.documents(), a.readTime(), a.authority(), a.legalBasis(), a.task(), a.disclosure(), a.hold(), a.verify(), a.register(), a.collector(), a.ledger(), a.ledgerSink(), a.witness(), a.retention(), a.statistics(), a.oversight(), a.nonExecution(), a.cost(), a.secrecy(), a.staff(), a.subject(), a.backup(), a.demo(), a.doctor(), a.version())
	return root
}

// noun is a command that only groups its verbs.
func noun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, RunE: func(c *cobra.Command, _ []string) error {
		return usageError{fmt.Errorf("%s: say what to do: %s", use, verbsOf(c))}
	}}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError{fmt.Errorf("%s: unknown command %q, want one of %s", use, args[0], verbsOf(c))}
		}
		return nil
	}
	c.AddCommand(verbs...)
	return c
}

// noArgs refuses positional arguments as a usage error.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s: unknown argument %q", called(c), args[0])}
	}
	return nil
}

// oneArg wants exactly one positional argument.
func oneArg(name string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s: want one %s, have %d arguments", called(c), name, len(args))}
		}
		return nil
	}
}
