package engine_test

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine"
)

// openSocket returns a client of the engine behind a socket, closed with t.
func openSocket(t *testing.T, socket, database string, change func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	options := engine.ClientOptions(socket, database)
	if change != nil {
		change(options)
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
