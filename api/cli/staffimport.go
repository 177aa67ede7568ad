package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

// Limits of a file of staff's lines.
const (
	maxStaffBytes = 900 << 10 // a request has 1 MiB
	maxStaffRows  = 5000
)

func (a *app) staffImport() *cobra.Command {
	c := &cobra.Command{Use: "import FILE", Short: "Replace the whole list by one from a file, after you saw what that changes", Args: oneArg("FILE"),
		Long: `Replace the whole list of employees' lines by one from a CSV file with the columns
account and line, such as the personnel department exports. An account is the employee's
sub at the identity provider, or their pseudonym in the ledger. Without --plan nothing is
changed: you see how many lines come, go and stay for each employee, and the plan to give
back. Every line must be in the register. The ledger counts what changed, and says neither
who nor which line. Lines that are not in the file are taken off the list.`,
		Example: `  griffier staff import staff.csv
  griffier staff import staff.csv --plan 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

  # staff.csv
  account,line
  sofie,L-1001`}
	plan := c.Flags().String("plan", "", "the plan that was shown: make it so")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		lines, err := a.readStaff(args[0])
		if err != nil {
			return err
		}
		m, err := a.over().ImportStaffLines(c.Context(), &griffierv1.ImportStaffLinesRequest{RequestId: requestID(*request), Lines: lines, Plan: *plan, ValidateOnly: *plan == ""})
		if err != nil {
			return err
		}
		if *plan == "" {
			fmt.Fprintln(a.stderr, "nothing was changed; to do it: --plan "+m.GetPlan())
		}
		t := table{header: []string{"staff", "added", "removed", "kept"}}
		for _, x := range m.GetChanges() {
			t.add(x.GetStaff(), strconv.FormatUint(x.GetAdded(), 10), strconv.FormatUint(x.GetRemoved(), 10), strconv.FormatUint(x.GetKept(), 10))
		}
		return a.print(m, t)
	}
	return c
}

// readStaff reads a file, or stdin for "-".
func (a *app) readStaff(path string) ([]*griffierv1.StaffAccountLine, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	lines, err := parseStaff(in)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return lines, nil
}

// parseStaff reads a list: a header "account,line", then a row for each line, in CSV (RFC
// 4180). What a row may say is the server's to judge. Errors name the line of the file,
// and never repeat it.
func parseStaff(in io.Reader) ([]*griffierv1.StaffAccountLine, error) {
	limited := &io.LimitedReader{R: in, N: maxStaffBytes + 1}
	r := csv.NewReader(limited)
	r.FieldsPerRecord, r.ReuseRecord = 2, true
	var out []*griffierv1.StaffAccountLine
	for first := true; ; first = false {
		row, err := r.Read()
		if limited.N == 0 {
			return nil, fmt.Errorf("longer than %d bytes", maxStaffBytes)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			return nil, fmt.Errorf("line %d: %w", broken.Line, broken.Err)
		}
		if err != nil {
			return nil, err
		}
		if first {
			if row[0] != "account" || row[1] != "line" {
				return nil, errors.New(`line 1: want the header "account,line"`)
			}
			continue
		}
		line, _ := r.FieldPos(0)
		if row[0] == "" || row[1] == "" {
			return nil, fmt.Errorf("line %d: a field is empty", line)
		}
		if len(out) == maxStaffRows {
			return nil, fmt.Errorf("line %d: more than %d rows", line, maxStaffRows)
		}
		out = append(out, &griffierv1.StaffAccountLine{Account: row[0], LineId: row[1]})
	}
	if len(out) == 0 {
		return nil, errors.New("no line is in it")
	}
	return out, nil
}
