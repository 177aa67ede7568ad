package schema

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// A DayPartition is what the store holds of one class that started on one UTC
// day. It leaves the disk as a whole or not at all.
type DayPartition struct {
	Class     Class
	Day       time.Time // UTC midnight
	Rows      uint64    // as stored, superseded versions included
	DiskBytes uint64
	Parts     int
	// PartsSHA256 is the hash, in hexadecimal, of its list of parts: a line each
	// with name, rows and the store's own hash of the part's files, in order. Of
	// no parts it is the hash of nothing.
	PartsSHA256 string
	// DropAt is from when on the policy in force has it dropped; zero for a class
	// without a policy, which is never dropped.
	DropAt time.Time

	id string // the store's own name of the partition
}

// Partitions lists what is stored, in active parts, in the order of [Classes] and
// then of days.
func Partitions(ctx context.Context, conn driver.Conn) ([]DayPartition, error) {
	policies, err := readStoredPolicies(ctx, conn)
	if err != nil {
		return nil, err
	}
	var all []DayPartition
	for _, class := range Classes {
		if tables[class] == "" {
			continue
		}
		partitions, err := readPartitions(ctx, conn, class, "")
		if err != nil {
			return nil, err
		}
		for _, p := range partitions {
			if policy := policies[class]; policy.present {
				if p.DropAt, err = policy.dropAt(p.Day); err != nil {
					return nil, fmt.Errorf("list partitions: stored class %s: %w", class, err)
				}
			}
			all = append(all, p)
		}
	}
	return all, nil
}

// readPartitions lists the partitions of a class, or only the one with the id.
func readPartitions(ctx context.Context, conn driver.Conn, class Class, id string) ([]DayPartition, error) {
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	rows, err := conn.Query(ctx, `
SELECT partition_id, toDateTime64(min(partition), 3, 'UTC'), sum(rows), sum(bytes_on_disk), count(),
    lower(hex(SHA256(arrayStringConcat(arraySort(groupArray(concat(name, ' ', toString(rows), ' ', hash_of_all_files, '\n')))))))
FROM `+cluster.Parts(tables[class])+`
WHERE active AND rows > 0 AND concat(database, '.', table) = ? AND (? = '' OR partition_id = ?)
GROUP BY partition_id
ORDER BY partition_id`, cluster.Local(tables[class]), id, id)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	defer rows.Close()
	var partitions []DayPartition
	for rows.Next() {
		p := DayPartition{Class: class}
		var parts uint64
		if err := rows.Scan(&p.id, &p.Day, &p.Rows, &p.DiskBytes, &parts, &p.PartsSHA256); err != nil {
			return nil, fmt.Errorf("list partitions: %w", err)
		}
		p.Day, p.Parts = p.Day.UTC(), int(parts)
		partitions = append(partitions, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return partitions, nil
}

// noParts is the hash of a list of no parts.
const noParts = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
