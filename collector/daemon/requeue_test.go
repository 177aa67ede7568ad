package daemon

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/collector/config"
	"griffier/collector/sink"
	"griffier/collector/spool"
	"griffier/schema"
)

// What is in quarantine goes back into the spool, once, and only while no
// collector has that; what the collector remembers is not touched by it.
func TestRequeue(t *testing.T) {
	dir := t.TempDir()
	c := config.Default()
	c.Spool.Dir = filepath.Join(dir, "spool")
	l, s := testLoop(t, c.Spool.Dir, int64(c.Spool.MaxBytes))
	if err := l.commit(t.Context(), l.apply(observation(1))); err != nil {
		t.Fatal(err)
	}
	before := stored(t, s)
	bucket := time.Now().UTC().Add(-time.Hour).Truncate(schema.BucketLength)
	if err := os.Mkdir(quarantineDir(c), 0o700); err != nil {
		t.Fatal(err)
	}
	for file, rows := range map[string]int{"later": 1, "earlier": 2} {
		text := fmt.Sprintf("{\"token\":%q,\"reason\":\"refused_by_store\",\"at\":\"2026-01-0%dT00:00:00Z\",\"rows\":%d}\n", file, 3-rows, rows)
		for n := range rows {
			encoded, err := spool.EncodeRecord(&schema.Usage{
				AccessRef: schema.AccessRef{1}, CounterID: schema.ID{1}, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket,
				Direction: schema.Up, IPVersion: 4, Bytes: uint64(100*rows + n), Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CollectorID: "test",
			})
			if err != nil {
				t.Fatal(err)
			}
			text += fmt.Sprintf("{\"kind\":\"usage\",\"encoded\":%q}\n", base64.StdEncoding.EncodeToString(encoded))
		}
		if err := os.WriteFile(filepath.Join(quarantineDir(c), file+"-refused_by_store.jsonl"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := Requeue(t.Context(), c); !errors.Is(err, spool.ErrLocked) || done != (sink.Requeued{}) {
		t.Errorf("while a collector runs: %+v, %v", done, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(c.Spool.Dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if _, err := Requeue(t.Context(), c); err == nil || !strings.Contains(err.Error(), "runuser") {
			t.Errorf("on another user's spool: %v", err)
		}
		if err := os.Chown(c.Spool.Dir, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if done, err := Requeue(t.Context(), c); err != nil || done != (sink.Requeued{Blocks: 2, Rows: 3}) {
		t.Errorf("put back %+v, %v", done, err)
	}
	if done, err := Requeue(t.Context(), c); err != nil || done != (sink.Requeued{}) {
		t.Errorf("the second time it put back %+v, %v", done, err)
	}
	again, s := testLoop(t, c.Spool.Dir, int64(c.Spool.MaxBytes))
	if sessions, _ := again.binding.Live(); sessions != 1 || len(before) == 0 {
		t.Errorf("%d sessions afterwards, want the one", sessions)
	}
	var bytes []uint64
	for _, r := range stored(t, s) {
		if u, ok := r.(*schema.Usage); ok {
			bytes = append(bytes, u.Bytes)
		}
	}
	if fmt.Sprint(bytes) != "[200 201 100]" {
		t.Errorf("the spool has usage of %v bytes, want 200, 201 and 100, the earlier block first", bytes)
	}
}

// A file that cannot be read stops it, and stays.
func TestRequeueOfADamagedFile(t *testing.T) {
	c := config.Default()
	c.Spool.Dir = filepath.Join(t.TempDir(), "spool")
	if err := os.MkdirAll(quarantineDir(c), 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(quarantineDir(c), "x-invalid_record.jsonl")
	if err := os.WriteFile(path, []byte("{\"rows\":1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := Requeue(t.Context(), c); err == nil || done.Rows != 0 {
		t.Errorf("put back %+v, %v", done, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}
