// Package usage answers customers about their own lines: volume, rates, series and
// connection times. It reads the expiring views only, so what has expired is
// not there, and it says which parts of a window nobody collected.
//
// Buckets of five minutes are kept for days, bills are disputed for months. In
// between stands the [Roller], which sums the buckets of each local day of a
// line's own zone, exactly from midnight to midnight, into rows that outlive them.
// No zone in use has a midnight within a bucket; a line in one that had is refused.
// [Reader.Totals] reads closed days from those rows and the rest from buckets, so
// that every byte is in exactly one day, one billing cycle and one month.
package usage

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/register"
	"griffier/schema"
)

// Reader reads what lines did. It is safe for concurrent use.
type Reader struct{ conn driver.Conn }

// NewReader returns a reader of the store's views.
func NewReader(conn driver.Conn) *Reader { return &Reader{conn} }

// Volume is in L3 bytes and packets, seen from the line.
type Volume struct{ BytesUp, BytesDown, PacketsUp, PacketsDown uint64 }

// Add returns the sum of two volumes.
func (v Volume) Add(o Volume) Volume {
	return Volume{v.BytesUp + o.BytesUp, v.BytesDown + o.BytesDown, v.PacketsUp + o.PacketsUp, v.PacketsDown + o.PacketsDown}
}

// Bucket is the volume of one IP version in one 5-minute bucket.
type Bucket struct {
	StartedAt time.Time
	IPVersion uint8 // 0 if it is not known: a BNG counts both together
	Volume    Volume
	Source    schema.UsageSource
}

// Buckets returns what the refs of one line moved in the buckets that start in
// w, oldest first for each ref. Each ref counts only while it was the line's, and
// once. What a BNG counted is left out on every UTC day on which a kernel counted
// anything of the line, since the two are never added, and counts once if several
// collectors were told of it.
func (r *Reader) Buckets(ctx context.Context, refs []register.Held, w Window) ([]Bucket, error) {
	return r.bucketsIn(ctx, refs, refs, w)
}

// counting returns what counts of one ref: of a redundant pair one.
func (r *Reader) counting(ctx context.Context, held register.Held, w Window) ([]Bucket, error) {
	buckets, err := r.buckets(ctx, held, w, nil)
	if err != nil || !slices.ContainsFunc(buckets, Bucket.foreign) {
		return buckets, err
	}
	verdicts, err := r.repeated(ctx, []schema.AccessRef{held.Ref})
	if err != nil || len(verdicts[held.Ref].skip) == 0 {
		return buckets, err
	}
	return r.buckets(ctx, held, w, verdicts[held.Ref].skip)
}

// keyFirst has a question read the columns of the sorting key first, and the others,
// with what the view asks of them, only for rows that these select. All versions of
// a row have the same key, so the latest one is found as ever.
const keyFirst = " SETTINGS optimize_move_to_prewhere_if_final = 1"

// buckets returns what one ref moved, but for the counters to skip.
func (r *Reader) buckets(ctx context.Context, held register.Held, w Window, skip []schema.ID) ([]Bucket, error) {
	hexes := make([]string, len(skip))
	for i, id := range skip {
		hexes[i] = id.String()
	}
	rows, err := r.conn.Query(ctx, `SELECT bucket_started_at, ip_version, toString(source),
			sumIf(bytes, direction = 'up'), sumIf(bytes, direction = 'down'),
			sumIf(packets, direction = 'up'), sumIf(packets, direction = 'down')
		FROM traffic.usage
		WHERE access_ref = toFixedString(unhex({ref:String}), 16)
		AND bucket_started_at >= {start:DateTime64(3)} AND bucket_started_at < {end:DateTime64(3)}
		AND counter_id NOT IN (SELECT toFixedString(unhex(arrayJoin({skip:Array(String)})), 16))
		GROUP BY bucket_started_at, ip_version, source ORDER BY bucket_started_at, ip_version`+keyFirst,
		clickhouse.Named("ref", held.Ref.String()), clickhouse.Named("skip", hexes), instant("start", w.Start), instant("end", w.End))
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	defer rows.Close()
	var out []Bucket
	for rows.Next() {
		var b Bucket
		v := &b.Volume
		var source string
		if err := rows.Scan(&b.StartedAt, &b.IPVersion, &source, &v.BytesUp, &v.BytesDown, &v.PacketsUp, &v.PacketsDown); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		b.Source = schema.UsageSource(source)
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	return out, nil
}

// Session is a connection time with the addresses held in it.
type Session struct {
	ID         schema.ID
	StartedAt  time.Time
	LastSeenAt time.Time
	Open       bool
	EndCause   string
	Source     string
	Certainty  string
	Addresses  []Address
	Collector  string
}

// Address is a prefix held during [StartedAt, EndedAt); while Open, EndedAt is
// when it was last known to be held.
type Address struct {
	Prefix             string
	StartedAt, EndedAt time.Time
	Open               bool
}

// Sessions returns at most limit sessions that touch w, newest first, each whole:
// with the start and end that it has outside of w too. Of a ref that was the
// line's for a time, nothing before or after that time is shown.
func (r *Reader) Sessions(ctx context.Context, refs []register.Held, w Window, limit int) (sessions []Session, truncated bool, err error) {
	for _, held := range spans(refs) {
		part, ok := w.intersect(held.ValidFrom, held.ValidTo)
		if !ok {
			continue
		}
		found, err := r.sessions(ctx, held, part, limit+1)
		if err != nil {
			return nil, false, err
		}
		sessions = append(sessions, found...)
	}
	newestFirst(sessions)
	if len(sessions) > limit {
		sessions, truncated = sessions[:limit], true
	}
	return sessions, truncated, nil
}

// touching selects the slices that touch a window: a slice is within one day,
// so the look-back is a day. The end is exclusive on both sides, except that a
// slice without length counts where it starts.
const touching = `started_at < {end:DateTime64(3)} AND started_at > {start:DateTime64(3)} - INTERVAL 1 DAY
		AND (ended_at > {start:DateTime64(3)} OR started_at >= {start:DateTime64(3)})`

func (r *Reader) sessions(ctx context.Context, held register.Held, w Window, limit int) ([]Session, error) {
	rows, err := r.conn.Query(ctx, `SELECT hex(session_id), min(session_started_at), max(ended_at),
			argMax(open, started_at), toString(argMax(end_cause, started_at)),
			toString(argMax(source, started_at)), toString(argMax(certainty, started_at)), toString(argMax(collector_id, started_at))
		FROM traffic.session
		WHERE access_ref = toFixedString(unhex({ref:String}), 16)
		AND started_at > {start:DateTime64(3)} - INTERVAL 1 DAY AND started_at < {until:DateTime64(3)}
		AND session_id IN (SELECT session_id FROM traffic.session WHERE access_ref = toFixedString(unhex({ref:String}), 16) AND `+touching+`)
		GROUP BY session_id ORDER BY min(session_started_at) DESC, session_id LIMIT {limit:UInt32}`,
		clickhouse.Named("ref", held.Ref.String()), instant("start", w.Start), instant("end", w.End),
		instant("until", held.ValidTo), clickhouse.Named("limit", uint32(limit)))
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	defer rows.Close()
	var sessions []Session
	for rows.Next() {
		var s Session
		var id string
		if err := rows.Scan(&id, &s.StartedAt, &s.LastSeenAt, &s.Open, &s.EndCause, &s.Source, &s.Certainty, &s.Collector); err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
		if err := s.ID.UnmarshalText([]byte(id)); err != nil {
			return nil, fmt.Errorf("read sessions: %w", err)
		}
		if s.StartedAt, s.LastSeenAt, s.Open = clip(held, s.StartedAt, s.LastSeenAt, s.Open); s.LastSeenAt.Equal(held.ValidTo) {
			s.EndCause = "" // how it went on is not this line's
		}
		sessions = append(sessions, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return sessions, r.addresses(ctx, held, w, sessions)
}

// clip cuts an interval to the time in which its ref was the line's.
func clip(held register.Held, start, end time.Time, open bool) (time.Time, time.Time, bool) {
	if start.Before(held.ValidFrom) {
		start = held.ValidFrom
	}
	if !end.Before(held.ValidTo) {
		end, open = held.ValidTo, false
	}
	return start, end, open
}

// addresses fills in what each session held in w.
func (r *Reader) addresses(ctx context.Context, held register.Held, w Window, sessions []Session) error {
	if len(sessions) == 0 {
		return nil
	}
	rows, err := r.conn.Query(ctx, `SELECT hex(session_id), prefix_address, prefix_length,
			min(assignment_started_at), max(ended_at), argMax(open, started_at)
		FROM traffic.assignment
		WHERE access_ref = toFixedString(unhex({ref:String}), 16)
		AND started_at > {start:DateTime64(3)} - INTERVAL 1 DAY AND started_at < {until:DateTime64(3)}
		AND assignment_id IN (SELECT assignment_id FROM traffic.assignment WHERE access_ref = toFixedString(unhex({ref:String}), 16) AND `+touching+`)
		GROUP BY session_id, assignment_id, prefix_address, prefix_length
		ORDER BY min(assignment_started_at), prefix_address, prefix_length`+keyFirst,
		clickhouse.Named("ref", held.Ref.String()), instant("start", w.Start), instant("end", w.End), instant("until", held.ValidTo))
	if err != nil {
		return fmt.Errorf("read assignments: %w", err)
	}
	defer rows.Close()
	index := make(map[schema.ID]int, len(sessions))
	for i := range sessions {
		index[sessions[i].ID] = i
	}
	for rows.Next() {
		var a Address
		var text string
		var address netip.Addr
		var bits uint8
		if err := rows.Scan(&text, &address, &bits, &a.StartedAt, &a.EndedAt, &a.Open); err != nil {
			return fmt.Errorf("read assignments: %w", err)
		}
		var id schema.ID
		if err := id.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("read assignments: %w", err)
		}
		if i, ok := index[id]; ok {
			prefix, err := schema.PrefixFromColumns(address, bits)
			if err != nil {
				return fmt.Errorf("read assignments: %w", err)
			}
			a.Prefix = prefix.String()
			a.StartedAt, a.EndedAt, a.Open = clip(held, a.StartedAt, a.EndedAt, a.Open)
			sessions[i].Addresses = append(sessions[i].Addresses, a)
		}
	}
	return rows.Err()
}

// Covered returns the intervals in which a collector that serves the line was
// collecting, oldest first: the collectors named in sessions, or all of them
// when there is none to go by.
func (r *Reader) Covered(ctx context.Context, w Window, collectors []string) ([]Window, error) {
	rows, err := r.conn.Query(ctx, `SELECT started_at, ended_at FROM traffic.coverage
		WHERE state = 'covered' AND started_at < {end:DateTime64(3)} AND ended_at > {start:DateTime64(3)}
		AND (empty({ids:Array(String)}) OR has({ids:Array(String)}, toString(collector_id))) ORDER BY started_at`,
		instant("start", w.Start), instant("end", w.End), clickhouse.Named("ids", collectors))
	if err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	defer rows.Close()
	var covered []Window
	for rows.Next() {
		var c Window
		if err := rows.Scan(&c.Start, &c.End); err != nil {
			return nil, fmt.Errorf("read coverage: %w", err)
		}
		covered = append(covered, c)
	}
	return covered, rows.Err()
}

// collectors returns which collectors saw the line in w, or else last before it,
// and until when they have reported; later than that is not yet known. A line
// that never had a session has none.
func (r *Reader) collectors(ctx context.Context, refs []register.Held, w Window) (ids []string, newest time.Time, err error) {
	hexes := make([]string, len(refs))
	for i, held := range refs {
		hexes[i] = held.Ref.String()
	}
	err = r.conn.QueryRow(ctx, `SELECT groupUniqArray(toString(collector_id)) FROM traffic.session
		WHERE access_ref IN (SELECT toFixedString(unhex(arrayJoin({refs:Array(String)})), 16))
		AND `+touching,
		clickhouse.Named("refs", hexes), instant("start", w.Start), instant("end", w.End)).Scan(&ids)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read collectors: %w", err)
	}
	if len(ids) == 0 { // perhaps because its collector was down: that one counts, not its neighbours
		err = r.conn.QueryRow(ctx, `SELECT if(count() = 0, [], [argMax(toString(collector_id), started_at)]) FROM traffic.session
			WHERE access_ref IN (SELECT toFixedString(unhex(arrayJoin({refs:Array(String)})), 16)) AND started_at < {start:DateTime64(3)}`,
			clickhouse.Named("refs", hexes), instant("start", w.Start)).Scan(&ids)
		if err != nil {
			return nil, time.Time{}, fmt.Errorf("read collectors: %w", err)
		}
	}
	err = r.conn.QueryRow(ctx, `SELECT max(ended_at) FROM traffic.coverage
		WHERE state = 'covered' AND (empty({ids:Array(String)}) OR has({ids:Array(String)}, toString(collector_id)))`,
		clickhouse.Named("ids", ids)).Scan(&newest)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read coverage: %w", err)
	}
	return ids, newest, nil
}

func instant(name string, t time.Time) any {
	return clickhouse.DateNamed(name, t.UTC(), clickhouse.MilliSeconds)
}
