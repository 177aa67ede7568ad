package replay

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"griffier/schema"
)

// JSON writes records as JSON, one object a line: "kind" and the columns.
type JSON struct{ w *bufio.Writer }

// NewJSON returns a JSON that writes to w. Flush it at the end.
func NewJSON(w io.Writer) *JSON { return &JSON{bufio.NewWriterSize(w, 1<<16)} }

// Write writes records.
func (j *JSON) Write(records []schema.Record) error {
	for _, r := range records {
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("replay: record as JSON: %w", err)
		}
		fmt.Fprintf(j.w, `{"kind":%q,`, r.Kind())
		j.w.Write(text[1:])
		if err := j.w.WriteByte('\n'); err != nil { // keeps any earlier error
			return fmt.Errorf("replay: write: %w", err)
		}
	}
	return nil
}

// Flush writes what is buffered.
func (j *JSON) Flush() error { return j.w.Flush() }
