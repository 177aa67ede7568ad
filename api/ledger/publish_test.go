package ledger

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// files gives the files of a folder, by their paths below it.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCloseLeavesAllPublished closes a ledger that many write to. What it leaves is
// what is there when the last of its goroutines has ended.
func TestCloseLeavesAllPublished(t *testing.T) {
	before := goleak.IgnoreCurrent()
	b := newBench(t)
	l := b.open(t)
	var writing sync.WaitGroup
	for k := range 8 {
		mustAppend(t, l, k)
		writing.Go(func() {
			for n := 0; ; n++ {
				if _, err := l.Append(context.Background(), draft(n)); err != nil {
					if !errors.Is(err, ErrUnavailable) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	left := files(t, b.dir)
	writing.Wait()
	err := goleak.Find(before)
	for end := time.Now().Add(5 * time.Minute); err != nil && time.Now().Before(end); {
		err = goleak.Find(before)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(left, files(t, b.dir)) {
		t.Error("something was written after Close")
	}
	if text := left[filepath.Join(b.dir, checkpointPath)]; text != l.Checkpoint() {
		t.Errorf("published %q, acknowledged %q", text, l.Checkpoint())
	}
	if r, err := b.verify(t); err != nil || r.CheckpointSize != l.Size() {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// TestKilledAtTheFirstStart leaves what a first start has made before there is a
// checkpoint.
func TestKilledAtTheFirstStart(t *testing.T) {
	b := newBench(t)
	if err := b.open(t).Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(b.dir, checkpointPath), b.witness} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	l := b.open(t)
	mustAppend(t, l, 0)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := b.verify(t); err != nil || r.CheckpointSize != 1 {
		t.Errorf("verify: %+v, %v", r, err)
	}
	// With entries it is missing.
	if err := os.Remove(filepath.Join(b.dir, checkpointPath)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), b.config()); !errors.Is(err, ErrTampered) {
		t.Errorf("without the checkpoint: %v", err)
	}
}

// TestStartSettlesTheState wants the record of what is integrated written again: a
// kill may have come between its rename and the sync of that.
func TestStartSettlesTheState(t *testing.T) {
	b := filled(t, 3)
	path := filepath.Join(b.dir, treeStatePath)
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.Open(path) // so that its inode is not used again
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	b.open(t)
	if after, err := os.Stat(path); err != nil || os.SameFile(before, after) {
		t.Errorf("believed as it was found (%v)", err)
	}
}

// TestRemoveReplaced wants of the tiles of many sizes all that a log of the newest size
// needs, and those gone that full ones replaced between the two sizes.
func TestRemoveReplaced(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		size := rapid.Uint64Range(0, 200_000)
		from := size.Draw(t, "from")
		to := from + size.Draw(t, "more")
		now := to + size.Draw(t, "newer")
		for _, at := range append(rapid.SliceOfN(rapid.Uint64Range(0, now), 0, 8).Draw(t, "sizes"), from, to, now) {
			for _, level := range []uint64{entriesLevel, 0, 1, 2} {
				tile := tileName{level: level}
				tile.index, tile.partial = tile.width(at)/256, uint8(tile.width(at)%256)
				if tile.partial == 0 {
					continue
				}
				path := filepath.Join(dir, tile.path())
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := map[string]bool{}
		if err := walkTiles(dir, func(path string, tile tileName, ok bool) error {
			full := tileName{level: tile.level, index: tile.index}
			want[path] = !full.within(to) || full.within(from)
			if tile.needed(now) && !want[path] {
				t.Fatalf("%s is needed, and not wanted", path)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := removeReplaced(dir, from, to); err != nil {
			t.Fatal(err)
		}
		if err := walkTiles(dir, func(path string, _ tileName, _ bool) error {
			if !want[path] {
				t.Errorf("%s is there", path)
			}
			delete(want, path)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for path, is := range want {
			if is {
				t.Errorf("%s is gone", path)
			}
		}
	})
}
