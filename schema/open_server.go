package schema

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// serverSettings hold for every query to a server unless the DSN says otherwise.
// On a cluster an insert is acknowledged when most replicas of each shard that it
// goes to have it; elsewhere they mean nothing.
var serverSettings = map[string]any{
	"distributed_foreground_insert": 1,
	"insert_quorum":                 "auto",
}

// serverOptions reads the DSN and sees to it that nothing crosses a network in
// clear or to a server that has not proved who it is.
func (c Config) serverOptions() (*clickhouse.Options, error) {
	options, err := clickhouse.ParseDSN(c.DSN)
	if err != nil {
		return nil, errors.New("the DSN does not parse")
	}
	options.DialTimeout = dialTimeout
	for _, address := range options.Addr {
		if onLoopback(address) {
			continue
		}
		if options.TLS == nil {
			return nil, errors.New("the DSN names a server off loopback without TLS; add secure=true, with the server's TLS port")
		}
		if options.TLS.InsecureSkipVerify {
			return nil, errors.New("the DSN has skip_verify; name the server's CA instead (store.tls.ca_file)")
		}
	}
	if options.TLS == nil {
		if c.CAFile != "" || c.CertFile != "" {
			return nil, errors.New("TLS files are given and the DSN has no secure=true")
		}
	} else if err := c.setTLS(options.TLS); err != nil {
		return nil, err
	}
	if options.Settings == nil {
		options.Settings = clickhouse.Settings{}
	}
	for name, value := range serverSettings {
		if _, set := options.Settings[name]; !set {
			options.Settings[name] = value
		}
	}
	return options, nil
}

// onLoopback reports whether an address of a DSN is this host by its name or
// number. Any other name may be anywhere.
func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// setTLS fills in the CA and the client's certificate. The latter is read at every
// new connection, so that a renewed one is used without a restart.
func (c Config) setTLS(out *tls.Config) error {
	out.MinVersion = tls.VersionTLS13
	if c.CAFile != "" {
		text, err := os.ReadFile(c.CAFile)
		if err != nil {
			return fmt.Errorf("TLS: CA: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("TLS: CA: %s: no certificate in it", c.CAFile)
		}
	}
	switch {
	case c.ClientCertificate != nil:
		out.GetClientCertificate = c.ClientCertificate
	case (c.CertFile == "") != (c.KeyFile == ""):
		return errors.New("TLS: a certificate and its key go together")
	case c.CertFile != "":
		if _, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile); err != nil { // said now, not at the first query
			return fmt.Errorf("TLS: %w", err)
		}
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
			return &pair, err
		}
	}
	return nil
}
