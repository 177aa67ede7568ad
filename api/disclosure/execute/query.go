package execute

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/disclosure"
	"griffier/schema"
)

// sliceLength is the longest that a stored slice can be: it is cut at UTC midnight.
const sliceLength = 24 * time.Hour

// Traffic reads the traffic store, through its expiring views only.
type Traffic struct{ conn driver.Conn }

// NewTraffic returns a reader.
func NewTraffic(conn driver.Conn) *Traffic { return &Traffic{conn} }

// Limits returns how far back each class can be read now, by the store's clock. A
// class without a policy can be read to no extent, and its limit is now.
func (t *Traffic) Limits(ctx context.Context) (map[schema.Class]schema.Limit, error) {
	limits, _, err := schema.Limits(ctx, t.conn)
	return limits, err
}

// Coverage returns the coverage rows of the collectors that touch [from, to].
// They must be read before the assignments: an open assignment counts as going
// on up to where coverage is stored, which must not be newer than it.
func (t *Traffic) Coverage(ctx context.Context, collectors []string, from, to time.Time) ([]schema.Coverage, error) {
	rows, err := t.conn.Query(ctx, `SELECT toString(collector_id), toString(state), toString(cause), started_at, ended_at, open, version, clock_offset_nanos, clock_synced
		FROM traffic.coverage
		WHERE toString(collector_id) IN (SELECT arrayJoin({collectors:Array(String)}))
		AND started_at >= {since:DateTime64(3)} AND started_at <= {to:DateTime64(3)} AND ended_at >= {from:DateTime64(3)}
		ORDER BY collector_id, started_at`,
		clickhouse.Named("collectors", collectors), at("since", from.Add(-sliceLength)), at("from", from), at("to", to))
	if err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	defer rows.Close()
	var out []schema.Coverage
	for rows.Next() {
		var c schema.Coverage
		var state string
		if err := rows.Scan(&c.CollectorID, &state, &c.Cause, &c.StartedAt, &c.EndedAt, &c.Open, &c.Version, &c.ClockOffsetNanos, &c.ClockSynced); err != nil {
			return nil, fmt.Errorf("read coverage: %w", err)
		}
		c.State = schema.CoverageState(state)
		out = append(out, c)
	}
	return out, rows.Err()
}

// How many rows of a question are read, and of how many who share an address: as
// far as anybody may count.
const maxRows, maxShared = 10_000, 101

// Assignments returns the rows of the plan's address, and of every prefix around
// it, that may touch its interval. Open rows come whenever they began, a slice's
// length back at most. Of a shared address they are those of the stated port and
// protocol; without a port one for each of those who share it, 101 at most.
func (t *Traffic) Assignments(ctx context.Context, p disclosure.Plan) ([]schema.Assignment, error) {
	if p.Port != 0 { // the whole address has every port, so one question finds both
		and, args := "AND port_start <= {port:UInt16} AND port_end >= {port:UInt16}", []any{clickhouse.Named("port", p.Port)}
		if p.Protocol != 0 {
			and, args = and+" AND protocol IN (0, {protocol:UInt8})", append(args, clickhouse.Named("protocol", p.Protocol))
		}
		rows, err := t.assignments(ctx, p, and, args...)
		slices.SortStableFunc(rows, func(a, b schema.Assignment) int { // here, for the store takes as long to plan it as to do it
			return cmp.Or(cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()), a.StartedAt.Compare(b.StartedAt))
		})
		return rows, err
	}
	// The whole address first, every row; then of each sharer one. It is one question,
	// not two: planning it through the view takes longer than reading its rows. The
	// prefix is part of what there is one of, for a line may also hold a wider one.
	const whole = "(port_start = 0 AND port_end = 65535 AND protocol = 0 AND inside_address = toIPv6('::'))"
	rows, err := t.assignments(ctx, p, "ORDER BY "+whole+" DESC, prefix_length, started_at LIMIT 1 BY prefix_address, prefix_length, access_ref, inside_address, "+
		"if("+whole+", (started_at, version, source, collector_id), (toDateTime64(0, 3, 'UTC'), 0, '', ''))")
	if err != nil {
		return nil, err
	}
	shared := slices.IndexFunc(rows, func(a schema.Assignment) bool {
		return a.PortStart != 0 || a.PortEnd != 65535 || a.Protocol != 0 || a.Inside.IsValid()
	})
	if shared < 0 {
		return rows, nil
	}
	return rows[:min(len(rows), shared+maxShared)], nil
}

func (t *Traffic) assignments(ctx context.Context, p disclosure.Plan, and string, args ...any) ([]schema.Assignment, error) {
	from, to := p.From, p.To
	// Each with its length: by address alone the neighbours would come too, whose
	// address a wider prefix begins with.
	var addresses []string
	var lengths []uint16 // []uint8 would be sent as text
	for _, covering := range schema.CoveringPrefixes(p.Address) {
		address, length := schema.PrefixColumns(covering)
		addresses, lengths = append(addresses, address.String()), append(lengths, uint16(length))
	}
	keys := "(prefix_address, prefix_length) IN arrayZip({addresses:Array(IPv6)}, {lengths:Array(UInt8)})"
	if p.Prefix.IsValid() { // and parts of it
		keys = "(" + keys + " OR prefix_address BETWEEN toIPv6({first:String}) AND toIPv6({last:String}))"
		args = append(args, clickhouse.Named("first", p.Prefix.Addr().String()), clickhouse.Named("last", lastOf(p.Prefix).String()))
	}
	rows, err := t.conn.Query(ctx, `SELECT access_ref, prefix_address, prefix_length, port_start, port_end, protocol, inside_address, started_at, ended_at, open, version,
			source, certainty, collector_id
		FROM traffic.assignment
		WHERE `+keys+`
		AND started_at >= {since:DateTime64(3)} AND started_at <= {to:DateTime64(3)} AND (ended_at >= {from:DateTime64(3)} OR open) `+and+`
		LIMIT {most:UInt32}
		SETTINGS optimize_move_to_prewhere_if_final = 1`, // the key's columns first: all others are read of the rows that are asked for only
		append(args, clickhouse.Named("addresses", addresses), clickhouse.Named("lengths", lengths), at("since", from.Add(-sliceLength)), at("from", from), at("to", to), clickhouse.Named("most", uint32(maxRows+1)))...)
	if err != nil {
		return nil, fmt.Errorf("read assignments: %w", err)
	}
	defer rows.Close()
	var out []schema.Assignment
	for rows.Next() {
		var a schema.Assignment
		var prefix, inside netip.Addr
		var bits uint8
		var source, certainty string
		err := rows.Scan(&a.AccessRef, &prefix, &bits, &a.PortStart, &a.PortEnd, &a.Protocol, &inside, &a.StartedAt, &a.EndedAt, &a.Open, &a.Version, &source, &certainty, &a.CollectorID)
		if err != nil {
			return nil, fmt.Errorf("read assignments: %w", err)
		}
		if a.Prefix, err = schema.PrefixFromColumns(prefix, bits); err != nil {
			return nil, fmt.Errorf("read assignments: %w", err)
		}
		a.Inside = schema.InsideFromColumn(inside)
		a.Source, a.Certainty = schema.Source(source), schema.Certainty(certainty)
		out = append(out, a)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read assignments: %w", err)
	}
	if len(out) > maxRows { // the rest could change the answer
		return nil, fmt.Errorf("read assignments: more than %d rows of one address within a day", maxRows)
	}
	return out, nil
}

// lastOf returns the last address of an IPv6 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	for i := p.Bits(); i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom16(b)
}

func at(name string, t time.Time) any {
	return clickhouse.DateNamed(name, t.UTC(), clickhouse.MilliSeconds)
}
