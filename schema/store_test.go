package schema

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema/engine/enginetest"
)

// newStore returns a migrated store of its own: the embedded engine's, with its
// database, or that of the server under test.
func newStore(t testing.TB) (context.Context, driver.Conn, *enginetest.Database) {
	t.Helper()
	ctx := t.Context()
	if conn, there := serverStore(t); there {
		if err := MigrateCluster(ctx, conn, Cluster(os.Getenv(testCluster)), nil); err != nil {
			t.Fatal(err)
		}
		return ctx, conn, nil
	}
	settings := map[string]any{"fsync_metadata": 0}
	database := enginetest.Prepared(t, "schema", func(ctx context.Context, socket string) error {
		conn, err := Open(ctx, Config{Socket: socket, Settings: settings})
		if err != nil {
			return err
		}
		return errors.Join(spared(ctx, conn), conn.Close())
	})
	conn, err := Open(ctx, Config{Socket: database.Socket, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return ctx, conn, database
}

// spared migrates a store and spares the disk: these tests never cut the power.
func spared(ctx context.Context, conn driver.Conn) error {
	if err := Migrate(ctx, conn, nil); err != nil {
		return err
	}
	for _, table := range tables {
		if err := conn.Exec(ctx, "ALTER TABLE "+table+" MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0"); err != nil {
			return err
		}
	}
	return enginetest.Compact(ctx, conn, "traffic.schema_migration")
}

// checks bounds a property test that writes to disk; -rapid.checks on the command
// line still says more.
func checks(t *testing.T, n int) {
	t.Helper()
	const name = "rapid.checks"
	f := flag.Lookup(name)
	if before := f.Value.String(); before == f.DefValue {
		if err := flag.Set(name, strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set(name, before) })
	}
}

// setPolicy gives every class the same period.
func setPolicy(t testing.TB, ctx context.Context, conn driver.Conn, period string) {
	t.Helper()
	if err := WritePolicy(ctx, conn, ProfileNL, everyClass(period)); err != nil {
		t.Fatal(err)
	}
}

func everyClass(period string) []Policy {
	var policies []Policy
	for _, class := range Classes {
		policies = append(policies, Policy{
			Class: class, Period: period, Zone: "Europe/Amsterdam",
			Purpose: "faults and complaints", Basis: "Tw 11.5", Source: "test",
		})
	}
	return policies
}

func count(t testing.TB, ctx context.Context, conn driver.Conn, query string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// today returns UTC midnight of the current day plus a number of days. The day is
// asked for once, or it could turn within a test.
func today(days int) time.Time { return thisDay().AddDate(0, 0, days) }

var thisDay = sync.OnceValue(func() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) })

func testSession(n byte, start, end time.Time) *Session {
	return &Session{
		SessionID: ID{1, n}, AccessRef: AccessRef{2, n}, SessionStartedAt: start, StartedAt: start, EndedAt: end,
		Version: 1, EndCause: EndCut, Source: SourceRADIUS, Certainty: CertaintyObserved,
		NAS: "edge1", NASPort: "100.200", CollectorID: "c1",
	}
}

func testAssignment(n byte, start, end time.Time) *Assignment {
	return &Assignment{
		AssignmentID: ID{3, n}, SessionID: ID{1, n}, AccessRef: AccessRef{2, n},
		Prefix:  netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 32),
		PortEnd: 65535, AssignmentStartedAt: start, StartedAt: start, EndedAt: end,
		Version: 1, EndCause: EndCut, Source: SourceDHCPv4, Certainty: CertaintyObserved, CollectorID: "c1",
	}
}

func testUsage(n byte, bucket time.Time) *Usage {
	return &Usage{
		AccessRef: AccessRef{2, n}, BucketStartedAt: bucket, EndedAt: bucket.Add(BucketLength), SampledAt: bucket.Add(10 * time.Second),
		Direction: Down, IPVersion: 4, Bytes: 1000, Packets: 10, CumulativeBytes: 5000, CumulativePackets: 50,
		CounterID: ID{4, n}, CollectorID: "c1",
	}
}

func testUsageDay(n byte, end time.Time) *UsageDay {
	start := end.Add(-23 * time.Hour)
	return &UsageDay{
		AccessRef: AccessRef{2, n}, Day: start.Truncate(24 * time.Hour), Zone: "Europe/Amsterdam", StartedAt: start, EndedAt: end,
		Direction: Down, IPVersion: 4, Source: UsageKernel, CollectorID: "c1", Bytes: 1 << 40, Packets: 1 << 30, Version: 1,
	}
}

func testCoverage(n byte, start, end time.Time) *Coverage {
	return &Coverage{
		CoverageID: ID{5, n}, CollectorID: "c1", State: Covered, StartedAt: start, EndedAt: end,
		Version: 1, BootID: "boot", ClockOffsetNanos: -1500, ClockSynced: true,
	}
}

func testAccessLog(n byte, at time.Time) *AccessLogEntry {
	return &AccessLogEntry{
		EntryID: ID{6, n}, HappenedAt: at, Actor: "00ff", Role: "customer", Action: "GetTotals", Outcome: "OK",
		RequestID: "r1", AccessRefs: []AccessRef{{2, n}, {9}}, RowsRead: 3,
	}
}

// oneOfEach returns a record of every kind that ended at end.
func oneOfEach(n byte, end time.Time) []Record {
	start := end.Add(-time.Minute)
	return []Record{
		testSession(n, start, end), testAssignment(n, start, end),
		testUsage(n, end.Add(-BucketLength)), testUsageDay(n, end.Truncate(BucketLength)), testCoverage(n, start, end), testAccessLog(n, end),
	}
}

var views = []string{"traffic.session", "traffic.assignment", "traffic.usage", "traffic.coverage", "traffic.access_log", "traffic.usage_day"}

func countViews(t testing.TB, ctx context.Context, conn driver.Conn) (counts [6]uint64) {
	t.Helper()
	for i, view := range views {
		counts[i] = count(t, ctx, conn, "SELECT count() FROM "+view)
	}
	return counts
}

// content returns every column of every row of every view as text, in order.
func content(t testing.TB, ctx context.Context, conn driver.Conn) string {
	t.Helper()
	var all string
	for _, view := range views {
		var text string
		query := fmt.Sprintf("SELECT arrayStringConcat(arraySort(groupArray(toString(tuple(*)))), '\n') FROM %s", view)
		if err := conn.QueryRow(ctx, query).Scan(&text); err != nil {
			t.Fatalf("%s: %v", view, err)
		}
		all += view + "\n" + text + "\n"
	}
	return all
}
