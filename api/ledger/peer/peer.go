// Package peer is how griffierd and the two small servers that guard its ledger
// elsewhere, the witness and the second sink, talk: HTTP over mutual TLS 1.3, and
// in the clear on loopback only. Every request and answer is bounded in size and
// time.
package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// Files name a party's certificate and key, and the CA of those it talks to. All
// three, or none.
type Files struct {
	CertFile, KeyFile, CAFile string
}

// Validate refuses a part of the three.
func (f Files) Validate() error {
	n := 0
	for _, path := range []string{f.CertFile, f.KeyFile, f.CAFile} {
		if path != "" {
			n++
		}
	}
	if n != 0 && n != 3 {
		return errors.New("certificate, key and CA file go together")
	}
	return nil
}

// load reads the files; nil if there are none.
func (f Files) load() (*tls.Config, *x509.CertPool, error) {
	if err := f.Validate(); err != nil || f.CertFile == "" {
		return nil, nil, err
	}
	cert, err := tls.LoadX509KeyPair(f.CertFile, f.KeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate and key: %w", err)
	}
	pem, err := os.ReadFile(f.CAFile)
	if err != nil {
		return nil, nil, fmt.Errorf("CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("CA %s: no certificate in it", f.CAFile)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}, pool, nil
}

// Timeouts of both sides.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = time.Minute
	stopTimeout    = 5 * time.Second
	maxHeaderBytes = 16 << 10
)

// Listen opens the listener of a server. Without files it must be on loopback.
// With them every client must show a certificate of the CA.
func Listen(address string, f Files) (net.Listener, error) {
	config, pool, err := f.load()
	if err != nil {
		return nil, fmt.Errorf("peer: listen: %w", err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("peer: listen: %w", err)
	}
	if config == nil {
		if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			return nil, errors.Join(fmt.Errorf("peer: listen %s: a certificate, key and client CA are required off loopback", address), l.Close())
		}
		return l, nil
	}
	config.ClientCAs, config.ClientAuth = pool, tls.RequireAndVerifyClientCert
	return tls.NewListener(l, config), nil
}

// Serve answers on l until ctx ends, then lets requests under way end.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout,
		IdleTimeout: 2 * requestTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if srv.Shutdown(stop) != nil {
			srv.Close()
		}
	}()
	err := srv.Serve(l)
	if ctx.Err() != nil {
		<-stopped
		return nil
	}
	return fmt.Errorf("peer: serve: %w", err)
}

// Client calls one server.
type Client struct {
	base *url.URL
	http *http.Client
}

// NewClient calls the server at base, an https URL with files, or an http URL on
// loopback without.
func NewClient(base string, f Files) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("peer: %q: want a URL such as https://witness.example:7480", base)
	}
	config, pool, err := f.load()
	if err != nil {
		return nil, fmt.Errorf("peer: %s: %w", base, err)
	}
	switch u.Scheme {
	case "https":
		if config == nil {
			return nil, fmt.Errorf("peer: %s: a certificate, key and CA are required", base)
		}
		config.RootCAs = pool
	case "http":
		if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
			return nil, fmt.Errorf("peer: %s: http is for loopback addresses only; use https", base)
		}
	default:
		return nil, fmt.Errorf("peer: %s: neither https nor http", base)
	}
	transport := &http.Transport{
		TLSClientConfig: config, ResponseHeaderTimeout: requestTimeout, TLSHandshakeTimeout: headerTimeout,
		DialContext: (&net.Dialer{Timeout: headerTimeout}).DialContext, MaxIdleConns: 2, IdleConnTimeout: requestTimeout,
		DisableCompression: true, ForceAttemptHTTP2: true,
	}
	return &Client{base: u, http: &http.Client{Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// Host gives the server's name, for messages.
func (c *Client) Host() string { return c.base.Host }

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends a request and gives the status and at most limit bytes of body; a
// longer one is an error. body nil means GET, else POST.
func (c *Client) Do(ctx context.Context, path string, query url.Values, body io.Reader, limit int64) (status int, answer []byte, err error) {
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	method := http.MethodPost
	if body == nil {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return 0, nil, fmt.Errorf("peer: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("peer: %w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return 0, nil, fmt.Errorf("peer: %s: %w", c.Host(), err)
	}
	if int64(len(answer)) > limit {
		return 0, nil, fmt.Errorf("peer: %s: answer of more than %d bytes", c.Host(), limit)
	}
	return resp.StatusCode, answer, nil
}
