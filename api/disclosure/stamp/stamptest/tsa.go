// Package stamptest is a real time-stamping authority for tests: openssl ts behind
// HTTP on the loopback, with a certification authority of its own.
package stamptest

import (
	"crypto/rand"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"griffier/api/disclosure/stamp"
)

// TSA is a running authority.
type TSA struct {
	URL      string
	Roots    *x509.CertPool
	RootFile string // PEM
	// Down makes it answer with an error.
	Down atomic.Bool

	dir string
	mu  sync.Mutex // openssl keeps its serial number in a file
}

const config = `
[tsa]
default_tsa = t
[t]
serial = serial
crypto_device = builtin
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
signer_digest = sha256
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[stamper]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
[both]
extendedKeyUsage = critical,timeStamping,serverAuth
[req]
distinguished_name = dn
[dn]
`

// Start makes the certificates and serves until the test ends.
func Start(t testing.TB) *TSA {
	t.Helper()
	a := &TSA{dir: t.TempDir()}
	a.write(t, "c.cnf", config)
	a.write(t, "serial", "01\n")
	a.openssl(t, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "c.cnf", "-extensions", "ca", "-days", "30",
		"-subj", "/CN=CA for tests", "-keyout", "ca.key", "-out", "ca.pem")
	a.certify(t, "signer", "/CN=TSA for tests", "stamper")
	for _, section := range []string{"stamper", "both"} { // now: they must be valid when a token is made
		a.certify(t, "other-"+section, "/CN=another", section)
	}
	a.RootFile = filepath.Join(a.dir, "ca.pem")
	root, err := os.ReadFile(a.RootFile)
	if err != nil {
		t.Fatal(err)
	}
	a.Roots = x509.NewCertPool()
	if !a.Roots.AppendCertsFromPEM(root) {
		t.Fatal("no root")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(io.LimitReader(r.Body, 4096))
		if err != nil || a.Down.Load() || r.Header.Get("Content-Type") != "application/timestamp-query" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		reply, err := a.reply(query, "signer")
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(reply)
	}))
	t.Cleanup(server.Close)
	a.URL = server.URL
	return a
}

// Client returns a client of it, which waits as long as a busy machine takes.
func (a *TSA) Client() *stamp.Client {
	return &stamp.Client{URL: a.URL, Roots: a.Roots, Rand: rand.Reader, Limit: time.Minute}
}

func (a *TSA) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (a *TSA) openssl(t testing.TB, args ...string) {
	t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = a.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v: %s", args[0], err, out)
	}
}

// certify makes a key and a certificate with the extensions of a section.
func (a *TSA) certify(t testing.TB, name, subject, section string) {
	t.Helper()
	a.openssl(t, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "c.cnf", "-subj", subject, "-keyout", name+".key", "-out", name+".csr")
	a.openssl(t, "x509", "-req", "-in", name+".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-extfile", "c.cnf", "-extensions", section, "-out", name+".pem")
}

func (a *TSA) reply(query []byte, signer string) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.WriteFile(filepath.Join(a.dir, "query"), query, 0o600); err != nil {
		return nil, err
	}
	c := exec.Command("openssl", "ts", "-reply", "-config", "c.cnf", "-queryfile", "query", "-signer", signer+".pem", "-inkey", signer+".key", "-out", "reply")
	c.Dir = a.dir
	if err := c.Run(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(a.dir, "reply"))
}

// Sign returns a token about what another token is about, signed by a certificate
// of its own with the extensions of a section: "stamper", or "both", which no
// authority for time stamps may have. bare leaves out the name of the certificate.
func (a *TSA) Sign(t testing.TB, token []byte, section string, bare bool) []byte {
	t.Helper()
	p7, err := pkcs7.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write(t, "tstinfo", string(p7.Content))
	args := []string{"cms", "-sign", "-in", "tstinfo", "-binary", "-nodetach", "-econtent_type", "1.2.840.113549.1.9.16.1.4",
		"-signer", "other-" + section + ".pem", "-inkey", "other-" + section + ".key", "-outform", "DER", "-out", "signed"}
	if !bare {
		args = append(args, "-cades")
	}
	a.openssl(t, args...)
	signed, err := os.ReadFile(filepath.Join(a.dir, "signed"))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
