package usage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/schema"
)

// told is what one collector stored of what a NAS counted of one session. Its
// counter is named after the session.
type told struct {
	counter            schema.ID
	collector, nas     string
	startedAt, endedAt time.Time // of the session; zero if its row is gone
	bytes              uint64    // in all
}

// A verdict says what does not count of one reference.
type verdict struct {
	skip []schema.ID // counters
	// left are the collectors of which a counter is skipped, counted those of which
	// one is not. Both are empty if there is but one collector.
	left, counted map[string]bool
}

// repeated judges which counters of refs tell again what others tell. A
// NAS may report to several collectors (a redundant pair), and each stores it, so
// of sessions of one NAS that overlap only those of one collector count: of the
// one that was told most. That is judged over all that may still be read, so that
// what one window counts no other does. What a kernel counts is not looked at: a
// byte passes one router.
func (r *Reader) repeated(ctx context.Context, refs []schema.AccessRef) (map[schema.AccessRef]verdict, error) {
	rows, err := r.conn.Query(ctx, `SELECT access_ref, hex(counter_id), toString(collector_id), sum(bytes), s.nas, s.started, s.ended
		FROM traffic.usage AS u
		LEFT JOIN (SELECT session_id, any(toString(nas)) AS nas, min(session_started_at) AS started, max(ended_at) AS ended
			FROM traffic.session WHERE `+inRefs+` GROUP BY session_id) AS s ON s.session_id = u.counter_id
		WHERE `+inRefs+` AND source != {kernel:String}
		GROUP BY access_ref, counter_id, collector_id, s.nas, s.started, s.ended`,
		refList("refs", refs), clickhouse.Named("kernel", string(schema.UsageKernel)))
	if err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	defer rows.Close()
	all := map[schema.AccessRef][]told{}
	for rows.Next() {
		var t told
		var ref, id string
		if err := rows.Scan(&ref, &id, &t.collector, &t.bytes, &t.nas, &t.startedAt, &t.endedAt); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		if err := t.counter.UnmarshalText([]byte(id)); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		all[schema.AccessRef([]byte(ref))] = append(all[schema.AccessRef([]byte(ref))], t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read usage: %w", err)
	}
	verdicts := map[schema.AccessRef]verdict{}
	for ref, of := range all {
		v := verdict{skip: repetitions(of)}
		if len(v.skip) > 0 {
			v.left, v.counted = map[string]bool{}, map[string]bool{}
			for _, t := range of {
				if slices.Contains(v.skip, t.counter) {
					v.left[t.collector] = true
				} else {
					v.counted[t.collector] = true
				}
			}
		}
		verdicts[ref] = v
	}
	return verdicts, nil
}

// other tells whether a stored tile was summed under another verdict, or may have been.
func (v verdict) other(d dayTile) bool {
	for k, row := range d.rows {
		if k.source != schema.UsageKernel && (v.left[k.collector] && row.bytes > 0 || v.counted[k.collector] && row.bytes == 0) {
			return true
		}
	}
	return false
}

// repetitions returns the counters that do not count.
func repetitions(all []told) (skip []schema.ID) {
	slices.SortFunc(all, func(a, b told) int {
		return cmp.Or(cmp.Compare(a.nas, b.nas), a.startedAt.Compare(b.startedAt), cmp.Compare(a.counter.String(), b.counter.String()))
	})
	for len(all) > 0 {
		// Sessions that overlap, one after the other, are judged together.
		n, reached := 1, all[0].endedAt
		for n < len(all) && all[n].nas == all[0].nas && all[n].startedAt.Before(reached) {
			if all[n].endedAt.After(reached) {
				reached = all[n].endedAt
			}
			n++
		}
		skip = append(skip, allButOne(all[:n])...)
		all = all[n:]
	}
	return skip
}

// allButOne returns the counters of all collectors but the one that was told most.
func allButOne(group []told) (skip []schema.ID) {
	sums := map[string]uint64{}
	for _, t := range group {
		sums[t.collector] += t.bytes
	}
	best := group[0].collector
	for collector, sum := range sums {
		if sum > sums[best] || sum == sums[best] && collector < best {
			best = collector
		}
	}
	for _, t := range group {
		if t.collector != best {
			skip = append(skip, t.counter)
		}
	}
	return skip
}
