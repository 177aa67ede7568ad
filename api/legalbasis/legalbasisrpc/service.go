package legalbasisrpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/legalbasis"
	"griffier/api/reason"
	"griffier/api/server"
	"griffier/api/signedfile"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// keys makes class keys ([keystore.Store]). Ensure of a key that exists is no error.
type keys interface {
	Ensure(id string) error
}

// Config holds what a [Service] needs.
type Config struct {
	Book     warrantrpc.Book
	Keys     keys
	Keeper   *legalbasis.Keeper // a fold of Book
	Desk     *legalbasis.Desk
	Warrants *warrant.State // a fold of Book
	Trusted  signedfile.Trusted
	Now      func() time.Time
}

// Service implements LegalBasisService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedLegalBasisServiceServer
	cfg Config
}

// NewService returns the service.
func NewService(cfg Config) *Service { return &Service{cfg: cfg} }

// GetLegalBasis implements LegalBasisService.
func (s *Service) GetLegalBasis(context.Context, *griffierv1.GetLegalBasisRequest) (*griffierv1.GetLegalBasisResponse, error) {
	res := &griffierv1.GetLegalBasisResponse{FileProblem: s.cfg.Desk.Problem()}
	if v, ok := s.cfg.Keeper.InForce(); ok {
		res.InForce = versionMessage(v, true)
	}
	now, generation := s.cfg.Now(), s.cfg.Keeper.Generation()
	for _, p := range s.cfg.Keeper.Proposals() {
		if p.State(now, generation) == legalbasis.AwaitingApproval {
			res.Open = append(res.Open, proposalMessage(p, now, generation))
		}
	}
	return res, nil
}

// PlanLegalBasis implements LegalBasisService.
func (s *Service) PlanLegalBasis(_ context.Context, req *griffierv1.PlanLegalBasisRequest) (*griffierv1.PlanLegalBasisResponse, error) {
	file := req.GetFile()
	if id := req.GetProposalId(); id != "" {
		proposed, ok := s.cfg.Keeper.Proposal(id)
		switch {
		case !ok:
			return nil, reason.New(reason.NotFound, "")
		case len(file) > 0:
			return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "file", Description: "and proposal_id exclude each other"})
		}
		file = []byte(proposed.File)
	}
	p, err := s.file(file)
	if err != nil { // without a signature it may be planned, and nothing else
		unsigned, bad := refused(warrant.ParseProfile(signedfile.Text(file)))
		if bad != nil {
			return nil, err
		}
		p = unsigned
	}
	changes := legalbasis.Compare(s.cfg.Keeper.Profile(), p)
	res := &griffierv1.PlanLegalBasisResponse{Sha256: p.SHA256, Generation: p.Generation, SignedBy: p.SignedBy, GenerationInForce: s.cfg.Keeper.Generation()}
	touched := map[string]bool{}
	for _, c := range changes {
		touched[c.Basis] = true
		res.Changes = append(res.Changes, changeMessage(c))
	}
	now := s.cfg.Now()
	for _, w := range s.cfg.Warrants.Warrants() {
		if w.Ended == "" && now.Before(w.ValidUntil) && touched[w.Basis] {
			res.WarrantsTouched++
		}
	}
	return res, nil
}

// ProposeLegalBasis implements LegalBasisService.
func (s *Service) ProposeLegalBasis(ctx context.Context, req *griffierv1.ProposeLegalBasisRequest) (*griffierv1.LegalBasisProposal, error) {
	p, err := s.file(req.GetFile())
	if err != nil {
		return nil, err
	}
	var b [16]byte
	rand.Read(b[:]) // never fails
	e, err := s.decide(ctx, "ProposeLegalBasis", req.GetRequestId(), func(_ time.Time, by legalbasis.Caller, _ string) (ledger.Draft, *reason.Error) {
		return s.cfg.Keeper.Propose(by, hex.EncodeToString(b[:]), p, req.GetFile())
	})
	if err != nil {
		return nil, err
	}
	m, err := s.proposal(e, legalbasis.KindPropose, "")
	if err == nil && m.GetSha256() != p.SHA256 {
		return nil, warrantrpc.ErrReused()
	}
	return m, err
}

// ApproveLegalBasis implements LegalBasisService. A file whose keys were taken back
// since it was proposed cannot be approved.
func (s *Service) ApproveLegalBasis(ctx context.Context, req *griffierv1.ApproveLegalBasisRequest) (*griffierv1.LegalBasisProposal, error) {
	e, err := s.decide(ctx, "ApproveLegalBasis", req.GetRequestId(), func(now time.Time, by legalbasis.Caller, _ string) (ledger.Draft, *reason.Error) {
		if p, ok := s.cfg.Keeper.Proposal(req.GetProposalId()); ok && !s.cfg.Trusted.Has(p.SignedBy) {
			return ledger.Draft{}, reason.New(reason.PolicyRefused, "No key that signed it is trusted any more: sign the file anew and propose it again.")
		}
		return s.cfg.Keeper.Approve(now, by, req.GetProposalId(), req.GetSha256())
	})
	if err != nil {
		return nil, err
	}
	return s.proposal(e, legalbasis.KindApprove, req.GetProposalId())
}

// WithdrawLegalBasis implements LegalBasisService.
func (s *Service) WithdrawLegalBasis(ctx context.Context, req *griffierv1.WithdrawLegalBasisRequest) (*griffierv1.LegalBasisProposal, error) {
	e, err := s.decide(ctx, "WithdrawLegalBasis", req.GetRequestId(), func(_ time.Time, by legalbasis.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Keeper.Withdraw(by, req.GetProposalId(), key, req.GetExplanation())
	})
	if err != nil {
		return nil, err
	}
	return s.proposal(e, legalbasis.KindWithdraw, req.GetProposalId())
}

// ListLegalBasisHistory implements LegalBasisService.
func (s *Service) ListLegalBasisHistory(context.Context, *griffierv1.ListLegalBasisHistoryRequest) (*griffierv1.ListLegalBasisHistoryResponse, error) {
	res := &griffierv1.ListLegalBasisHistoryResponse{}
	for _, v := range s.cfg.Keeper.History() {
		res.Profiles = append(res.Profiles, versionMessage(v, false))
	}
	now, generation := s.cfg.Now(), s.cfg.Keeper.Generation()
	for _, p := range s.cfg.Keeper.Proposals() {
		res.Proposals = append(res.Proposals, proposalMessage(p, now, generation))
	}
	return res, nil
}

// file reads a signed file of a request; POLICY_REFUSED lists what is wrong.
func (s *Service) file(signed []byte) (*warrant.Profile, error) {
	return refused(warrant.OpenProfile("", signed, s.cfg.Trusted))
}

// refused turns what is wrong with a file into a reason.
func refused(p *warrant.Profile, err error) (*warrant.Profile, error) {
	var wrong *signedfile.FileError
	if !errors.As(err, &wrong) {
		return p, err
	}
	refusal := reason.New(reason.PolicyRefused, "")
	for _, problem := range wrong.Problems {
		at := "file"
		if problem.Line > 0 {
			at = fmt.Sprintf("file:%d:%d", problem.Line, problem.Column)
		}
		refusal.Violations = append(refusal.Violations, reason.Violation{Field: at, Description: problem.What})
	}
	return nil, refusal
}

// decide has the ledger decide an act of the caller. key is the class key of the
// month, which exists.
func (s *Service) decide(ctx context.Context, method, clientID string,
	act func(now time.Time, by legalbasis.Caller, key string) (ledger.Draft, *reason.Error)) (ledger.Entry, error) {
	c, ok := auth.FromContext(ctx)
	if !ok || c.Actor == "" {
		return ledger.Entry{}, reason.New(reason.Unauthenticated, "")
	}
	requestID, err := warrantrpc.RequestID(warrant.Caller{Actor: c.Actor}, method, clientID)
	if err != nil {
		return ledger.Entry{}, err
	}
	by := legalbasis.Caller{Actor: c.Actor, Machine: c.Machine}
	for _, r := range c.Roles {
		by.Roles = append(by.Roles, auth.RoleName(r))
	}
	key := server.ClassKey("legalbasis", s.cfg.Now())
	if err := s.cfg.Keys.Ensure(key); err != nil {
		return ledger.Entry{}, reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("class key: %w", err))
	}
	e, err := warrantrpc.Decide(ctx, s.cfg.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) { return act(now, by, key) })
	if errors.Is(err, ledger.ErrTooLarge) {
		return e, &reason.Error{Reason: reason.InvalidRequest, Detail: "The file is too large to be entered in the ledger.", Cause: err}
	}
	return e, err
}

// proposal returns the proposal that an entry is about. An entry of another kind
// or proposal than was asked for is that of another request with this id.
func (s *Service) proposal(e ledger.Entry, kind, id string) (*griffierv1.LegalBasisProposal, error) {
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
