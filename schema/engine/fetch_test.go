package engine

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFetchTwiceSaysNothing(t *testing.T) {
	if _, err := Fetch(t.Context(), os.Stderr); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "") // no npm: nothing may be installed again
	var said bytes.Buffer
	path, err := Fetch(t.Context(), &said)
	if err != nil {
		t.Fatal(err)
	}
	if said.Len() > 0 {
		t.Errorf("the second fetch said %q", said.String())
	}
	if err := installed(path); err != nil {
		t.Error(err)
	}
}

func TestFetchWithoutNpm(t *testing.T) {
	t.Setenv("GRIFFIER_ENGINE_DIR", t.TempDir())
	t.Setenv("PATH", "")
	_, err := Fetch(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "npm is needed") {
		t.Errorf("got %v, want it to say that npm is needed", err)
	}
}

// TestFetchRefusesAnotherPackage has an npm that delivers something else than
// what this program was built for.
func TestFetchRefusesAnotherPackage(t *testing.T) {
	cache, bin := t.TempDir(), t.TempDir()
	const npm = "#!/bin/sh\nif [ \"$1\" = config ]; then echo /nonexistent; exit; fi\necho forged > forged.tgz\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(npm), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GRIFFIER_ENGINE_DIR", cache)
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	_, err := Fetch(t.Context(), nil)
	if !errors.Is(err, ErrDigest) {
		t.Errorf("got %v, want %v", err, ErrDigest)
	}
	left, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if entry.Name() != "fetch.lock" {
			t.Errorf("left %s in the cache", entry.Name())
		}
	}
}

func TestFetchReportsNpmsComplaint(t *testing.T) {
	bin := t.TempDir()
	const npm = "#!/bin/sh\necho 'npm error 404 not there' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte(npm), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GRIFFIER_ENGINE_DIR", t.TempDir())
	t.Setenv("PATH", bin+":/bin:/usr/bin")
	_, err := Fetch(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "404 not there") {
		t.Errorf("got %v, want npm's complaint", err)
	}
}

func TestFetchWaitsForAnother(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("GRIFFIER_ENGINE_DIR", cache)
	unlock, err := waitForLock(t.Context(), filepath.Join(cache, "fetch.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 2*lockPause)
	defer cancel()
	began := time.Now()
	if _, err := Fetch(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(began); took < lockPause {
		t.Errorf("gave up after %s", took)
	}
}

func TestInstalledLibraryMustBeOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), libraryName)
	if err := installed(path); err == nil {
		t.Error("an absent library is installed")
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(libraryBytes); err != nil { // a hole, not data
		t.Fatal(err)
	}
	file.Close()
	for mode, want := range map[os.FileMode]bool{0o500: true, 0o755: true, 0o775: false, 0o757: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := installed(path) == nil; got != want {
			t.Errorf("mode %o: installed = %v, want %v", mode, got, want)
		}
	}
	if err := os.Truncate(path, 10); err != nil {
		t.Fatal(err)
	}
	if installed(path) == nil {
		t.Error("a short library is installed")
	}
}
