package schema

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Config says where the store is. Exactly one of Socket and DSN is set.
type Config struct {
	// Socket is the unix socket of the embedded engine.
	Socket string
	// DSN names a ClickHouse server, as clickhouse-go reads it, for example
	// clickhouse://user:password@host:9440/?secure=true. A server that is not on
	// loopback needs secure=true and is never trusted unverified.
	DSN string
	// CAFile is the PEM of who signed the server's certificate. Default: whom the
	// host trusts.
	CAFile string
	// CertFile and KeyFile are the client's certificate, for a server that knows
	// its users by these. Read at every new connection.
	CertFile, KeyFile string
	// ClientCertificate, if there is one, is asked for a certificate at every new
	// connection to a server that wants one; a DSN without secure=true has no use
	// for it. An empty certificate shows none.
	ClientCertificate func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// Settings are ClickHouse settings for every query. Default: log_queries=0,
	// because query texts carry addresses and references.
	Settings map[string]any
}

// dialTimeout bounds connecting to the store.
const dialTimeout = 10 * time.Second

// Open returns a connection pool to the store, after one round trip. It is the
// only way to open a store. Errors never contain the DSN, which holds a password.
func Open(ctx context.Context, c Config) (driver.Conn, error) {
	options, err := c.options()
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := conn.Ping(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return conn, nil
}

func (c Config) options() (*clickhouse.Options, error) {
	var options *clickhouse.Options
	switch {
	case (c.Socket == "") == (c.DSN == ""):
		return nil, errors.New("want either a socket or a DSN")
	case c.Socket != "":
		options = socketOptions(c.Socket)
	default:
		var err error
		if options, err = c.serverOptions(); err != nil {
			return nil, err
		}
	}
	if options.Settings == nil {
		options.Settings = clickhouse.Settings{}
	}
	if _, set := options.Settings["log_queries"]; !set {
		options.Settings["log_queries"] = 0
	}
	for name, value := range c.Settings {
		options.Settings[name] = value
	}
	return options, pin(options.Settings)
}

// pinnedSettings are what an acknowledged block and a recognised repetition rest
// on: an asynchronous insert is acknowledged from memory, and a repeated block must
// not be counted again by what is fed from its table. They go with every query of
// every connection, whatever a server's own defaults are.
var pinnedSettings = map[string]any{
	"async_insert":       0,
	"insert_deduplicate": 1,
	"deduplicate_blocks_in_dependent_materialized_views": 1,
}

// pin puts the pinned settings in, or says which of them was set to something else.
func pin(settings clickhouse.Settings) error {
	for name, value := range pinnedSettings {
		if other, set := settings[name]; set && fmt.Sprint(other) != fmt.Sprint(value) {
			return fmt.Errorf("setting %s must be %v; take it out of the DSN", name, value)
		}
		settings[name] = value
	}
	return nil
}

// socketOptions dials the embedded engine, which speaks ClickHouse's HTTP
// interface on a unix socket.
func socketOptions(path string) *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{"localhost"}, // only a Host header
		DialTimeout: dialTimeout,
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		TransportFunc: func(t *http.Transport) (http.RoundTripper, error) {
			t.Proxy = nil                 // a proxy from the environment cannot reach the socket
			t.WriteBufferSize = 256 << 10 // a block is megabytes
			return t, nil
		},
	}
}
