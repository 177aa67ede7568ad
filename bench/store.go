package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
	"griffier/schema/engine"
)

// withStore runs f on a migrated store in a folder of its own.
func withStore(f func(ctx context.Context, conn driver.Conn) error) (err error) {
	ctx := context.Background()
	lib, err := engine.Fetch(ctx, os.Stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	e, err := engine.Start(ctx, engine.Config{DataDir: filepath.Join(dir, "data"), SocketPath: filepath.Join(dir, "s"), LibPath: lib})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := e.Close(ctx); err == nil {
			err = closeErr
		}
	}()
	conn, err := schema.Open(ctx, schema.Config{Socket: e.SocketPath()})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		return err
	}
	policies := []schema.Policy{
		{Class: schema.ClassUsage5m, Period: "P14D", Zone: "Europe/Amsterdam", Purpose: "faults and complaints"},
		{Class: schema.ClassAssignment, Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults and complaints"},
	}
	if err := schema.WritePolicy(ctx, conn, schema.ProfileNL, policies); err != nil {
		return err
	}
	return f(ctx, conn)
}

// quantile returns the value below which a part q of the durations lies, in ms.
func quantile(durations []time.Duration, q float64) float64 {
	sorted := slices.Sorted(slices.Values(durations))
	return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / 1e6
}

const (
	insertBlocks = 30
	insertRows   = 20_000 // of a block: 5,000 lines, two directions, two IP versions
)

// benchInsert measures usage rows stored through schema.Insert, which checks
// them, writes them with keys, constraints and tokens, and waits for the disk.
// The floor is clickhouse-go writing the same rows to a bare table that has none
// of these and does not wait. Blocks alternate, so both see the same machine.
func benchInsert(emit func(result)) error {
	return withStore(func(ctx context.Context, conn driver.Conn) error {
		if err := conn.Exec(ctx, "CREATE TABLE default.bare ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM traffic.usage_bucket WHERE 0"); err != nil {
			return err
		}
		var ours, floor time.Duration
		bucket := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
		for n := range insertBlocks {
			records := usageRecords(bucket.Add(time.Duration(n)*schema.BucketLength), insertRows)
			start := time.Now()
			if err := schema.Insert(ctx, conn, fmt.Sprint("block", n), records); err != nil {
				return err
			}
			ours += time.Since(start)
			start = time.Now()
			if err := insertBare(ctx, conn, records); err != nil {
				return err
			}
			floor += time.Since(start)
		}
		var stored uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM traffic.usage").Scan(&stored); err != nil {
			return err
		}
		if stored != insertBlocks*insertRows {
			return fmt.Errorf("%d rows are readable, want %d", stored, insertBlocks*insertRows)
		}
		rate := func(d time.Duration) float64 { return insertBlocks * insertRows / d.Seconds() }
		emit(result{"insert_rows", rate(ours), "rows/s", "clickhouse-go into a bare table, no fsync", rate(floor), rate(ours) / rate(floor)})

		// What a spool sends every few seconds is small; there the fsync decides.
		var small, smallFloor []time.Duration
		for n := range 200 {
			records := usageRecords(bucket.Add(time.Duration(n)*schema.BucketLength), 100)
			start := time.Now()
			if err := schema.Insert(ctx, conn, fmt.Sprint("small", n), records); err != nil {
				return err
			}
			small = append(small, time.Since(start))
			start = time.Now()
			if err := insertBare(ctx, conn, records); err != nil {
				return err
			}
			smallFloor = append(smallFloor, time.Since(start))
		}
		for _, q := range []float64{0.5, 0.99} {
			value, base := quantile(small, q), quantile(smallFloor, q)
			emit(result{fmt.Sprintf("insert_100_rows_p%g", q*100), value, "ms", "clickhouse-go into a bare table, no fsync", base, value / base})
		}
		return nil
	})
}

func usageRecords(bucket time.Time, n int) []schema.Record {
	records := make([]schema.Record, n)
	for i := range records {
		r := &schema.Usage{
			BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket.Add(10 * time.Second),
			Direction: schema.Up, IPVersion: 4, Bytes: rand.Uint64N(1 << 32), Packets: rand.Uint64N(1 << 22), CollectorID: "edge1",
		}
		if i&1 == 1 {
			r.Direction = schema.Down
		}
		if i&2 == 2 {
			r.IPVersion = 6
		}
		r.AccessRef = lineRef(i / 4)
		r.CounterID = schema.ID(r.AccessRef)
		r.CumulativeBytes, r.CumulativePackets = r.Bytes<<8, r.Packets<<8
		records[i] = r
	}
	return records
}

// lineRef spreads line numbers over the whole range, as pseudonyms are.
func lineRef(n int) (ref schema.AccessRef) {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for i := range ref {
		ref[i] = byte(random.Uint32())
	}
	return ref
}

func insertBare(ctx context.Context, conn driver.Conn, records []schema.Record) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO default.bare")
	if err != nil {
		return err
	}
	defer batch.Close()
	columns := make([]any, 13)
	usage := make([]*schema.Usage, len(records))
	for i, r := range records {
		usage[i] = r.(*schema.Usage)
	}
	columns[0] = each(usage, func(r *schema.Usage) []byte { return r.AccessRef[:] })
	columns[1] = each(usage, func(r *schema.Usage) time.Time { return r.BucketStartedAt })
	columns[2] = each(usage, func(r *schema.Usage) time.Time { return r.EndedAt })
	columns[3] = each(usage, func(r *schema.Usage) time.Time { return r.SampledAt })
	columns[4] = each(usage, func(r *schema.Usage) string { return string(r.Direction) })
	columns[5] = each(usage, func(r *schema.Usage) uint8 { return r.IPVersion })
	columns[6] = each(usage, func(r *schema.Usage) uint64 { return r.Bytes })
	columns[7] = each(usage, func(r *schema.Usage) uint64 { return r.Packets })
	columns[8] = each(usage, func(r *schema.Usage) uint64 { return r.CumulativeBytes })
	columns[9] = each(usage, func(r *schema.Usage) uint64 { return r.CumulativePackets })
	columns[10] = each(usage, func(r *schema.Usage) []byte { return r.CounterID[:] })
	columns[11] = each(usage, func(r *schema.Usage) string { return r.CollectorID })
	columns[12] = each(usage, func(r *schema.Usage) string { return string(r.Class()) })
	for i, column := range columns {
		if err := batch.Column(i).Append(column); err != nil {
			return err
		}
	}
	return batch.Send()
}

func each[V any](rows []*schema.Usage, get func(*schema.Usage) V) []V {
	values := make([]V, len(rows))
	for i, r := range rows {
		values[i] = get(r)
	}
	return values
}

const (
	lookupDays  = 60
	lookupLines = 10_000
	lookups     = 500
)

// benchLookup measures "which line held this address at this instant" through
// the expiring view, over 60 days of 10,000 lines. The floor is the same
// question to the base table, without latest version or expiry.
func benchLookup(emit func(result)) error {
	return withStore(func(ctx context.Context, conn driver.Conn) error {
		for day := range lookupDays {
			fill := fmt.Sprintf(`INSERT INTO traffic.assignment_slice
(assignment_id, session_id, access_ref, prefix_address, prefix_length, port_end, assignment_started_at, started_at, ended_at, version, class)
WITH toDateTime64(today() - %d, 3, 'UTC') AS day
SELECT MD5(toString(number)), MD5(toString(number)), MD5(toString(number)), toIPv6(IPv4NumToString(toUInt32(167772160 + number))), 128, 65535, day, day, addDays(day, 1), 1, 'assignment'
FROM numbers(%d)`, day+1, lookupLines)
			if err := conn.Exec(ctx, fill); err != nil {
				return err
			}
		}
		var view, base []time.Duration
		midnight := time.Now().UTC().Truncate(24 * time.Hour)
		for n := range lookups + 20 {
			address := netip.AddrFrom4([4]byte{10, 0, byte(rand.IntN(39)), byte(rand.IntN(256))})
			at := midnight.Add(-time.Duration(1 + rand.Int64N(int64(lookupDays*24*time.Hour)-1))).Truncate(time.Millisecond)
			viewTook, err := lookUp(ctx, conn, "traffic.assignment", address, at)
			if err != nil {
				return err
			}
			baseTook, err := lookUp(ctx, conn, "traffic.assignment_slice", address, at)
			if err != nil {
				return err
			}
			if n >= 20 { // the first warm the caches of both
				view, base = append(view, viewTook), append(base, baseTook)
			}
		}
		for _, q := range []float64{0.5, 0.99} {
			value, floor := quantile(view, q), quantile(base, q)
			emit(result{fmt.Sprintf("lookup_p%g", q*100), value, "ms", "the base table: no latest version, no expiry", floor, value / floor})
		}
		return nil
	})
}

func lookUp(ctx context.Context, conn driver.Conn, table string, address netip.Addr, at time.Time) (time.Duration, error) {
	start := time.Now()
	query := "SELECT access_ref FROM " + table + " WHERE prefix_address = toIPv6(?) AND prefix_length = 128 AND started_at > ? AND started_at <= ? AND ended_at > ?"
	rows, err := conn.Query(ctx, query, address.String(), at.Add(-24*time.Hour), at, at)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	found := 0
	for ; rows.Next(); found++ {
		var ref schema.AccessRef
		if err := rows.Scan(&ref); err != nil {
			return 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if found != 1 {
		return 0, fmt.Errorf("%s: %d lines held an address at an instant, want 1", table, found)
	}
	return time.Since(start), nil
}
