package oversightrpc

import (
	"context"
	"errors"
	"time"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// ListSecrecy implements OversightService: warrants under which something was
// disclosed, oldest first.
func (s *Service) ListSecrecy(ctx context.Context, _ *griffierv1.ListSecrecyRequest) (*griffierv1.ListSecrecyResponse, error) {
	seen, err := warrantrpc.Seen(ctx, s.cfg.Warrants)
	if err != nil {
		return nil, err
	}
	res := &griffierv1.ListSecrecyResponse{}
	all := s.cfg.Warrants.Warrants()
	for i := len(all) - 1; i >= 0; i-- {
		if m := s.secrecy(all[i]); m.DisclosedAt != nil && seen(all[i].ID) {
			res.Warrants = append(res.Warrants, m)
		}
	}
	return res, nil
}

func (s *Service) secrecy(w warrant.Warrant) *griffierv1.Secrecy {
	x := s.cfg.State.Secrecy(w.ID)
	m := &griffierv1.Secrecy{WarrantId: w.ID, Ended: x.Ended(), AskedAt: stamp(x.AskedAt), EndedAt: stamp(x.EndedAt)}
	var disclosed time.Time
	for _, id := range w.Tasks {
		if t, _, ok := s.cfg.Warrants.Task(id); ok && t.Answer == reason.Match && t.ReleasedAt.After(disclosed) {
			disclosed = t.ReleasedAt
		}
	}
	if !disclosed.IsZero() {
		m.DisclosedAt, m.Due = stamp(disclosed), x.Due(disclosed, s.cfg.Now())
	}
	return m
}

// ConfirmSecrecy implements OversightService.
func (s *Service) ConfirmSecrecy(ctx context.Context, req *griffierv1.ConfirmSecrecyRequest) (*griffierv1.Secrecy, error) {
	kind := oversight.KindSecrecyKept
	if req.GetEnded() {
		kind = oversight.KindSecrecyEnded
	}
	_, err := s.act(ctx, "ConfirmSecrecy", req.GetRequestId(), req.GetWarrantId(), "", []string{kind}, func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.cfg.State.Confirm(s.cfg.Warrants, by, req.GetWarrantId(), req.GetEnded(), req.GetGrounds())
	})
	if err != nil {
		return nil, err
	}
	w, _ := s.cfg.Warrants.Warrant(req.GetWarrantId())
	return s.secrecy(w), nil
}

// PutStaffLine implements OversightService.
func (s *Service) PutStaffLine(ctx context.Context, req *griffierv1.PutStaffLineRequest) (*griffierv1.PutStaffLineResponse, error) {
	return &griffierv1.PutStaffLineResponse{}, s.setStaffLine(ctx, "PutStaffLine", oversight.KindStaffLinePut, req.GetRequestId(), req.GetStaff(), req.GetLineId(), true)
}

// RemoveStaffLine implements OversightService.
func (s *Service) RemoveStaffLine(ctx context.Context, req *griffierv1.RemoveStaffLineRequest) (*griffierv1.RemoveStaffLineResponse, error) {
	return &griffierv1.RemoveStaffLineResponse{}, s.setStaffLine(ctx, "RemoveStaffLine", oversight.KindStaffLineRemoved, req.GetRequestId(), req.GetStaff(), req.GetLineId(), false)
}

// setStaffLine enters the change, with its line sealed, and makes it. A repetition
// changes nothing, so a failure in between is put right by a retry.
func (s *Service) setStaffLine(ctx context.Context, method, kind, clientID, actor, lineID string, is bool) error {
	c, err := caller(ctx)
	if err != nil {
		return err
	}
	key, err := s.classKey()
	if err != nil {
		return err
	}
	role := auth.RoleName(griffierv1.Role_ROLE_PRIVACY_CONTROLLER)
	_, err = s.act(ctx, method, clientID, "", "", []string{kind}, func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return oversight.StaffLine(kind, by.Actor, role, key, oversight.StaffLineBody{Subject: c.Subject, Staff: actor, LineID: lineID})
	})
	if err != nil {
		return err
	}
	switch err := s.cfg.Staff.PutStaffLine(ctx, actor, lineID, is); {
	case errors.Is(err, register.ErrUnknownLine):
		return reason.New(reason.NotFound, "")
	case err != nil:
		return reason.Wrap(reason.StoreUnavailable, err)
	}
	return nil
}

// ListStaff implements OversightService.
func (s *Service) ListStaff(ctx context.Context, _ *griffierv1.ListStaffRequest) (*griffierv1.ListStaffResponse, error) {
	members, err := s.cfg.Staff.Staff(ctx)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	res := &griffierv1.ListStaffResponse{ListedAt: stamp(s.cfg.State.StaffListAt()), Due: s.cfg.State.StaffListDue(s.cfg.Now(), s.cfg.Limits)}
	for _, c := range counts(members) {
		res.Staff = append(res.Staff, &griffierv1.StaffMember{Staff: c.State, Lines: c.Count})
	}
	return res, nil
}
