package seal

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
)

// The envelope is written here and not by pkcs7, whose RSA-OAEP with SHA-256 says
// that its mask is made with SHA-1 (it leaves out maskGenAlgorithm), so that no other
// program opens it.

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidRSAESOAEP     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 7}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidAES256CBC     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

// The types of RFC 5652 §3 and §6.1, as far as one recipient needs them.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content envelopedData `asn1:"explicit,tag:0"`
}

type envelopedData struct {
	Version    int
	Recipients []asn1.RawValue `asn1:"set"` // a keyTransRecipient or keyAgreeRecipient
	Encrypted  encryptedContent
}

type keyTransRecipient struct {
	Version      int
	Issuer       issuerAndSerial
	Algorithm    pkix.AlgorithmIdentifier
	EncryptedKey []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

func nameOf(c *x509.Certificate) issuerAndSerial {
	return issuerAndSerial{asn1.RawValue{FullBytes: c.RawIssuer}, c.SerialNumber}
}

func (i issuerAndSerial) names(c *x509.Certificate) bool {
	return bytes.Equal(i.Issuer.FullBytes, c.RawIssuer) && i.Serial.Cmp(c.SerialNumber) == 0
}

type encryptedContent struct {
	Type      asn1.ObjectIdentifier
	Algorithm pkix.AlgorithmIdentifier
	Content   []byte `asn1:"tag:0"`
}

// oaepParameters is RSAES-OAEP-params (RFC 4055 §4.1) without its last, which is
// the default.
type oaepParameters struct {
	Hash pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
	Mask pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
}

func oaepSHA256() (pkix.AlgorithmIdentifier, error) {
	hash := pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
	inner, err := asn1.Marshal(hash)
	if err != nil {
		return pkix.AlgorithmIdentifier{}, err
	}
	parameters, err := asn1.Marshal(oaepParameters{hash, pkix.AlgorithmIdentifier{Algorithm: oidMGF1, Parameters: asn1.RawValue{FullBytes: inner}}})
	return pkix.AlgorithmIdentifier{Algorithm: oidRSAESOAEP, Parameters: asn1.RawValue{FullBytes: parameters}}, err
}

// versionFor is the version of an envelope for one key (RFC 5652 §6.1): 0 where its
// recipient's is.
func versionFor(public crypto.PublicKey) int {
	if _, transported := public.(*rsa.PublicKey); transported {
		return 0
	}
	return 2
}

// transport encrypts a key to a certificate with an RSA key.
func transport(key []byte, to *x509.Certificate, public *rsa.PublicKey) (asn1.RawValue, error) {
	encrypted, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, key, nil)
	if err != nil {
		return asn1.RawValue{}, err
	}
	algorithm, err := oaepSHA256()
	if err != nil {
		return asn1.RawValue{}, err
	}
	der, err := asn1.Marshal(keyTransRecipient{Issuer: nameOf(to), Algorithm: algorithm, EncryptedKey: encrypted})
	return asn1.RawValue{FullBytes: der}, err
}

// sealCMS encrypts to one certificate.
func sealCMS(plain []byte, to *x509.Certificate) ([]byte, error) {
	var key [32]byte
	var iv [aes.BlockSize]byte
	rand.Read(key[:])
	rand.Read(iv[:])
	var recipient asn1.RawValue
	var err error
	switch public := to.PublicKey.(type) {
	case *rsa.PublicKey:
		recipient, err = transport(key[:], to, public)
	case *ecdsa.PublicKey:
		recipient, err = agree(key[:], to, public)
	default:
		err = errors.New("the certificate's key is neither RSA nor on a curve")
	}
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize // RFC 5652 §6.3
	content := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(content, content)
	ivText, err := asn1.Marshal(iv[:])
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidEnvelopedData, envelopedData{Version: versionFor(to.PublicKey), Recipients: []asn1.RawValue{recipient},
		Encrypted: encryptedContent{oidData, pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: ivText}}, content},
	}})
}

var (
	errAltered  = errors.New("the package does not open with your key, or was altered")
	errOtherWay = errors.New("the package's key is encrypted in a way that this program does not use")
)

// openCMS decrypts what sealCMS made, and nothing that is weaker.
func openCMS(sealed []byte, certificate *x509.Certificate, private crypto.PrivateKey) ([]byte, error) {
	var c contentInfo
	if rest, err := asn1.Unmarshal(sealed, &c); err != nil || len(rest) > 0 || !c.Type.Equal(oidEnvelopedData) {
		return nil, errors.New("the package is no CMS envelope, or was altered")
	}
	if again, err := asn1.Marshal(c); err != nil || !bytes.Equal(again, sealed) { // the parser passes over a length of [0]
		return nil, errors.New("the package is no CMS envelope as DER has it, or was altered")
	}
	if e := c.Content.Encrypted; !e.Algorithm.Algorithm.Equal(oidAES256CBC) || !e.Type.Equal(oidData) {
		return nil, errors.New("the package is encrypted in a way that this program does not use")
	}
	for _, r := range c.Content.Recipients {
		if c.Content.Version != versionFor(certificate.PublicKey) {
			return nil, errOtherWay
		}
		if key, mine, err := openKey(r, certificate, private); err != nil {
			return nil, err
		} else if mine {
			return c.Content.Encrypted.open(key)
		}
	}
	return nil, errors.New("the package is sealed to another certificate than yours")
}

// openKey decrypts the package's key for one recipient; false: it is for another.
func openKey(r asn1.RawValue, certificate *x509.Certificate, private crypto.PrivateKey) (key []byte, mine bool, err error) {
	switch private := private.(type) {
	case *rsa.PrivateKey:
		var to keyTransRecipient
		if rest, err := asn1.Unmarshal(r.FullBytes, &to); err != nil || len(rest) > 0 || !to.Issuer.names(certificate) {
			return nil, false, nil
		}
		want, err := oaepSHA256()
		if err != nil {
			return nil, true, err
		}
		if to.Version != 0 || !to.Algorithm.Algorithm.Equal(want.Algorithm) || !bytes.Equal(to.Algorithm.Parameters.FullBytes, want.Parameters.FullBytes) {
			return nil, true, errOtherWay
		}
		if key, err = rsa.DecryptOAEP(sha256.New(), nil, private, to.EncryptedKey, nil); err != nil {
			return nil, true, errAltered
		}
		return key, true, nil
	case *ecdsa.PrivateKey:
		var to keyAgreeRecipient
		if rest, err := asn1.UnmarshalWithParams(r.FullBytes, &to, keyAgreeTag); err != nil || len(rest) > 0 {
			return nil, false, nil
		}
		return to.open(certificate, private)
	}
	return nil, false, errOtherWay
}

func (e encryptedContent) open(key []byte) ([]byte, error) {
	var iv []byte
	if rest, err := asn1.Unmarshal(e.Algorithm.Parameters.FullBytes, &iv); err != nil || len(rest) > 0 || len(iv) != aes.BlockSize {
		return nil, errAltered
	}
	block, err := aes.NewCipher(key)
	if err != nil || len(key) != 32 || len(e.Content) == 0 || len(e.Content)%aes.BlockSize != 0 {
		return nil, errAltered
	}
	plain := make([]byte, len(e.Content))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, e.Content)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize || !bytes.Equal(plain[len(plain)-pad:], bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errAltered
	}
	return plain[:len(plain)-pad], nil
}
