package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
)

// filled makes a closed log of n entries, appended by many writers at once so
// that it has few partial tiles, and then one by one so that it has some.
func filled(t *testing.T, n int) *bench {
	t.Helper()
	b := newBench(t)
	l := b.open(t)
	done := make(chan error)
	const oneByOne = 5
	for i := range n - oneByOne {
		go func() {
			_, err := l.Append(context.Background(), draft(i))
			done <- err
		}()
	}
	for range n - oneByOne {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i := range oneByOne {
		mustAppend(t, l, i)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

// evidence lists the files in which every byte counts.
func (b *bench) evidence(t *testing.T) []string {
	t.Helper()
	files := []string{b.witness, filepath.Join(b.dir, checkpointPath), filepath.Join(b.dir, treeStatePath), filepath.Join(b.dir, versionPath)}
	err := filepath.WalkDir(filepath.Join(b.dir, tileRoot), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestEveryFlippedByteIsFound flips one bit at many places of every file, and
// wants each found, and the blame on the file that was flipped.
func TestEveryFlippedByteIsFound(t *testing.T) {
	b := filled(t, 300) // two bundles, and a tile of level 1
	r, err := b.verify(t)
	if err != nil || r.Size != 300 || r.BodiesOpened != 300 || r.CheckpointSize != 300 || r.StrayFiles != 0 {
		t.Fatalf("negative control: %+v, %v", r, err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	flips, levels := 0, map[string]bool{}
	for _, file := range b.evidence(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		places := []int{0, len(data) - 1}
		for range 10 {
			places = append(places, rng.IntN(len(data)))
		}
		relative, err := filepath.Rel(b.dir, file)
		if err != nil {
			t.Fatal(err)
		}
		if parts := strings.Split(relative, "/"); len(parts) > 1 {
			levels[parts[1]] = true
		}
		for _, at := range places {
			altered := append([]byte(nil), data...)
			altered[at] ^= 1 << rng.IntN(8)
			if err := os.WriteFile(file, altered, 0o600); err != nil {
				t.Fatal(err)
			}
			r, err := b.verify(t)
			switch {
			case err == nil:
				t.Errorf("%s: the flip at byte %d of %d was not found", relative, at, len(data))
			case file == b.witness && !errors.Is(err, ErrWitness):
				t.Errorf("witness: %v", err)
			case file != b.witness && !errors.Is(err, ErrTampered):
				t.Errorf("%s: %v", relative, err)
			case file != b.witness && r.Problems[0].Where != filepath.ToSlash(relative):
				t.Errorf("%s: the flip at byte %d is blamed on %v", relative, at, r.Problems)
			}
			flips++
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !levels["entries"] || !levels["0"] || !levels["1"] {
		t.Errorf("flipped only in %v", levels)
	}
	t.Logf("%d flips found", flips)
	if _, err := b.verify(t); err != nil {
		t.Fatalf("negative control: %v", err)
	}
}

// TestFlippedEntryIsNamed wants the number of the entry, and a refused start.
func TestFlippedEntryIsNamed(t *testing.T) {
	b := filled(t, 20)
	file := filepath.Join(b.dir, "tile/entries/000.p/20")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	leaves, err := splitBundle(data, 20)
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, leaf := range leaves[:13] {
		at += 2 + len(leaf)
	}
	data[at+2+len(leaves[13])/2] ^= 4
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := b.verify(t)
	if err == nil || len(r.Problems) == 0 || r.Problems[0].Entry == nil || *r.Problems[0].Entry != 13 {
		t.Fatalf("%v, %v", r.Problems, err)
	}
	if _, err := Open(context.Background(), b.config()); !errors.Is(err, ErrTampered) {
		t.Fatalf("open: %v", err)
	}
}

func TestMissingOrShortenedFilesAreFound(t *testing.T) {
	for _, file := range []string{checkpointPath, treeStatePath, versionPath, "tile/entries/000.p/20", "tile/0/000.p/20"} {
		for _, how := range []string{"removed", "emptied", "shortened"} {
			b := filled(t, 20)
			path := filepath.Join(b.dir, file)
			var err error
			switch how {
			case "removed":
				err = os.Remove(path)
			case "emptied":
				err = os.Truncate(path, 0)
			default:
				var info os.FileInfo
				if info, err = os.Stat(path); err == nil {
					err = os.Truncate(path, info.Size()-1)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			if r, err := b.verify(t); !errors.Is(err, ErrTampered) {
				t.Errorf("%s %s: %+v, %v", file, how, r, err)
			}
			if _, err := Open(context.Background(), b.config()); !errors.Is(err, ErrTampered) {
				t.Errorf("%s %s: open: %v", file, how, err)
			}
		}
	}
}

// forge replaces the log by a new and consistent one that has the given leaves,
// signed with the given key: what someone with access to the disk can do.
func (b *bench) forge(t *testing.T, key *Key, leaves [][]byte) {
	t.Helper()
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	a, shutdown, _, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(key.Signer).WithCheckpointInterval(100*time.Millisecond).WithBatching(1, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range leaves {
		if _, err := a.Add(ctx, tessera.NewEntry(leaf))(); err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// leaves reads the log's leaves.
func (b *bench) leaves(t *testing.T, n uint64) [][]byte {
	t.Helper()
	var all [][]byte
	err := readEntries(context.Background(), b.dir, n, 0, n, func(_ uint64, leaf []byte) error {
		all = append(all, leaf)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestRewrittenLog rewrites entries consistently, with and without the signing
// key. Without, the signature tells; with a stolen key, the witness file.
func TestRewrittenLog(t *testing.T) {
	rewrite := map[string]func(t *testing.T, l [][]byte) [][]byte{
		"swapped":              func(_ *testing.T, l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l },
		"dropped from the end": func(_ *testing.T, l [][]byte) [][]byte { return l[:5] },
		"altered and lengthened": func(t *testing.T, l [][]byte) [][]byte {
			var w wireEntry
			if err := json.Unmarshal(l[4], &w); err != nil {
				t.Fatal(err)
			}
			w.Header.Actor = "someoneelse"
			leaf, err := marshal(w)
			if err != nil {
				t.Fatal(err)
			}
			l[4] = leaf
			return append(l, l[7])
		},
	}
	for name, change := range rewrite {
		t.Run(name, func(t *testing.T) {
			b := filled(t, 8)
			other, err := GenerateKey(filepath.Join(t.TempDir(), "key"), b.key.Signer.Name())
			if err != nil {
				t.Fatal(err)
			}
			leaves := change(t, b.leaves(t, 8))
			b.forge(t, other, leaves)
			if _, err := b.verify(t); !errors.Is(err, ErrTampered) || !strings.Contains(err.Error(), checkpointPath) {
				t.Errorf("signed with another key: %v", err)
			}
			b.forge(t, b.key, leaves)
			r, err := b.verify(t)
			found := false
			for _, p := range r.Problems {
				found = found || p.Where == b.witness
			}
			if err == nil || !found {
				t.Errorf("signed with the stolen key: %v, %v", r.Problems, err)
			}
			if _, err := Open(context.Background(), b.config()); err == nil {
				t.Error("opened")
			}
		})
	}
}

// TestBackdatedEntryIsFound appends, with the right key, an entry that says it
// was earlier than the one before it.
func TestBackdatedEntryIsFound(t *testing.T) {
	b := filled(t, 8)
	leaves := b.leaves(t, 8)
	if err := os.Remove(b.witness); err != nil {
		t.Fatal(err)
	}
	leaves[6], leaves[7] = leaves[7], leaves[6]
	b.forge(t, b.key, leaves)
	r, err := Verify(context.Background(), VerifyConfig{Dir: b.dir, PublicKey: b.key.Public})
	if !errors.Is(err, ErrTampered) || r.Problems[0].Entry == nil || *r.Problems[0].Entry != 7 {
		t.Fatalf("%v, %v", r.Problems, err)
	}
}

// copyTree copies a folder, as a backup or a snapshot of the disk would.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// TestRestoredSnapshotIsRefused puts an older copy of the ledger in place, in
// which a later entry never happened.
func TestRestoredSnapshotIsRefused(t *testing.T) {
	b := filled(t, 10)
	snapshot := filepath.Join(t.TempDir(), "snapshot")
	copyTree(t, b.dir, snapshot)
	l := b.open(t)
	mustAppend(t, l, 99) // a revocation, say
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	copyTree(t, snapshot, b.dir)

	_, err := Open(context.Background(), b.config())
	var w *WitnessError
	if !errors.Is(err, ErrWitness) || !errors.As(err, &w) || w.Cause != WitnessRegress || w.LogSize != 10 || w.WitnessSize != 11 {
		t.Fatalf("open: %v", err)
	}
	if !strings.Contains(err.Error(), "-accept-witness-loss") {
		t.Errorf("the message does not say what to do: %v", err)
	}
	if _, err := b.verify(t); !errors.Is(err, ErrWitness) {
		t.Errorf("verify: %v", err)
	}
	// The whole log gone is the same thing.
	if err := os.RemoveAll(b.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), b.config()); !errors.As(err, &w) || w.Cause != WitnessRegress {
		t.Fatalf("open without a log: %v", err)
	}
}

// TestOtherHistoryIsRefused lets two copies of a ledger go on differently.
func TestOtherHistoryIsRefused(t *testing.T) {
	b := filled(t, 10)
	fork := &bench{dir: filepath.Join(t.TempDir(), "fork"), witness: filepath.Join(t.TempDir(), "witness"), key: b.key, keys: b.keys}
	copyTree(t, b.dir, fork.dir)
	data, err := os.ReadFile(b.witness)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fork.witness, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for i, side := range []*bench{b, fork} {
		l := side.open(t)
		for n := range i + 1 {
			mustAppend(t, l, 100*i+n)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	fork.witness = b.witness
	_, err = Open(context.Background(), fork.config())
	var w *WitnessError
	if !errors.As(err, &w) || w.Cause != WitnessMismatch {
		t.Fatalf("open: %v", err)
	}
}

// TestLostWitness refuses a start without the witness file, or with one that is
// not ours, until the operator accepts it, which is then in the ledger.
func TestLostWitness(t *testing.T) {
	for cause, lose := range map[WitnessCause]func(b *bench) error{
		WitnessMissing:    func(b *bench) error { return os.Remove(b.witness) },
		WitnessUnreadable: func(b *bench) error { return os.WriteFile(b.witness, []byte("{}\n"), 0o600) },
	} {
		t.Run(string(cause), func(t *testing.T) {
			b := filled(t, 6)
			if err := lose(b); err != nil {
				t.Fatal(err)
			}
			var w *WitnessError
			if _, err := Open(context.Background(), b.config()); !errors.As(err, &w) || w.Cause != cause {
				t.Fatalf("open: %v", err)
			}
			if _, err := b.verify(t); !errors.Is(err, ErrWitness) {
				t.Fatalf("verify: %v", err)
			}
			cfg := b.config()
			cfg.AcceptWitnessLoss = true
			l := b.openWith(t, cfg)
			entries, err := l.Read(context.Background(), 6, 10)
			if err != nil || len(entries) != 1 || entries[0].Header.Kind != KindWitnessLoss ||
				!strings.Contains(string(entries[0].Header.Facts), string(cause)) {
				t.Fatalf("%+v, %v", entries, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			l = b.openWith(t, cfg) // the setting forgotten: nothing more to accept
			if l.Size() != 7 {
				t.Fatalf("size %d", l.Size())
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := b.verify(t); err != nil {
				t.Fatal(err)
			}
		})
	}
}
