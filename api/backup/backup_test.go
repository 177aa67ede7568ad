package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/retention/expiry"
	"griffier/schema"
)

func (h *house) target() Target {
	return Target{Conn: h.conn, DataDir: h.dataDir, LedgerDir: h.at("ledger"), Keys: h.keys}
}

// TestRoundTrip restores a backup into another store, and the ledger with it.
func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	var want string
	var made Manifest
	t.Run("make", func(t *testing.T) {
		h := newHouse(t, dir)
		h.fill(t)
		want = h.sums(t)
		var pieces []string
		var err error
		if made, err = h.maker.Create(t.Context(), func(piece string, _, _ int) { pieces = append(pieces, piece) }); err != nil {
			t.Fatal(err)
		}
		if len(pieces) != len(made.Pieces) {
			t.Errorf("progress of %v, of %d pieces", pieces, len(made.Pieces))
		}
		if _, problems, err := Verify(t.Context(), h.at("backups/"+made.ID), h.keys); err != nil || len(problems) > 0 {
			t.Errorf("Verify = %v, %v", problems, err)
		}
		if shadows, _ := os.ReadDir(filepath.Join(h.dataDir, "store", "shadow")); len(shadows) > 1 { // increment.txt
			t.Errorf("%d folders are left in shadow", len(shadows))
		}
		for _, p := range made.Pieces {
			if p.Name == "traffic.usage_bucket" && (len(p.Days) != 20 || p.Class != schema.ClassUsage5m) {
				t.Errorf("piece of usage has %d days of class %s", len(p.Days), p.Class)
			}
		}
		if err := Restore(t.Context(), h.at("backups/"+made.ID), h.target(), nil); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("restore over a full store: %v", err)
		}
		if stage, err := StageOf(h.dataDir); stage != NoRestore || err != nil {
			t.Errorf("StageOf = %q, %v", stage, err)
		}
	})
	// The ledger is lost too; its witness file is not.
	if err := os.Rename(filepath.Join(dir, "ledger"), filepath.Join(dir, "lost")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "witness"), filepath.Join(dir, "witness.kept")); err != nil {
		t.Fatal(err)
	}
	t.Run("restore", func(t *testing.T) {
		h := newHouse(t, dir)
		h.book.Close()
		if err := os.RemoveAll(h.at("ledger")); err != nil { // the empty one that the house made
			t.Fatal(err)
		}
		if err := Restore(t.Context(), h.at("backups/"+made.ID), h.target(), nil); err != nil {
			t.Fatal(err)
		}
		if got := h.sums(t); got != want {
			t.Errorf("restored:\n%s\nwant:\n%s", got, want)
		}
		if stage, err := StageOf(h.dataDir); stage != Copied || err != nil {
			t.Errorf("StageOf = %q, %v", stage, err)
		}
		if n := h.count(t, "SELECT count() FROM traffic.usage"); n != 0 {
			t.Errorf("%d restored rows can be read before the policy is in force", n)
		}
		h.policy(t, "P10D") // shortened since
		if n := h.count(t, "SELECT count() FROM traffic.usage"); n == 0 || n >= 500 {
			t.Errorf("%d rows can be read under the shorter policy", n)
		}
		// The ledger of the backup opens, and is older than the witness.
		if err := os.Rename(h.at("witness.kept"), h.at("witness")); err != nil {
			t.Fatal(err)
		}
		h.cfg.Folds = nil
		_, err := ledger.Open(t.Context(), h.cfg)
		var witness *ledger.WitnessError
		if !errors.As(err, &witness) || witness.LogSize < made.LedgerSize {
			t.Errorf("the restored ledger: %v, want a WitnessError", err)
		}
		h.cfg.AcceptWitnessLoss = true
		book, err := ledger.Open(t.Context(), h.cfg)
		if err != nil {
			t.Fatal(err)
		}
		book.Close()
	})
}

// TestAgedOut: a copy of the folder that somebody kept cannot be read once the key
// is destroyed, not even with what is left of the keys.
func TestAgedOut(t *testing.T) {
	h := newHouse(t, t.TempDir())
	h.fill(t)
	made, err := h.maker.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := h.at("kept")
	if err := os.CopyFS(kept, os.DirFS(h.at("backups"))); err != nil {
		t.Fatal(err)
	}
	if _, problems, err := Verify(t.Context(), filepath.Join(kept, made.ID), h.keys); err != nil || len(problems) > 0 {
		t.Fatalf("the copy cannot be read before: %v, %v", problems, err)
	}
	place := Place{Dir: h.at("backups"), KeysDir: h.at("keycopies"), Keys: h.keys, Record: h.maker.Record}
	verdicts := func(p Place) (out []expiry.Verdict) {
		t.Helper()
		limits, _, err := schema.Limits(t.Context(), h.conn)
		if err != nil {
			t.Fatal(err)
		}
		found, err := p.Check(t.Context(), expiry.Limits{Now: h.now, Class: limits})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			out = append(out, f.Verdict)
		}
		return out
	}
	if got := verdicts(place); len(got) != 2 || got[0] != expiry.Pass || got[1] != expiry.Pass {
		t.Errorf("a fresh backup: %v", got)
	}
	h.now = h.now.Add(Keep + 2*time.Hour)
	h.policy(t, "P1D") // so that what is in the backup has expired
	if got := verdicts(place); got[0] != expiry.Fail || got[1] != expiry.Fail {
		t.Errorf("a backup past its time: %v", got)
	}
	if err := h.maker.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(h.at("backups/" + made.ID)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if _, _, err := Verify(t.Context(), filepath.Join(kept, made.ID), h.keys); !errors.Is(err, ErrAged) {
		t.Errorf("the copy can be read: %v", err)
	}
	if copies, err := keyCopies(h.at("keycopies")); err != nil || len(copies) != 0 {
		t.Errorf("copies of the keys: %v, %v", copies, err)
	}
	if got := verdicts(Place{Dir: kept, Keys: h.keys, Record: h.maker.Record}); got[0] != expiry.Pass {
		t.Errorf("a copy that nobody can read: %v", got)
	}
	if known := h.maker.Record.All(); len(known) != 1 || known[0].DestroyedAt.IsZero() {
		t.Errorf("the ledger knows %v", known)
	}
	// What the sealed files hold in clear: nothing.
	err = filepath.WalkDir(kept, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, secret := range []string{"line-in-clear", "account-in-clear", "count.txt", "access_ref"} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds %q in clear", filepath.Base(path), secret)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOldKeys brings back keys from before a backup's end and a person's erasure.
func TestOldKeys(t *testing.T) {
	h := newHouse(t, t.TempDir())
	h.fill(t)
	made, err := h.maker.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	copies, err := keyCopies(h.at("keycopies"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies of the keys: %v, %v", copies, err)
	}
	var archive string
	for archive = range copies {
	}
	if err := os.Rename(archive, h.at("carried-off.tar")); err != nil {
		t.Fatal(err)
	}
	if err := RestoreKeys(h.at("carried-off.tar"), h.at("keys")); err == nil {
		t.Error("keys were restored over others")
	}
	h.now = h.now.Add(Keep)
	if err := h.maker.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.keys.State(keyID(made.ID)); err == nil {
		t.Fatal("the key is there after its time")
	}
	if err := os.RemoveAll(h.at("keys")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // interrupted, and again
		if err := RestoreKeys(h.at("carried-off.tar"), h.at("keys")); err != nil {
			t.Fatal(err)
		}
	}
	if !KeysRestored(h.at("keys")) {
		t.Error("the keys are not marked as restored")
	}
	h.openKeys(t)
	h.maker.Keys = h.keys
	if err := h.keys.State(keyID(made.ID)); err != nil {
		t.Fatalf("the copy does not have the key: %v", err)
	}
	if err := h.maker.Tidy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.keys.State(keyID(made.ID)); err == nil {
		t.Error("the key that a copy brought back is not destroyed again")
	}
	if err := KeysDone(h.at("keys")); err != nil || KeysRestored(h.at("keys")) {
		t.Errorf("KeysDone = %v", err)
	}
}

// TestAltered changes every file of a backup, one at a time, in one byte.
func TestAltered(t *testing.T) {
	h := newHouse(t, t.TempDir())
	h.fill(t)
	made, err := h.maker.Create(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := h.at("backups/" + made.ID)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string][]byte{"altered": append([]byte(nil), whole...), "cut off": whole[:len(whole)-1]} {
			if what == "altered" {
				text[len(text)/2] ^= 1
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, problems, err := Verify(t.Context(), dir, h.keys); err == nil && len(problems) == 0 {
				t.Errorf("%s %s: Verify finds nothing", f.Name(), what)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, problems, err := Verify(t.Context(), dir, h.keys); err != nil || len(problems) > 0 {
		t.Errorf("as it was: %v, %v", problems, err)
	}
}

// FuzzManifest: no text makes a manifest with files or parts outside its folder.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"20261120T030000Z0a1b2c3d","pieces":[{"name":"t","file":"t.tar.sealed","parts":["20261120_1_1_0"]}]}`))
	f.Add([]byte(`{"version":1,"id":"20261120T030000Z0a1b2c3d","pieces":[{"file":"../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseManifest(text)
		if err != nil {
			return
		}
		for _, p := range m.Pieces {
			for _, name := range append(p.Parts, p.File, m.ID) {
				if strings.ContainsAny(name, `/\`) || name == ".." || name == "" {
					t.Fatalf("name %q", name)
				}
			}
		}
	})
}
