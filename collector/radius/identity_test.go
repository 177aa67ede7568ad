package radius

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"
)

// New connections get the new certificate and are judged by the new CA.
func TestIdentityIsReplaced(t *testing.T) {
	old, young := newAuthority(t), newAuthority(t)
	s := serveSecure(t, old, Config{}, nil)
	// The server judges a client's certificate after the client's part of the
	// handshake: whether it accepted shows in the first read.
	accepted := func(server, client *authority) bool {
		conn, err := tls.Dial("tcp", s.SecureAddr().String(), &tls.Config{
			RootCAs: server.pool, Certificates: []tls.Certificate{client.issue(dnsNamed("bng1.example"))},
		})
		if err != nil {
			return false
		}
		defer conn.Close()
		if _, err := conn.Write(numbered(t, 1)); err != nil {
			return false
		}
		return secureAnswer(conn, 5*time.Second) != nil
	}
	if !accepted(old, old) || accepted(young, young) {
		t.Fatal("the first identity does not hold")
	}
	if err := s.SetIdentity(RadSec{Listen: "x"}); err == nil {
		t.Error("an identity without a certificate was accepted")
	}
	if !accepted(old, old) {
		t.Error("after an error the old identity does not hold")
	}
	err := s.SetIdentity(RadSec{Listen: "x", ClientCAs: young.pool, Certificate: young.issue(x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})})
	if err != nil {
		t.Fatal(err)
	}
	if !accepted(young, young) || accepted(old, old) {
		t.Error("the new identity does not hold, or the old one still does")
	}
}
