package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"griffier/api/keystore"
)

// TestConcurrentAppendAndDecide wants folds in order (counters checks it),
// every decision to see exactly the entries before it, and times that never go
// back.
func TestConcurrentAppendAndDecide(t *testing.T) {
	b := newBench(t)
	state := newCounters()
	l := b.open(t, state)
	ctx := context.Background()
	const writers, each = 8, 25
	var wg sync.WaitGroup
	var saw sync.Map
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				mustAppend(t, l, n)
				// Each id is asked for twice; the second time the first's answer.
				id := fmt.Sprintf("%d-%d", w, n/2)
				e, err := l.Decide(ctx, id, func(now time.Time) (Draft, error) {
					// No lock: nothing folds while a decision is made.
					d := draft(0)
					d.Generation = state.Next
					return d, nil
				})
				if err != nil {
					t.Errorf("decide: %v", err)
					return
				}
				if first, loaded := saw.LoadOrStore(id, e.Index); loaded && first != e.Index {
					t.Errorf("request %s: entries %d and %d", id, first, e.Index)
				}
				if e.Header.Generation != e.Index {
					t.Errorf("entry %d was decided when %d entries were folded", e.Index, e.Header.Generation)
				}
				l.View(func() { _ = state.Sum })
			}
		})
	}
	wg.Wait()
	want := uint64(writers * (each + (each+1)/2))
	if l.Size() != want {
		t.Errorf("size %d, want %d", l.Size(), want)
	}
	var last time.Time
	entries, err := l.Read(ctx, 0, MaxRead)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Header.At.Before(last) {
			t.Errorf("entry %d: time goes back", e.Index)
		}
		last = e.Header.At
	}
	if !l.LastAt().Equal(last) {
		t.Errorf("LastAt %v, want %v", l.LastAt(), last)
	}
	// Proofs at sizes inside a batch, too.
	for i := uint64(0); i < want; i += 17 {
		p, err := l.Proof(ctx, i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Verify(b.key.Public); err != nil {
			t.Errorf("proof of %d: %v", i, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := newCounters()
	b.open(t, again)
	if !again.equal(state) {
		t.Errorf("after restart %+v, before %+v", again, state)
	}
}

// TestFoldSurvivesRestarts does any sequence of appends, decisions, retries,
// refusals and restarts, against a model.
func TestFoldSurvivesRestarts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBench(t)
		var l *Log
		var state *counters
		open := func() {
			state = newCounters()
			var err error
			if l, err = Open(context.Background(), b.config(state)); err != nil {
				rt.Fatal(err)
			}
		}
		open()
		defer func() { _ = l.Close() }()
		model := newCounters()
		decided := map[string]uint64{}
		note := func(e Entry) {
			if err := model.Apply(e); err != nil {
				rt.Fatal(err)
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			n := rapid.IntRange(0, 5).Draw(rt, "n")
			d := draft(n)
			d.WarrantID = fmt.Sprintf("w%d", n)
			switch rapid.IntRange(0, 3).Draw(rt, "what") {
			case 0:
				e, err := l.Append(context.Background(), d)
				if err != nil {
					rt.Fatal(err)
				}
				note(e)
			case 1, 2:
				id := fmt.Sprintf("r%d", n)
				refuse := rapid.Bool().Draw(rt, "refuse")
				e, err := l.Decide(context.Background(), id, func(time.Time) (Draft, error) {
					if refuse {
						return Draft{}, os.ErrPermission
					}
					return d, nil
				})
				first, before := decided[id]
				switch {
				case before && (err != nil || e.Index != first):
					rt.Fatalf("retry: %d, %v; want %d", e.Index, err, first)
				case !before && refuse && err != os.ErrPermission:
					rt.Fatalf("refusal: %v", err)
				case !before && !refuse && err != nil:
					rt.Fatal(err)
				case !before && !refuse:
					decided[id] = e.Index
					note(e)
				}
			case 3:
				if err := l.Close(); err != nil {
					rt.Fatal(err)
				}
				open()
			}
			if !model.equal(state) {
				rt.Fatalf("state %+v, model %+v", state, model)
			}
		}
	})
}

func TestClock(t *testing.T) {
	b := newBench(t)
	var offset atomic.Int64
	start := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	cfg := b.config()
	cfg.Now = func() time.Time { return start.Add(time.Duration(offset.Load())) }
	l := b.openWith(t, cfg)
	decide := func(id string) (Entry, error) {
		var told time.Time
		e, err := l.Decide(context.Background(), id, func(now time.Time) (Draft, error) { told = now; return draft(1), nil })
		if err == nil && !e.Header.At.Equal(told) {
			t.Errorf("fn was told %v, the entry says %v", told, e.Header.At)
		}
		return e, err
	}
	if e, err := decide("a"); err != nil || !e.Header.At.Equal(start) {
		t.Fatalf("%+v, %v", e, err)
	}
	offset.Store(int64(-time.Second)) // within the tolerance: time stands still
	if e, err := decide("b"); err != nil || !e.Header.At.Equal(start) || e.Header.ClockBehindMillis != 0 {
		t.Fatalf("%+v, %v", e, err)
	}
	offset.Store(int64(-time.Hour))
	if _, err := decide("c"); !errors.Is(err, ErrClock) {
		t.Fatalf("clock an hour back: %v", err)
	}
	// The refusal must still be on record, and say that its time is no time.
	e, err := l.Append(context.Background(), draft(2))
	if err != nil || !e.Header.At.Equal(start) || e.Header.ClockBehindMillis != time.Hour.Milliseconds() {
		t.Fatalf("%+v, %v", e, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = b.openWith(t, cfg) // the floor is in the log, not in memory
	if _, err := decide("d"); !errors.Is(err, ErrClock) || !l.LastAt().Equal(start) {
		t.Fatalf("after restart: %v, %v", err, l.LastAt())
	}
	offset.Store(int64(time.Minute))
	if e, err := decide("e"); err != nil || !e.Header.At.Equal(start.Add(time.Minute)) {
		t.Fatalf("%+v, %v", e, err)
	}
}

func TestShreddedBodyStaysProven(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	e := mustAppend(t, l, 1)
	if err := b.keys.Shred("case:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Body(e); !errors.Is(err, keystore.ErrShredded) {
		t.Fatalf("body: %v", err)
	}
	if _, err := l.Append(context.Background(), draft(2)); !errors.Is(err, keystore.ErrShredded) {
		t.Fatalf("append under a destroyed key: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	state := newCounters()
	l = b.open(t, state)
	if state.Next != 1 || state.Sum != 1 {
		t.Fatalf("fold: %+v", state)
	}
	if r, err := b.verify(t); err != nil || r.Bodies != 1 || r.BodiesShredded != 1 || r.BodiesOpened != 0 {
		t.Fatalf("verify: %+v, %v", r, err)
	}
	p, err := l.Proof(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(b.key.Public); err != nil {
		t.Fatal(err)
	}
}

// TestBodyIsBoundToItsHeader moves a body to another header of the same key.
func TestBodyIsBoundToItsHeader(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	one, two := mustAppend(t, l, 1), mustAppend(t, l, 2)
	two.Body = one.Body
	if _, err := l.Body(two); !errors.Is(err, keystore.ErrSealed) {
		t.Fatalf("a moved body opened: %v", err)
	}
	if body, err := l.Body(Entry{Header: one.Header}); body != nil || err != nil {
		t.Fatalf("no body: %s, %v", body, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	ctx := context.Background()
	for name, change := range map[string]func(*Draft){
		"no kind":            func(d *Draft) { d.Kind = "" },
		"kind with a space":  func(d *Draft) { d.Kind = "warrant created" },
		"actor with a name":  func(d *Draft) { d.Actor = "Jan Jansen" },
		"mail address":       func(d *Draft) { d.Reason = "jan@example.nl" },
		"request id":         func(d *Draft) { d.RequestID = "a b" },
		"facts no object":    func(d *Draft) { d.Facts = []int{1} },
		"facts nil pointer":  func(d *Draft) { d.Facts = (*struct{})(nil) },
		"facts unmarshalled": func(d *Draft) { d.Facts = func() {} },
		"body without key":   func(d *Draft) { d.KeyID = "" },
		"unknown key":        func(d *Draft) { d.KeyID = "case:2" },
	} {
		d := draft(1)
		change(&d)
		if _, err := l.Append(ctx, d); err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	d := draft(1)
	d.Body = strings.Repeat("x", 60_000) // 4/3 of it in base64
	if _, err := l.Append(ctx, d); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	d.Body = strings.Repeat("x", 48_000)
	if _, err := l.Append(ctx, d); err != nil {
		t.Errorf("large, but within the limit: %v", err)
	}
	other := func(time.Time) (Draft, error) { d := draft(1); d.RequestID = "other"; return d, nil }
	if _, err := l.Decide(ctx, "mine", other); err == nil {
		t.Error("a draft of another request was appended")
	}
	if _, err := l.Decide(ctx, "", other); err == nil {
		t.Error("a decision without request id")
	}
	over, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := l.Append(over, draft(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if _, err := l.Decide(over, "x", func(time.Time) (Draft, error) { t.Error("decided"); return draft(1), nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if l.Size() != 1 {
		t.Errorf("size %d, want 1", l.Size())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(ctx, draft(1)); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
}

// TestGivingUpBeforeHandIn ends the context while an earlier decision runs: the
// later one must not be decided at all.
func TestGivingUpBeforeHandIn(t *testing.T) {
	b := newBench(t)
	l := b.open(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error)
	go func() {
		_, err := l.Decide(context.Background(), "slow", func(time.Time) (Draft, error) {
			close(entered)
			<-leave
			return draft(1), nil
		})
		first <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := l.Decide(ctx, "late", func(time.Time) (Draft, error) { t.Error("decided"); return draft(2), nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Errorf("slow: %v", err)
	}
	if l.Size() != 1 {
		t.Errorf("size %d", l.Size())
	}
}

// failing is a fold that cannot understand, or that panics.
type failing struct{ panics bool }

func (f failing) Apply(e Entry) error {
	if e.Index < 1 {
		return nil
	}
	if f.panics {
		panic("boom")
	}
	return errors.New("not understood")
}

func TestFoldThatFailsStopsTheLedger(t *testing.T) {
	for _, panics := range []bool{false, true} {
		b := newBench(t)
		l := b.open(t, failing{panics})
		mustAppend(t, l, 0)
		if _, err := l.Append(context.Background(), draft(1)); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("panics %v: %v", panics, err)
		}
		if _, err := l.Append(context.Background(), draft(2)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("panics %v: after it: %v", panics, err)
		}
		if err := l.Err(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("Err: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), b.config(failing{panics})); err == nil {
			t.Errorf("panics %v: opened", panics)
		}
		b.open(t) // without that fold, the log itself is in order
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	k, err := GenerateKey(path, "isp.example/griffier")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := GenerateKey(path, "isp.example/griffier"); err == nil {
		t.Error("a key was replaced")
	}
	again, err := LoadKey(path)
	if err != nil || again.Public != k.Public {
		t.Fatalf("%+v, %v", again, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by a group: %v", err)
	}
	bad := filepath.Join(dir, "bad")
	secret := "PRIVATE+KEY+x+00000000+AAAA"
	if err := os.WriteFile(bad, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey(bad); err == nil || strings.Contains(err.Error(), "AAAA") {
		t.Errorf("not a key: %v", err)
	}
	cfg := newBench(t).config()
	cfg.Origin = "another.example"
	if _, err := Open(context.Background(), cfg); err == nil {
		t.Error("another origin was accepted")
	}
}

func TestRequestIDKeepsCallersApart(t *testing.T) {
	a := RequestID("actor1", "Approve", "1")
	for _, other := range []string{RequestID("actor2", "Approve", "1"), RequestID("actor1", "Reject", "1"), RequestID("actor1", "Approve", "2"), RequestID("actor1Approve", "", "1")} {
		if other == a {
			t.Error("two commands share an id")
		}
	}
	if a != RequestID("actor1", "Approve", "1") || !requestIDForm.MatchString(a) {
		t.Error(a)
	}
}

// FuzzDecodeEntry wants that whatever is accepted has exactly one encoding.
func FuzzDecodeEntry(f *testing.F) {
	good, err := Entry{Header: Header{V: 1, Kind: "a", At: time.Unix(1, 0).UTC(), Facts: json.RawMessage(`{"a":1}`)}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"header":{"v":1,"kind":"a","at":"2026-01-01T00:00:00Z","key_id":"k","body_sha256":"x"},"body":"AAAA"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := decodeEntry(3, leaf)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil || string(again) != string(leaf) {
			t.Fatalf("%q became %q, %v", leaf, again, err)
		}
	})
}

// FuzzStoredFiles feeds the other parsers of what is on disk.
func FuzzStoredFiles(f *testing.F) {
	f.Add([]byte(`{"size":1,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}`), "tile/entries/x001/234.p/5")
	f.Add([]byte{0, 1, 'a', 0, 0}, "tile/1/000")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		if h, err := parseTreeState(data); err == nil && len(h.root) != 32 {
			t.Errorf("root of %d bytes", len(h.root))
		}
		if leaves, err := splitBundle(data, 2); err == nil && len(leaves) != 2 {
			t.Errorf("%d leaves", len(leaves))
		}
		if name, ok := parseTilePath(path); ok {
			if name.path() != path {
				t.Errorf("%q became %q", path, name.path())
			}
			for _, size := range []uint64{0, 5, 256, 1 << 40} {
				if name.needed(size) && !name.within(size) {
					t.Errorf("%q is needed for %d entries, which do not fill it", path, size)
				}
			}
		}
	})
}
