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
	closePatience = 2 * time.Minute
)

// Start returns an empty database for t. The engine is started for the first
// test that asks, in a fresh folder, and closed and removed with the last, so
// tests that run one after another do not see each other at all; tests that run
// in parallel share an engine but not a database. Starting costs 0.3 s once per
// process and some 30 ms after that. It fails the test if there is no engine.
func Start(t testing.TB) *Database {
	t.Helper()
	d, _ := begin(t, nil)
	return d
}

// begin is Start with an engine that has an image's store, if none runs yet, which
// it tells.
func begin(t testing.TB, from *image) (d *Database, fresh bool) {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		startShared(t, from)
		fresh = from != nil
	}
	shared.users++
	t.Cleanup(func() { leave(t) })
	shared.made++
	d = &Database{Socket: shared.engine.SocketPath(), Name: fmt.Sprintf("test_%d", shared.made)}
	conn := d.Open(t, "default")
	if err := conn.Exec(t.Context(), "CREATE DATABASE "+d.Name); err != nil {
		t.Fatalf("enginetest: create database: %v", err)
	}
	return d, fresh
}

// used tells whether a test has the engine.
func used() bool {
	shared.Lock()
	defer shared.Unlock()
	return shared.engine != nil
}

// dataOf is where the engine of a folder has its data.
func dataOf(dir string) string { return filepath.Join(dir, "data") }

func startShared(t testing.TB, from *image) {
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
	if from != nil {
		err = from.write(dataOf(dir))
	}
	var e *engine.Engine
	if err == nil {
		e, err = engine.Start(ctx, engine.Config{DataDir: dataOf(dir), SocketPath: filepath.Join(dir, "s"), LibPath: lib})
	}
	if err != nil {
		os.RemoveAll(dir)
		t.Fatalf("enginetest: %v", err)
	}
	shared.engine, shared.dir = e, dir
}

// closeShared ends the engine; its folder stays.
func closeShared() error {
	ctx, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	err := shared.engine.Close(ctx)
	shared.engine = nil
	return err
}

func leave(t testing.TB) {
	shared.Lock()
	defer shared.Unlock()
	shared.users--
	if shared.users > 0 {
		return
	}
	if err := closeShared(); err != nil {
		t.Errorf("enginetest: %v", err)
	}
	if err := os.RemoveAll(shared.dir); err != nil {
		t.Errorf("enginetest: %v", err)
	}
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
