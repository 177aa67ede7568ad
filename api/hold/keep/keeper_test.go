package keep

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griffier/api/hold"
	"griffier/api/keystore"
	"griffier/api/reason"
	"griffier/api/retention/expiry"
	"griffier/schema"
)

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func newDesk(t *testing.T) (*desk, string) {
	t.Helper()
	dir := t.TempDir()
	d := &desk{now: noon}
	if err := open(dir, d); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.log.Close() }) // again, where a test has closed it
	return d, dir
}

// put makes a hold that ends at an instant.
func (d *desk) put(t *testing.T, id string, endsAt time.Time) {
	t.Helper()
	sum, done, err := d.Put(contents(id, 10))
	if err == nil {
		err = errors.Join(d.enter(id, sum, endsAt), done(true))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func all(Head) bool { return true }

// The instant of the end is exact, also when the clock is set back behind what the
// ledger knows to have passed.
func TestKeeperEnd(t *testing.T) {
	d, _ := newDesk(t)
	ends := noon.Add(time.Hour)
	d.put(t, idA, ends)
	d.now = ends.Add(-1)
	if _, err := d.Open(idA, all); err != nil {
		t.Fatal(err)
	}
	d.now = ends
	if _, err := d.Open(idA, all); !errors.Is(err, ErrNotHeld) {
		t.Errorf("at its end: %v", err)
	}
	d.now = noon
	d.put(t, idB, ends.Add(24*time.Hour))
	d.now = ends.Add(time.Minute)
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.now = noon // set back
	for _, h := range d.state.Holds() {
		_, err := d.Open(h.ID, all)
		if h.ID == idA && !errors.Is(err, ErrNotHeld) || h.ID == idB && err != nil {
			t.Errorf("%s: %v", h.ID, err)
		}
	}
}

// While nothing can be believed about the clock, what has ended is unreadable and
// is not destroyed: a clock in the future must destroy nothing.
func TestSweepWaitsForTheClock(t *testing.T) {
	d, _ := newDesk(t)
	d.put(t, idA, noon.Add(time.Hour))
	d.now = noon.Add(2 * time.Hour)
	d.cfg.Clock = untrusted{}
	if err := d.Sweep(t.Context()); reason.Of(err) != reason.ClockUntrusted {
		t.Errorf("sweep: %v", err)
	}
	if err := d.keys.State(hold.KeyID(idA)); err != nil {
		t.Errorf("the key: %v", err)
	}
	if _, err := d.Open(idA, all); !errors.Is(err, ErrNotHeld) {
		t.Errorf("open: %v", err)
	}
	d.cfg.Clock = nil
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.keys.State(hold.KeyID(idA)); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the key: %v", err)
	}
}

type untrusted struct{}

func (untrusted) Check() error { return reason.New(reason.ClockUntrusted, "") }

// A file that is not the one the ledger knows is not read, also not if it is a
// whole one; the proof of retention says so.
func TestFileExchanged(t *testing.T) {
	d, dir := newDesk(t)
	d.put(t, idA, noon.Add(time.Hour))
	d.put(t, idB, noon.Add(time.Hour))
	a, b := filepath.Join(dir, "holds", idA+sealedSuffix), filepath.Join(dir, "holds", idB+sealedSuffix)
	good, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	others, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	limits := expiry.Limits{Now: noon, Class: map[schema.Class]schema.Limit{}}
	verdict := func() expiry.Verdict {
		findings, err := Place{d.Keeper}.Check(t.Context(), limits)
		if err != nil {
			t.Fatal(err)
		}
		return findings[0].Verdict
	}
	if v := verdict(); v != expiry.Pass {
		t.Errorf("before: %s", v)
	}
	for name, file := range map[string][]byte{"one bit": flipped, "another hold's": others, "nothing": nil, "cut": good[:len(good)-100]} {
		if err := os.WriteFile(a, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Open(idA, all); !errors.Is(err, ErrAltered) {
			t.Errorf("%s: %v", name, err)
		}
		if v := verdict(); v != expiry.Fail {
			t.Errorf("%s: the proof says %s", name, v)
		}
	}
	if err := os.WriteFile(a, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(idA, all); err != nil {
		t.Error(err)
	}
	if _, err := d.Open(idA, func(Head) bool { return false }); !errors.Is(err, ErrNotHeld) {
		t.Errorf("of something else: %v", err)
	}
	// A hold that ended and is on disk a day later fails the proof.
	d.now = noon.Add(25 * time.Hour)
	if v := verdict(); v != expiry.Fail {
		t.Errorf("a day after the end: %s", v)
	}
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := verdict(); v != expiry.Pass {
		t.Errorf("after the sweep: %s", v)
	}
}

// Too much is refused whole, and leaves neither file nor key.
func TestPutLimits(t *testing.T) {
	d, dir := newDesk(t)
	c := contents(idA, 1)
	for range MaxRefs + 1 {
		c.Head.Refs = append(c.Head.Refs, schema.AccessRef{byte(len(c.Head.Refs))})
	}
	if _, _, err := d.Put(c); reason.Of(err) != reason.MaxHits {
		t.Errorf("too many pseudonyms: %v", err)
	}
	c = contents(idA, MaxRows)
	if _, _, err := d.Put(c); reason.Of(err) != reason.MaxHits {
		t.Errorf("too many rows: %v", err)
	}
	c = contents("../"+idA, 1)
	if _, _, err := d.Put(c); err == nil {
		t.Error("an id that leaves the folder was taken")
	}
	// A copy that the ledger refused.
	_, done, err := d.Put(contents(idB, 1))
	if err != nil {
		t.Fatal(err)
	}
	if err := done(false); err != nil {
		t.Fatal(err)
	}
	if err := d.keys.State(hold.KeyID(idB)); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("its key: %v", err)
	}
	files, err := os.ReadDir(filepath.Join(dir, "holds"))
	if err != nil || len(files) != 0 {
		t.Errorf("files %v, %v", files, err)
	}
	if info, err := os.Stat(filepath.Join(dir, "holds")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder: %v, %v", info, err)
	}
}

// A restore brings back file and key of a hold that was destroyed since: the next
// start destroys them again, and needs no second certificate.
func TestRestoredAfterItsEnd(t *testing.T) {
	d, dir := newDesk(t)
	d.put(t, idA, noon.Add(time.Hour))
	d.put(t, idB, noon.Add(100*time.Hour))
	backup := filepath.Join(dir, "backup")
	for _, folder := range []string{"keys", "holds"} {
		if err := os.CopyFS(filepath.Join(backup, folder), os.DirFS(filepath.Join(dir, folder))); err != nil {
			t.Fatal(err)
		}
	}
	d.now = noon.Add(2 * time.Hour)
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := d.log.Size()
	if err := d.log.Close(); err != nil {
		t.Fatal(err)
	}
	for _, folders := range [][]string{{"keys", "holds"}, {"keys"}, {"holds"}} {
		for _, folder := range folders {
			if err := errors.Join(os.RemoveAll(filepath.Join(dir, folder)), os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(backup, folder)))); err != nil {
				t.Fatal(err)
			}
		}
		again := &desk{now: d.now}
		if err := open(dir, again); err != nil {
			t.Fatal(err)
		}
		if err := again.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := again.keys.State(hold.KeyID(idA)); !errors.Is(err, keystore.ErrShredded) {
			t.Errorf("%v restored: the key of what was destroyed: %v", folders, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "holds", idA+sealedSuffix)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v restored: the file of what was destroyed: %v", folders, err)
		}
		if _, err := again.Open(idB, all); err != nil {
			t.Errorf("%v restored: a hold that lives: %v", folders, err)
		}
		if again.log.Size() != size {
			t.Errorf("%v restored: %d entries, want %d", folders, again.log.Size(), size)
		}
		if err := again.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy whose entry nobody knows the outcome of is left alone for an hour, then
// destroyed if the ledger still knows no hold of it.
func TestSweepOfStrays(t *testing.T) {
	d, _ := newDesk(t)
	d.now = time.Now()
	sum, done, err := d.Put(contents(idA, 1))
	if err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(2 * time.Hour)
	if err := d.strays(strayAge); err != nil || d.keys.State(hold.KeyID(idA)) != nil {
		t.Errorf("while its entry is under way it was taken for a stray: %v", err)
	}
	if err := done(true); err != nil {
		t.Fatal(err)
	}
	_, done, err = d.Put(contents(idB, 1))
	if err = errors.Join(err, done(true)); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(-2 * time.Hour)
	if err := d.strays(strayAge); err != nil || d.keys.State(hold.KeyID(idA)) != nil {
		t.Errorf("a young one was destroyed: %v", err)
	}
	d.now = d.now.Add(2 * time.Hour)
	if err := d.enter(idA, sum, d.now.Add(time.Hour)); err != nil { // late, and yet
		t.Fatal(err)
	}
	if err := d.strays(strayAge); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open(idA, all); err != nil {
		t.Errorf("what became a hold: %v", err)
	}
	if err := d.keys.State(hold.KeyID(idB)); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("what did not: %v", err)
	}
}
