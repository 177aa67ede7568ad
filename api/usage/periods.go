package usage

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Limits of a question about days, which are kept for longer.
const (
	maxPeriods     = 800 * 24 * time.Hour
	defaultTopDays = 10
	maxTopDays     = 100
)

// ListPeriods implements UsageService.
func (s *Service) ListPeriods(ctx context.Context, req *griffierv1.ListPeriodsRequest) (*griffierv1.ListPeriodsResponse, error) {
	q, err := s.question(ctx, req.GetLineId(), req.GetWindow(), maxPeriods)
	if err != nil {
		return nil, err
	}
	var windows []Window
	switch req.GetPeriod() {
	case griffierv1.UsagePeriod_USAGE_PERIOD_DAY:
		windows = q.window.Days(q.loc)
	case griffierv1.UsagePeriod_USAGE_PERIOD_CYCLE:
		windows = q.window.Cycles(q.loc, q.line.BillingDay)
	case griffierv1.UsagePeriod_USAGE_PERIOD_MONTH:
		windows = q.window.Months(q.loc)
	default:
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "period", Description: "is required: day, cycle or month"})
	}
	totals, now, err := s.totals(ctx, q, windows)
	if err != nil {
		return nil, err
	}
	resp := &griffierv1.ListPeriodsResponse{}
	for _, t := range totals {
		resp.Periods = append(resp.Periods, t.proto(q.loc, now))
	}
	return resp, nil
}

// GetCycle implements UsageService.
func (s *Service) GetCycle(ctx context.Context, req *griffierv1.GetCycleRequest) (*griffierv1.GetCycleResponse, error) {
	now, err := s.reader.now(ctx)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	at := now
	if req.GetAt() != nil {
		at = req.GetAt().AsTime()
	}
	if req.GetAt() != nil && req.GetAt().CheckValid() != nil || at.Year() < 2000 || at.Year() > 2199 {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "at", Description: "must be an instant in the years 2000 to 2199"})
	}
	// The line is only known once the window is; so ask for the instant, then widen.
	q, err := s.question(ctx, req.GetLineId(), Window{at, at.Add(schema.BucketLength)}.Proto(), maxPeriods)
	if err != nil {
		return nil, err
	}
	q.window = Cycle(at, q.loc, q.line.BillingDay)
	if q.refs, err = s.refs(ctx, q.line.LineID, q.window); err != nil {
		return nil, err
	}
	totals, now, err := s.totals(ctx, q, []Window{q.window})
	if err != nil {
		return nil, err
	}
	until := earlier(later(now.Add(-reportingLag), q.window.Start), q.window.End)
	return &griffierv1.GetCycleResponse{Used: totals[0].proto(q.loc, now), CountedUntil: timestamppb.New(until)}, nil
}

// ListTopDays implements UsageService.
func (s *Service) ListTopDays(ctx context.Context, req *griffierv1.ListTopDaysRequest) (*griffierv1.ListTopDaysResponse, error) {
	limit := cmp.Or(int(req.GetLimit()), defaultTopDays)
	if limit < 0 || limit > maxTopDays {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "limit", Description: "must be between 1 and 100"})
	}
	q, err := s.question(ctx, req.GetLineId(), req.GetWindow(), maxPeriods)
	if err != nil {
		return nil, err
	}
	totals, now, err := s.totals(ctx, q, q.window.Days(q.loc))
	if err != nil {
		return nil, err
	}
	resp := &griffierv1.ListTopDaysResponse{}
	for _, t := range Top(totals, limit) {
		resp.Days = append(resp.Days, t.proto(q.loc, now))
	}
	var elapsed []Window
	for _, t := range totals {
		elapsed = append(elapsed, t.Elapsed...)
	}
	resp.Elapsed = windowsProto(union(elapsed))
	return resp, nil
}

// Top returns at most n of totals with any usage, most bytes first; of equals the
// older first.
func Top(totals []Total, n int) []Total {
	both := func(t Total) uint64 { return t.Volume().BytesUp + t.Volume().BytesDown }
	top := slices.DeleteFunc(slices.Clone(totals), func(t Total) bool { return both(t) == 0 })
	slices.SortStableFunc(top, func(a, b Total) int { return cmp.Compare(both(b), both(a)) })
	return top[:min(n, len(top))]
}

// GetPercentile implements UsageService.
func (s *Service) GetPercentile(ctx context.Context, req *griffierv1.GetPercentileRequest) (*griffierv1.GetPercentileResponse, error) {
	q, err := s.question(ctx, req.GetLineId(), req.GetWindow(), MaxWindow)
	if err != nil {
		return nil, err
	}
	now, err := s.reader.now(ctx)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	since, readable, err := s.reader.bucketsSince(ctx)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	if !readable || !q.window.End.After(since) {
		return nil, reason.New(reason.RetentionElapsed, "Rates are kept for as long as buckets of five minutes are.")
	}
	reported := now.Add(-reportingLag).Truncate(schema.BucketLength)
	counted, ok := q.window.intersect(since, reported)
	if !ok {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "window.start", Description: "is too recent: nothing of the window has been reported yet"})
	}
	buckets, err := s.reader.Buckets(ctx, q.refs, counted)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	gaps, err := s.reader.GapsOf(ctx, q.refs, counted)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	p := NinetyFifth(counted, buckets, gaps)
	resp := &griffierv1.GetPercentileResponse{
		BitsPerSecondUp: p.Up, BitsPerSecondDown: p.Down, BitsPerSecond: max(p.Up, p.Down),
		Samples: int64(p.Samples), UncollectedSamples: int64(p.Missing), Counted: counted.Proto(),
		Coarse: slices.ContainsFunc(buckets, Bucket.foreign),
	}
	if q.window.Start.Before(counted.Start) {
		resp.Elapsed = append(resp.Elapsed, Window{q.window.Start, counted.Start}.Proto())
	}
	return resp, nil
}

// totals sums windows and says how much of each was not collected.
func (s *Service) totals(ctx context.Context, q question, windows []Window) ([]Total, time.Time, error) {
	fail := func(err error) ([]Total, time.Time, error) {
		return nil, time.Time{}, reason.Wrap(reason.StoreUnavailable, err)
	}
	totals, err := s.reader.Totals(ctx, q.refs, q.loc, windows)
	if err != nil {
		return fail(err)
	}
	if err := s.reader.fillUncollected(ctx, q.refs, totals); err != nil {
		return fail(err)
	}
	now, err := s.reader.now(ctx)
	if err != nil {
		return fail(err)
	}
	return totals, now, gone(totals, q.refs)
}

// fillUncollected replaces the gaps that day rows tell of by what coverage tells,
// where that can still be read.
func (r *Reader) fillUncollected(ctx context.Context, refs []register.Held, totals []Total) error {
	since, ok, err := schema.ReadableSince(ctx, r.conn, schema.ClassCoverage)
	if err != nil || !ok || len(totals) == 0 {
		return err
	}
	all, ok := Window{totals[0].Start, totals[len(totals)-1].End}.intersect(since, schema.Forever)
	if !ok {
		return nil
	}
	gaps, err := r.GapsOf(ctx, refs, all)
	if err != nil {
		return err
	}
	for i := range totals {
		if totals[i].Start.Before(since) {
			continue
		}
		totals[i].Gap = 0
		for _, g := range gaps {
			if part, ok := totals[i].intersect(g.Start, g.End); ok {
				totals[i].Gap += part.End.Sub(part.Start)
			}
		}
	}
	return nil
}

// now is the store's time.
func (r *Reader) now(ctx context.Context) (time.Time, error) { return schema.Now(ctx, r.conn) }

// proto returns t as the API shows it.
func (t Total) proto(loc *time.Location, now time.Time) *griffierv1.PeriodTotal {
	out := &griffierv1.PeriodTotal{
		Day: dateOf(t.Start, loc).Format(time.DateOnly), Window: t.Window.Proto(),
		Basis: t.Basis.proto(), Elapsed: windowsProto(t.Elapsed), Uncollected: durationpb.New(t.Gap),
		Open: t.End.After(now.Add(-reportingLag)),
	}
	if !t.Gone {
		out.Total, out.Ipv4, out.Ipv6 = t.Volume().Proto(), t.V4.Proto(), t.V6.Proto()
	}
	return out
}

func (b Basis) proto() griffierv1.UsageBasis {
	return map[Basis]griffierv1.UsageBasis{
		BasisDays: griffierv1.UsageBasis_USAGE_BASIS_DAYS, BasisBuckets: griffierv1.UsageBasis_USAGE_BASIS_BUCKETS,
		BasisBoth: griffierv1.UsageBasis_USAGE_BASIS_BOTH,
	}[b]
}

func windowsProto(in []Window) (out []*griffierv1.Window) {
	for _, w := range in {
		out = append(out, w.Proto())
	}
	return out
}
