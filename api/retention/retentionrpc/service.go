package retentionrpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/retention"
	"griffier/api/signedfile"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// desk is where what was approved comes into force ([retention.Desk]).
type desk interface {
	Bring(ctx context.Context) error
	Problem() string
}

// Config holds what a [Service] needs.
type Config struct {
	Book    warrantrpc.Book
	Keys    warrantrpc.ClassKeys
	Keeper  *retention.Keeper // a fold of Book
	Desk    desk
	Trusted signedfile.Trusted
	Conn    driver.Conn
	Now     func() time.Time
}

// Service implements RetentionService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedRetentionServiceServer
	cfg  Config
	book warrantrpc.ClassBook
}

// NewService returns the service.
func NewService(cfg Config) *Service {
	return &Service{cfg: cfg, book: warrantrpc.ClassBook{Book: cfg.Book, Keys: cfg.Keys, Area: "retention", Now: cfg.Now}}
}

// planTimeout bounds a plan: it reads what a change would cut, some millions of
// rows a second.
const planTimeout = 10 * time.Minute

// GetRetention implements RetentionService.
func (s *Service) GetRetention(context.Context, *griffierv1.GetRetentionRequest) (*griffierv1.GetRetentionResponse, error) {
	res := &griffierv1.GetRetentionResponse{FileProblem: s.cfg.Desk.Problem()}
	if f, ok := s.cfg.Keeper.InForce(); ok {
		res.InForce = policyMessage(f)
	}
	now, generation := s.cfg.Now(), s.cfg.Keeper.Generation()
	for _, p := range s.cfg.Keeper.Proposals() {
		switch p.State(now, generation) {
		case retention.AwaitingAdvice, retention.AwaitingApproval, retention.Approved:
			res.Open = append(res.Open, proposalMessage(p, now, generation))
		}
	}
	return res, nil
}

// PlanRetention implements RetentionService.
func (s *Service) PlanRetention(ctx context.Context, req *griffierv1.PlanRetentionRequest) (*griffierv1.PlanRetentionResponse, error) {
	f, err := s.file(req.GetFile())
	if err != nil { // without a signature it may be planned, and nothing else
		unsigned, bad := retention.Parse(signedfile.Text(req.GetFile()))
		if bad != nil {
			return nil, err
		}
		f = unsigned
	}
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	changes, err := s.cfg.Keeper.Plan(ctx, s.cfg.Conn, f)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	res := &griffierv1.PlanRetentionResponse{Sha256: f.SHA256, PolicyGeneration: f.Generation, SignedBy: f.SignedBy,
		GenerationInForce: s.cfg.Keeper.Generation()}
	for _, c := range changes {
		res.NeedsProposal = res.NeedsProposal || c.Effect == retention.Lengthens
		res.Changes = append(res.Changes, changeMessage(c))
	}
	return res, nil
}

// ProposeRetention implements RetentionService.
func (s *Service) ProposeRetention(ctx context.Context, req *griffierv1.ProposeRetentionRequest) (*griffierv1.RetentionProposal, error) {
	f, err := s.file(req.GetFile())
	if err != nil {
		return nil, err
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	e, err := s.book.Decide(ctx, "ProposeRetention", req.GetRequestId(), func(_ time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Keeper.Propose(by, hex.EncodeToString(b[:]), key, f, req.GetFile())
	})
	if err != nil {
		return nil, err
	}
	p, err := s.proposal(e, retention.KindPropose, "")
	if err != nil {
		return nil, err
	}
	if p.GetSha256() != f.SHA256 {
		return nil, warrantrpc.ErrReused()
	}
	return p, nil
}

var advices = map[griffierv1.RetentionAdvice]retention.Advice{
	griffierv1.RetentionAdvice_RETENTION_ADVICE_IN_FAVOUR:                 retention.InFavour,
	griffierv1.RetentionAdvice_RETENTION_ADVICE_AGAINST:                   retention.Against,
	griffierv1.RetentionAdvice_RETENTION_ADVICE_IN_FAVOUR_WITH_CONDITIONS: retention.InConditions,
}

// AdviseRetention implements RetentionService.
func (s *Service) AdviseRetention(ctx context.Context, req *griffierv1.AdviseRetentionRequest) (*griffierv1.RetentionProposal, error) {
	e, err := s.book.Decide(ctx, "AdviseRetention", req.GetRequestId(), func(now time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Keeper.Advise(now, by, req.GetProposalId(), key, req.GetSha256(), advices[req.GetAdvice()], req.GetText())
	})
	if err != nil {
		return nil, err
	}
	return s.proposal(e, retention.KindAdvise, req.GetProposalId())
}

// ApproveRetention implements RetentionService. An approval that was recorded and
// could not be brought into force is tried again every minute, for as long as it
// counts. A file whose keys were taken back since it was
// proposed cannot be approved.
func (s *Service) ApproveRetention(ctx context.Context, req *griffierv1.ApproveRetentionRequest) (*griffierv1.RetentionProposal, error) {
	e, err := s.book.Decide(ctx, "ApproveRetention", req.GetRequestId(), func(now time.Time, by ledger.Caller, _ string) (ledger.Draft, *reason.Error) {
		if p, ok := s.cfg.Keeper.Proposal(req.GetProposalId()); ok && !s.cfg.Trusted.Has(p.SignedBy) {
			return ledger.Draft{}, reason.New(reason.PolicyRefused, "No key that signed it is trusted any more: sign the file anew and propose it again.")
		}
		return s.cfg.Keeper.Approve(now, by, req.GetProposalId(), req.GetSha256(), req.GetExpectedGeneration())
	})
	if err != nil {
		return nil, err
	}
	if _, err := s.proposal(e, retention.KindApprove, req.GetProposalId()); err != nil {
		return nil, err
	}
	if err := s.cfg.Desk.Bring(ctx); err != nil {
		if ledgerErr := warrantrpc.LedgerError(err); reason.From(ledgerErr) != nil {
			return nil, ledgerErr
		}
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return s.proposal(e, retention.KindApprove, req.GetProposalId())
}

// WithdrawRetention implements RetentionService.
func (s *Service) WithdrawRetention(ctx context.Context, req *griffierv1.WithdrawRetentionRequest) (*griffierv1.RetentionProposal, error) {
	e, err := s.book.Decide(ctx, "WithdrawRetention", req.GetRequestId(), func(_ time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Keeper.Withdraw(by, req.GetProposalId(), key, req.GetExplanation())
	})
	if err != nil {
		return nil, err
	}
	return s.proposal(e, retention.KindWithdraw, req.GetProposalId())
}

// ListRetentionHistory implements RetentionService.
func (s *Service) ListRetentionHistory(context.Context, *griffierv1.ListRetentionHistoryRequest) (*griffierv1.ListRetentionHistoryResponse, error) {
	res := &griffierv1.ListRetentionHistoryResponse{}
	for _, f := range s.cfg.Keeper.History() {
		res.Policies = append(res.Policies, policyMessage(f))
	}
	now, generation := s.cfg.Now(), s.cfg.Keeper.Generation()
	for _, p := range s.cfg.Keeper.Proposals() {
		res.Proposals = append(res.Proposals, proposalMessage(p, now, generation))
	}
	return res, nil
}

// file reads a signed file of a request; POLICY_REFUSED lists what is wrong.
func (s *Service) file(signed []byte) (retention.File, error) {
	f, err := retention.Open("", signed, s.cfg.Trusted)
	return f, signedfile.Refused(err)
}

// proposal returns the proposal that an entry is about. An entry of another kind
// or proposal than was asked for is that of another request with this id.
func (s *Service) proposal(e ledger.Entry, kind, id string) (*griffierv1.RetentionProposal, error) {
	var facts struct {
		ProposalID string `json:"proposal_id"`
	}
	if err := json.Unmarshal(e.Header.Facts, &facts); err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if e.Header.Kind != kind || id != "" && facts.ProposalID != id {
		return nil, warrantrpc.ErrReused()
	}
	p, ok := s.cfg.Keeper.Proposal(facts.ProposalID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	return proposalMessage(p, s.cfg.Now(), s.cfg.Keeper.Generation()), nil
}
