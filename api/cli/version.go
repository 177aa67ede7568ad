package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"griffier/api/build"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: noArgs, RunE: func(*cobra.Command, []string) error {
		_, err := fmt.Fprintln(a.stdout, "griffier", build.Version())
		return err
	}}
}
