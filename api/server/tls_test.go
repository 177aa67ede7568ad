package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"griffier/api/pki"
)

// TestTLS shakes hands as people, machines and strangers do.
func TestTLS(t *testing.T) {
	ours, theirs := t.TempDir(), t.TempDir()
	for _, dir := range []string{ours, theirs} {
		if err := pki.Init(dir, []string{"localhost"}); err != nil {
			t.Fatal(err)
		}
	}
	config, err := TLSConfig{filepath.Join(ours, "server.pem"), filepath.Join(ours, "server.key"), filepath.Join(ours, "ca.pem")}.Load()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(ours, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	shake := func(dir, name string, version uint16) (machine bool, err error) {
		c := &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: version}
		if dir != "" {
			cert, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
			if err != nil {
				t.Fatal(err)
			}
			// Sent even if the server did not ask for its CA.
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
		}
		near, far := net.Pipe()
		server := tls.Server(far, config)
		ended := make(chan error, 1)
		go func() {
			ended <- server.Handshake()
			server.Close()
		}()
		client := tls.Client(near, c)
		client.Handshake()
		io.Copy(io.Discard, client)
		client.Close()
		err = <-ended
		return len(server.ConnectionState().VerifiedChains) > 0, err
	}
	for name, c := range map[string]struct {
		dir, cert string
		version   uint16
		ok        bool
		machine   bool
	}{
		"person":                {"", "", 0, true, false},
		"machine":               {ours, "provisioner", 0, true, true},
		"machine of another CA": {theirs, "provisioner", 0, false, false},
		"server as a machine":   {ours, "server", 0, false, false},
		"old TLS":               {"", "", tls.VersionTLS12, false, false},
	} {
		machine, err := shake(c.dir, c.cert, c.version)
		if (err == nil) != c.ok || err == nil && machine != c.machine {
			t.Errorf("%s: %v, verified as a machine: %v; want ok %v, machine %v", name, err, machine, c.ok, c.machine)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := TLSConfig{filepath.Join(ours, "server.pem"), filepath.Join(ours, "server.key"), ""}
	if c, err := good.Load(); err != nil || c.ClientAuth != tls.NoClientCert {
		t.Errorf("without a client CA: %v", err)
	}
	for want, c := range map[string]TLSConfig{
		"cert_file":                         {filepath.Join(ours, "none"), good.KeyFile, ""},
		"cert_file, key_file: tls: private": {good.CertFile, filepath.Join(theirs, "server.key"), ""},
		"client_ca_file":                    {good.CertFile, good.KeyFile, filepath.Join(ours, "none")},
		empty + ": no certificate in it":    {good.CertFile, good.KeyFile, empty},
	} {
		if _, err := c.Load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// A machine shows its certificate at every connection: a session that is resumed would
// be judged by the client CA of before.
func TestNoSessionIsResumed(t *testing.T) {
	dir := t.TempDir()
	if err := pki.Init(dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	identity, err := NewIdentity(TLSConfig{in("server.pem"), in("server.key"), in("ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	listener := identity.TLS()
	cert, err := tls.LoadX509KeyPair(in("provisioner.pem"), in("provisioner.key"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(in("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	c := &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: []tls.Certificate{cert}, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 2 {
		ended := make(chan error, 1)
		go func() {
			far, err := l.Accept()
			if err == nil {
				_, err = tls.Server(far, listener).Write([]byte("x")) // after what would be a ticket
				err = errors.Join(err, far.Close())
			}
			ended <- err
		}()
		client, err := tls.Dial("tcp", l.Addr().String(), c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if client.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		client.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
