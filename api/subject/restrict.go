package subject

import (
	"context"
	"errors"
	"time"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
)

// Grounds of a restriction.
const (
	groundRestriction = "restriction"
	groundObjection   = "objection"
)

var grounds = map[griffierv1.RestrictionGround]string{
	griffierv1.RestrictionGround_RESTRICTION_GROUND_RESTRICTION: groundRestriction,
	griffierv1.RestrictionGround_RESTRICTION_GROUND_OBJECTION:   groundObjection,
}

// of returns the restriction that holds on a line, if there is one.
func (s *Service) of(lineID string) (Restriction, bool) {
	for _, x := range s.desk.State.Restrictions() {
		if s.desk.Register.Token(x.ID, lineID) == x.Token {
			return x, true
		}
	}
	return Restriction{}, false
}

// RestrictLine implements SubjectService. A line that is restricted stays so.
// Reasons: INVALID_REQUEST, NOT_FOUND, and those of the ledger.
func (s *Service) RestrictLine(ctx context.Context, req *griffierv1.RestrictLineRequest) (*griffierv1.Restriction, error) {
	ground, ok := grounds[req.GetGround()]
	if !ok {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "ground", Description: "is required: restriction or objection"})
	}
	if err := s.known(ctx, req.GetLineId()); err != nil {
		return nil, err
	}
	id := newID()
	if x, ok := s.of(req.GetLineId()); ok {
		id = x.ID // entered, and perhaps not carried out
	} else {
		e, err := s.decide(ctx, "RestrictLine", req.GetRequestId(), req.GetLineId(), func(time.Time, auth.Caller) (string, any, *reason.Error) {
			return KindRestricted, lineFacts{ID: id, Token: s.desk.Register.Token(id, req.GetLineId()), Ground: ground}, nil
		})
		if err != nil {
			return nil, err
		}
		if id, err = idOf(e, KindRestricted); err != nil {
			return nil, err
		}
	}
	return s.carryOut(ctx, id, req.GetLineId())
}

// LiftRestriction implements SubjectService. Reasons: NOT_FOUND when the line is not
// restricted, and those of the ledger.
func (s *Service) LiftRestriction(ctx context.Context, req *griffierv1.LiftRestrictionRequest) (*griffierv1.Restriction, error) {
	if err := s.known(ctx, req.GetLineId()); err != nil {
		return nil, err
	}
	x, ok := s.of(req.GetLineId())
	if !ok {
		// Lifted in the ledger and not yet in the register, after a crash in between.
		switch restricted, err := s.desk.Register.Restricted(ctx, req.GetLineId()); {
		case err != nil:
			return nil, reason.Wrap(reason.StoreUnavailable, err)
		case !restricted:
			return nil, reason.New(reason.NotFound, "")
		}
		if err := s.desk.Register.Restrict(ctx, req.GetLineId(), groundRestriction, false, s.desk.Now()); err != nil {
			return nil, reason.Wrap(reason.StoreUnavailable, err)
		}
		return &griffierv1.Restriction{LiftedAt: stamp(s.desk.Now())}, nil
	}
	e, err := s.decide(ctx, "LiftRestriction", req.GetRequestId(), req.GetLineId(), func(time.Time, auth.Caller) (string, any, *reason.Error) {
		return KindLifted, idFacts{x.ID}, nil
	})
	if err != nil {
		return nil, err
	}
	id, err := idOf(e, KindLifted)
	if err != nil {
		return nil, err
	}
	return s.carryOut(ctx, id, req.GetLineId())
}

// ListRestrictions implements SubjectService.
func (s *Service) ListRestrictions(context.Context, *griffierv1.ListRestrictionsRequest) (*griffierv1.ListRestrictionsResponse, error) {
	out := &griffierv1.ListRestrictionsResponse{}
	for _, x := range s.desk.State.Restrictions() {
		out.Restrictions = append(out.Restrictions, restrictionMessage(x))
	}
	return out, nil
}

// carryOut makes the register say what the ledger says of a restriction.
func (s *Service) carryOut(ctx context.Context, id, lineID string) (*griffierv1.Restriction, error) {
	x, err := s.desk.mark(ctx, id, lineID)
	switch {
	case reason.Of(err) != "":
		return nil, err
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return restrictionMessage(x), nil
}

func (s *Service) known(ctx context.Context, lineID string) error {
	_, err := s.desk.Register.Line(ctx, lineID)
	switch {
	case errors.Is(err, register.ErrUnknownLine):
		return reason.New(reason.NotFound, "")
	case err != nil:
		return reason.Wrap(reason.StoreUnavailable, err)
	}
	return nil
}

func restrictionMessage(x Restriction) *griffierv1.Restriction {
	m := &griffierv1.Restriction{RestrictionId: x.ID, Since: stamp(x.Since), LiftedAt: stamp(x.LiftedAt)}
	for ground, name := range grounds {
		if name == x.Ground {
			m.Ground = ground
		}
	}
	return m
}
