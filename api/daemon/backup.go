package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/backup"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/retention/expiry"
)

// folders are what is backed up besides store and ledger.
func (c Config) folders() map[string]string {
	out := map[string]string{"packages": c.Legal.PackagesDir}
	if c.Legal.HoldsDir != "" {
		out["holds"] = c.Legal.HoldsDir
	}
	if c.Legal.DocumentsDir != "" {
		out["documents"] = c.Legal.DocumentsDir
	}
	return out
}

// newBackups makes what makes backups, and ends them.
func (s *services) newBackups(book *ledger.Log) *backup.Maker {
	s.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "griffier_backup_timestamp_seconds", Help: "When the newest backup was made; 0: never.",
	}, func() float64 {
		if at := s.copies.Newest(); !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	}))
	return &backup.Maker{
		Conn: s.conn, DataDir: s.cfg.Store.DataDir, LedgerDir: s.cfg.Ledger.Dir, Folders: s.cfg.folders(),
		Dir: s.cfg.Backup.Dir, KeysDir: s.cfg.Backup.KeysDir, Keys: s.keys, Book: book, Record: s.copies,
		Clock: s.leap, Now: time.Now, Log: s.log,
	}
}

// restoreFinished refuses a store that half of a backup is in.
func restoreFinished(dataDir string) error {
	if dataDir == "" {
		return nil
	}
	stage, err := backup.StageOf(dataDir)
	if err != nil {
		return err
	}
	if stage == backup.Copying {
		return errors.New("store: a restore was interrupted; run it again: griffierd -config FILE -restore BACKUP")
	}
	return nil
}

// reapply does, before anybody can read, what a store or keys from a backup do not
// know of: erasures, restrictions, keys that were destroyed, days that expired.
func (s *services) reapply(ctx context.Context, book *ledger.Log, dropper *expiry.Dropper) error {
	stage := backup.NoRestore
	if dir := s.cfg.Store.DataDir; dir != "" {
		var err error
		if stage, err = backup.StageOf(dir); err != nil {
			return err
		}
	}
	keys := backup.KeysRestored(s.cfg.Keys.Dir)
	if stage == backup.NoRestore && !keys {
		return nil
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "restored from a backup: erasures and expiry are carried out again before anything is served")
	err := errors.Join(s.shredder(book).Repeat(), s.watching.Repeat(), s.subjects.Reapply(ctx), s.backups.Tidy(ctx), dropper.Once(ctx))
	if err != nil {
		return fmt.Errorf("after a restore: %w", err)
	}
	if stage != backup.NoRestore {
		if err := backup.Done(s.cfg.Store.DataDir); err != nil {
			return err
		}
	}
	if keys {
		return backup.KeysDone(s.cfg.Keys.Dir)
	}
	return nil
}

// Restore brings a backup back into the embedded store that the configuration
// names, which must be empty, while no griffierd runs. It says how far it is on out.
func Restore(ctx context.Context, cfg Config, dir string, log *slog.Logger, out io.Writer) (err error) {
	if cfg.Store.DSN != "" {
		return errors.New("restore: the store is a ClickHouse server; restore it with the server's own RESTORE, see BACKUP.md")
	}
	keys, err := keystore.Open(cfg.Keys.Dir, cfg.Keys.MasterFile)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, cfg.Store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.stop()) }()
	to := backup.Target{Conn: store.operator, DataDir: cfg.Store.DataDir, LedgerDir: cfg.Ledger.Dir, Folders: cfg.folders(), Keys: keys}
	err = backup.Restore(ctx, dir, to, func(piece string, done, total int) { fmt.Fprintf(out, "%d of %d: %s\n", done+1, total, piece) })
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "restored; griffierd carries out erasures and expiry again when it starts, and serves nothing before")
	return nil
}
