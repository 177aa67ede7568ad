package sink

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"griffier/collector/spool"
	"griffier/schema"
)

// Reasons of quarantine, as the metric's label has them.
const (
	quarantineInvalid = "invalid_record"   // schema.Validate refuses the row
	quarantineRefused = "refused_by_store" // the store refuses the block it is in
)

var quarantineReasons = []string{quarantineInvalid, quarantineRefused}

const quarantineSuffix = ".jsonl"

// A quarantine file holds the rows of one block that the store cannot take, as
// JSON lines: a header, then the rows. Its name is the block's token and the
// reason, so that a block quarantined twice, by a process that was killed in
// between, makes one file.
type quarantineHeader struct {
	Token  string    `json:"token"`
	Reason string    `json:"reason"`
	Code   int32     `json:"clickhouse_code,omitempty"`
	At     time.Time `json:"at"`
	Rows   int       `json:"rows"`
}

// quarantineRow is one row: Encoded is what counts, Record is for reading and
// absent if the row has no JSON form (a year of five digits).
type quarantineRow struct {
	Kind    schema.Kind     `json:"kind"`
	Record  json.RawMessage `json:"record,omitempty"`
	Encoded []byte          `json:"encoded"`
}

// writeQuarantine makes the file durable before it returns.
func writeQuarantine(dir string, h quarantineHeader, records []schema.Record) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	h.Rows = len(records)
	path := filepath.Join(dir, h.Token+"-"+h.Reason+quarantineSuffix)
	f, err := os.OpenFile(path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	out := json.NewEncoder(w)
	if err := out.Encode(h); err != nil {
		return err
	}
	for _, r := range records {
		encoded, err := spool.EncodeRecord(r)
		if err != nil {
			return err
		}
		row := quarantineRow{Kind: r.Kind(), Encoded: encoded}
		if text, err := json.Marshal(r); err == nil {
			row.Record = text
		}
		if err := out.Encode(row); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir)) // the folder may be new
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// maxQuarantineLine bounds one line: a row is at most some 25 KiB encoded, and
// JSON and base64 double that.
const maxQuarantineLine = 1 << 20

func readQuarantine(path string) (h quarantineHeader, records []schema.Record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxQuarantineLine)
	if !lines.Scan() {
		return h, nil, fmt.Errorf("%s: no header", path)
	}
	// Errors of the decoders quote what they read, so they are not passed on.
	if json.Unmarshal(lines.Bytes(), &h) != nil {
		return h, nil, fmt.Errorf("%s:1: header is not JSON", path)
	}
	for n := 2; lines.Scan(); n++ {
		var row quarantineRow
		if json.Unmarshal(lines.Bytes(), &row) != nil {
			return h, nil, fmt.Errorf("%s:%d: row is not JSON", path, n)
		}
		r, err := spool.DecodeRecord(row.Encoded)
		if err != nil {
			return h, nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		records = append(records, r)
	}
	if err := lines.Err(); err != nil {
		return h, nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(records) != h.Rows {
		return h, nil, fmt.Errorf("%s: %d rows, header says %d", path, len(records), h.Rows)
	}
	return h, records, nil
}

// Requeue puts the rows of one quarantine file back into the spool and removes
// the file: the cure once the cause is mended, say by a newer release. A crash
// in between leaves both; the store then recognises the rows by their keys.
func Requeue(ctx context.Context, path string, s *spool.Spool) (rows int, err error) {
	_, records, err := readQuarantine(path)
	if err != nil {
		return 0, fmt.Errorf("requeue: %w", err)
	}
	if err := s.Append(ctx, spool.Batch{Records: records}); err != nil {
		return 0, fmt.Errorf("requeue: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return len(records), fmt.Errorf("requeue: %w", err)
	}
	return len(records), nil
}

// ExpireQuarantine removes from the quarantine folder every row that has
// outlived its class: one whose interval ended before its class's limit. It
// returns how many went, which the caller declares as it does a [spool.Loss].
func ExpireQuarantine(dir string, limits map[schema.Class]time.Time) (gone int, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("expire quarantine: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), quarantineSuffix) {
			continue
		}
		n, err := expireFile(dir, e.Name(), limits)
		gone += n
		if err != nil {
			return gone, fmt.Errorf("expire quarantine: %w", err)
		}
	}
	return gone, nil
}

func expireFile(dir, name string, limits map[schema.Class]time.Time) (gone int, err error) {
	path := filepath.Join(dir, name)
	h, records, err := readQuarantine(path)
	if err != nil {
		return 0, err
	}
	var kept []schema.Record
	for _, r := range records {
		if limit, ok := limits[r.Class()]; !ok || !spool.EndedAt(r).Before(limit) {
			kept = append(kept, r)
		}
	}
	gone = len(records) - len(kept)
	switch {
	case gone == 0:
		return 0, nil
	case len(kept) == 0:
		return gone, os.Remove(path)
	}
	return gone, writeQuarantine(dir, h, kept)
}

// Requeued is what [RequeueAll] put back.
type Requeued struct {
	Blocks, Rows int
}

// RequeueAll puts back all that is in the quarantine folder, the oldest first. It
// stops at the first file that cannot be, and then says what was put back before.
// Without a folder there is nothing.
func RequeueAll(ctx context.Context, dir string, s *spool.Spool) (done Requeued, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return done, fmt.Errorf("requeue: %w", err)
	}
	type file struct {
		path string
		at   time.Time
	}
	var files []file
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), quarantineSuffix) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		h, _, err := readQuarantine(path)
		if err != nil {
			return done, fmt.Errorf("requeue: %w", err)
		}
		files = append(files, file{path, h.At})
	}
	slices.SortStableFunc(files, func(a, b file) int { return a.at.Compare(b.at) })
	for _, f := range files {
		rows, err := Requeue(ctx, f.path, s)
		if err != nil {
			return done, err
		}
		done.Blocks++
		done.Rows += rows
	}
	return done, nil
}
