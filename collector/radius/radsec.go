package radius

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// radsecSecret is the shared secret of every client over TLS (RFC 6614 §2.3 (5)).
var radsecSecret = []byte("radsec")

// RadSec says how to receive RADIUS over TLS (RFC 6614): mutual TLS, a client
// known by a name in its certificate, packets framed by their Length field.
type RadSec struct {
	// Listen is the TCP address, such as ":2083".
	Listen string
	// Certificate is the server's.
	Certificate tls.Certificate
	// ClientCAs issue the certificates of clients.
	ClientCAs *x509.CertPool
	// MaxConnections bounds connections at a time. Default 1024.
	MaxConnections int
	// IdleTimeout closes a connection without requests. Default 1 h.
	IdleTimeout time.Duration
}

// Limits of one connection.
const (
	handshakeTimeout = 10 * time.Second
	answerTimeout    = 10 * time.Second
)

func (r *RadSec) validate() error {
	switch {
	case r.Listen == "":
		return errors.New("radius: radsec: no listen address")
	case len(r.Certificate.Certificate) == 0:
		return errors.New("radius: radsec: no certificate")
	case r.ClientCAs == nil:
		return errors.New("radius: radsec: no client CAs: everyone could send")
	}
	return nil
}

// radsec is the listener and its connections.
type radsec struct {
	cfg      RadSec
	listener net.Listener
	identity atomic.Pointer[tls.Config] // of connections from now on

	mu    sync.Mutex
	conns map[*secureConn]struct{}
}

func listenRadSec(cfg RadSec) (*radsec, error) {
	if cfg.MaxConnections == 0 {
		cfg.MaxConnections = 1024
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = time.Hour
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("radius: radsec: listen: %w", err)
	}
	r := &radsec{cfg: cfg, listener: listener, conns: map[*secureConn]struct{}{}}
	r.identity.Store(cfg.tls())
	return r, nil
}

// SecureAddr is the address that the server listens on for RadSec, if it does.
func (s *Server) SecureAddr() netip.AddrPort {
	if s.radsec == nil {
		return netip.AddrPort{}
	}
	return s.radsec.listener.Addr().(*net.TCPAddr).AddrPort()
}

// close closes the connections, once what they asked is answered.
func (r *radsec) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		c.conn.Close()
	}
}

// secureConn is one client's connection.
type secureConn struct {
	conn   *tls.Conn
	remote netip.AddrPort

	writing sync.Mutex
}

// write sends an answer; TCP knows where to.
func (c *secureConn) write(answer []byte, _ arrival) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	_, err := c.conn.Write(answer)
	return err
}

// serveRadSec accepts connections until ctx is done, and returns when none is
// read from any more. What was taken in is answered after that.
func (s *Server) serveRadSec(ctx context.Context) {
	r := s.radsec
	stop := context.AfterFunc(ctx, func() { r.listener.Close() })
	defer stop()
	var readers sync.WaitGroup
	defer readers.Wait()
	for {
		raw, err := r.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(10 * time.Millisecond) // no descriptors left, for one
			continue
		}
		c := &secureConn{conn: tls.Server(raw, r.identity.Load()), remote: raw.RemoteAddr().(*net.TCPAddr).AddrPort()}
		r.mu.Lock()
		full := len(r.conns) >= r.cfg.MaxConnections
		if !full {
			r.conns[c] = struct{}{}
		}
		r.mu.Unlock()
		if full {
			s.metrics.drop(ReasonConnections)
			raw.Close()
			continue
		}
		readers.Go(func() { s.connection(ctx, c) })
	}
}

// connection serves one client until it goes, misbehaves, or ctx is done. In the
// last case the connection stays open for answers; see [radsec.close].
func (s *Server) connection(ctx context.Context, c *secureConn) {
	stop := context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	reason := s.read(ctx, c)
	if ctx.Err() != nil {
		return
	}
	if reason != "" {
		s.metrics.drop(reason)
	}
	s.radsec.mu.Lock()
	delete(s.radsec.conns, c)
	s.radsec.mu.Unlock()
	c.conn.Close()
}

// read returns why a connection was given up, or "" if its client closed it.
func (s *Server) read(ctx context.Context, c *secureConn) Reason {
	shake, cancel := context.WithTimeout(ctx, handshakeTimeout)
	err := c.conn.HandshakeContext(shake)
	cancel()
	if err != nil {
		return ReasonHandshake
	}
	from := arrival{client: c.remote, via: c}
	packet := make([]byte, maxPacketLength)
	for {
		// Looked up for each request, so that a client that was taken away is cut off.
		client, known := s.secureClient(c.remote.Addr().Unmap(), c.conn.ConnectionState().PeerCertificates[0])
		if !known {
			return ReasonUnknownClient
		}
		if ctx.Err() != nil || c.conn.SetReadDeadline(time.Now().Add(s.radsec.cfg.IdleTimeout)) != nil {
			return ""
		}
		if ctx.Err() != nil { // the deadline may have come just before
			c.conn.SetReadDeadline(time.Unix(1, 0))
		}
		if _, err := io.ReadFull(c.conn, packet[:headerLength]); err != nil {
			return ""
		}
		length := int(binary.BigEndian.Uint16(packet[2:]))
		if length < headerLength || length > maxPacketLength {
			return ReasonLength // RFC 6613 §2.6.4: where the next packet begins is unknown
		}
		if _, err := io.ReadFull(c.conn, packet[headerLength:length]); err != nil {
			return ""
		}
		s.metrics.received.Inc()
		switch reason := s.request(ctx, packet[:length], from, client); reason {
		case "":
		case ReasonAuthenticator, ReasonAttribute: // RFC 6613 §2.6.4 too
			return reason
		default:
			s.metrics.drop(reason)
		}
	}
}

// secureClient returns the client that sends from address with a certificate.
func (s *Server) secureClient(address netip.Addr, certificate *x509.Certificate) (Client, bool) {
	for _, c := range *s.clients.Load() {
		if c.Certificate == "" || !c.Prefix.Contains(address) {
			continue
		}
		named := slices.Contains(certificate.DNSNames, c.Certificate) || certificate.Subject.CommonName == c.Certificate
		for _, uri := range certificate.URIs {
			named = named || uri.String() == c.Certificate
		}
		if named {
			c.Secret = radsecSecret
			return c, true
		}
	}
	return Client{}, false
}
