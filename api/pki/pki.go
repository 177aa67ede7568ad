// Package pki makes the private certificate authority that `griffierd -init`
// sets up: one CA, a certificate for the server and one each for the provisioner's
// and the operator's machines. An ISP with a CA of its own uses that instead. With the CA's key it
// issues the certificates of collectors.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Lifetimes of what [Init] issues.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 397 * 24 * time.Hour
)

// Authority can issue certificates. It is safe for concurrent use.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Init writes ca.pem, server.pem, provisioner.pem and operator.pem, and a .key beside
// each, into dir. hosts are the names and addresses of the server.
func Init(dir string, hosts []string) error {
	server := &x509.Certificate{Subject: pkix.Name{CommonName: "griffierd"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, h := range hosts {
		h = strings.TrimSpace(h)
		if ip := net.ParseIP(h); ip != nil {
			server.IPAddresses = append(server.IPAddresses, ip)
		} else if h != "" {
			server.DNSNames = append(server.DNSNames, h)
		}
	}
	if len(server.IPAddresses)+len(server.DNSNames) == 0 {
		return errors.New("server certificate: it needs a name or an address")
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := write(dir, "ca", ca.key, ca.cert.Raw); err != nil {
		return err
	}
	if err := ca.issue(dir, "server", server); err != nil {
		return err
	}
	for _, machine := range []string{"provisioner", "operator"} {
		err := ca.issue(dir, machine, &x509.Certificate{
			Subject:     pkix.Name{CommonName: machine},
			URIs:        []*url.URL{{Scheme: "griffier", Host: "role", Path: "/" + machine}},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func newAuthority() (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make ca: %w", err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Griffier private CA"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if err := date(template, caLife); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make ca: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make ca: %w", err)
	}
	return &Authority{cert, key}, nil
}

func (a *Authority) issue(dir, name string, template *x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("issue %s: %w", name, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if err := date(template, leafLife); err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("issue %s: %w", name, err)
	}
	if name == "server" { // sends its CA too, so that a collector can know it by the CA's fingerprint
		return write(dir, name, key, der, a.cert.Raw)
	}
	return write(dir, name, key, der)
}

// backdating is how far before its issue a certificate begins, for clocks that
// are a little behind.
const backdating = 5 * time.Minute

func date(template *x509.Certificate, life time.Duration) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return fmt.Errorf("certificate serial: %w", err)
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-backdating), now.Add(life)
	return nil
}

func write(dir, name string, key crypto.Signer, chain ...[]byte) error {
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	var certificates []*pem.Block
	for _, der := range chain {
		certificates = append(certificates, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	for file, blocks := range map[string][]*pem.Block{
		name + ".pem": certificates,
		name + ".key": {{Type: "PRIVATE KEY", Bytes: pkcs8}},
	} {
		f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		for _, block := range blocks {
			if err := pem.Encode(f, block); err != nil {
				f.Close()
				return fmt.Errorf("write %s: %w", name, err)
			}
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
