package statistics

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
)

const day = 24 * time.Hour

// volumes adds up, inside the store, what the lines of each collector moved in
// each hour of one UTC day. Lines are counted, not references: a line whose modem
// changed is one. The lines of one account are one subscriber's, and count in the
// collector through which they moved most, so that no subscriber is in two cells.
// Only what is readable counts, and only lines of the register that are not
// restricted. As everywhere, a BNG's own counts are left out on days on which a
// kernel counted the line, and count once if it told several collectors. Nothing
// leaves the store that is about one subscriber, but the largest two of each figure of a
// cell.
const volumes = `
SELECT hour, main, sum(lines), sum(all_up), sum(all_down), sum(all_packets_up), sum(all_packets_down), count(),
    countIf(all_up > 0), countIf(all_down > 0),
    arrayMap(v -> bitNot(v), groupArraySorted(2)(bitNot(all_up))), arrayMap(v -> bitNot(v), groupArraySorted(2)(bitNot(all_down))),
    arrayMap(v -> bitNot(v), groupArraySorted(2)(bitNot(all_packets_up))), arrayMap(v -> bitNot(v), groupArraySorted(2)(bitNot(all_packets_down)))
FROM (
    SELECT if(l.account_id = '', concat('line ', v.line_id), concat('account ', l.account_id)) AS subscriber, hour,
        argMax(line_main, (line_up + line_down, line_main)) AS main, count() AS lines, sum(line_up) AS all_up, sum(line_down) AS all_down,
        sum(line_packets_up) AS all_packets_up, sum(line_packets_down) AS all_packets_down
    FROM (
        SELECT line_id, hour, argMax(collector, (up + down, collector)) AS line_main,
            if(any(by_kernel), sum(up), max(up)) AS line_up, if(any(by_kernel), sum(down), max(down)) AS line_down,
            if(any(by_kernel), sum(packets_up), max(packets_up)) AS line_packets_up,
            if(any(by_kernel), sum(packets_down), max(packets_down)) AS line_packets_down
        FROM (
            SELECT line_id, hour, collector, by_kernel, max(by_kernel) OVER (PARTITION BY line_id) AS kernel_day, up, down, packets_up, packets_down
            FROM (
                SELECT a.line_id AS line_id, toStartOfHour(u.bucket_started_at, 'UTC') AS hour, toString(u.collector_id) AS collector,
                    u.source = {kernel:String} AS by_kernel,
                    sumIf(u.bytes, u.direction = 'up') AS up, sumIf(u.bytes, u.direction = 'down') AS down,
                    sumIf(u.packets, u.direction = 'up') AS packets_up, sumIf(u.packets, u.direction = 'down') AS packets_down
                FROM traffic.usage AS u
                INNER JOIN (SELECT line_id, access_ref, valid_from, valid_to FROM register.line_access FINAL
                    WHERE line_id NOT IN (SELECT line_id FROM register.restriction FINAL WHERE restricted)) AS a ON a.access_ref = u.access_ref
                WHERE u.bucket_started_at >= {start:DateTime64(3)} AND u.bucket_started_at < {end:DateTime64(3)}
                AND u.bucket_started_at >= a.valid_from AND u.bucket_started_at < a.valid_to
                GROUP BY line_id, hour, collector, by_kernel
            )
        )
        WHERE by_kernel = kernel_day
        GROUP BY line_id, hour
    ) AS v
    LEFT JOIN (SELECT line_id, account_id FROM register.line FINAL) AS l ON l.line_id = v.line_id
    WHERE line_up + line_down > 0
    GROUP BY subscriber, hour
)
GROUP BY hour, main
ORDER BY hour, main`

// Store reads volumes and keeps what was published.
type Store struct {
	conn     driver.Conn
	segments Segments
}

// NewStore returns the statistics of a store.
func NewStore(conn driver.Conn, segments Segments) *Store { return &Store{conn, segments} }

// cells returns the cells of each hour of a UTC day, before any is merged.
func (s *Store) cells(ctx context.Context, start time.Time) (map[time.Time][]Cell, error) {
	rows, err := s.conn.Query(ctx, volumes, clickhouse.Named("kernel", string(schema.UsageKernel)), instant("start", start), instant("end", start.Add(day)))
	if err != nil {
		return nil, fmt.Errorf("statistics: read volumes: %w", err)
	}
	defer rows.Close()
	merged := map[time.Time]map[string]Cell{}
	for rows.Next() {
		var hour time.Time
		var collector string
		var c Cell
		var up, down, packetsUp, packetsDown []uint64
		if err := rows.Scan(&hour, &collector, &c.Lines, &c.BytesUp, &c.BytesDown, &c.PacketsUp, &c.PacketsDown,
			&c.Few.All, &c.Few.Up, &c.Few.Down, &up, &down, &packetsUp, &packetsDown); err != nil {
			return nil, fmt.Errorf("statistics: read volumes: %w", err)
		}
		c.Few.BytesUp, c.Few.BytesDown, c.Few.PacketsUp, c.Few.PacketsDown = topOf(up), topOf(down), topOf(packetsUp), topOf(packetsDown)
		hour = hour.UTC()
		if merged[hour] == nil {
			merged[hour] = map[string]Cell{}
		}
		segment := s.segments.Of(collector)
		c.Segments = []string{segment}
		merged[hour][segment] = merged[hour][segment].add(c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("statistics: read volumes: %w", err)
	}
	out := map[time.Time][]Cell{}
	for hour, cells := range merged {
		for _, c := range cells {
			out[hour] = append(out[hour], c)
		}
	}
	return out, nil
}

// topOf takes the largest two, of which there may be one.
func topOf(largest []uint64) (t Top) {
	if len(largest) > 0 {
		t.First = largest[0]
	}
	if len(largest) > 1 {
		t.Second = largest[1]
	}
	return t
}

func instant(name string, t time.Time) any {
	return clickhouse.DateNamed(name, t.UTC(), clickhouse.MilliSeconds)
}
