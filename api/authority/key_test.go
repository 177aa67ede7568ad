package authority_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"griffier/api/authority"
)

// certificate makes a self-signed certificate for a key.
func certificate(t testing.TB, public, private any, usage x509.KeyUsage, from, until time.Time) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "desk"}, NotBefore: from, NotAfter: until, KeyUsage: usage}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ageKey(t testing.TB) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestParseKey(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0") // so that a weak key can be made, and refused
	from, until := start.Add(-time.Hour), start.Add(24*365*time.Hour)
	strong, weak := rsaKey(t, 2048), rsaKey(t, 1024)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := certificate(t, &strong.PublicKey, strong, x509.KeyUsageKeyEncipherment, from, until)
	identity := ageKey(t)
	private := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(strong)}))
	for _, test := range []struct{ name, text, want string }{
		{"age", identity.Recipient().String(), ""},
		{"age with a line end", identity.Recipient().String() + "\n", ""},
		{"certificate", good, ""},
		{"certificate for anything", certificate(t, &strong.PublicKey, strong, 0, from, until), ""},
		{"nothing", "", "neither"},
		{"age identity", identity.String(), "private"},
		{"private key", private, "private"},
		{"private key behind a certificate", good + private, "private"},
		{"capitals", strings.ToUpper(identity.Recipient().String()), "neither"},
		{"two age keys", identity.Recipient().String() + "\n" + identity.Recipient().String(), "not an age public key"},
		{"a digit changed", identity.Recipient().String()[:61] + "b", "not an age public key"},
		{"two certificates", good + good, "nothing beside it"},
		{"text before", "see below\n" + good, "nothing beside it"},
		{"headers", strings.Replace(good, "CERTIFICATE-----\n", "CERTIFICATE-----\nProc-Type: x\n\n", 1), "without headers"},
		{"a request", strings.ReplaceAll(good, "CERTIFICATE", "CERTIFICATE REQUEST"), "PEM CERTIFICATE"},
		{"no DER", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"},
		{"on a curve", certificate(t, &ec.PublicKey, ec, x509.KeyUsageKeyAgreement, from, until), ""},
		{"on a curve, for transport", certificate(t, &ec.PublicKey, ec, x509.KeyUsageKeyEncipherment, from, until), "not for key agreement"},
		{"on another curve", certificate(t, &long.PublicKey, long, x509.KeyUsageKeyAgreement, from, until), "P-521"},
		{"weak", certificate(t, &weak.PublicKey, weak, x509.KeyUsageKeyEncipherment, from, until), "2048 to 8192"},
		{"for signatures", certificate(t, &strong.PublicKey, strong, x509.KeyUsageDigitalSignature, from, until), "not for key encipherment"},
		{"a book", strings.Repeat("a", authority.MaxKeyText+1), "longer than"},
	} {
		k, err := authority.ParseKey(test.text)
		switch {
		case test.want == "" && err != nil, test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		case err == nil:
			again, err := authority.ParseKey(k.Text())
			if err != nil || again.Fingerprint != k.Fingerprint || again.Kind != k.Kind {
				t.Errorf("%s: read again: %v, %v", test.name, again, err)
			}
		}
	}
	k, err := authority.ParseKey(identity.Recipient().String())
	sum := sha256.Sum256([]byte(identity.Recipient().String()))
	if err != nil || k.Fingerprint != hex.EncodeToString(sum[:]) || k.Recipient() != identity.Recipient().String() || !k.Expires().IsZero() {
		t.Errorf("age key %+v, %v", k, err)
	}
	k, err = authority.ParseKey(good)
	block, _ := pem.Decode([]byte(good))
	sum = sha256.Sum256(block.Bytes)
	if err != nil || k.Fingerprint != hex.EncodeToString(sum[:]) || k.Recipient() != "sha256:"+k.Fingerprint || !k.Expires().Equal(until) {
		t.Errorf("certificate %+v, %v", k, err)
	}
}

func FuzzParseKey(f *testing.F) {
	key := rsaKey(f, 2048)
	f.Add(certificate(f, &key.PublicKey, key, x509.KeyUsageKeyEncipherment, start, start.Add(time.Hour)))
	f.Add(ageKey(f).Recipient().String())
	f.Add("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := authority.ParseKey(text)
		if err != nil {
			return
		}
		if (k.Age == nil) == (k.Certificate == nil) || len(k.Fingerprint) != 64 {
			t.Errorf("accepted %+v", k)
		}
		again, err := authority.ParseKey(k.Text())
		if err != nil || again.Fingerprint != k.Fingerprint {
			t.Errorf("not read again: %v", err)
		}
	})
}
