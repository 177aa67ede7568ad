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

// MaxInsertRecords bounds one call of [Insert], so that each kind stays one
// block and its token names exactly that block.
const MaxInsertRecords = 500_000

// tables names the base table of each class, which only this package touches.
var tables = map[Class]string{
	ClassSession:    "traffic.session_slice",
	ClassAssignment: "traffic.assignment_slice",
	ClassUsage5m:    "traffic.usage_bucket",
	ClassUsageDay:   "traffic.usage_day_part",
	ClassCoverage:   "traffic.coverage_slice",
	ClassAccessLog:  "traffic.access_log_entry",
}

// Insert stores records and returns when they are on disk. It sends one block a
// kind, in the order session, assignment, usage, usage day, coverage, access log: a stored
// coverage slice therefore proves that what it covers is stored.
//
// Token names the whole set. A caller that does not know whether an Insert
// succeeded repeats it with the same token and records: what is already there is
// recognised by token and kind (the store remembers the last 100,000 blocks of a
// table) and, should that memory be too short, by the rows' own keys.
//
// Every record is checked before anything is sent; the error then wraps
// [ErrInvalid] and gives the record's index. On a full disk it wraps [ErrNoSpace].
// Insert is safe for concurrent use.
func Insert(ctx context.Context, conn driver.Conn, token string, records []Record) error {
	if token == "" {
		return errors.New("insert: empty token")
	}
	if len(records) > MaxInsertRecords {
		return fmt.Errorf("insert: %d records, at most %d at once", len(records), MaxInsertRecords)
	}
	var s struct {
		sessions    []*Session
		assignments []*Assignment
		usage       []*Usage
		usageDays   []*UsageDay
		coverage    []*Coverage
		accessLog   []*AccessLogEntry
	}
	for i, r := range records {
		if err := Validate(r); err != nil {
			return fmt.Errorf("insert: record %d: %w", i, err)
		}
		switch r := r.(type) {
		case *Session:
			s.sessions = append(s.sessions, r)
		case *Assignment:
			s.assignments = append(s.assignments, r)
		case *Usage:
			s.usage = append(s.usage, r)
		case *UsageDay:
			s.usageDays = append(s.usageDays, r)
		case *Coverage:
			s.coverage = append(s.coverage, r)
		case *AccessLogEntry:
			s.accessLog = append(s.accessLog, r)
		}
	}
	if err := insertBlock(ctx, conn, token, s.sessions, sessionColumns); err != nil {
		return err
	}
	if err := insertBlock(ctx, conn, token, s.assignments, assignmentColumns); err != nil {
		return err
	}
	if err := insertBlock(ctx, conn, token, s.usage, usageColumns); err != nil {
		return err
	}
	if err := insertBlock(ctx, conn, token, s.usageDays, usageDayColumns); err != nil {
		return err
	}
	if err := insertBlock(ctx, conn, token, s.coverage, coverageColumns); err != nil {
		return err
	}
	return insertBlock(ctx, conn, token, s.accessLog, accessLogColumns)
}

func insertBlock[T Record](ctx context.Context, conn driver.Conn, token string, rows []T, columns []column[T]) error {
	if len(rows) == 0 {
		return nil
	}
	kind, table := rows[0].Kind(), tables[rows[0].Class()]
	names := each(columns, func(c column[T]) string { return c.name })
	ctx = clickhouse.Context(ctx,
		clickhouse.WithColumnNamesAndTypes(namesAndTypes(columns)), // saves a DESCRIBE over HTTP
		clickhouse.WithSettings(clickhouse.Settings{
			"async_insert":               0,
			"insert_deduplicate":         1,
			"insert_deduplication_token": token + "-" + string(kind),
			// A spool that waited for weeks may hold many days in one block.
			"max_partitions_per_insert_block": 1000,
		}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return fmt.Errorf("insert %s: %w", kind, err)
	}
	defer batch.Close()
	// By piece and not by column over all rows: a piece stays in the CPU's cache
	// while its columns are taken from it.
	filled := make([]any, len(columns))
	for piece := range slices.Chunk(rows, 1024) {
		for i, c := range columns {
			filled[i] = c.fill(piece, filled[i])
			if err := batch.Column(i).Append(filled[i]); err != nil {
				return fmt.Errorf("insert %s: column %s: %w", kind, c.name, err)
			}
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert %s: %w", kind, spaceError(err))
	}
	return nil
}
