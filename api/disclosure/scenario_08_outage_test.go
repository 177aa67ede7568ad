package disclosure_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Linux's ioctls to pause and resume all writing to a file system.
const (
	fiFreeze = 0xC0045877 // FIFREEZE, linux/fs.h
	fiThaw   = 0xC0045878 // FITHAW
)

// Scenario 8, audit sink outage: "ledger volume full or hung mid-request ->
// LEDGER_UNAVAILABLE or UNKNOWN_OUTCOME within 2 s, no bytes, and the retry tells
// what happened." The disk hangs before the intent, between intent and result, and
// between result and release; each time the execution, sent again, comes to the
// one package.
func TestScenario08LedgerHangs(t *testing.T) {
	if !disclosuretest.Alone(t) {
		return
	}
	l := newLab(t)
	disk := l.ledgerOnADisk()
	w := l.Approved(time.Hour)
	for n, step := range []string{"intent", "result", "release"} {
		t.Run(step, func(t *testing.T) {
			task := l.Task(w, "192.0.2.17", l.Noon.Add(time.Duration(n)*time.Second))
			decisions := 0
			l.Book.Before = func(context.Context) {
				if decisions++; decisions == n+1 {
					disk.freeze()
				}
			}
			reads := l.Traffic.Reads.Load()
			asked := time.Now()
			_, err := l.Execute(task)
			took := time.Since(asked)
			if got := reason.Of(err); got != reason.UnknownOutcome && got != reason.LedgerUnavailable {
				t.Errorf("hung: %v", err)
			}
			if most := l.Limit + 30*time.Second; took > most { // beside the limit the query and a busy machine; the disk stays as it is
				t.Errorf("answered after %v, want at most %v", took, most)
			}
			if n == 0 && l.Traffic.Reads.Load() != reads {
				t.Error("the store was read without an intent")
			}
			l.Book.Before = nil
			// Everything else is refused at once, and nothing leaves.
			asked = time.Now()
			sealed, _, err := l.Fetch(task)
			if err == nil || len(sealed) != 0 {
				t.Errorf("fetched %d bytes, %v", len(sealed), err)
			}
			_, err = l.Warrants.RevokeWarrant(l.Approver(), &griffierv1.RevokeWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation})
			l.Want(err, reason.LedgerUnavailable)
			if took := time.Since(asked); took > 2*l.Limit { // which two that waited would take
				t.Errorf("refused only after %v", took)
			}
			disk.thaw()

			var done *griffierv1.Task
			for range 2400 {
				if done, err = l.Execute(task); err == nil {
					break
				}
				if got := reason.Of(err); got != reason.UnknownOutcome && got != reason.LedgerUnavailable {
					t.Fatalf("retry: %v", err)
				}
				time.Sleep(50 * time.Millisecond)
			}
			if err != nil || done.Answer != string(reason.Match) {
				t.Fatalf("after the thaw: %v, %v", done, err)
			}
			sealed, receipt, err := l.Fetch(task)
			if err != nil {
				t.Fatal(err)
			}
			l.Genuine(done, sealed, receipt)
			kinds := l.Kinds(task.TaskId)
			if count(kinds, "release") != 1 || count(kinds, "intent") != count(kinds, "abort")+1 || count(kinds, "fetch") != 1 {
				t.Errorf("entries %v", kinds)
			}
		})
	}
}

// Scenario 8 with a disk that is full: refused, nothing is read, and once there is
// room the same execution comes to its package.
func TestScenario08LedgerFull(t *testing.T) {
	if !disclosuretest.Alone(t) {
		return
	}
	l := newLab(t)
	disk := l.ledgerOnADisk()
	task := l.Task(l.Approved(time.Hour), "192.0.2.17", l.Noon)
	disk.fill()
	_, err := l.Execute(task)
	if got := reason.Of(err); got != reason.UnknownOutcome && got != reason.LedgerUnavailable {
		t.Errorf("full: %v", err)
	}
	if n := l.Traffic.Reads.Load(); n != 0 {
		t.Errorf("%d reads", n)
	}
	if files := l.Shelved(); len(files) != 0 {
		t.Errorf("files %v", files)
	}
	disk.empty()
	for range 2400 {
		if _, err = l.Execute(task); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if sealed, _, err := l.Fetch(task); err != nil || len(sealed) == 0 {
		t.Errorf("%d bytes, %v", len(sealed), err)
	}
	kinds := l.Kinds(task.TaskId)
	if count(kinds, "release") != 1 || count(kinds, "intent") != count(kinds, "abort")+1 {
		t.Errorf("entries %v", kinds)
	}
}

func count(kinds []string, kind string) (n int) {
	for _, k := range kinds {
		if k == kind {
			n++
		}
	}
	return n
}

// disk is a file system of the ledger's own, which can be frozen and filled.
type disk struct {
	l     *lab
	point string
	dir   *os.File
	thaw  func()
}

// ledgerOnADisk moves the lab's ledger to a disk of its own, with a limit that a busy
// machine keeps while the disk is there. It needs root, as `make test` does.
func (l *lab) ledgerOnADisk() *disk {
	l.T.Helper()
	run := func(name string, args ...string) {
		l.T.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			l.T.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	l.Stop()
	d := &disk{l: l, point: filepath.Join(l.Dir, "disk"), thaw: func() {}}
	image, place := filepath.Join(l.Dir, "image"), filepath.Join(l.Dir, "ledger")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 32<<20), os.Mkdir(d.point, 0o700)); err != nil {
		l.T.Fatal(err)
	}
	run("mkfs.ext4", "-q", "-F", image)
	run("mount", "-o", "loop", image, d.point)
	l.T.Cleanup(func() {
		d.thaw()
		d.dir.Close()
		l.Stop()
		l.Stop = func() {}
		for _, at := range []string{place, d.point} {
			if out, err := exec.Command("umount", "-l", at).CombinedOutput(); err != nil {
				l.T.Errorf("umount: %v: %s", err, out)
			}
		}
	})
	run("mv", place, d.point)
	var err error
	if d.dir, err = os.Open(d.point); err != nil {
		l.T.Fatal(err)
	}
	if err := os.Mkdir(place, 0o700); err != nil {
		l.T.Fatal(err)
	}
	run("mount", "--bind", filepath.Join(d.point, "ledger"), place)
	l.Limit = 5 * time.Second
	l.Start()
	return d
}

// freeze stops all writing, for a minute at most.
func (d *disk) freeze() {
	if err := unix.IoctlSetInt(int(d.dir.Fd()), fiFreeze, 0); err != nil {
		d.l.T.Errorf("freeze: %v", err)
		return
	}
	d.thaw = sync.OnceFunc(func() {
		if err := unix.IoctlSetInt(int(d.dir.Fd()), fiThaw, 0); err != nil {
			d.l.T.Errorf("thaw: %v", err)
		}
	})
	time.AfterFunc(time.Minute, d.thaw)
}

// fill leaves not a block free.
func (d *disk) fill() {
	d.l.T.Helper()
	f, err := os.Create(filepath.Join(d.point, "filler"))
	if err != nil {
		d.l.T.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		d.l.T.Fatal(err)
	}
}

func (d *disk) empty() {
	d.l.T.Helper()
	if err := os.Remove(filepath.Join(d.point, "filler")); err != nil {
		d.l.T.Fatal(err)
	}
}
