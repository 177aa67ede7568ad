package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"griffier/api/reason"
)

const collectorCommand = "griffier-collector"

// doctor runs the collector's own doctor: what it looks at is on the router, and
// this program knows nothing of it.
func (a *app) doctor() *cobra.Command {
	c := &cobra.Command{Use: "doctor", Short: "Find what keeps this host's collector from collecting", Args: noArgs,
		Long: `Run griffier-collector -doctor, from the folder of this program or from PATH: kernel,
capabilities, interfaces, offloads, clock, disk, store, RADIUS and the running collector,
each with PASS, WARN or FAIL, a cause and a cure. Exit code 1 if a check failed.`}
	config := c.Flags().String("config", "", "the collector's configuration (default: its standard place)")
	asJSON := c.Flags().Bool("json", false, "print JSON; the same as -o json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if a.format == "csv" {
			return usageError{errors.New("doctor: want -o table or json")}
		}
		path, err := collectorPath()
		if err != nil {
			return err
		}
		args := []string{"-doctor"}
		if *config != "" {
			args = append(args, "-config", *config)
		}
		if *asJSON || a.format == "json" {
			args = append(args, "-json")
		}
		run := exec.CommandContext(c.Context(), path, args...)
		run.Stdout, run.Stderr = a.stdout, a.stderr
		err = run.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == int(reason.ExitFailed) {
			return failure{errors.New("doctor: something needs a cure"), int(reason.ExitFailed)}
		}
		if err != nil {
			return fmt.Errorf("doctor: %w", err)
		}
		return nil
	}
	return c
}

func collectorPath() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), collectorCommand)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath(collectorCommand)
	if err != nil {
		return "", errors.New("doctor: there is no griffier-collector on this host; run the doctor on the router")
	}
	return path, nil
}
