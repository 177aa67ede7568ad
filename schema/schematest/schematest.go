// Package schematest gives tests a store with this program's schema.
package schematest

import (
	"context"
	"errors"
	"testing"

	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// Start is [enginetest.Start] with an engine whose store is migrated. The
// migrations run once in a process; tests after the first get a copy of what they
// made. To migrate it again is allowed, and does nothing.
func Start(t testing.TB) *enginetest.Database {
	t.Helper()
	return enginetest.Prepared(t, "schema", func(ctx context.Context, socket string) error {
		conn, err := schema.Open(ctx, schema.Config{Socket: socket, Settings: map[string]any{"fsync_metadata": 0}})
		if err != nil {
			return err
		}
		if err = schema.Migrate(ctx, conn, nil); err == nil {
			err = enginetest.Compact(ctx, conn, "traffic.schema_migration")
		}
		return errors.Join(err, conn.Close())
	})
}
