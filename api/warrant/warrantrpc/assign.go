package warrantrpc

import (
	"context"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// AssignWarrant implements WarrantService.
func (s *Service) AssignWarrant(ctx context.Context, req *griffierv1.AssignWarrantRequest) (*griffierv1.AssignWarrantResponse, error) {
	by, err := Caller(ctx)
	if err != nil {
		return nil, err
	}
	requestID, err := RequestID(by, "AssignWarrant", req.GetRequestId())
	if err != nil {
		return nil, err
	}
	assign := warrant.AssignRequest{WarrantID: req.GetWarrantId(), Team: req.GetTeam(), Explanation: req.GetExplanation()}
	e, err := Decide(ctx, s.book, requestID, func(time.Time) (ledger.Draft, *reason.Error) { return s.rules.Assign(s.state, by, assign) })
	if err != nil {
		return nil, err
	}
	if e.Header.Kind != warrant.KindAssign || e.Header.WarrantID != assign.WarrantID {
		return nil, ErrReused()
	}
	w, ok := s.state.Warrant(assign.WarrantID)
	if !ok {
		return nil, reason.New(reason.UnknownOutcome, "")
	}
	return &griffierv1.AssignWarrantResponse{WarrantId: w.ID, Team: w.Team, LedgerIndex: e.Index}, nil
}
