package main

import (
	"context"
	"fmt"
	"io"

	"griffier/collector/config"
	"griffier/collector/daemon"
)

// requeue puts back what is in quarantine and says how much that was.
func requeue(ctx context.Context, c config.Config, stdout io.Writer) error {
	done, err := daemon.Requeue(ctx, c)
	if err != nil {
		if done.Blocks > 0 {
			err = fmt.Errorf("%w (%d rows of %d blocks were put back before)", err, done.Rows, done.Blocks)
		}
		return err
	}
	if done.Blocks == 0 {
		_, err = fmt.Fprintln(stdout, "nothing is in quarantine")
		return err
	}
	_, err = fmt.Fprintf(stdout, "%d rows of %d blocks are back in the spool; the collector's next start delivers them\n", done.Rows, done.Blocks)
	return err
}
