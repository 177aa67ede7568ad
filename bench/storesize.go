package main

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// sizeLines is how many lines' day of usage is stored, 1,152 rows each, and of
// addresses of 250 times as many.
const sizeLines = 2000

// benchSize measures bytes a row on disk after merges, of each kind of row that a
// store has most of. Volumes at random are uniform up to 4 GiB and 4 M packets, which
// no codec can press; the day's curve is that of the bench store.
func benchSize(emit func(result)) error {
	return withStore(func(ctx context.Context, conn driver.Conn) error {
		assignments, usage := assignmentFill(1), usageFill(1)
		const random = `INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, sampled_at, direction, ip_version, moved_bytes, moved_packets, counter_bytes, counter_packets, counter_id, collector_id, source)
SELECT access_ref, bucket_started_at, sampled_at, direction, ip_version, b, p, 1000000000000 + sum(b) OVER w, 1000000000 + sum(p) OVER w, counter_id, collector_id, source
FROM (SELECT *, sipHash64(access_ref, direction, ip_version, bucket_started_at) AS h, h % 4294967296 AS b, bitShiftRight(h, 32) % 4194304 AS p FROM default.rows)
WINDOW w AS (PARTITION BY access_ref, direction, ip_version ORDER BY bucket_started_at)`
		const ports = `INSERT INTO traffic.assignment_slice (prefix_address, prefix_length, port_start, port_end, protocol, inside_address, session_id, access_ref, started_at, length_ms, version, end_cause, source, certainty, collector_id)
WITH sipHash64(number) AS h, toDateTime64(today() - 2, 3, 'UTC') AS midnight
SELECT toIPv6(toIPv4(toUInt32(3405803776 + number % 4096))), 128, toUInt16(1024 + h % 64000) AS port, port, if(h % 3 = 0, 6, 17), toIPv6(toIPv4(toUInt32(1681915904 + sipHash64(h) % 2048))), '', '',
	addMilliseconds(midnight, sipHash64(h, 1) % 80000000) AS at, sipHash64(h, 2) % 120000 AS lasted, toUnixTimestamp64Milli(at) + lasted + 3, 'release', 'conntrack', 'observed', 'edge1'
FROM numbers(2000000)`
		for _, kind := range []struct {
			name, table, sql, only string
			target                 float64
		}{
			{"usage_diurnal", usage.table, usage.sql(sizeLines, 1, 0, 1), "", 8},
			{"usage_random", usage.table, random, "", 16},
			{"assignment_sessions", assignments.table, assignments.sql(250*sizeLines, 2, 0, 1), "prefix_length = 56", 24},
			{"assignment_port_blocks", assignments.table, assignments.sql(250*sizeLines, 2, 0, 1), "prefix_length = 128", 24},
			{"assignment_single_ports", assignments.table, ports, "", 24},
		} {
			if kind.name == "usage_random" { // the rows before, with other volumes
				if err := conn.Exec(ctx, "CREATE TABLE default.rows ENGINE = Memory AS SELECT * FROM "+usage.table); err != nil {
					return err
				}
			}
			statements := []string{"TRUNCATE TABLE " + kind.table, kind.sql}
			if kind.only != "" {
				statements = append(statements, fmt.Sprintf("ALTER TABLE %s DELETE WHERE NOT (%s) SETTINGS mutations_sync = 2", kind.table, kind.only))
			}
			for _, statement := range append(statements, "OPTIMIZE TABLE "+kind.table+" FINAL") {
				if err := conn.Exec(ctx, statement); err != nil {
					return err
				}
			}
			rows, bytes, err := onDisk(ctx, conn, kind.table)
			if err != nil {
				return err
			}
			emit(against("size/"+kind.name, float64(bytes)/float64(rows), fmt.Sprintf("B/row on disk of %d", rows), "target", kind.target))
		}
		return nil
	})
}
