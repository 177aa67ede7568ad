package enrol

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// Trust is by what griffierd is known: certificates of a file, or the fingerprint
// of one that griffierd sends with its own. Exactly one is set.
type Trust struct {
	authority []byte // PEM
	pin       *[sha256.Size]byte
}

// maxAuthorityBytes bounds a file of CA certificates.
const maxAuthorityBytes = 1 << 20

// TrustFile trusts the certificates of a PEM file.
func TrustFile(path string) (Trust, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Trust{}, fmt.Errorf("CA file: %w", err)
	}
	if info.Size() > maxAuthorityBytes {
		return Trust{}, fmt.Errorf("CA file %s: larger than %d bytes", path, maxAuthorityBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Trust{}, fmt.Errorf("CA file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return Trust{}, fmt.Errorf("CA file %s: no certificate in it", path)
	}
	return Trust{authority: text}, nil
}

// TrustFingerprint trusts the certificate whose SHA-256 (of its DER) is given in
// hexadecimal, with or without colons, as `griffier collector token` prints it.
func TrustFingerprint(text string) (Trust, error) {
	sum, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(sum) != sha256.Size {
		return Trust{}, errors.New("CA fingerprint: want the 64 hexadecimal digits that `griffier collector token` printed")
	}
	return Trust{pin: (*[sha256.Size]byte)(sum)}, nil
}

// config returns how to connect to host. found is told the PEM of the certificates
// that the server was trusted by.
func (t Trust) config(host string, found func([]byte)) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host, RootCAs: x509.NewCertPool()}
	if t.pin == nil {
		c.RootCAs.AppendCertsFromPEM(t.authority)
		found(t.authority)
		return c
	}
	c.InsecureSkipVerify = true // VerifyConnection verifies
	c.VerifyConnection = func(s tls.ConnectionState) error {
		anchor, err := t.anchor(s.PeerCertificates, host)
		if err == nil {
			found(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: anchor.Raw}))
		}
		return err
	}
	return c
}

// errPin says that it is not the griffierd that was meant.
var errPin = errors.New("griffierd does not show the certificate of this fingerprint: it is another server, or its cert_file lacks the CA's certificate (then give -ca FILE)")

// anchor returns the pinned certificate of a presented chain, if the first
// certificate is host's by it.
func (t Trust) anchor(chain []*x509.Certificate, host string) (*x509.Certificate, error) {
	var anchor *x509.Certificate
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range chain {
		if sha256.Sum256(c.Raw) == *t.pin {
			anchor = c
			roots.AddCert(c)
		} else {
			others.AddCert(c)
		}
	}
	if anchor == nil {
		return nil, errPin
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: others, DNSName: host})
	return anchor, err
}

// ParseServer reads HOST:PORT, or https://HOST:PORT.
func ParseServer(text string) (string, error) {
	if rest, ok := strings.CutPrefix(text, "https://"); ok {
		u, err := url.Parse(text)
		if err != nil || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			return "", fmt.Errorf("griffierd %q: want HOST:PORT", text)
		}
		text = strings.TrimRight(rest, "/")
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || host == "" || strings.ContainsAny(host, "/@ ") {
		return "", fmt.Errorf("griffierd %q: want HOST:PORT", text)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("griffierd %q: want HOST:PORT", text)
	}
	return text, nil
}
