package execute

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/reason"
	"griffier/schema"
)

// longestDay is the longest that a local day is.
const longestDay = 26 * time.Hour

var errTooMany = errors.New("more rows than a hold may have")

// History returns the rows of pseudonyms that touch [from, to], through the expiring
// views, at most limit of each kind; more are an error.
func (t *Traffic) History(ctx context.Context, refs []schema.AccessRef, from, to time.Time, limit int) (h History, err error) {
	hexes := make([]string, len(refs))
	for i, ref := range refs {
		hexes[i] = ref.String()
	}
	read := func(what, columns, table, started string, reach time.Duration, and string, scan func(driver.Rows) error) {
		if err != nil {
			return
		}
		// What a row may be open for at most bounds how far back it can have begun.
		var rows driver.Rows
		rows, err = t.conn.Query(ctx, "SELECT "+columns+" FROM "+table+`
			WHERE access_ref IN (SELECT toFixedString(unhex(arrayJoin({refs:Array(String)})), 16))
			AND `+started+` >= {since:DateTime64(3)} AND `+started+` <= {to:DateTime64(3)} AND `+and+`
			ORDER BY access_ref, `+started+` LIMIT {limit:UInt32}`,
			clickhouse.Named("refs", hexes), at("since", from.Add(-reach)), at("from", from), at("to", to), clickhouse.Named("limit", uint32(limit+1)))
		if err == nil {
			defer rows.Close()
			n := 0
			for err == nil && rows.Next() {
				if n++; n > limit {
					err = errTooMany
				} else {
					err = scan(rows)
				}
			}
			err = errors.Join(err, rows.Err())
		}
		if err != nil {
			err = fmt.Errorf("read %s: %w", what, err)
		}
	}
	const touching = "(ended_at >= {from:DateTime64(3)} OR open)"
	read("sessions", `session_id, access_ref, session_started_at, started_at, ended_at, open, version, toString(end_cause), toString(source),
		toString(certainty), toString(nas), nas_port, toString(collector_id)`, "traffic.session", "started_at", sliceLength, touching, func(rows driver.Rows) error {
		var s schema.Session
		var id, ref, cause, source, certainty string
		err := rows.Scan(&id, &ref, &s.SessionStartedAt, &s.StartedAt, &s.EndedAt, &s.Open, &s.Version, &cause, &source, &certainty, &s.NAS, &s.NASPort, &s.CollectorID)
		copy(s.SessionID[:], id)
		copy(s.AccessRef[:], ref)
		s.EndCause, s.Source, s.Certainty = schema.EndCause(cause), schema.Source(source), schema.Certainty(certainty)
		h.Sessions = append(h.Sessions, s)
		return err
	})
	read("assignments", `assignment_id, session_id, access_ref, prefix_address, prefix_length, port_start, port_end, protocol, inside_address,
		assignment_started_at, started_at, ended_at, open, version, toString(end_cause), toString(source), toString(certainty), toString(collector_id)`,
		"traffic.assignment", "started_at", sliceLength, touching, func(rows driver.Rows) error {
			var a schema.Assignment
			var id, session, ref, cause, source, certainty string
			var prefix, inside netip.Addr
			var bits uint8
			err := rows.Scan(&id, &session, &ref, &prefix, &bits, &a.PortStart, &a.PortEnd, &a.Protocol, &inside, &a.AssignmentStartedAt, &a.StartedAt, &a.EndedAt,
				&a.Open, &a.Version, &cause, &source, &certainty, &a.CollectorID)
			if err != nil {
				return err
			}
			copy(a.AssignmentID[:], id)
			copy(a.SessionID[:], session)
			copy(a.AccessRef[:], ref)
			a.Inside = schema.InsideFromColumn(inside)
			a.EndCause, a.Source, a.Certainty = schema.EndCause(cause), schema.Source(source), schema.Certainty(certainty)
			a.Prefix, err = schema.PrefixFromColumns(prefix, bits)
			h.Assignments = append(h.Assignments, a)
			return err
		})
	read("usage", `access_ref, bucket_started_at, ended_at, sampled_at, toString(direction), ip_version, bytes, packets, cumulative_bytes, cumulative_packets,
		counter_id, toString(collector_id), toString(source)`, "traffic.usage", "bucket_started_at", schema.BucketLength, "ended_at > {from:DateTime64(3)}", func(rows driver.Rows) error {
		var u schema.Usage
		var ref, direction, counter, source string
		err := rows.Scan(&ref, &u.BucketStartedAt, &u.EndedAt, &u.SampledAt, &direction, &u.IPVersion, &u.Bytes, &u.Packets, &u.CumulativeBytes, &u.CumulativePackets,
			&counter, &u.CollectorID, &source)
		copy(u.AccessRef[:], ref)
		copy(u.CounterID[:], counter)
		u.Direction, u.Source = schema.Direction(direction), schema.UsageSource(source)
		h.Usage = append(h.Usage, u)
		return err
	})
	read("days of usage", `access_ref, day, toString(zone), started_at, ended_at, toString(direction), ip_version, toString(source), toString(collector_id), bytes, packets,
		gap_seconds, version`, "traffic.usage_day", "started_at", longestDay, "ended_at > {from:DateTime64(3)}", func(rows driver.Rows) error {
		var u schema.UsageDay
		var ref, direction, source string
		err := rows.Scan(&ref, &u.Day, &u.Zone, &u.StartedAt, &u.EndedAt, &direction, &u.IPVersion, &source, &u.CollectorID, &u.Bytes, &u.Packets, &u.GapSeconds, &u.Version)
		copy(u.AccessRef[:], ref)
		u.Direction, u.Source = schema.Direction(direction), schema.UsageSource(source)
		h.UsageDays = append(h.UsageDays, u)
		return err
	})
	if errors.Is(err, errTooMany) {
		return History{}, reason.New(reason.MaxHits, "A hold has no room for so many rows: narrow the window.")
	}
	return h, err
}
