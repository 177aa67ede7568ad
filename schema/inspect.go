package schema

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Quarter is what a class has that ended in one quarter of an hour: the interval
// in which [Period.After] is monotone, so that its oldest row is the first of it
// to expire, whatever the calendar does.
type Quarter struct {
	Oldest time.Time // ended_at
	Rows   uint64
}

// classViews names the view that readers have of each class.
var classViews = map[Class]string{
	ClassSession:    "traffic.session",
	ClassAssignment: "traffic.assignment",
	ClassUsage5m:    "traffic.usage",
	ClassUsageDay:   "traffic.usage_day",
	ClassCoverage:   "traffic.coverage",
	ClassAccessLog:  "traffic.access_log",
}

// startColumns names when a row of each class started: what its partition goes by.
var startColumns = map[Class]string{
	ClassSession:    "started_at",
	ClassAssignment: "started_at",
	ClassUsage5m:    "bucket_started_at",
	ClassUsageDay:   "started_at",
	ClassCoverage:   "started_at",
	ClassAccessLog:  "happened_at",
}

// Readable returns, by quarter of an hour, what readers see of a class that ended
// at or before through. It reads the view, and of the table behind it only the
// days up to there.
func Readable(ctx context.Context, conn driver.Conn, class Class, through time.Time) ([]Quarter, error) {
	return quarters(ctx, conn, fmt.Sprintf("SELECT min(ended_at), count() FROM %s WHERE %s <= fromUnixTimestamp64Milli(?, 'UTC') AND ended_at <= fromUnixTimestamp64Milli(?, 'UTC')",
		classViews[class], startColumns[class]), through.UnixMilli(), through.UnixMilli())
}

// Stored is Readable of the table itself, whatever may be read of it. With whole
// it reads every row; otherwise it trusts the table's own constraint that no row
// ends before it starts.
func Stored(ctx context.Context, conn driver.Conn, class Class, through time.Time, whole bool) ([]Quarter, error) {
	query := fmt.Sprintf("SELECT min(ended_at), count() FROM %s WHERE ended_at <= fromUnixTimestamp64Milli(?, 'UTC')", tables[class])
	if whole {
		return quarters(ctx, conn, query, through.UnixMilli())
	}
	return quarters(ctx, conn, query+fmt.Sprintf(" AND %s <= fromUnixTimestamp64Milli(?, 'UTC')", startColumns[class]), through.UnixMilli(), through.UnixMilli())
}

func quarters(ctx context.Context, conn driver.Conn, query string, args ...any) ([]Quarter, error) {
	rows, err := conn.Query(ctx, query+" GROUP BY toStartOfFifteenMinutes(ended_at) ORDER BY 1", args...)
	if err != nil {
		return nil, fmt.Errorf("inspect: %w", err)
	}
	defer rows.Close()
	var out []Quarter
	for rows.Next() {
		var q Quarter
		if err := rows.Scan(&q.Oldest, &q.Rows); err != nil {
			return nil, fmt.Errorf("inspect: %w", err)
		}
		q.Oldest = q.Oldest.UTC()
		out = append(out, q)
	}
	return out, rows.Err()
}

// OldestEnd returns the earliest ended_at of what the store holds of a class that
// started before the end of the UTC day; zero without rows.
func OldestEnd(ctx context.Context, conn driver.Conn, class Class, day time.Time) (time.Time, error) {
	var oldest time.Time
	var rows uint64
	query := fmt.Sprintf("SELECT min(ended_at), count() FROM %s WHERE %s < fromUnixTimestamp64Milli(?, 'UTC')", tables[class], startColumns[class])
	if err := conn.QueryRow(ctx, query, endOfDay(day).UnixMilli()).Scan(&oldest, &rows); err != nil {
		return time.Time{}, fmt.Errorf("inspect: %w", err)
	}
	if rows == 0 {
		return time.Time{}, nil
	}
	return oldest.UTC(), nil
}

// HasTable reports whether rows of the class are stored in a table of their own.
func (c Class) HasTable() bool { return tables[c] != "" }

// A PartFolder is a part that is no longer, or not, in use: outdated (superseded
// or dropped, and not unlinked yet) or detached (set aside by hand or by the
// engine because it was broken; nothing ever drops it).
type PartFolder struct {
	Class    Class
	Name     string
	Day      time.Time // zero if the name does not tell
	Detached bool
}

// IdleParts lists the parts of the traffic tables that are not in use and hold
// rows: for a minute after a drop an empty part stands where the dropped ones were.
func IdleParts(ctx context.Context, conn driver.Conn) ([]PartFolder, error) {
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("inspect: parts: %w", err)
	}
	every := func(table string) string { // of every replica: each has its own disk
		if cluster == "" {
			return table
		}
		return "clusterAllReplicas('" + string(cluster) + "', " + table + ")"
	}
	rows, err := conn.Query(ctx, `
SELECT concat(database, '.', table), name, false FROM `+every("system.parts")+` WHERE NOT active AND rows > 0 AND database = 'traffic'
UNION ALL
SELECT concat(database, '.', table), name, true FROM `+every("system.detached_parts")+` WHERE database = 'traffic'`)
	if err != nil {
		return nil, fmt.Errorf("inspect: parts: %w", err)
	}
	defer rows.Close()
	var out []PartFolder
	for rows.Next() {
		var p PartFolder
		var table string
		if err := rows.Scan(&table, &p.Name, &p.Detached); err != nil {
			return nil, fmt.Errorf("inspect: parts: %w", err)
		}
		if p.Class = classOf(cluster, table); p.Class != "" {
			p.Day, _ = PartDay(p.Name)
			out = append(out, p)
		}
	}
	return out, rows.Err()
}

func classOf(cluster Cluster, table string) Class {
	for class, name := range tables {
		if cluster.Local(name) == table {
			return class
		}
	}
	return ""
}

// PartDay reads the UTC day that a part holds from the name of its folder, such
// as 20261120_1_1_0, detached/broken_20261120_1_1_0 or, of a lightweight update,
// patch-HASH-20261120_1_1_0. It reports false for the folder of anything else,
// parts of undated tables among it.
func PartDay(folder string) (time.Time, bool) {
	fields := strings.Split(folder, "_")
	for i, field := range fields {
		field = field[strings.LastIndexByte(field, '-')+1:]
		if len(fields)-i < 4 || len(field) != 8 || !digits(field) || !digits(fields[i+1:i+4]...) {
			continue
		}
		if day, err := time.Parse("20060102", field); err == nil {
			return day, true
		}
	}
	return time.Time{}, false
}

// digits reports whether all are numbers, as in DAY_MIN_MAX_LEVEL.
func digits(fields ...string) bool {
	return !slices.ContainsFunc(fields, func(f string) bool {
		return f == "" || strings.Trim(f, "0123456789") != ""
	})
}

// TableFolders maps the store's identifiers of tables, which are the names of
// their folders, to the class of what is in them; an empty class for a table that
// holds none.
func TableFolders(ctx context.Context, conn driver.Conn) (map[string]Class, error) {
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("inspect: tables: %w", err)
	}
	rows, err := conn.Query(ctx, "SELECT toString(uuid), concat(database, '.', name) FROM system.tables WHERE uuid != toUUID('00000000-0000-0000-0000-000000000000')")
	if err != nil {
		return nil, fmt.Errorf("inspect: tables: %w", err)
	}
	defer rows.Close()
	out := make(map[string]Class)
	for rows.Next() {
		var id, table string
		if err := rows.Scan(&id, &table); err != nil {
			return nil, fmt.Errorf("inspect: tables: %w", err)
		}
		out[id] = classOf(cluster, table)
	}
	return out, rows.Err()
}
