package execute

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/hold/keep"
	"griffier/api/reason"
	"griffier/schema"
)

// longestDay is the longest that a local day is.
const longestDay = 26 * time.Hour

var errTooMany = errors.New("more rows than the limit")

// everything is every class of what pseudonyms had and did.
var everything = []schema.Class{schema.ClassSession, schema.ClassAssignment, schema.ClassUsage5m, schema.ClassUsageDay}

// History returns the rows of pseudonyms that touch [from, to], of the given classes
// and of no other, through the expiring views, at most limit of each; more are an
// error.
func (t *Traffic) History(ctx context.Context, refs []schema.AccessRef, classes []schema.Class, from, to time.Time, limit int) (h keep.History, err error) {
	hexes := make([]string, len(refs))
	for i, ref := range refs {
		hexes[i] = ref.String()
	}
	read := func(class schema.Class, columns, table, started string, reach time.Duration, and string, scan func(driver.Rows) error) {
		if err != nil || !slices.Contains(classes, class) {
			return
		}
		// What a row may be open for at most bounds how far back it can have begun.
		var rows driver.Rows
		rows, err = t.conn.Query(ctx, "SELECT "+columns+" FROM "+table+`
			WHERE access_ref IN (SELECT toFixedString(unhex(arrayJoin({refs:Array(String)})), 16))
			AND `+started+` >= {since:DateTime64(3)} AND `+started+` <= {to:DateTime64(3)} AND `+and+`
			ORDER BY access_ref, `+started+` LIMIT {limit:UInt32}
			SETTINGS optimize_move_to_prewhere_if_final = 1`, // the key's columns first: most of what a bloom filter lets through is not theirs
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
			err = fmt.Errorf("read rows of %s: %w", class, err)
		}
	}
	const touching = "(ended_at >= {from:DateTime64(3)} OR open)"
	read(schema.ClassSession, `session_id, access_ref, session_started_at, started_at, ended_at, open, version, toString(end_cause), toString(source),
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
	read(schema.ClassAssignment, assignmentColumns, "traffic.assignment", "started_at", sliceLength, touching, func(rows driver.Rows) error {
		a, err := scanAssignment(rows)
		h.Assignments = append(h.Assignments, a)
		return err
	})
	read(schema.ClassUsage5m, `access_ref, bucket_started_at, ended_at, sampled_at, toString(direction), ip_version, bytes, packets, cumulative_bytes, cumulative_packets,
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
	read(schema.ClassUsageDay, `access_ref, day, toString(zone), started_at, ended_at, toString(direction), ip_version, toString(source), toString(collector_id), bytes, packets,
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
		return keep.History{}, reason.New(reason.MaxHits, "There are too many rows to look at: narrow the window.")
	}
	return h, err
}

// assignmentColumns are what [scanAssignment] reads.
const assignmentColumns = `assignment_id, session_id, access_ref, prefix_address, prefix_length, port_start, port_end, protocol, inside_address,
	assignment_started_at, started_at, ended_at, open, version, toString(end_cause), toString(source), toString(certainty), toString(collector_id)`

func scanAssignment(rows driver.Rows) (a schema.Assignment, err error) {
	var id, session, ref, cause, source, certainty string
	var prefix, inside netip.Addr
	var bits uint8
	err = rows.Scan(&id, &session, &ref, &prefix, &bits, &a.PortStart, &a.PortEnd, &a.Protocol, &inside, &a.AssignmentStartedAt, &a.StartedAt, &a.EndedAt,
		&a.Open, &a.Version, &cause, &source, &certainty, &a.CollectorID)
	if err != nil {
		return a, err
	}
	copy(a.AssignmentID[:], id)
	copy(a.SessionID[:], session)
	copy(a.AccessRef[:], ref)
	a.Inside = schema.InsideFromColumn(inside)
	a.EndCause, a.Source, a.Certainty = schema.EndCause(cause), schema.Source(source), schema.Certainty(certainty)
	a.Prefix, err = schema.PrefixFromColumns(prefix, bits)
	return a, err
}

// Translated returns the rows by which translators shared addresses with inside
// addresses, that touch [from, to]; more than limit are an error. There is no index
// by inside address: it reads the window's days.
func (t *Traffic) Translated(ctx context.Context, inside []netip.Addr, from, to time.Time, limit int) ([]schema.Assignment, error) {
	texts := make([]string, len(inside))
	for i, a := range inside {
		texts[i] = schema.InsideColumn(a).String()
	}
	rows, err := t.conn.Query(ctx, `SELECT `+assignmentColumns+` FROM traffic.assignment
		WHERE inside_address IN (SELECT toIPv6(arrayJoin({inside:Array(String)})))
		AND started_at >= {since:DateTime64(3)} AND started_at <= {to:DateTime64(3)} AND (ended_at >= {from:DateTime64(3)} OR open)
		ORDER BY started_at, prefix_address, port_start LIMIT {limit:UInt32}`,
		clickhouse.Named("inside", texts), at("since", from.Add(-sliceLength)), at("from", from), at("to", to), clickhouse.Named("limit", uint32(limit+1)))
	if err != nil {
		return nil, fmt.Errorf("read translations: %w", err)
	}
	defer rows.Close()
	var out []schema.Assignment
	for rows.Next() {
		a, err := scanAssignment(rows)
		if err != nil {
			return nil, fmt.Errorf("read translations: %w", err)
		}
		if out = append(out, a); len(out) > limit {
			return nil, reason.New(reason.MaxHits, "There are too many rows to look at: narrow the window.")
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read translations: %w", err)
	}
	return out, nil
}
