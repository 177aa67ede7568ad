package ledger

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/keystore"
)

// childEnv makes the test binary a process that owns a ledger, in the folder
// that the variable names, until it is killed.
const childEnv = "GRIFFIER_LEDGER_TEST_CHILD"

// child appends and decides from several goroutines, and prints each entry's
// index and leaf hash once it is acknowledged.
func child() {
	root := os.Getenv(childEnv)
	fail := func(err error) {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	key, err := LoadKey(filepath.Join(root, "signing.key"))
	if err != nil {
		fail(err)
	}
	keys, err := keystore.Open(filepath.Join(root, "keys"), filepath.Join(root, "master.key"))
	if err != nil {
		fail(err)
	}
	l, err := Open(context.Background(), Config{
		Dir: filepath.Join(root, "log"), WitnessFile: filepath.Join(root, "elsewhere.json"), Key: key, Keys: keys,
		Folds: []Fold{newCounters()}, Limit: busyDisk})
	if err != nil {
		fail(err)
	}
	fmt.Println("ready")
	acknowledge := func(e Entry, err error) {
		if err != nil {
			fail(err)
		}
		hash, err := e.LeafHash()
		if err != nil {
			fail(err)
		}
		fmt.Printf("%d %x\n", e.Index, hash)
	}
	for range 6 {
		go func() {
			for n := 0; ; n++ {
				acknowledge(l.Append(context.Background(), draft(n)))
			}
		}()
	}
	for n := 0; ; n++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), n)
		acknowledge(l.Decide(context.Background(), id, func(time.Time) (Draft, error) { return draft(n), nil }))
	}
}

// startChild starts a process on the bench's ledger and waits until it owns it.
func (b *bench) startChild(t *testing.T) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+filepath.Dir(b.dir))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // where the test did not get that far
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("child: %q", lines.Text())
	}
	return cmd, lines
}

// TestKillLosesNothingAcknowledged kills the owner with -9, again and again, at
// any moment, and wants every acknowledged entry in the log, unchanged.
func TestKillLosesNothingAcknowledged(t *testing.T) {
	b := newBench(t)
	acknowledged := map[uint64]string{}
	for round := range 8 {
		cmd, lines := b.startChild(t)
		var timer *time.Timer
		for n := 0; lines.Scan(); n++ {
			if n == 8 { // not before, however slow the disk is
				timer = time.AfterFunc(time.Duration(rand.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
			}
			var index uint64
			var hash string
			if _, err := fmt.Sscanf(lines.Text(), "%d %s", &index, &hash); err != nil {
				if strings.HasPrefix(lines.Text(), "failed") {
					t.Fatalf("child: %s", lines.Text())
				}
				continue // the last line, cut off by the kill
			}
			if len(hash) == 64 {
				acknowledged[index] = hash
			}
		}
		if timer == nil {
			t.Fatal("the child ended by itself")
		}
		_ = cmd.Wait() // killed
		if _, err := b.verify(t); err != nil {
			t.Fatalf("round %d: verify before the next start: %v", round, err)
		}
	}
	if len(acknowledged) < 50 {
		t.Fatalf("only %d entries acknowledged: the test says little", len(acknowledged))
	}
	l := b.open(t, newCounters())
	if l.Size() < uint64(len(acknowledged)) {
		t.Fatalf("%d acknowledged, %d in the log", len(acknowledged), l.Size())
	}
	for start := uint64(0); start < l.Size(); start += MaxRead {
		entries, err := l.Read(context.Background(), start, MaxRead)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			hash, err := e.LeafHash()
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := acknowledged[e.Index]; ok && fmt.Sprintf("%x", hash) != want {
				t.Errorf("entry %d is not the one acknowledged", e.Index)
			}
			delete(acknowledged, e.Index)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged entries are not in the log", len(acknowledged))
	}
	t.Logf("%d entries over 8 kills", l.Size())
}

// TestTwoProcesses refuses a second owner, in another process and in this one.
func TestTwoProcesses(t *testing.T) {
	b := newBench(t)
	cmd, _ := b.startChild(t)
	_, err := Open(context.Background(), b.config())
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(cmd.Process.Pid)) {
		t.Fatalf("second process: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	l := b.open(t)
	if _, err := Open(context.Background(), b.config()); !errors.Is(err, ErrLocked) {
		t.Fatalf("second in this process: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	b.open(t)
}
