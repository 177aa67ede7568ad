package replay

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"griffier/schema"
)

// JSON writes records as JSON, one object a line: "kind" and the columns. Usage
// comes as it is read. A session, assignment or coverage slice comes once, at the
// end, in the version that counts: slices stand in the order in which they
// appeared.
type JSON struct {
	w      *bufio.Writer
	slices []schema.Record
	index  map[slice]int // into slices
}

// slice is what all versions of a slice have in common.
type slice struct {
	kind      schema.Kind
	id        schema.ID
	startedAt int64 // ms since the epoch
}

// sliceOf tells which slice a record is a version of; usage is of none.
func sliceOf(r schema.Record) (s slice, version uint64) {
	s.kind = r.Kind()
	switch r := r.(type) {
	case *schema.Session:
		s.id, s.startedAt, version = r.SessionID, r.StartedAt.UnixMilli(), r.Version
	case *schema.Assignment:
		s.id, s.startedAt, version = r.AssignmentID, r.StartedAt.UnixMilli(), r.Version
	case *schema.Coverage:
		s.id, s.startedAt, version = r.CoverageID, r.StartedAt.UnixMilli(), r.Version
	}
	return s, version
}

// NewJSON returns a JSON that writes to w. Flush it at the end.
func NewJSON(w io.Writer) *JSON {
	return &JSON{w: bufio.NewWriterSize(w, 1<<16), index: map[slice]int{}}
}

// Write takes records in; the JSON keeps those that may yet get another version.
func (j *JSON) Write(records []schema.Record) error {
	for _, r := range records {
		if r.Kind() == schema.KindUsage {
			if err := j.print(r); err != nil {
				return err
			}
			continue
		}
		s, version := sliceOf(r)
		i, known := j.index[s]
		if !known {
			j.index[s] = len(j.slices)
			j.slices = append(j.slices, r)
			continue
		}
		if _, before := sliceOf(j.slices[i]); version >= before {
			j.slices[i] = r
		}
	}
	return nil
}

func (j *JSON) print(r schema.Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("replay: record as JSON: %w", err)
	}
	fmt.Fprintf(j.w, `{"kind":%q,`, r.Kind())
	j.w.Write(text[1:])
	if err := j.w.WriteByte('\n'); err != nil { // keeps any earlier error
		return fmt.Errorf("replay: write: %w", err)
	}
	return nil
}

// Flush writes the slices and what is buffered. Write nothing after it.
func (j *JSON) Flush() error {
	for _, r := range j.slices {
		if err := j.print(r); err != nil {
			return err
		}
	}
	if err := j.w.Flush(); err != nil {
		return fmt.Errorf("replay: write: %w", err)
	}
	return nil
}
