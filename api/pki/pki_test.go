package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griffier/api/pki"
)

func read(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if issuer, end := pem.Decode(rest); block == nil || (issuer != nil) != (filepath.Base(path) == "server.pem") || len(end) != 0 {
		t.Fatalf("%s is not one PEM block, with the CA's after the server's", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestInit(t *testing.T) {
	dir := t.TempDir()
	if err := pki.Init(dir, []string{"localhost", " isp.example ", "127.0.0.1", "::1", ""}); err != nil {
		t.Fatal(err)
	}
	ca, server, machine := read(t, filepath.Join(dir, "ca.pem")), read(t, filepath.Join(dir, "server.pem")), read(t, filepath.Join(dir, "provisioner.pem"))
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	verify := func(c *x509.Certificate, name string, usage x509.ExtKeyUsage) error {
		_, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	for _, name := range []string{"localhost", "isp.example", "127.0.0.1", "[::1]"} {
		if err := verify(server, name, x509.ExtKeyUsageServerAuth); err != nil {
			t.Errorf("server as %s: %v", name, err)
		}
	}
	if len(server.DNSNames) != 2 || verify(server, "other.example", x509.ExtKeyUsageServerAuth) == nil {
		t.Errorf("the server's certificate is for %v", server.DNSNames)
	}
	if err := verify(machine, "", x509.ExtKeyUsageClientAuth); err != nil {
		t.Errorf("provisioner: %v", err)
	}
	// Neither does for the other, and neither can issue.
	if verify(server, "", x509.ExtKeyUsageClientAuth) == nil || verify(machine, "", x509.ExtKeyUsageServerAuth) == nil {
		t.Error("a certificate does for what it was not made for")
	}
	if server.IsCA || machine.IsCA || !ca.IsCA || !ca.MaxPathLenZero {
		t.Error("a leaf can issue, or the CA cannot, or can make another CA")
	}
	if len(machine.URIs) != 1 || machine.URIs[0].String() != "griffier://role/provisioner" {
		t.Errorf("the provisioner's role is %v", machine.URIs)
	}
	if life := time.Until(server.NotAfter); life > 398*24*time.Hour || time.Now().Before(server.NotBefore) {
		t.Errorf("the server's certificate is good from %v for %v", server.NotBefore, life)
	}
	for _, name := range []string{"ca", "server", "provisioner"} {
		if _, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		info, err := os.Stat(filepath.Join(dir, name+".key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s.key: mode %v, %v; want 0600", name, info.Mode(), err)
		}
	}
	if err := pki.Init(dir, []string{"localhost"}); err == nil || !read(t, filepath.Join(dir, "ca.pem")).Equal(ca) {
		t.Errorf("again: %v, want a refusal that replaces nothing", err)
	}
	for _, hosts := range [][]string{nil, {""}, {" "}} {
		if err := pki.Init(t.TempDir(), hosts); err == nil {
			t.Errorf("hosts %q: no error", hosts)
		}
	}
}
