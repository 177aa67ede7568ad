package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
	"griffier/api/ledger/witness"
)

// TestReleaseWaitsForAWitness follows the proof of a result through a witness that
// is there, one that is away, and a configuration that insists on one.
func TestReleaseWaitsForAWitness(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/griffier")
	must(err)
	_, err = ledger.GenerateKey(filepath.Join(dir, "witness.key"), "dpo.test.example/witness")
	must(err)
	secret, err := os.ReadFile(filepath.Join(dir, "witness.key"))
	must(err)
	cosigner, err := ledger.NewCosignerKey(strings.TrimSpace(string(secret)))
	must(err)
	public := filepath.Join(dir, "witness.pub")
	must(os.WriteFile(public, []byte(cosigner.Public+"\n"), 0o600))
	watching, err := witness.Open(witness.Config{Dir: filepath.Join(dir, "witness"), Key: cosigner, Logs: []string{key.Public}, Now: time.Now})
	must(err)
	defer watching.Close()
	listener, err := peer.Listen("127.0.0.1:0", peer.Files{})
	must(err)
	serving, stopServing := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- peer.Serve(serving, listener, watching.Handler()) }()

	cfg := defaultLedger()
	cfg.Dir, cfg.WitnessFile = filepath.Join(dir, "log"), filepath.Join(dir, "head")
	cfg.Witnesses = []WitnessConfig{{URL: "http://" + listener.Addr().(*net.TCPAddr).String(), PublicKeyFile: public}}
	must(cfg.validate())
	g, err := newGuards(cfg, key.Signer.Name(), slog.New(slog.DiscardHandler))
	must(err)
	book, err := ledger.Open(ctx, ledger.Config{Dir: cfg.Dir, WitnessFile: cfg.WitnessFile, Key: key, Limit: 30 * time.Second, Remotes: g.remotes(), Logger: slog.New(slog.DiscardHandler)})
	must(err)
	defer book.Close()
	must(g.attach(book, prometheus.NewRegistry()))
	done := make(chan struct{})
	go func() { defer close(done); g.run(ctx) }()
	defer func() { cancel(); <-done }()

	g.cfg.ReleaseWait = 5 * time.Minute // ends a hang
	for i := range 3 {
		e, err := book.Append(ctx, ledger.Draft{Kind: "test.noted"})
		must(err)
		p, err := g.book(book).Proof(ctx, e.Index)
		must(err)
		if signed, err := p.Cosigners(cosigner.Public); err != nil || len(signed) != 1 {
			t.Fatalf("proof %d: %+v, %v", i, signed, err)
		}
	}

	stopServing()
	must(<-served)
	g.cfg.ReleaseWait = 200 * time.Millisecond
	e, err := book.Append(ctx, ledger.Draft{Kind: "test.noted"})
	must(err)
	began := time.Now()
	p, err := g.book(book).Proof(ctx, e.Index)
	if err != nil || len(p.Cosignatures) != 0 || time.Since(began) > 2*time.Minute {
		t.Fatalf("with the witness away, after %v: %+v, %v", time.Since(began), p.Cosignatures, err)
	}
	if _, err := p.Verify(key.Public); err != nil {
		t.Fatal(err)
	}
	g.cfg.ReleaseNeedsWitness = true
	if _, err := g.book(book).Proof(ctx, e.Index); !errors.Is(err, ledger.ErrUnavailable) || !strings.Contains(err.Error(), "0 of 1 witnesses signed") {
		t.Fatalf("insisting on a witness: %v", err)
	}
	s := g.watched().Witnesses.Witnesses()
	for until := time.Now().Add(time.Minute); len(s) == 1 && s[0].Error == "" && time.Now().Before(until); time.Sleep(time.Millisecond) {
		s = g.watched().Witnesses.Witnesses() // when the witness was tried in vain
	}
	if len(s) != 1 || s[0].Size != 3 || s[0].Error == "" {
		t.Fatalf("%+v", s)
	}
}

func TestLedgerConfigRefusals(t *testing.T) {
	two := []WitnessConfig{{URL: "https://a.example", PublicKeyFile: "a"}, {URL: "https://b.example", PublicKeyFile: "b"}}
	for want, change := range map[string]func(*LedgerConfig){
		"peers.cert_file":             func(c *LedgerConfig) { c.Peers.CertFile = "x" },
		"witnesses[0] needs url":      func(c *LedgerConfig) { c.Witnesses = []WitnessConfig{{PublicKeyFile: "x"}} },
		"at most 8":                   func(c *LedgerConfig) { c.Witnesses = make([]WitnessConfig, 9) },
		"release_needs_witness needs": func(c *LedgerConfig) { c.ReleaseNeedsWitness = true },
		"a ledger.release_wait above": func(c *LedgerConfig) { c.ReleaseNeedsWitness, c.ReleaseWait, c.Witnesses = true, 0, two },
		"quorum must be between 1":    func(c *LedgerConfig) { c.Quorum = 0 },
		"ledger.witnesses, 2":         func(c *LedgerConfig) { c.Quorum, c.Witnesses = 3, two },
		"quorum above 1 needs":        func(c *LedgerConfig) { c.Quorum, c.Witnesses = 2, two },
		"sink.alarm_after":            func(c *LedgerConfig) { c.Sink.AlarmAfter = 2 * time.Minute },
		"sink.refuse_after":           func(c *LedgerConfig) { c.Sink.RefuseAfter = time.Second },
		"verify_every":                func(c *LedgerConfig) { c.VerifyEvery = time.Second },
		"release_wait":                func(c *LedgerConfig) { c.ReleaseWait = time.Hour },
	} {
		c := defaultLedger()
		if err := c.validate(); err != nil {
			t.Fatal("negative control:", err)
		}
		change(&c)
		if err := c.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	c := defaultLedger()
	c.Witnesses = []WitnessConfig{{URL: "https://dpo.isp.example:7480", PublicKeyFile: filepath.Join(t.TempDir(), "none")}}
	if _, err := newGuards(c, "test.example/griffier", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a witness without a key")
	}
	secret := filepath.Join(t.TempDir(), "witness.key")
	if _, err := ledger.GenerateKey(secret, "dpo.test.example/witness"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(secret)
	if err != nil {
		t.Fatal(err)
	}
	cosigner, err := ledger.NewCosignerKey(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	public := secret + ".pub"
	if err := os.WriteFile(public, []byte(cosigner.Public), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Witnesses = []WitnessConfig{{URL: "http://127.0.0.1:7480", PublicKeyFile: public}, {URL: "http://127.0.0.2:7480", PublicKeyFile: public}}
	if _, err := newGuards(c, "test.example/griffier", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "the same witness twice") {
		t.Errorf("one witness under two addresses: %v", err)
	}
}
