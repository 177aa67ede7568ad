package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A LogTable is a table in which a server logs what it does.
type LogTable struct {
	Name string // database and table
	// Rows mention the traffic database, which a query's text does. Of a table that
	// this user may not read they are all rows, which is all that can be said.
	Rows uint64
	// Texts tells whether the table has texts of queries at all.
	Texts bool
	// Closed: this user may not read it.
	Closed bool
}

// logTexts are the columns in which a server's logs quote statements.
var logTexts = []string{"query", "formatted_query", "message", "exception", "view_query", "attribute", "last_error_message"}

// accessDenied is the store's code for what a user may not do.
const accessDenied = 497

// LogTables lists the logs of the server that is asked, wherever its configuration
// puts them, and those that an upgrade renamed (query_log_0). The embedded engine has none.
func LogTables(ctx context.Context, conn driver.Conn) ([]LogTable, error) {
	rows, err := conn.Query(ctx, `
SELECT concat(database, '.', table), groupArray(name) FROM system.columns
WHERE table LIKE '%\_log%' AND database NOT IN ('traffic', 'register', 'statistics')
    AND (database, table) IN (SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree')
GROUP BY 1 ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("inspect: logs: %w", err)
	}
	defer rows.Close()
	var out []LogTable
	for rows.Next() {
		var l LogTable
		var columns []string
		if err := rows.Scan(&l.Name, &columns); err != nil {
			return nil, fmt.Errorf("inspect: logs: %w", err)
		}
		var where []string
		for _, text := range logTexts {
			if slices.Contains(columns, text) {
				where = append(where, "positionCaseInsensitive(toString("+text+"), 'traffic.') > 0")
			}
		}
		if l.Texts = len(where) > 0; l.Texts {
			if err := l.count(ctx, conn, strings.Join(where, " OR ")); err != nil {
				return nil, fmt.Errorf("inspect: %s: %w", clip(l.Name), err)
			}
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

// count counts the rows of a log that mention the traffic database. This very
// question is not logged where log_queries is off, and counts itself where it is not.
func (l *LogTable) count(ctx context.Context, conn driver.Conn, mentions string) error {
	database, table, _ := strings.Cut(l.Name, ".")
	err := conn.QueryRow(ctx, "SELECT count() FROM "+quoteName(database)+"."+quoteName(table)+" WHERE "+mentions).Scan(&l.Rows)
	if exception, ok := errors.AsType[*clickhouse.Exception](err); !ok || exception.Code != accessDenied {
		return err
	}
	l.Closed = true
	return conn.QueryRow(ctx, "SELECT max(ifNull(total_rows, 1)) FROM system.tables WHERE database = ? AND name = ?", database, table).Scan(&l.Rows)
}

// quoteName writes a name of somebody else's making as an identifier.
func quoteName(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

// LogsQueries reports whether the connection's queries are logged by the server.
func LogsQueries(ctx context.Context, conn driver.Conn) (bool, error) {
	var value string
	if err := conn.QueryRow(ctx, "SELECT value FROM system.settings WHERE name = 'log_queries'").Scan(&value); err != nil {
		return false, fmt.Errorf("inspect: settings: %w", err)
	}
	return value != "0", nil
}
