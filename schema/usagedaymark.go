package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A UsageDayMark says how far the buckets of one UTC day are rolled up into
// [UsageDay] rows.
type UsageDayMark struct {
	UTCDay          time.Time // midnight
	Through         time.Time // local days that had ended by then are rolled up
	Blocks          int64     // newest block of buckets that is counted in, see UsageBlocks
	RegisterVersion uint64    // changes of the register up to it are counted in
	BucketRows      uint64    // rows of the whole UTC day
}

// ReadUsageDayMarks returns the marks of the UTC days that touch [start, end), in order.
func ReadUsageDayMarks(ctx context.Context, conn driver.Conn, start, end time.Time) ([]UsageDayMark, error) {
	rows, err := conn.Query(ctx, `SELECT toDateTime64(utc_day, 3, 'UTC'), through, blocks, register_version, bucket_rows
		FROM traffic.usage_day_mark FINAL
		WHERE utc_day >= toDate({start:DateTime64(3)}, 'UTC') AND utc_day <= toDate({end:DateTime64(3)}, 'UTC') ORDER BY utc_day`,
		clickhouse.DateNamed("start", start.UTC(), clickhouse.MilliSeconds),
		clickhouse.DateNamed("end", end.UTC().Add(-time.Millisecond), clickhouse.MilliSeconds))
	if err != nil {
		return nil, fmt.Errorf("read marks of usage days: %w", err)
	}
	defer rows.Close()
	var marks []UsageDayMark
	for rows.Next() {
		var m UsageDayMark
		if err := rows.Scan(&m.UTCDay, &m.Through, &m.Blocks, &m.RegisterVersion, &m.BucketRows); err != nil {
			return nil, fmt.Errorf("read marks of usage days: %w", err)
		}
		m.UTCDay, m.Through = m.UTCDay.UTC(), m.Through.UTC()
		marks = append(marks, m)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read marks of usage days: %w", err)
	}
	return marks, nil
}

// WriteUsageDayMarks stores marks, durably, as one block. Of a day the mark of
// the highest version counts.
func WriteUsageDayMarks(ctx context.Context, conn driver.Conn, version uint64, marks []UsageDayMark) error {
	if len(marks) == 0 {
		return nil
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO traffic.usage_day_mark (utc_day, through, blocks, register_version, bucket_rows, version)")
	if err != nil {
		return fmt.Errorf("write marks of usage days: %w", err)
	}
	defer batch.Close()
	for _, m := range marks {
		if err := batch.Append(m.UTCDay.UTC(), m.Through.UTC(), m.Blocks, m.RegisterVersion, m.BucketRows, version); err != nil {
			return fmt.Errorf("write marks of usage days: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("write marks of usage days: %w", err)
	}
	return nil
}

// UsageBlocks returns, by UTC day, the number of the newest block of buckets that
// the store holds. Whatever is stored for a day raises it; what the store does by
// itself (merging) and what it refuses (a replay that it recognises) does not. It
// is empty when the store does not tell, as through a distributed table.
func UsageBlocks(ctx context.Context, conn driver.Conn) (map[time.Time]int64, error) {
	rows, err := conn.Query(ctx, `SELECT toDateTime64(min(partition), 3, 'UTC'), max(max_block_number)
		FROM system.parts WHERE active AND rows > 0 AND concat(database, '.', table) = ? GROUP BY partition_id`, tables[ClassUsage5m])
	if err != nil {
		return nil, fmt.Errorf("list blocks of usage: %w", err)
	}
	defer rows.Close()
	blocks := map[time.Time]int64{}
	for rows.Next() {
		var day time.Time
		var newest int64
		if err := rows.Scan(&day, &newest); err != nil {
			return nil, fmt.Errorf("list blocks of usage: %w", err)
		}
		blocks[day.UTC()] = newest
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list blocks of usage: %w", err)
	}
	return blocks, nil
}

// UsageRows counts the bucket rows of each UTC day in [start, end) that are on
// disk, readable or not, a row that came twice once. A day without rows is absent.
func UsageRows(ctx context.Context, conn driver.Conn, start, end time.Time) (map[time.Time]uint64, error) {
	rows, err := conn.Query(ctx, "SELECT toStartOfDay(bucket_started_at, 'UTC') AS utc_day, count() FROM "+tables[ClassUsage5m]+` FINAL
		WHERE bucket_started_at >= {start:DateTime64(3)} AND bucket_started_at < {end:DateTime64(3)} GROUP BY utc_day`,
		clickhouse.DateNamed("start", start.UTC(), clickhouse.MilliSeconds), clickhouse.DateNamed("end", end.UTC(), clickhouse.MilliSeconds))
	if err != nil {
		return nil, fmt.Errorf("count rows of usage: %w", err)
	}
	defer rows.Close()
	counts := map[time.Time]uint64{}
	for rows.Next() {
		var day time.Time
		var n uint64
		if err := rows.Scan(&day, &n); err != nil {
			return nil, fmt.Errorf("count rows of usage: %w", err)
		}
		counts[day.UTC()] = n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count rows of usage: %w", err)
	}
	return counts, nil
}

// ReadableSince returns the instant at or before which rows of class must have
// ended to be unreadable at [Now]: a row that ended later can be read. Without a
// policy nothing can, and ok is false.
func ReadableSince(ctx context.Context, conn driver.Conn, class Class) (since time.Time, ok bool, err error) {
	var p storedPolicy
	var now time.Time
	row := conn.QueryRow(ctx, `SELECT tupleElement(newest, 1), tupleElement(newest, 2), tupleElement(newest, 3), tupleElement(newest, 4), now
		FROM (SELECT argMaxIf((present, period, zone, expired_through), generation, class = ?) AS newest, greatest(now64(3, 'UTC'), max(floor)) AS now FROM traffic.gate)`, string(class))
	err = row.Scan(&p.present, &p.Period, &p.Zone, &p.expiredThrough, &now)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("read retention policy: %w", err)
	}
	if !p.present {
		return time.Time{}, false, nil
	}
	if since, err = p.ReadableFrom(now); err != nil {
		return time.Time{}, false, fmt.Errorf("class %s: %w", class, err)
	}
	if p.expiredThrough.After(since) {
		since = p.expiredThrough.UTC()
	}
	return since, true, nil
}

// UsageDayVersion returns the highest version of a [UsageDay] row or mark that is
// stored, withdrawn ones included.
func UsageDayVersion(ctx context.Context, conn driver.Conn) (uint64, error) {
	var rows, marks uint64
	err := conn.QueryRow(ctx, "SELECT (SELECT max(version) FROM "+tables[ClassUsageDay]+"), (SELECT max(version) FROM traffic.usage_day_mark)").Scan(&rows, &marks)
	if err != nil {
		return 0, fmt.Errorf("read version of usage days: %w", err)
	}
	return max(rows, marks), nil
}
