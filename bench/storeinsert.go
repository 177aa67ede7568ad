package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"griffier/schema"
)

// What is inserted: blocks of the size that a spool cuts, and of five times that.
const (
	insertTotal   = 3_000_000 // rows of each measurement
	insertWriters = 2         // collectors that insert at once
	insertSmall   = 100       // rows of the blocks that a quiet spool sends
)

// benchInsert measures rows stored through schema.Insert, which checks them, writes
// them with keys, constraints and tokens, and waits for the disk, or does not. The
// floor is what the engine itself takes to write the same rows into the same kind
// of table, from a table in its memory, without any client. Background merges go
// on in all of them, as they do in life.
func benchInsert(emit func(result)) error {
	for _, kind := range []struct {
		name, table string
		target      float64
		records     func(bucket time.Time, n int) []schema.Record
	}{
		{"usage", "traffic.usage_bucket", 1e6, usageRecords},
		{"assignment", "traffic.assignment_slice", 700e3, assignmentRecords},
	} {
		for _, rows := range []int{50_000, 250_000} {
			blocks := make([][]schema.Record, insertTotal/rows)
			bucket := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
			for n := range blocks {
				blocks[n] = kind.records(bucket.Add(time.Duration(n)*schema.BucketLength), rows)
			}
			for _, fsync := range []bool{true, false} {
				name := fmt.Sprintf("insert/%s_%dk", kind.name, rows/1000)
				if !fsync {
					name += "_no_fsync"
				}
				err := withStore(func(ctx context.Context, conn driver.Conn) error {
					if !fsync {
						if err := conn.Exec(ctx, "ALTER TABLE "+kind.table+" MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0"); err != nil {
							return err
						}
					}
					rate, err := insertRate(ctx, conn, kind.table, blocks)
					if err != nil {
						return err
					}
					floor, err := engineRate(ctx, conn, kind.table, rows)
					if err != nil {
						return err
					}
					emit(against(name, rate, "rows/s", "the engine alone, INSERT SELECT from its memory in blocks of that size", floor))
					emit(against(name+"_target", rate, "rows/s", "target", kind.target))
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return insertSmallBlocks(emit)
}

// insertRate is rows a second by two writers.
func insertRate(ctx context.Context, conn driver.Conn, table string, blocks [][]schema.Record) (float64, error) {
	began := time.Now()
	var g errgroup.Group
	g.SetLimit(insertWriters)
	for n, block := range blocks {
		g.Go(func() error { return schema.Insert(ctx, conn, fmt.Sprint("block", n), block) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	var stored uint64
	if err := conn.QueryRow(ctx, "SELECT count() FROM "+table+" FINAL").Scan(&stored); err != nil {
		return 0, err
	}
	if stored != insertTotal {
		return 0, fmt.Errorf("%s: %d rows are stored, want %d", table, stored, insertTotal)
	}
	return insertTotal / took.Seconds(), nil
}

// engineRate is the same of the engine by itself: what was inserted, once more, into
// another table like it.
func engineRate(ctx context.Context, conn driver.Conn, table string, rows int) (float64, error) {
	for _, statement := range []string{"CREATE TABLE default.again AS " + table, "CREATE TABLE default.held ENGINE = Memory AS SELECT * FROM " + table} {
		if err := conn.Exec(ctx, statement); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	copied := fmt.Sprintf("INSERT INTO default.again SELECT * FROM default.held SETTINGS max_block_size = %[1]d, max_insert_block_size = %[1]d, min_insert_block_size_rows = %[1]d, min_insert_block_size_bytes = 0, max_insert_threads = %[2]d", rows, insertWriters)
	if err := conn.Exec(ctx, copied); err != nil {
		return 0, err
	}
	return insertTotal / time.Since(began).Seconds(), nil
}

// insertSmallBlocks measures what a spool sends every few seconds when little
// happens; there the fsync decides.
func insertSmallBlocks(emit func(result)) error {
	return withStore(func(ctx context.Context, conn driver.Conn) error {
		bucket := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
		small := map[bool][]time.Duration{}
		for n := range 400 {
			fsync := n%2 == 0
			if err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE traffic.usage_bucket MODIFY SETTING fsync_after_insert = %[1]t, fsync_part_directory = %[1]t", fsync)); err != nil {
				return err
			}
			records := usageRecords(bucket.Add(time.Duration(n%288)*schema.BucketLength), insertSmall)
			began := time.Now()
			if err := schema.Insert(ctx, conn, fmt.Sprint("small", n), records); err != nil {
				return err
			}
			small[fsync] = append(small[fsync], time.Since(began))
		}
		for _, q := range []float64{0.5, 0.99} {
			emit(against(fmt.Sprintf("insert/%d_rows_p%g", insertSmall, q*100), quantile(small[true], q), "ms", "the same without fsync", quantile(small[false], q)))
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
		r.CumulativeBytes, r.CumulativePackets = 1<<40+r.Bytes, 1<<30+r.Packets
		records[i] = r
	}
	return records
}

// assignmentRecords are dual-stack lines: an address and a delegated prefix each.
func assignmentRecords(start time.Time, n int) []schema.Record {
	records := make([]schema.Record, n)
	for i := range records {
		line := i / 2
		r := &schema.Assignment{
			AssignmentID: schema.ID(lineRef(-1 - i)), AccessRef: lineRef(line), PortEnd: 65535, AssignmentStartedAt: start, StartedAt: start,
			EndedAt: start.Add(time.Minute), Version: uint64(start.UnixMilli()) + uint64(i), EndCause: schema.EndRelease, Source: schema.SourceDHCPv4,
			Certainty: schema.CertaintyObserved, CollectorID: "edge1",
		}
		r.SessionID = schema.ID(r.AccessRef)
		r.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(line >> 16), byte(line >> 8), byte(line)}), 32)
		if i%2 == 1 {
			r.Source = schema.SourceDHCPv6
			r.Prefix, _ = delegatedAddress(line, 0).Prefix(56)
		}
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
