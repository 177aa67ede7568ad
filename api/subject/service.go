package subject

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/server"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// keys makes class keys ([keystore.Store]).
type keys interface {
	Ensure(id string) error
}

// Service implements SubjectService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedSubjectServiceServer
	desk *Desk
	keys keys
}

// NewService returns the service of a desk.
func NewService(d *Desk, k keys) *Service { return &Service{desk: d, keys: k} }

// lineBody is the sealed part of an entry: which line, and who acted.
type lineBody struct {
	LineID  string `json:"line_id"`
	Subject string `json:"subject"` // of the caller
}

var lineForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// contractRuns refuses while the line is needed for its contract.
func (s *Service) contractRuns(ctx context.Context, lineID string) error {
	if !lineForm.MatchString(lineID) {
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "line_id", Description: "is required: 1 to 64 of A-Z a-z 0-9 . _ -"})
	}
	line, err := s.desk.Register.Line(ctx, lineID)
	switch {
	case errors.Is(err, register.ErrUnknownLine):
		return reason.New(reason.NotFound, "")
	case err != nil:
		return reason.Wrap(reason.StoreUnavailable, err)
	case line.ContractEnd.After(s.desk.Now()):
		return reason.New(reason.ContractRunning, "")
	}
	return nil
}

// decide has the ledger decide an act of the caller.
func (s *Service) decide(ctx context.Context, method, clientID, lineID string,
	act func(now time.Time, by auth.Caller) (kind string, facts any, refusal *reason.Error)) (ledger.Entry, error) {
	c, ok := auth.FromContext(ctx)
	if !ok || c.Actor == "" {
		return ledger.Entry{}, reason.New(reason.Unauthenticated, "")
	}
	requestID, err := warrantrpc.RequestID(warrant.Caller{Actor: c.Actor}, method, clientID)
	if err != nil {
		return ledger.Entry{}, err
	}
	key := server.ClassKey("subject", s.desk.Now())
	if err := s.keys.Ensure(key); err != nil {
		return ledger.Entry{}, reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("class key: %w", err))
	}
	role := griffierv1.Role_ROLE_PRIVACY_CONTROLLER
	if !c.Has(role) {
		role = griffierv1.Role_ROLE_LEGAL_APPROVER
	}
	e, err := s.desk.Book.Decide(ctx, requestID, func(now time.Time) (ledger.Draft, error) {
		kind, facts, refusal := act(now, c)
		if refusal != nil {
			return ledger.Draft{}, refusal
		}
		return ledger.Draft{Kind: kind, Actor: c.Actor, Role: auth.RoleName(role), KeyID: key, Facts: facts, Body: lineBody{lineID, c.Subject}}, nil
	})
	return e, warrantrpc.LedgerError(err)
}

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// idOf returns what an entry is about; a reused request id is refused.
func idOf(e ledger.Entry, kind string) (string, error) {
	var f idFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return "", fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if e.Header.Kind != kind {
		return "", warrantrpc.ErrReused()
	}
	return f.ID, nil
}

// RequestErasure implements SubjectService. Reasons: NOT_FOUND, CONTRACT_RUNNING,
// and those of the ledger.
func (s *Service) RequestErasure(ctx context.Context, req *griffierv1.RequestErasureRequest) (*griffierv1.Erasure, error) {
	if err := s.contractRuns(ctx, req.GetLineId()); err != nil {
		return nil, err
	}
	id := newID()
	e, err := s.decide(ctx, "RequestErasure", req.GetRequestId(), req.GetLineId(), func(time.Time, auth.Caller) (string, any, *reason.Error) {
		return KindErasureRequested, lineFacts{ID: id, Token: s.desk.Register.Token(id, req.GetLineId())}, nil
	})
	if err != nil {
		return nil, err
	}
	if id, err = idOf(e, KindErasureRequested); err != nil {
		return nil, err
	}
	if x, ok := s.desk.State.Erasure(id); !ok || x.Token != s.desk.Register.Token(id, req.GetLineId()) {
		return nil, warrantrpc.ErrReused()
	}
	return s.erasure(id)
}

// ApproveErasure implements SubjectService. Reasons: NOT_FOUND, SELF_APPROVAL,
// GENERATION_MISMATCH for another line than was requested, PROPOSAL_ENDED,
// CONTRACT_RUNNING, and those of the ledger. An approval that was recorded is carried
// out though the caller goes away, and, if that fails, by a retry or within an hour.
func (s *Service) ApproveErasure(ctx context.Context, req *griffierv1.ApproveErasureRequest) (*griffierv1.Erasure, error) {
	x, ok := s.desk.State.Erasure(req.GetErasureId())
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	if s.desk.Register.Token(x.ID, req.GetLineId()) != x.Token {
		return nil, reason.New(reason.GenerationMismatch, "The line is not the one that was requested.")
	}
	if x.ApprovedAt.IsZero() {
		if err := s.contractRuns(ctx, req.GetLineId()); err != nil {
			return nil, err
		}
	}
	e, err := s.decide(ctx, "ApproveErasure", req.GetRequestId(), req.GetLineId(), func(now time.Time, by auth.Caller) (string, any, *reason.Error) {
		x, _ := s.desk.State.Erasure(x.ID)
		switch {
		case x.RequestedBy == by.Actor:
			return "", nil, reason.New(reason.SelfApproval, "")
		case !x.ApprovedAt.IsZero(), now.Sub(x.RequestedAt) > RequestLife:
			return "", nil, reason.New(reason.ProposalEnded, "")
		}
		return KindErasureApproved, idFacts{x.ID}, nil
	})
	if err != nil {
		return nil, err
	}
	switch id, err := idOf(e, KindErasureApproved); {
	case err != nil:
		return nil, err
	case id != x.ID:
		return nil, warrantrpc.ErrReused()
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryOutLimit)
	defer cancel()
	if err := s.desk.Recover(limited); err != nil {
		if ledgerErr := warrantrpc.LedgerError(err); reason.From(ledgerErr) != nil {
			return nil, ledgerErr
		}
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return s.erasure(x.ID)
}

// ListErasures implements SubjectService.
func (s *Service) ListErasures(context.Context, *griffierv1.ListErasuresRequest) (*griffierv1.ListErasuresResponse, error) {
	out := &griffierv1.ListErasuresResponse{}
	all := s.desk.State.Erasures()
	for i := len(all) - 1; i >= 0; i-- {
		out.Erasures = append(out.Erasures, s.message(all[i]))
	}
	return out, nil
}

func (s *Service) erasure(id string) (*griffierv1.Erasure, error) {
	x, ok := s.desk.State.Erasure(id)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	return s.message(x), nil
}

func (s *Service) message(x Erasure) *griffierv1.Erasure {
	m := &griffierv1.Erasure{ErasureId: x.ID, RequestedAt: stamp(x.RequestedAt), RequestedBy: x.RequestedBy, ApprovedAt: stamp(x.ApprovedAt),
		ApprovedBy: x.ApprovedBy, UnreadableAt: stamp(x.ErasedAt), OffDiskAt: stamp(x.RewrittenAt)}
	switch {
	case !x.RewrittenAt.IsZero():
		m.State = griffierv1.ErasureState_ERASURE_STATE_OFF_DISK
	case !x.ErasedAt.IsZero():
		m.State = griffierv1.ErasureState_ERASURE_STATE_UNREADABLE
	case !x.ApprovedAt.IsZero():
		m.State = griffierv1.ErasureState_ERASURE_STATE_APPROVED
	case s.desk.Now().Sub(x.RequestedAt) > RequestLife:
		m.State = griffierv1.ErasureState_ERASURE_STATE_LAPSED
	default:
		m.State = griffierv1.ErasureState_ERASURE_STATE_REQUESTED
	}
	if !x.ErasedAt.IsZero() {
		m.OffDiskBy = stamp(x.ErasedAt.Add(RewriteWithin))
	}
	for _, c := range x.Backups {
		m.Backups = append(m.Backups, &griffierv1.BackupCopy{BackupId: c.BackupID, MadeAt: stamp(c.MadeAt), UnreadableBy: stamp(c.UnreadableBy)})
	}
	return m
}

// stamp leaves a zero time out.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
