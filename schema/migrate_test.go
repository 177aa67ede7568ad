package schema

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine/enginetest"
)

// TestMigrationFiles checks what Migrate relies on: one statement a file, which
// can run twice.
func TestMigrationFiles(t *testing.T) {
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		t.Fatal(err)
	}
	repeatable := regexp.MustCompile(`^(CREATE (DATABASE IF NOT EXISTS|TABLE IF NOT EXISTS|OR REPLACE VIEW) [a-z_.]+( AS)?\n` +
		`|ALTER TABLE [a-z_.]+\n(    ADD COLUMN IF NOT EXISTS [^\n]+\n)+$` +
		`|ALTER TABLE [a-z_.]+ MODIFY SETTING [^\n]+\n$` +
		`|DROP TABLE IF EXISTS [a-z_.]+\n$` +
		`|INSERT INTO traffic\.gate \([a-z_, ]+\)\nSELECT )`) // rows that come twice have one key
	for _, m := range migrations {
		var code strings.Builder
		for line := range strings.Lines(m.statement) {
			if !strings.HasPrefix(line, "--") {
				code.WriteString(line)
			}
		}
		if !repeatable.MatchString(code.String()) {
			t.Errorf("%s cannot run twice: %.60q", m.name, code.String())
		}
		if strings.Contains(code.String(), ";") {
			t.Errorf("%s holds more than one statement", m.name)
		}
		if strings.Contains(code.String(), "MergeTree") && !strings.Contains(code.String(), "fsync_after_insert = 1, fsync_part_directory = 1") {
			t.Errorf("%s acknowledges an insert before it is on disk", m.name)
		}
		if strings.Contains(code.String(), "TTL") {
			t.Errorf("%s relies on TTL, which runs when it likes", m.name)
		}
	}
}

func TestReadMigrationsRefuses(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("SELECT 1")}
	for name, files := range map[string]fstest.MapFS{
		"a hole":    {"m/0001_a.sql": file, "m/0003_b.sql": file},
		"a twin":    {"m/0001_a.sql": file, "m/0001_b.sql": file},
		"no number": {"m/first.sql": file},
		"zero":      {"m/0000_a.sql": file},
	} {
		if _, err := readMigrations(files, "m"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func openUnmigrated(t *testing.T) (context.Context, driver.Conn) {
	t.Helper()
	if conn, there := serverStore(t); there {
		return t.Context(), conn
	}
	conn, err := Open(t.Context(), Config{Socket: enginetest.Start(t).Socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return t.Context(), conn
}

func TestMigrateTwice(t *testing.T) {
	ctx, conn := openUnmigrated(t)
	var names []string
	note := func(name string) { names = append(names, name) }
	if err := Migrate(ctx, conn, note); err != nil {
		t.Fatal(err)
	}
	migrations, _ := readMigrations(migrationFiles, "migration")
	if len(names) != len(migrations) {
		t.Errorf("first run did %d of %d: %v", len(names), len(migrations), names)
	}
	names = nil
	if err := Migrate(ctx, conn, note); err != nil || names != nil {
		t.Errorf("second run did %v (%v), want nothing", names, err)
	}
	if got := count(t, ctx, conn, "SELECT count() FROM traffic.schema_migration"); got != uint64(len(migrations)) {
		t.Errorf("ledger has %d rows, want %d", got, len(migrations))
	}
}

// dyingConn is a real connection that is lost when a migration is to be noted:
// the moment between a statement and its ledger row.
type dyingConn struct {
	driver.Conn
	notesLeft int
}

var errDied = errors.New("died")

func (c *dyingConn) Exec(ctx context.Context, query string, args ...any) error {
	if strings.HasPrefix(query, "INSERT INTO traffic.schema_migration") {
		if c.notesLeft == 0 {
			return errDied
		}
		c.notesLeft--
	}
	return c.Conn.Exec(ctx, query, args...)
}

func TestMigrateResumes(t *testing.T) {
	ctx, conn := openUnmigrated(t)
	deaths := 0
	for {
		err := Migrate(ctx, &dyingConn{conn, 1}, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, errDied) {
			t.Fatal(err)
		}
		deaths++
	}
	migrations, _ := readMigrations(migrationFiles, "migration")
	if deaths != len(migrations)-1 {
		t.Errorf("died %d times, want once after each of %d statements but the last", deaths, len(migrations))
	}
	if got := count(t, ctx, conn, "SELECT uniqExact(number) FROM traffic.schema_migration"); got != uint64(len(migrations)) {
		t.Errorf("ledger has %d migrations, want %d", got, len(migrations))
	}
	setPolicy(t, ctx, conn, "P1M")
	if err := Insert(ctx, conn, "t", oneOfEach(1, today(0))); err != nil {
		t.Fatal(err)
	}
	if got := countViews(t, ctx, conn); got != [6]uint64{1, 1, 1, 1, 1, 1} {
		t.Errorf("views after a resumed migration = %v", got)
	}
}

func TestMigrateRefuses(t *testing.T) {
	ctx, conn := openUnmigrated(t)
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate(ctx, conn, "", migrations[:10], nil); err != nil {
		t.Fatal(err)
	}
	edited := append([]migration(nil), migrations...)
	edited[5].sha256 = strings.Repeat("0", 64)
	if err := migrate(ctx, conn, "", edited, nil); !errors.Is(err, ErrMigrationEdited) || !strings.Contains(err.Error(), "start the version that made this store") {
		t.Errorf("an edited file: %v, want ErrMigrationEdited and what to do", err)
	}
	if err := migrate(ctx, conn, "", migrations[:9], nil); !errors.Is(err, ErrStoreNewer) {
		t.Errorf("a store one ahead: %v, want ErrStoreNewer", err)
	}
	const tables = "SELECT count() FROM system.tables WHERE database IN ('traffic', 'register')"
	if got := count(t, ctx, conn, tables); got != 8 {
		t.Errorf("refused migrations left %d tables, want 8 of the first ten files", got)
	}
}
