package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine/enginetest"
)

const endlessQuery = "SELECT sum(rand()) FROM numbers(1000000000000)"

// waitUntilIdle fails unless no statement that contains part runs any more,
// soon.
func waitUntilIdle(t *testing.T, conn driver.Conn, part string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	for {
		n := count(t, conn, "SELECT count() FROM system.processes WHERE query LIKE {p:String} AND query NOT LIKE '%system.processes%'",
			clickhouse.Named("p", "%"+part+"%"))
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d statements still run", n)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestCancelStopsTheQuery(t *testing.T) {
	db := enginetest.Start(t)
	conn := db.Open(t, "")
	mustExec(t, conn, "CREATE TABLE sink (n UInt64) ENGINE = MergeTree ORDER BY n")
	for name, sql := range map[string]string{
		"select":        endlessQuery,
		"insert select": "INSERT INTO sink SELECT max(rand64()) FROM numbers(1000000000000)",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := conn.Exec(ctx, sql)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
			}
			waitUntilIdle(t, conn, "1000000000000")
			if took := time.Since(began); took > 5*time.Minute { // it would take hours
				t.Errorf("stopped only after %s", took)
			}
		})
	}
	t.Run("in the middle of a result", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		rows, err := conn.Query(ctx, "SELECT number FROM numbers(1000000000000)")
		if err != nil {
			t.Fatal(err)
		}
		for range 100_000 {
			if !rows.Next() {
				t.Fatalf("result ended: %v", rows.Err())
			}
		}
		cancel()
		for rows.Next() { // drains what had arrived
		}
		waitUntilIdle(t, conn, "1000000000000")
	})
	if n := count(t, conn, "SELECT count() FROM sink"); n != 0 {
		t.Errorf("a cancelled insert left %d rows", n)
	}
}

func TestConcurrentInsertsAndQueries(t *testing.T) {
	db := enginetest.Start(t)
	conn := open(t, db, func(o *clickhouse.Options) { o.MaxOpenConns = 16 })
	mustExec(t, conn, "CREATE TABLE busy (writer UInt8, n UInt64) ENGINE = MergeTree ORDER BY (writer, n)")
	const writers, inserts, rows, readers = 4, 15, 500, 4
	var writing, reading sync.WaitGroup
	var stop atomic.Bool
	for writer := range writers {
		writing.Go(func() {
			for i := range inserts {
				batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO busy")
				if err != nil {
					t.Error(err)
					return
				}
				for n := range rows {
					if err := batch.Append(uint8(writer), uint64(i*rows+n)); err != nil {
						t.Error(err)
						return
					}
				}
				if err := batch.Send(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range readers {
		reading.Go(func() {
			for !stop.Load() {
				// An insert is seen whole or not at all.
				if n := count(t, conn, "SELECT count() FROM busy"); n%rows != 0 {
					t.Errorf("saw %d rows, not a multiple of %d", n, rows)
					return
				}
			}
		})
	}
	writing.Wait()
	stop.Store(true)
	reading.Wait()
	if n := count(t, conn, "SELECT uniqExact(writer, n) FROM busy"); n != writers*inserts*rows {
		t.Errorf("got %d rows, want %d", n, writers*inserts*rows)
	}
}

// unixClient speaks plain HTTP to the engine.
func unixClient(t *testing.T, socket string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// nativeNumbers yields Native blocks of one UInt64 column "n".
type nativeNumbers struct {
	blocks, rows int
	pending      bytes.Buffer
	breakAfter   error // returned instead of io.EOF
}

func (g *nativeNumbers) Read(p []byte) (int, error) {
	if g.pending.Len() == 0 {
		if g.blocks == 0 {
			if g.breakAfter != nil {
				return 0, g.breakAfter
			}
			return 0, io.EOF
		}
		g.blocks--
		head := binary.AppendUvarint([]byte{1}, uint64(g.rows))
		head = append(head, "\x01n\x06UInt64"...)
		g.pending.Write(head)
		g.pending.Write(make([]byte, 8*g.rows))
	}
	return g.pending.Read(p)
}

func post(t *testing.T, client *http.Client, db *enginetest.Database, sql string, body io.Reader) (int, string, error) {
	t.Helper()
	url := "http://engine/?database=" + db.Name + "&query=" + strings.ReplaceAll(sql, " ", "+")
	resp, err := client.Post(url, "application/octet-stream", body)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestLargeInsertIsNotBuffered(t *testing.T) {
	db := enginetest.Start(t)
	mustExec(t, db.Open(t, ""), "CREATE TABLE big (n UInt64) ENGINE = MergeTree ORDER BY n")
	const blocks, rows = 400, 65536 // 210 MB
	before := residentBytes(t)
	var peak atomic.Int64
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				peak.Store(max(peak.Load(), residentBytes(t)))
			}
		}
	})
	began := time.Now()
	status, text, err := post(t, unixClient(t, db.Socket), db,
		"INSERT INTO big SETTINGS min_insert_block_size_rows=65536 FORMAT Native", &nativeNumbers{blocks: blocks, rows: rows})
	took := time.Since(began)
	close(stop)
	watching.Wait()
	if err != nil || status != http.StatusOK {
		t.Fatalf("status %d: %s %v", status, text, err)
	}
	if n := count(t, db.Open(t, ""), "SELECT count() FROM big"); n != blocks*rows {
		t.Errorf("got %d rows, want %d", n, blocks*rows)
	}
	grown := peak.Load() - before
	t.Logf("inserted %d MB in %s, memory grew by %d MB at most", blocks*rows*8/1_000_000, took.Round(time.Millisecond), grown/1_000_000)
	if grown > 150<<20 {
		t.Errorf("memory grew by %d MB while inserting %d MB", grown/1_000_000, blocks*rows*8/1_000_000)
	}
}

// residentBytes is the process's resident memory (proc(5), statm).
func residentBytes(t *testing.T) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		t.Error(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestBrokenInsertStoresNothing has the client's connection break, with its
// data ending exactly between two blocks.
func TestBrokenInsertStoresNothing(t *testing.T) {
	db := enginetest.Start(t)
	conn := db.Open(t, "")
	mustExec(t, conn, "CREATE TABLE broken (n UInt64) ENGINE = MergeTree ORDER BY n")
	_, _, err := post(t, unixClient(t, db.Socket), db, "INSERT INTO broken FORMAT Native",
		&nativeNumbers{blocks: 3, rows: 100, breakAfter: errors.New("the cable came out")})
	if err == nil {
		t.Error("a broken insert was acknowledged")
	}
	waitUntilIdle(t, conn, "INSERT INTO broken")
	if n := count(t, conn, "SELECT count() FROM broken"); n != 0 {
		t.Errorf("a broken insert left %d rows", n)
	}
}

func TestPlainHTTP(t *testing.T) {
	db := enginetest.Start(t)
	client := unixClient(t, db.Socket)
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"ping", "GET", "/ping", "", 200, "Ok.\n"},
		{"root", "GET", "/", "", 200, "Ok.\n"},
		{"get is read-only", "GET", "/?query=CREATE+TABLE+default.x+(a+Int8)+ENGINE=Memory", "", 500, "READONLY"},
		{"get select", "GET", "/?query=SELECT+1,2", "", 200, "1\t2\n"},
		{"query in url and body", "POST", "/?query=SELECT", "1 + 1", 200, "2\n"},
		{"format", "POST", "/?default_format=JSONEachRow", "SELECT 1 AS a", 200, "{\"a\":1}\n"},
		{"format in statement wins", "POST", "/?default_format=JSONEachRow", "SELECT 1 AS a FORMAT CSV", 200, "1\n"},
		{"empty", "POST", "/", "", 400, "Code: 62."},
		{"sessions refused", "POST", "/?session_id=a", "SELECT 1", 501, "session_id"},
		{"bad parameter name", "POST", "/?param_a%27b=1", "SELECT 1", 400, "identifier"},
		{"bad setting name", "POST", "/?a%3D1%2Cb=1", "SELECT 1", 400, "identifier"},
		{"unknown path", "GET", "/play", "", 404, "not found"},
		{"wait for the end", "POST", "/?wait_end_of_query=1", "SELECT throwIf(number = 500000) FROM numbers(1000000)", 500, "Code: 395."},
		{"database", "POST", "/?database=system", "SELECT currentDatabase()", 200, "system\n"},
		{"database with a quote", "POST", "/?database=a%60b", "SELECT 1", 404, "Code: 81."},
	} {
		t.Run(test.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), test.method, "http://engine"+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != test.status || !strings.Contains(string(text), test.want) {
				t.Errorf("got %d %q, want %d %q", resp.StatusCode, text, test.status, test.want)
			}
		})
	}
}

func TestCloseLetsQueriesFinish(t *testing.T) {
	e := mustStart(t, folder(t))
	conn := openSocket(t, e.SocketPath(), "", nil)
	result := make(chan error, 1)
	go func() {
		var n uint8
		result <- conn.QueryRow(context.Background(), "SELECT sleep(3)").Scan(&n)
	}()
	waitUntilRuns(t, conn, "sleep(3)") // long enough to be seen on a busy machine
	mustClose(t, e)
	if err := <-result; err != nil {
		t.Errorf("a query that ran when the engine closed: %v", err)
	}
}

func TestCloseStopsQueriesAtItsDeadline(t *testing.T) {
	config := folder(t)
	e := mustStart(t, config)
	conn := openSocket(t, e.SocketPath(), "", nil)
	result := make(chan error, 1)
	go func() { result <- conn.Exec(context.Background(), endlessQuery) }()
	waitUntilRuns(t, conn, "1000000000000")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Minute { // it would take hours
		t.Errorf("closing took %s", took)
	}
	if err := <-result; err == nil {
		t.Error("an endless query ended well")
	}
	mustStart(t, config)
}

func waitUntilRuns(t *testing.T, conn driver.Conn, part string) {
	t.Helper()
	for range 30_000 {
		n := count(t, conn, "SELECT count() FROM system.processes WHERE query LIKE {p:String} AND query NOT LIKE '%system.processes%'",
			clickhouse.Named("p", "%"+part+"%"))
		if n > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no statement with %q began", part)
}
