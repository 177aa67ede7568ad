package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/ledger/ledgertest"
	"griffier/api/ledger/peer"
	"griffier/api/pki"
)

// complete wants the copy to hold exactly what the ledger holds, proven by root.
func complete(t *testing.T, w *world, l *ledger.Log) {
	t.Helper()
	text, err := w.client(t).Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	h, err := ledger.OpenCheckpoint(text, w.key.Public)
	if err != nil {
		t.Fatal(err)
	}
	root, err := l.RootAt(l.Size())
	if err != nil || h.Size != l.Size() || !bytes.Equal(h.Root, root) {
		t.Fatalf("the copy has %d of %d entries, the same root: %v, %v", h.Size, l.Size(), bytes.Equal(h.Root, root), err)
	}
}

// TestAwayForTenMinutes goes through scenario 8: the sink goes away, requests go on,
// after a minute there is an alarm, at the limit new legal acts are refused, and
// when it is back it is complete. The clock is stepped; everything else is real.
func TestAwayForTenMinutes(t *testing.T) {
	w := newWorld(t)
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	stop := w.serve(t)
	l := w.ledger(t, "log")
	fill(t, l, 40, "before")
	s := w.shipper(t, l, now)
	run(t, s)
	eventually(t, "shipped", func() bool { return s.Status().Size == 40 })
	complete(t, w, l)
	ahead.Store(int64(time.Hour)) // with nothing to ship, time makes nothing late
	time.Sleep(30 * time.Millisecond)
	if got := s.Status(); got.Alarm || got.Lag != 0 || s.Refuses() != nil {
		t.Fatalf("idle: %+v, %v", got, s.Refuses())
	}
	ahead.Store(0)

	stop()
	fill(t, l, 700, "during")
	eventually(t, "error noticed", func() bool { return s.Status().Error != "" })
	if got := s.Status(); got.Alarm || s.Refuses() != nil {
		t.Fatalf("too early: %+v, %v", got, s.Refuses())
	}
	ahead.Store(int64(2 * time.Minute))
	eventually(t, "alarm", func() bool { return s.Status().Alarm })
	if err := s.Refuses(); err != nil {
		t.Fatalf("refused before the limit: %v", err)
	}
	fill(t, l, 1, "goes-on")
	ahead.Store(int64(11 * time.Minute))
	if err := s.Refuses(); !errors.Is(err, ledger.ErrUnavailable) || !strings.Contains(err.Error(), "bring it back") {
		t.Fatalf("at the limit: %v", err)
	}

	w.serve(t)
	eventually(t, "caught up", func() bool { return s.Status().Size == l.Size() && s.Refuses() == nil && !s.Status().Alarm })
	complete(t, w, l)
	if s.Status().Error != "" {
		t.Fatalf("%+v", s.Status())
	}
}

// TestResume stops and starts both sides in the middle, and sends twice what was
// sent: nothing is lost and nothing is doubled.
func TestResume(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 300, "a")
	ctx := context.Background()
	stop := w.serve(t)
	c := w.client(t)
	send := func(from, to uint64) error {
		var leaves [][]byte
		if err := l.Leaves(ctx, from, to, func(_ uint64, leaf []byte) error { leaves = append(leaves, leaf); return nil }); err != nil {
			t.Fatal(err)
		}
		cp, err := l.CheckpointAt(to)
		if err != nil {
			t.Fatal(err)
		}
		return c.Append(ctx, from, leaves, cp)
	}
	if err := send(0, 100); err != nil {
		t.Fatal(err)
	}
	var behind *BehindError
	if err := send(0, 100); !errors.As(err, &behind) || behind.Size != 100 {
		t.Fatalf("the same again: %v", err)
	}
	if err := send(150, 200); !errors.As(err, &behind) || behind.Size != 100 {
		t.Fatalf("with a hole: %v", err)
	}
	stop()
	w.serve(t)
	stopShipper := run(t, w.shipper(t, l, time.Now))
	eventually(t, "shipped", func() bool { text, err := c.Head(ctx); return err == nil && strings.Contains(text, "\n300\n") })
	stopShipper()
	fill(t, l, 5000, "b") // more than a batch
	run(t, w.shipper(t, l, time.Now))
	eventually(t, "shipped", func() bool { text, err := c.Head(ctx); return err == nil && strings.Contains(text, "\n5300\n") })
	complete(t, w, l)

	var got [][]byte
	for {
		leaves, err := c.Entries(ctx, uint64(len(got)))
		if err != nil {
			t.Fatal(err)
		}
		if len(leaves) == 0 {
			break
		}
		got = append(got, leaves...)
	}
	n := 0
	err := l.Leaves(ctx, 0, 5300, func(i uint64, leaf []byte) error {
		if !bytes.Equal(got[i], leaf) {
			t.Fatalf("entry %d differs", i)
		}
		n++
		return nil
	})
	if err != nil || n != len(got) {
		t.Fatalf("%d of %d, %v", n, len(got), err)
	}
}

// TestTornWrite leaves what a crash can leave behind the entries that count.
func TestTornWrite(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 20, "a")
	s := w.store(t)
	ship(t, l, s, 0, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.dir(), entriesFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{"\x00", "\x00\x05ab", strings.Repeat("x", 5000)} {
		if err := os.WriteFile(path, append(bytes.Clone(whole), tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		s := w.store(t)
		if size, _ := s.Head(); size != 20 {
			t.Fatalf("size %d", size)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = w.store(t)
	fill(t, l, 5, "b")
	ship(t, l, s, 20, 25)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// A byte that counts is another matter.
	whole, err = os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 1, 2, len(whole) / 2, len(whole) - 1} {
		altered := bytes.Clone(whole)
		altered[at] ^= 1
		if err := os.WriteFile(path, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(w.dir(), w.key.Public); !errors.Is(err, ErrDamaged) {
			s.Close()
			t.Fatalf("byte %d altered: %v", at, err)
		}
	}
	if err := os.WriteFile(path, whole[:len(whole)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(w.dir(), w.key.Public); !errors.Is(err, ErrDamaged) {
		t.Fatalf("cut short: %v", err)
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}

	// The head says one thing in one way.
	headPath := filepath.Join(w.dir(), headFile)
	head, err := os.ReadFile(headPath)
	if err != nil {
		t.Fatal(err)
	}
	for how, altered := range ledgertest.Respellings(head) {
		if err := os.WriteFile(headPath, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Open(w.dir(), w.key.Public); !errors.Is(err, ErrDamaged) {
			s.Close()
			t.Errorf("a head with %s: %v", how, err)
		}
	}
	// Without it nothing counts, and nothing is thrown away.
	if err := os.Remove(headPath); err != nil {
		t.Fatal(err)
	}
	s = w.store(t)
	if size, text := s.Head(); size != 0 || text != "" {
		t.Fatalf("without a head: %d, %q", size, text)
	}
	ship(t, l, s, 0, 25)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := s.Headless()
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	if data, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(data, whole) {
		t.Fatalf("%d bytes kept of %d, %v", len(data), len(whole), err)
	}
	s = w.store(t) // negative control
	if size, _ := s.Head(); size != 25 {
		t.Fatalf("size %d", size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDiskOfTheSink wants a sink that had no room to go on by itself when it has.
func TestFullDiskOfTheSink(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 20, "a")
	s := w.store(t)
	ship(t, l, s, 0, 5)
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	var leaves [][]byte
	if err := l.Leaves(context.Background(), 5, 20, func(_ uint64, leaf []byte) error {
		leaves = append(leaves, leaf)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	checkpoint, err := l.CheckpointAt(20)
	if err != nil {
		t.Fatal(err)
	}
	entries := s.entries
	s.entries = full
	if err := s.Append(5, leaves, checkpoint); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("on a full disk: %v", err)
	}
	s.entries = entries
	if size, _ := s.Head(); size != 5 {
		t.Fatalf("size %d", size)
	}
	ship(t, l, s, 5, 10)
	ship(t, l, s, 10, 20)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = w.store(t)
	if size, _ := s.Head(); size != 20 {
		t.Errorf("opened again: size %d", size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestForget wants a copy that is served to stay where it is.
func TestForget(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 3, "a")
	s := w.store(t)
	ship(t, l, s, 0, 3)
	if aside, err := Forget(w.dir(), time.Now()); err == nil {
		t.Fatalf("set aside as %s while it is served", aside)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	aside, err := Forget(w.dir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if s, err = Open(aside, w.key.Public); err != nil {
		t.Fatal(err)
	}
	if size, _ := s.Head(); size != 3 {
		t.Errorf("size %d", size)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func ship(t *testing.T, l *ledger.Log, s *Store, from, to uint64) {
	t.Helper()
	var leaves [][]byte
	if err := l.Leaves(context.Background(), from, to, func(_ uint64, leaf []byte) error { leaves = append(leaves, leaf); return nil }); err != nil {
		t.Fatal(err)
	}
	cp, err := l.CheckpointAt(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(from, leaves, cp); err != nil {
		t.Fatal(err)
	}
}

// TestForkIsRefused sends what another ledger with the same, stolen, key has, and
// checkpoints that do not cover the entries.
func TestForkIsRefused(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 30, "a")
	fork := w.ledger(t, "fork")
	fill(t, fork, 40, "forged")
	s := w.store(t)
	defer s.Close()
	ship(t, l, s, 0, 20)
	leaves := func(l *ledger.Log) (out [][]byte) {
		if err := l.Leaves(context.Background(), 20, 30, func(_ uint64, leaf []byte) error { out = append(out, leaf); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	checkpoint := func(l *ledger.Log, n uint64) string {
		cp, err := l.CheckpointAt(n)
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	swapped := leaves(l)
	swapped[1], swapped[2] = swapped[2], swapped[1]
	for name, err := range map[string]error{
		"the fork's entries and checkpoint": s.Append(20, leaves(fork), checkpoint(fork, 30)),
		"the fork's entries":                s.Append(20, leaves(fork), checkpoint(l, 30)),
		"the fork's checkpoint":             s.Append(20, leaves(l), checkpoint(fork, 30)),
		"an old checkpoint":                 s.Append(20, leaves(l), checkpoint(l, 20)),
		"two entries swapped":               s.Append(20, swapped, checkpoint(l, 30)),
		"an entry left out":                 s.Append(20, leaves(l)[1:], checkpoint(l, 30)),
		"no checkpoint":                     s.Append(20, leaves(l), ""),
	} {
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if size, _ := s.Head(); size != 20 {
		t.Fatalf("size %d", size)
	}
	ship(t, l, s, 20, 30) // negative control
}

// TestLedgerStopsAtAnotherHistory has the shipper of a forged ledger find the real
// one in the sink, and a start refused by it.
func TestLedgerStopsAtAnotherHistory(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	l := w.ledger(t, "log")
	fill(t, l, 9, "a")
	s := w.shipper(t, l, time.Now)
	stop := run(t, s)
	eventually(t, "shipped", func() bool { return s.Status().Size == 9 })
	stop()
	for name, forge := range map[string]func(*ledger.Log){
		"shorter": func(l *ledger.Log) { fill(t, l, 3, "a") },
		"other":   func(l *ledger.Log) { fill(t, l, 12, "forged") },
	} {
		forged := w.ledger(t, name)
		forge(forged)
		stop := run(t, w.shipper(t, forged, time.Now))
		eventually(t, name+" stopped", func() bool { return errors.Is(forged.Err(), ledger.ErrUnavailable) })
		stop()
		if err := forged.Close(); err != nil {
			t.Fatal(err)
		}
		var differs *ledger.WitnessError
		if _, err := ledger.Open(context.Background(), w.config(name, w.client(t))); !errors.As(err, &differs) || !strings.Contains(err.Error(), "griffier ledger recover") {
			t.Fatalf("%s started: %v", name, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.ledger(t, "log", w.client(t)) // negative control
}

// breaksOff is a copy that can be read up to some entry only.
type breaksOff struct {
	ledger.Copy
	at uint64
}

func (b breaksOff) Entries(ctx context.Context, from uint64) ([][]byte, error) {
	if from >= b.at {
		return nil, errors.New("broken off")
	}
	leaves, err := b.Copy.Entries(ctx, from)
	return leaves[:min(uint64(len(leaves)), b.at-from)], err
}

// TestRecoveryThatBreaksOff wants a ledger that was not made again to its end refused,
// one of no entries too.
func TestRecoveryThatBreaksOff(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 20, "a")
	s := w.store(t)
	ship(t, l, s, 0, 20)
	for _, at := range []uint64{0, 1, 19} {
		cfg := w.config(fmt.Sprintf("again-%d", at))
		rebuild := ledger.RebuildConfig{Dir: cfg.Dir, WitnessFile: cfg.WitnessFile, Key: w.key, Copy: breaksOff{Local{s}, at}}
		if _, err := ledger.Rebuild(context.Background(), rebuild); err == nil {
			t.Fatalf("made again of %d entries", at)
		}
		var differs *ledger.WitnessError
		if l, err := ledger.Open(context.Background(), cfg); !errors.As(err, &differs) || differs.Cause != ledger.WitnessRegress {
			if err == nil {
				l.Close()
			}
			t.Errorf("with %d of 20 entries: %v", at, err)
		}
	}
	cfg := w.config("again") // negative control
	rebuild := ledger.RebuildConfig{Dir: cfg.Dir, WitnessFile: cfg.WitnessFile, Key: w.key, Copy: Local{s}}
	if h, err := ledger.Rebuild(context.Background(), rebuild); err != nil || h.Size != 20 {
		t.Fatalf("%+v, %v", h, err)
	}
	w.ledger(t, "again")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRecover makes the ledger again from the sink alone, and goes on with it.
func TestRecover(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	l := w.ledger(t, "log")
	fill(t, l, 5000, "a")
	s := w.shipper(t, l, time.Now)
	stop := run(t, s)
	eventually(t, "shipped", func() bool { return s.Status().Size == 5000 })
	stop()
	want, err := l.RootAt(5000)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := ledger.RebuildConfig{Dir: filepath.Join(w.root, "log"), WitnessFile: filepath.Join(w.root, "log.head"), Key: w.key, Copy: w.client(t)}
	if _, err := ledger.Rebuild(context.Background(), cfg); err == nil {
		t.Fatal("an existing ledger was replaced")
	}
	for _, path := range []string{cfg.Dir, cfg.WitnessFile} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	h, err := ledger.Rebuild(context.Background(), cfg)
	if err != nil || h.Size != 5000 || !bytes.Equal(h.Root, want) {
		t.Fatalf("%+v, %v", h, err)
	}
	l = w.ledger(t, "log", w.client(t))
	fill(t, l, 3, "on")
	s = w.shipper(t, l, time.Now)
	run(t, s)
	eventually(t, "shipped", func() bool { return s.Status().Size == 5003 })
	complete(t, w, l)

	// The key of another log does not recover this one.
	other, err := ledger.GenerateKey(filepath.Join(w.root, "other.key"), "test.example/ledger")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Dir, cfg.WitnessFile, cfg.Key = filepath.Join(w.root, "x"), filepath.Join(w.root, "x.head"), other
	if _, err := ledger.Rebuild(context.Background(), cfg); err == nil {
		t.Fatal("recovered with another key")
	}
}

// TestMutualTLS wants an answer for who has a certificate of the CA and for nobody
// else.
func TestMutualTLS(t *testing.T) {
	w := newWorld(t)
	mine, theirs := filepath.Join(w.root, "mine"), filepath.Join(w.root, "theirs")
	for _, dir := range []string{mine, theirs} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := pki.Init(dir, []string{"127.0.0.1"}); err != nil {
			t.Fatal(err)
		}
	}
	files := func(dir, name, ca string) peer.Files {
		return peer.Files{CertFile: filepath.Join(dir, name+".pem"), KeyFile: filepath.Join(dir, name+".key"), CAFile: filepath.Join(ca, "ca.pem")}
	}
	store := w.store(t)
	defer store.Close()
	l, err := peer.Listen("127.0.0.1:0", files(mine, "server", mine))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- peer.Serve(ctx, l, Handler(store)) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	url := "https://" + l.Addr().String()
	for name, c := range map[string]struct {
		files peer.Files
		ok    bool
	}{
		"a certificate of the CA": {files(mine, "operator", mine), true},
		"one of another CA":       {files(theirs, "operator", mine), false},
		"a server of another CA":  {files(mine, "operator", theirs), false},
	} {
		client, err := NewClient(url, c.files)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Head(ctx); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		client.Close()
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add(batch{checkpoint: "cp", leaves: [][]byte{[]byte("a"), []byte("bc")}}.encode())
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Add([]byte{0, 0, 0, 1, 'x', 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := parseBatch(body)
		if err != nil {
			return
		}
		if !bytes.Equal(b.encode(), body) {
			t.Fatalf("%q reads as %q", body, b.encode())
		}
	})
}
