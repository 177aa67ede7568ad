package keystore

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func newMaster(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "master.key")
	if err := GenerateMasterKey(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustOpen(t testing.TB, dir, master string) *Store {
	t.Helper()
	s, err := Open(dir, master)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealOpenShred(t *testing.T) {
	dir, master := t.TempDir(), newMaster(t)
	s := mustOpen(t, dir, master)
	aad := []byte("context")
	if _, err := s.Seal("case:1", []byte("x"), aad); !errors.Is(err, ErrNotFound) {
		t.Fatalf("seal without a key: %v", err)
	}
	if err := s.Create("case:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Create("case:1"); !errors.Is(err, ErrExists) {
		t.Fatalf("create twice: %v", err)
	}
	if err := s.Ensure("case:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure("case:2"); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal("case:1", []byte("Jan Jansen"), aad)
	if err != nil || bytes.Contains(sealed, []byte("Jansen")) {
		t.Fatalf("%q, %v", sealed, err)
	}
	for _, s := range []*Store{s, mustOpen(t, dir, master)} {
		plain, err := s.Open("case:1", sealed, aad)
		if err != nil || string(plain) != "Jan Jansen" {
			t.Fatalf("%q, %v", plain, err)
		}
		if _, err := s.Open("case:1", sealed, []byte("other")); !errors.Is(err, ErrSealed) {
			t.Errorf("other context: %v", err)
		}
		if _, err := s.Open("case:2", sealed, aad); !errors.Is(err, ErrSealed) {
			t.Errorf("other key: %v", err)
		}
	}
	for _, empty := range [][]byte{nil, {}} {
		if _, err := s.Seal("case:1", []byte("x"), empty); err == nil {
			t.Error("sealed without context")
		}
		if _, err := s.Open("case:1", sealed, empty); err == nil {
			t.Error("opened without context")
		}
	}
	if err := s.Shred("case:1"); err != nil {
		t.Fatal(err)
	}
	if err := s.Shred("case:1"); err != nil {
		t.Fatalf("shred twice: %v", err)
	}
	if err := s.Shred("case:3"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("shred nothing: %v", err)
	}
	for _, s := range []*Store{s, mustOpen(t, dir, master)} {
		if _, err := s.Open("case:1", sealed, aad); !errors.Is(err, ErrShredded) {
			t.Errorf("open: %v", err)
		}
		if _, err := s.Seal("case:1", sealed, aad); !errors.Is(err, ErrShredded) {
			t.Errorf("seal: %v", err)
		}
		if err := s.Create("case:1"); !errors.Is(err, ErrShredded) {
			t.Errorf("create: %v", err)
		}
		if err := s.Ensure("case:1"); !errors.Is(err, ErrShredded) {
			t.Errorf("ensure: %v", err)
		}
		if err := s.State("case:1"); !errors.Is(err, ErrShredded) {
			t.Errorf("state: %v", err)
		}
		ids, err := s.List()
		if err != nil || !slices.Equal(ids, []string{"case:2"}) {
			t.Errorf("list: %v, %v", ids, err)
		}
	}
}

// TestShreddedKeyIsOverwritten holds the key file open across the destruction,
// as an undelete would, and wants none of its bytes.
func TestShreddedKeyIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, newMaster(t))
	if err := s.Create("case:1"); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, s.stem("case:1")+keySuffix))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := make([]byte, 1000)
	n, _ := f.ReadAt(before, 0)
	if err := s.Shred("case:1"); err != nil {
		t.Fatal(err)
	}
	after := make([]byte, 1000)
	m, _ := f.ReadAt(after, 0)
	if n < 100 || m != n || bytes.Contains(after[:m], before[:8]) || bytes.Equal(after[n/2:n], before[n/2:n]) {
		t.Errorf("%d bytes before, %d after: %q", n, m, after[:m])
	}
}

// TestInterruptedShred leaves tombstone and key file, as a crash would.
func TestInterruptedShred(t *testing.T) {
	dir, master := t.TempDir(), newMaster(t)
	s := mustOpen(t, dir, master)
	if err := s.Create("case:1"); err != nil {
		t.Fatal(err)
	}
	stem := filepath.Join(dir, s.stem("case:1"))
	if err := os.WriteFile(stem+shreddedSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".new-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir, master)
	if err := s.State("case:1"); !errors.Is(err, ErrShredded) {
		t.Errorf("state: %v", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != filepath.Base(stem)+shreddedSuffix {
		t.Errorf("files: %v, %v", files, err)
	}
}

// TestFiles copies a folder: every key whole, every tombstone, and nothing else.
func TestFiles(t *testing.T) {
	dir, master := t.TempDir(), newMaster(t)
	s := mustOpen(t, dir, master)
	for _, id := range []string{"stays", "goes", "halfway"} {
		if err := s.Create(id); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Shred("goes"); err != nil {
		t.Fatal(err)
	}
	halfway := s.stem("halfway")
	for _, name := range []string{halfway + shreddedSuffix, ".new-1", "restored"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	copied := map[string][]byte{}
	if err := s.Files(func(name string, content []byte) error { copied[name] = content; return nil }); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, s.stem("stays")+keySuffix))
	if err != nil {
		t.Fatal(err)
	}
	if len(copied) != 3 || !bytes.Equal(copied[s.stem("stays")+keySuffix], key) ||
		copied[s.stem("goes")+shreddedSuffix] == nil || copied[halfway+shreddedSuffix] == nil {
		t.Errorf("copied %d files, want the key that stays and two tombstones", len(copied))
	}
	failed := errors.New("disk full")
	if err := s.Files(func(string, []byte) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Files = %v", err)
	}
}

// A key is not read while it is being destroyed: its copy would be noise without a
// tombstone, and a folder with noise in it is refused. The key's file is a pipe, so
// that the reader is where it can be seen.
func TestFilesKeepShredAway(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, newMaster(t))
	pipe := filepath.Join(dir, s.stem("k")+keySuffix)
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	copied := make(chan []byte, 1)
	done := make(chan error, 1)
	go func() {
		done <- s.Files(func(_ string, content []byte) error { copied <- content; return nil })
	}()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the reader has it open
	if err != nil {
		t.Fatal(err)
	}
	if s.mu.TryLock() {
		t.Error("a key could be destroyed while it is read")
		s.mu.Unlock()
	}
	if _, err := w.WriteString("whole"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), <-done); err != nil {
		t.Fatal(err)
	}
	if got := <-copied; string(got) != "whole" {
		t.Errorf("copied %q", got)
	}
}

// What was half written when a folder is opened goes, and is not written over: by then
// it may be the file of a key that another process made.
func TestHalfWrittenIsNotOverwritten(t *testing.T) {
	dir, master := t.TempDir(), newMaster(t)
	half, named := filepath.Join(dir, ".new-1"), filepath.Join(t.TempDir(), "named")
	if err := os.WriteFile(half, []byte("a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(half, named); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, dir, master)
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was half written is there: %v", err)
	}
	if text, err := os.ReadFile(named); err != nil || string(text) != "a key" {
		t.Errorf("under its name there is %q, %v", text, err)
	}
}

func TestNamesLeakNothing(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, newMaster(t))
	const id = "person:line-4711"
	if err := s.Create(id); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, files[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, name := range []string{"line-4711", hex.EncodeToString([]byte("4711")), base64.StdEncoding.EncodeToString([]byte(id))} { // four digits alone are found in a hash
		if strings.Contains(files[0].Name()+string(data), name) {
			t.Error("the name of the key is in clear")
		}
	}
	other := mustOpen(t, t.TempDir(), newMaster(t))
	if other.stem(id) == s.stem(id) {
		t.Error("the file name does not depend on the master key")
	}
}

func TestMasterKey(t *testing.T) {
	dir, master := t.TempDir(), newMaster(t)
	s := mustOpen(t, dir, master)
	if err := s.Create("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, newMaster(t)); !errors.Is(err, ErrSealed) {
		t.Errorf("another master key: %v", err)
	}
	if err := GenerateMasterKey(master); err == nil {
		t.Error("a master key was replaced")
	}
	for text, mode := range map[string]os.FileMode{
		strings.Repeat("ab", 32):  0o640,
		strings.Repeat("ab", 31):  0o600,
		strings.Repeat("xy", 32):  0o600,
		strings.Repeat("a", 2000): 0o600,
	} {
		path := filepath.Join(t.TempDir(), "bad")
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil { // whatever the umask
			t.Fatal(err)
		}
		if _, err := Open(t.TempDir(), path); err == nil || strings.Contains(err.Error(), text) {
			t.Errorf("%d digits, mode %v: %v", len(text), mode, err)
		}
	}
	if _, err := Open(dir, filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no master key: %v", err)
	}
}

// TestDamagedKeyFile alters each part of a key file, and swaps two of them.
func TestDamagedKeyFile(t *testing.T) {
	dir, master := t.TempDir(), newMaster(t)
	s := mustOpen(t, dir, master)
	for _, id := range []string{"a", "b"} {
		if err := s.Create(id); err != nil {
			t.Fatal(err)
		}
	}
	aad := []byte("x")
	sealed, err := s.Seal("a", []byte("plain"), aad)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, s.stem("a")+keySuffix)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		fresh := &Store{dir: s.dir, wrap: s.wrap, nameKey: s.nameKey, cache: map[string]tink.AEAD{}}
		if plain, err := fresh.Open("a", sealed, aad); err == nil && string(plain) != "plain" || err == nil && what != "good" {
			t.Errorf("%s: %q, %v", what, plain, err)
		} else if err != nil && what == "good" {
			t.Errorf("good: %v", err)
		}
	}
	try("good", good)
	for _, at := range []int{0, len(good) / 4, len(good) / 2, 3 * len(good) / 4, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 1
		try(fmt.Sprintf("byte %d", at), bad)
	}
	try("empty", nil)
	try("large", bytes.Repeat([]byte("x"), maxKeyFile+1))
	other, err := os.ReadFile(filepath.Join(dir, s.stem("b")+keySuffix))
	if err != nil {
		t.Fatal(err)
	}
	try("the file of another key", other)
}

func TestBadNames(t *testing.T) {
	s := mustOpen(t, t.TempDir(), newMaster(t))
	for _, id := range []string{"", strings.Repeat("x", maxIDBytes+1)} {
		if err := s.Create(id); err == nil {
			t.Errorf("name of %d bytes", len(id))
		}
	}
}

// TestConcurrent uses and destroys keys at once: after Shred returned, nothing
// opens; before, everything does.
func TestConcurrent(t *testing.T) {
	s := mustOpen(t, t.TempDir(), newMaster(t))
	aad := []byte("x")
	var wg sync.WaitGroup
	for k := range 4 {
		id := fmt.Sprintf("k%d", k)
		var sealed []byte
		wg.Go(func() {
			if err := s.Ensure(id); err != nil {
				t.Error(err)
				return
			}
			var err error
			if sealed, err = s.Seal(id, []byte(id), aad); err != nil {
				t.Error(err)
				return
			}
			var users sync.WaitGroup
			for range 4 {
				users.Go(func() {
					for range 50 {
						plain, err := s.Open(id, sealed, aad)
						if err != nil && !errors.Is(err, ErrShredded) || err == nil && string(plain) != id {
							t.Errorf("%q, %v", plain, err)
						}
					}
				})
			}
			if err := s.Shred(id); err != nil {
				t.Error(err)
			}
			if _, err := s.Open(id, sealed, aad); !errors.Is(err, ErrShredded) {
				t.Errorf("after shred: %v", err)
			}
			users.Wait()
		})
	}
	wg.Wait()
}

func TestCacheIsBounded(t *testing.T) {
	s := mustOpen(t, t.TempDir(), newMaster(t))
	for i := range maxCachedKeys {
		s.cache[fmt.Sprint(i)] = nil
	}
	if err := s.Create("one more"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal("one more", []byte("x"), []byte("y")); err != nil {
		t.Fatal(err)
	}
	if len(s.cache) != maxCachedKeys {
		t.Errorf("%d keys cached", len(s.cache))
	}
}

// TestModel does any sequence of operations and reopenings against a model.
func TestModel(t *testing.T) {
	master := newMaster(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "m")
		if err != nil {
			rt.Fatal(err)
		}
		s := mustOpen(t, dir, master)
		state := map[string]error{} // nil: usable
		sealed := map[string][]byte{}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			id := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "id")
			want, known := state[id]
			if !known {
				want = ErrNotFound
			}
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				err := s.Create(id)
				switch {
				case want == nil && !errors.Is(err, ErrExists), errors.Is(want, ErrShredded) && !errors.Is(err, ErrShredded):
					rt.Fatalf("create: %v", err)
				case !known && err != nil:
					rt.Fatal(err)
				case !known:
					state[id] = nil
				}
			case 1:
				data, err := s.Seal(id, []byte(id), []byte("x"))
				if !errors.Is(err, want) {
					rt.Fatalf("seal: %v, want %v", err, want)
				}
				if err == nil {
					sealed[id] = data
				}
			case 2:
				if sealed[id] == nil {
					continue
				}
				plain, err := s.Open(id, sealed[id], []byte("x"))
				if !errors.Is(err, want) || err == nil && string(plain) != id {
					rt.Fatalf("open: %q, %v, want %v", plain, err, want)
				}
			case 3:
				err := s.Shred(id)
				if !known != errors.Is(err, ErrNotFound) || known && err != nil {
					rt.Fatalf("shred: %v", err)
				}
				if known {
					state[id] = ErrShredded
				}
			case 4:
				s = mustOpen(t, dir, master)
			}
		}
	})
}
