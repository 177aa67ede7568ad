package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"griffier/collector/daemon"
	"griffier/collector/doctor"
)

// errUnwell makes the exit code of a doctor that found something 1; the report
// has said what.
var errUnwell = errors.New("at least one check failed")

// examine runs the doctor.
func examine(ctx context.Context, path string, asJSON bool, stdout io.Writer) error {
	report := doctor.Run(ctx, path)
	write := report.WriteText
	if asJSON {
		write = report.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if !report.Healthy {
		return errUnwell
	}
	return nil
}

// version prints what this program was built from.
func version(stdout io.Writer) error {
	b := daemon.ReadBuild()
	_, err := fmt.Fprintf(stdout, "griffier-collector %s, revision %s, %s\n", b.Version, b.Revision, b.Go)
	return err
}
