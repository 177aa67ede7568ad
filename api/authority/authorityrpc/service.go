package authorityrpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"griffier/api/authority"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// Config holds what a [Service] needs.
type Config struct {
	Book     warrantrpc.Book
	Keys     warrantrpc.ClassKeys
	Registry *authority.Registry // a fold of Book
	Warrants *warrant.State      // a fold of Book
	Law      func() warrant.Law
	Now      func() time.Time
}

// Service implements AuthorityService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedAuthorityServiceServer
	cfg  Config
	book warrantrpc.ClassBook
}

// NewService returns the service.
func NewService(cfg Config) *Service {
	return &Service{cfg: cfg, book: warrantrpc.ClassBook{Book: cfg.Book, Keys: cfg.Keys, Area: "authority", Now: cfg.Now}}
}

// ListAuthorities implements AuthorityService.
func (s *Service) ListAuthorities(context.Context, *griffierv1.ListAuthoritiesRequest) (*griffierv1.ListAuthoritiesResponse, error) {
	now := s.cfg.Now()
	res := &griffierv1.ListAuthoritiesResponse{}
	for _, a := range s.cfg.Registry.Authorities() {
		res.Authorities = append(res.Authorities, message(a, now))
	}
	for _, p := range s.cfg.Registry.Proposals(now) {
		res.Proposals = append(res.Proposals, proposalMessage(p))
	}
	return res, nil
}

// GetAuthority implements AuthorityService.
func (s *Service) GetAuthority(ctx context.Context, req *griffierv1.GetAuthorityRequest) (*griffierv1.Authority, error) {
	return s.whole(ctx, req.GetId())
}

// PlanAuthority implements AuthorityService.
func (s *Service) PlanAuthority(_ context.Context, req *griffierv1.PlanAuthorityRequest) (*griffierv1.PlanAuthorityResponse, error) {
	plan := s.cfg.Registry.Plan(s.cfg.Now(), recordOf(req.GetRecord()), s.cfg.Law(), s.cfg.Warrants.Warrants())
	return &griffierv1.PlanAuthorityResponse{Permits: plan.Permits, Ends: plan.Ends, WarrantsStopped: uint32(plan.WarrantsStopped), Generation: plan.Generation}, nil
}

// ProposeAuthority implements AuthorityService.
func (s *Service) ProposeAuthority(ctx context.Context, req *griffierv1.ProposeAuthorityRequest) (*griffierv1.AuthorityProposal, error) {
	var b [16]byte
	rand.Read(b[:]) // never fails
	record := recordOf(req.GetRecord())
	e, err := s.book.Decide(ctx, "ProposeAuthority", req.GetRequestId(), func(_ time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Registry.Propose(by, hex.EncodeToString(b[:]), key, req.GetExpectedGeneration(), record,
			authority.Contact{Name: req.GetContact().GetName(), Email: req.GetContact().GetEmail()}, s.cfg.Law())
	})
	if err != nil {
		return nil, err
	}
	f, err := about(e, authority.KindPropose)
	if err != nil {
		return nil, err
	}
	p, ok := s.cfg.Registry.Proposal(f.ProposalID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	if p.Record.Hash() != record.Hash() {
		return nil, warrantrpc.ErrReused()
	}
	return proposalMessage(p), nil
}

// ApproveAuthority implements AuthorityService.
func (s *Service) ApproveAuthority(ctx context.Context, req *griffierv1.ApproveAuthorityRequest) (*griffierv1.Authority, error) {
	e, err := s.book.Decide(ctx, "ApproveAuthority", req.GetRequestId(), func(now time.Time, by ledger.Caller, _ string) (ledger.Draft, *reason.Error) {
		return s.cfg.Registry.Approve(now, by, req.GetProposalId(), req.GetSha256())
	})
	if err != nil {
		return nil, err
	}
	f, err := about(e, authority.KindApprove)
	if err != nil {
		return nil, err
	}
	if f.ProposalID != req.GetProposalId() {
		return nil, warrantrpc.ErrReused()
	}
	return s.whole(ctx, f.AuthorityID)
}

// AddAuthorityKey implements AuthorityService.
func (s *Service) AddAuthorityKey(ctx context.Context, req *griffierv1.AddAuthorityKeyRequest) (*griffierv1.Authority, error) {
	return s.act(ctx, "AddAuthorityKey", authority.KindKeyAdd, req.GetRequestId(), req.GetId(), func(now time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Registry.AddKey(now, by, key, req.GetId(), req.GetExpectedGeneration(), req.GetKey())
	})
}

// ConfirmAuthorityKey implements AuthorityService.
func (s *Service) ConfirmAuthorityKey(ctx context.Context, req *griffierv1.ConfirmAuthorityKeyRequest) (*griffierv1.Authority, error) {
	return s.act(ctx, "ConfirmAuthorityKey", authority.KindKeyConfirm, req.GetRequestId(), req.GetId(), func(now time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Registry.ConfirmKey(now, by, key, req.GetId(), req.GetExpectedGeneration(), req.GetFingerprint(), req.GetNumber(), req.GetSpokeWith())
	})
}

// RevokeAuthorityKey implements AuthorityService.
func (s *Service) RevokeAuthorityKey(ctx context.Context, req *griffierv1.RevokeAuthorityKeyRequest) (*griffierv1.Authority, error) {
	return s.act(ctx, "RevokeAuthorityKey", authority.KindKeyRevoke, req.GetRequestId(), req.GetId(), func(_ time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Registry.RevokeKey(by, key, req.GetId(), req.GetFingerprint(), req.GetExplanation())
	})
}

// RetireAuthority implements AuthorityService.
func (s *Service) RetireAuthority(ctx context.Context, req *griffierv1.RetireAuthorityRequest) (*griffierv1.Authority, error) {
	return s.act(ctx, "RetireAuthority", authority.KindRetire, req.GetRequestId(), req.GetId(), func(_ time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error) {
		return s.cfg.Registry.Retire(by, key, req.GetId(), req.GetExplanation())
	})
}

// act decides an act on one authority and returns it as it is after that.
func (s *Service) act(ctx context.Context, method, kind, clientID, id string,
	rule func(now time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error)) (*griffierv1.Authority, error) {
	e, err := s.book.Decide(ctx, method, clientID, rule)
	if err != nil {
		return nil, err
	}
	f, err := about(e, kind)
	if err != nil {
		return nil, err
	}
	if f.AuthorityID != id {
		return nil, warrantrpc.ErrReused()
	}
	return s.whole(ctx, id)
}

type facts struct {
	ProposalID  string `json:"proposal_id"`
	AuthorityID string `json:"authority_id"`
}

// about returns what an entry is about. An entry of another kind than was asked
// for is that of another request with this id.
func about(e ledger.Entry, kind string) (facts, error) {
	var f facts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return f, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if e.Header.Kind != kind {
		return f, warrantrpc.ErrReused()
	}
	return f, nil
}
