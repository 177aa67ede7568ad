package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A StoredTable is one whose parts a backup copies.
type StoredTable struct {
	Name   string // database and table
	Folder string // where its parts are
	Class  Class  // empty: of none that expires
}

// notCopied are tables that a restored store makes itself.
var notCopied = map[string]bool{"traffic.schema_migration": true, "traffic.schema_migration_lock": true}

// StoredTables lists the tables of the embedded engine that a backup copies.
func StoredTables(ctx context.Context, conn driver.Conn) ([]StoredTable, error) {
	rows, err := conn.Query(ctx, `SELECT concat(database, '.', name), data_paths[1] FROM system.tables
WHERE database IN ('traffic', 'register', 'statistics') AND engine LIKE '%MergeTree' ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("backup: tables: %w", err)
	}
	defer rows.Close()
	var out []StoredTable
	for rows.Next() {
		var t StoredTable
		if err := rows.Scan(&t.Name, &t.Folder); err != nil {
			return nil, fmt.Errorf("backup: tables: %w", err)
		}
		if t.Class = classOf("", t.Name); !notCopied[t.Name] {
			out = append(out, t)
		}
	}
	return out, rows.Err()
}

// Freeze links what a table holds now into a folder of that name, which the
// engine makes under shadow in its own folder. A name is of letters and digits.
func Freeze(ctx context.Context, conn driver.Conn, t StoredTable, name string) error {
	if err := conn.Exec(ctx, "ALTER TABLE "+t.Name+" FREEZE WITH NAME '"+name+"'"); err != nil {
		return fmt.Errorf("backup: freeze %s: %w", t.Name, spaceError(err))
	}
	return nil
}

// AttachPart takes a part that lies in the folder detached of a table into use.
func AttachPart(ctx context.Context, conn driver.Conn, t StoredTable, part string) error {
	if err := conn.Exec(ctx, "ALTER TABLE "+t.Name+" ATTACH PART '"+strings.ReplaceAll(part, "'", "")+"'"); err != nil {
		return fmt.Errorf("restore: attach a part of %s: %w", t.Name, spaceError(err))
	}
	return nil
}

// Empty reports whether a store holds no row of anything.
func Empty(ctx context.Context, conn driver.Conn) (bool, error) {
	tables, err := StoredTables(ctx, conn)
	if err != nil {
		return false, err
	}
	for _, t := range tables {
		var n uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM "+t.Name).Scan(&n); err != nil {
			return false, fmt.Errorf("restore: %s: %w", t.Name, err)
		}
		if n > 0 {
			return false, nil
		}
	}
	return true, nil
}

// Truncate empties every table that a backup copies.
func Truncate(ctx context.Context, conn driver.Conn) error {
	tables, err := StoredTables(ctx, conn)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if err := conn.Exec(ctx, "TRUNCATE TABLE "+t.Name); err != nil {
			return fmt.Errorf("restore: empty %s: %w", t.Name, spaceError(err))
		}
	}
	return nil
}

// SuspendPolicy makes every class unreadable until [WritePolicy] is called again.
// What had expired under the policies so far stays so.
func SuspendPolicy(ctx context.Context, conn driver.Conn) error {
	policyWriting.Lock()
	defer policyWriting.Unlock()
	const suspend = `
INSERT INTO traffic.gate (generation, class, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at)
SELECT generation + 1, class, false, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, now64(3, 'UTC')
FROM traffic.gate
WHERE class != ''
ORDER BY generation DESC
LIMIT 1 BY class`
	if err := conn.Exec(ctx, suspend); err != nil {
		return fmt.Errorf("suspend the retention policy: %w", spaceError(err))
	}
	return nil
}

// Migrations names the program's migrations, each with the SHA-256 of its text.
func Migrations() ([]string, error) {
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		return nil, err
	}
	out := make([]string, len(migrations))
	for i, m := range migrations {
		out[i] = m.name + " " + m.sha256
	}
	return out, nil
}
