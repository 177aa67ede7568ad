package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a disk of the test's own needs root")
	}
}

// mountSmall mounts a tmpfs of 256 KiB on a folder of the test's.
func mountSmall(t *testing.T) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("griffier-spool-test", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=256k"); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// TestDisk fills a real disk and makes it read-only: the error is the disk's,
// what was acknowledged stays, acknowledging blocks still works, and appending
// goes on once there is room.
func TestDisk(t *testing.T) {
	dir := mountSmall(t)
	cfg := Config{Dir: filepath.Join(dir, "spool"), SegmentBytes: 16 << 10, BlockRows: 10}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	var acknowledged uint64
	fill := func() {
		t.Helper()
		for range 10_000 {
			err := s.Append(t.Context(), Batch{State: make([]byte, 300), Records: rows(acknowledged, acknowledged+1)})
			if errors.Is(err, unix.ENOSPC) {
				return
			}
			if err != nil {
				t.Fatalf("Append on a full disk: %v, want ENOSPC", err)
			}
			acknowledged++
		}
		t.Fatal("the disk never filled")
	}
	fill()
	fill() // refused again, and not yet broken
	full := acknowledged
	if err := s.Checkpoint(t.Context(), make([]byte, 8<<10)); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("Checkpoint on a full disk: %v, want ENOSPC", err)
	}
	delivered := uint64(0)
	b := mustNext(t, s)
	mustAck(t, s, b)
	delivered += uint64(len(b.Records))

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	fill()
	if acknowledged == full {
		t.Error("nothing could be appended after room was made")
	}
	s.Close()

	if s, err = Open(cfg); err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	for s.Stats().PendingRows > 0 {
		b := mustNext(t, s)
		for _, n := range numbers(b.Records) {
			if n != delivered {
				t.Fatalf("row %d, want %d", n, delivered)
			}
			delivered++
		}
		mustAck(t, s, b)
	}
	if delivered != acknowledged {
		t.Errorf("%d rows delivered, want the %d acknowledged", delivered, acknowledged)
	}
	s.Close()

	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg); !errors.Is(err, unix.EROFS) {
		t.Errorf("open on a read-only disk: %v, want EROFS", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(cfg); err != nil {
		t.Errorf("open after the disk is writable again: %v", err)
	}
}

// TestFailingFile puts a device that refuses everything in place of the active
// segment, as a dying disk would: the batch is refused, the next one goes into
// a new segment, and what the failed write may have left behind does not count.
func TestFailingFile(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := mustOpen(t, cfg)
	mustAppend(t, s, Batch{Records: rows(0, 2)})

	// What a failed fsync can leave: the whole frame of a refused batch.
	body, err := appendBatch(nil, Batch{Records: rows(90, 92)})
	if err != nil {
		t.Fatal(err)
	}
	g := *s.segments[0]
	ghost := appendFrame(nil, s.id.seed(g.number), frameHead{typ: frameGroup, frame: g.endFrame, firstRecord: g.endRecord, records: 2, appendedAt: s.cfg.Now()}, body)
	if _, err := s.active.WriteAt(ghost, g.size); err != nil {
		t.Fatal(err)
	}
	device, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	if err := unix.Dup3(int(device.Fd()), int(s.active.Fd()), unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(t.Context(), Batch{Records: rows(2, 3)}); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Append: %v, want ENOSPC", err)
	}
	mustAppend(t, s, Batch{Records: rows(2, 4)})
	s.Close()
	n, torn, err := left(t, cfg.Dir)
	if err != nil || n != 4 || torn != (Torn{}) {
		t.Errorf("%d rows, torn %+v, %v, want 4 rows", n, torn, err)
	}
}

// TestFailedRotation makes the folder refuse new files after the checkpoint's
// segment may already stand: nothing may go into the old segment any more.
func TestFailedRotation(t *testing.T) {
	cfg := Config{Dir: t.TempDir()}
	s := mustOpen(t, cfg)
	mustAppend(t, s, Batch{Records: rows(0, 2)})
	// A folder in the place of the new segment makes the rename fail.
	block := filepath.Join(cfg.Dir, segmentName(2))
	if err := os.Mkdir(block, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := s.Checkpoint(t.Context(), []byte("all")); err == nil {
		t.Fatal("Checkpoint onto a folder: no error")
	}
	if err := s.Append(t.Context(), Batch{Records: rows(2, 3)}); err == nil {
		t.Fatal("Append after a failed rotation went into the old segment")
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, Batch{Records: rows(2, 4)})
	if got := s.Stats().Segments; got != 2 {
		t.Errorf("%d segments, want 2", got)
	}
	s.Close()
	if n, _, err := left(t, cfg.Dir); err != nil || n != 4 {
		t.Errorf("%d rows, %v, want 4", n, err)
	}
}
