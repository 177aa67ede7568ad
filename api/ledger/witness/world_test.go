package witness

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a ledger and a witness elsewhere.
type world struct {
	root    string
	key     *ledger.Key
	cosign  *ledger.CosignerKey
	public  string // of the witness
	address string // of the witness
	now     time.Time
}

const origin = "test.example/ledger"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{root: t.TempDir(), now: time.Now()}
	var err error
	if w.key, err = ledger.GenerateKey(filepath.Join(w.root, "ledger.key"), origin); err != nil {
		t.Fatal(err)
	}
	w.cosign = newCosigner(t, filepath.Join(w.root, "witness.key"), "dpo.test.example/witness")
	w.public = w.cosign.Public
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

func newCosigner(t *testing.T, path, name string) *ledger.CosignerKey {
	t.Helper()
	if _, err := ledger.GenerateKey(path, name); err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.NewCosignerKey(strings.TrimSpace(string(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (w *world) open(t *testing.T) *Witness {
	t.Helper()
	at := w.now
	out, err := Open(Config{Dir: filepath.Join(w.root, "witness"), Key: w.cosign, Logs: []string{w.key.Public}, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// serve serves the witness until the returned function is called.
func (w *world) serve(t *testing.T) (stop func()) {
	t.Helper()
	witness := w.open(t)
	l, err := peer.Listen(w.address, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- peer.Serve(ctx, l, witness.Handler()) }()
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
		if err := witness.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func (w *world) client(t *testing.T) *Client {
	t.Helper()
	c, err := NewClient("http://"+w.address, w.public, origin, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// config is of the ledger in a folder below the root.
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

func fill(t *testing.T, l *ledger.Log, n int, what string) {
	t.Helper()
	for i := range n {
		if _, err := l.Append(context.Background(), ledger.Draft{Kind: "test.noted", Reason: fmt.Sprintf("%s-%d", what, i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) gatherer(t *testing.T, l *ledger.Log, c *Client) *Gatherer {
	t.Helper()
	g, err := NewGatherer(GathererConfig{Book: l, Witnesses: []*Client{c}, File: filepath.Join(w.root, "cosigned.json"),
		Every: 20 * time.Millisecond, AlarmAfter: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// run runs a gatherer until the test or the returned function ends it.
func run(t *testing.T, g *Gatherer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); g.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// post sends a raw body and gives status and answer.
func post(t *testing.T, w *Witness, body string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest("POST", "/add-checkpoint", strings.NewReader(body)))
	return rec.Code, rec.Body.String()
}
