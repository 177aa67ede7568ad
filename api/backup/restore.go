package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/durable"
	"griffier/api/keystore"
	"griffier/schema"
)

// ErrNotEmpty is returned for a store that has something in it.
var ErrNotEmpty = errors.New("the store is not empty; restore into a new data_dir")

// Stage is how far a restore is.
type Stage string

const (
	// NoRestore: the store is its own.
	NoRestore Stage = ""
	// Copying: parts are being taken in; nothing may be read.
	Copying Stage = "copying"
	// Copied: all are there; erasures and expiry are still to be carried out again.
	Copied Stage = "copied"
)

const markerName = "restore.json"

type marker struct {
	Backup string `json:"backup"`
	Stage  Stage  `json:"stage"`
}

// StageOf tells how far a restore into a data folder is.
func StageOf(dataDir string) (Stage, error) {
	m, err := readMarker(dataDir)
	return m.Stage, err
}

func readMarker(dataDir string) (m marker, err error) {
	text, err := os.ReadFile(filepath.Join(dataDir, markerName))
	if errors.Is(err, fs.ErrNotExist) {
		return marker{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err == nil && m.Stage != Copying && m.Stage != Copied {
		err = errors.New("unknown stage")
	}
	if err != nil {
		return marker{}, fmt.Errorf("restore marker: %w", err)
	}
	return m, nil
}

func writeMarker(dataDir string, m marker) error {
	text, err := json.Marshal(m)
	if err == nil {
		err = durable.Write(filepath.Join(dataDir, markerName), text)
	}
	if err != nil {
		return fmt.Errorf("restore marker: %w", err)
	}
	return nil
}

// Done removes the marker: what a restore brought back is as the ledger says.
func Done(dataDir string) error {
	if err := os.Remove(filepath.Join(dataDir, markerName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("restore marker: %w", err)
	}
	return durable.SyncFolder(dataDir)
}

// Target is where a backup is restored to.
type Target struct {
	Conn      driver.Conn // of an engine that serves nobody else
	DataDir   string
	LedgerDir string // restored too if there is none
	Folders   map[string]string
	Keys      *keystore.Store
}

// Restore brings a backup back into an empty, migrated store, and the ledger if
// there is none. Every hash and seal of the backup is checked before anything is
// written. What was interrupted is begun anew by the same call. Errors: [ErrAged],
// [ErrNotEmpty].
func Restore(ctx context.Context, dir string, to Target, progress Progress) error {
	fail := func(err error) error { return fmt.Errorf("restore: %w", err) }
	b, err := open(dir, to.Keys)
	if err != nil {
		return fail(err)
	}
	own, err := schema.Migrations()
	if err != nil {
		return fail(err)
	}
	if !slices.Equal(own, b.Migrations) {
		return fail(fmt.Errorf("the backup has %d migrations and this program %d, or other ones; restore with the version that made it, then upgrade", len(b.Migrations), len(own)))
	}
	if progress != nil {
		progress("checking", 0, len(b.Pieces)+1)
	}
	if _, problems, err := Verify(ctx, dir, to.Keys); err != nil || len(problems) > 0 {
		return fail(errors.Join(err, errors.New(strings.Join(problems, "; "))))
	}
	begun, err := readMarker(to.DataDir)
	if err != nil {
		return fail(err)
	}
	if begun.Stage == Copying && begun.Backup == b.ID {
		if err := schema.Truncate(ctx, to.Conn); err != nil {
			return fail(err)
		}
	} else if empty, err := schema.Empty(ctx, to.Conn); err != nil || !empty || begun.Stage != NoRestore {
		return fail(errors.Join(err, ErrNotEmpty))
	}
	if err := writeMarker(to.DataDir, marker{b.ID, Copying}); err != nil {
		return fail(err)
	}
	tables, err := schema.StoredTables(ctx, to.Conn)
	if err != nil {
		return fail(err)
	}
	for i, p := range b.Pieces {
		if progress != nil {
			progress(p.Name, i+1, len(b.Pieces)+1)
		}
		folder, isFolder := to.Folders[p.Name]
		if p.Name == ledgerPiece {
			folder, isFolder = to.LedgerDir, true
		}
		if isFolder {
			err = b.restoreFolder(ctx, p, folder)
		} else {
			err = b.restoreTable(ctx, p, to.Conn, tables)
		}
		if err != nil {
			return fail(fmt.Errorf("%s: %w", p.Name, err))
		}
	}
	if err := schema.SuspendPolicy(ctx, to.Conn); err != nil {
		return fail(err)
	}
	return writeMarker(to.DataDir, marker{b.ID, Copied})
}

// restoreTable lays a table's parts beside it and takes them into use.
func (b opened) restoreTable(ctx context.Context, p Piece, conn driver.Conn, tables []schema.StoredTable) error {
	at := slices.IndexFunc(tables, func(t schema.StoredTable) bool { return t.Name == p.Name })
	if at < 0 {
		return errors.New("the store has no such table")
	}
	detached := filepath.Join(tables[at].Folder, "detached")
	// Parts that an interrupted restore laid there.
	for _, part := range p.Parts {
		if err := os.RemoveAll(filepath.Join(detached, part)); err != nil {
			return err
		}
	}
	err := b.read(ctx, p, func(name string, r io.Reader) error {
		part, file, ok := strings.Cut(name, "/")
		if !ok || !slices.Contains(p.Parts, part) || !filepath.IsLocal(file) {
			return errors.New("a file is of no part that the manifest names")
		}
		return copyOut(filepath.Join(detached, part, file), r)
	})
	if err != nil {
		return err
	}
	for _, part := range p.Parts {
		if err := errors.Join(durable.SyncFolder(filepath.Join(detached, part)), durable.SyncFolder(detached)); err != nil {
			return err
		}
		if err := schema.AttachPart(ctx, conn, tables[at], part); err != nil {
			return err
		}
	}
	return nil
}

// restoreFolder brings a folder back where there is none. One that exists is left
// alone: it is newer; of the ledger the witness file tells whether it is whole.
func (b opened) restoreFolder(ctx context.Context, p Piece, dir string) error {
	partial := dir + ".restoring"
	if err := os.RemoveAll(partial); err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil
	}
	err := b.read(ctx, p, func(name string, r io.Reader) error {
		return copyOut(filepath.Join(partial, name), r)
	})
	if err != nil {
		return err
	}
	if _, err := os.Stat(partial); errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was in it
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder
		return err
	}
	return errors.Join(os.Rename(partial, dir), durable.SyncFolder(filepath.Dir(dir)))
}

// copyOut writes a file, mode 0600, with the folders above it.
func copyOut(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}
