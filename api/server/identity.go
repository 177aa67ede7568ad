package server

import (
	"crypto/tls"
	"crypto/x509"
	"sync/atomic"
)

// Identity is a listener's certificate and client CA, which can be read anew
// while it listens.
type Identity struct {
	files   TLSConfig
	current atomic.Pointer[tls.Config]
}

// NewIdentity reads the files.
func NewIdentity(files TLSConfig) (*Identity, error) {
	i := &Identity{files: files}
	return i, i.Reload()
}

// Reload reads the files again; new connections get what they say. On an error
// the old identity holds. It is safe to call while serving.
func (i *Identity) Reload() error {
	config, err := i.files.Load()
	if err != nil {
		return err
	}
	config.NextProtos = []string{"h2"} // this configuration replaces the one that grpc added it to
	i.current.Store(config)
	return nil
}

// TLS returns the listener's configuration.
func (i *Identity) TLS() *tls.Config {
	// Without tickets: one would outlive the client CA that vouched for its certificate.
	return &tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return i.current.Load(), nil
	}}
}

// Anchor returns the last certificate that the listener presents, DER: its CA's
// where that is in cert_file, else its own. Who knows it by a fingerprint knows
// the listener.
func (i *Identity) Anchor() []byte {
	chain := i.current.Load().Certificates[0].Certificate
	return chain[len(chain)-1]
}

// Accepts tells whether a certificate that ca issued is taken for a machine's.
func (i *Identity) Accepts(ca *x509.Certificate) bool {
	pool := i.current.Load().ClientCAs
	if pool == nil {
		return false
	}
	_, err := ca.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil
}
