package schema

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sys/unix"
)

// smallDisk names the folder on which the child of TestDiskFull mounts its disk.
const smallDisk = "GRIFFIER_TEST_SMALL_DISK"

// TestDiskFull fills the store's disk, which is a small one of its own, in a mount
// namespace that ends with the child: inserts, merges and drops fail with an error
// that says so, and nothing is half visible.
func TestDiskFull(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		diskFull(t, dir)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDiskFull$", "-test.v")
	child.Env = append(os.Environ(), smallDisk+"="+t.TempDir())
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		child.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		child.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	}
	out, err := child.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("child: %v", err)
	}
}

func diskFull(t *testing.T, dir string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=128m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P14D")
	filler := filepath.Join(dir, "filler")

	t.Run("insert", func(t *testing.T) {
		// Blocks of a known number of rows each, until one does not fit.
		const rows = 20_000
		block := func(n int) []Record {
			records := make([]Record, rows)
			for i := range records {
				u := testUsage(byte(n), today(-1).Add(time.Duration(i%288)*BucketLength))
				u.AccessRef, u.CounterID = AccessRef{byte(n), byte(i), byte(i >> 8), 77}, ID{byte(n), byte(i * 31), byte(i >> 7), byte(i >> 3), 77}
				u.Bytes = uint64(i) * 0x9E3779B97F4A7C15 // does not compress
				u.CumulativeBytes = u.Bytes
				records[i] = u
			}
			return records
		}
		// A merge would take the room that is made below.
		mustRun(t, ctx, conn, "SYSTEM STOP MERGES traffic.usage_bucket")
		fill(t, filler, 4<<20)
		n, err := 0, error(nil)
		for ; n < 200; n++ {
			if err = Insert(ctx, conn, fmt.Sprintf("block %d", n), block(n)); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrNoSpace) {
			t.Fatalf("after %d blocks: %v, want ErrNoSpace", n, err)
		}
		t.Logf("block %d: %v", n, err)
		stored := count(t, ctx, conn, "SELECT count() FROM traffic.usage")
		if stored != uint64(n)*rows {
			t.Errorf("%d rows are visible, want the %d of whole blocks", stored, n*rows)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := Insert(ctx, conn, fmt.Sprintf("block %d", n), block(n)); err != nil {
				t.Fatalf("once there is room: %v", err)
			}
		}
		if stored := count(t, ctx, conn, "SELECT count() FROM traffic.usage"); stored != uint64(n+1)*rows {
			t.Errorf("%d rows are visible after two retries, want %d", stored, (n+1)*rows)
		}
	})
	t.Run("merge", func(t *testing.T) {
		before := content(t, ctx, conn)
		fill(t, filler, 256<<10)
		mustRun(t, ctx, conn, "SYSTEM START MERGES traffic.usage_bucket")
		err := conn.Exec(ctx, "OPTIMIZE TABLE traffic.usage_bucket FINAL SETTINGS optimize_throw_if_noop = 1")
		if err == nil || !strings.Contains(err.Error(), "Not enough free space") {
			t.Errorf("a merge on a full disk: %v, want that there is no space", err)
		}
		if after := content(t, ctx, conn); after != before {
			t.Error("rows changed by a merge that failed")
		}
		mustRun(t, ctx, conn, "SYSTEM STOP MERGES traffic.usage_bucket")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("drop", func(t *testing.T) {
		dropOnAFullDisk(t, ctx, conn, filler)
	})
}

// dropOnAFullDisk drops a day when not a byte is left, with and without a rest of
// the day to expire first.
func dropOnAFullDisk(t *testing.T, ctx context.Context, conn driver.Conn, filler string) {
	day := today(-20)
	if err := Insert(ctx, conn, "old", []Record{testUsage(1, day), testUsage(2, day.Add(time.Hour))}); err != nil {
		t.Fatal(err)
	}
	onDisk := func() uint64 {
		return count(t, ctx, conn, "SELECT count() FROM traffic.usage_bucket WHERE bucket_started_at < ?", day.AddDate(0, 0, 1))
	}
	fill(t, filler, 0)
	_, err := DropDay(ctx, conn, ClassUsage5m, day, time.Now())
	t.Logf("a drop on a full disk: %v, %d rows left", err, onDisk())
	if left := onDisk(); err != nil && (left != 2 || !errors.Is(err, ErrNoSpace)) || err == nil && left != 0 {
		t.Errorf("a drop on a full disk: %v with %d rows left, want ErrNoSpace and all, or none", err, left)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := DropDay(ctx, conn, ClassUsage5m, day, time.Now()); err != nil || onDisk() != 0 {
		t.Errorf("once there is room: %v with %d rows left", err, onDisk())
	}
}

// fill writes a file until only so many bytes are left on its disk.
func fill(t *testing.T, path string, left int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for try := 0; ; try++ {
		var disk unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &disk); err != nil {
			t.Fatal(err)
		}
		err := unix.Fallocate(int(f.Fd()), 0, 0, int64(disk.Bavail)*disk.Bsize-left)
		if err == nil {
			return
		}
		if !errors.Is(err, unix.ENOSPC) || try == 100 { // the engine may have taken some since
			t.Fatal(err)
		}
	}
}
