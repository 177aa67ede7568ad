package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A Drop is a partition that [DropExpired] removed.
type Drop struct {
	Class     Class
	Day       time.Time // UTC midnight: the partition held what started on this day
	Rows      uint64    // as stored, superseded versions included
	DiskBytes uint64
}

// partition is one day of one class as the store holds it.
type partition struct {
	class Class
	id    string // the store's own name of it
	day   time.Time
	rows  uint64
	bytes uint64
}

// DropExpired removes from disk every day's partition of which no possible row
// can be readable at now: all that could start on that day has expired under the
// policy in force, or had expired under an earlier one. It only ever removes
// whole partitions and touches nothing that may still be read, and nothing of a
// class that has no policy.
//
// The caller vouches for now; what a clock in the future drops is gone. On error
// it returns what it had dropped until then.
func DropExpired(ctx context.Context, conn driver.Conn, now time.Time) ([]Drop, error) {
	if err := checkTime("drop expired: now", now); err != nil {
		return nil, err
	}
	policies, err := readStoredPolicies(ctx, conn)
	if err != nil {
		return nil, err
	}
	var drops []Drop
	for _, class := range Classes {
		policy, ok := policies[class]
		if tables[class] == "" || !ok || !policy.present {
			continue
		}
		partitions, err := readPartitions(ctx, conn, class)
		if err != nil {
			return drops, err
		}
		for _, p := range partitions {
			expired, err := policy.dayExpired(p.day, now)
			if err != nil {
				return drops, fmt.Errorf("drop expired: class %s: %w", class, err)
			}
			if !expired {
				continue
			}
			if err := dropPartition(ctx, conn, p); err != nil {
				return drops, err
			}
			drops = append(drops, Drop{class, p.day, p.rows, p.bytes})
		}
	}
	return drops, nil
}

// dayExpired reports whether everything that can start on the UTC day, and so
// ends within it, has expired at now.
func (p storedPolicy) dayExpired(day, now time.Time) (bool, error) {
	end := endOfDay(day)
	if !p.expiredThrough.Before(end) {
		return true, nil
	}
	period, zone, err := p.rule()
	if err != nil {
		return false, err
	}
	return !period.allExpired(day, end, zone).After(now), nil
}

func readPartitions(ctx context.Context, conn driver.Conn, class Class) ([]partition, error) {
	rows, err := conn.Query(ctx, `
SELECT partition_id, toDateTime64(min(partition), 3, 'UTC'), sum(rows), sum(bytes_on_disk)
FROM system.parts
WHERE active AND rows > 0 AND concat(database, '.', table) = ?
GROUP BY partition_id
ORDER BY partition_id`, tables[class])
	if err != nil {
		return nil, fmt.Errorf("drop expired: list partitions: %w", err)
	}
	defer rows.Close()
	var partitions []partition
	for rows.Next() {
		p := partition{class: class}
		if err := rows.Scan(&p.id, &p.day, &p.rows, &p.bytes); err != nil {
			return nil, fmt.Errorf("drop expired: list partitions: %w", err)
		}
		partitions = append(partitions, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("drop expired: list partitions: %w", err)
	}
	return partitions, nil
}

func dropPartition(ctx context.Context, conn driver.Conn, p partition) error {
	// Identifiers cannot be parameters here; table and id are this store's own.
	statement := fmt.Sprintf("ALTER TABLE %s DROP PARTITION ID '%s'", tables[p.class], p.id)
	if err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("drop expired: class %s: %w", p.class, err)
	}
	return nil
}
