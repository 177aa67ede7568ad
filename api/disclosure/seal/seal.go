// Package seal encrypts a package to the key of the authority that it is for: CMS
// EnvelopedData (RFC 5652 §6) to its X.509 certificate, or age to its X25519 key.
//
// CMS is AES-256 in CBC mode, its key under RSA-OAEP with SHA-256 (RFC 3560) or, for
// a certificate on P-256 or P-384, agreed with it (RFC 5753) and wrapped (RFC 3394):
// what `openssl cms -decrypt` and mail programs open. CBC authenticates nothing; that a
// package is whole is told by its hash in the ledger, which a verifier checks
// before it opens anything, and by the signed manifest inside.
package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
)

// Form is the form of a sealed package.
type Form string

// Forms.
const (
	Age Form = "age"
	CMS Form = "cms"
)

// Suffix is how the name of a sealed file ends.
func (f Form) Suffix() string {
	if f == CMS {
		return ".tar.p7m"
	}
	return ".tar.age"
}

// Limits of RSA moduli that are sealed to.
const (
	MinRSABits = 2048
	MaxRSABits = 8192
)

const certificatePrefix = "sha256:"

// Recipient is a key that packages are sealed to.
type Recipient struct {
	key         *age.X25519Recipient
	certificate *x509.Certificate
	fingerprint string
}

// Lookup returns the key material that an authority's record has under a
// fingerprint: an age public key, or a PEM certificate. That there is none, or none
// that is confirmed, is an error.
type Lookup func(fingerprint string) (material string, err error)

// Resolve returns the recipient that a warrant names: an age key, or "sha256:" and
// the fingerprint of a certificate, which lookup knows. now judges a certificate's
// validity.
func Resolve(name string, now time.Time, lookup Lookup) (Recipient, error) {
	sum, isCertificate := strings.CutPrefix(name, certificatePrefix)
	if !isCertificate {
		return Parse(name, now)
	}
	if lookup == nil {
		return Recipient{}, errors.New("seal: the recipient is a certificate, and there is no registry of authorities to take it from")
	}
	material, err := lookup(sum)
	if err != nil {
		return Recipient{}, fmt.Errorf("seal: the recipient's certificate: %w", err)
	}
	r, err := Parse(material, now)
	if err == nil && r.fingerprint != sum {
		err = errors.New("seal: the registry gave another key than the one that was named")
	}
	return r, err
}

// Parse reads key material: an age public key, or one PEM certificate, which must
// be fit to be sealed to at now.
func Parse(material string, now time.Time) (Recipient, error) {
	if strings.HasPrefix(material, "age1") {
		key, err := age.ParseX25519Recipient(material)
		if err != nil {
			return Recipient{}, errors.New("seal: the recipient is not an age public key")
		}
		sum := sha256.Sum256([]byte(material))
		return Recipient{key: key, fingerprint: hex.EncodeToString(sum[:])}, nil
	}
	block, rest := pem.Decode([]byte(material))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return Recipient{}, errors.New("seal: the recipient is neither an age public key nor one PEM certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Recipient{}, errors.New("seal: the recipient's certificate cannot be read")
	}
	if err := fit(c, now); err != nil {
		return Recipient{}, fmt.Errorf("seal: the recipient's certificate %w", err)
	}
	sum := sha256.Sum256(c.Raw)
	return Recipient{certificate: c, fingerprint: hex.EncodeToString(sum[:])}, nil
}

// fit refuses a certificate that nothing should be sealed to: one that is not valid
// now, is signed or keyed weakly, or is not for encryption.
func fit(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	case now.After(c.NotAfter):
		return fmt.Errorf("expired at %s: have the authority register another", c.NotAfter.UTC().Format(time.RFC3339))
	}
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1, x509.UnknownSignatureAlgorithm:
		return errors.New("is signed with SHA-1 or weaker: have the authority register another")
	}
	return Usable(c)
}

// Usable refuses a certificate whose key a package cannot be sealed to, or that is not
// for that by its key usage (RFC 5280 §4.2.1.3): RSA for key encipherment, P-256 and
// P-384 for key agreement. The error goes on after "the certificate".
func Usable(c *x509.Certificate) error {
	usage, purpose := x509.KeyUsageKeyEncipherment, "key encipherment"
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits < MinRSABits || bits > MaxRSABits {
			return fmt.Errorf("has an RSA key of %d bits: want %d to %d", bits, MinRSABits, MaxRSABits)
		}
	case *ecdsa.PublicKey:
		usage, purpose = x509.KeyUsageKeyAgreement, "key agreement"
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return fmt.Errorf("has a key on %s: want P-256, P-384, RSA, or an age key", key.Curve.Params().Name)
		}
	default:
		return errors.New("has a key of a kind that cannot be sealed to: want RSA, P-256, P-384, or an age key")
	}
	if c.KeyUsage != 0 && c.KeyUsage&usage == 0 {
		return fmt.Errorf("is not for %s, by its key usage", purpose)
	}
	return nil
}

// Fingerprint is the hexadecimal SHA-256 of the age key's text or of the
// certificate's DER.
func (r Recipient) Fingerprint() string { return r.fingerprint }

// Seal encrypts a package.
func (r Recipient) Seal(plain []byte) ([]byte, error) {
	switch {
	case r.certificate != nil:
		sealed, err := sealCMS(plain, r.certificate)
		if err != nil {
			return nil, fmt.Errorf("seal package: %w", err)
		}
		return sealed, nil
	case r.key != nil:
		return sealAge(plain, r.key)
	}
	return nil, errors.New("seal package: there is no recipient")
}

func sealAge(plain []byte, to *age.X25519Recipient) ([]byte, error) {
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		return nil, fmt.Errorf("seal package: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("seal package: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("seal package: %w", err)
	}
	return b.Bytes(), nil
}

// ageMagic begins an age file.
const ageMagic = "age-encryption.org/v1\n"

// FormOf tells a sealed package's form by how it begins; false: neither.
func FormOf(sealed []byte) (Form, bool) {
	switch {
	case bytes.HasPrefix(sealed, []byte(ageMagic)):
		return Age, true
	case len(sealed) > 0 && sealed[0] == 0x30: // SEQUENCE
		return CMS, true
	}
	return "", false
}

// Identity opens packages: the other half of a [Recipient].
type Identity struct {
	ages        []age.Identity
	certificate *x509.Certificate
	private     crypto.PrivateKey // *rsa.PrivateKey or *ecdsa.PrivateKey
}

// Empty reports whether it opens nothing.
func (i Identity) Empty() bool { return len(i.ages) == 0 && i.private == nil }

// AgeIdentity returns the identity of age keys.
func AgeIdentity(ids ...age.Identity) Identity { return Identity{ages: ids} }

// ParseIdentity reads an age identity file, or a PEM file with a private key, RSA or
// on a curve, and its certificate.
func ParseIdentity(text []byte) (Identity, error) {
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		ids, err := age.ParseIdentities(bytes.NewReader(text))
		if err != nil {
			return Identity{}, errors.New("identity: neither an age identity file nor PEM")
		}
		return Identity{ages: ids}, nil
	}
	var id Identity
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "CERTIFICATE":
			if id.certificate == nil {
				if id.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
					return Identity{}, errors.New("identity: the certificate cannot be read")
				}
			}
			continue
		case "PRIVATE KEY":
			id.private, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			id.private, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			id.private, err = x509.ParseECPrivateKey(block.Bytes)
		}
		if err != nil {
			return Identity{}, errors.New("identity: the private key cannot be read")
		}
	}
	if id.certificate == nil || id.private == nil {
		return Identity{}, errors.New("identity: want a private key and its certificate, both in PEM")
	}
	private, ok := id.private.(interface{ Public() crypto.PublicKey })
	if !ok {
		return Identity{}, errors.New("identity: the private key is of a kind that packages are not sealed to")
	}
	public, ok := private.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(id.certificate.PublicKey) {
		return Identity{}, errors.New("identity: the private key is not that of the certificate")
	}
	return id, nil
}

// Open decrypts a sealed package of at most limit bytes.
func (i Identity) Open(sealed []byte, limit int64) ([]byte, error) {
	if int64(len(sealed)) > limit {
		return nil, fmt.Errorf("the package is longer than %d bytes", limit)
	}
	form, ok := FormOf(sealed)
	switch {
	case !ok:
		return nil, errors.New("the package is neither age nor CMS")
	case form == CMS && i.private == nil:
		return nil, errors.New("the package is sealed to a certificate: give its private key and certificate")
	case form == CMS:
		return openCMS(sealed, i.certificate, i.private)
	case len(i.ages) == 0:
		return nil, errors.New("the package is sealed to an age key: give its identity file")
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), i.ages...)
	if err != nil {
		return nil, fmt.Errorf("the package does not open with your key: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil {
		return nil, fmt.Errorf("the package was altered: %w", err)
	}
	return plain, nil
}
