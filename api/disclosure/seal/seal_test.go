package seal_test

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"griffier/api/disclosure/seal"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// certificate returns a self-signed certificate and its key, both in PEM.
func certificate(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) (cert, private string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Parket Amsterdam"}, NotBefore: now.AddDate(-1, 0, 0),
		NotAfter: now.AddDate(1, 0, 0), KeyUsage: x509.KeyUsageKeyEncipherment}
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		template.KeyUsage = x509.KeyUsageKeyAgreement
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func curveKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func fingerprint(t *testing.T, cert string) string {
	block, _ := pem.Decode([]byte(cert))
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

// TestOpenSSL opens with another program what is sealed to a certificate.
func TestOpenSSL(t *testing.T) {
	for _, c := range []struct {
		name  string
		key   crypto.Signer
		shows []string
	}{
		{"RSA", rsaKey(t, 2048), []string{"rsaesOaep", "d.ktri"}},
		{"P-256", curveKey(t, elliptic.P256()), []string{"dhSinglePass-stdDH-sha256kdf-scheme", "id-aes256-wrap", "d.kari", "version: 2"}},
		{"P-384", curveKey(t, elliptic.P384()), []string{"dhSinglePass-stdDH-sha384kdf-scheme", "id-aes256-wrap", "d.kari", "version: 2"}},
	} {
		t.Run(c.name, func(t *testing.T) { opensBoth(t, c.key, c.shows) })
	}
}

// opensBoth opens with openssl and with an identity what is sealed to a key.
func opensBoth(t *testing.T, key crypto.Signer, shows []string) {
	cert, private := certificate(t, key, nil)
	to, err := seal.Parse(cert, now)
	if err != nil {
		t.Fatal(err)
	}
	if to.Fingerprint() != fingerprint(t, cert) {
		t.Errorf("fingerprint %s", to.Fingerprint())
	}
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, plain := range [][]byte{{}, []byte("one"), bytes.Repeat([]byte{0}, 16), bytes.Repeat([]byte("package "), 100_000)} {
		sealed, err := to.Seal(plain)
		if err != nil {
			t.Fatal(err)
		}
		if form, ok := seal.FormOf(sealed); !ok || form != seal.CMS {
			t.Errorf("form %s", form)
		}
		in := write("sealed.p7m", sealed)
		c := exec.Command("openssl", "cms", "-decrypt", "-inform", "DER", "-binary", "-in", in, "-recip", write("cert.pem", []byte(cert)), "-inkey", write("key.pem", []byte(private)))
		var complaint bytes.Buffer
		c.Stderr = &complaint
		opened, err := c.Output()
		if err != nil || !bytes.Equal(opened, plain) {
			t.Fatalf("openssl cms -decrypt: %v: %d bytes of %d: %s", err, len(opened), len(plain), &complaint)
		}
		shown, err := exec.Command("openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-in", in).Output()
		for _, want := range append([]string{"aes-256-cbc", "envelopedData"}, shows...) {
			if err != nil || !bytes.Contains(shown, []byte(want)) {
				t.Fatalf("%s: %v\n%s", want, err, shown)
			}
		}
		id, err := seal.ParseIdentity([]byte(cert + private))
		if err != nil {
			t.Fatal(err)
		}
		own, err := id.Open(sealed, 1<<20)
		if err != nil || !bytes.Equal(own, plain) {
			t.Fatalf("%v: %d bytes", err, len(own))
		}
	}
}

// TestFromOpenSSL opens what openssl agreed a key for, as it does it.
func TestFromOpenSSL(t *testing.T) {
	for curve, digest := range map[elliptic.Curve]string{elliptic.P256(): "sha256", elliptic.P384(): "sha384"} {
		cert, private := certificate(t, curveKey(t, curve), nil)
		path := filepath.Join(t.TempDir(), "cert.pem")
		if err := os.WriteFile(path, []byte(cert), 0o600); err != nil {
			t.Fatal(err)
		}
		c := exec.Command("openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256", "-recip", path, "-keyopt", "ecdh_kdf_md:"+digest, "-aes256-wrap")
		c.Stdin = strings.NewReader("from elsewhere")
		var complaint bytes.Buffer
		c.Stderr = &complaint
		sealed, err := c.Output()
		if err != nil {
			t.Fatalf("openssl cms -encrypt: %v: %s", err, &complaint)
		}
		id, err := seal.ParseIdentity([]byte(cert + private))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := id.Open(sealed, 1<<20); err != nil || string(plain) != "from elsewhere" {
			t.Errorf("%s: %q, %v", digest, plain, err)
		}
	}
}

func TestAge(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to, err := seal.Resolve(identity.Recipient().String(), now, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := to.Seal([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := seal.ParseIdentity([]byte("# made now\n" + identity.String() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if form, ok := seal.FormOf(sealed); !ok || form != seal.Age {
		t.Errorf("form %s", form)
	}
	if plain, err := id.Open(sealed, 1<<20); err != nil || string(plain) != "secret" {
		t.Errorf("%q %v", plain, err)
	}
}

// TestResolve takes a certificate from the registry by its fingerprint only.
func TestResolve(t *testing.T) {
	mine, _ := certificate(t, rsaKey(t, 2048), nil)
	others, _ := certificate(t, rsaKey(t, 2048), nil)
	name := "sha256:" + fingerprint(t, mine)
	registry := map[string]string{fingerprint(t, mine): mine}
	lookup := func(sum string) (string, error) {
		if material, ok := registry[sum]; ok {
			return material, nil
		}
		return "", errors.New("not registered")
	}
	if to, err := seal.Resolve(name, now, lookup); err != nil || to.Fingerprint() != fingerprint(t, mine) {
		t.Fatal(err)
	}
	registry[fingerprint(t, mine)] = others // swapped
	if _, err := seal.Resolve(name, now, lookup); err == nil {
		t.Error("sealed to a key that was put in the place of the one that is named")
	}
	if _, err := seal.Resolve("sha256:"+strings.Repeat("0", 64), now, lookup); err == nil {
		t.Error("sealed to a key that the registry does not have")
	}
	if _, err := seal.Resolve(name, now, nil); err == nil {
		t.Error("sealed to a certificate without a registry")
	}
}

// TestUnfit: nothing is sealed to a certificate that is no longer, or never was, good.
func TestUnfit(t *testing.T) {
	key := rsaKey(t, 2048)
	curve := curveKey(t, elliptic.P256())
	t.Setenv("GODEBUG", "rsa1024min=0")
	for name, c := range map[string]struct {
		key    crypto.Signer
		change func(*x509.Certificate)
		want   string
	}{
		"expired":             {key, func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, "expired"},
		"from later":          {key, func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, "not valid before"},
		"RSA 1024":            {rsaKey(t, 1024), nil, "1024 bits"},
		"P-521":               {curveKey(t, elliptic.P521()), nil, "P-521"},
		"Ed25519":             {ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), nil, "of a kind"},
		"signing only":        {key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "not for key encipherment"},
		"RSA for agreement":   {key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }, "not for key encipherment"},
		"curve for signing":   {curve, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }, "not for key agreement"},
		"curve for transport": {curve, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, "not for key agreement"},
	} {
		cert, _ := certificate(t, c.key, c.change)
		if _, err := seal.Parse(cert, now); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, _ := certificate(t, key, nil)
	for name, material := range map[string]string{"nothing": "", "text": "x", "two": good + good, "half an age key": "age1qqq", "cut": good[:200] + good[len(good)-50:]} {
		if _, err := seal.Parse(material, now); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestSHA1 has openssl sign one with SHA-1, which Go does not.
func TestSHA1(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha1", "-days", "3650", "-subj", "/CN=old", "-keyout", filepath.Join(dir, "k"), "-out", filepath.Join(dir, "c")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cert, err := os.ReadFile(filepath.Join(dir, "c"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.Parse(string(cert), time.Now().Add(time.Minute)); err == nil || !strings.Contains(err.Error(), "SHA-1") {
		t.Error(err)
	}
}

// TestAltered: what was changed on the way, or is another's, does not open.
func TestAltered(t *testing.T) {
	keys := map[string][2]crypto.Signer{
		"RSA":   {rsaKey(t, 2048), rsaKey(t, 2048)},
		"P-256": {curveKey(t, elliptic.P256()), curveKey(t, elliptic.P256())},
		"P-384": {curveKey(t, elliptic.P384()), curveKey(t, elliptic.P384())},
	}
	for name, pair := range keys {
		t.Run(name, func(t *testing.T) {
			cert, private := certificate(t, pair[0], nil)
			to, err := seal.Parse(cert, now)
			if err != nil {
				t.Fatal(err)
			}
			plain := []byte("secret")
			sealed, err := to.Seal(plain)
			if err != nil {
				t.Fatal(err)
			}
			mine, err := seal.ParseIdentity([]byte(cert + private))
			if err != nil {
				t.Fatal(err)
			}
			// Another's certificate; and another's key that goes by the same name.
			for _, change := range []func(*x509.Certificate){func(c *x509.Certificate) { c.SerialNumber = big.NewInt(8) }, nil} {
				otherCert, otherPrivate := certificate(t, pair[1], change)
				others, err := seal.ParseIdentity([]byte(otherCert + otherPrivate))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := others.Open(sealed, 1<<20); err == nil {
					t.Error("another's key opens it")
				}
				for _, text := range []string{cert + otherPrivate, otherCert + private} {
					if _, err := seal.ParseIdentity([]byte(text)); err == nil {
						t.Error("a key and another key's certificate are an identity")
					}
				}
			}
			if _, err := mine.Open(sealed, int64(len(sealed))-1); err == nil {
				t.Error("the limit is not kept")
			}
			if _, err := mine.Open(sealed[:len(sealed)-3], 1<<20); err == nil {
				t.Error("cut, and opened")
			}
			if _, err := (seal.Identity{}).Open(sealed, 1<<20); err == nil {
				t.Error("opened without a key")
			}
			// A byte changed in what the recipient needs does not open. In the content,
			// which nothing authenticates here, it may, to something else.
			for i := range sealed {
				altered := bytes.Clone(sealed)
				altered[i] ^= 0x01
				opened, err := mine.Open(altered, 1<<20)
				if err == nil && (bytes.Equal(opened, plain) || i < len(sealed)-2*aes.BlockSize-4) {
					t.Errorf("byte %d of %d changed, and opened to %q", i, len(sealed), opened)
				}
			}
			for _, text := range []string{"", cert, private, "x"} {
				if _, err := seal.ParseIdentity([]byte(text)); err == nil {
					t.Errorf("an identity from %.20q", text)
				}
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	cert, private := certificate(f, rsaKey(f, 2048), nil)
	to, err := seal.Parse(cert, now)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := to.Seal([]byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	id, err := seal.ParseIdentity([]byte(cert + private))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	curveCert, curvePrivate := certificate(f, curveKey(f, elliptic.P256()), nil)
	if to, err = seal.Parse(curveCert, now); err != nil {
		f.Fatal(err)
	}
	agreed, err := to.Seal([]byte("secret"))
	if err != nil {
		f.Fatal(err)
	}
	agreedID, err := seal.ParseIdentity([]byte(curveCert + curvePrivate))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(agreed)
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		_, _ = id.Open(sealed, 1<<20)
		_, _ = agreedID.Open(sealed, 1<<20)
	})
}
