package engine

import (
	"context"
	"net"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ClientOptions returns what clickhouse-go needs to talk to the engine that
// serves the socket, in the given database ("" for "default"). The caller may
// change them before opening.
func ClientOptions(socketPath, database string) *clickhouse.Options {
	return &clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{"engine.socket"}, // a Host header; nothing resolves it
		Auth:     clickhouse.Auth{Database: database},
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socketPath)
		},
	}
}
