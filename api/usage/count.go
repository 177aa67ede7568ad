package usage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/schema"
)

// A count is what one counter of one reference moved in one segment of time.
type count struct {
	ref       schema.AccessRef
	at        time.Time // start of the segment
	ipVersion uint8
	source    schema.UsageSource
	collector string
	counter   schema.ID // zero if a kernel counted
	volume    Volume
}

func (c count) foreign() bool { return c.source != schema.UsageKernel }

// refList is how a list of references is a parameter, for [inRefs].
func refList(name string, refs []schema.AccessRef) any {
	hexes := make([]string, len(refs))
	for i, ref := range refs {
		hexes[i] = ref.String()
	}
	return clickhouse.Named(name, hexes)
}

const inRefs = `access_ref IN (SELECT toFixedString(unhex(arrayJoin({refs:Array(String)})), 16))`

// counts sums buckets between bounds, which are in order and between buckets: a
// segment runs from one bound to the next. Every bucket is in one segment.
func (r *Reader) counts(ctx context.Context, refs []schema.AccessRef, bounds []time.Time) ([]count, error) {
	cuts := make([]uint32, len(bounds))
	for i, b := range bounds {
		cuts[i] = uint32(b.Unix())
	}
	rows, err := r.conn.Query(ctx, `SELECT access_ref, toUInt32(roundDown(toUInt32(toUnixTimestamp(bucket_started_at)), {cuts:Array(UInt32)})) AS segment,
			ip_version, toString(source), toString(collector_id), if(source = {kernel:String}, toFixedString('', 16), counter_id) AS counter,
			sumIf(bytes, direction = 'up'), sumIf(bytes, direction = 'down'),
			sumIf(packets, direction = 'up'), sumIf(packets, direction = 'down')
		FROM traffic.usage
		WHERE `+inRefs+` AND bucket_started_at >= {start:DateTime64(3)} AND bucket_started_at < {end:DateTime64(3)}
		GROUP BY access_ref, segment, ip_version, source, collector_id, counter`,
		refList("refs", refs), clickhouse.Named("cuts", cuts), clickhouse.Named("kernel", string(schema.UsageKernel)),
		instant("start", bounds[0]), instant("end", bounds[len(bounds)-1]))
	if err != nil {
		return nil, fmt.Errorf("count usage: %w", err)
	}
	defer rows.Close()
	var out []count
	for rows.Next() {
		var c count
		var ref, source, counter string
		var segment uint32
		v := &c.volume
		if err := rows.Scan(&ref, &segment, &c.ipVersion, &source, &c.collector, &counter, &v.BytesUp, &v.BytesDown, &v.PacketsUp, &v.PacketsDown); err != nil {
			return nil, fmt.Errorf("count usage: %w", err)
		}
		copy(c.ref[:], ref)
		copy(c.counter[:], counter)
		c.at, c.source = time.Unix(int64(segment), 0).UTC(), schema.UsageSource(source)
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count usage: %w", err)
	}
	return out, nil
}

// dayKey is what day rows of one tile differ by.
type dayKey struct {
	direction schema.Direction
	ipVersion uint8
	source    schema.UsageSource
	collector string
}

// dayValue is what a day row says.
type dayValue struct {
	bytes, packets uint64
	gapSeconds     uint32
}

// A dayTile is a tile as it is stored.
type dayTile struct {
	tile
	rows    map[dayKey]dayValue
	version uint64 // the highest
}

// volume sums the rows of one IP version, or of all.
func (d dayTile) volume(only func(ipVersion uint8) bool) (v Volume) {
	for k, row := range d.rows {
		switch {
		case !only(k.ipVersion):
		case k.direction == schema.Up:
			v = v.Add(Volume{BytesUp: row.bytes, PacketsUp: row.packets})
		default:
			v = v.Add(Volume{BytesDown: row.bytes, PacketsDown: row.packets})
		}
	}
	return v
}

// gap returns the longest gap that a row of d tells of.
func (d dayTile) gap() (longest time.Duration) {
	for _, row := range d.rows {
		longest = max(longest, time.Duration(row.gapSeconds)*time.Second)
	}
	return longest
}

// dayTiles returns the stored tiles of refs that touch w, oldest first for each. In
// order, a month comes in one block; without, in a block of each day, which took ten
// of 28 ms. A thread reads a few rows of a day faster than two agree on who does.
func (r *Reader) dayTiles(ctx context.Context, refs []schema.AccessRef, w Window) (map[schema.AccessRef][]dayTile, error) {
	rows, err := r.conn.Query(ctx, `SELECT access_ref, day, zone, started_at, ended_at, direction, ip_version,
			source, collector_id, bytes, packets, gap_seconds, version
		FROM traffic.usage_day
		WHERE `+inRefs+` AND started_at < {end:DateTime64(3)} AND started_at > {start:DateTime64(3)} - INTERVAL 26 HOUR
		AND ended_at > {start:DateTime64(3)} ORDER BY started_at
		SETTINGS max_threads = 1`,
		refList("refs", refs), instant("start", w.Start), instant("end", w.End))
	if err != nil {
		return nil, fmt.Errorf("read usage of days: %w", err)
	}
	defer rows.Close()
	type place struct {
		ref        schema.AccessRef
		start, end int64
	}
	found := map[place]*dayTile{}
	for rows.Next() {
		var ref, direction, source string
		var k dayKey
		var v dayValue
		var d dayTile
		if err := rows.Scan(&ref, &d.day, &d.zone, &d.Start, &d.End, &direction, &k.ipVersion, &source, &k.collector,
			&v.bytes, &v.packets, &v.gapSeconds, &d.version); err != nil {
			return nil, fmt.Errorf("read usage of days: %w", err)
		}
		p := place{start: d.Start.UnixMilli(), end: d.End.UnixMilli()}
		copy(p.ref[:], ref)
		k.direction, k.source = schema.Direction(direction), schema.UsageSource(source)
		at := found[p]
		if at == nil {
			d.Start, d.End, d.day, d.rows = d.Start.UTC(), d.End.UTC(), d.day.UTC(), map[dayKey]dayValue{}
			at = &d
			found[p] = at
		}
		at.rows[k] = v
		at.version = max(at.version, d.version)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read usage of days: %w", err)
	}
	out := make(map[schema.AccessRef][]dayTile)
	for p, d := range found {
		out[p.ref] = append(out[p.ref], *d)
	}
	for _, tiles := range out {
		slices.SortFunc(tiles, func(a, b dayTile) int { return a.Start.Compare(b.Start) })
	}
	return out, nil
}

// coverage returns when each collector was collecting in w.
func (r *Reader) coverage(ctx context.Context, w Window) (map[string][]Window, error) {
	rows, err := r.conn.Query(ctx, `SELECT toString(collector_id), started_at, ended_at FROM traffic.coverage
		WHERE state = 'covered' AND started_at < {end:DateTime64(3)} AND ended_at > {start:DateTime64(3)}`,
		instant("start", w.Start), instant("end", w.End))
	if err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	defer rows.Close()
	out := map[string][]Window{}
	for rows.Next() {
		var id string
		var c Window
		if err := rows.Scan(&id, &c.Start, &c.End); err != nil {
			return nil, fmt.Errorf("read coverage: %w", err)
		}
		out[id] = append(out[id], c)
	}
	return out, rows.Err()
}
