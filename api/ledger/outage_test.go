package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Linux's ioctls to pause and resume all writing to a file system.
const (
	fiFreeze = 0xC0045877 // FIFREEZE, linux/fs.h
	fiThaw   = 0xC0045878 // FITHAW
)

const outageLimit = 5 * time.Second // a busy disk keeps it

// mounted puts the bench's ledger on a file system of its own, and leaves key,
// keys and witness where they are.
func (b *bench) mounted(t *testing.T, args ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a file system that can be frozen or filled")
	}
	point := filepath.Join(filepath.Dir(b.dir), "mount")
	if err := os.Mkdir(point, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", append(args, point)...).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		// Tessera may look at it for a moment after Close.
		if out, err := exec.Command("umount", "--lazy", point).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	b.dir = filepath.Join(point, "log")
}

// TestHungDisk freezes the file system under the ledger in the middle of a
// decision: the outcome is unknown in time, all else is refused at once, and
// after the thaw the retry finds the decision, made once.
func TestHungDisk(t *testing.T) {
	b := newBench(t)
	image := filepath.Join(filepath.Dir(b.dir), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 32<<20); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.ext4: %v: %s", err, out)
	}
	b.mounted(t, "-o", "loop", image)
	cfg := b.config()
	cfg.Limit = outageLimit
	l := b.openWith(t, cfg)
	mustAppend(t, l, 0)

	point, err := os.Open(filepath.Dir(b.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer point.Close()
	if err := unix.IoctlSetInt(int(point.Fd()), fiFreeze, 0); err != nil {
		t.Fatalf("freeze: %v", err)
	}
	thaw := sync.OnceFunc(func() {
		if err := unix.IoctlSetInt(int(point.Fd()), fiThaw, 0); err != nil {
			t.Errorf("thaw: %v", err)
		}
	})
	defer thaw()
	watchdog := time.AfterFunc(2*time.Minute, thaw)
	defer watchdog.Stop()

	calls := 0
	decide := func() (Entry, error) {
		return l.Decide(context.Background(), "r1", func(time.Time) (Draft, error) { calls++; return draft(1), nil })
	}
	asked := time.Now()
	if _, err := decide(); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("frozen: %v", err)
	}
	if took := time.Since(asked); took < outageLimit || took > outageLimit+time.Minute { // long before the disk thaws, on a busy machine too
		t.Errorf("answered after %v", took)
	}
	asked = time.Now()
	if _, err := decide(); !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("the same request while frozen: %v", err)
	}
	if _, err := l.Decide(context.Background(), "r2", func(time.Time) (Draft, error) { t.Error("decided"); return draft(2), nil }); !errors.Is(err, ErrUnavailable) {
		t.Errorf("another decision while frozen: %v", err)
	}
	if _, err := l.Append(context.Background(), draft(3)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("an audit entry while frozen: %v", err)
	}
	if took := time.Since(asked); took > 2*outageLimit { // three that waited would take three of it
		t.Errorf("refused only after %v", took)
	}
	if l.Size() != 1 || !errors.Is(l.Err(), ErrUnavailable) {
		t.Errorf("size %d, Err %v", l.Size(), l.Err())
	}

	thaw()
	e := retry(t, decide)
	if e.Index != 1 || calls != 1 {
		t.Errorf("after the thaw: entry %d, decided %d times", e.Index, calls)
	}
	if e := mustAppend(t, l, 4); e.Index != 2 {
		t.Errorf("next entry is %d", e.Index)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := b.verify(t); err != nil || r.Size != 3 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// retry repeats a call until the ledger is available again.
func retry(t *testing.T, call func() (Entry, error)) Entry {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		e, err := call()
		if err == nil {
			return e
		}
		if !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrUnavailable) || time.Now().After(end) {
			t.Fatalf("retry: %v", err)
		}
	}
}

// TestFullDisk leaves ever fewer bytes free, so that an append fails at each of
// its writes, and wants each request in the log exactly once in the end.
func TestFullDisk(t *testing.T) {
	b := newBench(t)
	b.mounted(t, "-t", "tmpfs", "-o", "size=4m", "tmpfs")
	state := newCounters()
	cfg := b.config(state)
	cfg.Limit = outageLimit
	l := b.openWith(t, cfg)
	filler := filepath.Join(filepath.Dir(b.dir), "filler")
	failures := 0
	const rounds = 8
	for round := range rounds {
		fill(t, filler, round*4096)
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				_, err := l.Append(context.Background(), draft(0))
				if err != nil && !errors.Is(err, ErrUnknownOutcome) && !errors.Is(err, ErrUnavailable) {
					t.Errorf("append %d: %v", i, err)
				}
			})
		}
		id := fmt.Sprintf("r%d", round)
		decide := func() (Entry, error) {
			return l.Decide(context.Background(), id, func(time.Time) (Draft, error) {
				d := draft(1)
				d.Kind, d.WarrantID = "test.decided", id
				return d, nil
			})
		}
		if _, err := decide(); err != nil {
			failures++
		}
		wg.Wait()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		retry(t, decide)
	}
	if failures == 0 {
		t.Error("the disk was never full: the test says nothing")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.View(func() {
		for round := range rounds {
			if n := state.ByKind[fmt.Sprintf("test.decided/r%d", round)]; n != 1 {
				t.Errorf("request r%d was decided %d times", round, n)
			}
		}
	})
	if r, err := b.verify(t); err != nil {
		t.Errorf("verify: %+v, %v", r, err)
	}
	again := newCounters()
	b.open(t, again)
	for _, folder := range []string{b.dir, filepath.Join(b.dir, ".state")} {
		files, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if temporaryForm.MatchString(f.Name()) {
				t.Errorf("left behind: %s", f.Name())
			}
		}
	}
	if !again.equal(state) {
		t.Errorf("after restart %+v, before %+v", again, state)
	}
	t.Logf("%d of %d decisions failed at first", failures, rounds)
}

// TestReadOnlyDisk makes the file system read-only, as Linux does by itself after
// an error of the disk: everything is refused, and nothing panics.
func TestReadOnlyDisk(t *testing.T) {
	b := newBench(t)
	b.mounted(t, "-t", "tmpfs", "-o", "size=4m", "tmpfs")
	l := b.open(t)
	mustAppend(t, l, 0)
	remount := func(how string) error {
		out, err := exec.Command("mount", "-o", "remount,"+how, filepath.Dir(b.dir)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	// It is busy while the checkpoint is published.
	var err error
	for range 3000 {
		if err = remount("ro"); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(context.Background(), draft(1)); !errors.Is(err, ErrUnavailable) || !errors.Is(err, unix.EROFS) {
		t.Errorf("append: %v", err)
	}
	if _, err := l.Decide(context.Background(), "r", func(time.Time) (Draft, error) { return draft(1), nil }); !errors.Is(err, ErrUnavailable) {
		t.Errorf("decide: %v", err)
	}
	if err := remount("rw"); err != nil {
		t.Fatal(err)
	}
	if e := mustAppend(t, l, 2); e.Index != 1 {
		t.Errorf("entry %d", e.Index)
	}
}

// fill uses up the file system but for spare bytes.
func fill(t *testing.T, path string, spare int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	size := 0
	for {
		n, err := f.Write(block)
		size += n
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(int64(max(0, size-spare))); err != nil {
		t.Fatal(err)
	}
}

// TestWitnessOutage makes the witness file unwritable: nothing is acknowledged
// that it does not remember.
func TestWitnessOutage(t *testing.T) {
	b := newBench(t)
	side := filepath.Join(t.TempDir(), "side")
	if err := os.Mkdir(side, 0o700); err != nil {
		t.Fatal(err)
	}
	b.witness = filepath.Join(side, "witness")
	cfg := b.config()
	cfg.Limit = outageLimit
	l := b.openWith(t, cfg)
	mustAppend(t, l, 0)
	if err := os.Rename(side, side+"-gone"); err != nil {
		t.Fatal(err)
	}
	calls := 0
	decide := func() (Entry, error) {
		return l.Decide(context.Background(), "r1", func(time.Time) (Draft, error) { calls++; return draft(1), nil })
	}
	if _, err := decide(); !errors.Is(err, ErrUnknownOutcome) {
		t.Fatalf("without witness: %v", err)
	}
	published, err := os.ReadFile(filepath.Join(b.dir, checkpointPath))
	if err != nil {
		t.Fatal(err)
	}
	if h, err := OpenCheckpoint(string(published), b.key.Public); err != nil || h.Size > 1 || l.Size() != 1 {
		t.Errorf("size %d, published %d (%v): acknowledged without witness", l.Size(), h.Size, err)
	}
	if err := os.Rename(side+"-gone", side); err != nil {
		t.Fatal(err)
	}
	if e := retry(t, decide); e.Index != 1 || calls != 1 {
		t.Errorf("entry %d, decided %d times", e.Index, calls)
	}
}
