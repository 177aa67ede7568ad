package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// table is a result as people and spreadsheets read it.
type table struct {
	header []string
	rows   [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print writes a response to stdout in the chosen format. JSON is the message
// itself, one document with the field names of the .proto file; it is stable:
// fields are added and never renamed.
func (a *app) print(m proto.Message, t table) error {
	switch a.format {
	case "json":
		text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
		if err != nil {
			return err
		}
		var compact bytes.Buffer // protojson varies its white space on purpose; scripts compare
		if err := json.Compact(&compact, text); err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.stdout, compact.String())
		return err
	case "csv":
		w := csv.NewWriter(a.stdout)
		w.Write(t.header)
		w.WriteAll(t.rows)
		return w.Error()
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	// A word a column, and none empty: columns can be told apart by eye and by awk.
	fmt.Fprintln(w, strings.ReplaceAll(strings.ToUpper(strings.Join(t.header, "\t")), " ", "_"))
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = orDash(printable(cell))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if len(t.rows) == 0 {
		fmt.Fprintln(a.stderr, "nothing found")
	}
	return w.Flush()
}

// printable keeps text that somebody else wrote from steering a terminal, turning what
// stands beside it, or making cells and rows of its own in a table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, s)
}

// at prints an instant in UTC, to the second.
func at(ts *timestamppb.Timestamp) string {
	if ts == nil {
		return "-"
	}
	return ts.AsTime().UTC().Format(time.RFC3339)
}

// parseInstant reads RFC 3339 with an explicit offset.
func parseInstant(flag, s string) (*timestamppb.Timestamp, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return nil, usageError{fmt.Errorf("--%s %q: want an instant with an offset, such as 2026-11-20T00:00:00+01:00", flag, s)}
	}
	return timestamppb.New(t), nil
}
