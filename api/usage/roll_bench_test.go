package usage

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"griffier/api/register"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// benchRef is the reference of line n of a benchmark.
func benchRef(n int) (ref schema.AccessRef) {
	binary.BigEndian.PutUint32(ref[:], uint32(n+1)*2654435761) // spread like a pseudonym
	binary.BigEndian.PutUint32(ref[12:], uint32(n))
	return ref
}

// BenchmarkRoll rolls up days of lines that are never idle: 1,152 bucket rows a
// line and day. It reports how long the first run takes per line and day, how long
// one in which a late row came for one day, and a subscriber's month.
func BenchmarkRoll(b *testing.B) {
	const lines, days = 2000, 3
	ctx := context.Background()
	conn, err := schema.Open(ctx, schema.Config{Socket: enginetest.Start(b).Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		b.Fatal(err)
	}
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: "P14D", Zone: amsterdam, Purpose: "faults", Basis: "b", Source: "s"})
	}
	if err := schema.WritePolicy(ctx, conn, schema.ProfileNL, policies); err != nil {
		b.Fatal(err)
	}
	var customers []customer
	for n := range lines {
		h := always(0)
		h.Ref = benchRef(n)
		customers = append(customers, customer{fmt.Sprint("L-", n), amsterdam, []register.Held{h}})
	}
	registeredAt(b, conn, time.Now().Add(-time.Hour), customers...)
	for d := range days {
		err := conn.Exec(ctx, fmt.Sprintf(`INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, ended_at, sampled_at, direction, ip_version, moved_bytes, moved_packets,
				counter_bytes, counter_packets, counter_id, collector_id, source, class)
			SELECT access_ref, toDateTime64(%d, 3, 'UTC') + INTERVAL 5 * b MINUTE AS bucket, bucket + INTERVAL 5 MINUTE, bucket, ['up', 'down'][1 + k %% 2], [4, 6][1 + intDiv(k, 2)],
				rand64() %% 100000000, 1000, 100000000, 1000, access_ref, 'c1', 'kernel', 'usage_5m'
			FROM (SELECT DISTINCT access_ref FROM register.line_access) AS l, (SELECT number AS b FROM numbers(288)) AS bs, (SELECT number AS k FROM numbers(4)) AS ks`,
			day(d-days-1).Unix()))
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		for _, table := range []string{"usage_day_part", "usage_day_mark"} {
			if err := conn.Exec(ctx, "TRUNCATE TABLE traffic."+table); err != nil {
				b.Fatal(err)
			}
		}
		started := time.Now()
		first := roll(b, conn)
		b.ReportMetric(float64(time.Since(started).Microseconds())/lines/(days+1), "µs/line-day")
		if first.Rows < lines*days*4 {
			b.Fatalf("%+v", first)
		}
		late := used(1, day(-3), schema.Up, 4, 1)
		late.AccessRef, late.SampledAt = benchRef(7), late.BucketStartedAt.Add(time.Duration(time.Now().UnixNano()%300_000)*time.Millisecond)
		if err := schema.Insert(ctx, conn, fmt.Sprint(time.Now().UnixNano()), []schema.Record{late}); err != nil {
			b.Fatal(err)
		}
		started = time.Now()
		if done := roll(b, conn); done.Late[lateCounted] != 1 {
			b.Fatalf("%+v", done)
		}
		b.ReportMetric(time.Since(started).Seconds(), "s/late-run")
		reader := NewReader(conn)
		started = time.Now()
		const asks = 50
		for n := range asks {
			h := always(0)
			h.Ref = benchRef(n * 31)
			if _, err := reader.Totals(ctx, []register.Held{h}, load2(b, amsterdam), []Window{Cycle(day(-3), load2(b, amsterdam), 1)}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(started).Microseconds())/1000/asks, "ms/month")
		started = time.Now()
		for range asks {
			if err := conn.Exec(ctx, "SELECT 1"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(started).Microseconds())/1000/asks, "ms/empty-query")
		if err := conn.Exec(ctx, "OPTIMIZE TABLE traffic.usage_day_part FINAL"); err != nil {
			b.Fatal(err)
		}
		var size float64
		if err := conn.QueryRow(ctx, "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND table = 'usage_day_part'").Scan(&size); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(size, "B/row")
	}
}
