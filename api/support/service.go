package support

import (
	"context"
	"errors"
	"net/netip"
	"regexp"
	"time"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/usage"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// ComplaintWindow is how far back support may look (disclosure.md D-74).
const ComplaintWindow = 14 * 24 * time.Hour

const maxSessions = 200

// lines is the part of the register that support needs ([register.Register]).
type lines interface {
	Line(ctx context.Context, lineID string) (register.Line, error)
	RefsOfLine(ctx context.Context, lineID string, start, end time.Time) ([]register.Held, error)
	Restricted(ctx context.Context, lineID string) (bool, error)
	StaffLine(ctx context.Context, lineID string) (bool, error)
}

// Service implements SupportService.
type Service struct {
	griffierv1.UnimplementedSupportServiceServer
	codes  *Codes
	lines  lines
	reader *usage.Reader
	now    func() time.Time
}

// NewService returns the service.
func NewService(codes *Codes, lines lines, reader *usage.Reader, now func() time.Time) *Service {
	return &Service{codes: codes, lines: lines, reader: reader, now: now}
}

var (
	ticketForm = regexp.MustCompile(`^[A-Za-z0-9/_.-]{1,64}$`)
	codeForm   = regexp.MustCompile(`^[0-9]{8}$`)
)

// LookUpLine implements SupportService.
func (s *Service) LookUpLine(ctx context.Context, req *griffierv1.LookUpLineRequest) (*griffierv1.LookUpLineResponse, error) {
	w, err := s.check(req)
	if err != nil {
		return nil, err
	}
	caller, _ := auth.FromContext(ctx)
	lineID, err := s.codes.Redeem(ctx, caller, req.GetTicket(), req.GetCode())
	if err != nil {
		return nil, err
	}
	line, err := s.lines.Line(ctx, lineID)
	switch {
	case errors.Is(err, register.ErrUnknownLine):
		return nil, reason.New(reason.NotFound, "")
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	case caller.AccountID != "" && caller.AccountID == line.AccountID:
		return nil, reason.New(reason.ConflictOfInterest, "")
	}
	// An employee's line is looked up by no colleague; the answer is that of one's own.
	switch staff, err := s.lines.StaffLine(ctx, lineID); {
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	case staff:
		return nil, reason.New(reason.ConflictOfInterest, "")
	}
	// A restricted line is one that support does not know.
	switch restricted, err := s.lines.Restricted(ctx, lineID); {
	case err != nil:
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	case restricted:
		return nil, reason.New(reason.NotFound, "")
	}
	return s.answer(ctx, line, w)
}

func (s *Service) check(req *griffierv1.LookUpLineRequest) (usage.Window, error) {
	var bad []reason.Violation
	if !ticketForm.MatchString(req.GetTicket()) {
		bad = append(bad, reason.Violation{Field: "ticket", Description: "is required: 1 to 64 of A-Z a-z 0-9 - _ / ."})
	}
	if !codeForm.MatchString(req.GetCode()) {
		bad = append(bad, reason.Violation{Field: "code", Description: "is required: the 8 digits that the customer reads out"})
	}
	if p := req.GetPurpose(); p == griffierv1.SupportPurpose_SUPPORT_PURPOSE_UNSPECIFIED || griffierv1.SupportPurpose_name[int32(p)] == "" {
		bad = append(bad, reason.Violation{Field: "purpose", Description: "is required: complaint, malfunction or data limit"})
	}
	w, err := usage.ParseWindow(req.GetWindow(), ComplaintWindow+24*time.Hour)
	if refused := reason.From(err); refused != nil {
		bad = append(bad, refused.Violations...)
	} else if w.Start.Before(s.now().Add(-ComplaintWindow)) {
		bad = append(bad, reason.Violation{Field: "window.start", Description: "lies more than 14 days back"})
	}
	if len(bad) > 0 {
		return usage.Window{}, reason.Invalid(reason.InvalidRequest, bad...)
	}
	return w.Buckets(), nil
}

func (s *Service) answer(ctx context.Context, line register.Line, w usage.Window) (*griffierv1.LookUpLineResponse, error) {
	refs, err := s.lines.RefsOfLine(ctx, line.LineID, w.Start, w.End)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	buckets, err := s.reader.Buckets(ctx, refs, w)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	sessions, _, err := s.reader.Sessions(ctx, refs, w, maxSessions)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	gaps, err := s.reader.GapsOf(ctx, refs, w)
	if err != nil {
		return nil, reason.Wrap(reason.StoreUnavailable, err)
	}
	loc, err := time.LoadLocation(line.TimeZone)
	if err != nil {
		loc = time.UTC
	}
	var left [3]usage.Window // of w, by class
	for i, class := range []schema.Class{schema.ClassUsage5m, schema.ClassSession, schema.ClassAssignment} {
		if left[i], err = s.reader.Readable(ctx, class, w); err != nil {
			return nil, reason.Wrap(reason.StoreUnavailable, err)
		}
	}
	counted, listed, addressed := left[0], left[1], left[2]
	if counted.Empty() && listed.Empty() {
		return nil, reason.New(reason.RetentionElapsed, "Neither usage nor connection times of this window are kept any longer.")
	}
	resp := &griffierv1.LookUpLineResponse{
		LineId:           line.LineID,
		Days:             usage.PointsProto(counted.From(w.Days(loc)), buckets),
		Gaps:             usage.GapsProto(gaps),
		Elapsed:          usage.ElapsedProto(w, counted),
		SessionsElapsed:  usage.ElapsedProto(w, listed),
		AddressesElapsed: usage.ElapsedProto(w, addressed),
	}
	if !counted.Empty() {
		resp.Total = usage.Sum([]usage.Window{counted}, buckets)[0].Proto()
	}
	if listed.Empty() {
		sessions = nil // a slice may be kept for what lies after the window
	}
	for _, session := range sessions {
		for i := range session.Addresses {
			session.Addresses[i].Prefix = Mask(session.Addresses[i].Prefix)
		}
		resp.Sessions = append(resp.Sessions, session.Proto())
	}
	return resp, nil
}

// Mask shortens a prefix to the /24 or /48 that holds it: enough to see that a
// line had an address, not which. What does not parse is masked whole.
func Mask(cidr string) string {
	p, err := netip.ParsePrefix(cidr)
	if err != nil {
		return "masked"
	}
	bits := min(p.Bits(), 48)
	if p.Addr().Is4() {
		bits = min(p.Bits(), 24)
	}
	return netip.PrefixFrom(p.Addr(), bits).Masked().String()
}
