package subject

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Disclosure is one to an authority that a person may be told of.
type Disclosure struct {
	Recipient  string // the authority
	Basis      string
	Category   string
	ReleasedAt time.Time
}

// aboutRecipients is the same in every export, whether or not there is anything
// that it does not list (GDPR 15(1)(c), 23).
const aboutRecipients = "Authorities that received data about this line, as far as the law allows that they be named. " +
	"A recipient that may not be named yet is listed once that has ended. What is said here does not depend on whether there is one."

// ExportAccess implements SubjectService. Reasons: NOT_FOUND, and those of the
// store and the ledger. The document has the same parts for every line.
func (s *Service) ExportAccess(ctx context.Context, req *griffierv1.ExportAccessRequest) (*griffierv1.AccessExport, error) {
	if !lineForm.MatchString(req.GetLineId()) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "line_id", Description: "is required: 1 to 64 of A-Z a-z 0-9 . _ -"})
	}
	if s.desk.Disclosures == nil || s.desk.Policy == nil {
		return nil, reason.New(reason.NotConfigured, "This server keeps no disclosures.")
	}
	line, err := s.desk.Register.Line(ctx, req.GetLineId())
	switch {
	case errors.Is(err, register.ErrUnknownLine):
		return nil, reason.New(reason.NotFound, "")
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	received, err := s.desk.Disclosures(ctx, line.LineID)
	if err != nil {
		return nil, err
	}
	m := &griffierv1.AccessExport{LineId: line.LineID, AccountId: line.AccountID, TimeZone: line.TimeZone, MadeAt: timestamppb.New(s.desk.Now()),
		ContractStart: stamp(line.ContractStart), AboutRecipients: aboutRecipients}
	if line.ContractEnd.Before(schema.Forever) {
		m.ContractEnd = stamp(line.ContractEnd)
	}
	for _, p := range s.desk.Policy() {
		m.Data = append(m.Data, &griffierv1.HeldData{Class: string(p.Class), Purpose: p.Purpose, Period: p.Period, Basis: p.Basis, Source: p.Source})
	}
	for _, d := range received {
		m.Recipients = append(m.Recipients, &griffierv1.AccessRecipient{Recipient: d.Recipient, LegalBasis: d.Basis, Category: d.Category, DisclosedAt: stamp(d.ReleasedAt)})
	}
	return m, nil
}
