package enrol

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
)

// MaxRequestBytes is the largest certificate request that is looked at.
const MaxRequestBytes = 4096

// errRequest is what every certificate request that is not taken is refused with.
var errRequest = errors.New("want PKCS #10 in DER, at most 4096 bytes, signed by its own key: Ed25519, or ECDSA on P-256 or P-384")

// Key is the public key of a certificate request that was signed with it.
type Key struct {
	Public crypto.PublicKey
	SHA256 [sha256.Size]byte // of its SubjectPublicKeyInfo
}

// ParseRequest checks a certificate request (RFC 2986) and returns its key.
// Nothing else in it counts: names, extensions and attributes are not looked at.
func ParseRequest(der []byte) (Key, error) {
	if len(der) == 0 || len(der) > MaxRequestBytes {
		return Key{}, errRequest
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return Key{}, errRequest
	}
	switch key := request.PublicKey.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return Key{}, errRequest
		}
	default:
		return Key{}, errRequest
	}
	switch request.SignatureAlgorithm {
	case x509.PureEd25519, x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
	default:
		return Key{}, errRequest
	}
	if request.CheckSignature() != nil {
		return Key{}, errRequest
	}
	return Key{request.PublicKey, sha256.Sum256(request.RawSubjectPublicKeyInfo)}, nil
}
