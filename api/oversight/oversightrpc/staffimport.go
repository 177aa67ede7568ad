package oversightrpc

import (
	"context"
	"fmt"
	"time"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// ImportStaffLines implements OversightService. What is imported is what was shown: the
// plan is worked out anew, and refused if it is another. The entry stands before the
// list is changed, and a retry of a request changes it as that one would have.
func (s *Service) ImportStaffLines(ctx context.Context, req *griffierv1.ImportStaffLinesRequest) (*griffierv1.StaffImport, error) {
	var rows []oversight.StaffAccount
	for _, l := range req.GetLines() {
		rows = append(rows, oversight.StaffAccount{Account: l.GetAccount(), LineID: l.GetLineId()})
	}
	if refusal := oversight.CheckStaff(rows); refusal != nil {
		return nil, refusal
	}
	s.importing.Lock()
	defer s.importing.Unlock()
	wanted, err := s.wantedStaff(ctx, rows)
	if err != nil {
		return nil, err
	}
	present, err := s.cfg.Staff.StaffLines(ctx)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	var is []oversight.StaffRow
	for _, l := range present {
		is = append(is, oversight.StaffRow{Tag: l.Tag, Staff: l.Actor})
	}
	plan := oversight.PlanStaff(is, wanted)
	if req.GetValidateOnly() {
		return staffImport(plan, 0), nil
	}
	e, err := s.act(ctx, "ImportStaffLines", req.GetRequestId(), "", "", []string{oversight.KindStaffImported}, func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		if req.GetPlan() != plan.ID {
			return ledger.Draft{}, reason.New(reason.GenerationMismatch, "The list, or the file, is not what the plan was made of: look at it again.")
		}
		return oversight.StaffImported(by.Actor, auth.RoleName(griffierv1.Role_ROLE_PRIVACY_CONTROLLER), plan), nil
	})
	if err != nil {
		return nil, err
	}
	if entered, err := oversight.PlanOf(e); err != nil || entered != req.GetPlan() { // of another file
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "request_id", Description: "was used for another import"})
	}
	if plan.ID != req.GetPlan() && len(plan.Put)+len(plan.Remove) > 0 { // a retry, of what is not as it was entered
		return nil, reason.New(reason.GenerationMismatch, "The list, or the file, is not what was imported: make a new plan.")
	}
	if err := s.cfg.Staff.ChangeStaff(ctx, staffLines(plan.Put), staffLines(plan.Remove)); err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	return staffImport(plan, e.Index), nil
}

// wantedStaff returns the list that a file asks for. Lines that there are none of are
// all named at once, by their rows.
func (s *Service) wantedStaff(ctx context.Context, rows []oversight.StaffAccount) ([]oversight.StaffRow, error) {
	var ids []string
	for _, row := range rows {
		ids = append(ids, row.LineID)
	}
	tags, err := s.cfg.Staff.StaffTags(ctx, ids)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	var out []oversight.StaffRow
	var bad []reason.Violation
	for i, row := range rows {
		tag, ok := tags[row.LineID]
		if !ok && len(bad) < 20 {
			bad = append(bad, reason.Violation{Field: fmt.Sprintf("lines[%d]", i), Description: "the register has no such line"})
		}
		out = append(out, oversight.StaffRow{Tag: tag, Staff: row.Pseudonym(s.cfg.Pseudonym)})
	}
	if len(bad) > 0 {
		return nil, reason.Invalid(reason.InvalidRequest, bad...)
	}
	return out, nil
}

func staffLines(rows []oversight.StaffRow) (out []register.StaffLine) {
	for _, row := range rows {
		out = append(out, register.StaffLine{Tag: row.Tag, Actor: row.Staff})
	}
	return out
}

func staffImport(p oversight.StaffPlan, index uint64) *griffierv1.StaffImport {
	m := &griffierv1.StaffImport{Plan: p.ID, LedgerIndex: index}
	for _, c := range p.Changes {
		m.Changes = append(m.Changes, &griffierv1.StaffChange{Staff: c.Staff, Added: c.Added, Removed: c.Removed, Kept: c.Kept})
	}
	return m
}
