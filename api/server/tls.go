package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLSConfig names the files of the listener's identity and of the CA of machines.
type TLSConfig struct {
	CertFile     string
	KeyFile      string
	ClientCAFile string
}

// Load reads the files. A client certificate is asked for and, when one comes,
// must be the client CA's; people connect without one.
func (c TLSConfig) Load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: cert_file, key_file: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
	if c.ClientCAFile == "" {
		return out, nil
	}
	pem, err := os.ReadFile(c.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("tls: client_ca_file: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls: client_ca_file %s: no certificate in it", c.ClientCAFile)
	}
	out.ClientAuth = tls.VerifyClientCertIfGiven
	return out, nil
}
