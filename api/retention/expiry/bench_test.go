package expiry

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"griffier/schema"
)

// rows is how many usage rows the benchmarks store, over the sixteen days that a
// period of a fortnight can leave on disk: go test -bench . -rows 1000000000.
var rows = flag.Int("rows", 1_000_000, "usage rows in the benchmarks' store")

// BenchmarkVerify proves a store of so many rows, and then drops its oldest day.
func BenchmarkVerify(b *testing.B) {
	h := benchHouse(b)
	v := h.verifier()
	for b.Loop() {
		p, err := v.Verify(b.Context(), Options{})
		if err != nil || p.Failed > 0 {
			b.Fatal(failed(p), err)
		}
	}
}

// BenchmarkVerifyWhole reads the end of every row.
func BenchmarkVerifyWhole(b *testing.B) {
	v := benchHouse(b).verifier()
	for b.Loop() {
		p, err := v.Verify(b.Context(), Options{Whole: true})
		if err != nil || p.Failed > 0 {
			b.Fatal(failed(p), err)
		}
	}
}

// BenchmarkDrop drops one expired day of the store, with its two ledger entries.
func BenchmarkDrop(b *testing.B) {
	h := benchHouse(b)
	d := h.dropper()
	for b.Loop() {
		b.StopTimer()
		fillDay(b, h, -20)
		b.StartTimer()
		if err := d.Once(b.Context()); err != nil {
			b.Fatal(err)
		}
		if due, err := schema.ExpiredDays(b.Context(), h.conn, time.Now()); err != nil || len(due) > 0 {
			b.Fatal(due, err)
		}
	}
}

const benchDays = 15

func benchHouse(b *testing.B) *house {
	h := newHouse(b)
	h.policy(b, "P14D")
	for n := range benchDays {
		fillDay(b, h, -n)
	}
	b.ResetTimer()
	return h
}

// fillDay has the engine make one day's share of rows: buckets of many lines.
func fillDay(b *testing.B, h *house, n int) {
	b.Helper()
	const insert = `
INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, sampled_at, direction, ip_version, moved_bytes, moved_packets,
    counter_bytes, counter_packets, counter_id, collector_id)
SELECT unhex(leftPad(hex(intDiv(number, 288)), 32, '0')), fromUnixTimestamp64Milli(toInt64(%d + (number %% 288) * 300000), 'UTC') AS bucket, addSeconds(bucket, 10),
    'down', 4, intHash32(number), 1000, intHash32(number), 1000, unhex(leftPad(hex(intDiv(number, 288)), 32, '1')), 'c1'
FROM numbers(%d)
SETTINGS max_insert_threads = 2, max_partitions_per_insert_block = 10`
	h.exec(b, fmt.Sprintf(insert, day(n).UnixMilli(), *rows/benchDays))
}
