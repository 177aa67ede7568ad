package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"griffier/collector/config"
	"griffier/collector/sink"
	"griffier/collector/spool"
)

// Requeue puts all rows that the store refused back into the spool of a collector
// that does not run, once the cause is cured: its next run delivers them. Rows that
// the store refuses again go back into quarantine. It returns what it put back, also
// with an error. A running collector has the spool to itself: then the error wraps
// [spool.ErrLocked]. It wants to be called as the user whose the spool is, who could
// not read what another one wrote.
func Requeue(ctx context.Context, c config.Config) (sink.Requeued, error) {
	if _, err := os.Stat(quarantineDir(c)); errors.Is(err, fs.ErrNotExist) {
		return sink.Requeued{}, nil
	}
	if err := mine(c.Spool.Dir); err != nil {
		return sink.Requeued{}, fmt.Errorf("requeue: %w", err)
	}
	s, err := openSpool(c)
	if errors.Is(err, spool.ErrLocked) {
		return sink.Requeued{}, fmt.Errorf("requeue: the collector runs; stop it first: %w", err)
	}
	if err != nil {
		return sink.Requeued{}, err
	}
	done, err := sink.RequeueAll(ctx, quarantineDir(c), s)
	if errors.Is(err, spool.ErrFull) {
		err = fmt.Errorf("%w; start the collector so that the store takes what is there, then stop it and try again, or raise spool.max_bytes", err)
	}
	return done, errors.Join(err, s.Close())
}

// mine returns an error if a folder is there and another user's.
func mine(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, this is user %d: run it as the collector's user, with runuser -u griffier-collector", dir, stat.Uid, os.Geteuid())
	}
	return nil
}

// openSpool opens the configured spool.
func openSpool(c config.Config) (*spool.Spool, error) {
	return spool.Open(spool.Config{Dir: c.Spool.Dir, MaxBytes: int64(c.Spool.MaxBytes), SegmentBytes: segmentBytes(c)})
}

// segmentBytes is how much of the log lies between two checkpoints.
func segmentBytes(c config.Config) int64 { return min(maxSegmentBytes, int64(c.Spool.MaxBytes)/8) }

// quarantineDir is beside the spool.
func quarantineDir(c config.Config) string {
	return filepath.Join(filepath.Dir(c.Spool.Dir), "quarantine")
}
