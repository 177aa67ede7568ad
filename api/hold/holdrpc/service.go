package holdrpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// keeper is what acts on holds need ([keep.Keeper]).
type keeper interface {
	State() *hold.State
	Rules() *hold.Rules
	Now() time.Time
	Sweep(ctx context.Context) error
}

// Service implements HoldService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedHoldServiceServer
	book     warrantrpc.Book
	keeper   keeper
	warrants *warrant.State
}

// NewService returns the service of a keeper. warrants are those that the holds were
// made under, a fold of book.
func NewService(book warrantrpc.Book, k keeper, warrants *warrant.State) *Service {
	return &Service{book: book, keeper: k, warrants: warrants}
}

// ListHolds implements HoldService.
func (s *Service) ListHolds(ctx context.Context, _ *griffierv1.ListHoldsRequest) (*griffierv1.ListHoldsResponse, error) {
	seen, err := warrantrpc.Seen(ctx, s.warrants)
	if err != nil {
		return nil, err
	}
	res := &griffierv1.ListHoldsResponse{}
	now := s.keeper.Now()
	for _, h := range s.keeper.State().Holds() {
		if !seen(h.WarrantID) {
			continue
		}
		res.Holds = append(res.Holds, message(h, now))
	}
	return res, nil
}

// GetHold implements HoldService.
func (s *Service) GetHold(ctx context.Context, req *griffierv1.GetHoldRequest) (*griffierv1.Hold, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return nil, err
	}
	h, err := s.known(ctx, by, req.GetHoldId())
	if err != nil {
		return nil, err
	}
	return message(h, s.keeper.Now()), nil
}

// known returns a hold that exists for a caller: to a lawyer from outside, one whose
// order they approved, and so may read.
func (s *Service) known(ctx context.Context, by warrant.Caller, id string) (hold.Hold, error) {
	seen, err := warrantrpc.Seen(ctx, s.warrants)
	if err != nil {
		return hold.Hold{}, err
	}
	h, ok := s.keeper.State().Hold(id)
	w, _ := s.warrants.Warrant(h.WarrantID)
	asked := by.Has(warrant.ExternalApprover) && by.Within(w) && slices.ContainsFunc(w.Approvals, func(a warrant.Approval) bool { return a.Actor == by.Actor })
	if !ok || !seen(h.WarrantID) && !asked {
		return hold.Hold{}, reason.New(reason.NotFound, "")
	}
	return h, nil
}

// ExtendHold implements HoldService.
func (s *Service) ExtendHold(ctx context.Context, req *griffierv1.ExtendHoldRequest) (*griffierv1.Hold, error) {
	return s.do(ctx, "ExtendHold", hold.KindExtend, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.keeper.Rules().Extend(s.keeper.State(), now, by, hold.ExtendRequest{HoldID: req.GetHoldId(), Generation: req.GetExpectedGeneration(),
			DocumentSHA256: req.GetDocumentSha256()})
	})
}

// EndHold implements HoldService. The hold cannot be read from the entry on; that
// its destruction takes another try is no error of the act.
func (s *Service) EndHold(ctx context.Context, req *griffierv1.EndHoldRequest) (*griffierv1.Hold, error) {
	m, err := s.do(ctx, "EndHold", hold.KindEnd, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.keeper.Rules().End(s.keeper.State(), now, by, hold.EndRequest{HoldID: req.GetHoldId(), Generation: req.GetExpectedGeneration(),
			DocumentSHA256: req.GetDocumentSha256(), Explanation: req.GetExplanation()})
	})
	if err != nil || req.GetValidateOnly() {
		return m, err
	}
	if s.keeper.Sweep(ctx) == nil {
		if h, ok := s.keeper.State().Hold(m.HoldId); ok {
			m = message(h, s.keeper.Now())
		}
	}
	return m, nil
}

// rule judges one act.
type rule func(time.Time, warrant.Caller) (ledger.Draft, *reason.Error)

// actRequest is what requests for an act on a hold have in common.
type actRequest interface {
	GetRequestId() string
	GetHoldId() string
	GetValidateOnly() bool
}

// do decides one act on a hold and returns the hold after it, or, when it is only to
// be validated, tells what the act would do.
func (s *Service) do(ctx context.Context, method, kind string, req actRequest, rule rule) (*griffierv1.Hold, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := s.known(ctx, by, req.GetHoldId()); err != nil {
		return nil, err
	}
	if req.GetValidateOnly() {
		return s.preview(ctx, by, req.GetHoldId(), rule)
	}
	return s.act(ctx, by, method, kind, req.GetRequestId(), req.GetHoldId(), rule)
}

// preview tells what an act would do, after it entered that it was asked.
func (s *Service) preview(ctx context.Context, by warrant.Caller, holdID string, rule rule) (*griffierv1.Hold, error) {
	now := s.keeper.Now()
	d, refusal := rule(now, by)
	if refusal != nil {
		return nil, refusal
	}
	after, effects, err := s.keeper.Rules().Preview(s.keeper.State(), now, d, holdID)
	if err != nil {
		return nil, err
	}
	if _, err := s.book.Append(ctx, hold.Previewed(by, d, holdID)); err != nil {
		return nil, warrantrpc.LedgerError(err)
	}
	m := message(after, now)
	m.Effects = effects
	return m, nil
}

// act decides one act on a hold and returns the hold after it.
func (s *Service) act(ctx context.Context, by warrant.Caller, method, kind, clientID, holdID string, rule rule) (*griffierv1.Hold, error) {
	requestID, err := warrantrpc.RequestID(by, method, clientID)
	if err != nil {
		return nil, err
	}
	before, ok := s.keeper.State().Hold(holdID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	e, err := warrantrpc.Decide(ctx, s.book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) { return rule(now, by) })
	if err != nil {
		return nil, err
	}
	if e.Header.TaskID != before.TaskID || e.Header.Kind != kind {
		return nil, warrantrpc.ErrReused()
	}
	h, ok := s.keeper.State().Hold(holdID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	return message(h, s.keeper.Now()), nil
}

var states = map[hold.Status]griffierv1.HoldState{
	hold.Live:      griffierv1.HoldState_HOLD_STATE_LIVE,
	hold.Ended:     griffierv1.HoldState_HOLD_STATE_ENDED,
	hold.Destroyed: griffierv1.HoldState_HOLD_STATE_DESTROYED,
}

func message(h hold.Hold, now time.Time) *griffierv1.Hold {
	m := &griffierv1.Hold{HoldId: h.ID, WarrantId: h.WarrantID, TaskId: h.TaskID, LegalBasis: h.Basis, Generation: h.Generation,
		State: states[h.Status(now)], MadeAt: timestamppb.New(h.MadeAt), EndsAt: timestamppb.New(h.End()), RowBand: h.RowBand,
		ExtendedAt: stamp(h.ExtendedAt), EndedBy: h.EndedBy, ShreddedAt: stamp(h.DestroyedAt), CertificateIndex: h.DestroyIndex, LedgerIndex: h.Index}
	for _, a := range h.Approvals {
		m.ExtensionApprovals = append(m.ExtensionApprovals, &griffierv1.HoldApproval{Role: string(a.Role), Approver: a.Actor,
			ApprovedAt: timestamppb.New(a.At), LedgerIndex: a.Index, DocumentId: a.DocumentID})
	}
	return m
}

// stamp is nil for the zero time, which is that nothing happened.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
