// Package enginetest gives tests a real ClickHouse: the embedded engine on a
// socket in a temporary folder.
package enginetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine"
)

// Database is a test's own database in a running engine.
type Database struct {
	// Socket is the engine's unix socket.
	Socket string
	// Name is a database that exists, is empty, and is this test's alone.
	Name string
}

// shared is the engine of this process while any test uses it. A process can
// have one only, so tests that run at the same time share it.
var shared struct {
	sync.Mutex
	engine *engine.Engine
	dir    string
	users  int
	made   int // databases since the process began
}

// patience bounds a start (which may download the engine) and a close.
const (
	startPatience = 15 * time.Minute
	closePatience = 30 * time.Second
)

// Start returns an empty database for t. The engine is started for the first
// test that asks, in a fresh folder, and closed and removed with the last, so
// tests that run one after another do not see each other at all; tests that run
// in parallel share an engine but not a database. Starting costs 0.3 s once per
// process and some 30 ms after that. It fails the test if there is no engine.
func Start(t testing.TB) *Database {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		startShared(t)
	}
	shared.users++
	t.Cleanup(func() { leave(t) })
	shared.made++
	d := &Database{Socket: shared.engine.SocketPath(), Name: fmt.Sprintf("test_%d", shared.made)}
	conn := d.Open(t, "default")
	if err := conn.Exec(t.Context(), "CREATE DATABASE "+d.Name); err != nil {
		t.Fatalf("enginetest: create database: %v", err)
	}
	return d
}

func startShared(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	lib, err := engine.Fetch(ctx, os.Stderr)
	if err != nil {
		t.Fatalf("enginetest: %v", err)
	}
	dir, err := os.MkdirTemp("", "g") // short: a socket's path is
	if err != nil {
		t.Fatalf("enginetest: %v", err)
	}
	e, err := engine.Start(ctx, engine.Config{
		DataDir:    filepath.Join(dir, "data"),
		SocketPath: filepath.Join(dir, "s"),
		LibPath:    lib,
	})
	if err != nil {
		os.RemoveAll(dir)
		t.Fatalf("enginetest: %v", err)
	}
	shared.engine, shared.dir = e, dir
}

func leave(t testing.TB) {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	if err := shared.engine.Close(ctx); err != nil {
		t.Errorf("enginetest: %v", err)
	}
	if err := os.RemoveAll(shared.dir); err != nil {
		t.Errorf("enginetest: %v", err)
	}
	shared.engine = nil
}

// Open returns a client of the engine in the named database, closed with t. An
// empty name means d's own.
func (d *Database) Open(t testing.TB, database string) driver.Conn {
	t.Helper()
	if database == "" {
		database = d.Name
	}
	conn, err := clickhouse.Open(engine.ClientOptions(d.Socket, database))
	if err != nil {
		t.Fatalf("enginetest: open: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("enginetest: close client: %v", err)
		}
	})
	return conn
}
