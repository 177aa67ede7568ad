package schema_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/register"
	"griffier/api/usage"
	"griffier/schema"
)

const (
	askedLines     = 12
	askedAddresses = 4
)

// network is three days of a small ISP: lines that come and go, addresses that
// change hands, shared addresses, delegated prefixes, counters, and every open
// slice stored several times over.
func network(r *rand.Rand, first time.Time) []schema.Record {
	var records []schema.Record
	for n := range askedLines {
		ref := schema.AccessRef{2, byte(n)}
		for d := range 3 {
			day := first.AddDate(0, 0, d)
			id := schema.ID{1, byte(n), byte(d)}
			start := day.Add(time.Duration(r.IntN(20)) * time.Hour)
			for version := range uint64(1 + r.IntN(3)) {
				end := start.Add(time.Duration(version+1) * 30 * time.Minute)
				session := &schema.Session{
					SessionID: id, AccessRef: ref, SessionStartedAt: start, StartedAt: start, EndedAt: end, Open: version%2 == 0, Version: version + 1,
					Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "edge1", NASPort: "1", CollectorID: "c1",
				}
				assignment := &schema.Assignment{
					AssignmentID: id, SessionID: id, AccessRef: ref, PortEnd: 65535, AssignmentStartedAt: start, StartedAt: start, EndedAt: end,
					Open: version%2 == 0, Version: version + 1, Source: schema.SourceDHCPv4, Certainty: schema.CertaintyObserved, CollectorID: "c1",
				}
				host := byte(n % askedAddresses)
				switch n % 3 {
				case 0:
					assignment.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), 32)
				case 1:
					assignment.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, host}), 32)
					assignment.PortStart = 1024 * uint16(1+n%8)
					assignment.PortEnd = assignment.PortStart + 1023
				default:
					assignment.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, host}), 56).Masked()
				}
				if !session.Open {
					session.EndCause, assignment.EndCause = schema.EndCut, schema.EndCut
				}
				records = append(records, session, assignment)
			}
			for i := range 6 {
				bucket := start.Add(time.Duration(i) * schema.BucketLength).Truncate(schema.BucketLength)
				for _, direction := range []schema.Direction{schema.Up, schema.Down} {
					records = append(records, &schema.Usage{
						AccessRef: ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket.Add(time.Minute),
						Direction: direction, IPVersion: 4, Bytes: r.Uint64N(1e9), Packets: r.Uint64N(1e6), CumulativeBytes: 1e12, CumulativePackets: 1e9,
						CounterID: schema.ID{4, byte(n)}, CollectorID: "c1",
					})
				}
			}
		}
	}
	for d := range 3 {
		day := first.AddDate(0, 0, d)
		records = append(records, &schema.Coverage{
			CoverageID: schema.ID{5, byte(d)}, CollectorID: "c1", State: schema.Covered, StartedAt: day, EndedAt: day.AddDate(0, 0, 1), Version: 1, BootID: "b", ClockSynced: true,
		}, &schema.AccessLogEntry{
			EntryID: schema.ID{6, byte(d)}, HappenedAt: day.Add(time.Hour), Actor: "00ff", Role: "customer", Action: "GetTotals", Outcome: "OK",
			RequestID: "r", AccessRefs: []schema.AccessRef{{2, 1}}, RowsRead: 3,
		})
	}
	return records
}

// answers asks what the product asks, by the product's own readers, and returns
// every answer as text.
func answers(t *testing.T, ctx context.Context, conn driver.Conn, first time.Time) string {
	t.Helper()
	var out strings.Builder
	say := func(what string, v any, err error) {
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		fmt.Fprintf(&out, "%s: %+v\n", what, v)
	}
	days := usage.Window{Start: first, End: first.AddDate(0, 0, 3)}
	traffic, reader := execute.NewTraffic(conn), usage.NewReader(conn)
	for host := range byte(askedAddresses) {
		for day := range 3 {
			for _, address := range []netip.Addr{
				netip.AddrFrom4([4]byte{192, 0, 2, host}), netip.AddrFrom4([4]byte{203, 0, 113, host}),
				netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, host, 15: 1}),
			} {
				question := disclosure.Question{Address: address, Instant: first.Add(time.Duration(24*day+12) * time.Hour), Uncertainty: 8 * time.Hour}
				found, err := traffic.Assignments(ctx, disclosure.NewPlan(question, 0))
				say(fmt.Sprint("who held ", address, " ", day), found, err)
				question.Port, question.Protocol = 4100, 6
				found, err = traffic.Assignments(ctx, disclosure.NewPlan(question, 0))
				say(fmt.Sprint("who held ", address, " 4100 ", day), found, err)
			}
		}
	}
	for n := range askedLines {
		held := []register.Held{{LineID: "l", Ref: schema.AccessRef{2, byte(n)}, ValidFrom: first.AddDate(-1, 0, 0), ValidTo: schema.Forever}}
		buckets, err := reader.Buckets(ctx, held, days)
		say(fmt.Sprint("usage of ", n), buckets, err)
		sessions, _, err := reader.Sessions(ctx, held, days, 100)
		say(fmt.Sprint("sessions of ", n), sessions, err)
		gaps, err := reader.GapsOf(ctx, held, days)
		say(fmt.Sprint("gaps of ", n), gaps, err)
	}
	covered, err := traffic.Coverage(ctx, []string{"c1"}, days.Start, days.End)
	say("coverage", covered, err)
	var reads uint64
	err = conn.QueryRow(ctx, "SELECT count() FROM traffic.access_log_entry FINAL").Scan(&reads)
	say("reads", reads, err)
	return out.String()
}

// fill stores the network.
func fill(t *testing.T, ctx context.Context, conn driver.Conn, first time.Time) {
	t.Helper()
	schema.SetPolicy(t, ctx, conn, "P1M")
	mustExec(t, ctx, conn, "SYSTEM STOP MERGES") // FINAL has something to do
	records := network(rand.New(rand.NewPCG(1, 2)), first)
	// Versions of a row in one block would be one row before they are stored.
	const blocks = 7
	for i := range blocks {
		var block []schema.Record
		for n := i; n < len(records); n += blocks {
			block = append(block, records[n])
		}
		if err := schema.Insert(ctx, conn, fmt.Sprint("t", i), block); err != nil {
			t.Fatal(err)
		}
	}
	if err := schema.Insert(ctx, conn, "again", records); err != nil {
		t.Fatal(err)
	}
}

func mustExec(t *testing.T, ctx context.Context, conn driver.Conn, statement string) {
	t.Helper()
	if err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%v\n%s", err, statement)
	}
}

// shards puts what a store holds into three shards by an expression for each
// table. The engine's Merge table asks each shard for its own answer and FINAL, as
// Distributed does, and puts the answers together.
func shards(t *testing.T, ctx context.Context, conn driver.Conn, by func(table string) string) {
	t.Helper()
	const number = 3
	for i := range number {
		mustExec(t, ctx, conn, fmt.Sprintf("CREATE DATABASE shard_%d", i))
	}
	for _, name := range schema.Tables {
		key := by(name)
		if key == "" {
			continue
		}
		_, table, _ := strings.Cut(name, ".")
		for i := range number {
			mustExec(t, ctx, conn, fmt.Sprintf("CREATE TABLE shard_%d.%s AS %s", i, table, name))
			mustExec(t, ctx, conn, fmt.Sprintf("INSERT INTO shard_%d.%s SELECT * FROM %s WHERE %s %% %d = %d", i, table, name, key, number, i))
		}
		mustExec(t, ctx, conn, fmt.Sprintf("RENAME TABLE %s TO %s_whole", name, name))
		mustExec(t, ctx, conn, fmt.Sprintf("CREATE TABLE %s AS shard_0.%s ENGINE = Merge(REGEXP('^shard_'), '^%s$')", name, table, table))
	}
}

func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\nbecame\n" + y[i]
		}
	}
	return ""
}

// TestQuestionsOverShards: the sharding keys change no answer, and keys chosen
// badly would.
func TestQuestionsOverShards(t *testing.T) {
	first := schema.Today(-3)
	var whole string
	for _, x := range []struct {
		name string
		by   func(table string) string
		same bool
	}{
		{"by the sharding keys", schema.ShardingKey, true},
		{"by the version", func(table string) string {
			if table == "traffic.assignment_slice" {
				return "version"
			}
			return ""
		}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			ctx, conn, _ := schema.NewStore(t)
			fill(t, ctx, conn, first)
			if whole == "" {
				whole = answers(t, ctx, conn, first)
			}
			shards(t, ctx, conn, x.by)
			if apart := answers(t, ctx, conn, first); (apart == whole) != x.same {
				t.Errorf("the same answers: %t, want %t\n%s", apart == whole, x.same, firstDifference(whole, apart))
			}
		})
	}
	t.Run("Distributed", func(t *testing.T) {
		ctx, conn := schema.NewDistributedStore(t)
		fill(t, ctx, conn, first)
		if got := answers(t, ctx, conn, first); got != whole {
			t.Error(firstDifference(whole, got))
		}
	})
	if n := strings.Count(whole, "Addresses:[{"); n < askedLines {
		t.Errorf("only %d lines had a session with an address: the questions were too easy", n)
	}
}
