package ledger

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/durable"
)

const (
	checkpointInterval = 100 * time.Millisecond // between publications
	replacedKept       = time.Minute            // partial tiles, for who reads or copies the log just then
	never              = math.MaxInt64 * time.Nanosecond
)

// openAppender opens tessera's log in a folder, making it if there is none, until stop
// is called. What is added is handed on in batches of at most so many entries and so old.
//
// Tessera writes what is added before its future resolves, and nothing else: the
// checkpoints that it would publish, and the tiles that it would remove, in goroutines
// that nobody can wait for, are the log's to publish and remove.
func openAppender(dir string, signer note.Signer, logger *slog.Logger, entries uint, age time.Duration) (a *tessera.Appender, stop func(), err error) {
	tesseraLog.Do(func() { sendTesseraLogTo(logger) })
	ctx, cancel := context.WithCancel(context.Background())
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err == nil {
		a, _, _, err = tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
			WithCheckpointSigner(signer). // the empty log's
			WithBatching(entries, age).
			WithCheckpointInterval(never).
			WithCheckpointRepublishInterval(0).
			WithGarbageCollectionInterval(0))
	}
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("tessera: %w", err)
	}
	return a, cancel, nil
}

// publishInTime is the goroutine that publishes checkpoints and removes what full
// tiles replaced, until the log is closed.
func (l *Log) publishInTime() {
	publish, tidy := time.NewTicker(checkpointInterval), time.NewTicker(replacedKept)
	defer publish.Stop()
	defer tidy.Stop()
	tidied, replaced := l.published.size, l.published.size
	for told := false; ; {
		select {
		case <-l.closing:
			return
		case <-tidy.C:
			if err := removeReplaced(l.cfg.Dir, tidied, replaced); err != nil {
				l.cfg.Logger.Warn("ledger tiles that were replaced are not removed", slog.String("error", err.Error()))
				continue
			}
			tidied, replaced = replaced, l.published.size
		case <-publish.C:
			err := l.publish()
			if err != nil && !told {
				l.cfg.Logger.Warn("ledger checkpoint is not published", slog.String("error", err.Error()))
			}
			told = err != nil
		}
	}
}

// publish writes the checkpoint over all acknowledged entries where readers of the
// files look for it, if it is not there yet.
func (l *Log) publish() error {
	l.mu.Lock()
	h, checkpoint := l.acked, l.checkpoint
	l.mu.Unlock()
	if h.size == l.published.size && l.published.root != nil {
		return nil
	}
	if err := durable.Write(filepath.Join(l.cfg.Dir, checkpointPath), []byte(checkpoint)); err != nil {
		return err
	}
	l.published = h
	return nil
}

// removeReplaced removes the partial tiles and entry bundles that full ones replaced
// while the log grew from one size to another. Those of a newer size stay.
func removeReplaced(dir string, from, to uint64) error {
	for _, level := range [...]uint64{entriesLevel, 0, 1, 2, 3, 4, 5, 6, 7} {
		t := tileName{level: level}
		for t.index = t.width(from) / layout.TileWidth; t.index < t.width(to)/layout.TileWidth; t.index++ {
			if err := os.RemoveAll(filepath.Join(dir, t.path()+".p")); err != nil {
				return err
			}
		}
	}
	return nil
}
