package engine_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/schema/engine/enginetest"
)

func TestMemoryLimit(t *testing.T) {
	config := folder(t)
	config.MaxMemoryBytes = 600 << 20
	conn := openSocket(t, mustStart(t, config).SocketPath(), "", nil)
	wantCode(t, conn.Exec(t.Context(), "SELECT length(groupArray(number)) FROM numbers(1000000000)"), 241)
	if err := conn.Ping(t.Context()); err != nil {
		t.Errorf("after a query that was too large: %v", err)
	}
}

func TestStatementLimit(t *testing.T) {
	config := folder(t)
	config.MaxStatementBytes = 1000
	conn := openSocket(t, mustStart(t, config).SocketPath(), "", nil)
	mustExec(t, conn, "CREATE TABLE long (a String) ENGINE = MergeTree ORDER BY a")
	padding := strings.Repeat("x", 1000)
	wantCode(t, conn.Exec(t.Context(), "SELECT '"+padding+"'"), 307)
	// Data that follows a statement does not count.
	mustExec(t, conn, "INSERT INTO long FORMAT CSV\n"+padding+"\n"+padding)
	if n := count(t, conn, "SELECT count() FROM long WHERE length(a) = 1000"); n != 2 {
		t.Errorf("got %d rows, want 2", n)
	}
}

func TestConcurrencyLimit(t *testing.T) {
	config := folder(t)
	config.MaxConcurrentRequests = 1
	conn := openSocket(t, mustStart(t, config).SocketPath(), "", func(o *clickhouse.Options) { o.MaxOpenConns = 4 })
	mustExec(t, conn, "SELECT 1")
	const requests, seconds = 3, 0.3
	began := time.Now()
	var group sync.WaitGroup
	for range requests {
		group.Go(func() {
			if err := conn.Exec(t.Context(), "SELECT sleep(0.3)"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if took := time.Since(began).Seconds(); took < requests*seconds {
		t.Errorf("%d requests of %.1f s took %.1f s, so they ran together", requests, seconds, took)
	}
}

// TestParallelTestsShareAnEngine is the promise of enginetest.
func TestParallelTestsShareAnEngine(t *testing.T) {
	for _, name := range []string{"a", "b", "c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := enginetest.Start(t).Open(t, "")
			mustExec(t, conn, "CREATE TABLE mine (a UInt64) ENGINE = MergeTree ORDER BY a")
			mustExec(t, conn, "INSERT INTO mine VALUES (1)")
			if n := count(t, conn, "SELECT count() FROM mine"); n != 1 {
				t.Errorf("got %d rows, want 1", n)
			}
		})
	}
}
