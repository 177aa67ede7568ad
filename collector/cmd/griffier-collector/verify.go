package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"griffier/collector/config"
	"griffier/collector/daemon"
)

// verifyRetention says what this host keeps, and is an error if it keeps anything
// longer than it may.
func verifyRetention(ctx context.Context, c config.Config, asJSON bool, stdout io.Writer) error {
	kept, err := daemon.VerifyRetention(ctx, c, time.Now())
	if err != nil {
		return err
	}
	return showKept(kept, asJSON, stdout)
}

func showKept(kept []daemon.Kept, asJSON bool, stdout io.Writer) error {
	var overdue uint64
	for _, k := range kept {
		overdue += k.Overdue
	}
	verdict := func(overdue uint64) string {
		if overdue > 0 {
			return "FAIL"
		}
		return "PASS"
	}
	if asJSON {
		if kept == nil {
			kept = []daemon.Kept{}
		}
		out := struct {
			Verdict string        `json:"verdict"`
			Kept    []daemon.Kept `json:"kept"`
		}{verdict(overdue), kept}
		if err := json.NewEncoder(stdout).Encode(out); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "PLACE\tCLASS\tROWS\tEXPIRED\tOVERDUE\tOLDEST\tVERDICT")
		for _, k := range kept {
			fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", k.Place, k.Class, k.Rows, k.Expired, k.Overdue, k.Oldest.Format(time.RFC3339), verdict(k.Overdue))
		}
		if len(kept) == 0 {
			fmt.Fprintln(w, "spool and quarantine\t-\t0\t0\t0\t-\tPASS")
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if overdue > 0 {
		return fmt.Errorf("verify retention: %d rows are kept more than 24 hours past their limit; see why the collector does not remove them: its log, and its metric of expired rows", overdue)
	}
	return nil
}
