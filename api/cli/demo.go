package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"griffier/api/demo"
)

func (a *app) demo() *cobra.Command {
	c := &cobra.Command{Use: "demo", Short: "Show the whole product on this machine", Args: noArgs,
		Long: `Start griffierd, make an access network in network namespaces with a collector on its
router, let subscribers appear and move traffic, and tell step by step what support,
a legal officer and the overseer do and cannot do. Then everything keeps running until
Ctrl-C. Without root the network is replayed from bundled captures.`}
	once := c.Flags().Bool("once", false, "tell the story, check it, and stop; fails if anything differs from what it should be")
	dir := c.Flags().String("dir", "", "folder to keep everything in (default: a new temporary one)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if a.format == "csv" {
			return usageError{fmt.Errorf("demo: want -o table or json")}
		}
		return demo.Run(c.Context(), demo.Options{Once: *once, JSON: a.format == "json", Dir: *dir, Stdout: a.stdout, Stderr: a.stderr})
	}
	return c
}
