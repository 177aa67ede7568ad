package enrol

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	griffierv1 "griffier/proto/griffier/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWithGriffierd is a collector's identity from its token to its revocation,
// with one real griffierd, which the parts share because it takes seconds to start.
func TestWithGriffierd(t *testing.T) {
	g := startGriffierd(t)
	t.Run("by fingerprint", g.byFingerprint)
	t.Run("by file", g.byFile)
	t.Run("another griffierd is not told the token", g.impostor)
	t.Run("refusals", g.refusals)
	t.Run("interrupted anywhere", g.interrupted)
	t.Run("by the command", g.command)
	t.Run("renewed by itself until it is revoked", g.byItself)
}

func (g *griffierd) request(collector string) Request {
	made := g.token(collector)
	trust, err := TrustFingerprint(made.GetAuthoritySha256())
	if err != nil {
		g.t.Fatal(err)
	}
	return Request{CollectorID: collector, Server: g.address, Token: made.GetToken(), Trust: trust}
}

// wantWhole checks that a folder has one identity and nothing half done, for its
// owner only.
func wantWhole(t *testing.T, f Folder, collector string) *Identity {
	t.Helper()
	i, err := f.Load()
	if err != nil || i.CollectorID != collector {
		t.Fatalf("%+v, %v; want %s", i, err, collector)
	}
	err = filepath.WalkDir(string(f), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		switch {
		case d.IsDir():
			want = 0o700
		case d.Type() == fs.ModeSymlink:
			return nil
		}
		if info.Mode().Perm() != want || strings.HasSuffix(path, ".new") {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.Name() == nextKeyFile { // a kill right after the last step leaves it
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if key, err := parseKey(text); err != nil || !f.inUse(key) {
				t.Errorf("%s is another key than the one in force: %v", path, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func folder(t *testing.T) Folder { return Folder(filepath.Join(t.TempDir(), "identity")) }

func (g *griffierd) byFingerprint(t *testing.T) {
	f := folder(t)
	if _, err := f.Load(); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("before: %v", err)
	}
	if c, err := f.ClientCertificate(nil); err != nil || len(c.Certificate) != 0 {
		t.Errorf("before, it shows %v, %v; want none", c, err)
	}
	if _, err := f.Enrol(t.Context(), g.request("finger"), time.Now); err != nil {
		t.Fatal(err)
	}
	first := wantWhole(t, f, "finger")
	if _, err := f.Renew(t.Context(), "", time.Now); err != nil {
		t.Fatal(err)
	}
	second := wantWhole(t, f, "finger")
	if first.Leaf().Equal(second.Leaf()) || first.Leaf().PublicKey.(*ecdsa.PublicKey).Equal(second.Leaf().PublicKey) {
		t.Error("the renewed certificate, or its key, is the same")
	}
	shown, err := f.ClientCertificate(nil)
	if err != nil || !bytes.Equal(shown.Certificate[0], second.Leaf().Raw) {
		t.Errorf("new connections show another certificate than the new one: %v", err)
	}
}

func (g *griffierd) byFile(t *testing.T) {
	f, r := folder(t), g.request("file")
	var err error
	if r.Trust, err = TrustFile(g.tls("ca.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Enrol(t.Context(), r, time.Now); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, f, "file")
	// Enrolled anew, by a token: nothing of before is needed.
	if _, err := f.Enrol(t.Context(), g.request("file"), time.Now); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, f, "file")
}

// impostor is a server whose certificate is another CA's, or another name's; the
// token that was on its way is good afterwards.
func (g *griffierd) impostor(t *testing.T) {
	f, good := folder(t), g.request("honest")
	wrong := good
	var err error
	if wrong.Trust, err = TrustFingerprint(strings.Repeat("ab", 32)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Enrol(t.Context(), wrong, time.Now); !errors.Is(err, errPin) {
		t.Errorf("another fingerprint: %v", err)
	}
	if wrong.Trust, err = TrustFile(g.tls("provisioner.pem")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Enrol(t.Context(), wrong, time.Now); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("another CA: %v", err)
	}
	named := good
	named.Server = strings.Replace(good.Server, "127.0.0.1", "127.0.0.2", 1)
	if _, err := f.Enrol(t.Context(), named, time.Now); err == nil {
		t.Error("a server of another name was trusted")
	}
	if _, err := f.Load(); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("after impostors: %v", err)
	}
	if _, err := f.Enrol(t.Context(), good, time.Now); err != nil {
		t.Errorf("the token afterwards: %v", err)
	}
}

func (g *griffierd) refusals(t *testing.T) {
	f, r := folder(t), g.request("refused")
	other := r
	other.CollectorID = "other"
	if _, err := f.Enrol(t.Context(), other, time.Now); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not the one that the token is for") {
		t.Errorf("as another collector: %v", err)
	}
	if _, err := f.Enrol(t.Context(), r, time.Now); err != nil {
		t.Fatal(err)
	}
	before := wantWhole(t, f, "refused")
	if again, err := f.Enrol(t.Context(), r, time.Now); err != nil || !again.Leaf().Equal(before.Leaf()) {
		t.Errorf("the command again, when it is done: %v", err)
	}
	thief := folder(t)
	_, err := thief.Enrol(t.Context(), r, time.Now)
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "ENROLMENT_REFUSED") || !strings.Contains(err.Error(), "griffier collector token") {
		t.Errorf("a replayed token: %v; want a refusal with its cure", err)
	}
	if strings.Contains(err.Error(), r.Token) || strings.Contains(err.Error(), r.Token[17:]) {
		t.Errorf("the error has the token in it: %v", err)
	}
	if _, err := g.engineer().RevokeCollector(t.Context(), &griffierv1.RevokeCollectorRequest{CollectorId: "refused"}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), "", time.Now); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "ENROLMENT_REFUSED") {
		t.Errorf("renewal of a revoked collector: %v", err)
	}
	if after, err := f.Load(); err != nil || !after.Leaf().Equal(before.Leaf()) {
		t.Errorf("after a refusal the identity is another: %v", err)
	}
}

// interrupted leaves the folder as a crash would, after each step of an enrolment
// and a renewal, and does it again: there is always one whole identity or none,
// and griffierd issues no certificate twice for one request.
func (g *griffierd) interrupted(t *testing.T) {
	r := g.request("crash")
	f := folder(t)
	key, err := f.nextKey() // killed before the request
	if err != nil {
		t.Fatal(err)
	}
	if again, err := f.nextKey(); err != nil || !again.Equal(key) {
		t.Fatalf("after a restart it is another key: %v", err)
	}
	lost := Folder(string(f) + "-lost") // killed after griffierd answered: the same key asked, nothing was kept
	if err := os.CopyFS(string(lost), os.DirFS(string(f))); err != nil {
		t.Fatal(err)
	}
	answered, err := lost.Enrol(t.Context(), r, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	g.kill() // and griffierd with it: what it answered, it remembers
	// Killed while the answer was being written.
	half := f.path(folderPrefix + answered.Leaf().SerialNumber.Text(16))
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{filepath.Join(half, certFile): "-----BEGIN CERT", f.path(currentLink + ".new"): "x", f.path(nextKeyFile + ".new"): "torn"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Load(); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("half an answer is an identity: %v", err)
	}
	got, err := f.Enrol(t.Context(), r, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(f.path(nextKeyFile + ".new"))
	if !got.Leaf().Equal(answered.Leaf()) {
		t.Error("asked again, griffierd gave another certificate")
	}
	wantWhole(t, f, "crash")
	if n := g.issued("crash"); n != 1 {
		t.Errorf("griffierd issued %d certificates, want one", n)
	}
	// Killed after the link was replaced: the used key is still there as the next.
	text, err := os.ReadFile(filepath.Join(string(f), currentLink, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path(nextKeyFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	renewed, err := f.Renew(t.Context(), "", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got.Leaf().PublicKey.(*ecdsa.PublicKey).Equal(renewed.Leaf().PublicKey) {
		t.Error("a key that was in use was used again")
	}
	wantWhole(t, f, "crash")
	// A next key that is torn is made anew.
	if err := os.WriteFile(f.path(nextKeyFile), []byte("-----BEGIN PRIV"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Renew(t.Context(), "", time.Now); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, f, "crash")
	if n := g.issued("crash"); n != 3 {
		t.Errorf("griffierd issued %d certificates, want three", n)
	}
}

// byItself runs a renewer over two renewals, one of them with griffierd away when
// it is due, and then a revocation.
func (g *griffierd) byItself(t *testing.T) {
	g.shorten()
	f := folder(t)
	first, err := f.Enrol(t.Context(), g.request("auto"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var log output
	registry := prometheus.NewRegistry()
	n := NewRenewer(f, "", slog.New(slog.NewTextHandler(&log, nil)), registry)
	count := func(outcome string) int { return int(testutil.ToFloat64(n.renewals.WithLabelValues(outcome))) }
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { n.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	g.renewed(t, f, "auto", &log, func() bool { return count(renewed) > 0 })
	second := wantWhole(t, f, "auto")
	if early := RenewAt(first.Leaf()); time.Now().Before(early) || second.Leaf().Equal(first.Leaf()) {
		t.Errorf("renewed before %v", early)
	}
	g.stop()
	await(t, "an attempt without griffierd", &log, func() bool { return count(unreachable) > 0 })
	if i, err := f.Load(); err != nil || !i.Leaf().Equal(second.Leaf()) {
		t.Errorf("without griffierd the identity is another: %v", err)
	}
	// Enrolled anew while it runs, as after a time in which it expired.
	g.start()
	if _, err := f.Enrol(t.Context(), g.request("auto"), time.Now); err != nil {
		t.Fatal(err)
	}
	before := count(renewed)
	g.renewed(t, f, "auto", &log, func() bool { return count(renewed) > before })
	revoke := func() {
		if _, err := g.engineer().RevokeCollector(t.Context(), &griffierv1.RevokeCollectorRequest{CollectorId: "auto"}); err != nil {
			t.Fatal(err)
		}
	}
	revoke()
	g.renewing(t, "a refusal once it is revoked", f, "auto", &log, revoke, func() bool { return count(refused) > 0 })
	await(t, "the metric of when it ends", &log, func() bool {
		return testutil.ToFloat64(n.expires) == float64(wantLast(t, f).Leaf().NotAfter.Unix())
	})
	if !strings.Contains(log.String(), "certificate renewed") || strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("log:\n%s", log.String())
	}
}

// await waits for what a busy machine takes its time for.
func await(t *testing.T, what string, log *output, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within five minutes; log:\n%s", what, log)
		}
	}
}

// renewed waits for a renewal.
func (g *griffierd) renewed(t *testing.T, f Folder, collector string, log *output, done func() bool) {
	t.Helper()
	g.renewing(t, "a renewal", f, collector, log, func() {}, done)
}

// renewing waits for what a renewer does with a short-lived certificate. One that
// expired before that, on a machine that stood still, is followed by another: then is
// called after it.
func (g *griffierd) renewing(t *testing.T, what string, f Folder, collector string, log *output, then func(), done func() bool) {
	t.Helper()
	await(t, what, log, func() bool {
		if done() {
			return true
		}
		if i, err := f.Load(); err == nil && time.Now().After(i.Leaf().NotAfter) {
			if _, err := f.Enrol(t.Context(), g.request(collector), time.Now); err != nil {
				t.Fatal(err)
			}
			then()
		}
		return false
	})
}

func wantLast(t *testing.T, f Folder) *Identity {
	t.Helper()
	i, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	return i
}
