package enrol

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrNotEnrolled is returned for a folder without an identity.
var ErrNotEnrolled = errors.New("not enrolled")

// Folder is where the identity is. One process writes it at a time; reading is
// safe at any time.
type Folder string

// Names in the folder.
const (
	currentLink   = "current"
	nextKeyFile   = "next.key"
	folderPrefix  = "certificate-"
	certFile      = "cert.pem"
	keyFile       = "key.pem"
	issuersFile   = "issuers.pem" // of the certificate; for a store that is to trust it
	authorityFile = "griffierd-ca.pem"
	serverFile    = "griffierd"
	tokenFile     = "token-id" // of an enrolment; the part of the token that is no secret
)

// Identity is a collector's certificate, and who issued it.
type Identity struct {
	CollectorID string
	Server      string // HOST:PORT of griffierd
	Certificate tls.Certificate
	Authority   []byte // PEM of what griffierd's own certificate is trusted by
	TokenID     string // that it was enrolled with; empty once it was renewed
}

// Leaf returns the certificate.
func (i *Identity) Leaf() *x509.Certificate { return i.Certificate.Leaf }

// path returns the name of a file in the folder.
func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// Load reads the identity. It returns [ErrNotEnrolled] when there is none.
func (f Folder) Load() (*Identity, error) {
	for range 2 { // the one that was current may be replaced, and then removed, meanwhile
		at, err := os.Readlink(f.path(currentLink))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotEnrolled
		}
		if err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		i, err := load(f.path(at))
		if again, _ := os.Readlink(f.path(currentLink)); err == nil || again == at {
			return i, err
		}
	}
	return nil, fmt.Errorf("identity: %s changes all the time", f)
}

func load(dir string) (*Identity, error) {
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", dir, err)
	}
	server, err := os.ReadFile(filepath.Join(dir, serverFile))
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	authority, err := os.ReadFile(filepath.Join(dir, authorityFile))
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	token, err := os.ReadFile(filepath.Join(dir, tokenFile))
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	id, err := collectorID(cert.Leaf)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", dir, err)
	}
	return &Identity{id, strings.TrimSpace(string(server)), cert, authority, strings.TrimSpace(string(token))}, nil
}

// collectorID returns the collector that a certificate is of.
func collectorID(cert *x509.Certificate) (string, error) {
	for _, uri := range cert.URIs {
		if uri.Scheme == "griffier" && uri.Host == "collector" {
			return strings.TrimPrefix(uri.Path, "/"), nil
		}
	}
	return "", errors.New("the certificate is of no collector")
}

// ClientCertificate is for [tls.Config]: the certificate of the moment, for each
// new connection. Without an identity it shows none.
func (f Folder) ClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	i, err := f.Load()
	if errors.Is(err, ErrNotEnrolled) {
		return &tls.Certificate{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &i.Certificate, nil
}
