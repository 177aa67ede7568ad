package spool

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/schema"
)

// model is what a spool should hold, as plain values.
type model struct {
	pending     []uint64 // rows that were appended and not acknowledged, in order
	outstanding int      // how many of them the block being delivered still has
	held        bool     // a block is being delivered, though all its rows may have expired since
	token       string   // of that block
	snapshot    string
	deltas      []string
	appended    uint64
}

// TestModel drives a spool through random appends, checkpoints, deliveries,
// acknowledgements, expiries and crashes with a torn end, and compares it with
// the model after each.
func TestModel(t *testing.T) {
	fewerChecks(t, 40) // each costs some fifty fsyncs
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "m")
		if err != nil {
			rt.Fatal(err)
		}
		cfg := Config{
			Dir:          dir,
			SegmentBytes: rapid.Int64Range(1024, 4096).Draw(rt, "segment bytes"),
			MaxBytes:     rapid.SampledFrom([]int64{8 << 10, 1 << 20}).Draw(rt, "max bytes"),
			BlockRows:    rapid.IntRange(1, 6).Draw(rt, "block rows"),
		}
		s, err := Open(cfg)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { s.Close() }()
		m := &model{}
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) { m.append(rt, s) },
			"checkpoint": func(rt *rapid.T) {
				m.checkpoint(rt, s)
			},
			"next": func(rt *rapid.T) { m.next(rt, s) },
			"ack":  func(rt *rapid.T) { m.ack(rt, s) },
			"expire": func(rt *rapid.T) {
				m.expire(rt, s)
			},
			"crash": func(rt *rapid.T) {
				s.Close()
				torn := tear(rt, dir)
				if s, err = Open(cfg); err != nil {
					rt.Fatalf("open after crash: %v", err)
				}
				if got := s.Torn().Bytes; got != torn {
					rt.Fatalf("torn %d bytes, want %d", got, torn)
				}
			},
			"": func(rt *rapid.T) { m.check(rt, s, cfg) },
		})
	})
}

// fewerChecks lowers rapid's default of 100; -rapid.checks still says more.
func fewerChecks(t *testing.T, n int) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	if before := f.Value.String(); before == f.DefValue {
		if err := flag.Set(f.Name, strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set(f.Name, before) })
	}
}

func (m *model) append(rt *rapid.T, s *Spool) {
	n := rapid.Uint64Range(0, 9).Draw(rt, "rows")
	b := Batch{Records: rows(m.appended, m.appended+n)}
	if rapid.Bool().Draw(rt, "with state") {
		b.State = fmt.Appendf(nil, "delta %d", len(m.deltas))
	}
	switch err := s.Append(context.Background(), b); {
	case errors.Is(err, ErrFull):
		return
	case err != nil:
		rt.Fatalf("Append: %v", err)
	}
	for range n {
		m.pending = append(m.pending, m.appended)
		m.appended++
	}
	if len(b.State) > 0 {
		m.deltas = append(m.deltas, string(b.State))
	}
}

func (m *model) checkpoint(rt *rapid.T, s *Spool) bool {
	state := fmt.Sprintf("snapshot at %d", m.appended)
	switch err := s.Checkpoint(context.Background(), []byte(state)); {
	case errors.Is(err, ErrFull):
		return false
	case err != nil:
		rt.Fatalf("Checkpoint: %v", err)
	}
	m.snapshot, m.deltas = state, nil
	return true
}

func (m *model) next(rt *rapid.T, s *Spool) {
	if len(m.pending) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b, err := s.Next(ctx)
	if err != nil {
		rt.Fatalf("Next: %v", err)
	}
	got := numbers(b.Records)
	if len(got) == 0 || len(got) > len(m.pending) || !slices.Equal(got, m.pending[:len(got)]) {
		rt.Fatalf("block %v, want the first of %v", got, m.pending)
	}
	if m.outstanding > 0 && (len(got) != m.outstanding || b.Token != m.token) {
		rt.Fatalf("block of %d rows with token %s, want again %d, %s", len(got), b.Token, m.outstanding, m.token)
	}
	m.outstanding, m.token, m.held = len(got), b.Token, true
}

func (m *model) ack(rt *rapid.T, s *Spool) {
	if !m.held {
		if err := s.Ack(m.token); !errors.Is(err, ErrNotOutstanding) {
			rt.Fatalf("Ack without a block: %v, want ErrNotOutstanding", err)
		}
		return
	}
	if err := s.Ack(m.token); err != nil {
		rt.Fatalf("Ack: %v", err)
	}
	m.pending, m.outstanding, m.held = m.pending[m.outstanding:], 0, false
}

// expire seals the log and expunges the rows before a random one.
func (m *model) expire(rt *rapid.T, s *Spool) {
	if m.appended == 0 || !m.checkpoint(rt, s) {
		return
	}
	first := rapid.Uint64Range(0, m.appended).Draw(rt, "first kept")
	limits := map[schema.Class]time.Time{schema.ClassUsage5m: EndedAt(row(first))}
	loss, err := s.DropBefore(limits)
	if err != nil {
		rt.Fatalf("DropBefore: %v", err)
	}
	lost := 0
	for len(m.pending) > lost && m.pending[lost] < first {
		lost++
	}
	if loss.Total() != uint64(lost) {
		rt.Fatalf("DropBefore lost %d rows, want %d", loss.Total(), lost)
	}
	if lost > 0 && (!loss.Earliest.Equal(EndedAt(row(m.pending[0]))) || !loss.Latest.Equal(EndedAt(row(m.pending[lost-1])))) {
		rt.Fatalf("loss %v to %v, want that of rows %v", loss.Earliest, loss.Latest, m.pending[:lost])
	}
	m.pending = m.pending[lost:]
	m.outstanding = max(0, m.outstanding-lost)
}

// tear appends the beginning of a frame that was being written, or what a disk
// may leave in its place, to the last segment.
func tear(rt *rapid.T, dir string) int64 {
	names, err := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
	if err != nil {
		rt.Fatal(err)
	}
	body, err := appendBatch(nil, Batch{State: []byte("never acknowledged"), Records: rows(0, 3)})
	if err != nil {
		rt.Fatal(err)
	}
	frame := appendFrame(nil, 1, frameHead{typ: frameGroup, records: 3, appendedAt: time.Unix(0, 0)}, body)
	frame = frame[:rapid.IntRange(0, len(frame)-1).Draw(rt, "torn at")]
	if rapid.Bool().Draw(rt, "zeros") {
		clear(frame)
	}
	f, err := os.OpenFile(names[len(names)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		rt.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(frame); err != nil {
		rt.Fatal(err)
	}
	return int64(len(frame))
}

func (m *model) check(rt *rapid.T, s *Spool, cfg Config) {
	snapshot, deltas, err := s.Recover()
	if err != nil {
		rt.Fatalf("Recover: %v", err)
	}
	var got []string
	for _, d := range deltas {
		got = append(got, string(d))
	}
	if string(snapshot) != m.snapshot || !slices.Equal(got, m.deltas) {
		rt.Fatalf("Recover: %q %q, want %q %q", snapshot, got, m.snapshot, m.deltas)
	}
	st := s.Stats()
	var size int64
	names, err := filepath.Glob(filepath.Join(cfg.Dir, "*"+segmentSuffix))
	if err != nil {
		rt.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			rt.Fatal(err)
		}
		size += info.Size()
	}
	if st.Bytes != size || st.Segments != len(names) || size > cfg.MaxBytes {
		rt.Fatalf("Stats: %d bytes, %d segments, want %d, %d, at most %d bytes", st.Bytes, st.Segments, size, len(names), cfg.MaxBytes)
	}
	if st.PendingRows < uint64(len(m.pending)) || st.PendingBytes < 0 || st.PendingBytes > st.Bytes {
		rt.Fatalf("Stats: %d rows, %d of %d bytes pending, want at least %d rows", st.PendingRows, st.PendingBytes, st.Bytes, len(m.pending))
	}
}
