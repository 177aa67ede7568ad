package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/cespare/xxhash/v2"

	"griffier/schema"
)

// outageLines is how many lines the events are about.
const outageLines = 100_000

// event is event n of the generator, a function of n and the day alone: mostly
// usage, with sessions, assignments and now and then coverage.
func event(n uint64, day time.Time) schema.Record {
	ref := lineRef(int(n % outageLines))
	var id schema.ID
	copy(id[:8], ref[:8])
	binary.BigEndian.PutUint64(id[8:], n+1)
	at := day.Add(time.Duration(n%80_000_000) * time.Millisecond)
	switch {
	case n%1000 == 999:
		return &schema.Coverage{
			CoverageID: id, CollectorID: "edge1", State: schema.Covered, StartedAt: at, EndedAt: at.Add(time.Minute), Open: true, Version: n,
			BootID: "9d0c7a52-5c3e-4d0e-8f5a-0a6c1f9f6f11", ClockOffsetNanos: int64(n) - 5000, ClockSynced: true,
		}
	case n%10 == 0:
		return &schema.Session{
			SessionID: id, AccessRef: ref, SessionStartedAt: at.Add(-time.Hour), StartedAt: at, EndedAt: at.Add(time.Minute), Open: n%20 == 0, Version: n,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "bng1", NASPort: fmt.Sprintf("ge-0/0/1:%d", n%4096), CollectorID: "edge1",
		}
	case n%10 == 1:
		return &schema.Assignment{
			AssignmentID: id, SessionID: schema.ID(ref), AccessRef: ref, Prefix: netip.PrefixFrom(lineAddress(int(n%outageLines)), 32), PortEnd: 65535,
			AssignmentStartedAt: at.Add(-time.Hour), StartedAt: at, EndedAt: at.Add(time.Minute), Version: n, EndCause: schema.EndRelease,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1",
		}
	}
	bucket := at.Truncate(schema.BucketLength)
	r := &schema.Usage{
		AccessRef: ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket.Add(310 * time.Second),
		Direction: schema.Up, IPVersion: 4, Bytes: n * 977 % (1 << 32), Packets: n % (1 << 20), CounterID: id, CollectorID: "edge1", Source: schema.UsageKernel,
	}
	if n%4 < 2 {
		r.Direction = schema.Down
	}
	if n%3 == 0 {
		r.IPVersion = 6
	}
	r.CumulativeBytes, r.CumulativePackets = r.Bytes+n<<10, r.Packets+n
	return r
}

// rowText writes every column that a record's row has, as rowSQL does in the store.
func rowText(b []byte, r schema.Record) []byte {
	milli := func(t time.Time) int64 { return t.UnixMilli() }
	flag := func(v bool) int {
		if v {
			return 1
		}
		return 0
	}
	switch r := r.(type) {
	case *schema.Session:
		return fmt.Appendf(b, "%x %x %d %d %d %d %d %s %s %s %s %s %s %s", r.SessionID[:], r.AccessRef[:], milli(r.SessionStartedAt), milli(r.StartedAt),
			milli(r.EndedAt), flag(r.Open), r.Version, r.EndCause, r.Source, r.Certainty, r.NAS, r.NASPort, r.CollectorID, r.Class())
	case *schema.Assignment:
		return fmt.Appendf(b, "%x %x %s %d %d %d %d %s %d %d %d %d %d %s %s %s %s %s", r.SessionID[:], r.AccessRef[:],
			netip.AddrFrom16(r.Prefix.Addr().As16()), 128, r.PortStart, r.PortEnd, r.Protocol, netip.IPv6Unspecified(), milli(r.AssignmentStartedAt), milli(r.StartedAt), milli(r.EndedAt),
			flag(r.Open), r.Version, r.EndCause, r.Source, r.Certainty, r.CollectorID, r.Class())
	case *schema.Usage:
		return fmt.Appendf(b, "%x %d %d %d %s %d %d %d %d %d %x %s %s %s", r.AccessRef[:], milli(r.BucketStartedAt), milli(r.EndedAt), milli(r.SampledAt),
			r.Direction, r.IPVersion, r.Bytes, r.Packets, r.CumulativeBytes, r.CumulativePackets, r.CounterID[:], r.CollectorID, r.Source, r.Class())
	case *schema.Coverage:
		return fmt.Appendf(b, "%x %s %s %s %d %d %d %d %s %d %d %s", r.CoverageID[:], r.CollectorID, r.State, r.Cause, milli(r.StartedAt), milli(r.EndedAt),
			flag(r.Open), r.Version, r.BootID, r.ClockOffsetNanos, flag(r.ClockSynced), r.Class())
	}
	panic(fmt.Sprintf("no text of a %T", r))
}

// rowSQL are the tables and what makes a row's text of the columns.
var rowSQL = map[schema.Kind]struct{ table, text string }{
	schema.KindSession: {"session_slice", `lower(hex(session_id)), lower(hex(access_ref)), toUnixTimestamp64Milli(session_started_at), toUnixTimestamp64Milli(started_at),
		toUnixTimestamp64Milli(ended_at), toUInt8(open), version, end_cause, source, certainty, nas, nas_port, collector_id, class`},
	schema.KindAssignment: {"assignment_slice", `lower(hex(session_id)), lower(hex(access_ref)), prefix_address, prefix_length,
		port_start, port_end, protocol, inside_address, toUnixTimestamp64Milli(assignment_started_at), toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(ended_at),
		toUInt8(open), version, end_cause, source, certainty, collector_id, class`},
	schema.KindUsage: {"usage_bucket", `lower(hex(access_ref)), toUnixTimestamp64Milli(bucket_started_at), toUnixTimestamp64Milli(ended_at), toUnixTimestamp64Milli(sampled_at),
		direction, ip_version, bytes, packets, cumulative_bytes, cumulative_packets, lower(hex(counter_id)), collector_id, source, class`},
	schema.KindCoverage: {"coverage_slice", `lower(hex(coverage_id)), collector_id, state, cause, toUnixTimestamp64Milli(started_at), toUnixTimestamp64Milli(ended_at),
		toUInt8(open), version, boot_id, clock_offset_nanos, toUInt8(clock_synced), class`},
}

// tally is how many rows there are of a kind and the sum, modulo 2^64, of the
// XXH64 of each: equal tallies hold the same rows, each as often.
type tally struct{ Rows, Sum uint64 }

// generatorLedger is what the generator knows to have sent.
type generatorLedger struct {
	day     time.Time
	next    uint64 // events before it are in
	tallies map[schema.Kind]tally
	text    []byte
}

// advance takes the events before next in.
func (l *generatorLedger) advance(next uint64) {
	for ; l.next < next; l.next++ {
		r := event(l.next, l.day)
		l.text = rowText(l.text[:0], r)
		t := l.tallies[r.Kind()]
		l.tallies[r.Kind()] = tally{t.Rows + 1, t.Sum + xxhash.Sum64(l.text)}
	}
}

// compare reads every row of the store, merged or not, and returns an error if
// they are not the ledger's.
func (l *generatorLedger) compare(ctx context.Context, conn driver.Conn) error {
	for kind, x := range rowSQL {
		var have tally
		query := "SELECT count(), sum(xxHash64(concatWithSeparator(' ', " + x.text + "))) FROM traffic." + x.table
		if err := conn.QueryRow(ctx, query).Scan(&have.Rows, &have.Sum); err != nil {
			return err
		}
		if want := l.tallies[kind]; have != want {
			return fmt.Errorf("the store has %d %s rows with sum %x, the generator sent %d with sum %x", have.Rows, kind, have.Sum, want.Rows, want.Sum)
		}
	}
	return nil
}
