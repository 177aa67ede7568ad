package engine

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// processState is what an embedded engine could change behind Go's back.
type processState struct {
	signals [lastSignal + 1]kernelSigaction
	umask   int
	folder  string
}

func stateOfProcess(t *testing.T) processState {
	t.Helper()
	var s processState
	for n := 1; n <= lastSignal; n++ {
		if n != sigKill && n != sigStop {
			if errno := rtSigaction(n, nil, &s.signals[n]); errno != 0 {
				t.Logf("signal %d: %v", n, errno) // the C library keeps two to itself
			}
		}
	}
	s.umask = syscall.Umask(0)
	syscall.Umask(s.umask)
	var err error
	if s.folder, err = os.Getwd(); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEngineLeavesTheProcessAlone compares signal handlers, umask and working
// folder before, during and after an engine's life.
func TestEngineLeavesTheProcessAlone(t *testing.T) {
	lib, err := Fetch(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	before := stateOfProcess(t)
	compare := func(when string) {
		t.Helper()
		now := stateOfProcess(t)
		if now.umask != before.umask || now.folder != before.folder {
			t.Errorf("%s: umask %o, folder %s; want %o, %s", when, now.umask, now.folder, before.umask, before.folder)
		}
		for n := range now.signals {
			if now.signals[n] != before.signals[n] {
				t.Errorf("%s: signal %d has disposition %+v, want %+v", when, n, now.signals[n], before.signals[n])
			}
		}
	}
	for range 2 {
		e, err := Start(t.Context(), Config{DataDir: filepath.Join(dir, "d"), LibPath: lib})
		if err != nil {
			t.Fatal(err)
		}
		compare("after start")
		conn, err := clickhouse.Open(ClientOptions(e.SocketPath(), ""))
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range []string{"SELECT sum(number) FROM numbers(1000000)", "CREATE TABLE IF NOT EXISTS t (a UInt8) ENGINE = MergeTree ORDER BY a", "INSERT INTO t VALUES (1)"} {
			if err := conn.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		compare("after queries")
		conn.Close()
		if err := e.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		compare("after close")
	}
}
