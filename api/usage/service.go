package usage

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Limits of a question.
const (
	MaxWindow      = 400 * 24 * time.Hour
	maxPoints      = 10_000
	defaultSession = 100
	maxSessions    = 1_000
)

// lines is the part of the register that a customer may use ([register.Register]).
type lines interface {
	LinesOfAccount(ctx context.Context, account string) ([]register.Line, error)
	LineOfAccount(ctx context.Context, account, lineID string) (register.Line, error)
	RefsOfLine(ctx context.Context, lineID string, start, end time.Time) ([]register.Held, error)
}

// codes makes support codes ([support.Codes]).
type codes interface {
	Issue(ctx context.Context, caller auth.Caller, lineID string) (code string, expiresAt time.Time, err error)
}

// Service implements UsageService.
type Service struct {
	griffierv1.UnimplementedUsageServiceServer
	lines  lines
	reader *Reader
	codes  codes
}

// NewService returns the service.
func NewService(lines lines, reader *Reader, codes codes) *Service {
	return &Service{lines: lines, reader: reader, codes: codes}
}

// ListLines implements UsageService.
func (s *Service) ListLines(ctx context.Context, _ *griffierv1.ListLinesRequest) (*griffierv1.ListLinesResponse, error) {
	caller, _ := auth.FromContext(ctx)
	found, err := s.lines.LinesOfAccount(ctx, caller.AccountID)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	resp := &griffierv1.ListLinesResponse{}
	for _, l := range found {
		resp.Lines = append(resp.Lines, &griffierv1.Line{LineId: l.LineID, TimeZone: l.TimeZone, BillingDay: int32(l.BillingDay)})
	}
	return resp, nil
}

// GetTotals implements UsageService.
func (s *Service) GetTotals(ctx context.Context, req *griffierv1.GetTotalsRequest) (*griffierv1.GetTotalsResponse, error) {
	q, err := s.question(ctx, req.GetLineId(), req.GetWindow(), MaxWindow)
	if err != nil {
		return nil, err
	}
	totals, err := s.reader.Totals(ctx, q.refs, q.loc, []Window{q.window})
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	gaps, err := s.reader.GapsOf(ctx, q.refs, q.window)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	t := totals[0]
	if err := gone(totals, q.refs); err != nil {
		return nil, err
	}
	return &griffierv1.GetTotalsResponse{
		Total: t.Volume().Proto(), Ipv4: t.V4.Proto(), Ipv6: t.V6.Proto(), Counted: q.window.Proto(), Gaps: GapsProto(gaps),
		Basis: t.Basis.proto(), Elapsed: windowsProto(t.Elapsed),
	}, nil
}

// GetSeries implements UsageService.
func (s *Service) GetSeries(ctx context.Context, req *griffierv1.GetSeriesRequest) (*griffierv1.GetSeriesResponse, error) {
	step := req.GetStep().AsDuration()
	if step <= 0 || step%schema.BucketLength != 0 {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "step", Description: "must be a positive multiple of 5 minutes"})
	}
	q, err := s.question(ctx, req.GetLineId(), req.GetWindow(), MaxWindow)
	if err != nil {
		return nil, err
	}
	if (q.window.End.Sub(q.window.Start)-1)/step >= maxPoints {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "step", Description: "gives more than 10,000 points; ask for a longer step"})
	}
	buckets, err := s.reader.Buckets(ctx, q.refs, q.window)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	gaps, err := s.reader.GapsOf(ctx, q.refs, q.window)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	readable, err := s.reader.Readable(ctx, schema.ClassUsage5m, q.window)
	switch {
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	case readable.Empty():
		return nil, reason.New(reason.RetentionElapsed, "A series is kept for as long as buckets of five minutes are; sums of days may be left.")
	}
	return &griffierv1.GetSeriesResponse{
		Points: PointsProto(readable.From(q.window.Steps(step)), buckets), Gaps: GapsProto(gaps), Elapsed: ElapsedProto(q.window, readable),
	}, nil
}

// ListSessions implements UsageService.
func (s *Service) ListSessions(ctx context.Context, req *griffierv1.ListSessionsRequest) (*griffierv1.ListSessionsResponse, error) {
	limit := int(req.GetLimit())
	switch {
	case limit == 0:
		limit = defaultSession
	case limit < 0 || limit > maxSessions:
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "limit", Description: "must be between 1 and 1,000"})
	}
	q, err := s.question(ctx, req.GetLineId(), req.GetWindow(), MaxWindow)
	if err != nil {
		return nil, err
	}
	sessions, truncated, err := s.reader.Sessions(ctx, q.refs, q.window, limit)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	readable, err := s.reader.Readable(ctx, schema.ClassSession, q.window)
	switch {
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	case readable.Empty():
		return nil, reason.New(reason.RetentionElapsed, "Connection times of this window are kept no longer.")
	}
	addresses, err := s.reader.Readable(ctx, schema.ClassAssignment, q.window)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	resp := &griffierv1.ListSessionsResponse{
		Truncated: truncated, Elapsed: ElapsedProto(q.window, readable), AddressesElapsed: ElapsedProto(q.window, addresses),
	}
	for _, session := range sessions {
		resp.Sessions = append(resp.Sessions, session.Proto())
	}
	return resp, nil
}

// CreateSupportCode implements UsageService.
func (s *Service) CreateSupportCode(ctx context.Context, req *griffierv1.CreateSupportCodeRequest) (*griffierv1.CreateSupportCodeResponse, error) {
	caller, _ := auth.FromContext(ctx)
	if _, err := s.own(ctx, caller, req.GetLineId()); err != nil {
		return nil, err
	}
	code, expires, err := s.codes.Issue(ctx, caller, req.GetLineId())
	if err != nil {
		return nil, err
	}
	return &griffierv1.CreateSupportCodeResponse{Code: code, ExpiresAt: timestamppb.New(expires)}, nil
}

// question is what is asked about: whose line, its zone, and which buckets.
type question struct {
	line   register.Line
	loc    *time.Location
	refs   []register.Held
	window Window
}

// question resolves what is asked about; longest is the most a window may span.
func (s *Service) question(ctx context.Context, lineID string, window *griffierv1.Window, longest time.Duration) (question, error) {
	w, err := ParseWindow(window, longest)
	if err != nil {
		return question{}, err
	}
	caller, _ := auth.FromContext(ctx)
	line, err := s.own(ctx, caller, lineID)
	if err != nil {
		return question{}, err
	}
	loc, err := time.LoadLocation(line.TimeZone)
	if err != nil {
		loc = time.UTC // a zone that this machine does not know
	}
	w = w.Buckets()
	refs, err := s.refs(ctx, lineID, w)
	return question{line, loc, refs, w}, err
}

func (s *Service) refs(ctx context.Context, lineID string, w Window) ([]register.Held, error) {
	refs, err := s.lines.RefsOfLine(ctx, lineID, w.Start, w.End)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return refs, nil
}

func (s *Service) own(ctx context.Context, caller auth.Caller, lineID string) (register.Line, error) {
	line, err := s.lines.LineOfAccount(ctx, caller.AccountID, lineID)
	switch {
	case errors.Is(err, register.ErrUnknownLine):
		return register.Line{}, reason.New(reason.NotFound, "")
	case err != nil:
		return register.Line{}, reason.Wrap(reason.StoreUnavailable, err)
	}
	return line, nil
}
