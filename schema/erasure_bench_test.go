package schema

import (
	"fmt"
	"strings"
	"testing"

	"griffier/schema/engine/enginetest"
)

// BenchmarkErasedView reads a line's day, who held an address, and a whole day of
// two million rows, through the views, with and without tombstones; and rewrites
// one of 2,000 lines away.
func BenchmarkErasedView(b *testing.B) {
	ctx := b.Context()
	database := enginetest.Start(b)
	conn, err := Open(ctx, Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	if err := Migrate(ctx, conn, nil); err != nil {
		b.Fatal(err)
	}
	var policies []Policy
	for _, class := range Classes {
		policies = append(policies, Policy{Class: class, Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults"})
	}
	if err := WritePolicy(ctx, conn, ProfileNL, policies); err != nil {
		b.Fatal(err)
	}
	exec := func(statement string) {
		b.Helper()
		if err := conn.Exec(ctx, statement); err != nil {
			b.Fatal(err)
		}
	}
	const day = "toDateTime64(toStartOfDay(now('UTC')) - INTERVAL 2 DAY, 3, 'UTC')"
	exec(`INSERT INTO traffic.usage_bucket (access_ref, bucket_started_at, ended_at, sampled_at, direction, ip_version, byte_readings, packet_readings, counter_id, collector_id, source, class)
SELECT toFixedString(sipHash128(number % 2000), 16), ` + day + ` + INTERVAL 300 * intDiv(number, 8000) SECOND, ` + day + ` + INTERVAL 300 * (intDiv(number, 8000) + 1) SECOND,
    ` + day + ` + INTERVAL 300 * intDiv(number, 8000) + 60 SECOND, if(intDiv(number, 2000) % 2, 'up', 'down'), if(intDiv(number, 4000) % 2, 4, 6), 1, 1, toFixedString('c', 16), 'c1', 'kernel', 'usage_5m'
FROM numbers(2304000)`)
	exec(`INSERT INTO traffic.assignment_slice (prefix_address, prefix_length, port_end, access_ref, session_id, started_at, length_ms, age_ms, open, version, source, certainty, collector_id)
SELECT toIPv6(IPv4NumToString(toUInt32(1684275200 + number % 100000))), 128, 65535, toFixedString(sipHash128(number), 16), toFixedString(sipHash128(number, 1), 16),
    ` + day + ` + INTERVAL 3600 * intDiv(number, 100000) SECOND, 3600000, 0, false, 1, 'radius', 'observed', 'c1'
FROM numbers(2000000)`)
	for view, path := range map[string]string{"traffic.usage": "migration/0038_view_usage_gate.sql", "traffic.assignment": "migration/0037_view_assignment_gate.sql"} {
		text, err := migrationFiles.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		without, settings, found := strings.Cut(string(text), "\n  AND (empty(subjects)")
		_, settings, ends := strings.Cut(settings, "\nSETTINGS ")
		if !found || !ends {
			b.Fatalf("%s has no condition on tombstones", path)
		}
		exec(strings.Replace(without, "VIEW "+view+" AS", "VIEW "+view+"_before AS", 1) + "\nSETTINGS " + settings)
	}
	questions := []struct{ what, query string }{
		{"line's day", "SELECT count(), toUInt64(sum(bytes)) FROM traffic.usage%s WHERE access_ref = toFixedString(sipHash128(toUInt16(77)), 16)"},
		{"who held", "SELECT count(), toUInt64(0) FROM traffic.assignment%s WHERE prefix_address = toIPv6('100.100.0.77') AND started_at >= " + day + " AND started_at < " + day + " + INTERVAL 1 DAY"},
		{"whole day", "SELECT count(), toUInt64(sum(bytes)) FROM traffic.usage%s"},
	}
	ask := func(name, suffix string) {
		for _, q := range questions {
			b.Run(q.what+", "+name, func(b *testing.B) {
				for b.Loop() {
					var rows, bytes uint64
					if err := conn.QueryRow(ctx, fmt.Sprintf(q.query, suffix)).Scan(&rows, &bytes); err != nil {
						b.Fatal(err)
					}
					if rows == 0 {
						b.Fatal("nothing was found")
					}
				}
			})
		}
	}
	ask("view without erasure", "_before")
	ask("no tombstones", "")
	exec(fmt.Sprintf("INSERT INTO traffic.gate (subject, held_from, held_until) SELECT sipHash128(toFixedString(sipHash128(number + 1000000), 16), toIPv6('::')), now64(3) - INTERVAL 30 DAY, now64(3) FROM numbers(%d)", 10_000))
	ask("10,000 tombstones", "")
	exec("ALTER TABLE traffic.gate DELETE WHERE held_from < held_until SETTINGS mutations_sync = 2")
	exec("INSERT INTO traffic.gate (subject, held_from, held_until) SELECT sipHash128(toFixedString(sipHash128(toUInt16(77)), 16), toIPv6('::')), now64(3) - INTERVAL 30 DAY, now64(3)")
	b.Run("rewrite, one line of 4.3 million rows", func(b *testing.B) {
		for range b.N {
			if err := RewriteErased(ctx, conn); err != nil {
				b.Fatal(err)
			}
		}
	})
}
