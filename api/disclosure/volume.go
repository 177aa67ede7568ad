package disclosure

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"griffier/schema"
)

// moved returns what the subjects moved, by bucket as long as buckets can be read and
// before that by the line's own days; by direction. elapsed tells that a part of the
// interval is in neither, gap that a day's row says that it was not collected whole,
// absurd that a sum is more than can be counted, so that the rows cannot be right.
//
// No byte is counted twice. What a BNG counted is left out on every UTC day on which
// a kernel counted anything of the reference, since both count the same traffic; and
// where two collectors were told of it at once, that of the one that was told more
// counts. Day rows were summed that way already.
func moved(p Plan, l Listing) (records []Record, seen []seenSpan, elapsed, gap, absurd bool) {
	type cell struct {
		line      string
		from, to  int64
		direction schema.Direction
		source    schema.UsageSource
	}
	sums := map[cell]*Record{}
	add := func(line string, s Span, direction schema.Direction, source schema.UsageSource, bytes, packets uint64) {
		key := cell{line, s.From.UnixNano(), s.To.UnixNano(), direction, source}
		r := sums[key]
		if r == nil {
			r = &Record{LineID: line, From: s.From.UTC(), To: s.To.UTC(), Direction: string(direction), CountedBy: string(source)}
			sums[key] = r
		}
		var more, many uint64
		r.Bytes, more = bits.Add64(r.Bytes, bytes, 0)
		r.Packets, many = bits.Add64(r.Packets, packets, 0)
		absurd = absurd || more+many > 0
	}
	buckets := counted(l.Usage)
	for _, s := range l.Subjects {
		for _, a := range s.Access {
			for _, w := range s.Spans {
				mine, ok := w.and(Span{a.ValidFrom, a.ValidTo})
				if !ok {
					continue
				}
				var days []Span
				for _, d := range l.UsageDays {
					day := Span{d.StartedAt, d.EndedAt}
					if d.AccessRef != a.Ref || !contains(mine, day) || !day.From.Before(l.ReadableFrom) {
						continue // another's, not all of it in the interval, or all in buckets still
					}
					days = append(days, day)
					gap = gap || d.GapSeconds > 0
					seen = append(seen, seenSpan{s.LineID, d.CollectorID, day})
					if d.Bytes > 0 || d.Packets > 0 {
						add(s.LineID, day, d.Direction, d.Source, d.Bytes, d.Packets)
					}
				}
				days = joined(days)
				for _, u := range buckets {
					bucket := Span{u.BucketStartedAt, u.EndedAt}
					if u.AccessRef != a.Ref || !contains(mine, bucket) || slices.ContainsFunc(days, func(d Span) bool { return contains(d, bucket) }) {
						continue
					}
					seen = append(seen, seenSpan{s.LineID, u.CollectorID, bucket})
					add(s.LineID, bucket, u.Direction, u.Source, u.Bytes, u.Packets)
				}
				old := minus([]Span{mine}, []Span{{l.ReadableFrom, mine.To}})
				elapsed = elapsed || mine.From.Before(l.ReadableFrom) && len(minus(old, days)) > 0
			}
		}
	}
	for _, r := range sums {
		records = append(records, *r)
	}
	slices.SortFunc(records, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.LineID, b.LineID), a.From.Compare(b.From), a.To.Compare(b.To), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.CountedBy, b.CountedBy))
	})
	return records, seen, elapsed, gap, absurd
}

func contains(s, part Span) bool { return !part.From.Before(s.From) && !part.To.After(s.To) }

// counted returns the rows that count: each once, and no traffic twice.
func counted(rows []schema.Usage) (out []schema.Usage) {
	type refDay struct {
		ref schema.AccessRef
		day time.Time
	}
	type told struct {
		Span
		bytes uint64
	}
	kernel := map[refDay]bool{}
	bngs := map[refDay]map[string]told{} // by collector
	known := map[schema.Usage]bool{}
	distinct := make([]schema.Usage, 0, len(rows))
	for _, u := range rows {
		if u.Source == "" {
			u.Source = schema.UsageKernel
		}
		u.BucketStartedAt, u.EndedAt, u.SampledAt = u.BucketStartedAt.UTC(), u.EndedAt.UTC(), u.SampledAt.UTC()
		if known[u] {
			continue
		}
		known[u] = true
		distinct = append(distinct, u)
		day := refDay{u.AccessRef, u.BucketStartedAt.Truncate(24 * time.Hour)}
		if u.Source == schema.UsageKernel {
			kernel[day] = true
			continue
		}
		if bngs[day] == nil {
			bngs[day] = map[string]told{}
		}
		t, ok := bngs[day][u.CollectorID]
		if !ok || u.BucketStartedAt.Before(t.From) {
			t.From = u.BucketStartedAt
		}
		if u.EndedAt.After(t.To) {
			t.To = u.EndedAt
		}
		t.bytes += u.Bytes
		bngs[day][u.CollectorID] = t
	}
	for _, u := range distinct {
		day := refDay{u.AccessRef, u.BucketStartedAt.Truncate(24 * time.Hour)}
		if u.Source != schema.UsageKernel {
			mine, repeated := bngs[day][u.CollectorID], false
			for id, other := range bngs[day] {
				if _, both := mine.and(other.Span); both && id != u.CollectorID &&
					(other.bytes > mine.bytes || other.bytes == mine.bytes && id < u.CollectorID) {
					repeated = true
				}
			}
			if kernel[day] || repeated {
				continue
			}
		}
		out = append(out, u)
	}
	return out
}
