package backup

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/durable"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
)

// ErrNotConfigured is returned where there is no folder for backups, or no
// embedded store.
var ErrNotConfigured = errors.New("backups are not configured")

// book is the part of the ledger that is needed ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
	Size() uint64
	Checkpoint() string
}

// trust tells whether a time can be believed ([clock.Leap]).
type trust interface{ Check(t time.Time) error }

// Maker makes backups, and ends them. Its methods may be called concurrently;
// backups are made one at a time.
type Maker struct {
	Conn      driver.Conn
	DataDir   string // of the embedded engine; empty on a server
	LedgerDir string
	// Folders are others to copy, by name: packages and holds, whose files are sealed
	// under case keys already.
	Folders map[string]string
	Dir     string // of backups, a folder each
	KeysDir string // of copies of the keys; not inside Dir
	Keys    *keystore.Store
	Book    book
	Record  *Record // a fold of Book
	// Clock is asked before a backup is made, which ends by its time, and before one ends,
	// since a key is destroyed for good; nil: every time is believed.
	Clock trust
	Now   func() time.Time
	Log   *slog.Logger

	one sync.Mutex
}

// Progress is called before each piece.
type Progress func(piece string, done, total int)

// Create makes a backup, and a copy of the keys if there is a folder for them. A
// backup is complete when its folder has its name; what a crash leaves is removed by the next
// [Maker.Tidy]. Errors: ErrNotConfigured, CLOCK_UNTRUSTED.
func (m *Maker) Create(ctx context.Context, progress Progress) (Manifest, error) {
	if m.Dir == "" || m.DataDir == "" {
		return Manifest{}, fmt.Errorf("backup: %w", ErrNotConfigured)
	}
	m.one.Lock()
	defer m.one.Unlock()
	now := m.Now().UTC().Truncate(time.Second)
	if m.Clock != nil {
		if err := m.Clock.Check(now); err != nil {
			return Manifest{}, fmt.Errorf("backup: %w", err)
		}
	}
	var b [4]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails
	man := Manifest{Version: manifestVersion, ID: now.Format("20060102T150405Z") + hex.EncodeToString(b[:]), MadeAt: now,
		UnreadableBy: now.Add(MaxLife), LedgerSize: m.Book.Size(), Checkpoint: m.Book.Checkpoint()}
	if _, err := m.Book.Append(ctx, ledger.Draft{Kind: KindBegun, Role: "system", Facts: begunFacts{man.ID, man.UnreadableBy}}); err != nil {
		return Manifest{}, fmt.Errorf("backup: enter it: %w", err)
	}
	text, err := m.write(ctx, &man, progress)
	if err != nil {
		// The context may have ended; what is unfinished is removed all the same.
		return Manifest{}, errors.Join(fmt.Errorf("backup: %w", err), m.tidy(context.WithoutCancel(ctx)))
	}
	sum := sha256.Sum256(text)
	_, err = m.Book.Append(ctx, ledger.Draft{Kind: KindMade, Role: "system",
		Facts: madeFacts{man.ID, hex.EncodeToString(sum[:]), len(man.Pieces), man.Bytes()}})
	if err != nil {
		return Manifest{}, fmt.Errorf("backup: enter it: %w", err)
	}
	if m.KeysDir != "" {
		if err := CopyKeys(m.Keys, m.KeysDir, m.Now()); err != nil {
			return Manifest{}, err
		}
	}
	return man, nil
}

// write writes everything into a folder of its own, and gives it its name last.
func (m *Maker) write(ctx context.Context, man *Manifest, progress Progress) ([]byte, error) {
	if err := m.Keys.Create(keyID(man.ID)); err != nil {
		return nil, err
	}
	key := newDataKey()
	var err error
	if man.DataKey, err = m.Keys.Seal(keyID(man.ID), key, boundTo(man.ID, "data key")); err != nil {
		return nil, err
	}
	if man.Migrations, err = schema.Migrations(); err != nil {
		return nil, err
	}
	partial := filepath.Join(m.Dir, partialPrefix+man.ID)
	if err := os.MkdirAll(partial, 0o700); err != nil {
		return nil, err
	}
	tables, err := schema.StoredTables(ctx, m.Conn)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(m.shadow(man.ID))
	for _, t := range tables { // all first: links are quick, and make one moment of it
		if err := schema.Freeze(ctx, m.Conn, t, freezeName(man.ID)); err != nil {
			return nil, err
		}
	}
	pieces := len(tables) + 1 + len(m.Folders)
	add := func(p Piece, fill func(*tar.Writer, *Piece) error) error {
		if progress != nil {
			progress(p.Name, len(man.Pieces), pieces)
		}
		p.File = p.Name + ".tar.sealed"
		p, err := m.piece(ctx, partial, key, man.ID, p, fill)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		man.Pieces = append(man.Pieces, p)
		return nil
	}
	for _, t := range tables {
		err := add(Piece{Name: t.Name, Class: t.Class}, func(w *tar.Writer, p *Piece) error { return m.parts(ctx, w, t, man.ID, p) })
		if err != nil {
			return nil, err
		}
	}
	if err := add(Piece{Name: ledgerPiece}, func(w *tar.Writer, _ *Piece) error { return ledgerFiles(ctx, w, m.LedgerDir) }); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Folders)) {
		err := add(Piece{Name: name}, func(w *tar.Writer, _ *Piece) error {
			if err := addTree(ctx, w, m.Folders[name], ""); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	text, err := json.MarshalIndent(man, "", " ")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	seal, err := m.Keys.Seal(keyID(man.ID), sum[:], boundTo(man.ID, manifestName))
	if err != nil {
		return nil, err
	}
	err = errors.Join(durable.Write(filepath.Join(partial, sealName), seal), durable.Write(filepath.Join(partial, manifestName), text))
	if err != nil {
		return nil, err
	}
	return text, errors.Join(os.Rename(partial, filepath.Join(m.Dir, man.ID)), durable.SyncFolder(m.Dir))
}

func (m *Maker) piece(ctx context.Context, dir string, key []byte, id string, p Piece, fill func(*tar.Writer, *Piece) error) (Piece, error) {
	out, err := createPiece(filepath.Join(dir, p.File), key, id, p.File)
	if err != nil {
		return p, err
	}
	w := tar.NewWriter(out)
	if err := errors.Join(fill(w, &p), ctx.Err()); err != nil {
		out.abandon()
		return p, err
	}
	if err := w.Close(); err != nil {
		out.abandon()
		return p, err
	}
	p.SHA256, p.Bytes, err = out.finish()
	return p, err
}

// freezeName is the name of a backup's folder of links.
func freezeName(id string) string { return "griffier" + id }

func (m *Maker) shadow(id string) string {
	return filepath.Join(m.DataDir, "store", "shadow", freezeName(id))
}

// parts copies the frozen parts of a table.
func (m *Maker) parts(ctx context.Context, w *tar.Writer, t schema.StoredTable, id string, p *Piece) error {
	// The frozen folder of a table has the same path below as the table's own.
	below, err := filepath.Rel(filepath.Join(m.DataDir, "store"), t.Folder)
	if err != nil || strings.HasPrefix(below, "..") {
		return errors.New("the table's folder is not in the engine's")
	}
	folder := filepath.Join(m.shadow(id), below)
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no rows
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !partForm.MatchString(e.Name()) {
			continue
		}
		p.Parts = append(p.Parts, e.Name())
		if err := addTree(ctx, w, filepath.Join(folder, e.Name()), e.Name()); err != nil {
			return err
		}
	}
	sort.Strings(p.Parts)
	p.Days = daysOf(p.Parts)
	return nil
}

// ledgerFiles copies a ledger that is being written: what says how long it is
// first, then tiles, which are never less than that.
func ledgerFiles(ctx context.Context, w *tar.Writer, dir string) error {
	for _, first := range []string{"checkpoint", ".state"} {
		if err := addTree(ctx, w, filepath.Join(dir, first), first); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "checkpoint" || e.Name() == ".state" {
			continue
		}
		if err := addTree(ctx, w, filepath.Join(dir, e.Name()), e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// addTree adds a file, or a folder with all in it, under a name. What is removed
// meanwhile is left out: of a ledger, a tile that a fuller one replaced.
func addTree(ctx context.Context, w *tar.Writer, path, name string) error {
	return filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) && at != path {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		below, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		f, err := os.Open(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		header := &tar.Header{Name: filepath.Join(name, below), Mode: 0o600, Size: info.Size(), Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err = io.CopyN(w, f, info.Size())
		return err
	})
}

// Tidy ends what is due: the keys of backups that have aged out, with their
// folders; what crashes left half done; copies of the keys that are too old. It
// also destroys keys again that a restore of the keys brought back.
func (m *Maker) Tidy(ctx context.Context) error {
	m.one.Lock()
	defer m.one.Unlock()
	return m.tidy(ctx)
}

func (m *Maker) tidy(ctx context.Context) error {
	now := m.Now()
	var doubt error
	if m.Clock != nil {
		doubt = m.Clock.Check(now)
	}
	for _, k := range m.Record.All() {
		half, ended := k.MadeAt.IsZero(), !k.DestroyedAt.IsZero()
		aged := doubt == nil && !now.Before(k.UnreadableBy.Add(-KeysKeep))
		if !half && !ended && !aged {
			continue
		}
		switch err := m.Keys.Shred(keyID(k.ID)); {
		case errors.Is(err, keystore.ErrNotFound):
		case err != nil:
			return fmt.Errorf("backup: destroy a key: %w", err)
		}
		if m.DataDir != "" {
			if err := os.RemoveAll(m.shadow(k.ID)); err != nil {
				return fmt.Errorf("backup: %w", err)
			}
		}
		if m.Dir != "" {
			for _, name := range []string{k.ID, partialPrefix + k.ID} {
				if err := os.RemoveAll(filepath.Join(m.Dir, name)); err != nil {
					return fmt.Errorf("backup: remove a folder: %w", err)
				}
			}
		}
		if k.DestroyedAt.IsZero() {
			if _, err := m.Book.Append(ctx, ledger.Draft{Kind: KindDestroyed, Role: "system", Facts: destroyedFacts{k.ID}}); err != nil {
				return fmt.Errorf("backup: enter that a key is destroyed: %w", err)
			}
		}
	}
	if doubt != nil {
		return fmt.Errorf("backup: end what is old: %w", doubt)
	}
	if m.KeysDir == "" {
		return nil
	}
	return PruneKeys(m.KeysDir, now)
}

const (
	lookInterval = time.Hour
	// retryInterval follows a backup that failed.
	retryInterval = 10 * time.Minute
)

// Run makes a backup whenever the newest is older than every, and tidies, until ctx
// ends. Zero makes none by itself.
func (m *Maker) Run(ctx context.Context, every time.Duration) {
	for {
		wait := lookInterval
		err := m.Tidy(ctx)
		if err == nil && every > 0 && m.DataDir == "" && m.KeysDir != "" { // of a server its own backups are made
			err = m.copyKeys(every)
		}
		if err == nil && every > 0 && m.Dir != "" && m.DataDir != "" && !m.Record.Newest().After(m.Now().Add(-every)) {
			var made Manifest
			if made, err = m.Create(ctx, nil); err == nil {
				m.Log.LogAttrs(ctx, slog.LevelInfo, "backup made", slog.String("backup", made.ID), slog.Uint64("bytes", made.Bytes()))
			}
		}
		if err != nil && ctx.Err() == nil {
			wait = retryInterval
			m.Log.LogAttrs(ctx, slog.LevelError, "backup failed", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// copyKeys copies the keys if the newest copy is older than every.
func (m *Maker) copyKeys(every time.Duration) error {
	copies, err := keyCopies(m.KeysDir)
	if err != nil {
		return err
	}
	for _, at := range copies {
		if at.After(m.Now().Add(-every)) {
			return nil
		}
	}
	return CopyKeys(m.Keys, m.KeysDir, m.Now())
}
