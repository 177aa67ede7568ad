package enrol

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"
)

func TestParseRequest(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	curve := func(c elliptic.Curve) crypto.Signer {
		key, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key crypto.Signer
		ok  bool
	}{
		"Ed25519": {ed, true}, "P-256": {curve(elliptic.P256()), true}, "P-384": {curve(elliptic.P384()), true},
		"P-521": {curve(elliptic.P521()), false}, "P-224": {curve(elliptic.P224()), false}, "RSA": {rs, false},
	} {
		der := requestOf(t, c.key)
		key, err := ParseRequest(der)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want taken: %v", name, err, c.ok)
		}
		if !c.ok {
			continue
		}
		spki, err := x509.MarshalPKIXPublicKey(c.key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if key.SHA256 != sha256.Sum256(spki) {
			t.Errorf("%s: another key's hash", name)
		}
		for i := range der { // no single byte of it can be another
			bent := bytes.Clone(der)
			bent[i] ^= 1
			if k, err := ParseRequest(bent); err == nil && k.SHA256 == key.SHA256 && !sameSigned(t, der, bent) {
				t.Errorf("%s: byte %d of the signed part changed, and it was taken", name, i)
			}
		}
	}
	a := requestOf(t, ed)
	if _, err := ParseRequest(swapped(t, a)); err == nil {
		t.Error("a request with another's key in it was taken")
	}
	for name, der := range map[string][]byte{"empty": nil, "trailing": append(bytes.Clone(a), 0), "long": bytes.Repeat([]byte{0x30}, MaxRequestBytes+1)} {
		if _, err := ParseRequest(der); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// sameSigned tells whether two requests have the same signed part.
func sameSigned(t *testing.T, a, b []byte) bool {
	t.Helper()
	x, err := x509.ParseCertificateRequest(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := x509.ParseCertificateRequest(b)
	return err == nil && bytes.Equal(x.RawTBSCertificateRequest, y.RawTBSCertificateRequest)
}

// swapped puts the key of one request in the place of another's, as who sits
// between collector and server would.
func swapped(t *testing.T, into []byte) []byte {
	t.Helper()
	x, err := x509.ParseCertificateRequest(into)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil) // as long as the one that it replaces
	if err != nil {
		t.Fatal(err)
	}
	mine := x.PublicKey.(ed25519.PublicKey)
	out := bytes.Replace(into, mine, other, 1)
	if y, err := x509.ParseCertificateRequest(out); err != nil || bytes.Equal(y.PublicKey.(ed25519.PublicKey), mine) {
		t.Fatalf("nothing was swapped: %v", err)
	}
	return out
}

func FuzzParseRequest(f *testing.F) {
	f.Add(request(f))
	_, ed, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(requestOf(f, ed))
	f.Add([]byte{0x30, 0x82, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		key, err := ParseRequest(der)
		if err != nil {
			return
		}
		// What is taken was signed by the key that is returned.
		request, err := x509.ParseCertificateRequest(der)
		if err != nil || request.CheckSignature() != nil || key.SHA256 != sha256.Sum256(request.RawSubjectPublicKeyInfo) || len(der) > MaxRequestBytes {
			t.Errorf("taken: %x, %v", der, err)
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add(newToken().text())
	f.Add("0000000000000000-" + "AAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		if tok, ok := parseToken(text); ok && (tok.text() != text || !tok.is(tok.hash()) || len(text) != 43) {
			t.Errorf("%q is read as %q", text, tok.text())
		}
	})
}
