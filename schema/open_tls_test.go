package schema

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"griffier/schema/engine/enginetest"
)

// selfSigned makes a certificate with a serial number to know it by.
func selfSigned(t *testing.T, serial int64) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestOpenShowsTheCertificateOfTheMoment goes to a server that wants a client
// certificate. One that was replaced is shown to the next connection.
func TestOpenShowsTheCertificateOfTheMoment(t *testing.T) {
	database := enginetest.Start(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(t, 1)}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	var shown atomic.Int64
	var relays sync.WaitGroup
	t.Cleanup(relays.Wait)
	t.Cleanup(func() { l.Close() })
	relays.Go(func() {
		for {
			outside, err := l.Accept()
			if err != nil {
				return
			}
			relays.Go(func() {
				defer outside.Close()
				c := outside.(*tls.Conn)
				if c.Handshake() != nil {
					return
				}
				shown.Store(c.ConnectionState().PeerCertificates[0].SerialNumber.Int64())
				inside, err := net.Dial("unix", database.Socket)
				if err != nil {
					return
				}
				relays.Go(func() { io.Copy(inside, outside); inside.Close() })
				io.Copy(outside, inside)
			})
		}
	})
	var current atomic.Pointer[tls.Certificate]
	current.Store(&tls.Certificate{})
	config := Config{DSN: "https://" + l.Addr().String() + "/default?secure=true&skip_verify=true",
		ClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return current.Load(), nil }}
	if conn, err := Open(t.Context(), config); err == nil {
		conn.Close()
		t.Error("without a certificate it was let in")
	}
	for serial := range int64(3) {
		cert := selfSigned(t, 10+serial)
		current.Store(&cert)
		conn, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown.Load(); got != 10+serial {
			t.Errorf("the server saw certificate %d, want %d", got, 10+serial)
		}
		conn.Close()
	}
}
