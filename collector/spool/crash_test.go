package spool

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

const childEnv = "GRIFFIER_SPOOL_TEST_CHILD"

// appendUntilKilled is the child process: eight appenders that write each row's
// number to stdout once it is acknowledged, and checkpoints now and then.
func appendUntilKilled(dir string) int {
	s, err := Open(Config{Dir: dir, SegmentBytes: 32 << 10})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var from uint64
	fmt.Sscan(os.Getenv(childEnv+"_FROM"), &from)
	var mu sync.Mutex // orders numbers, appends' return and the pipe
	next := from
	var gate sync.RWMutex // Checkpoint wants no Append under way
	for range 8 {
		go func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				gate.RLock()
				err := s.Append(context.Background(), Batch{State: binary.LittleEndian.AppendUint64(nil, n), Records: rows(n, n+1)})
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
		time.Sleep(7 * time.Millisecond)
		gate.Lock()
		err := s.Checkpoint(context.Background(), []byte("snapshot"))
		gate.Unlock()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
}

// TestKill kills an appending process with SIGKILL ten times over one spool.
// Every row whose acknowledgement got out of the process is recovered, in the
// order of the log, and none twice.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[uint64]bool{}
	seen := map[uint64]bool{}
	for life := range 10 {
		// Numbers of different lives do not meet.
		for _, n := range runAndKill(t, dir, uint64(life)<<32) {
			acknowledged[n] = true
		}
		s, err := Open(Config{Dir: dir, SegmentBytes: 32 << 10, BlockRows: 50})
		if err != nil {
			t.Fatalf("open after kill %d: %v", life+1, err)
		}
		if _, _, err := s.Recover(); err != nil {
			t.Fatal(err)
		}
		for s.Stats().PendingRows > 0 {
			b := mustNext(t, s)
			if rand.IntN(10) == 0 {
				break // the rest is for the next life, with this block outstanding
			}
			for _, n := range numbers(b.Records) {
				if seen[n] {
					t.Fatalf("row %d twice", n)
				}
				seen[n] = true
			}
			mustAck(t, s, b)
		}
		s.Close()
	}
	s := mustOpen(t, Config{Dir: dir})
	for s.Stats().PendingRows > 0 {
		b := mustNext(t, s)
		for _, n := range numbers(b.Records) {
			if seen[n] {
				t.Fatalf("row %d twice", n)
			}
			seen[n] = true
		}
		mustAck(t, s, b)
	}
	for n := range acknowledged {
		if !seen[n] {
			t.Errorf("row %d of life %d was acknowledged and is lost", n&0xffffffff, n>>32)
		}
	}
	if len(acknowledged) < 100 {
		t.Errorf("only %d rows were acknowledged: the test saw nothing", len(acknowledged))
	}
	t.Logf("%d rows acknowledged, %d recovered", len(acknowledged), len(seen))
}

// runAndKill returns what the child acknowledged before it was killed.
func runAndKill(t *testing.T, dir string, from uint64) (acknowledged []uint64) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprintf("%s_FROM=%d", childEnv, from))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const least = 12 // acknowledged before it is killed, however slow the disk is
	in := bufio.NewReader(out)
	for {
		var n uint64
		if err := binary.Read(in, binary.LittleEndian, &n); err == io.EOF || err == io.ErrUnexpectedEOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if acknowledged = append(acknowledged, n); len(acknowledged) == least {
			time.AfterFunc(rand.N(100*time.Millisecond), func() { cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("child ended by itself: %v", err)
	}
	return acknowledged
}
