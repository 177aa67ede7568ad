package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"
)

// A network made up by arithmetic on line numbers, so that a question's answer is
// known and a store is filled by the engine itself, at a million rows a second.
//
// Of assignments each line has four rows a day: a delegated /56, and three leases
// of one of the 64 blocks of 1,000 ports that a public IPv4 address is cut into.
// Blocks change hands twice a day, at other times each day. Of usage it has four
// counters (up and down, IPv4 and IPv6), read every five minutes, with a day's
// curve; volumes of one counter vary by a factor of 256, of lines as much again.
const (
	fillDays      = 60
	fillPart      = 8 << 20 // rows of one insert, which become one part
	fillPublic    = uint32(203<<24 | 112<<8)
	fillPorts     = 1000
	fillPerPublic = 64
	usagePerLine  = 4 * 288 // rows a day
)

// storeFill says which rows: a scale of rows over fillDays days up to yesterday.
type storeFill struct {
	table string
	lines int
	rows  int // a day
	sql   func(lines, day, part, parts int) string
}

func assignmentFill(scale float64) storeFill {
	f := storeFill{table: "traffic.assignment_slice", lines: max(fillPerPublic, int(scale/fillDays/4))}
	f.rows = 4 * f.lines
	f.sql = func(lines, day, part, parts int) string {
		return fmt.Sprintf(`INSERT INTO traffic.assignment_slice (prefix_address, prefix_length, port_start, port_end, access_ref, session_id, started_at, length_ms, age_ms,
	version, end_cause, source, certainty, collector_id)
WITH toUInt64(%[1]d) AS day, toUInt64(%[2]d) AS lines, toDateTime64(today() - day, 3, 'UTC') AS midnight, toUInt64(toUnixTimestamp64Milli(midnight)) AS midnight_ms,
	number * %[4]d + %[3]d AS i, i < 3 * lines AS shared, toUInt64(if(shared, intDiv(i, 3), i - 3 * lines)) AS slot, i %% 3 AS third,
	21600000 + sipHash64(slot, 1, day) %% 14400000 AS morning, 50400000 + sipHash64(slot, 2, day) %% 14400000 AS evening,
	[0, morning, evening][third + 1] AS began, [morning, evening, 86400000][third + 1] AS ends,
	toUInt64(if(shared, (slot + (day * 3 + third) * 7919) %% lines, slot)) AS line, toUInt64((sipHash64(line, 3) + day) %% 30) AS age
SELECT if(shared, toIPv6(toIPv4(toUInt32(%[5]d + intDiv(slot, %[6]d)))), CAST(toFixedString(concat(unhex('20010db8'), reverse(reinterpretAsFixedString(toUInt32(slot * 256))), toFixedString('', 8)), 16) AS IPv6)),
	if(shared, 128, 56), if(shared, 1024 + slot %% %[6]d * %[7]d, 0), if(shared, 1023 + (slot %% %[6]d + 1) * %[7]d, 65535), sipHash128(line),
	if(shared, toFixedString('', 16), sipHash128(line, day + age)), fromUnixTimestamp64Milli(toInt64(midnight_ms + if(shared, began, 0)), 'UTC'),
	if(shared, ends - began, 86400000), if(shared, 0, age * 86400000 + line %% 3600000), midnight_ms + if(shared, ends, 86400000) + sipHash64(i) %% 5000,
	if(shared AND third < 2, 'release', 'cut'), if(shared, 'radius', 'dhcpv6'), 'observed', concat('edge', toString(line %% 4))
FROM numbers(toUInt64(ceil((4 * lines - %[3]d) / %[4]d)))`, day, lines, part, parts, fillPublic, fillPerPublic, fillPorts)
	}
	return f
}

func usageFill(scale float64) storeFill {
	f := storeFill{table: "traffic.usage_bucket", lines: max(8, int(scale/fillDays/usagePerLine))}
	f.rows = usagePerLine * f.lines
	f.sql = func(lines, day, part, parts int) string {
		return fmt.Sprintf(`INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, sampled_at, direction, ip_version, moved_bytes, moved_packets,
	counter_bytes, counter_packets, counter_id, collector_id, source)
SELECT ref, addSeconds(midnight, 300 * b), addMilliseconds(midnight, 300000 * b + 290000 + sipHash64(b, midnight) %% 7), way, if(series %% 2 = 0, 4, 6), mb, mp,
	line_hash %% 10000000000000 + cb, line_hash %% 10000000000 + cp, ref, 'edge1', 'kernel'
FROM
(
	WITH toUInt64(%[1]d) AS day, intDiv(number, 4) * %[3]d + %[2]d AS line, number %% 4 AS series, sipHash64(line, 7) AS line_hash,
		exp2(13 + 8 * (line_hash %% 1024) / 1024 + if(series < 2, 3, 0) - series %% 2) AS volume,
		arrayMap(b -> toUInt64(60 + volume * exp2(8 * (sipHash64(line, series, b, day) %% 65536) / 65536 - 4) * (1.05 - cos((b - 36) * 0.0218))), range(288)) AS moved,
		arrayMap((x, b) -> 1 + intDiv(x, if(series < 2, 1000, 150) + sipHash64(b, line, day) %% 200), moved, range(288)) AS packets
	SELECT sipHash128(toUInt64(line)) AS ref, series, line_hash, toDateTime64(today() - day, 3, 'UTC') AS midnight, if(series < 2, 'down', 'up') AS way,
		moved, packets, arrayCumSum(moved) AS counter, arrayCumSum(packets) AS packet_counter
	FROM numbers(4 * toUInt64(ceil((%[4]d - %[2]d) / %[3]d)))
	ORDER BY ref, way, series %% 2
)
ARRAY JOIN moved AS mb, packets AS mp, counter AS cb, packet_counter AS cp, range(288) AS b`, day, part, parts, lines)
	}
	return f
}

// fill stores the rows, two days at once, and tells how it goes. Merges are off, so
// that what is measured is not them; at the end each day is merged into one part, as
// the store does by itself with a day that nobody has written for a day.
func (f storeFill) fill(ctx context.Context, conn driver.Conn) error {
	if err := conn.Exec(ctx, "SYSTEM STOP MERGES "+f.table); err != nil {
		return err
	}
	parts := (f.rows + fillPart - 1) / fillPart
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_threads": 1, "max_insert_threads": 1, "max_block_size": 4096, "min_insert_block_size_rows": 2 * fillPart, "min_insert_block_size_bytes": 0,
	}))
	for day := 1; day <= fillDays; day++ {
		if f.rows > fillPart/2 || day == fillDays {
			seconds := time.Since(began).Seconds()
			fmt.Fprintf(os.Stderr, "bench: store: %s: day %d of %d, %.0f s, %.2g rows/s\n", f.table, day, fillDays, seconds, float64(max(day-2, 0)*f.rows)/seconds)
		}
		for part := range parts {
			g.Go(func() error { return conn.Exec(ctx, f.sql(f.lines, day, part, parts)) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if parts > 1 {
		if err := f.closeDays(ctx, conn); err != nil {
			return err
		}
	}
	rows, _, err := onDisk(ctx, conn, f.table)
	if err == nil && rows != uint64(fillDays*f.rows) {
		err = fmt.Errorf("%s: %d rows are stored, want %d", f.table, rows, fillDays*f.rows)
	}
	return err
}

// closeDays merges each day into one part.
func (f storeFill) closeDays(ctx context.Context, conn driver.Conn) error {
	if err := conn.Exec(ctx, "SYSTEM START MERGES "+f.table); err != nil {
		return err
	}
	began := time.Now()
	for day := 1; day <= fillDays; day++ {
		id := began.UTC().AddDate(0, 0, -day).Format("20060102")
		if err := conn.Exec(ctx, "OPTIMIZE TABLE "+f.table+" PARTITION ID '"+id+"' FINAL"); err != nil {
			return fmt.Errorf("merge day %s: %w", id, err)
		}
		fmt.Fprintf(os.Stderr, "bench: store: %s: day %d of %d is one part, %.0f s\n", f.table, day, fillDays, time.Since(began).Seconds())
	}
	return conn.Exec(ctx, "SYSTEM STOP MERGES "+f.table)
}

// publicAddress is the address and block of ports of a slot.
func publicAddress(slot int) (address netip.Addr, port uint16) {
	a := fillPublic + uint32(slot/fillPerPublic)
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), uint16(1024 + slot%fillPerPublic*fillPorts)
}

// delegatedAddress is an address in the /56 of a line.
func delegatedAddress(line int, host uint64) netip.Addr {
	b := [16]byte{0x20, 1, 0xd, 0xb8}
	for i, v := range []int{line >> 16, line >> 8, line} {
		b[4+i] = byte(v)
	}
	b[7] = byte(host)
	for i := range 8 {
		b[8+i] = byte(host >> (8 * i))
	}
	return netip.AddrFrom16(b)
}

// scaleName writes 1e8 for a hundred million.
func scaleName(scale float64) string {
	return fmt.Sprintf("1e%d", int(math.Round(math.Log10(scale))))
}
