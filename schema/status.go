package schema

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Applied tells how many of the migrations that this program knows the store
// has. It changes nothing. Errors: [ErrMigrationEdited], [ErrStoreNewer], or the
// store's.
func Applied(ctx context.Context, conn driver.Conn) (applied, known int, err error) {
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		return 0, 0, err
	}
	noted, err := readApplied(ctx, conn)
	if err != nil {
		return 0, 0, err
	}
	pending, err := pendingMigrations(migrations, noted)
	if err != nil {
		return 0, 0, err
	}
	return len(migrations) - len(pending), len(migrations), nil
}
