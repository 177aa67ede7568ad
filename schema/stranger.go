package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Stranger is something in the store that no migration made and that may hold or
// show rows: nothing in it expires.
type Stranger struct {
	Name string // database and table, cut short
	// Inside tells that it is in one of the store's own databases, or reads them: on
	// a server, others' databases are none of ours.
	Inside bool
}

// Strangers lists the tables with rows, and the views of the traffic database, that
// the migrations do not make.
func Strangers(ctx context.Context, conn driver.Conn) ([]Stranger, error) {
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("inspect: tables: %w", err)
	}
	known, err := madeByMigrations(cluster)
	if err != nil {
		return nil, fmt.Errorf("inspect: tables: %w", err)
	}
	rows, err := conn.Query(ctx, `
SELECT concat(database, '.', name), database IN ('traffic', 'register', 'statistics') OR position(as_select, 'traffic.') > 0
FROM system.tables
WHERE database NOT IN ('system', 'INFORMATION_SCHEMA', 'information_schema') AND NOT is_temporary
    AND (engine LIKE '%View' AND position(as_select, 'traffic.') > 0
        OR engine NOT LIKE '%View' AND engine NOT IN ('Distributed', 'Merge', 'Null') AND ifNull(total_rows, 1) > 0)
ORDER BY 1`)
	if err != nil {
		return nil, fmt.Errorf("inspect: tables: %w", err)
	}
	defer rows.Close()
	var out []Stranger
	for rows.Next() {
		var s Stranger
		if err := rows.Scan(&s.Name, &s.Inside); err != nil {
			return nil, fmt.Errorf("inspect: tables: %w", err)
		}
		if !known[s.Name] && !strings.HasPrefix(s.Name, "traffic."+lockPrefix) {
			s.Name = clip(s.Name)
			out = append(out, s)
		}
	}
	return out, rows.Err()
}

// madeByMigrations returns the tables and views that a whole store has.
func madeByMigrations(c Cluster) (map[string]bool, error) {
	migrations, err := readMigrations(migrationFiles, "migration")
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for _, m := range migrations {
		_, statement := splitComment(m.statement)
		for _, form := range []interface{ FindStringSubmatch(string) []string }{createTable, createView, createRollup} {
			if found := form.FindStringSubmatch(statement); found != nil {
				made[found[1]], made[c.Local(found[1])] = true, true
			}
		}
		if found := dropObject.FindStringSubmatch(statement); found != nil {
			delete(made, found[2])
			delete(made, c.Local(found[2]))
		}
	}
	return made, nil
}
