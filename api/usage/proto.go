package usage

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// ParseWindow reads a window of a request; longest is the most it may span.
func ParseWindow(in *griffierv1.Window, longest time.Duration) (Window, error) {
	var bad []reason.Violation
	check := func(field string, ts *timestamppb.Timestamp) time.Time {
		if ts == nil || ts.CheckValid() != nil {
			bad = append(bad, reason.Violation{Field: field, Description: "is required, as an instant"})
			return time.Time{}
		}
		return ts.AsTime()
	}
	w := Window{check("window.start", in.GetStart()), check("window.end", in.GetEnd())}
	if len(bad) == 0 {
		switch {
		case !w.Start.Before(w.End):
			bad = append(bad, reason.Violation{Field: "window.end", Description: "must be after window.start"})
		case w.End.Sub(w.Start) > longest:
			bad = append(bad, reason.Violation{Field: "window", Description: "spans more than " + days(longest)})
		case w.Start.Year() < 2000 || w.End.Year() > 2200:
			bad = append(bad, reason.Violation{Field: "window", Description: "lies outside the years 2000 to 2200"})
		}
	}
	if len(bad) > 0 {
		return Window{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	return w, nil
}

// reportingLag is how long after the fact a collector that works may report: a
// bucket, its re-emission and the spool.
const reportingLag = 15 * time.Minute

// GapsOf returns what nobody collected for a line in w. The part of w that is
// still to come is no gap, nor is what a collector that works may not have
// reported yet. Of a time of which coverage has expired no gap is known.
func (r *Reader) GapsOf(ctx context.Context, refs []register.Held, w Window) ([]Window, error) {
	collectors, newest, err := r.collectors(ctx, refs, w)
	if err != nil {
		return nil, err
	}
	covered, err := r.Covered(ctx, w, collectors)
	if err != nil {
		return nil, err
	}
	if w.End.After(newest) {
		now, err := schema.Now(ctx, r.conn)
		if err != nil {
			return nil, err
		}
		if due := now.Add(-reportingLag); due.After(newest) {
			newest = due
		}
		w.End = earlier(w.End, newest)
	}
	known, err := r.Readable(ctx, schema.ClassCoverage, w)
	if err != nil {
		return nil, err
	}
	return known.Gaps(covered), nil
}

// Proto returns v as the API shows it.
func (v Volume) Proto() *griffierv1.Volume {
	return &griffierv1.Volume{BytesUp: v.BytesUp, BytesDown: v.BytesDown, PacketsUp: v.PacketsUp, PacketsDown: v.PacketsDown}
}

// Proto returns w as the API shows it.
func (w Window) Proto() *griffierv1.Window {
	return &griffierv1.Window{Start: timestamppb.New(w.Start), End: timestamppb.New(w.End)}
}

// GapsProto returns gaps as the API shows them.
func GapsProto(gaps []Window) []*griffierv1.Gap {
	var out []*griffierv1.Gap
	for _, g := range gaps {
		out = append(out, &griffierv1.Gap{Start: timestamppb.New(g.Start), End: timestamppb.New(g.End), Cause: "not_collected"})
	}
	return out
}

// PointsProto sums buckets into windows, empty ones included: only for windows that
// can be read, since one that has expired would read as one without usage.
func PointsProto(windows []Window, buckets []Bucket) []*griffierv1.GetSeriesResponse_Point {
	var out []*griffierv1.GetSeriesResponse_Point
	for i, sum := range Sum(windows, buckets) {
		out = append(out, &griffierv1.GetSeriesResponse_Point{Start: timestamppb.New(windows[i].Start), Volume: sum.Proto()})
	}
	return out
}

// Proto returns s as the API shows it.
func (s Session) Proto() *griffierv1.Session {
	out := &griffierv1.Session{
		StartedAt: timestamppb.New(s.StartedAt), LastSeenAt: timestamppb.New(s.LastSeenAt),
		EndCause: s.EndCause, Source: s.Source, Certainty: s.Certainty,
	}
	if !s.Open {
		out.EndedAt = timestamppb.New(s.LastSeenAt)
	}
	for _, a := range s.Addresses {
		held := &griffierv1.HeldAddress{Prefix: a.Prefix, StartedAt: timestamppb.New(a.StartedAt)}
		if !a.Open {
			held.EndedAt = timestamppb.New(a.EndedAt)
		}
		out.Addresses = append(out.Addresses, held)
	}
	return out
}

func days(d time.Duration) string {
	return strconv.Itoa(int(d/(24*time.Hour))) + " days"
}
