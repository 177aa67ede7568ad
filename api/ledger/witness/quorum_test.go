package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/ledger/ledgertest"
	"griffier/api/ledger/peer"
)

// another is a further witness of the same ledger.
func (w *world) another(t *testing.T, name string) *world {
	t.Helper()
	o := newWorld(t)
	o.key, o.now = w.key, w.now
	o.cosign = newCosigner(t, filepath.Join(o.root, "named.key"), name)
	o.public = o.cosign.Public
	return o
}

// quorum is a gatherer that wants need signatures.
func (w *world) quorum(t *testing.T, l *ledger.Log, need int, clients ...*Client) *Gatherer {
	t.Helper()
	g, err := NewGatherer(GathererConfig{Book: l, Witnesses: clients, Quorum: need, File: filepath.Join(w.root, "cosigned.json"),
		Every: 20 * time.Millisecond, AlarmAfter: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// awaits has a quorum sign.
func awaits(t *testing.T, g *Gatherer, size uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := g.Await(ctx, size); err != nil {
		t.Fatal(err)
	}
}

// refused gives what Await says when as many as can have signed, and the others failed.
func refused(t *testing.T, g *Gatherer, size uint64, signed, failed int) error {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); len(g.cfg.Book.CosignedOver(size).Cosignatures) != signed || len(g.failures()) != failed; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d signatures, failures %v", len(g.cfg.Book.CosignedOver(size).Cosignatures), g.failures())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := g.Await(ctx, size)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("no quorum, and %v", err)
	}
	return err
}

// says wants all words in an error.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Fatalf("%v, want %q in it", err, word)
		}
	}
}

// told is a witness that was asked before: its answer does not depend on how fast
// this machine is.
type told struct {
	*Client
	note string
}

func (r told) Head(context.Context) (string, error) { return r.note, nil }

func ask(t *testing.T, c *Client) told {
	t.Helper()
	note, err := c.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return told{c, note}
}

// cosigners are who signed the proof of the newest entry, of all the world's.
func cosigners(t *testing.T, l *ledger.Log, all ...*world) (names []string) {
	t.Helper()
	var keys []string
	for _, w := range all {
		keys = append(keys, w.public)
	}
	p, err := l.Proof(context.Background(), l.Size()-1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Verify(l.PublicKey()); err != nil {
		t.Fatal(err)
	}
	signed, err := p.Cosigners(keys...)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range signed {
		names = append(names, s.Witness)
	}
	return names
}

// TestQuorum has a proof wait for two of three witnesses, with one of them down, and
// then for all three.
func TestQuorum(t *testing.T) {
	a := newWorld(t)
	b, c := a.another(t, "b.example/witness"), a.another(t, "c.example/witness")
	a.serve(t)
	b.serve(t)
	l := a.ledger(t, "log")
	fill(t, l, 3, "a")
	clients := []*Client{a.client(t), b.client(t), c.client(t)} // c is down

	g := a.quorum(t, l, 2, clients...)
	stop := run(t, g)
	for range 3 {
		fill(t, l, 1, "more")
		awaits(t, g, l.Size())
		if names := cosigners(t, l, a, b, c); len(names) != 2 {
			t.Fatalf("signed by %v", names)
		}
	}
	stop()

	g = a.quorum(t, l, 3, clients...)
	stop = run(t, g)
	fill(t, l, 1, "last")
	says(t, refused(t, g, l.Size(), 2, 1), "2 of 3 witnesses", "and 3 must", "c.example/witness")
	c.serve(t)
	awaits(t, g, l.Size())
	if names := cosigners(t, l, a, b, c); len(names) != 3 {
		t.Fatalf("signed by %v", names)
	}
	stop()

	// What is kept over a restart counts as far as it is signed by those that are
	// asked now, and is not what anybody may write.
	kept := filepath.Join(a.root, "cosigned.json")
	text, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	var cosigned ledger.Cosigned
	if err := json.Unmarshal(text, &cosigned); err != nil || len(cosigned.Cosignatures) != 3 {
		t.Fatalf("%s, %v", text, err)
	}
	if only, err := cosigned.By(a.public); err != nil || len(only.Cosignatures) != 1 {
		t.Fatalf("%+v, %v", only, err)
	}
	twice := cosigned
	twice.Cosignatures = append(twice.Cosignatures, cosigned.Cosignatures...)
	if again, err := twice.By(a.public, b.public); err != nil || len(again.Cosignatures) != 2 {
		t.Fatalf("a signature twice: %+v, %v", again, err)
	}
	sig := strings.Index(string(text), "— b.example/witness ") + len("— b.example/witness ") + 40
	otherDigit := map[bool]string{true: "A", false: "B"}[text[sig] == 'B']
	forged := append([]byte(nil), text...)
	forged[sig] = otherDigit[0]
	respelt := ledgertest.Respellings(text)
	respelt["a false signature"] = forged
	respelt["two on a line"] = []byte(strings.Replace(string(text), `\n","— b.example`, `\n— b.example`, 1))
	for how, altered := range respelt {
		if err := os.WriteFile(kept, altered, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := NewGatherer(GathererConfig{Book: l, Witnesses: clients, File: kept, Now: time.Now}); err == nil {
			t.Errorf("what was kept, with %s, is read", how)
		}
	}
	if err := os.WriteFile(kept, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a.quorum(t, l, 3, clients...) // negative control
}

// TestLyingWitnessDoesNotCount has one witness of three sign another history with its
// own key, another be down: what is left is no quorum of two, and one of one.
func TestLyingWitnessDoesNotCount(t *testing.T) {
	a := newWorld(t)
	liar, down := a.another(t, "liar.example/witness"), a.another(t, "down.example/witness")
	a.serve(t)
	l := a.ledger(t, "log")
	fill(t, l, 3, "a")
	other := a.ledger(t, "fork")
	fill(t, other, 3, "fork")
	forged, err := liar.cosign.Cosign(other.Checkpoint(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	lies := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			io.WriteString(rw, forged)
			return
		}
		rw.WriteHeader(http.StatusNotFound)
	}))
	defer lies.Close()
	lc, err := NewClient(lies.URL, liar.public, origin, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}
	clients := []*Client{lc, a.client(t), down.client(t)}

	g := a.quorum(t, l, 2, clients...)
	stop := run(t, g)
	says(t, refused(t, g, 3, 1, 2), "1 of 3 witnesses", "and 2 must", "liar.example/witness", "down.example/witness")
	stop()
	if err := l.Err(); err != nil {
		t.Fatalf("a lie without proof stopped the ledger: %v", err)
	}
	g = a.quorum(t, l, 1, clients...)
	stop = run(t, g)
	awaits(t, g, 3)
	stop()
	if names := cosigners(t, l, a, liar, down); len(names) != 1 || names[0] != "dpo.test.example/witness" {
		t.Fatalf("signed by %v", names)
	}
	down.serve(t)
	g = a.quorum(t, l, 2, clients...)
	stop = run(t, g)
	awaits(t, g, 3)
	stop()
	if names := cosigners(t, l, a, liar, down); len(names) != 2 {
		t.Fatalf("signed by %v", names)
	}
}

// TestForkSeenByOneOfThree shows another history, under the log's own key, to one
// witness: that one proves it, and no quorum outvotes a proof.
func TestForkSeenByOneOfThree(t *testing.T) {
	a := newWorld(t)
	b, down := a.another(t, "b.example/witness"), a.another(t, "down.example/witness")
	a.serve(t)
	b.serve(t)
	fork := a.ledger(t, "fork")
	fill(t, fork, 5, "fork")
	stop := run(t, a.quorum(t, fork, 1, b.client(t)))
	await(t, fork, 5)
	stop()
	if err := os.Remove(filepath.Join(a.root, "cosigned.json")); err != nil {
		t.Fatal(err)
	}
	l := a.ledger(t, "log")
	fill(t, l, 6, "a")
	clients := []*Client{a.client(t), b.client(t), down.client(t)}
	g := a.quorum(t, l, 1, clients...)
	stop = run(t, g)
	for deadline := time.Now().Add(5 * time.Minute); l.Err() == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the fork is not noticed")
		}
	}
	stop()
	says(t, l.Err(), "b.example/witness", "are not those")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := a.config("log", ask(t, clients[0]), ask(t, clients[1]), clients[2])
	cfg.RemoteWait = 100 * time.Millisecond
	var differs *ledger.WitnessError
	_, err := ledger.Open(context.Background(), cfg)
	if !errors.As(err, &differs) || differs.Cause != ledger.WitnessMismatch || differs.Remote != "witness b.example/witness" {
		t.Fatalf("at start: %v", err)
	}
	cfg.Remotes = []ledger.Remote{cfg.Remotes[0], clients[2]}
	l, err = ledger.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal("negative control: the others agree:", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStartNeedsTheQuorum opens a ledger with one, and with two, of three witnesses.
func TestStartNeedsTheQuorum(t *testing.T) {
	a := newWorld(t)
	b := a.another(t, "b.example/witness")
	a.serve(t)
	l := a.ledger(t, "log")
	fill(t, l, 3, "a")
	stop := run(t, a.quorum(t, l, 1, a.client(t)))
	await(t, l, 3)
	stop()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// One answers with what another key signed: that is no answer.
	stranger, err := ledger.GenerateKey(filepath.Join(a.root, "stranger.key"), origin)
	if err != nil {
		t.Fatal(err)
	}
	sl, err := ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(a.root, "stranger"), WitnessFile: filepath.Join(a.root, "stranger.head"), Key: stranger, Limit: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer sl.Close()
	lies := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, sl.Checkpoint()) }))
	defer lies.Close()
	liar := a.another(t, "liar.example/witness")
	lc, err := NewClient(lies.URL, liar.public, origin, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}

	cfg := a.config("log", ask(t, a.client(t)), b.client(t), lc)
	cfg.RemotesNeeded, cfg.RemoteWait = 2, 100*time.Millisecond
	var differs *ledger.WitnessError
	_, err = ledger.Open(context.Background(), cfg)
	if !errors.As(err, &differs) || differs.Cause != ledger.WitnessUnreachable || differs.Asked != 3 || differs.Needed != 2 || differs.Answered != 1 {
		t.Fatalf("one of three: %v", err)
	}
	says(t, err, "1 of the 3 witnesses and second sink answered, and 2 must", "b.example/witness", "liar.example/witness")
	accepting := cfg
	accepting.AcceptWitnessLoss = true
	l, err = ledger.Open(context.Background(), accepting)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b.serve(t)
	cfg.RemoteWait = time.Minute // for both that there are
	cfg.Remotes = cfg.Remotes[:2]
	l, err = ledger.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHangingWitnessHoldsUpNobody has one witness take requests and never answer.
func TestHangingWitnessHoldsUpNobody(t *testing.T) {
	a := newWorld(t)
	hangs := a.another(t, "hangs.example/witness")
	a.serve(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	hc, err := NewClient("http://"+listener.Addr().String(), hangs.public, origin, peer.Files{})
	if err != nil {
		t.Fatal(err)
	}
	l := a.ledger(t, "log")
	g := a.quorum(t, l, 1, hc, a.client(t))
	stop := run(t, g)
	for i := range 3 {
		fill(t, l, 1, fmt.Sprint(i))
		awaits(t, g, l.Size())
		if names := cosigners(t, l, a, hangs); len(names) != 1 {
			t.Fatalf("signed by %v", names)
		}
	}
	stop()
}

// TestTheSameWitnessTwice wants nobody to be counted twice.
func TestTheSameWitnessTwice(t *testing.T) {
	a := newWorld(t)
	other := newCosigner(t, filepath.Join(a.root, "b.key"), "b.example/witness")
	same := newCosigner(t, filepath.Join(a.root, "c.key"), "b.example/witness")
	if err := ledger.CheckCosigners([]string{a.public, other.Public}); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][]string{
		"one key twice":      {a.public, a.public + "\n"},
		"one name, two keys": {other.Public, same.Public},
	} {
		if err := ledger.CheckCosigners(keys); err == nil {
			t.Error(name)
		}
	}
}
