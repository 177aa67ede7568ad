package backup

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"griffier/api/keystore"
)

// someKeys makes a keystore with a few keys.
func someKeys(t *testing.T, dir string) *keystore.Store {
	t.Helper()
	if err := keystore.GenerateMasterKey(filepath.Join(dir, "master")); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		if err := keys.Create(fmt.Sprint("case:", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := keys.Shred("case:3"); err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestKeysCutOff: whatever is missing from an archive's end, nothing of it is restored,
// also where that end is between two keys.
func TestKeysCutOff(t *testing.T) {
	dir := t.TempDir()
	keys := someKeys(t, dir)
	if err := CopyKeys(keys, dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	copies, err := keyCopies(dir)
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies: %v, %v", copies, err)
	}
	var archive string
	for archive = range copies {
	}
	whole, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	const block = 512
	for length := 0; length < len(whole); length += block {
		to := filepath.Join(dir, fmt.Sprint("cut", length))
		if err := os.WriteFile(archive, whole[:length], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := RestoreKeys(archive, to); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("%d of %d bytes: RestoreKeys = %v", length, len(whole), err)
		}
		if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
			t.Errorf("%d of %d bytes: %d files were restored, %v", length, len(whole), len(left), err)
		}
	}
	// As tar(1) writes them: with more zeros.
	if err := os.WriteFile(archive, append(whole, make([]byte, 18*block)...), 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "whole")
	if err := RestoreKeys(archive, to); err != nil {
		t.Fatal(err)
	}
	restored, err := keystore.Open(to, filepath.Join(dir, "master"))
	if err != nil {
		t.Fatal(err)
	}
	if ids, err := restored.List(); err != nil || !slices.Equal(ids, []string{"case:0", "case:1", "case:2"}) {
		t.Errorf("List = %v, %v", ids, err)
	}
	if err := restored.State("case:3"); err != keystore.ErrShredded {
		t.Errorf("the key that was destroyed: %v", err)
	}
}

// TestKeysFromTheFuture: copies made while a clock stood ahead live no longer than
// others, count from when the clock was set right, and are all kept until then.
func TestKeysFromTheFuture(t *testing.T) {
	dir := t.TempDir()
	keys := someKeys(t, dir)
	is := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	copies := filepath.Join(dir, "copies")
	for _, at := range []time.Time{is.AddDate(0, 0, 6), is.AddDate(0, 0, 5), is.Add(-time.Hour)} {
		if err := CopyKeys(keys, copies, at); err != nil {
			t.Fatal(err)
		}
	}
	made := func(at time.Time) []time.Time {
		t.Helper()
		if err := PruneKeys(copies, at); err != nil {
			t.Fatal(err)
		}
		found, err := keyCopies(copies)
		if err != nil {
			t.Fatal(err)
		}
		return slices.SortedFunc(maps.Values(found), time.Time.Compare)
	}
	if got := made(is); !slices.Equal(got, []time.Time{is.Add(-time.Hour), is.Add(-time.Second), is}) {
		t.Errorf("set right: copies of %v", got)
	}
	if got := made(is.Add(KeysKeep)); len(got) != 0 {
		t.Errorf("after their time: copies of %v", got)
	}
}
