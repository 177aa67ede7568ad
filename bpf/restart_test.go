// SPDX-License-Identifier: (BSD-3-Clause OR GPL-2.0-only)

package bpf

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/bpf/bpftest"
)

// childEnv makes this test binary a process that attaches, says so and waits to
// be killed.
const childEnv = "GRIFFIER_BPF_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(m.Run())
}

func child(dir string) int {
	index, err := strconv.Atoi(os.Getenv(childEnv + "_IFINDEX"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	hook, err := strconv.Atoi(os.Getenv(childEnv + "_HOOK"))
	if err != nil {
		fmt.Println(err)
		return 1
	}
	a, err := Load(Options{MaxSlots: 64, PinDir: dir, Hook: Hook(hook)})
	if err == nil {
		err = a.Attach(index, false)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("attached")
	select {}
}

// pins returns a pin directory for one test.
func pins(t testing.TB) string {
	t.Helper()
	dir := bpftest.BPFFS(t)
	if err := MountBPFFS(dir); err != nil { // it is one: no second mount
		t.Fatal(err)
	}
	return filepath.Join(dir, "griffier")
}

// TestKilledProcessesLoseNothing: collectors come and are killed with -9, each
// swapping in its own program, while frames flow. Every one is counted once.
func TestKilledProcessesLoseNothing(t *testing.T) { eachHook(t, testKilledProcesses) }

func testKilledProcesses(t *testing.T, hook Hook) {
	w := bpftest.NewWire(t)
	dir := pins(t)
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	load := func() *Accounting {
		t.Helper()
		a, err := Load(Options{MaxSlots: 64, PinDir: dir, Hook: hook})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	// Keys are pinned too.
	a := load()
	put(t, a, "100.64.0.12/32", 0, slotOf4)
	a.Close()
	first := start(t, w, dir, hook)
	if b, err := Load(Options{MaxSlots: 64, PinDir: dir, Hook: hook}); !errors.Is(err, ErrPinnedInUse) {
		if err == nil {
			b.Close()
		}
		t.Fatalf("a second collector: %v, want ErrPinnedInUse", err)
	}

	frame := bpftest.Ethernet(0x0800, bpftest.IPv4(bpftest.Sub4, bpftest.Far4, 17, 0, 0, bpftest.UDP(1, 2, make([]byte, 72))))
	stop, sent := make(chan struct{}), make(chan uint64)
	go func() {
		n := uint64(0)
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			for range 50 {
				send(frame)
				n++
			}
			time.Sleep(time.Millisecond)
		}
	}()
	kill(t, first)
	for range 6 {
		time.Sleep(20 * time.Millisecond) // nobody lives, frames flow
		kill(t, start(t, w, dir, hook))
	}
	time.Sleep(20 * time.Millisecond)
	close(stop)
	n := <-sent
	a = load()
	defer func() { a.Close() }()
	totals := settled(t, a, Up, n)
	got, err := a.ReadSlot(slotOf4)
	if want := (Counters{Up4: Count{100 * n, n}}); err != nil || got != want {
		t.Errorf("counted %+v, %v, want %+v", got, err, want)
	}
	if totals.Up.Frames != n || !totals.Balanced() {
		t.Errorf("totals = %+v, want %d frames", totals.Up, n)
	}
	t.Logf("%d frames over 7 process lives", n)

	if err := a.Close(); err != nil {
		t.Error(err)
	}
	bpftest.In(t, w.Edge, func() {
		for range 2 {
			if err := RemovePins(dir); err != nil {
				t.Errorf("RemovePins = %v", err)
			}
		}
		if left := filtersAt(t, w.EdgeIndex); len(left) != 0 {
			t.Errorf("filters left: %v", left)
		}
	})
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pin directory is still there: %v", err)
	}
}

func start(t *testing.T, w *bpftest.Wire, dir string, hook Hook) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, childEnv+"_IFINDEX="+strconv.Itoa(w.EdgeIndex),
		childEnv+"_HOOK="+strconv.Itoa(int(hook)))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	bpftest.In(t, w.Edge, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "attached\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("child: %q, %v", line, err)
	}
	return cmd
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it says "killed", as it should
}

// TestPinnedMapsOfAnotherSize are refused in clear words, not replaced, and can be
// loaded as they are.
func TestPinnedMapsOfAnotherSize(t *testing.T) {
	dir := pins(t)
	if _, err := LoadPinned(dir); !errors.Is(err, ErrNothingPinned) {
		t.Errorf("LoadPinned of nothing = %v, want ErrNothingPinned", err)
	}
	a, err := Load(Options{MaxSlots: 8, PinDir: dir, CounterStripes: 1, PuntRingBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	put(t, a, "10.0.0.1/32", 0, 8)
	a.Close()
	_, err = Load(Options{MaxSlots: 9, PinDir: dir})
	if !errors.Is(err, ErrPinnedIncompatible) {
		t.Fatalf("Load = %v, want ErrPinnedIncompatible", err)
	}
	for _, want := range []string{"max_slots is 8 there, 9 is wanted", "griffier-collector -unpin"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %q, want it to say %q", err, want)
		}
	}
	b, err := LoadPinned(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.MaxSlots() != 8 || slotOf(t, b, netip.MustParseAddr("10.0.0.1")) != 8 {
		t.Errorf("%d slots, and the key leads elsewhere", b.MaxSlots())
	}
}

// TestPinsOfAnotherVersion: a collector does not count beside one of another ABI.
func TestPinsOfAnotherVersion(t *testing.T) {
	dir := pins(t)
	a, err := Load(Options{MaxSlots: 8, PinDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := os.Rename(versioned(dir), filepath.Join(dir, "v1")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{MaxSlots: 8, PinDir: dir}); !errors.Is(err, ErrPinnedIncompatible) || !strings.Contains(err.Error(), "v1") {
		t.Errorf("Load beside v1 = %v, want ErrPinnedIncompatible", err)
	}
}

// TestAttachAndDetach: a stale pinned link of an interface that went away does not
// stand in the way of a new one, and Detach leaves nothing behind.
func TestAttachAndDetach(t *testing.T) {
	dir := pins(t)
	old := bpftest.NewWire(t)
	a, err := Load(Options{MaxSlots: 8, PinDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	bpftest.In(t, old.Edge, func() {
		if err := a.Attach(old.EdgeIndex, false); err != nil {
			t.Fatal(err)
		}
		if err := a.Attach(old.EdgeIndex, false); !errors.Is(err, os.ErrExist) {
			t.Errorf("second Attach = %v, want ErrExist", err)
		}
		if err := a.Attach(9999, true); !errors.Is(err, unix.ENODEV) {
			t.Errorf("Attach to no interface = %v, want ENODEV", err)
		}
	})
	a.Close()
	w := bpftest.NewWire(t) // the same index, in another namespace
	if w.EdgeIndex != old.EdgeIndex {
		t.Fatalf("index %d, want %d", w.EdgeIndex, old.EdgeIndex)
	}
	bpftest.RemoveLink(t, old.Edge, "r0")
	b, err := Load(Options{MaxSlots: 8, PinDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	bpftest.In(t, w.Edge, func() {
		if err := b.Attach(w.EdgeIndex, false); err != nil {
			t.Fatal(err)
		}
	})
	pinned := func() int {
		links, err := filepath.Glob(filepath.Join(versioned(dir), "link_*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(links)
	}
	if n, err := b.DetachStale(); n != 0 || err != nil || pinned() != 2 {
		t.Errorf("DetachStale = %d, %v with %d pins, want 0 of 2", n, err, pinned())
	}
	if err := b.Detach(w.EdgeIndex); err != nil || pinned() != 0 {
		t.Errorf("Detach = %v, %d pins left", err, pinned())
	}
	send := bpftest.Sender(t, w.Sub, w.SubIndex)
	send(bpftest.Ethernet(0x0806, make([]byte, 46)))
	time.Sleep(50 * time.Millisecond)
	if totals, err := b.ReadTotals(); err != nil || totals.Up.NonIP.Packets != 0 {
		t.Errorf("counted %+v, %v after Detach", totals.Up, err)
	}
}
