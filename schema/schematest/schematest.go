// Package schematest gives tests a store with this program's schema.
package schematest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// Start is [enginetest.Start] with an engine whose store is migrated. The
// migrations run once in a process; tests after the first get a copy of what they
// made. To migrate it again is allowed, and does nothing.
func Start(t testing.TB) *enginetest.Database {
	t.Helper()
	return enginetest.Prepared(t, "schema", with(migrate))
}

// Spared is Start with tables that do not wait for the disk at each insert, for
// tests that never cut the power. A process that is killed loses nothing by that.
func Spared(t testing.TB) *enginetest.Database {
	t.Helper()
	return enginetest.Prepared(t, "schema, spared", with(func(ctx context.Context, conn driver.Conn) error {
		if err := migrate(ctx, conn); err != nil {
			return err
		}
		var tables []string
		const query = "SELECT groupArray(concat(database, '.', name)) FROM system.tables WHERE database IN ('traffic', 'register', 'statistics') AND engine LIKE '%MergeTree'"
		if err := conn.QueryRow(ctx, query).Scan(&tables); err != nil {
			return err
		}
		for _, table := range tables {
			if err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0", table)); err != nil {
				return err
			}
		}
		return nil
	}))
}

func migrate(ctx context.Context, conn driver.Conn) error {
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		return err
	}
	return enginetest.Compact(ctx, conn, "traffic.schema_migration")
}

// with opens the store that f prepares, and closes it.
func with(f func(context.Context, driver.Conn) error) func(context.Context, string) error {
	return func(ctx context.Context, socket string) error {
		conn, err := schema.Open(ctx, schema.Config{Socket: socket, Settings: map[string]any{"fsync_metadata": 0}})
		if err != nil {
			return err
		}
		return errors.Join(f(ctx, conn), conn.Close())
	}
}
