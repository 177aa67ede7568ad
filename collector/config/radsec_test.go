package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// writeCertificate writes a certificate of its own authority, and its key.
func writeCertificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

const secure = `  radsec: {listen: ":2083", cert_file: CERT, key_file: KEY, client_ca_file: CERT}
  clients:
    - {prefix: 198.51.100.7, certificate: bng7.example, nas: [bng7, 198.51.100.7]}
`

func TestRadSec(t *testing.T) {
	certFile, keyFile := writeCertificate(t)
	text := strings.NewReplacer("CERT", certFile, "KEY", keyFile).Replace(strings.Replace(small, "  clients:\n", secure, 1))
	c, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.RADIUS.Clients = c.RADIUS.Clients[:1]
	clients, err := c.RADIUSClients()
	if err != nil {
		t.Fatal(err)
	}
	if x := clients[0]; x.Certificate != "bng7.example" || len(x.Secret) != 0 || !slices.Equal(x.NAS, []string{"bng7", "198.51.100.7"}) {
		t.Errorf("client %+v", x)
	}
	s, err := c.RadSec()
	if err != nil || s.Listen != ":2083" || len(s.Certificate.Certificate) != 1 || s.ClientCAs == nil {
		t.Errorf("RadSec = %+v, %v", s, err)
	}
	for name, edit := range map[string]func(*RadSec){
		"no key":       func(s *RadSec) { s.KeyFile = s.CertFile },
		"no authority": func(s *RadSec) { s.ClientCAFile = s.KeyFile },
		"no file":      func(s *RadSec) { s.ClientCAFile += "x" },
	} {
		bad := c
		edit(&bad.RADIUS.RadSec)
		if _, err := bad.RadSec(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if s, err := (Config{}).RadSec(); s != nil || err != nil {
		t.Errorf("without radsec.listen: %+v, %v", s, err)
	}
}

func TestRadSecErrors(t *testing.T) {
	for _, x := range []struct{ name, old, with, want string }{
		{"certificate without RadSec", ":2083", "", "clients[0].certificate: "},
		{"RadSec without UDP", `listen: ":1813"`, "", "radius.radsec.listen: "},
		{"no key file", "key_file: KEY, ", "", "radius.radsec: "},
		{"no authorities", ", client_ca_file: CERT", "", "radius.radsec: "},
		{"secret and certificate", "certificate: bng7", "secret_file: /x, certificate: bng7", "clients[0].certificate: "},
		{"neither", "certificate: bng7.example, ", "", "clients[0].secret_file: "},
		{"empty name of a NAS", "nas: [bng7, ", "nas: ['', ", "clients[0].nas: "},
	} {
		text := strings.Replace(small, "  clients:\n", secure, 1)
		if !strings.Contains(text, x.old) {
			t.Fatalf("the sample has no %q", x.old)
		}
		_, err := Parse("x.yaml", []byte(strings.Replace(text, x.old, x.with, 1)))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want %q", x.name, err, x.want)
		}
	}
}

// TestDHCPKeys: what they do is tried in package lease.
func TestDHCPKeys(t *testing.T) {
	c, err := Parse("x.yaml", []byte(small+"dhcp: {ignore_circuit_id: true, subscriber_id: true, servers: [192.0.2.53, 198.51.100.0/24]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	l := c.Leases()
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.53/32"), netip.MustParsePrefix("198.51.100.0/24")}
	if !l.IgnoreCircuitID || !l.SubscriberID || !slices.Equal(l.Servers, want) || !l.VLANScoped("eth1") || l.VLANScoped("eth2") {
		t.Errorf("leases %+v", l)
	}
	if l := Default().Leases(); l.IgnoreCircuitID || l.SubscriberID || len(l.Servers) != 0 {
		t.Errorf("by default %+v", l)
	}
}
