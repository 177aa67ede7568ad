package engine_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine"
	"griffier/schema/engine/enginetest"
)

// BenchmarkStart measures opening and closing an empty folder once the library
// is loaded.
func BenchmarkStart(b *testing.B) {
	lib, err := engine.Fetch(b.Context(), os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	for b.Loop() {
		e, err := engine.Start(b.Context(), engine.Config{DataDir: filepath.Join(dir, "d"), LibPath: lib})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchTable(b *testing.B) driver.Conn {
	conn := enginetest.Start(b).Open(b, "")
	err := conn.Exec(b.Context(), `CREATE TABLE usage (ref FixedString(16), bucket DateTime, down UInt64, up UInt64)
		ENGINE = MergeTree ORDER BY (ref, bucket) SETTINGS non_replicated_deduplication_window = 1000`)
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

func benchInsert(b *testing.B, rows int) {
	conn := benchTable(b)
	ref := make([]byte, 16)
	var bucket int64
	for b.Loop() {
		bucket += 300
		batch, err := conn.PrepareBatch(b.Context(), "INSERT INTO usage")
		if err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			ref[0], ref[1] = byte(i), byte(i>>8)
			if err := batch.Append(ref, time.Unix(bucket, 0), uint64(i), uint64(bucket)); err != nil {
				b.Fatal(err)
			}
		}
		if err := batch.Send(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkInsert1(b *testing.B)   { benchInsert(b, 1) }
func BenchmarkInsert10k(b *testing.B) { benchInsert(b, 10_000) }

func BenchmarkSelect1(b *testing.B) {
	conn := benchTable(b)
	for b.Loop() {
		var n uint64
		if err := conn.QueryRow(b.Context(), "SELECT count() FROM usage WHERE up > 0").Scan(&n); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSelectMillion(b *testing.B) {
	conn := benchTable(b)
	const rows = 1_000_000
	err := conn.Exec(b.Context(), "INSERT INTO usage SELECT toFixedString(toString(number), 16), 0, number, number FROM numbers(1000000)")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		result, err := conn.Query(b.Context(), "SELECT ref, down, up FROM usage")
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for result.Next() {
			var ref string
			var down, up uint64
			if err := result.Scan(&ref, &down, &up); err != nil {
				b.Fatal(err)
			}
			n++
		}
		if err := result.Err(); err != nil || n != rows {
			b.Fatalf("got %d rows, %v", n, err)
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
