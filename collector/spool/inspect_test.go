package spool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/schema"
)

// TestInspect sees what is on disk beside a running spool: delivered or not, and
// no longer what was expunged.
func TestInspect(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	row := func(hours int) schema.Record {
		start := at.Add(time.Duration(hours) * time.Hour)
		return &schema.Usage{AccessRef: schema.AccessRef{1}, CounterID: schema.ID{1}, BucketStartedAt: start, EndedAt: start.Add(schema.BucketLength),
			SampledAt: start, Direction: schema.Up, IPVersion: 4, Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CollectorID: "c"}
	}
	seen := func() (rows int, oldest time.Time) {
		t.Helper()
		err := Inspect(dir, func(r schema.Record) {
			rows++
			if end := EndedAt(r); oldest.IsZero() || end.Before(oldest) {
				oldest = end
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return rows, oldest
	}
	if err := s.Append(t.Context(), Batch{Records: []schema.Record{row(2), row(0), row(1)}}); err != nil {
		t.Fatal(err)
	}
	b, err := s.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ack(b.Token); err != nil {
		t.Fatal(err)
	}
	if rows, oldest := seen(); rows != 3 || !oldest.Equal(at.Add(schema.BucketLength)) {
		t.Errorf("%d rows, the oldest of %v; want all three, delivered though they are", rows, oldest)
	}
	if err := s.Append(t.Context(), Batch{Records: []schema.Record{row(3), row(4)}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(t.Context(), []byte("state")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DropBefore(map[schema.Class]time.Time{schema.ClassUsage5m: at.Add(4 * time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if rows, oldest := seen(); rows != 1 || !oldest.Equal(at.Add(4*time.Hour+schema.BucketLength)) {
		t.Errorf("%d rows, the oldest of %v; want the one that has not expired", rows, oldest)
	}
	if err := Inspect(filepath.Join(dir, "absent"), func(schema.Record) { t.Error("a row of nothing") }); err != nil {
		t.Errorf("no folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(99)), []byte("not a segment"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Inspect(dir, func(schema.Record) {}); err == nil || !strings.Contains(err.Error(), segmentName(99)) {
		t.Errorf("a file that is no segment: %v, want an error that names it", err)
	}
}
