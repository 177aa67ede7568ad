package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"griffier/schema"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(appendUntilKilled(dir))
	}
	goleak.VerifyTestMain(m)
}

// row makes a distinguishable record.
func row(n uint64) schema.Record {
	return &schema.Usage{
		Bytes: n, Direction: schema.Down, IPVersion: 6, CollectorID: "edge1",
		BucketStartedAt: time.Unix(int64(n)*300, 0).UTC(), EndedAt: time.Unix(int64(n)*300+300, 0).UTC(),
		SampledAt: time.Unix(int64(n)*300+10, 0).UTC(),
	}
}

func rows(from, to uint64) (out []schema.Record) {
	for n := from; n < to; n++ {
		out = append(out, row(n))
	}
	return out
}

func numbers(records []schema.Record) (out []uint64) {
	for _, r := range records {
		out = append(out, r.(*schema.Usage).Bytes)
	}
	return out
}

func mustOpen(t testing.TB, cfg Config) *Spool {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustAppend(t testing.TB, s *Spool, b Batch) {
	t.Helper()
	if err := s.Append(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func mustNext(t testing.TB, s *Spool) Block {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustAck(t testing.TB, s *Spool, b Block) {
	t.Helper()
	if err := s.Ack(b.Token); err != nil {
		t.Fatal(err)
	}
}

func wantIdle(t testing.TB, s *Spool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if b, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Next: %d rows, %v, want nothing", len(b.Records), err)
	}
}

func TestAppendRecoverNextAck(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), BlockRows: 4}
	s := mustOpen(t, cfg)
	mustAppend(t, s, Batch{State: []byte("a"), Records: rows(0, 3)})
	mustAppend(t, s, Batch{State: []byte("b")})
	mustAppend(t, s, Batch{Records: rows(3, 6)})

	b := mustNext(t, s)
	if got := fmt.Sprint(numbers(b.Records)); got != "[0 1 2 3]" || !b.More {
		t.Fatalf("first block %v more %v, want [0 1 2 3] and more", got, b.More)
	}
	if again := mustNext(t, s); !reflect.DeepEqual(again, b) {
		t.Fatalf("Next again: %+v, want the same block", again)
	}
	if err := s.Ack("other"); !errors.Is(err, ErrNotOutstanding) {
		t.Fatalf("Ack of another token: %v, want ErrNotOutstanding", err)
	}
	s.Close()

	// More rows between delivery and crash do not change the block.
	s = mustOpen(t, cfg)
	mustAppend(t, s, Batch{Records: rows(6, 8)})
	snapshot, deltas, err := s.Recover()
	if err != nil || snapshot != nil || fmt.Sprintf("%s", deltas) != "[a b]" {
		t.Fatalf("Recover: %q, %q, %v, want no snapshot, [a b]", snapshot, deltas, err)
	}
	if again := mustNext(t, s); again.Token != b.Token || !reflect.DeepEqual(again.Records, b.Records) {
		t.Fatalf("block after reopen: %+v, want %+v", again, b)
	}
	mustAck(t, s, b)
	if err := s.Ack(b.Token); !errors.Is(err, ErrNotOutstanding) {
		t.Fatalf("second Ack: %v, want ErrNotOutstanding", err)
	}
	b = mustNext(t, s)
	if got := fmt.Sprint(numbers(b.Records)); got != "[4 5 6 7]" || b.More {
		t.Fatalf("second block %v more %v, want [4 5 6 7] and no more", got, b.More)
	}
	mustAck(t, s, b)
	wantIdle(t, s)
	if st := s.Stats(); st.PendingRows != 0 || st.PendingBytes != 0 || !st.OldestPendingAt.IsZero() {
		t.Errorf("Stats after all is acknowledged: %+v", st)
	}
}

func TestBlockBytes(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir(), BlockBytes: 1})
	mustAppend(t, s, Batch{Records: rows(0, 2)})
	for n := range uint64(2) {
		b := mustNext(t, s)
		if got := numbers(b.Records); len(got) != 1 || got[0] != n {
			t.Fatalf("block %v, want [%d]: a row larger than the limit is a block by itself", got, n)
		}
		mustAck(t, s, b)
	}
}

func TestNextWaitsForAppend(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	var wg sync.WaitGroup
	wg.Go(func() {
		if b := mustNext(t, s); len(b.Records) != 1 {
			t.Errorf("block of %d rows, want 1", len(b.Records))
		}
	})
	time.Sleep(10 * time.Millisecond)
	mustAppend(t, s, Batch{State: []byte("only state")})
	mustAppend(t, s, Batch{Records: rows(0, 1)})
	wg.Wait()
}

// TestSegmentsGo checks the rule for deletion: acknowledged, and a later
// snapshot.
func TestSegmentsGo(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), SegmentBytes: 1024}
	s := mustOpen(t, cfg)
	for n := range uint64(60) {
		mustAppend(t, s, Batch{State: []byte{byte(n)}, Records: rows(n, n+1)})
	}
	files := func() int {
		names, err := filepath.Glob(filepath.Join(cfg.Dir, "*"+segmentSuffix))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := files()
	if before < 4 {
		t.Fatalf("%d segments, want rotation", before)
	}
	mustAck(t, s, mustNext(t, s))
	if got := files(); got != before {
		t.Errorf("%d segments after Ack without a snapshot, want %d", got, before)
	}
	if err := s.Checkpoint(t.Context(), []byte("all")); err != nil {
		t.Fatal(err)
	}
	if got := files(); got != 1 {
		t.Errorf("%d segments after Checkpoint, want 1", got)
	}
	mustAppend(t, s, Batch{State: []byte("more"), Records: rows(60, 61)})
	if err := s.Checkpoint(t.Context(), []byte("all and more")); err != nil {
		t.Fatal(err)
	}
	if got := files(); got != 2 {
		t.Errorf("%d segments with an unacknowledged row, want 2", got)
	}
	s.Close()
	s = mustOpen(t, cfg)
	if snapshot, deltas, err := s.Recover(); string(snapshot) != "all and more" || len(deltas) != 0 || err != nil {
		t.Errorf("Recover: %q, %q, %v", snapshot, deltas, err)
	}
	if got := numbers(mustNext(t, s).Records); len(got) != 1 || got[0] != 60 {
		t.Errorf("rows left: %v, want [60]", got)
	}
}

func TestFull(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir(), MaxBytes: 8192, SegmentBytes: 1024})
	var appended uint64
	for ; appended < 1000; appended++ {
		if err := s.Append(t.Context(), Batch{State: make([]byte, 50), Records: rows(appended, appended+1)}); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
	}
	if st := s.Stats(); st.Bytes > 8192 || appended < 10 || appended == 1000 {
		t.Fatalf("%d batches, %d bytes, want some batches within 8192 bytes", appended, st.Bytes)
	}
	if err := s.Checkpoint(t.Context(), make([]byte, 500)); !errors.Is(err, ErrFull) {
		t.Errorf("Checkpoint that frees nothing: %v, want ErrFull", err)
	}
	b := mustNext(t, s)
	if got := uint64(len(b.Records)); got != appended {
		t.Fatalf("%d rows, want the %d accepted", got, appended)
	}
	mustAck(t, s, b)
	if err := s.Append(t.Context(), Batch{Records: rows(0, 40)}); !errors.Is(err, ErrFull) {
		t.Errorf("Append before Checkpoint: %v, want ErrFull", err)
	}
	if err := s.Checkpoint(t.Context(), make([]byte, 500)); err != nil {
		t.Fatalf("Checkpoint that frees all: %v", err)
	}
	mustAppend(t, s, Batch{Records: rows(appended, appended+1)})
}

func TestRefused(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		batch Batch
		want  error
	}{
		"too large":     {t.Context(), Batch{State: make([]byte, maxGroupBytes+1)}, ErrTooLarge},
		"nil record":    {t.Context(), Batch{Records: []schema.Record{nil}}, ErrInvalid},
		"ended context": {ended, Batch{}, context.Canceled},
	} {
		if err := s.Append(c.ctx, c.batch); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	long := strings.Repeat("secret", 1000)
	if err := s.Append(t.Context(), Batch{Records: []schema.Record{&schema.Session{NASPort: long}}}); !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "secret") {
		t.Errorf("long text: %v, want ErrInvalid without the text", err)
	}
	s.Close()
	if err := s.Append(t.Context(), Batch{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Append after Close: %v, want ErrClosed", err)
	}
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next after Close: %v, want ErrClosed", err)
	}
	if err := s.Ack("t"); !errors.Is(err, ErrClosed) {
		t.Errorf("Ack after Close: %v, want ErrClosed", err)
	}
	for name, cfg := range map[string]Config{"no folder": {}, "tiny": {Dir: t.TempDir(), MaxBytes: 1}} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("Open with %s: no error", name)
		}
	}
}

func TestLockAndModes(t *testing.T) {
	cfg := Config{Dir: filepath.Join(t.TempDir(), "spool")}
	s := mustOpen(t, cfg)
	mustAppend(t, s, Batch{Records: rows(0, 1)})
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	check := func(path string, want os.FileMode) {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
		}
	}
	check(cfg.Dir, 0o700)
	entries, err := os.ReadDir(cfg.Dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d files, %v, want lock, cursor and a segment", len(entries), err)
	}
	for _, e := range entries {
		check(filepath.Join(cfg.Dir, e.Name()), 0o600)
	}
}

// TestCloseWhileBusy closes under appenders and a waiting reader: each gets an
// answer, and what was acknowledged is there.
func TestCloseWhileBusy(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := mustOpen(t, cfg)
	var mu sync.Mutex
	acknowledged, delivered := map[uint64]bool{}, map[uint64]bool{}
	note := func(set map[uint64]bool, ns ...uint64) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range ns {
			set[n] = true
		}
	}
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			for n := w; ; n += 8 {
				if err := s.Append(t.Context(), Batch{Records: rows(n, n+1)}); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("Append: %v, want ErrClosed", err)
					}
					return
				}
				note(acknowledged, n)
			}
		})
	}
	wg.Go(func() {
		for {
			b, err := s.Next(t.Context())
			if err == nil {
				err = s.Ack(b.Token)
			}
			if err != nil {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("reader: %v, want ErrClosed", err)
				}
				return
			}
			note(delivered, numbers(b.Records)...)
			time.Sleep(20 * time.Millisecond)
		}
	})
	time.Sleep(100 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	s = mustOpen(t, cfg)
	if s.Torn() != (Torn{}) {
		t.Errorf("torn after a clean close: %+v", s.Torn())
	}
	for s.Stats().PendingRows > 0 {
		b := mustNext(t, s)
		note(delivered, numbers(b.Records)...)
		mustAck(t, s, b)
	}
	for n := range acknowledged {
		if !delivered[n] {
			t.Errorf("row %d was acknowledged and is lost", n)
		}
	}
}
