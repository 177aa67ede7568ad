package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/durable"
)

// Copy is where a ledger is rebuilt from: the second sink.
type Copy interface {
	// Head gives the checkpoint over all that it has, signed by the log.
	Head(ctx context.Context) (string, error)
	// Entries gives entries from index from on, some at a time, as they are hashed.
	Entries(ctx context.Context, from uint64) ([][]byte, error)
}

// RebuildConfig says what is rebuilt, and where. Dir and WitnessFile must not exist.
type RebuildConfig struct {
	Dir         string
	WitnessFile string
	Key         *Key // the log's own: checkpoints of another are not the copy's
	Copy        Copy
	Logger      *slog.Logger             // nil means slog.Default
	Progress    func(done, total uint64) // may be nil
}

const rebuildBatch = 4096 // entries to tessera at a time

// Rebuild makes a log of what the copy has: the same entries in the same order,
// so the same root, which is checked against the copy's checkpoint before anything
// is called done. It gives the head. A rebuild that was interrupted leaves a folder
// and a witness file that Open refuses; move both away, and begin anew.
func Rebuild(ctx context.Context, cfg RebuildConfig) (Head, error) {
	fail := func(err error) (Head, error) { return Head{}, fmt.Errorf("ledger: rebuild: %w", err) }
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	for _, path := range []string{cfg.Dir, cfg.WitnessFile} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return fail(fmt.Errorf("%s is there already; a rebuild replaces nothing: move it away first", path))
		}
	}
	text, err := cfg.Copy.Head(ctx)
	if err != nil {
		return fail(err)
	}
	if text == "" {
		return fail(errors.New("the copy has no entries"))
	}
	want, err := OpenCheckpoint(text, cfg.Key.Public)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return fail(err)
	}
	defer lock.Close()
	// First: with it, Open refuses the log until all of it is there.
	h := head{size: want.Size, root: want.Root}
	checkpoint, err := signHead(h, cfg.Key.Signer.Name(), cfg.Key.Signer)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(filepath.Dir(cfg.WitnessFile), 0o700); err != nil {
		return fail(err)
	}
	if err := writeWitness(cfg.WitnessFile, h, checkpoint); err != nil {
		return fail(err)
	}
	appender, stop, err := openAppender(cfg.Dir, cfg.Key.Signer, cfg.Logger, rebuildBatch, 10*time.Millisecond)
	if err != nil {
		return fail(err)
	}
	defer stop()
	if err := copyEntries(ctx, cfg, want, appender); err != nil {
		return fail(err)
	}
	if err := durable.Write(filepath.Join(cfg.Dir, checkpointPath), []byte(checkpoint)); err != nil {
		return fail(err)
	}
	verifier, err := Verifier(cfg.Key.Public)
	if err != nil {
		return fail(err)
	}
	in := inspector{dir: cfg.Dir, origin: cfg.Key.Signer.Name(), verifiers: note.VerifierList(verifier)}
	found, err := in.run(ctx)
	if err != nil {
		return fail(err)
	}
	if len(found.problems) > 0 {
		return fail(fmt.Errorf("%w: %s", ErrTampered, found.problems[0]))
	}
	if found.head.size != want.Size || !bytes.Equal(found.head.root, want.Root) {
		return fail(fmt.Errorf("%w: the %d entries of the copy do not give the root of its checkpoint over %d", ErrTampered, found.head.size, want.Size))
	}
	return want, nil
}

func copyEntries(ctx context.Context, cfg RebuildConfig, want Head, appender *tessera.Appender) error {
	tree := newRange()
	for done := uint64(0); done < want.Size; {
		leaves, err := cfg.Copy.Entries(ctx, done)
		if err != nil {
			return err
		}
		if len(leaves) == 0 {
			return fmt.Errorf("the copy ends at %d entries, its checkpoint is over %d", done, want.Size)
		}
		leaves = leaves[:min(uint64(len(leaves)), want.Size-done)]
		for i, leaf := range leaves {
			if _, err := decodeEntry(done+uint64(i), leaf); err != nil {
				return fmt.Errorf("%w: entry %d: %w", ErrTampered, done+uint64(i), err)
			}
			if err := tree.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
				return err
			}
		}
		if err := addAll(appender, done, leaves); err != nil {
			return err
		}
		done += uint64(len(leaves))
		if cfg.Progress != nil {
			cfg.Progress(done, want.Size)
		}
	}
	root, err := rootOf(tree)
	if err != nil {
		return err
	}
	if !bytes.Equal(root, want.Root) {
		return fmt.Errorf("%w: the entries of the copy do not give the root of its checkpoint", ErrTampered)
	}
	return nil
}

// addAll adds entries from index from on, and waits until each is stored, or is not.
func addAll(appender *tessera.Appender, from uint64, leaves [][]byte) error {
	futures := make([]tessera.IndexFuture, 0, len(leaves))
	for _, leaf := range leaves {
		futures = append(futures, appender.Add(context.Background(), tessera.NewEntry(leaf)))
	}
	var failed error
	for i, future := range futures {
		index, err := future()
		if err == nil && index.Index != from+uint64(i) {
			err = fmt.Errorf("entry %d was stored as %d", from+uint64(i), index.Index)
		}
		if failed == nil {
			failed = err
		}
	}
	return failed
}
