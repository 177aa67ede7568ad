package stamp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"griffier/api/disclosure/stamp"
	"griffier/api/disclosure/stamp/stamptest"
)

func digest(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func TestStamp(t *testing.T) {
	tsa := stamptest.Start(t)
	c := tsa.Client()
	before := time.Now().Add(-2 * time.Second)
	token, err := c.Stamp(t.Context(), digest("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := stamp.Verify(token, digest("manifest"), tsa.Roots)
	if err != nil {
		t.Fatal(err)
	}
	if info.At.Before(before) || info.At.After(time.Now().Add(2*time.Second)) || info.Serial == "" || info.Policy != "1.2.3.4.1" || info.Authority != "TSA for tests" {
		t.Errorf("%+v", info)
	}
	// What openssl thinks of the same token.
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	if err := os.WriteFile(path, token, 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("manifest"))
	out, err := exec.Command("openssl", "ts", "-verify", "-digest", hex.EncodeToString(sum[:]), "-token_in", "-in", path, "-CAfile", tsa.RootFile).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("Verification: OK")) {
		t.Errorf("openssl: %v: %s", err, out)
	}
}

// TestVerifyRefuses is the negative control of every part of Verify.
func TestVerifyRefuses(t *testing.T) {
	tsa, other := stamptest.Start(t), stamptest.Start(t)
	token, err := tsa.Client().Stamp(t.Context(), digest("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(at int) []byte { b := bytes.Clone(token); b[at] ^= 1; return b }
	for name, c := range map[string]struct {
		token  []byte
		digest string
		roots  *x509.CertPool
		want   string
	}{
		"another digest":   {token, "manifesto", tsa.Roots, "something else"},
		"another root":     {token, "manifest", other.Roots, "root that you trust"},
		"no root":          {token, "manifest", x509.NewCertPool(), "root that you trust"},
		"nil roots":        {token, "manifest", nil, "no roots"},
		"nothing":          {nil, "manifest", tsa.Roots, "no signed message"},
		"cut":              {token[:len(token)-5], "manifest", tsa.Roots, ""},
		"a byte more":      {append(bytes.Clone(token), 0), "manifest", tsa.Roots, "nothing beside it"},
		"signature":        {flipped(len(token) - 3), "manifest", tsa.Roots, "root that you trust"},
		"too long":         {make([]byte, 65<<10), "manifest", tsa.Roots, "longer"},
		"also for servers": {tsa.Sign(t, token, "both", false), "manifest", tsa.Roots, "time stamping alone"},
		"names no signer":  {tsa.Sign(t, token, "stamper", true), "manifest", tsa.Roots, "does not name its certificate"},
	} {
		if _, err := stamp.Verify(c.token, digest(c.digest), c.roots); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := stamp.Verify(tsa.Sign(t, token, "stamper", false), digest("manifest"), tsa.Roots); err != nil {
		t.Errorf("the controls above may fail for another reason: %v", err)
	}
	// Any flipped bit is noticed, wherever it matters.
	accepted := 0
	for at := range token {
		if _, err := stamp.Verify(flipped(at), digest("manifest"), tsa.Roots); err == nil {
			accepted++
		}
	}
	if accepted > len(token)/20 {
		t.Errorf("%d of %d flipped bytes are accepted", accepted, len(token))
	}
}

// TestClientRefuses: an authority that does not do as RFC 3161 says gets no trust.
func TestClientRefuses(t *testing.T) {
	tsa := stamptest.Start(t)
	old, err := tsa.Client().Stamp(t.Context(), digest("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	var answer atomic.Value
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer.Load().(func(http.ResponseWriter, *http.Request))(w, r)
	}))
	defer server.Close()
	defer close(release)
	c := &stamp.Client{URL: server.URL, Roots: tsa.Roots, Rand: rand.Reader, Limit: 300 * time.Millisecond}
	granted := append([]byte{0x30, 0x82, byte((len(old) + 5) >> 8), byte(len(old) + 5), 0x30, 0x03, 0x02, 0x01, 0x00}, old...)
	for name, serve := range map[string]func(http.ResponseWriter, *http.Request){
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		},
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"nothing":  func(http.ResponseWriter, *http.Request) {},
		"too much": func(w http.ResponseWriter, _ *http.Request) { io.Copy(w, io.LimitReader(rand.Reader, 1<<20)) },
		"refusal": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte{0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x02})
		},
		"no token": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte{0x30, 0x05, 0x30, 0x03, 0x02, 0x01, 0x00})
		},
		"an old token": func(w http.ResponseWriter, _ *http.Request) { w.Write(granted) },
	} {
		answer.Store(serve)
		if c.Limit = 20 * time.Second; name == "silence" { // the others answer, on a busy machine too
			c.Limit = 300 * time.Millisecond
		}
		start := time.Now()
		_, err := c.Stamp(context.Background(), digest("manifest"))
		if err == nil || time.Since(start) > time.Minute {
			t.Errorf("%s: %v after %v", name, err, time.Since(start))
		}
		if name == "an old token" && !strings.Contains(err.Error(), "another request") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Add([]byte{0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02})
	tsa := stamptest.Start(f)
	token, err := tsa.Client().Stamp(f.Context(), digest("manifest"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Fuzz(func(t *testing.T, token []byte) {
		_, _ = stamp.Verify(token, digest("manifest"), tsa.Roots)
	})
}
