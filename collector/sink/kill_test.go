package sink

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/spool"
	"griffier/schema"
	"griffier/schema/engine"
)

// The test binary runs itself in these roles.
const (
	roleEnv   = "GRIFFIER_SINK_TEST_ROLE"
	folderEnv = "GRIFFIER_SINK_TEST_FOLDER"
	fromEnv   = "GRIFFIER_SINK_TEST_FROM"
)

const appenders = 4

// serveEngine is the engine's own process: it serves until killed or until its
// standard input ends.
func serveEngine(dir string) int {
	lib, err := engine.Fetch(context.Background(), os.Stderr)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	e, err := engine.Start(context.Background(), engine.Config{
		DataDir: filepath.Join(dir, "data"), SocketPath: filepath.Join(dir, "engine.sock"), LibPath: lib,
	})
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	fmt.Println("serving:", e.SocketPath())
	io.Copy(io.Discard, os.Stdin)
	if err := e.Close(context.Background()); err != nil {
		return 1
	}
	return 0
}

type process struct {
	cmd    *osexec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
	socket string
	once   sync.Once
}

func start(t *testing.T, role, folder string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.Command(self)
	cmd.Env = append(append(os.Environ(), roleEnv+"="+role, folderEnv+"="+folder), env...)
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
	p := &process{cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
	t.Cleanup(p.kill)
	return p
}

// kill sends SIGKILL, once, without waiting for the end.
func (p *process) kill() {
	p.once.Do(func() {
		p.cmd.Process.Kill()
		p.stdin.Close()
	})
}

func startEngine(t *testing.T, dir string) *process {
	t.Helper()
	p := start(t, "engine", dir)
	t.Cleanup(func() { p.kill(); p.cmd.Wait() })
	line, err := p.stdout.ReadString('\n')
	socket, ok := strings.CutPrefix(strings.TrimSpace(line), "serving: ")
	if err != nil || !ok {
		t.Fatalf("the engine's process said %q, %v", line, err)
	}
	p.socket = socket
	return p
}

// collectUntilKilled is a collector in small: appenders that write a row's
// number to stdout once it is acknowledged, checkpoints, and a sink.
func collectUntilKilled(dir string) int {
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), SegmentBytes: 16 << 10, BlockRows: 64})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	k, err := New(Config{
		Spool: s, Store: schema.Config{Socket: filepath.Join(dir, "engine.sock")}, QuarantineDir: filepath.Join(dir, "quarantine"),
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler), Gather: time.Millisecond,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go k.Run(context.Background())
	var next uint64
	fmt.Sscan(os.Getenv(fromEnv), &next)
	var mu sync.Mutex
	var gate sync.RWMutex // Checkpoint wants no Append under way
	for range appenders {
		go func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				gate.RLock()
				err := s.Append(context.Background(), spool.Batch{State: []byte("delta"), Records: usages(n, n+1)})
				gate.RUnlock()
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				binary.Write(os.Stdout, binary.LittleEndian, n)
				mu.Unlock()
			}
		}()
	}
	for {
		time.Sleep(20 * time.Millisecond)
		gate.Lock()
		err := s.Checkpoint(context.Background(), []byte("snapshot"))
		gate.Unlock()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

// TestKillAnything kills the collector's process and the engine's process with
// SIGKILL again and again, at random moments of inserting, and in the end wants
// in the store every acknowledged row once: none lost, none twice, and nothing
// that was never appended.
func TestKillAnything(t *testing.T) {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	e := startEngine(t, dir)
	neverMerge(t, openStore(t, e.socket))

	const stored = "SELECT uniqExact(bytes) FROM traffic.usage_bucket"
	var conn driver.Conn
	const lives, least = 6, 200 // rows that a life acknowledges before anything is killed
	acknowledged := map[uint64]bool{}
	for life := range uint64(lives) {
		c := start(t, "collector", dir, fmt.Sprintf("%s=%d", fromEnv, life*10_000_000))
		dead, enough := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(dead)
			for seen := 0; ; {
				var n uint64
				if binary.Read(c.stdout, binary.LittleEndian, &n) != nil {
					return
				}
				acknowledged[n] = true
				if seen++; seen == least {
					close(enough)
				}
			}
		}()
		select {
		case <-enough: // however slow the disk is
		case <-dead:
			t.Fatal("the collector ended by itself")
		}
		if life%2 == 0 { // the engine dies under a living collector and comes back
			time.Sleep(300*time.Millisecond + rand.N(300*time.Millisecond))
			e.kill()
			e.cmd.Wait()
			e = startEngine(t, dir)
		}
		time.Sleep(500*time.Millisecond + rand.N(500*time.Millisecond))
		if life == lives-1 { // by now some of it is in the store, however slow that is
			conn = openStore(t, e.socket)
			for deadline := time.Now().Add(5 * time.Minute); count(t, conn, stored) == 0 && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond)
			}
		}
		c.kill()
		<-dead
		c.cmd.Wait()
	}
	before := count(t, conn, stored)
	drain(t, dir, e.socket)

	rows, err := conn.Query(t.Context(), "SELECT bytes, count() FROM traffic.usage_bucket GROUP BY bytes")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found, extra := 0, 0
	for rows.Next() {
		var n, times uint64
		if err := rows.Scan(&n, &times); err != nil {
			t.Fatal(err)
		}
		if times != 1 {
			t.Errorf("row %d is there %d times", n, times)
		}
		if acknowledged[n] {
			found++
		} else {
			extra++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if found != len(acknowledged) {
		t.Errorf("%d of %d acknowledged rows are in the store", found, len(acknowledged))
	}
	// A row whose acknowledgement died in the pipe may be there: at most one
	// for each appender and kill.
	if extra > lives*appenders {
		t.Errorf("%d rows that were not acknowledged, want at most %d", extra, lives*appenders)
	}
	if before == 0 || len(acknowledged) < 1000 {
		t.Errorf("%d rows stored between kills, %d acknowledged: the test saw too little", before, len(acknowledged))
	}
	t.Logf("%d rows acknowledged, %d stored before the last drain, %d unacknowledged but stored", len(acknowledged), before, extra)
}

// drain empties what the last collector left.
func drain(t *testing.T, dir, socket string) {
	t.Helper()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k, err := New(Config{Spool: s, Store: schema.Config{Socket: socket}, QuarantineDir: filepath.Join(dir, "quarantine"), Registerer: prometheus.NewRegistry(), Gather: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{spool: s, sink: k, logs: &lockedBuffer{}}
	defer r.run(t)()
	r.waitEmpty(t)
	if _, err := os.Stat(filepath.Join(dir, "quarantine")); err == nil {
		t.Error("rows were quarantined")
	}
}
