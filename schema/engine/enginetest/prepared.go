package enginetest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// prepared are the stores that were prepared in this process, by name.
var prepared struct {
	sync.Mutex
	images map[string]*image
}

// Prepared is Start with a store in which prepare, given the engine's socket, has
// been at work. It works once in a process for each name; every other test gets a
// copy of what it made, since that takes milliseconds where a schema takes seconds.
// prepare has to leave alone what it did before: an engine that other tests already
// use is prepared in its place. It closes what it opens.
func Prepared(t testing.TB, name string, prepare func(ctx context.Context, socket string) error) *Database {
	t.Helper()
	prepared.Lock()
	defer prepared.Unlock()
	if prepared.images[name] == nil && !used() {
		made := take(t, prepare)
		if prepared.images == nil {
			prepared.images = map[string]*image{}
		}
		prepared.images[name] = made
	}
	d, fresh := begin(t, prepared.images[name])
	if !fresh {
		if err := prepare(t.Context(), d.Socket); err != nil {
			t.Fatalf("enginetest: prepare %s: %v", name, err)
		}
	}
	return d
}

// Compact writes a table's rows anew in one part, without waiting for a merge. A
// table of many small parts takes a start longer than all others together.
func Compact(ctx context.Context, conn driver.Conn, table string) error {
	for _, statement := range []string{
		"CREATE TABLE %[1]s_rows ENGINE = Memory AS SELECT * FROM %[1]s",
		"TRUNCATE TABLE %s",
		"INSERT INTO %[1]s SELECT * FROM %[1]s_rows",
		"DROP TABLE %s_rows SYNC",
	} {
		if err := conn.Exec(ctx, fmt.Sprintf(statement, table)); err != nil {
			return err
		}
	}
	return nil
}

// take has an engine prepared, ends it, and returns what it left.
func take(t testing.TB, prepare func(ctx context.Context, socket string) error) *image {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	startShared(t, nil)
	err := prepare(t.Context(), shared.engine.SocketPath())
	var made *image
	if closed := closeShared(); err == nil {
		if err = closed; err == nil {
			made, err = read(dataOf(shared.dir))
		}
	}
	os.RemoveAll(shared.dir)
	if err != nil {
		t.Fatalf("enginetest: prepare: %v", err)
	}
	return made
}

// image is a data folder of an engine that is not running.
type image struct {
	at      string // where it was: its links are absolute
	entries []entry
}

type entry struct {
	path    string // in the folder
	mode    fs.FileMode
	content []byte // of a file; of a link its target
}

func read(dir string) (*image, error) {
	made := &image{at: dir}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		e := entry{mode: info.Mode()}
		if e.path, err = filepath.Rel(dir, path); err != nil {
			return err
		}
		switch {
		case d.Name() == "lock" || d.Name() == "status": // of whoever runs
			return nil
		case e.mode&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			e.content = []byte(target)
		case e.mode.IsRegular():
			if e.content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		made.entries = append(made.entries, e)
		return nil
	})
	return made, err
}

// write makes the folder anew elsewhere.
func (m *image) write(dir string) error {
	for _, e := range m.entries {
		path := filepath.Join(dir, e.path)
		var err error
		switch {
		case e.mode.IsDir():
			err = os.MkdirAll(path, e.mode.Perm())
		case e.mode&fs.ModeSymlink != 0:
			err = os.Symlink(strings.Replace(string(e.content), m.at, dir, 1), path)
		default:
			err = os.WriteFile(path, e.content, e.mode.Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
