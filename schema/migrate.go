package schema

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed migration/*.sql
var migrationFiles embed.FS

// Errors of [Migrate].
var (
	// ErrMigrationEdited: a file is not what the store was migrated with. A
	// released migration never changes; its successor does.
	ErrMigrationEdited = errors.New("migration was edited after it was applied")
	// ErrStoreNewer: the store has a migration that this program does not know.
	ErrStoreNewer = errors.New("store was migrated by a newer version")
)

// A migration is one numbered statement.
type migration struct {
	number    uint32
	name      string // file name without .sql
	statement string
	sha256    string
}

// Migrate brings a store of one server, or the embedded engine's, up to this
// program's schema: [MigrateCluster] without a cluster.
func Migrate(ctx context.Context, conn driver.Conn, progress func(name string)) error {
	return MigrateCluster(ctx, conn, "", progress)
}

// MigrateCluster brings the store up to this program's schema. It applies the
// embedded statements in order, in the form for the cluster, and notes each, with
// the SHA-256 of its file, in traffic.schema_migration; progress, if not nil, is
// called with the name of each before it runs. Every statement can run twice, so a
// run that died between a statement and its note is simply run again. Of several
// processes that migrate a store at once one does it and the others wait; after
// one that died they wait up to half a minute.
//
// It changes nothing and returns [ErrMigrationEdited] or [ErrStoreNewer] if the
// store's ledger disagrees with the embedded files, and [ErrOtherForm] if the
// store was made for one server and this is a cluster, or the other way round.
func MigrateCluster(ctx context.Context, conn driver.Conn, cluster Cluster, progress func(name string)) error {
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		return err
	}
	return migrate(ctx, conn, cluster, migrations, progress)
}

func migrate(ctx context.Context, conn driver.Conn, cluster Cluster, migrations []migration, progress func(name string)) (err error) {
	if err := cluster.Validate(); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	pending, err := pendingOf(ctx, conn, cluster, migrations)
	if err != nil || len(pending) == 0 {
		return err
	}
	lock, err := lockMigration(ctx, conn, cluster)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.release()) }()
	if pending, err = pendingOf(ctx, conn, cluster, migrations); err != nil { // another may just have done it
		return err
	}
	var unnoted []migration // applied before the ledger table existed
	for _, m := range pending {
		if progress != nil {
			progress(m.name)
		}
		statements, err := cluster.statements(m)
		if err != nil {
			return err
		}
		for _, statement := range statements {
			if err := lock.check(ctx); err != nil {
				return fmt.Errorf("migrate: %s: %w", m.name, err)
			}
			if err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migrate: %s: %w", m.name, err)
			}
		}
		unnoted = append(unnoted, m)
		if m.number < ledgerMigration {
			continue
		}
		if err := noteApplied(ctx, conn, unnoted); err != nil {
			return err
		}
		unnoted = nil
	}
	return nil
}

// pendingOf asks the store what it lacks.
func pendingOf(ctx context.Context, conn driver.Conn, cluster Cluster, migrations []migration) ([]migration, error) {
	engine, err := ledgerEngine(ctx, conn)
	if err != nil {
		return nil, err
	}
	if replicated := strings.HasPrefix(engine, "Replicated"); engine != "" && replicated != (cluster != "") {
		form := "one server; leave store.cluster empty, or move it to a new cluster"
		if replicated {
			form = "a cluster; name it in store.cluster"
		}
		return nil, fmt.Errorf("migrate: %w: it was made for %s", ErrOtherForm, form)
	}
	applied, err := readApplied(ctx, conn)
	if err != nil {
		return nil, err
	}
	return pendingMigrations(migrations, applied)
}

// ledgerMigration is the number of the migration that makes the ledger table.
const ledgerMigration = 2

// readMigrations reads NNNN_name.sql files, numbered from 1 without a hole.
func readMigrations(files fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var migrations []migration
	for i, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".sql")
		number, err := strconv.ParseUint(strings.SplitN(name, "_", 2)[0], 10, 32)
		if err != nil || number != uint64(i+1) {
			return nil, fmt.Errorf("migrate: %s: want number %d", entry.Name(), i+1)
		}
		text, err := fs.ReadFile(files, path.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		sum := sha256.Sum256(text)
		migrations = append(migrations, migration{uint32(number), name, string(text), hex.EncodeToString(sum[:])})
	}
	return migrations, nil
}

// pendingMigrations returns what is not applied yet. Applied maps a number to
// the SHA-256 values noted for it.
func pendingMigrations(migrations []migration, applied map[uint32][]string) ([]migration, error) {
	known := make(map[uint32]bool)
	var pending []migration
	for _, m := range migrations {
		known[m.number] = true
		sums, done := applied[m.number]
		if !done {
			pending = append(pending, m)
		}
		for _, sum := range sums {
			if sum != m.sha256 {
				return nil, fmt.Errorf("migrate: %s: %w; nothing was changed: start the version that made this store, or begin with an empty one", m.name, ErrMigrationEdited)
			}
		}
	}
	for number := range applied {
		if !known[number] {
			return nil, fmt.Errorf("migrate: number %d: %w; nothing was changed: start that version, or a later one", number, ErrStoreNewer)
		}
	}
	return pending, nil
}

// ledgerEngine returns the engine of the table that notes migrations, or "" while
// there is none.
func ledgerEngine(ctx context.Context, conn driver.Conn) (string, error) {
	var engine string
	const query = "SELECT if(count() = 0, '', any(engine)) FROM system.tables WHERE database = 'traffic' AND name = 'schema_migration'"
	if err := conn.QueryRow(ctx, query).Scan(&engine); err != nil {
		return "", fmt.Errorf("migrate: %w", err)
	}
	return engine, nil
}

func readApplied(ctx context.Context, conn driver.Conn) (map[uint32][]string, error) {
	applied := make(map[uint32][]string)
	if engine, err := ledgerEngine(ctx, conn); err != nil || engine == "" {
		return applied, err
	}
	rows, err := conn.Query(ctx, "SELECT number, sha256 FROM traffic.schema_migration")
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var number uint32
		var sum string
		if err := rows.Scan(&number, &sum); err != nil {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		applied[number] = append(applied[number], sum)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return applied, nil
}

func noteApplied(ctx context.Context, conn driver.Conn, done []migration) error {
	for _, m := range done {
		const note = "INSERT INTO traffic.schema_migration SELECT ?, ?, ?, now64(3)"
		if err := conn.Exec(ctx, note, m.number, m.name, m.sha256); err != nil {
			return fmt.Errorf("migrate: note %s: %w", m.name, err)
		}
	}
	return nil
}
