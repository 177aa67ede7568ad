package schema

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"griffier/schema/engine/enginetest"
)

// authority is a CA of the test's own.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM of the CA
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{dir: t.TempDir(), cert: cert, key: key}
	a.file = writePEM(t, filepath.Join(a.dir, "ca.pem"), "CERTIFICATE", der)
	return a
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// issue writes a certificate and its key and returns their files.
func (a *authority) issue(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return writePEM(t, filepath.Join(a.dir, name+".pem"), "CERTIFICATE", der), writePEM(t, filepath.Join(a.dir, name+".key"), "PRIVATE KEY", secret)
}

// serveTLS lends the engine a TLS port that wants a certificate of the CA, and
// returns its address and the names of those who were let in.
func serveTLS(t *testing.T, socket string, a *authority) (address string, seen func() []string) {
	t.Helper()
	certFile, keyFile := a.issue(t, "server")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var names []string
	var relays sync.WaitGroup
	t.Cleanup(relays.Wait)
	t.Cleanup(func() { l.Close() })
	relays.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			relays.Go(func() {
				defer outside.Close()
				if outside.(*tls.Conn).Handshake() != nil {
					return
				}
				mu.Lock()
				names = append(names, outside.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName)
				mu.Unlock()
				inside, err := net.Dial("unix", socket)
				if err != nil {
					return
				}
				relays.Go(func() { io.Copy(inside, outside); inside.Close() })
				io.Copy(outside, inside)
			})
		}
	})
	return l.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), names...)
	}
}

func TestOpenByTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	address, seen := serveTLS(t, enginetest.Start(t).Socket, ours)
	certFile, keyFile := ours.issue(t, "griffier_portal")
	strangeCert, strangeKey := theirs.issue(t, "griffier_portal")
	dsn := "https://user:hunter2@" + address + "/default?secure=true"
	conn, err := Open(t.Context(), Config{DSN: dsn, CAFile: ours.file, CertFile: certFile, KeyFile: keyFile})
	if err != nil {
		t.Fatal(err)
	}
	var quorum string
	if err := conn.QueryRow(t.Context(), "SELECT value FROM system.settings WHERE name = 'insert_quorum'").Scan(&quorum); err != nil || quorum != "auto" {
		t.Errorf("insert_quorum = %s (%v), want auto on a server", quorum, err)
	}
	conn.Close()
	for _, name := range seen() {
		if name != "griffier_portal" {
			t.Errorf("the server saw %q", name)
		}
	}
	for name, c := range map[string]Config{
		"a CA that did not sign the server":   {DSN: dsn, CAFile: theirs.file, CertFile: certFile, KeyFile: keyFile},
		"the host's own CAs":                  {DSN: dsn, CertFile: certFile, KeyFile: keyFile},
		"no client certificate":               {DSN: dsn, CAFile: ours.file},
		"another CA's client certificate":     {DSN: dsn, CAFile: ours.file, CertFile: strangeCert, KeyFile: strangeKey},
		"a key that is not the certificate's": {DSN: dsn, CAFile: ours.file, CertFile: certFile, KeyFile: strangeKey},
		"a certificate without its key":       {DSN: dsn, CAFile: ours.file, CertFile: certFile},
		"a CA file that is none":              {DSN: dsn, CAFile: keyFile, CertFile: certFile, KeyFile: keyFile},
		"files and no secure=true":            {DSN: "http://" + address + "/default", CAFile: ours.file},
		"plain, off loopback":                 {DSN: "clickhouse://user:hunter2@192.0.2.1:9000/"},
		"plain, by name":                      {DSN: "http://user:hunter2@db.isp.example:8123/"},
		"one of two hosts off loopback":       {DSN: "clickhouse://user:hunter2@127.0.0.1:9000,192.0.2.1:9000/"},
		"unverified, off loopback":            {DSN: "clickhouse://user:hunter2@192.0.2.1:9440/?secure=true&skip_verify=true"},
	} {
		before := len(seen())
		conn, err := Open(t.Context(), c)
		if err == nil {
			conn.Close()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(err.Error(), "hunter2") || !strings.HasPrefix(err.Error(), "open store: ") {
			t.Errorf("%s: %v", name, err)
		}
		if len(seen()) != before {
			t.Errorf("%s: the server let it in", name)
		}
	}
}
