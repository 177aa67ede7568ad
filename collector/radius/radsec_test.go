package radius

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"testing"
	"time"

	layeh "layeh.com/radius"
	"layeh.com/radius/rfc2866"

	"griffier/collector/binding"
)

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.key = a.newKey()
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

func (a *authority) issue(template x509.Certificate) tls.Certificate {
	a.t.Helper()
	key := a.newKey()
	template.SerialNumber = big.NewInt(2)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func dnsNamed(name string) x509.Certificate { return x509.Certificate{DNSNames: []string{name}} }

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// serveSecure runs a server that bng1.example may send to over TLS.
func serveSecure(t *testing.T, ca *authority, cfg Config, handle Handler) *served {
	t.Helper()
	if cfg.RadSec == nil {
		cfg.RadSec = &RadSec{}
	}
	cfg.RadSec.Listen, cfg.RadSec.ClientCAs = "127.0.0.1:0", ca.pool
	cfg.RadSec.Certificate = ca.issue(x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	cfg.Clients = append(cfg.Clients, Client{Prefix: loopback, Certificate: "bng1.example"})
	return serve(t, cfg, handle)
}

func (s *served) dialSecure(ca *authority, certificate tls.Certificate) *tls.Conn {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.SecureAddr().String(), &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{certificate}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// secureAnswer reads one packet, or nil if the connection ends or is silent.
func secureAnswer(conn *tls.Conn, within time.Duration) []byte {
	conn.SetReadDeadline(time.Now().Add(within))
	packet := make([]byte, 4096)
	if _, err := io.ReadFull(conn, packet[:20]); err != nil {
		return nil
	}
	length := int(binary.BigEndian.Uint16(packet[2:]))
	if _, err := io.ReadFull(conn, packet[20:length]); err != nil {
		return nil
	}
	return packet[:length]
}

func numbered(t *testing.T, id int) []byte {
	return encode(t, radsecSecret, StatusStart, func(p *layeh.Packet) {
		session42(p)
		p.Identifier = byte(id)
		rfc2866.AcctSessionID_SetString(p, fmt.Sprint(id))
	})
}

func TestRadSec(t *testing.T) {
	ca := newAuthority(t)
	s := serveSecure(t, ca, Config{}, nil)
	conn := s.dialSecure(ca, ca.issue(dnsNamed("bng1.example")))
	// Many packets in one write, and one in many: a stream has no borders.
	const count = 200
	var all []byte
	requests := map[byte][]byte{}
	for id := range count {
		request := numbered(t, id)
		requests[byte(id)] = request
		all = append(all, request...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatal(err)
	}
	for range count {
		got := secureAnswer(conn, patience)
		if got == nil || !layeh.IsAuthenticResponse(got, requests[got[1]], radsecSecret) {
			t.Fatalf("answer %x", got)
		}
		delete(requests, got[1])
	}
	last := numbered(t, 250)
	for _, octet := range last {
		if _, err := conn.Write([]byte{octet}); err != nil {
			t.Fatal(err)
		}
	}
	if got := secureAnswer(conn, patience); !layeh.IsAuthenticResponse(got, last, radsecSecret) {
		t.Errorf("answer to a packet in pieces: %x", got)
	}
	status := statusServer(radsecSecret)
	if _, err := conn.Write(status); err != nil {
		t.Fatal(err)
	}
	if got := secureAnswer(conn, patience); !layeh.IsAuthenticResponse(got, status, radsecSecret) {
		t.Errorf("answer to Status-Server: %x", got)
	}
	if n := len(s.observations()); n != count+1 {
		t.Errorf("%d observations, want %d", n, count+1)
	}
}

func TestRadSecNames(t *testing.T) {
	ca := newAuthority(t)
	uri, err := url.Parse("spiffe://isp/bng2")
	if err != nil {
		t.Fatal(err)
	}
	s := serveSecure(t, ca, Config{Clients: []Client{
		{Prefix: loopback, Certificate: uri.String()}, {Prefix: loopback, Certificate: "bng3"},
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Certificate: "elsewhere.example"},
	}}, nil)
	for name, test := range map[string]struct {
		certificate x509.Certificate
		answered    bool
	}{
		"DNS name":                      {dnsNamed("bng1.example"), true},
		"URI":                           {x509.Certificate{URIs: []*url.URL{uri}}, true},
		"common name":                   {x509.Certificate{Subject: pkix.Name{CommonName: "bng3"}}, true},
		"a name that is nobody's":       {dnsNamed("bng9.example"), false},
		"a name from the wrong address": {dnsNamed("elsewhere.example"), false},
		"no name":                       {x509.Certificate{}, false},
	} {
		before := s.metric("dropped_total", string(ReasonUnknownClient))
		conn := s.dialSecure(ca, ca.issue(test.certificate))
		request := numbered(t, 1)
		conn.Write(request)
		got := secureAnswer(conn, patience)
		if (got != nil) != test.answered {
			t.Errorf("%s: answer %x", name, got)
		}
		if dropped := s.metric("dropped_total", string(ReasonUnknownClient)) - before; !test.answered && dropped != 1 {
			t.Errorf("%s: counted %v times", name, dropped)
		}
	}
}

// TestRadSecRefuses: no certificate, another authority's, no TLS at all; and the
// secret of TLS, which everyone knows, is worth nothing over UDP.
func TestRadSecRefuses(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	s := serveSecure(t, ca, Config{}, nil)
	refused := func(name string, conn net.Conn, err error) {
		t.Helper()
		if err != nil {
			return // refused within the handshake
		}
		defer conn.Close()
		conn.Write(numbered(t, 1))
		conn.SetReadDeadline(time.Now().Add(patience))
		if n, err := conn.Read(make([]byte, 4096)); err == nil && name != "no TLS" {
			t.Errorf("%s: answered with %d octets", name, n)
		}
	}
	address := s.SecureAddr().String()
	bare, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.pool})
	refused("no certificate", bare, err)
	foreign, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{other.issue(dnsNamed("bng1.example"))}})
	refused("another authority's", foreign, err)
	plain, err := net.Dial("tcp", address)
	refused("no TLS", plain, err)
	within(t, "three handshakes refused", func() bool { return s.metric("dropped_total", string(ReasonHandshake)) == 3 })

	conn := s.dial()
	send(t, conn, numbered(t, 1))
	within(t, "counted", func() bool { return s.metric("dropped_total", string(ReasonUnknownClient)) == 1 })
	if answer(conn, silence) != nil || len(s.observations()) != 0 {
		t.Error("a client over TLS was served over UDP")
	}
}

// TestRadSecBadPackets: after a packet that is no packet, nobody knows where the
// next begins; others are dropped and the connection goes on.
func TestRadSecBadPackets(t *testing.T) {
	ca := newAuthority(t)
	s := serveSecure(t, ca, Config{}, nil)
	certificate := ca.issue(dnsNamed("bng1.example"))
	short, long := numbered(t, 1), numbered(t, 1)
	binary.BigEndian.PutUint16(short[2:], 19)
	binary.BigEndian.PutUint16(long[2:], 4097)
	for name, test := range map[string]struct {
		packet []byte
		reason Reason
		closed bool
	}{
		"Length under twenty": {short, ReasonLength, true},
		"Length over 4096":    {long, ReasonLength, true},
		"wrong authenticator": {encode(t, secret, StatusStart, session42), ReasonAuthenticator, true},
		"Access-Request":      {append([]byte{1, 1, 0, 20}, make([]byte, 16)...), ReasonCode, false},
		"no session id":       {encode(t, radsecSecret, StatusStart, nil), ReasonSessionID, false},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.dialSecure(ca, certificate)
			before := s.metric("dropped_total", string(test.reason))
			if _, err := conn.Write(test.packet); err != nil {
				t.Fatal(err)
			}
			within(t, "counted", func() bool { return s.metric("dropped_total", string(test.reason)) == before+1 })
			conn.Write(numbered(t, 2))
			if got := secureAnswer(conn, patience); (got == nil) != test.closed {
				t.Errorf("the next packet's answer: %x", got)
			}
		})
	}
}

func TestRadSecLimits(t *testing.T) {
	ca := newAuthority(t)
	s := serveSecure(t, ca, Config{RadSec: &RadSec{MaxConnections: 1}}, nil)
	certificate := ca.issue(dnsNamed("bng1.example"))
	first := s.dialSecure(ca, certificate)
	first.Write(numbered(t, 1))
	if secureAnswer(first, patience) == nil {
		t.Fatal("the first connection is not served")
	}
	if second, err := tls.Dial("tcp", s.SecureAddr().String(), &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{certificate}}); err == nil {
		second.Close()
		t.Error("a second connection was accepted")
	}
	if s.metric("dropped_total", string(ReasonConnections)) != 1 {
		t.Error("not counted")
	}
	// Another server, whose connections are idle soon, and not before they are tried.
	s = serveSecure(t, ca, Config{RadSec: &RadSec{MaxConnections: 1, IdleTimeout: time.Second}}, nil)
	if got := secureAnswer(s.dialSecure(ca, certificate), patience); got != nil { // closed when idle
		t.Errorf("answer to nothing: %x", got)
	}
	var third *tls.Conn
	within(t, "room again", func() (ok bool) {
		conn, err := tls.Dial("tcp", s.SecureAddr().String(), &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{certificate}})
		third = conn
		return err == nil
	})
	third.Close()
}

// TestRadSecShutdown: what was taken in before the end is answered.
func TestRadSecShutdown(t *testing.T) {
	ca := newAuthority(t)
	release := make(chan struct{})
	s := serveSecure(t, ca, Config{}, func(context.Context, binding.Observation) error { <-release; return nil })
	conn := s.dialSecure(ca, ca.issue(dnsNamed("bng1.example")))
	request := numbered(t, 1)
	conn.Write(request)
	within(t, "in flight", func() bool { return s.metric("in_flight", "") == 1 })
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	time.Sleep(50 * time.Millisecond)
	close(release)
	if got := secureAnswer(conn, patience); !layeh.IsAuthenticResponse(got, request, radsecSecret) {
		t.Errorf("answer %x", got)
	}
	<-stopped
}

func TestRadSecRefusesConfig(t *testing.T) {
	ca := newAuthority(t)
	good := RadSec{Listen: "127.0.0.1:0", Certificate: ca.issue(dnsNamed("a")), ClientCAs: ca.pool}
	for name, edit := range map[string]func(*RadSec){
		"no address":     func(r *RadSec) { r.Listen = "" },
		"no certificate": func(r *RadSec) { r.Certificate = tls.Certificate{} },
		"no authorities": func(r *RadSec) { r.ClientCAs = nil },
		"bad address":    func(r *RadSec) { r.Listen = "nonsense" },
	} {
		r := good
		edit(&r)
		_, err := NewServer(Config{Listen: "127.0.0.1:0", RadSec: &r}, func(context.Context, binding.Observation) error { return errors.New("no") })
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
