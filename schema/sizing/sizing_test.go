package sizing

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

func TestSize(t *testing.T) {
	f := Figures{BytesPerRow: map[schema.Class]float64{schema.ClassUsage5m: 10, schema.ClassSession: 100}, UsagePerSecond: 86400, SlicesPerSecond: 43200, CPUs: 2}
	l := Load{Rows: map[schema.Class]float64{schema.ClassUsage5m: 1000, schema.ClassSession: 1}, Reemitted: 999}
	e := Size(1000, f, l, map[schema.Class]float64{schema.ClassUsage5m: 10, schema.ClassSession: 100})
	if e.BytesPerLineDay != 10_100 || e.DiskBytes[schema.ClassUsage5m] != 1e8 || e.DiskBytes[schema.ClassSession] != 1e7 {
		t.Errorf("a line makes %g bytes a day, kept %v", e.BytesPerLineDay, e.DiskBytes)
	}
	if math.Abs(e.RowsPerSecond-2000*1000/86400.) > 1e-9 || e.Servers() != 1 {
		t.Errorf("%g rows/s on %d servers", e.RowsPerSecond, e.Servers())
	}
	if want := 1.1e8 / 0.6; math.Abs(e.DiskPerServer-want) > 1 {
		t.Errorf("%g bytes of disk a server, want %g", e.DiskPerServer, want)
	}
	if e = Size(2_000_000, f, l, nil); e.Shards != 4 || e.Replicas != 3 {
		t.Errorf("%d × %d servers for 23,148 rows/s of usage and of slices each, where one takes a quarter of 86,400 or 43,200", e.Shards, e.Replicas)
	}
	long := map[schema.Class]float64{schema.ClassUsage5m: 1000}
	if e = Size(1_000_000, f, l, long); e.Shards != 3 || e.DiskPerServer > diskLimit {
		t.Errorf("%d shards of %g bytes for 16.7 TB", e.Shards, e.DiskPerServer)
	}
}

// TestRatesAreOfRecord: the guide reckons with what the bench of record measured.
func TestRatesAreOfRecord(t *testing.T) {
	files, err := filepath.Glob("../../bench/result/*-insert.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no insert bench of record: %v", err)
	}
	slices.Sort(files) // by day
	text, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"insert/usage_50k": Measured.UsagePerSecond, "insert/assignment_50k": Measured.SlicesPerSecond}
	for line := range strings.Lines(string(text)) {
		var figure struct {
			Name  string  `json:"name"`
			Value float64 `json:"value"`
		}
		if err := json.Unmarshal([]byte(line), &figure); err != nil {
			t.Fatal(err)
		}
		stated, asked := want[figure.Name]
		delete(want, figure.Name)
		if asked && (stated > figure.Value || stated < 0.99*figure.Value) {
			t.Errorf("%s: %.0f rows a second were measured, and the guide says %.0f", figure.Name, figure.Value, stated)
		}
	}
	if len(want) > 0 {
		t.Errorf("%s does not have %v", files[len(files)-1], want)
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[float64]string{0: "0.0 B", 999: "999 B", 999.6: "1.0 kB", 1234: "1.2 kB", 9.96e9: "10 GB", 1.2e13: "12 TB", 1e18: "1000 PB"} {
		if got := size(n); got != want {
			t.Errorf("size(%g) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10_000_000: "10,000,000"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %s, want %s", n, got, want)
		}
	}
}

// store fills one class with what lines make in a day and returns the bytes that
// a row takes once merged.
func bytesPerRow(t *testing.T, ctx context.Context, conn driver.Conn, table string, records func(each func(schema.Record))) float64 {
	t.Helper()
	var block []schema.Record
	blocks := 0
	flush := func() {
		if err := schema.Insert(ctx, conn, fmt.Sprint(table, blocks), block); err != nil {
			t.Fatal(err)
		}
		block, blocks = block[:0], blocks+1
	}
	records(func(r schema.Record) {
		if block = append(block, r); len(block) == 100_000 {
			flush()
		}
	})
	flush()
	if err := conn.Exec(ctx, "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
		t.Fatal(err)
	}
	var rows, bytes uint64
	const query = "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND concat(database, '.', table) = ?"
	if err := conn.QueryRow(ctx, query, table).Scan(&rows, &bytes); err != nil || rows < 100_000 {
		t.Fatalf("%s: %d rows (%v)", table, rows, err)
	}
	return float64(bytes) / float64(rows)
}

// TestFiguresHold measures the bytes of a row again. The lines are residential:
// quiet at night, loud in the evening, each with its own volume; references and
// ids are random, as pseudonyms are, and do not compress.
func TestFiguresHold(t *testing.T) {
	database := enginetest.Start(t)
	ctx := t.Context()
	conn, err := schema.Open(ctx, schema.Config{Socket: database.Socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	random := func() (id [16]byte) {
		for i := range id {
			id[i] = byte(r.Uint32())
		}
		return id
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	const sliceRows = 100_000 // lines of the classes with a row or two a day
	got := map[schema.Class]float64{
		schema.ClassUsage5m: bytesPerRow(t, ctx, conn, "traffic.usage_bucket", func(each func(schema.Record)) {
			for range 260 { // lines, each a whole day
				ref, counter, loudness := random(), random(), math.Exp(r.NormFloat64())
				var total, packets [families][directions]uint64
				for b := range bucketsPerDay {
					bucket := day.Add(time.Duration(b) * schema.BucketLength)
					evening := 0.05 + 0.95*math.Pow(math.Sin(math.Pi*float64(b)/bucketsPerDay), 4)
					for family := range families {
						for d, direction := range []schema.Direction{schema.Up, schema.Down} {
							bytes := uint64(loudness * evening * r.ExpFloat64() * []float64{2e6, 3e7}[d])
							total[family][d] += bytes
							packets[family][d] += bytes / 900
							each(&schema.Usage{
								AccessRef: ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket.Add(schema.BucketLength),
								Direction: direction, IPVersion: []uint8{4, 6}[family], Bytes: bytes, Packets: bytes / 900,
								CumulativeBytes: total[family][d], CumulativePackets: packets[family][d], CounterID: counter, CollectorID: "edge1",
							})
						}
					}
				}
			}
		}),
		schema.ClassAssignment: bytesPerRow(t, ctx, conn, "traffic.assignment_slice", func(each func(schema.Record)) {
			for n := range sliceRows {
				start := day.Add(time.Duration(r.IntN(2)*r.IntN(86_000_000)) * time.Millisecond)
				prefix := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)
				if n%2 == 0 {
					prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(n >> 16), byte(n >> 8), byte(n)}), 56)
				}
				each(&schema.Assignment{
					AssignmentID: random(), SessionID: random(), AccessRef: random(), Prefix: prefix, PortEnd: 65535,
					AssignmentStartedAt: start.Add(-time.Duration(r.IntN(5*86_400_000)) * time.Millisecond), StartedAt: start, EndedAt: day.AddDate(0, 0, 1), Version: uint64(start.UnixMilli()),
					EndCause: schema.EndCut, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1",
				})
			}
		}),
		schema.ClassSession: bytesPerRow(t, ctx, conn, "traffic.session_slice", func(each func(schema.Record)) {
			for n := range sliceRows {
				start := day.Add(time.Duration(r.IntN(2)*r.IntN(86_000_000)) * time.Millisecond)
				each(&schema.Session{
					SessionID: random(), AccessRef: random(), SessionStartedAt: start.Add(-time.Duration(r.IntN(5*86_400_000)) * time.Millisecond), StartedAt: start,
					EndedAt: day.AddDate(0, 0, 1), Version: uint64(start.UnixMilli()), EndCause: schema.EndCut, Source: schema.SourceRADIUS,
					Certainty: schema.CertaintyObserved, NAS: "edge1", NASPort: fmt.Sprintf("%d.%d", 100+n%40, n%4000), CollectorID: "edge1",
				})
			}
		}),
		schema.ClassUsageDay: bytesPerRow(t, ctx, conn, "traffic.usage_day_part", func(each func(schema.Record)) {
			for range sliceRows / 4 {
				ref, loudness := random(), math.Exp(r.NormFloat64())
				for family := range uint8(families) {
					for d, direction := range []schema.Direction{schema.Up, schema.Down} {
						bytes := uint64(loudness * r.ExpFloat64() * []float64{2e8, 3e9}[d])
						each(&schema.UsageDay{
							AccessRef: ref, Day: day, Zone: "Europe/Amsterdam", StartedAt: day.Add(-time.Hour), EndedAt: day.Add(23 * time.Hour),
							Direction: direction, IPVersion: 4 + 2*family, Source: schema.UsageKernel, CollectorID: "edge1", Bytes: bytes, Packets: bytes / 900, Version: 1,
						})
					}
				}
			}
		}),
	}
	for class, measured := range got {
		t.Logf("%s: %.1f bytes a row", class, measured)
		if stated := Measured.BytesPerRow[class]; measured > 1.25*stated || measured < 0.75*stated {
			t.Errorf("%s: a row takes %.1f bytes, the guide says %.1f; write the new figure into Measured and -update the guide", class, measured, stated)
		}
	}
}
