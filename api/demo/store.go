package demo

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/schema"
)

// untilStored waits until a query about the demo's collector ({id:String})
// answers true. The demo looks into the store only to know when to go on; what
// it shows comes from the API.
func (d *demo) untilStored(ctx context.Context, query string) error {
	conn, err := schema.Open(ctx, schema.Config{Socket: d.config.Store.Socket})
	if err != nil {
		return err
	}
	defer conn.Close()
	return until(ctx, 30*time.Second, 200*time.Millisecond, func() (bool, error) {
		var yes bool
		err := conn.QueryRow(ctx, query, clickhouse.Named("id", collectorID)).Scan(&yes)
		return yes, err
	})
}
