package statistics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// Limits of one listing: it is one message.
const (
	maxWindow = 31 * day
	maxCells  = 100_000
)

// Service implements StatisticsService.
type Service struct {
	griffierv1.UnimplementedStatisticsServiceServer
	store *Store
}

// NewService returns the service.
func NewService(store *Store) *Service { return &Service{store: store} }

// ListSegmentHours implements StatisticsService. Reasons: INVALID_REQUEST,
// STORE_UNAVAILABLE.
func (s *Service) ListSegmentHours(ctx context.Context, req *griffierv1.ListSegmentHoursRequest) (*griffierv1.ListSegmentHoursResponse, error) {
	var bad []reason.Violation
	read := func(field string, ts *timestamppb.Timestamp) time.Time {
		if ts == nil || ts.CheckValid() != nil || ts.AsTime().Year() < 2000 || ts.AsTime().Year() > 2199 {
			bad = append(bad, reason.Violation{Field: field, Description: "is required, between the years 2000 and 2199"})
			return time.Time{}
		}
		return ts.AsTime()
	}
	start, end := read("start", req.GetStart()), read("end", req.GetEnd())
	if len(bad) == 0 && (!start.Before(end) || end.Sub(start) > maxWindow) {
		bad = append(bad, reason.Violation{Field: "end", Description: "must be after start, and at most 31 days after it"})
	}
	if len(bad) > 0 {
		return nil, reason.Invalid(reason.InvalidRequest, bad...)
	}
	hours, err := s.store.Hours(ctx, start, end, maxCells)
	if errors.Is(err, ErrTooMany) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "end", Description: fmt.Sprintf("there are more than %d cells until then: ask for fewer days at once", maxCells)})
	}
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	resp := &griffierv1.ListSegmentHoursResponse{}
	for _, h := range hours {
		for _, c := range h.Cells {
			resp.Hours = append(resp.Hours, &griffierv1.SegmentHour{
				StartedAt: timestamppb.New(h.StartedAt), Segments: c.Segments, Lines: c.Lines,
				BytesUp: c.BytesUp, BytesDown: c.BytesDown, PacketsUp: c.PacketsUp, PacketsDown: c.PacketsDown,
			})
		}
	}
	return resp, nil
}
