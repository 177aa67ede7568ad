package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"griffier/collector/binding"
	"griffier/collector/spool"
)

// copyOf is what the disk has of a folder at some moment, as after a crash.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// held is what is remembered of each session: the last address told.
func held(l *loop) map[string]string {
	out := map[string]string{}
	for _, o := range l.binding.Sessions() {
		out[o.SessionKey] = fmt.Sprint(o.Prefixes)
	}
	return out
}

// However many sources there are and however often a checkpoint comes in between,
// whatever was acknowledged by some instant is in what the disk has then, and what
// the disk has is the state after a batch: recovering it is never refused, and
// afterwards, in the end, it is the very state that the loop had.
func TestWhatIsAcknowledgedIsInEveryCrashImage(t *testing.T) {
	dir := t.TempDir()
	l, _ := testLoop(t, dir, 1<<30)
	l.checkpointAt = 256 << 10 // one every now and then
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	const sessions, least, most, wanted = 16, 150, 1500, 3
	var images atomic.Int32
	var mu sync.Mutex
	acked := map[string]int{} // index of the last one acknowledged, by session
	all := make([][]binding.Observation, sessions)
	order := map[string]int{} // an address's index in its session
	for n := range all {
		all[n] = changes(n, most)
		for i, o := range all[n] {
			order[fmt.Sprint(o.Prefixes)] = i
		}
	}
	var wg sync.WaitGroup
	for n := range sessions {
		wg.Go(func() {
			for i, o := range all[n] {
				if i >= least && images.Load() >= wanted {
					return // not before, however slowly images are taken
				}
				if err := l.handle(ctx, o); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[o.SessionKey] = i
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case <-time.After(time.Duration(1+rand.IntN(20)) * time.Millisecond):
		}
		mu.Lock()
		promised := map[string]int{}
		for k, v := range acked {
			promised[k] = v
		}
		mu.Unlock()
		image := crashImage(t, dir)
		if image == "" {
			continue // segments came and went while it was taken
		}
		images.Add(1)
		again, _ := testLoop(t, image, 1<<30)
		have := held(again)
		for k, i := range promised {
			if at, ok := order[have[k]]; !ok || at < i {
				t.Fatalf("session %s: number %d was acknowledged, the disk has %q", k, i, have[k])
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if n := images.Load(); n < wanted {
		t.Errorf("only %d crash images", n)
	}
	again, _ := testLoop(t, copyOf(t, dir), 1<<30)
	want, err := l.binding.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	got, err := again.binding.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(want, got) {
		t.Errorf("after the end the disk gives another state:\n%s\nwant\n%s", got, want)
	}
}

// crashImage copies a spool in use; "" if it could not be taken at one instant. A
// checkpoint renames and removes, everything else only adds to the last segment.
func crashImage(t *testing.T, dir string) string {
	t.Helper()
	names := func() []string {
		found, err := filepath.Glob(filepath.Join(dir, "*.seg"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := names()
	to := t.TempDir()
	for i, name := range append([]string{filepath.Join(dir, "cursor")}, before...) {
		image := filepath.Join(to, filepath.Base(name))
		if i > 0 && i < len(before) { // written to no more, so the image may share it
			if err := os.Link(name, image); err != nil {
				return ""
			}
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return ""
		}
		if err := os.WriteFile(image, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(before, names()) {
		return ""
	}
	return to
}

// While the disk has one batch the loop applies the next, and acknowledges none
// of it.
func TestAppliesWhileTheDiskSyncs(t *testing.T) {
	l, _ := testLoop(t, t.TempDir(), 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batches := make(chan *batch) // a disk that is slow
	l.writer.batches = batches
	next := func() error {
		return l.next(ctx, nil, time.NewTimer(time.Hour), nil)
	}
	send := func(i int) request {
		r := request{observation(i), make(chan error, 1)}
		l.requests <- r
		if err := next(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := send(1)
	taken := make(chan *batch, 1)
	go func() { taken <- <-batches }()
	if err := next(); err != nil {
		t.Fatal(err)
	}
	at := <-taken // the disk has it from now on
	second, third := send(2), send(3)
	if sessions, _ := l.binding.Live(); sessions != 3 {
		t.Errorf("%d sessions are applied while the disk syncs, want 3", sessions)
	}
	if len(at.requests) != 1 || len(l.open.requests) != 2 {
		t.Errorf("%d requests are with the disk and %d wait, want 1 and 2", len(at.requests), len(l.open.requests))
	}
	for _, r := range []request{first, second, third} {
		select {
		case err := <-r.done:
			t.Errorf("answered with %v before the disk was through", err)
		default:
		}
	}
	l.writer.batches = nil // from here on without a writer of its own
	at.finish(l.writer.write(ctx, at))
	if err := l.commit(ctx, binding.Effects{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []request{first, second, third} {
		if err := <-r.done; err != nil {
			t.Error(err)
		}
	}
}

// After a batch that did not become durable none is written: what it would build
// on is not there.
func TestNothingIsWrittenAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	l, s := testLoop(t, dir, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.run(ctx) }()
	if err := l.handle(ctx, observation(1)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	done, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	if err := l.handle(done, observation(2)); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("acknowledged with %v on a closed spool", err)
	}
	if err := <-ended; !errors.Is(err, spool.ErrClosed) {
		t.Errorf("the loop ended with %v", err)
	}
	cancel()
	// The disk is back, the batch is not: nothing after it may go in either.
	l.spool, _ = spool.Open(spool.Config{Dir: dir, MaxBytes: 1 << 20, SegmentBytes: 4096})
	defer l.spool.Close()
	before := l.spool.Stats()
	if err := l.commit(t.Context(), l.apply(observation(3))); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("written after a failure: %v", err)
	}
	if l.checkpoint(t.Context()); l.spool.Stats() != before {
		t.Error("the spool has more after a failure")
	}
}
