package witness

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
)

// copyOf copies a ledger with its witness file, as a snapshot of the host would.
func (w *world) copyOf(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(w.root, to), os.DirFS(filepath.Join(w.root, from))); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(w.root, from+".head"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.root, to+".head"), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cosigned fills a ledger and has all of it cosigned.
func (w *world) cosigned(t *testing.T, l *ledger.Log, n int) {
	t.Helper()
	fill(t, l, n, "a")
	stop := run(t, w.gatherer(t, l, w.client(t)))
	defer stop()
	await(t, l, uint64(n))
}

func await(t *testing.T, l *ledger.Log, size uint64) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, have := l.CosignedCheckpoint(); have >= size {
			return
		}
	}
	t.Fatalf("not cosigned over %d entries", size)
}

// TestSnapshotOfTheWholeHostIsRefused restores everything that the host has, the
// local witness file too: only the machine elsewhere knows better.
func TestSnapshotOfTheWholeHostIsRefused(t *testing.T) {
	w := newWorld(t)
	stop := w.serve(t)
	l := w.ledger(t, "log")
	fill(t, l, 5, "before")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	w.copyOf(t, "log", "snapshot")
	l = w.ledger(t, "log", w.client(t))
	w.cosigned(t, l, 7) // 12 now: a revocation among them
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	var differs *ledger.WitnessError
	_, err := ledger.Open(context.Background(), w.config("snapshot", w.client(t)))
	if !errors.As(err, &differs) || differs.Cause != ledger.WitnessRegress || differs.Remote == "" || differs.WitnessSize < 7 {
		t.Fatalf("the snapshot: %v", err)
	}
	accepting := w.config("snapshot", w.client(t))
	accepting.AcceptWitnessLoss = true
	if _, err := ledger.Open(context.Background(), accepting); !errors.As(err, &differs) || differs.Cause != ledger.WitnessRegress {
		t.Fatalf("the operator alone overruled the witness: %v", err)
	}
	// Negative control: without the witness the snapshot starts, and with it the
	// real one does.
	control := w.ledger(t, "snapshot")
	if control.Size() != 5 {
		t.Fatalf("size %d", control.Size())
	}
	if err := control.Close(); err != nil {
		t.Fatal(err)
	}
	if again := w.ledger(t, "log", w.client(t)); again.Size() != 12 {
		t.Fatalf("size %d", again.Size())
	} else if err := again.Close(); err != nil {
		t.Fatal(err)
	}

	// Nobody answers: refused, until the operator accepts it, which is entered.
	stop()
	alone := w.config("log", w.client(t))
	alone.RemoteWait = 100 * time.Millisecond
	if _, err := ledger.Open(context.Background(), alone); !errors.As(err, &differs) || differs.Cause != ledger.WitnessUnreachable {
		t.Fatalf("nobody answers: %v", err)
	}
	accepting = alone
	accepting.AcceptWitnessLoss = true
	l, err = ledger.Open(context.Background(), accepting)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	entries, err := l.Read(context.Background(), 12, 5)
	if err != nil || len(entries) != 1 || entries[0].Header.Kind != ledger.KindWitnessLoss {
		t.Fatalf("%+v, %v", entries, err)
	}
	// The file lost as well: what is accepted is all entered.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(accepting.WitnessFile); err != nil {
		t.Fatal(err)
	}
	both, err := ledger.Open(context.Background(), accepting)
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	const facts = `{"answered":0,"cause":"missing","log_size":13,"needed":1,"remotes":1,"witness_size":0}`
	entries, err = both.Read(context.Background(), 13, 5)
	if err != nil || len(entries) != 1 || string(entries[0].Header.Facts) != facts {
		t.Fatalf("%+v, %v", entries, err)
	}
}

// TestStolenKey lets an attacker with the log's key, and the host's witness file,
// rewrite history (scenario 7). The gatherer of the rewritten ledger is refused,
// and the ledger stops.
func TestStolenKey(t *testing.T) {
	for name, rewrite := range map[string]func(t *testing.T, w *world) *ledger.Log{
		"the last entries dropped": func(t *testing.T, w *world) *ledger.Log {
			l := w.ledger(t, "forged")
			fill(t, l, 4, "a")
			return l
		},
		"other entries, and more of them": func(t *testing.T, w *world) *ledger.Log {
			l := w.ledger(t, "forged")
			fill(t, l, 3, "a")
			fill(t, l, 9, "forged")
			return l
		},
		"two entries swapped": func(t *testing.T, w *world) *ledger.Log {
			l := w.ledger(t, "forged")
			for _, reason := range []string{"a-0", "a-1", "a-3", "a-2", "a-4", "a-5", "a-6", "a-7"} {
				if _, err := l.Append(context.Background(), ledger.Draft{Kind: "test.noted", Reason: reason}); err != nil {
					t.Fatal(err)
				}
			}
			return l
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(t)
			l := w.ledger(t, "log")
			w.cosigned(t, l, 8)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(w.root, "cosigned.json")); err != nil { // the attacker has the host
				t.Fatal(err)
			}
			forged := rewrite(t, w)
			stop := run(t, w.gatherer(t, forged, w.client(t)))
			defer stop()
			for deadline := time.Now().Add(5 * time.Minute); forged.Err() == nil; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the forged ledger goes on")
				}
			}
			if _, err := forged.Append(context.Background(), ledger.Draft{Kind: "test.noted"}); !errors.Is(err, ledger.ErrUnavailable) {
				t.Fatalf("append: %v", err)
			}
			if err := forged.Close(); err != nil {
				t.Fatal(err)
			}
			var differs *ledger.WitnessError
			if _, err := ledger.Open(context.Background(), w.config("forged", w.client(t))); !errors.As(err, &differs) {
				t.Fatalf("the forged ledger started again: %v", err)
			}
			// Negative control: the real one goes on.
			l = w.ledger(t, "log", w.client(t))
			stopReal := run(t, w.gatherer(t, l, w.client(t)))
			defer stopReal()
			fill(t, l, 1, "on")
			await(t, l, 9)
		})
	}
}

// TestKeptCosignatureFindsRegress wants the cosigned checkpoint that griffierd
// keeps to speak up when the ledger is older, with the witness away.
func TestKeptCosignatureFindsRegress(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	l := w.ledger(t, "log")
	w.cosigned(t, l, 6)
	short := w.ledger(t, "short")
	fill(t, short, 2, "a")
	_, err := NewGatherer(GathererConfig{Book: short, File: filepath.Join(w.root, "cosigned.json"), Now: time.Now})
	var differs *ledger.WitnessError
	if !errors.As(err, &differs) || differs.Cause != ledger.WitnessRegress || differs.File == "" {
		t.Fatal(err)
	}
	if _, err := NewGatherer(GathererConfig{Book: l, File: filepath.Join(w.root, "cosigned.json"), Now: time.Now}); err != nil {
		t.Fatal("negative control:", err)
	}
}

// TestProofIsCosigned follows a proof from the ledger to somebody who has two
// public keys and nothing else.
func TestProofIsCosigned(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	l := w.ledger(t, "log")
	w.cosigned(t, l, 4)
	p, err := l.Proof(context.Background(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(w.key.Public); err != nil {
		t.Fatal(err)
	}
	signed, err := p.Cosigners(w.public)
	if err != nil || len(signed) != 1 || signed[0].Witness != "dpo.test.example/witness" || signed[0].At.Unix() != w.now.Unix() {
		t.Fatalf("%+v, %v", signed, err)
	}
	stranger := newCosigner(t, filepath.Join(w.root, "stranger.key"), "other.example/witness")
	if signed, err := p.Cosigners(stranger.Public); err != nil || len(signed) != 0 {
		t.Fatalf("another witness: %+v, %v", signed, err)
	}
	altered := p
	altered.Cosignatures = []string{flip(p.Cosignatures[0])}
	if signed, err := altered.Cosigners(w.public); err == nil && len(signed) > 0 {
		t.Fatal("an altered cosignature passed")
	}
	// An entry that no witness has seen yet is proven by the log alone.
	fill(t, l, 1, "on")
	if p, err := l.Proof(context.Background(), 4); err != nil || len(p.Cosignatures) != 0 {
		t.Fatalf("%d cosignatures, %v", len(p.Cosignatures), err)
	}
}

// flip alters a character of the signature.
func flip(line string) string {
	b := []byte(line)
	i := len(b) - 8
	if b[i]++; b[i] > 'z' || b[i] == ':' || b[i] == '[' {
		b[i] = 'A'
	}
	return string(b)
}

// TestAwait has a release wait for a signature, and give up in time.
func TestAwait(t *testing.T) {
	w := newWorld(t)
	l := w.ledger(t, "log")
	fill(t, l, 2, "a")
	g := w.gatherer(t, l, w.client(t))
	run(t, g)
	short, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := g.Await(short, 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("without a witness: %v", err)
	}
	for end := time.Now().Add(5 * time.Minute); g.Witnesses()[0].Error == "" && time.Now().Before(end); { // a busy machine asks late
		time.Sleep(time.Millisecond)
	}
	if s := g.Witnesses(); len(s) != 1 || s[0].Error == "" || s[0].Lag == 0 {
		t.Fatalf("status %+v", s)
	}
	w.serve(t)
	long, cancelLong := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancelLong()
	if err := g.Await(long, 2); err != nil {
		t.Fatal(err)
	}
	if s := g.Witnesses(); s[0].Error != "" || s[0].Size != 2 || s[0].Lag != 0 {
		t.Fatalf("status %+v", s)
	}
}

// TestBackDatedEntry lets an attacker with the key add an entry that says it was
// made hours ago, which is possible on a ledger that was idle since.
func TestBackDatedEntry(t *testing.T) {
	w := newWorld(t)
	long := w.now.Add(-10 * time.Hour)
	at := long
	cfg := w.config("log")
	cfg.Now = func() time.Time { return at }
	l, err := ledger.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fill(t, l, 3, "a")
	w.serve(t) // its clock says w.now, ten hours later
	stop := run(t, w.gatherer(t, l, w.client(t)))
	await(t, l, 3)
	stop()
	verify := func() ledger.Report {
		t.Helper()
		cosigned, _ := l.CosignedCheckpoint()
		r, err := ledger.Verify(context.Background(), ledger.VerifyConfig{Dir: cfg.Dir, PublicKey: w.key.Public,
			WitnessKeys: []string{w.public}, Cosigned: []ledger.Cosigned{cosigned}})
		if err != nil || r.Cosigned != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		return r
	}
	at = w.now.Add(time.Second)
	fill(t, l, 1, "now")
	if r := verify(); len(r.Doubts) != 0 {
		t.Fatalf("negative control: %v", r.Doubts)
	}

	w2 := newWorld(t)
	at = long
	w2.key = w.key
	cfg = w2.config("log")
	cfg.Now = func() time.Time { return at }
	if l, err = ledger.Open(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fill(t, l, 3, "a")
	w2.serve(t)
	stop = run(t, w2.gatherer(t, l, w2.client(t)))
	await(t, l, 3)
	stop()
	at = long.Add(time.Minute)
	fill(t, l, 1, "back-dated")
	w.public = w2.public
	if r := verify(); len(r.Doubts) != 1 || *r.Doubts[0].Entry != 3 {
		t.Fatalf("the back-dated entry: %v", r.Doubts)
	}
}

// TestHourlyCheck finds a byte that was flipped on disk while the ledger runs, and
// stops it.
func TestHourlyCheck(t *testing.T) {
	w := newWorld(t)
	w.serve(t)
	l := w.ledger(t, "log")
	w.cosigned(t, l, 6)
	watcher := &ledger.Watcher{Log: l, WitnessKeys: []string{w.public}, Logger: slog.New(slog.DiscardHandler)}
	if err := watcher.Check(context.Background()); err != nil {
		t.Fatal("negative control:", err)
	}
	if last := watcher.Last(); last.Size != 6 || len(last.Problems) != 0 || l.Size() != 7 {
		t.Fatalf("%+v", last)
	}
	// The second check reads what the first one entered: the cosigned checkpoint.
	if err := watcher.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(w.root, "log/tile/entries/000.p/*"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := watcher.Check(context.Background()); !errors.Is(err, ledger.ErrTampered) {
		t.Fatalf("the flipped byte: %v", err)
	}
	if !errors.Is(l.Err(), ledger.ErrUnavailable) || len(watcher.Last().Problems) == 0 {
		t.Fatalf("it goes on: %v, %+v", l.Err(), watcher.Last())
	}
}

// TestOffLoopback wants nothing in the clear off loopback: no
// listener and no client.
func TestOffLoopback(t *testing.T) {
	if l, err := peer.Listen("0.0.0.0:0", peer.Files{}); err == nil {
		l.Close()
		t.Fatal("a listener in the clear off loopback")
	}
	for _, url := range []string{"http://192.0.2.1:7480", "http://witness.example", "https://192.0.2.1:7480", "ftp://127.0.0.1", "127.0.0.1:1", ""} {
		if _, err := peer.NewClient(url, peer.Files{}); err == nil {
			t.Errorf("%q: a client", url)
		}
	}
}
