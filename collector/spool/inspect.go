package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"griffier/schema"
)

// Inspect reads the files of a spool without opening it, and calls visit with
// every row that is on disk, delivered or not. It changes nothing and may run
// beside the owner of the spool: segments that go meanwhile are passed over. A
// segment that cannot be read is an error, since what is in it is not known.
func Inspect(dir string, visit func(schema.Record)) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect spool: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segmentSuffix) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := inspectSegment(name, visit); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("inspect spool: %w", err)
		}
	}
	return nil
}

func inspectSegment(name string, visit func(schema.Record)) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b := make([]byte, segmentHeadBytes)
	n, err := io.ReadFull(f, b)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	id, g, err := parseSegmentHead(b[:n], name)
	if err != nil {
		return err
	}
	// The rest of a write that failed, or is under way, holds nothing that counts.
	_, err = g.scan(f, id, 0, func(h frameHead, body []byte) error {
		if h.typ != frameGroup {
			return nil
		}
		items, _, err := decodeGroup(body, h.records)
		if err != nil {
			return &CorruptError{File: name, Detail: err.Error()}
		}
		for _, it := range items {
			if it.record != nil {
				visit(it.record)
			}
		}
		return nil
	})
	return err
}
