package seal

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
)

// Key agreement (RFC 5753 §3.1): of each package's own key and the recipient's, by
// ephemeral-static Diffie-Hellman on the recipient's curve, with the derivation of
// ANSI X9.63 and AES-256 key wrap. The hash is as strong as the curve.

var (
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidAgreeSHA256 = asn1.ObjectIdentifier{1, 3, 132, 1, 11, 1} // dhSinglePass-stdDH-sha256kdf-scheme
	oidAgreeSHA384 = asn1.ObjectIdentifier{1, 3, 132, 1, 11, 2}
	oidAES256Wrap  = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 45}
)

// RecipientInfo's kari has a tag (RFC 5652 §6.2) and a version (§6.2.2).
const (
	keyAgreeTag     = "tag:1"
	keyAgreeVersion = 3
)

// The types of RFC 5652 §6.2.2, of the one choice that is made of each.
type keyAgreeRecipient struct {
	Version    int
	Originator originator `asn1:"tag:0"`
	Algorithm  pkix.AlgorithmIdentifier
	Keys       []agreedKey
}

type originator struct {
	Key originatorKey `asn1:"tag:1"`
}

type originatorKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Point     asn1.BitString
}

type agreedKey struct {
	Issuer       issuerAndSerial
	EncryptedKey []byte
}

// sharedInfo is ECC-CMS-SharedInfo (RFC 5753 §7.2) without keying material of ours.
type sharedInfo struct {
	KeyInfo     pkix.AlgorithmIdentifier
	SuppPubInfo []byte `asn1:"explicit,tag:2"`
}

// agreement is how keys are agreed on a curve.
type agreement struct {
	curve     ecdh.Curve
	algorithm asn1.ObjectIdentifier
	hash      func([]byte) []byte
}

func agreementOn(curve ecdh.Curve) (agreement, error) {
	switch curve {
	case ecdh.P256():
		return agreement{curve, oidAgreeSHA256, func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }}, nil
	case ecdh.P384():
		return agreement{curve, oidAgreeSHA384, func(b []byte) []byte { h := sha512.Sum384(b); return h[:] }}, nil
	}
	return agreement{}, errors.New("the certificate's curve is neither P-256 nor P-384")
}

// identifier is the algorithm with that of the wrapping, whose parameters are absent
// (RFC 5753 §7.1.5).
func (a agreement) identifier() (pkix.AlgorithmIdentifier, error) {
	wrap, err := asn1.Marshal(pkix.AlgorithmIdentifier{Algorithm: oidAES256Wrap})
	return pkix.AlgorithmIdentifier{Algorithm: a.algorithm, Parameters: asn1.RawValue{FullBytes: wrap}}, err
}

// derive is the X9.63 derivation (RFC 5753 §7.2) of one AES-256 key: of so few bits
// that one turn of either hash gives enough.
func (a agreement) derive(secret []byte) ([]byte, error) {
	const bits = 256
	info, err := asn1.Marshal(sharedInfo{pkix.AlgorithmIdentifier{Algorithm: oidAES256Wrap}, binary.BigEndian.AppendUint32(nil, bits)})
	if err != nil {
		return nil, err
	}
	input := binary.BigEndian.AppendUint32(bytes.Clone(secret), 1)
	return a.hash(append(input, info...))[:bits/8], nil
}

// agree encrypts a key to a certificate with an elliptic-curve key.
func agree(key []byte, to *x509.Certificate, public *ecdsa.PublicKey) (asn1.RawValue, error) {
	static, err := public.ECDH()
	if err != nil {
		return asn1.RawValue{}, errors.New("the certificate's curve is of no use for encryption")
	}
	a, err := agreementOn(static.Curve())
	if err != nil {
		return asn1.RawValue{}, err
	}
	ephemeral, err := a.curve.GenerateKey(rand.Reader)
	if err != nil {
		return asn1.RawValue{}, err
	}
	secret, err := ephemeral.ECDH(static)
	if err != nil {
		return asn1.RawValue{}, err
	}
	kek, err := a.derive(secret)
	if err != nil {
		return asn1.RawValue{}, err
	}
	wrapped, err := wrapKey(kek, key)
	if err != nil {
		return asn1.RawValue{}, err
	}
	algorithm, err := a.identifier()
	if err != nil {
		return asn1.RawValue{}, err
	}
	point := ephemeral.PublicKey().Bytes()
	der, err := asn1.MarshalWithParams(keyAgreeRecipient{Version: keyAgreeVersion,
		Originator: originator{originatorKey{pkix.AlgorithmIdentifier{Algorithm: oidECPublicKey}, asn1.BitString{Bytes: point, BitLength: 8 * len(point)}}},
		Algorithm:  algorithm, Keys: []agreedKey{{nameOf(to), wrapped}}}, keyAgreeTag)
	return asn1.RawValue{FullBytes: der}, err
}

// open decrypts the key that agree encrypted; false: it is for another certificate.
func (r keyAgreeRecipient) open(certificate *x509.Certificate, private *ecdsa.PrivateKey) (key []byte, mine bool, err error) {
	if len(r.Keys) != 1 || !r.Keys[0].Issuer.names(certificate) {
		return nil, false, nil
	}
	static, err := private.ECDH()
	if err != nil {
		return nil, true, errAltered
	}
	a, err := agreementOn(static.Curve())
	if err != nil {
		return nil, true, err
	}
	want, err := a.identifier()
	if err != nil {
		return nil, true, err
	}
	if r.Version != keyAgreeVersion || !r.Algorithm.Algorithm.Equal(want.Algorithm) || !bytes.Equal(r.Algorithm.Parameters.FullBytes, want.Parameters.FullBytes) ||
		!r.Originator.Key.Algorithm.Algorithm.Equal(oidECPublicKey) || len(r.Originator.Key.Algorithm.Parameters.FullBytes) > 0 {
		return nil, true, errOtherWay
	}
	ephemeral, err := a.curve.NewPublicKey(r.Originator.Key.Point.RightAlign())
	if err != nil { // not on the curve
		return nil, true, errAltered
	}
	secret, err := static.ECDH(ephemeral)
	if err != nil {
		return nil, true, errAltered
	}
	kek, err := a.derive(secret)
	if err == nil {
		key, err = unwrapKey(kek, r.Keys[0].EncryptedKey)
	}
	if err != nil {
		return nil, true, errAltered
	}
	return key, true, nil
}
