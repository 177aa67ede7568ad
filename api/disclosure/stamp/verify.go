package stamp

import (
	"bytes"
	"crypto/sha1" // names a certificate in older tokens, RFC 2634 §5.4
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/smallstep/pkcs7"
)

// Info is what a token says.
type Info struct {
	At        time.Time
	Accuracy  time.Duration // zero: not stated
	Serial    string
	Policy    string
	Authority string // the common name in its certificate

	nonce *big.Int
}

// tstInfo is RFC 3161 §2.4.2. GenTime may have a fraction, which encoding/asn1
// does not read.
type tstInfo struct {
	Version        int
	Policy         asn1.ObjectIdentifier
	MessageImprint messageImprint
	SerialNumber   *big.Int
	GenTime        asn1.RawValue
	Accuracy       accuracy      `asn1:"optional"`
	Ordering       bool          `asn1:"optional,default:false"`
	Nonce          *big.Int      `asn1:"optional"`
	TSA            asn1.RawValue `asn1:"optional,tag:0"`
	Extensions     asn1.RawValue `asn1:"optional,tag:1"`
}

type accuracy struct {
	Seconds int `asn1:"optional"`
	Millis  int `asn1:"optional,tag:0"`
	Micros  int `asn1:"optional,tag:1"`
}

var (
	oidTimeStamping         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
	oidExtKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA384               = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512               = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// Verify checks a token over a SHA-256 digest: that it is about exactly that
// digest, that it is signed by the certificate that it names, and that this leads
// to one of roots, was valid at the token's own time, and is for time stamping and
// nothing else (RFC 3161 §2.3, RFC 5816).
func Verify(token []byte, digest [32]byte, roots *x509.CertPool) (Info, error) {
	info, err := verify(token, digest, roots)
	if err != nil {
		return Info{}, fmt.Errorf("verify time stamp: %w", err)
	}
	return info, nil
}

func verify(token []byte, digest [32]byte, roots *x509.CertPool) (Info, error) {
	switch {
	case len(token) > maxResponseBytes:
		return Info{}, fmt.Errorf("longer than %d bytes", maxResponseBytes)
	case roots == nil: // which pkcs7 takes for: check no chain
		return Info{}, errors.New("there are no roots to trust")
	}
	p7, err := pkcs7.Parse(token)
	if err != nil {
		return Info{}, errors.New("no signed message")
	}
	var whole asn1.RawValue // the parser passes over what comes after it
	if rest, err := asn1.Unmarshal(token, &whole); err != nil || len(rest) > 0 {
		return Info{}, errors.New("no signed message and nothing beside it")
	}
	var t tstInfo
	if rest, err := asn1.Unmarshal(p7.Content, &t); err != nil || len(rest) > 0 || t.Version != 1 || t.SerialNumber == nil {
		return Info{}, errors.New("no time-stamp token")
	}
	if !t.MessageImprint.HashAlgorithm.Algorithm.Equal(oidSHA256) || !bytes.Equal(t.MessageImprint.HashedMessage, digest[:]) {
		return Info{}, errors.New("it is about something else")
	}
	at, err := generalized(t.GenTime)
	if err != nil {
		return Info{}, err
	}
	signer := p7.GetOnlySigner()
	if signer == nil {
		return Info{}, errors.New("not signed by exactly one certificate")
	}
	if err := p7.VerifyWithChainAtTime(roots, at); err != nil {
		return Info{}, errors.New("its signature does not lead to a root that you trust")
	}
	var contentType asn1.ObjectIdentifier
	if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &contentType); err != nil || !contentType.Equal(oidTSTInfo) {
		return Info{}, errors.New("what is signed is no time-stamp token")
	}
	if err := isTimeStamper(signer); err != nil {
		return Info{}, err
	}
	if err := namesSigner(p7, signer); err != nil {
		return Info{}, err
	}
	within := time.Duration(t.Accuracy.Seconds)*time.Second + time.Duration(t.Accuracy.Millis)*time.Millisecond + time.Duration(t.Accuracy.Micros)*time.Microsecond
	return Info{At: at, Accuracy: within, Serial: t.SerialNumber.Text(16), Policy: t.Policy.String(), Authority: signer.Subject.CommonName, nonce: t.Nonce}, nil
}

// generalized reads a GeneralizedTime in DER: UTC, with Z.
func generalized(v asn1.RawValue) (time.Time, error) {
	at, err := time.Parse("20060102150405.999999999Z", string(v.Bytes))
	if err != nil || v.Tag != asn1.TagGeneralizedTime || v.Class != asn1.ClassUniversal {
		return time.Time{}, errors.New("its time cannot be read")
	}
	return at.UTC(), nil
}

// isTimeStamper asks for the one extended key usage, critical (RFC 3161 §2.3).
func isTimeStamper(c *x509.Certificate) error {
	critical := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool {
		var usages []asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(e.Value, &usages)
		return e.Id.Equal(oidExtKeyUsage) && e.Critical && err == nil && len(rest) == 0 && len(usages) == 1 && usages[0].Equal(oidTimeStamping)
	})
	if !critical {
		return errors.New("its certificate is not one for time stamping alone")
	}
	return nil
}

type essCertID struct {
	Hash   []byte
	Issuer asn1.RawValue `asn1:"optional"`
}

type essCertIDv2 struct {
	Algorithm pkix.AlgorithmIdentifier `asn1:"optional"`
	Hash      []byte
	Issuer    asn1.RawValue `asn1:"optional"`
}

// namesSigner asks that the signature covers the hash of the certificate that it
// is checked with, so that none can be put in its place.
func namesSigner(p7 *pkcs7.PKCS7, signer *x509.Certificate) error {
	errOther := errors.New("it names another certificate than the one it is signed with")
	var v2 struct {
		Certs    []essCertIDv2
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := p7.UnmarshalSignedAttribute(oidSigningCertificateV2, &v2); err == nil {
		if len(v2.Certs) == 0 {
			return errOther
		}
		var sum []byte
		switch id := v2.Certs[0]; {
		case len(id.Algorithm.Algorithm) == 0 || id.Algorithm.Algorithm.Equal(oidSHA256):
			s := sha256.Sum256(signer.Raw)
			sum = s[:]
		case id.Algorithm.Algorithm.Equal(oidSHA384):
			s := sha512.Sum384(signer.Raw)
			sum = s[:]
		case id.Algorithm.Algorithm.Equal(oidSHA512):
			s := sha512.Sum512(signer.Raw)
			sum = s[:]
		}
		if sum == nil || !bytes.Equal(sum, v2.Certs[0].Hash) {
			return errOther
		}
		return nil
	}
	var v1 struct {
		Certs    []essCertID
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := p7.UnmarshalSignedAttribute(oidSigningCertificate, &v1); err != nil || len(v1.Certs) == 0 {
		return errors.New("it does not name its certificate")
	}
	if sum := sha1.Sum(signer.Raw); !bytes.Equal(sum[:], v1.Certs[0].Hash) {
		return errOther
	}
	return nil
}
