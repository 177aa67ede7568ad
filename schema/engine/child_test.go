package engine_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/schema/engine"
)

// serveAsChild serves a folder until its standard input ends or it is killed.
func serveAsChild(dir string) int {
	lib, err := engine.Fetch(context.Background(), os.Stderr)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	e, err := engine.Start(context.Background(), engine.Config{DataDir: dir, LibPath: lib})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("serving:", e.SocketPath())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := e.Close(context.Background()); err != nil {
		fmt.Println("error:", err)
		return 1
	}
	return 0
}

// child is another process that serves a folder.
type child struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	socket string
	killed bool
}

func startChild(t *testing.T, dir string) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childFolder+"="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { c.kill(t) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	socket, ok := strings.CutPrefix(strings.TrimSpace(line), "serving: ")
	if err != nil || !ok {
		t.Fatalf("child said %q (%v)", line, err)
	}
	c.socket = socket
	return c
}

func (c *child) id() string { return strconv.Itoa(c.cmd.Process.Pid) }

// kill ends the process with SIGKILL, once.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if c.killed {
		return
	}
	c.killed = true
	if err := c.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = c.cmd.Wait() // reports the signal
	_ = c.stdin.Close()
}

// TestKillKeepsAcknowledgedRows kills the engine's process in the middle of
// concurrent inserts, several times over one folder, and then wants every row
// whose insert was acknowledged, once.
func TestKillKeepsAcknowledgedRows(t *testing.T) {
	config := folder(t)
	const rounds, writers, rowsPerInsert, killAfter = 4, 4, 50, 40
	var acknowledged sync.Map
	total := 0
	for round := range rounds {
		c := startChild(t, config.DataDir)
		conn := openSocket(t, c.socket, "", nil)
		mustExec(t, conn, "CREATE TABLE IF NOT EXISTS acked (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS non_replicated_deduplication_window = 10000")
		done := make(chan uint64)
		var group sync.WaitGroup
		for writer := range writers {
			group.Go(func() {
				for i := 0; ; i++ {
					first := uint64(round)<<40 | uint64(writer)<<32 | uint64(i)<<16
					if insertIDs(t, conn, first, rowsPerInsert) != nil {
						return
					}
					done <- first
				}
			})
		}
		go func() { group.Wait(); close(done) }()
		n := 0
		for first := range done {
			acknowledged.Store(first, true)
			if n++; n == killAfter {
				c.kill(t)
			}
		}
		total += n
	}
	if total < rounds*killAfter {
		t.Fatalf("only %d inserts were acknowledged", total)
	}

	e := mustStart(t, config)
	conn := openSocket(t, e.SocketPath(), "", nil)
	rows, err := conn.Query(t.Context(), "SELECT bitShiftLeft(bitShiftRight(id, 16), 16) AS first, count(), uniqExact(id) FROM acked GROUP BY first")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		var first, n, distinct uint64
		if err := rows.Scan(&first, &n, &distinct); err != nil {
			t.Fatal(err)
		}
		if n != rowsPerInsert || distinct != rowsPerInsert {
			t.Errorf("insert %x has %d rows, %d distinct, want %d", first, n, distinct, rowsPerInsert)
		}
		if _, ok := acknowledged.LoadAndDelete(first); ok {
			found++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if found != total {
		t.Errorf("%d of %d acknowledged inserts survived", found, total)
	}
}

func insertIDs(t *testing.T, conn clickhouse.Conn, first uint64, rows int) error {
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
		"insert_deduplication_token": strconv.FormatUint(first, 16),
	}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO acked")
	if err != nil {
		return err
	}
	for i := range rows {
		if err := batch.Append(first + uint64(i)); err != nil {
			return err
		}
	}
	return batch.Send()
}

// TestSecondProcessIsRefused has another process try a folder that this one
// serves.
func TestSecondProcessIsRefused(t *testing.T) {
	config := folder(t)
	mustStart(t, config)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childFolder+"="+config.DataDir)
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("the second process started")
	}
	if text := string(out); !strings.Contains(text, "in use") || !strings.Contains(text, filepath.Clean(config.DataDir)) {
		t.Errorf("the second process said %q", text)
	}
}

// TestProcessKeepsItsName has the engine work for a while and then looks at how
// ps would show the process.
func TestProcessKeepsItsName(t *testing.T) {
	c := startChild(t, folder(t).DataDir)
	conn := openSocket(t, c.socket, "", func(o *clickhouse.Options) { o.MaxOpenConns = 8 })
	want, err := os.ReadFile("/proc/self/comm") // the child is the same program
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				if err := conn.Exec(t.Context(), "SELECT sum(number) FROM numbers(100000)"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	got, err := os.ReadFile("/proc/" + c.id() + "/comm")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the process is called %q, want %q", got, want)
	}
}
