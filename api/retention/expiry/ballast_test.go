package expiry

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"griffier/api/ledger"
	"griffier/schema"
)

// smallDisk names the folder on which the child of TestDropOnAFullDisk mounts its
// disk.
const smallDisk = "GRIFFIER_TEST_SMALL_DISK"

// TestDropOnAFullDisk: a disk without a byte left does not keep expired days. It
// runs in a mount namespace that ends with the child.
func TestDropOnAFullDisk(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		dropOnAFullDisk(t, dir)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDropOnAFullDisk$", "-test.v")
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

func dropOnAFullDisk(t *testing.T, dir string) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=160m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	h := newHouse(t) // its ledger is on the same disk
	h.policy(t, "P14D")
	d := h.dropper()
	d.Ballast = &Ballast{filepath.Join(dir, "ballast")}
	if err := d.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Ballast.Path); err != nil || info.Size() != ballastBytes {
		t.Fatalf("ballast: %v, %v; want %d bytes", info, err, ballastBytes)
	}
	h.put(t, used(1, day(-20)), used(2, day(-20)))
	filler := fill(t, filepath.Join(dir, "filler"), 256<<10) // which the ledger's two entries need
	if err := d.Once(t.Context()); !errors.Is(err, schema.ErrNoSpace) || h.count(t, "traffic.usage_bucket") != 2 {
		t.Errorf("without its ballast: %v, %d rows; want ErrNoSpace and both", err, h.count(t, "traffic.usage_bucket"))
	}
	if err := d.look(t.Context()); err != nil || h.count(t, "traffic.usage_bucket") != 0 {
		t.Errorf("with its ballast: %v, %d rows; want them dropped", err, h.count(t, "traffic.usage_bucket"))
	}
	if c := h.record.Certificates("", 10); len(c) != 1 || c[0].Rows != 2 || len(h.record.waiting()) != 0 {
		t.Errorf("certificates %+v, want one", c)
	}
	// While the disk is nearly full the room stays free; then it is taken again.
	if info, err := os.Stat(d.Ballast.Path); err != nil || info.Size() != 0 {
		t.Errorf("ballast of %v bytes, %v; want none", info, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if err := d.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(d.Ballast.Path); err != nil || info.Size() != ballastBytes {
		t.Errorf("ballast of %v bytes, %v; want it back", info, err)
	}
	// Without a byte for the ledger, if that is on this disk too.
	h.put(t, used(1, day(-19)))
	fill(t, filler, 0)
	d.Book = scarceBook{d.Book, d.Ballast}
	if err := d.Once(t.Context()); err == nil {
		t.Error("the ledger has room where there is none")
	}
	if err := d.look(t.Context()); err != nil || h.count(t, "traffic.usage_bucket") != 0 {
		t.Errorf("with its ballast for the ledger: %v, %d rows; want them dropped", err, h.count(t, "traffic.usage_bucket"))
	}
}

// scarceBook gives up at once where the ledger itself does after its limit.
type scarceBook struct {
	book
	disk *Ballast
}

func (b scarceBook) Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error) {
	if b.disk.Scarce() {
		return ledger.Entry{}, ledger.ErrUnknownOutcome
	}
	return b.book.Append(ctx, d)
}

// fill takes all but some of a disk's room.
func fill(t *testing.T, path string, left int64) string {
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
			return path
		}
		if !errors.Is(err, unix.ENOSPC) || try == 100 { // the engine may have taken some since
			t.Fatal(err)
		}
	}
}
