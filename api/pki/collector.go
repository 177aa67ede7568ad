package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"time"
)

// MaxCollectorLife is the longest that a collector's certificate can be good for.
const MaxCollectorLife = 90 * 24 * time.Hour

// LoadAuthority reads a CA's certificate and key. A key that others may read is
// refused, and so is a certificate that may not issue others.
func LoadAuthority(certFile, keyFile string) (*Authority, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("certificate authority: %s: others may read it; run `chmod 600 %s`", keyFile, keyFile)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("certificate authority: %s: a key that cannot sign", keyFile)
	}
	if !pair.Leaf.IsCA || pair.Leaf.KeyUsage != 0 && pair.Leaf.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("certificate authority: %s: may not issue certificates; want a CA's", certFile)
	}
	return &Authority{pair.Leaf, key}, nil
}

// Certificate returns the CA's own.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// IssueCollector issues the certificate of a collector for a key, DER. It is a
// client's and nothing else; its URIs say the role and the id, its common name
// the id too, which is what ClickHouse knows a client by. It is good from a
// little before now, for clocks that are behind, until life after now or the
// CA's own end.
func (a *Authority) IssueCollector(id string, key crypto.PublicKey, now time.Time, life time.Duration) ([]byte, error) {
	if life <= 0 || life > MaxCollectorLife {
		return nil, fmt.Errorf("issue a collector's certificate: a life of %v: want at most %v", life, MaxCollectorLife)
	}
	if !now.Before(a.cert.NotAfter) {
		return nil, errors.New("issue a collector's certificate: the CA's own has ended: have a new CA")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("issue a collector's certificate: %w", err)
	}
	until := now.Add(life)
	if until.After(a.cert.NotAfter) {
		until = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: id},
		URIs: []*url.URL{
			{Scheme: "griffier", Host: "role", Path: "/collector"},
			{Scheme: "griffier", Host: "collector", Path: "/" + id},
		},
		NotBefore: now.Add(-min(backdating, life/10)), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.cert, key, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue a collector's certificate: %w", err)
	}
	return der, nil
}
