package sink

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a ledger and a second sink elsewhere.
type world struct {
	root    string
	key     *ledger.Key
	address string // of the sink
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{root: t.TempDir()}
	var err error
	if w.key, err = ledger.GenerateKey(filepath.Join(w.root, "ledger.key"), "test.example/ledger"); err != nil {
		t.Fatal(err)
	}
	// An address that stays the same over restarts, below the ports that the kernel
	// gives by itself: to another test, or to a client that tries until it is served.
	var l net.Listener
	for range 50 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	w.address = l.Addr().String()
	l.Close()
	return w
}

func (w *world) dir() string { return filepath.Join(w.root, "sink") }

func (w *world) store(t *testing.T) *Store {
	t.Helper()
	s, err := Open(w.dir(), w.key.Public)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve serves the copy until the returned function is called.
func (w *world) serve(t *testing.T) (stop func()) {
	t.Helper()
	store := w.store(t)
	l, err := peer.Listen(w.address, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- peer.Serve(ctx, l, Handler(store)) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func (w *world) client(t *testing.T) *Client {
	t.Helper()
	c, err := NewClient("http://"+w.address, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func (w *world) config(dir string, remotes ...ledger.Remote) ledger.Config {
	return ledger.Config{Dir: filepath.Join(w.root, dir), WitnessFile: filepath.Join(w.root, dir+".head"), Key: w.key,
		Limit: 30 * time.Second, Remotes: remotes, RemoteWait: time.Minute, Logger: slog.New(slog.DiscardHandler)}
}

func (w *world) ledger(t *testing.T, dir string, remotes ...ledger.Remote) *ledger.Log {
	t.Helper()
	l, err := ledger.Open(context.Background(), w.config(dir, remotes...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// fill appends n entries by many writers at once.
func fill(t *testing.T, l *ledger.Log, n int, what string) {
	t.Helper()
	const writers = 32
	failed := make(chan error, writers)
	for k := range writers {
		go func() {
			var err error
			for i := k; i < n && err == nil; i += writers {
				_, err = l.Append(context.Background(), ledger.Draft{Kind: "test.noted", Reason: fmt.Sprintf("%s-%d", what, i)})
			}
			failed <- err
		}()
	}
	for range writers {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) shipper(t *testing.T, l *ledger.Log, now func() time.Time) *Shipper {
	t.Helper()
	return NewShipper(ShipperConfig{Book: l, Client: w.client(t), Every: 5 * time.Millisecond,
		AlarmAfter: time.Minute, RefuseAfter: 10 * time.Minute, Now: now, Log: slog.New(slog.DiscardHandler)})
}

// run runs a shipper until the test or the returned function ends it.
func run(t *testing.T, s *Shipper) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}
