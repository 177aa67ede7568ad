package pki_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/pki"
)

func TestIssueCollector(t *testing.T) {
	dir := t.TempDir()
	if err := pki.Init(dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	ca, err := pki.LoadAuthority(in("ca.pem"), in("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	der, err := ca.IssueCollector("edge1", key, now, pki.MaxCollectorLife)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate())
	verify := func(usage x509.ExtKeyUsage, at time.Time) error {
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}, CurrentTime: at})
		return err
	}
	for _, at := range []time.Time{now.Add(-time.Minute), now, now.Add(pki.MaxCollectorLife - time.Minute)} {
		if err := verify(x509.ExtKeyUsageClientAuth, at); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
	if verify(x509.ExtKeyUsageClientAuth, now.Add(pki.MaxCollectorLife+time.Minute)) == nil {
		t.Error("it is good for more than 90 days")
	}
	if verify(x509.ExtKeyUsageServerAuth, now) == nil || cert.IsCA || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) != 0 {
		t.Errorf("it is for more than a client: %+v", cert)
	}
	if len(cert.URIs) != 2 || cert.URIs[0].String() != "griffier://role/collector" || cert.URIs[1].String() != "griffier://collector/edge1" || cert.Subject.CommonName != "edge1" {
		t.Errorf("it names %v, %s", cert.URIs, cert.Subject)
	}
	// Nothing outlives the CA.
	end := ca.Certificate().NotAfter
	last, err := ca.IssueCollector("edge1", key, end.Add(-time.Hour), pki.MaxCollectorLife)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err := x509.ParseCertificate(last); err != nil || !cert.NotAfter.Equal(end) {
		t.Errorf("one at the CA's end ends at %v, %v; want %v", cert.NotAfter, err, end)
	}
	if _, err := ca.IssueCollector("edge1", key, end, time.Hour); err == nil {
		t.Error("a CA that has ended issues")
	}
	for _, life := range []time.Duration{0, -time.Hour, pki.MaxCollectorLife + 1} {
		if _, err := ca.IssueCollector("edge1", key, now, life); err == nil {
			t.Errorf("life %v: issued", life)
		}
	}
	// Neither what others can read nor what is no CA issues.
	if err := os.Chmod(in("ca.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string][2]string{
		"chmod 600":                  {"ca.pem", "ca.key"},
		"may not issue certificates": {"provisioner.pem", "provisioner.key"},
		"private key does not match": {"ca.pem", "server.key"},
		"no such file":               {"ca.pem", "none.key"},
	} {
		if _, err := pki.LoadAuthority(in(files[0]), in(files[1])); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", files, err, want)
		}
	}
}
