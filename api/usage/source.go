package usage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/api/register"
	"griffier/schema"
)

const utcDay = 24 * time.Hour

// oneSource leaves out what a BNG counted on the UTC days of which a kernel
// counted anything for the line. A day and not a bucket: a BNG tells what it
// counted in lumps, minutes later, and a line that was idle has no kernel rows
// in the bucket that such a lump falls into.
func (r *Reader) oneSource(ctx context.Context, refs []register.Held, w Window, buckets []Bucket) ([]Bucket, error) {
	if !slices.ContainsFunc(buckets, Bucket.foreign) {
		return buckets, nil
	}
	kernel, err := r.kernelDays(ctx, refs, Window{Start: w.Start.Truncate(utcDay), End: w.End.Add(utcDay - 1).Truncate(utcDay)})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(buckets, func(b Bucket) bool { return b.foreign() && kernel[b.StartedAt.Truncate(utcDay)] }), nil
}

// foreign reports whether a BNG counted it, not a kernel.
func (b Bucket) foreign() bool { return b.Source != schema.UsageKernel }

// kernelDays returns the UTC days in w on which a kernel counted for the line.
func (r *Reader) kernelDays(ctx context.Context, refs []register.Held, w Window) (map[time.Time]bool, error) {
	days := map[time.Time]bool{}
	for _, held := range spans(refs) {
		part, ok := w.intersect(held.ValidFrom, held.ValidTo)
		if !ok {
			continue
		}
		rows, err := r.conn.Query(ctx, `SELECT DISTINCT toStartOfDay(bucket_started_at, 'UTC') FROM traffic.usage
			WHERE access_ref = toFixedString(unhex({ref:String}), 16) AND source = {kernel:String}
			AND bucket_started_at >= {start:DateTime64(3)} AND bucket_started_at < {end:DateTime64(3)}`,
			clickhouse.Named("ref", held.Ref.String()), clickhouse.Named("kernel", string(schema.UsageKernel)),
			instant("start", part.Start), instant("end", part.End))
		if err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		for rows.Next() {
			var at time.Time
			if err := rows.Scan(&at); err != nil {
				rows.Close()
				return nil, fmt.Errorf("read usage: %w", err)
			}
			days[at.UTC()] = true
		}
		if err := rows.Close(); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
		if err := rows.Err(); err != nil {
			return nil, fmt.Errorf("read usage: %w", err)
		}
	}
	return days, nil
}
