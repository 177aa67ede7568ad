package register

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// named binds a query parameter of the server; values never become SQL text.
func named(name string, value any) any { return clickhouse.Named(name, value) }

// at binds an instant with millisecond precision, in UTC.
func at(name string, t time.Time) any {
	return clickhouse.DateNamed(name, t.UTC(), clickhouse.MilliSeconds)
}
