package spool

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// mountImage mounts an ext4 image through a loop device, which goes with the
// mount. The file system writes nothing by itself for five minutes, so that
// what reaches the image is what was fsynced.
func mountImage(t *testing.T, image string) (dir string, unmount func()) {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var device *os.File
	for range 50 { // another process may take the free one first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			t.Fatal(err)
		}
		if device, err = os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		}
		config := unix.LoopConfig{Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &config); err == nil {
			break
		}
		device.Close()
		device = nil
	}
	if device == nil {
		t.Fatal("no loop device could be had")
	}
	defer device.Close()
	dir = t.TempDir()
	if err := unix.Mount(device.Name(), dir, "ext4", unix.MS_NOSUID|unix.MS_NODEV, "commit=300"); err != nil {
		t.Fatalf("mount image: %v", err)
	}
	unmount = sync.OnceFunc(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	t.Cleanup(unmount)
	return dir, unmount
}

// TestPowerCut copies the disk below the file system the moment appends have
// returned: what a machine would find after losing power just then. A kill -9
// cannot show a missing fsync, since the kernel's cache survives it; this does.
func TestPowerCut(t *testing.T) {
	needRoot(t)
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v\n%s", err, out)
	}
	dir, unmount := mountImage(t, image)
	s := mustOpen(t, Config{Dir: filepath.Join(dir, "spool"), SegmentBytes: 8 << 10, BlockRows: 20})
	acknowledged, stored := map[uint64]bool{}, 0
	var next atomic.Uint64
	for cut := range 4 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					n := next.Add(1)
					if err := s.Append(t.Context(), Batch{State: []byte("s"), Records: rows(n, n+1)}); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					acknowledged[n] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if cut%2 == 1 {
			if err := s.Checkpoint(t.Context(), []byte("all")); err != nil {
				t.Fatal(err)
			}
		}
		block := mustNext(t, s)
		checkAfterCut(t, image, acknowledged, stored, block)
		for _, n := range numbers(block.Records) {
			delete(acknowledged, n)
		}
		mustAck(t, s, block)
		stored += len(block.Records)
		checkAfterCut(t, image, acknowledged, stored, mustNext(t, s))
	}
	s.Close()
	unmount()
}

// checkAfterCut mounts a copy of the disk and wants in its spool the pending
// rows, and first of all the outstanding block.
func checkAfterCut(t *testing.T, image string, pending map[uint64]bool, stored int, outstanding Block) {
	t.Helper()
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		t.Fatal(err)
	}
	dir, unmount := mountImage(t, copied)
	defer unmount()
	s, err := Open(Config{Dir: filepath.Join(dir, "spool"), BlockRows: 50})
	if err != nil {
		t.Fatalf("open after a power cut: %v", err)
	}
	defer s.Close()
	if _, _, err := s.Recover(); err != nil {
		t.Fatal(err)
	}
	found, first := 0, true
	for s.Stats().PendingRows > 0 {
		b := mustNext(t, s)
		if first && (b.Token != outstanding.Token || fmt.Sprint(numbers(b.Records)) != fmt.Sprint(numbers(outstanding.Records))) {
			t.Fatalf("first block %s, want the one that was outstanding, %s", b.Token, outstanding.Token)
		}
		first = false
		for _, n := range numbers(b.Records) {
			if !pending[n] {
				t.Fatalf("row %d, which the store had or nobody appended", n)
			}
			found++
		}
		mustAck(t, s, b)
	}
	if found != len(pending) {
		t.Fatalf("%d rows after a power cut, want %d (and %d stored)", found, len(pending), stored)
	}
}
