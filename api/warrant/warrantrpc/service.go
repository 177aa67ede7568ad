package warrantrpc

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// keys makes and destroys case keys ([keystore.Store]).
type keys interface {
	Create(id string) error
	Shred(id string) error
}

// Config holds what a [Service] needs.
type Config struct {
	Book  Book
	Keys  keys
	State *warrant.State // a fold of Book
	Rules *warrant.Rules
	Now   func() time.Time
	// Ended is called after an act that stops what runs under a warrant: an end, a
	// suspension, or another content. May be nil.
	Ended func(warrantID string)
	// Received is asked before a warrant that would be granted is created, with the
	// client's request id: its authority may have had too many entered. May be nil.
	Received func(ctx context.Context, by warrant.Caller, requestID, warrantID string, c warrant.Content) error
	// Edited is told of a content that an edit left. May be nil.
	Edited func(ctx context.Context, by warrant.Caller, requestID, warrantID string, c warrant.Content) error
}

// Service implements WarrantService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedWarrantServiceServer
	book  Book
	keys  keys
	state *warrant.State
	rules *warrant.Rules
	now   func() time.Time
	ended func(string)

	received, edited func(ctx context.Context, by warrant.Caller, requestID, warrantID string, c warrant.Content) error
}

// NewService returns the service.
func NewService(cfg Config) *Service {
	s := &Service{book: cfg.Book, keys: cfg.Keys, state: cfg.State, rules: cfg.Rules, now: cfg.Now, ended: cfg.Ended, received: cfg.Received, edited: cfg.Edited}
	if s.ended == nil {
		s.ended = func(string) {}
	}
	return s
}

// RandomID returns a new id of a warrant or task: 128 random bits in hexadecimal.
func RandomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// CreateWarrant implements WarrantService. The case key is made only for a
// request that would be granted, and destroyed again if it was not.
func (s *Service) CreateWarrant(ctx context.Context, req *griffierv1.CreateWarrantRequest) (*griffierv1.Warrant, error) {
	by, err := Caller(ctx)
	if err != nil {
		return nil, err
	}
	requestID, err := RequestID(by, "CreateWarrant", req.GetRequestId())
	if err != nil {
		return nil, err
	}
	create := warrant.CreateRequest{ID: RandomID(), Salt: RandomID(), Content: contentOf(req.GetContent()), Team: req.GetTeam()}
	if req.GetValidateOnly() {
		return s.preview(ctx, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
			return s.rules.Create(s.state, now, by, create)
		})
	}
	_, refusal := s.rules.Create(s.state, s.now(), by, create)
	if refusal == nil && s.received != nil {
		if err := s.received(ctx, by, req.GetRequestId(), create.ID, create.Content); err != nil {
			return nil, err
		}
	}
	if refusal == nil {
		if err := s.keys.Create(warrant.KeyID(create.ID)); err != nil {
			return nil, reason.Wrap(reason.LedgerUnavailable, err)
		}
	}
	e, err := Decide(ctx, s.book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) {
		if refusal != nil { // only an earlier entry of this request can help
			return ledger.Draft{}, refusal
		}
		return s.rules.Create(s.state, now, by, create)
	})
	if refusal == nil && reason.Of(err) != reason.UnknownOutcome && e.Header.WarrantID != create.ID {
		if err := s.keys.Shred(warrant.KeyID(create.ID)); err != nil {
			return nil, fmt.Errorf("destroy an unused case key: %w", err)
		}
	}
	if err != nil {
		return nil, err
	}
	w, ok := s.state.Warrant(e.Header.WarrantID)
	if !ok {
		return nil, reason.New(reason.UnknownOutcome, "")
	}
	if w.ID != create.ID {
		earlier, err := Content(ctx, s.book, w)
		if err != nil {
			return nil, err
		}
		if string(earlier.Canonical()) != string(create.Content.Canonical()) {
			return nil, ErrReused()
		}
	}
	return s.message(ctx, w, s.now(), true)
}

var outcomes = map[griffierv1.CallBackOutcome]warrant.CallBack{
	griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED: warrant.CallBackConfirmed,
	griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_DENIED:    warrant.CallBackDenied,
	griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_NO_ANSWER: warrant.CallBackNoAnswer,
}

// VerifyWarrant implements WarrantService.
func (s *Service) VerifyWarrant(ctx context.Context, req *griffierv1.VerifyWarrantRequest) (*griffierv1.Warrant, error) {
	return s.act(ctx, "VerifyWarrant", warrant.KindVerify, req.GetRequestId(), req.GetWarrantId(), func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.rules.Verify(s.state, now, by, warrant.VerifyRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(),
			ContentSHA256: req.GetContentSha256(), Number: req.GetNumber(), Outcome: outcomes[req.GetOutcome()], SpokeWith: req.GetSpokeWith(), Note: req.GetNote()})
	})
}

// GetWarrant implements WarrantService.
func (s *Service) GetWarrant(ctx context.Context, req *griffierv1.GetWarrantRequest) (*griffierv1.Warrant, error) {
	if _, err := Sees(ctx, s.state, s.rules, s.now(), req.GetWarrantId()); err != nil {
		return nil, err
	}
	w, _ := s.state.Warrant(req.GetWarrantId())
	return s.message(ctx, w, s.now(), true)
}

// ListWarrants implements WarrantService.
func (s *Service) ListWarrants(ctx context.Context, _ *griffierv1.ListWarrantsRequest) (*griffierv1.ListWarrantsResponse, error) {
	by, overseer, err := viewer(ctx)
	if err != nil {
		return nil, err
	}
	res := &griffierv1.ListWarrantsResponse{}
	now := s.now()
	for _, w := range s.state.Warrants() {
		if !visible(s.rules, now, by, overseer, w) {
			continue
		}
		m, err := s.message(ctx, w, now, false)
		if err != nil {
			return nil, err
		}
		res.Warrants = append(res.Warrants, m)
	}
	return res, nil
}
