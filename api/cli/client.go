package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"griffier/api/reason"
	"griffier/api/strictyaml"
)

// clientConfig is client.yaml in the home folder. Relative paths are relative
// to that folder.
type clientConfig struct {
	Server       string `yaml:"server"`         // HOST:PORT of griffierd
	CAFile       string `yaml:"ca_file"`        // of its certificate; empty: the system's
	Issuer       string `yaml:"issuer"`         // of the identity provider
	IssuerCAFile string `yaml:"issuer_ca_file"` // of its certificate; empty: the system's
	ClientID     string `yaml:"client_id"`      // default griffier
	CertFile     string `yaml:"cert_file"`      // of a machine, instead of a token
	KeyFile      string `yaml:"key_file"`
	TokenFile    string `yaml:"token_file"` // default token
}

func (a *app) config() (clientConfig, error) {
	path := filepath.Join(a.home, "client.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return clientConfig{}, usageError{fmt.Errorf("no %s: make one that names server, ca_file and issuer, or give --home", path)}
		}
		return clientConfig{}, err
	}
	c := clientConfig{ClientID: "griffier", TokenFile: "token"}
	if err := strictyaml.Unmarshal(path, text, &c); err != nil {
		return clientConfig{}, usageError{err}
	}
	for _, f := range []*string{&c.CAFile, &c.IssuerCAFile, &c.CertFile, &c.KeyFile, &c.TokenFile} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(a.home, *f)
		}
	}
	if c.Server == "" {
		return clientConfig{}, usageError{fmt.Errorf("%s: server is required", path)}
	}
	return c, nil
}

// connection is griffierd, dialled with the first call, so that a verb just
// calls: what the home folder lacks is that call's error. One goroutine uses it.
type connection struct {
	dial func() (*grpc.ClientConn, error)
	conn *grpc.ClientConn
}

func (c *connection) ensure() (err error) {
	if c.conn == nil {
		c.conn, err = c.dial()
	}
	return err
}

// Invoke implements [grpc.ClientConnInterface].
func (c *connection) Invoke(ctx context.Context, method string, request, response any, options ...grpc.CallOption) error {
	if err := c.ensure(); err != nil {
		return err
	}
	return c.conn.Invoke(ctx, method, request, response, options...)
}

// NewStream implements [grpc.ClientConnInterface].
func (c *connection) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := c.ensure(); err != nil {
		return nil, err
	}
	return c.conn.NewStream(ctx, desc, method, options...)
}

func (c *connection) close() {
	if c.conn != nil {
		c.conn.Close()
	}
}

// dial connects to griffierd with what the home folder holds: a machine's
// certificate, or a person's token.
func (a *app) dial() (*grpc.ClientConn, error) {
	c, err := a.config()
	if err != nil {
		return nil, err
	}
	t := &tls.Config{MinVersion: tls.VersionTLS13}
	if t.RootCAs, err = pool(c.CAFile); err != nil {
		return nil, err
	}
	options := []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer))}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	} else {
		token, err := os.ReadFile(c.TokenFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, reason.New(reason.Unauthenticated, "There is no token yet: run `griffier login`.")
		}
		if err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer(strings.TrimSpace(string(token)))))
	}
	options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(t)))
	return grpc.NewClient(c.Server, options...)
}

// maxAnswer is of one message, in bytes: whole lists are one, and grpc's own limit of
// four million ends at some thousands of what has a list itself.
const maxAnswer = 64 << 20

// pool reads a CA file; an empty name means the system's.
func pool(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca file: %w", err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca file %s: no certificate in it", caFile)
	}
	return p, nil
}

// bearer is a token as per-RPC credentials. It is never sent without TLS.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }
