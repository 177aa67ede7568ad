package execute_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
)

// TestDiskFullWhileSealing puts the shelf on a disk with ever more room, from not a
// byte to enough, in a mount namespace that ends with the child: the package, and
// then its receipt, fail to be written. Nothing half written stays, nothing is
// released, and once there is room the same task comes to its one package.
func TestDiskFullWhileSealing(t *testing.T) {
	if !disclosuretest.Alone(t) {
		return
	}
	l := newLab(t)
	shelf := filepath.Join(l.Dir, "packages")
	if err := unix.Mount("tmpfs", shelf, "tmpfs", 0, "size=8m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(shelf, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(shelf, "filler")
	fill := func(left int64) {
		t.Helper()
		var disk unix.Statfs_t
		f, err := os.OpenFile(filler, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for range 100 { // the engine may take some between the two
			if err = unix.Fstatfs(int(f.Fd()), &disk); err == nil {
				err = unix.Fallocate(int(f.Fd()), 0, 0, int64(disk.Bavail)*disk.Bsize-left)
			}
			if !errors.Is(err, unix.ENOSPC) {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w := l.Approved(time.Hour)
	beforeResult, afterResult := 0, 0
	for n := 0; ; n++ {
		if n == 1 {
			n = disclosure.Padding/4096 - 3 // a package is no shorter
		}
		task := l.Task(w, "192.0.2.17", l.Noon.Add(time.Duration(n)*time.Second))
		fill(int64(n) * 4096)
		_, err := l.Execute(task)
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			break
		}
		if reason.Of(err) == "" || strings.Contains(err.Error(), shelf) {
			t.Errorf("with %d bytes: %v: no reason, or a path", n*4096, err)
		}
		kinds := l.Kinds(task.TaskId)
		switch {
		case slices.Equal(kinds, []string{"create", "intent", "abort"}):
			beforeResult++
		case slices.Equal(kinds, []string{"create", "intent", "result", "abort"}):
			afterResult++
		default:
			t.Errorf("with %d bytes: entries %v", n*4096, kinds)
		}
		if files := l.OnShelf(task.TaskId); len(files) != 0 {
			t.Errorf("with %d bytes: left behind: %v", n*4096, files)
		}
		if sealed, _, err := l.Fetch(task); err == nil || len(sealed) != 0 {
			t.Errorf("with %d bytes: fetched %d bytes, %v", n*4096, len(sealed), err)
		}
		done, err := l.Execute(task)
		if err != nil {
			t.Fatalf("with %d bytes, once there is room: %v", n*4096, err)
		}
		sealed, receipt, err := l.Fetch(task)
		if err != nil {
			t.Fatal(err)
		}
		l.Genuine(done, sealed, receipt)
		if n > 500 {
			t.Fatal("the disk is never large enough")
		}
	}
	if beforeResult == 0 || afterResult == 0 {
		t.Errorf("%d times full before the result, %d times after it: the test says little", beforeResult, afterResult)
	}
	t.Logf("full %d times while sealing, %d times at the receipt", beforeResult, afterResult)
}
