package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"griffier/schema/engine"
)

// childFolder names the folder that a copy of this test binary serves instead
// of running tests.
const childFolder = "GRIFFIER_ENGINE_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childFolder); dir != "" {
		os.Exit(serveAsChild(dir))
	}
	goleak.VerifyTestMain(m)
}

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

// folder is a configuration for an engine of the test's own, in a temporary
// folder whose name is short enough for a socket.
func folder(t *testing.T) engine.Config {
	t.Helper()
	lib, err := engine.Fetch(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return engine.Config{DataDir: filepath.Join(dir, "data"), SocketPath: filepath.Join(dir, "s"), LibPath: lib}
}

func mustStart(t *testing.T, config engine.Config) *engine.Engine {
	t.Helper()
	e, err := engine.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, e) })
	return e
}

func mustClose(t *testing.T, e *engine.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestReopenKeepsData(t *testing.T) {
	config := folder(t)
	e := mustStart(t, config)
	conn := openSocket(t, e.SocketPath(), "", nil)
	mustExec(t, conn, "CREATE DATABASE kept")
	mustExec(t, conn, "CREATE TABLE kept.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustExec(t, conn, "INSERT INTO kept.t SELECT number FROM numbers(1000)")
	mustClose(t, e)

	if err := conn.Ping(t.Context()); err == nil {
		t.Error("ping succeeded on a closed engine")
	}
	if _, err := os.Lstat(config.SocketPath); !os.IsNotExist(err) {
		t.Errorf("socket is still there: %v", err)
	}

	e = mustStart(t, config)
	conn = openSocket(t, e.SocketPath(), "kept", nil)
	if n := count(t, conn, "SELECT count() FROM t"); n != 1000 {
		t.Errorf("got %d rows after reopening, want 1000", n)
	}
	mustClose(t, e)

	e = mustStart(t, folder(t)) // another folder in the same process
	conn = openSocket(t, e.SocketPath(), "", nil)
	if n := count(t, conn, "SELECT count() FROM system.databases WHERE name = 'kept'"); n != 0 {
		t.Error("the first folder's database is in the second")
	}
}

func TestOneEnginePerProcess(t *testing.T) {
	e := mustStart(t, folder(t))
	if _, err := engine.Start(t.Context(), folder(t)); !errors.Is(err, engine.ErrRunning) {
		t.Errorf("second start: got %v, want %v", err, engine.ErrRunning)
	}
	conn := openSocket(t, e.SocketPath(), "", nil)
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("the first engine after a refused second: %v", err)
	}
}

func TestOnlyOwnerMayOpen(t *testing.T) {
	config := folder(t)
	e := mustStart(t, config)
	for path, want := range map[string]os.FileMode{
		e.SocketPath(): 0o600,
		config.DataDir: 0o700,
		filepath.Join(config.DataDir, "engine.xml"):  0o600,
		filepath.Join(config.DataDir, "profile.xml"): 0o600,
		filepath.Join(config.DataDir, "lock"):        0o600,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(e.SocketPath()), ".s*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left beside the socket: %v %v", left, err)
	}
}

func TestStartRefusals(t *testing.T) {
	good := folder(t)
	for _, test := range []struct {
		name   string
		change func(*engine.Config)
		want   string
	}{
		{"no folder", func(c *engine.Config) { c.DataDir = "" }, "no data folder"},
		{"no library", func(c *engine.Config) { c.LibPath = "" }, "no library path"},
		{"library absent", func(c *engine.Config) { c.LibPath += ".absent" }, "library"},
		{"socket path too long", func(c *engine.Config) { c.SocketPath = "/tmp/" + strings.Repeat("x", 103) }, "108 bytes"},
		{"socket folder absent", func(c *engine.Config) { c.SocketPath = filepath.Join(c.DataDir, "no", "s") }, "socket"},
		{"socket is a file", func(c *engine.Config) { c.SocketPath = filepath.Join(c.DataDir, "lock") }, "not a socket"},
		{"folder is a file", func(c *engine.Config) { c.DataDir = c.LibPath }, "folder"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := good
			test.change(&config)
			e, err := engine.Start(t.Context(), config)
			if err == nil {
				mustClose(t, e)
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
		})
	}
	mustStart(t, good) // no refusal left anything behind
}

func TestStaleSocketIsReplaced(t *testing.T) {
	config := folder(t)
	child := startChild(t, config.DataDir)
	child.kill(t)
	config.SocketPath = child.socket
	if _, err := os.Lstat(child.socket); err != nil {
		t.Fatalf("the killed process left no socket to replace: %v", err)
	}
	e := mustStart(t, config)
	if err := openSocket(t, e.SocketPath(), "", nil).Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLockedFolder(t *testing.T) {
	config := folder(t)
	child := startChild(t, config.DataDir)
	_, err := engine.Start(t.Context(), config)
	if !errors.Is(err, engine.ErrLocked) {
		t.Fatalf("got %v, want %v", err, engine.ErrLocked)
	}
	for _, part := range []string{config.DataDir, "process " + child.id(), "stop that process"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
	child.kill(t)
	mustStart(t, config)
}

func TestGoKeepsItsSignals(t *testing.T) {
	mustStart(t, folder(t))
	defer func() {
		if recover() == nil {
			t.Error("a nil dereference did not panic")
		}
	}()
	var p *int
	*p = 1
}
