package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/retention"
	"griffier/api/retention/expiry"
	"griffier/api/signedfile"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// policyFile is profile nl of a generation, with a period for usage_5m, signed by
// the key that Init made in dir.
func policyFile(t *testing.T, dir string, generation int, period string) []byte {
	t.Helper()
	key, err := ledger.LoadKey(filepath.Join(dir, "secret", "retention-signing.key"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := retention.Profile("nl")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("P14D"), []byte(period), 1)
	text = bytes.Replace(text, []byte("generation: 1"), fmt.Appendf(nil, "generation: %d", generation), 1)
	signed, err := retention.Sign(text, key.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestPolicyFileOverALife: griffierd starts, takes a shorter policy at a reload,
// refuses a bad one at the next, and starts with the good one after that.
func TestPolicyFileOverALife(t *testing.T) {
	short, err := os.MkdirTemp("", "gr") // a socket path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	dir := filepath.Join(short, "g")
	o := options()
	o.Listen, o.LedgerLimit, o.Laboratory = "127.0.0.1:0", 10*time.Second, true
	path, err := Init(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	logs := &syncBuffer{}
	reload, reloaded := make(chan struct{}), make(chan error)
	life := func(during func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		ready, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- Run(ctx, cfg, slog.New(slog.NewJSONHandler(logs, nil)), Start{Ready: func(net.Addr) { close(ready) },
				Manager: Manager{Reload: reload, Reloaded: func(err error) { reloaded <- err }}})
		}()
		select {
		case <-ready:
			during()
			cancel()
			if err := <-done; err != nil {
				t.Errorf("griffierd stopped with: %v", err)
			}
		case err := <-done:
			t.Errorf("griffierd did not start: %v", err)
		}
		cancel()
	}
	inForce := func(what, want string) {
		t.Helper()
		conn, err := schema.Open(t.Context(), schema.Config{Socket: cfg.Store.Socket})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		policies, err := schema.ReadPolicy(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range policies {
			if p.Class == schema.ClassUsage5m && p.Period != want {
				t.Errorf("%s: %s is in force, want %s", what, p.Period, want)
			}
		}
	}
	lay := func(file []byte) {
		t.Helper()
		if err := os.WriteFile(cfg.RetentionFile, file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bad := append(policyFile(t, dir, 3, "P5D"), "zone: UTC\n"...)
	life(func() {
		inForce("first", "P14D")
		put(t, cfg, time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -10))
		lay(policyFile(t, dir, 2, "P7D"))
		reload <- struct{}{}
		if err := <-reloaded; err != nil {
			t.Errorf("reload: %v", err)
		}
		inForce("reloaded", "P7D")
		// The day that it makes due does not wait for the dropper's next look.
		for until := time.Now().Add(expiry.DropInterval * 3 / 4); certificates(t, dir, cfg) == 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("the day that a shorter policy made due is still there")
			}
		}
		lay(bad)
		reload <- struct{}{}
		if err := <-reloaded; err == nil {
			t.Error("a bad policy was reloaded")
		}
		inForce("after a bad file", "P7D")
	})
	before := strings.Count(logs.String(), "retention policy file refused")
	life(func() { inForce("restarted with a bad file", "P7D") })
	if n := strings.Count(logs.String(), "retention policy file refused"); before != 1 || n != 2 {
		t.Errorf("refusals in the log: %d, then %d; want one each", before, n)
	}
	// The store is lost, and the file is bad: what the ledger knows holds.
	if err := os.RemoveAll(cfg.Store.DataDir); err != nil {
		t.Fatal(err)
	}
	life(func() { inForce("with a new store", "P7D") })
	lay(policyFile(t, dir, 3, "P5D"))
	life(func() { inForce("with a good file again", "P5D") })
}

// operatorsMachine: monitoring sees retention, and decides nothing.
func (w *world) operatorsMachine(t *testing.T) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(w.dir, "tls", "operator.pem"), filepath.Join(w.dir, "tls", "operator.key"))
	if err != nil {
		t.Fatal(err)
	}
	c := griffierv1.NewRetentionServiceClient(w.dial(t, w.cfg.Listen, []tls.Certificate{cert}))
	now, err := c.GetRetention(context.Background(), &griffierv1.GetRetentionRequest{})
	if err != nil || now.GetInForce().GetGeneration() != 1 || now.GetFileProblem() != "" || len(now.GetInForce().GetRules()) != len(retention.Classes()) {
		t.Errorf("the policy in force: %v, %v", now, err)
	}
	_, err = c.ProposeRetention(context.Background(), &griffierv1.ProposeRetentionRequest{RequestId: "request-1", File: policyFile(t, w.dir, 2, "P15D")})
	wantReason(t, "a machine proposes", err, reason.StepUpRequired)
	_, err = griffierv1.NewLedgerServiceClient(w.dial(t, w.cfg.Listen, []tls.Certificate{cert})).GetCheckpoint(context.Background(), &griffierv1.GetCheckpointRequest{})
	wantReason(t, "a machine reads the ledger", err, reason.PermissionDenied)
}

// tooLargeForTheLedger: a request that cannot be entered is refused as such.
func (w *world) tooLargeForTheLedger(t *testing.T) {
	_, err := griffierv1.NewRetentionServiceClient(w.people).PlanRetention(w.as(t, "otto"), &griffierv1.PlanRetentionRequest{File: make([]byte, 500_000)})
	wantReason(t, "half a megabyte", err, reason.InvalidRequest)
	_, err = griffierv1.NewRetentionServiceClient(w.people).PlanRetention(w.as(t, "otto"), &griffierv1.PlanRetentionRequest{File: make([]byte, signedfile.MaxFile+1)})
	wantReason(t, "more than a policy file has", err, reason.PolicyRefused)
}
