package enrol

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRenewAtIsAfterTwoThirds(t *testing.T) {
	start := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	life := 90 * 24 * time.Hour
	rapid.Check(t, func(t *rapid.T) {
		serial := new(big.Int).SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 16).Draw(t, "serial"))
		at := RenewAt(&x509.Certificate{SerialNumber: serial, NotBefore: start, NotAfter: start.Add(life)})
		if at.Before(start.Add(60*24*time.Hour)) || at.After(start.Add(63*24*time.Hour)) {
			t.Fatalf("serial %v: at %v", serial, at)
		}
	})
	hours := map[time.Time]bool{}
	for range 200 {
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
		if err != nil {
			t.Fatal(err)
		}
		hours[RenewAt(&x509.Certificate{SerialNumber: serial, NotBefore: start, NotAfter: start.Add(life)}).Truncate(time.Hour)] = true
	}
	if len(hours) < 30 { // of 72; fewer has a chance of less than 1 in 10^9
		t.Errorf("200 collectors come back within %d hours", len(hours))
	}
}

func TestRetryAfter(t *testing.T) {
	long := 90 * 24 * time.Hour
	for _, c := range []struct {
		failures int
		life     time.Duration
		jitter   float64
		want     time.Duration
	}{
		{1, long, 0, 30 * time.Second}, {1, long, 0.5, 45 * time.Second}, {2, long, 0, time.Minute}, {6, long, 0, 16 * time.Minute},
		{7, long, 0, 30 * time.Minute}, {1 << 40, long, 0.5, 45 * time.Minute}, {1, 12 * time.Second, 0, 500 * time.Millisecond}, {99, time.Hour, 0, 30 * time.Second},
	} {
		if got := retryAfter(c.failures, c.life, c.jitter); got != c.want {
			t.Errorf("after %d failures of %v: %v, want %v", c.failures, c.life, got, c.want)
		}
	}
}

func TestParseServer(t *testing.T) {
	for in, want := range map[string]string{
		"griffierd.isp.example:7443": "griffierd.isp.example:7443", "https://griffierd.isp.example:7443/": "griffierd.isp.example:7443",
		"[2001:db8::1]:7443": "[2001:db8::1]:7443", "https://192.0.2.1:443": "192.0.2.1:443",
		"": "", "griffierd": "", ":7443": "", "http://griffierd:7443": "", "griffierd:https": "", "griffierd:0": "", "griffierd:70000": "",
		"https://user@griffierd:7443": "", "https://griffierd:7443/path": "", "https://griffierd:7443?x=1": "", "a b:1": "",
	} {
		got, err := ParseServer(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("ParseServer(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestTrust(t *testing.T) {
	for _, text := range []string{"", "ab", strings.Repeat("g", 64), strings.Repeat("ab", 33)} {
		if _, err := TrustFingerprint(text); err == nil {
			t.Errorf("fingerprint %q was taken", text)
		}
	}
	if _, err := TrustFingerprint(strings.TrimSuffix(strings.Repeat("AB:", 32), ":")); err != nil {
		t.Errorf("a fingerprint as openssl prints it: %v", err)
	}
	empty := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, empty + "x"} {
		if _, err := TrustFile(path); err == nil {
			t.Errorf("%s was taken", path)
		}
	}
}

// sign makes a certificate that a CA of the moment issued.
func sign(t *testing.T, id string, key *ecdsa.PrivateKey, usage x509.ExtKeyUsage, until time.Time) answer {
	t.Helper()
	ca, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: until.Add(-time.Hour), NotAfter: until.Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, ca.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: until.Add(-time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		URIs: []*url.URL{{Scheme: "griffier", Host: "role", Path: "/collector"}, {Scheme: "griffier", Host: "collector", Path: "/" + id}}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), ca)
	if err != nil {
		t.Fatal(err)
	}
	return answer{collectorID: "edge1", server: "localhost:1", authority: certificates(rootDER), certificate: der, issuers: [][]byte{rootDER}}
}

// TestAnswersThatAreNotInstalled: what this collector could not use stays out.
func TestAnswersThatAreNotInstalled(t *testing.T) {
	f := Folder(t.TempDir())
	key, err := f.nextKey()
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := sign(t, "edge1", key, x509.ExtKeyUsageClientAuth, now.Add(time.Minute))
	foreign := sign(t, "edge1", key, x509.ExtKeyUsageClientAuth, now.Add(time.Minute))
	foreign.issuers = good.issuers
	broken := good
	broken.certificate = good.certificate[1:]
	lonely := good
	lonely.issuers = [][]byte{{1}}
	for name, a := range map[string]answer{
		"another collector's": sign(t, "edge2", key, x509.ExtKeyUsageClientAuth, now.Add(time.Minute)),
		"another key's":       sign(t, "edge1", other, x509.ExtKeyUsageClientAuth, now.Add(time.Minute)),
		"a server's":          sign(t, "edge1", key, x509.ExtKeyUsageServerAuth, now.Add(time.Minute)),
		"expired":             sign(t, "edge1", key, x509.ExtKeyUsageClientAuth, now.Add(-time.Minute)),
		"not yet good":        sign(t, "edge1", key, x509.ExtKeyUsageClientAuth, now.Add(2*time.Hour)),
		"another CA's":        foreign, "no certificate": broken, "no issuer": lonely,
	} {
		if _, err := f.install(a, key, now); err == nil {
			t.Errorf("%s was installed", name)
		}
		if _, err := f.Load(); !errors.Is(err, ErrNotEnrolled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := f.install(good, key, now); err != nil {
		t.Fatal(err)
	}
	if _, err := f.install(good, key, now); err != nil {
		t.Errorf("the same again: %v", err)
	}
	// A folder whose files do not fit together is an error, not an identity.
	if err := os.WriteFile(f.path(currentLink+"/"+keyFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); err == nil || errors.Is(err, ErrNotEnrolled) {
		t.Errorf("a damaged key: %v", err)
	}
	if _, err := f.ClientCertificate(nil); err == nil {
		t.Error("a damaged key is shown")
	}
}
