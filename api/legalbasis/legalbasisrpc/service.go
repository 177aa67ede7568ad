package legalbasisrpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"griffier/api/ledger"
	"griffier/api/legalbasis"
	"griffier/api/reason"
	"griffier/api/signedfile"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// Config holds what a [Service] needs.
type Config struct {
	Book     warrantrpc.Book
	Keys     warrantrpc.ClassKeys
	Keeper   *legalbasis.Keeper // a fold of Book
	Desk     *legalbasis.Desk
	Warrants *warrant.State // a fold of Book
	Trusted  signedfile.Trusted
	Now      func() time.Time
}

// Service implements LegalBasisService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedLegalBasisServiceServer
	cfg  Config
	book warrantrpc.ClassBook
}

// NewService returns the service.
func NewService(cfg Config) *Service {
	return &Service{cfg: cfg, book: warrantrpc.ClassBook{Book: cfg.Book, Keys: cfg.Keys, Area: "legalbasis", Now: cfg.Now}}
}

// GetLegalBasis implements LegalBasisService.
func (s *Service) GetLegalBasis(context.Context, *griffierv1.GetLegalBasisRequest) (*griffierv1.GetLegalBasisResponse, error) {
	res := &griffierv1.GetLegalBasisResponse{FileProblems: s.cfg.Desk.Problems()}
	for _, v := range s.cfg.Keeper.InForce() {
		res.InForce = append(res.InForce, versionMessage(v, true))
	}
	now := s.cfg.Now()
	for _, p := range s.cfg.Keeper.Proposals() {
		if m := s.proposalMessage(p, now); m.GetState() == griffierv1.LegalBasisProposalState_LEGAL_BASIS_PROPOSAL_STATE_AWAITING_APPROVAL {
			res.Open = append(res.Open, m)
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
		unsigned, bad := warrant.ParseProfile(signedfile.Text(file))
		if bad != nil {
			return nil, err
		}
		p = unsigned
	}
	law := s.cfg.Keeper.Law()
	if problems := law.Beside(p); len(problems) > 0 {
		return nil, signedfile.Refuse("", problems...).Refusal()
	}
	res := &griffierv1.PlanLegalBasisResponse{Sha256: p.SHA256, Generation: p.Generation, SignedBy: p.SignedBy,
		Profile: p.Name, GenerationInForce: s.cfg.Keeper.Generation(p.Name)}
	touched := map[string]bool{}
	for _, c := range legalbasis.Compare(law.Profile(p.Name), p) {
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
	e, err := s.book.Decide(ctx, "ProposeLegalBasis", req.GetRequestId(), func(_ time.Time, by ledger.Caller, _ string) (ledger.Draft, *reason.Error) {
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
	e, err := s.book.Decide(ctx, "ApproveLegalBasis", req.GetRequestId(), func(now time.Time, by ledger.Caller, _ string) (ledger.Draft, *reason.Error) {
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
	e, err := s.book.Decide(ctx, "WithdrawLegalBasis", req.GetRequestId(), func(_ time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
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
	now := s.cfg.Now()
	for _, p := range s.cfg.Keeper.Proposals() {
		res.Proposals = append(res.Proposals, s.proposalMessage(p, now))
	}
	return res, nil
}

// file reads a signed file of a request; POLICY_REFUSED lists what is wrong.
func (s *Service) file(signed []byte) (*warrant.Profile, error) {
	p, err := warrant.OpenProfile("", signed, s.cfg.Trusted)
	return p, signedfile.Refused(err)
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
	return s.proposalMessage(p, s.cfg.Now()), nil
}

func (s *Service) proposalMessage(p legalbasis.Proposal, now time.Time) *griffierv1.LegalBasisProposal {
	return proposalMessage(p, now, s.cfg.Keeper.Generation(p.Name))
}
