package authority

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"

	"griffier/api/disclosure/seal"
)

// KeyKind is how packages are sealed to a key.
type KeyKind string

// Kinds of key.
const (
	Age  KeyKind = "age"  // an X25519 public key, age1…
	X509 KeyKind = "x509" // a certificate, for CMS
)

// MaxKeyText is how long the text of a key may be, in bytes.
const MaxKeyText = 16 << 10

// Key is a public key of an authority. One of Age and Certificate is set.
type Key struct {
	Kind        KeyKind
	Fingerprint string // hexadecimal SHA-256 of the age key's text, or of the DER
	Age         *age.X25519Recipient
	Certificate *x509.Certificate
}

// ParseKey reads a public key: one age1… line, or one PEM CERTIFICATE and nothing
// beside it. A private key is refused, and so is whatever a package could not be
// sealed to ([seal.Usable]).
func ParseKey(text string) (Key, error) {
	if len(text) > MaxKeyText {
		return Key{}, fmt.Errorf("key: is longer than %d bytes", MaxKeyText)
	}
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "AGE-SECRET-KEY-"), strings.Contains(text, "PRIVATE KEY"):
		return Key{}, errors.New("key: is a private one; only the authority may have it, ask for its public key")
	case strings.HasPrefix(text, "age1"):
		r, err := age.ParseX25519Recipient(text)
		if err != nil || r.String() != text {
			return Key{}, errors.New("key: is not an age public key (age1…)")
		}
		return Key{Kind: Age, Fingerprint: fingerprint([]byte(text)), Age: r}, nil
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return Key{}, errors.New("key: is neither an age public key (age1…) nor a PEM certificate")
	case block.Type != "CERTIFICATE" || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 || !strings.HasPrefix(text, "-----BEGIN"):
		return Key{}, errors.New("key: want one PEM CERTIFICATE without headers, and nothing beside it")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return Key{}, errors.New("key: the certificate cannot be read")
	}
	if err := seal.Usable(c); err != nil {
		return Key{}, fmt.Errorf("key: the certificate %w", err)
	}
	return Key{Kind: X509, Fingerprint: fingerprint(c.Raw), Certificate: c}, nil
}

// Text is the key as ParseKey reads it.
func (k Key) Text() string {
	if k.Kind == Age {
		return k.Age.String()
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: k.Certificate.Raw}))
}

// Expires is from when the key is no longer good; zero: it does not say.
func (k Key) Expires() time.Time {
	if k.Certificate == nil {
		return time.Time{}
	}
	return k.Certificate.NotAfter.UTC()
}

// Recipient is how a warrant's content names the key.
func (k Key) Recipient() string {
	if k.Kind == Age {
		return k.Age.String()
	}
	return "sha256:" + k.Fingerprint
}

func fingerprint(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
