package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
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
	Recipients []keyTransRecipient `asn1:"set"`
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

// sealCMS encrypts to one certificate.
func sealCMS(plain []byte, to *x509.Certificate) ([]byte, error) {
	public, ok := to.PublicKey.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the certificate has no RSA key")
	}
	var key [32]byte
	var iv [aes.BlockSize]byte
	rand.Read(key[:])
	rand.Read(iv[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize // RFC 5652 §6.3
	content := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv[:]).CryptBlocks(content, content)
	encryptedKey, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, key[:], nil)
	if err != nil {
		return nil, err
	}
	algorithm, err := oaepSHA256()
	if err != nil {
		return nil, err
	}
	ivText, err := asn1.Marshal(iv[:])
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidEnvelopedData, envelopedData{
		Recipients: []keyTransRecipient{{Issuer: issuerAndSerial{asn1.RawValue{FullBytes: to.RawIssuer}, to.SerialNumber}, Algorithm: algorithm, EncryptedKey: encryptedKey}},
		Encrypted:  encryptedContent{oidData, pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: ivText}}, content},
	}})
}

var errAltered = errors.New("the package does not open with your key, or was altered")

// openCMS decrypts what sealCMS made, and nothing that is weaker.
func openCMS(sealed []byte, certificate *x509.Certificate, private *rsa.PrivateKey) ([]byte, error) {
	var c contentInfo
	if rest, err := asn1.Unmarshal(sealed, &c); err != nil || len(rest) > 0 || !c.Type.Equal(oidEnvelopedData) {
		return nil, errors.New("the package is no CMS envelope, or was altered")
	}
	oaep, err := oaepSHA256()
	if err != nil {
		return nil, err
	}
	if e := c.Content.Encrypted; !e.Algorithm.Algorithm.Equal(oidAES256CBC) || !e.Type.Equal(oidData) {
		return nil, errors.New("the package is encrypted in a way that this program does not use")
	}
	for _, r := range c.Content.Recipients {
		if !bytes.Equal(r.Issuer.Issuer.FullBytes, certificate.RawIssuer) || r.Issuer.Serial.Cmp(certificate.SerialNumber) != 0 {
			continue
		}
		if !r.Algorithm.Algorithm.Equal(oidRSAESOAEP) || !bytes.Equal(r.Algorithm.Parameters.FullBytes, oaep.Parameters.FullBytes) {
			return nil, errors.New("the package's key is encrypted in a way that this program does not use")
		}
		key, err := rsa.DecryptOAEP(sha256.New(), nil, private, r.EncryptedKey, nil)
		if err != nil {
			return nil, errAltered
		}
		return c.Content.Encrypted.open(key)
	}
	return nil, errors.New("the package is sealed to another certificate than yours")
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
