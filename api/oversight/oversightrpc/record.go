package oversightrpc

import (
	"cmp"
	"context"
	"slices"
	"time"

	"griffier/api/auth"
	"griffier/api/hold"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

const whyPrefix = "NON_EXECUTION_REASON_"

// RecordNonExecution implements OversightService.
func (s *Service) RecordNonExecution(ctx context.Context, req *griffierv1.RecordNonExecutionRequest) (*griffierv1.NonExecution, error) {
	decline := oversight.NonExecutionRequest{ID: warrantrpc.RandomID(), WarrantID: req.GetWarrantId(), TaskID: req.GetTaskId(),
		Why: oversight.Why(word(req.GetReason().String(), whyPrefix)), Explanation: req.GetExplanation()}
	e, err := s.act(ctx, "RecordNonExecution", req.GetRequestId(), req.GetWarrantId(), req.GetTaskId(),
		[]string{oversight.KindWarrantNotExecuted, oversight.KindTaskNotExecuted}, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
			return s.cfg.State.NotExecuted(s.cfg.Warrants, s.cfg.Rules, now, by, decline)
		})
	if err != nil {
		return nil, err
	}
	for _, d := range s.cfg.State.NonExecutions(req.GetWarrantId()) {
		if d.Index == e.Index {
			if d.Why != decline.Why {
				return nil, warrantrpc.ErrReused()
			}
			if d, err = s.cfg.Kept.Keep(ctx, d); err != nil {
				return nil, err
			}
			return s.nonExecution(d), nil
		}
	}
	return nil, reason.New(reason.UnknownOutcome, "")
}

// ListNonExecutions implements OversightService.
func (s *Service) ListNonExecutions(ctx context.Context, req *griffierv1.ListNonExecutionsRequest) (*griffierv1.ListNonExecutionsResponse, error) {
	seen, err := warrantrpc.Seen(ctx, s.cfg.Warrants)
	if err != nil {
		return nil, err
	}
	res := &griffierv1.ListNonExecutionsResponse{}
	for _, d := range s.cfg.State.NonExecutions(req.GetWarrantId()) {
		if !seen(d.WarrantID) {
			continue
		}
		res.NonExecutions = append(res.NonExecutions, s.nonExecution(d))
	}
	return res, nil
}

func (s *Service) nonExecution(d oversight.NonExecution) *griffierv1.NonExecution {
	m := &griffierv1.NonExecution{NonExecutionId: d.ID, WarrantId: d.WarrantID, TaskId: d.TaskID, RecordedBy: d.By, RecordedAt: stamp(d.At),
		Reason:       enum[griffierv1.NonExecutionReason](griffierv1.NonExecutionReason_value, whyPrefix, string(d.Why)),
		Preservation: griffierv1.Preservation_PRESERVATION_NO_BASIS, PreservationGround: string(d.Preserve), PreservedAt: stamp(d.KeptAt)}
	for _, k := range d.Kept {
		m.Questions = append(m.Questions, &griffierv1.PreservedQuestion{TaskId: k.TaskID, Target: k.Target, Answer: string(k.Answer), HoldId: k.HoldID})
	}
	now := s.cfg.Now()
	w, _ := s.cfg.Warrants.Warrant(d.WarrantID)
	switch {
	case d.Preserve == oversight.PreserveByLaw && d.KeptAt.IsZero():
		m.Preservation = griffierv1.Preservation_PRESERVATION_PENDING
	case d.Preserve == oversight.PreserveByLaw:
		m.Preservation = griffierv1.Preservation_PRESERVATION_NOTHING_FOUND
	}
	if slices.Contains(w.Categories, warrant.Preservation) && !w.State(now).Terminal() {
		m.Preservation = griffierv1.Preservation_PRESERVATION_POSSIBLE
	}
	for _, h := range s.cfg.Holds.Holds() {
		if h.WarrantID == d.WarrantID && h.Status(now) == hold.Live {
			m.Preservation = griffierv1.Preservation_PRESERVATION_HELD
			m.HoldIds = append(m.HoldIds, h.ID)
		}
	}
	return m
}

// RecordCost implements OversightService.
func (s *Service) RecordCost(ctx context.Context, req *griffierv1.RecordCostRequest) (*griffierv1.Cost, error) {
	cost := oversight.CostRequest{ID: warrantrpc.RandomID(), WarrantID: req.GetWarrantId(), Minutes: req.GetMinutes(), Tariff: req.GetTariff()}
	e, err := s.act(ctx, "RecordCost", req.GetRequestId(), req.GetWarrantId(), "", []string{oversight.KindCost}, func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.cfg.State.Spend(s.cfg.Warrants, by, cost)
	})
	if err != nil {
		return nil, err
	}
	for _, c := range s.cfg.State.Costs(e.Header.At, e.Header.At.Add(time.Nanosecond)) {
		if c.Index == e.Index {
			if c.Minutes != cost.Minutes || c.Tariff != cost.Tariff {
				return nil, warrantrpc.ErrReused()
			}
			return s.cost(ctx, c, true)
		}
	}
	return nil, reason.New(reason.UnknownOutcome, "")
}

// ListCosts implements OversightService.
func (s *Service) ListCosts(ctx context.Context, req *griffierv1.ListCostsRequest) (*griffierv1.ListCostsResponse, error) {
	c, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	if req.GetStart().CheckValid() != nil || req.GetEnd().CheckValid() != nil || !req.GetStart().AsTime().Before(req.GetEnd().AsTime()) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "end", Description: "must be after start, and both are required"})
	}
	seen, err := warrantrpc.Seen(ctx, s.cfg.Warrants)
	if err != nil {
		return nil, err
	}
	res := &griffierv1.ListCostsResponse{}
	for _, cost := range s.cfg.State.Costs(req.GetStart().AsTime(), req.GetEnd().AsTime()) {
		if !seen(cost.WarrantID) {
			continue
		}
		m, err := s.cost(ctx, cost, c.Has(griffierv1.Role_ROLE_LEGAL_OFFICER))
		if err != nil {
			return nil, err
		}
		res.Costs = append(res.Costs, m)
	}
	return res, nil
}

func (s *Service) cost(ctx context.Context, c oversight.Cost, withReference bool) (*griffierv1.Cost, error) {
	w, _ := s.cfg.Warrants.Warrant(c.WarrantID)
	m := &griffierv1.Cost{CostId: c.ID, WarrantId: c.WarrantID, Minutes: c.Minutes, Tariff: c.Tariff, RecordedBy: c.By, RecordedAt: stamp(c.At), Authority: w.Authority}
	if !withReference {
		return m, nil
	}
	content, err := warrantrpc.Content(ctx, s.cfg.Book, w)
	switch {
	case reason.Of(err) == reason.NotFound: // the dossier is destroyed
	case err != nil:
		return nil, err
	default:
		m.Reference = content.Reference
	}
	return m, nil
}

// Prefixes of the values of an error report.
const (
	kindPrefix     = "ERROR_KIND_"
	severityPrefix = "ERROR_SEVERITY_"
	causePrefix    = "ERROR_CAUSE_"
)

// reporters are who may report an error, in the order in which somebody who has
// several roles does.
var reporters = []griffierv1.Role{griffierv1.Role_ROLE_LEGAL_OFFICER, griffierv1.Role_ROLE_LEGAL_APPROVER,
	griffierv1.Role_ROLE_PRIVACY_CONTROLLER, griffierv1.Role_ROLE_OVERSEER}

// ReportError implements OversightService.
func (s *Service) ReportError(ctx context.Context, req *griffierv1.ReportErrorRequest) (*griffierv1.ErrorReport, error) {
	c, err := caller(ctx)
	if err != nil {
		return nil, err
	}
	fault := oversight.FaultRequest{ID: warrantrpc.RandomID(), Kind: oversight.FaultKind(word(req.GetKind().String(), kindPrefix)),
		Severity: oversight.Severity(word(req.GetSeverity().String(), severityPrefix)), Cause: oversight.Cause(word(req.GetCause().String(), causePrefix)),
		WarrantID: req.GetWarrantId(), TaskID: req.GetTaskId(), RecallIndex: req.GetRecallIndex(),
		FaultBody: oversight.FaultBody{What: req.GetWhat(), Consequences: req.GetConsequences(), Measures: req.GetMeasures()}}
	if fault.WarrantID != "" {
		if _, err := warrantrpc.Sees(ctx, s.cfg.Warrants, s.cfg.Rules, s.cfg.Now(), fault.WarrantID); err != nil {
			return nil, err
		}
	}
	if err := s.recalled(ctx, fault); err != nil {
		return nil, err
	}
	key, err := s.classKey()
	if err != nil {
		return nil, err
	}
	role := auth.RoleName(roleOf(c, reporters...))
	e, err := s.act(ctx, "ReportError", req.GetRequestId(), req.GetWarrantId(), req.GetTaskId(), []string{oversight.KindFault},
		func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
			return s.cfg.State.Report(s.cfg.Warrants, by.Actor, role, key, fault)
		})
	if err != nil {
		return nil, err
	}
	for _, f := range s.cfg.State.Faults(e.Header.At, e.Header.At.Add(time.Nanosecond)) {
		if f.Index == e.Index {
			if f.Kind != fault.Kind || f.Severity != fault.Severity || f.Cause != fault.Cause || f.RecallIndex != fault.RecallIndex {
				return nil, warrantrpc.ErrReused()
			}
			return s.fault(ctx, f)
		}
	}
	return nil, reason.New(reason.UnknownOutcome, "")
}

// recalled refuses a recall that is not one of the task's package.
func (s *Service) recalled(ctx context.Context, f oversight.FaultRequest) error {
	if f.RecallIndex == 0 {
		return nil
	}
	entries, err := s.cfg.Book.Read(ctx, f.RecallIndex, 1)
	if err != nil {
		return warrantrpc.LedgerError(err)
	}
	if len(entries) != 1 || entries[0].Header.Kind != warrant.KindRecall || entries[0].Header.TaskID != f.TaskID {
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "recall_index", Description: "is not the entry of a recall of this task's package"})
	}
	return nil
}

// ListErrors implements OversightService.
func (s *Service) ListErrors(ctx context.Context, req *griffierv1.ListErrorsRequest) (*griffierv1.ListErrorsResponse, error) {
	start, end, err := s.year(req.GetYear())
	if err != nil {
		return nil, err
	}
	res := &griffierv1.ListErrorsResponse{}
	type key struct {
		kind     oversight.FaultKind
		severity oversight.Severity
		cause    oversight.Cause
	}
	sums := map[key]*griffierv1.ErrorSummary{}
	for _, f := range s.cfg.State.Faults(start, end) {
		m, err := s.fault(ctx, f)
		if err != nil {
			return nil, err
		}
		res.Errors = append(res.Errors, m)
		k := key{f.Kind, f.Severity, f.Cause}
		if sums[k] == nil {
			sums[k] = &griffierv1.ErrorSummary{Kind: m.Kind, Severity: m.Severity, Cause: m.Cause}
			res.Summary = append(res.Summary, sums[k])
		}
		sums[k].Count++
		if f.RecallIndex != 0 {
			sums[k].Recalled++
		}
	}
	slices.SortFunc(res.Summary, func(a, b *griffierv1.ErrorSummary) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Cause, b.Cause))
	})
	return res, nil
}

func (s *Service) fault(ctx context.Context, f oversight.Fault) (*griffierv1.ErrorReport, error) {
	m := &griffierv1.ErrorReport{ErrorId: f.ID, WarrantId: f.WarrantID, TaskId: f.TaskID, RecallIndex: f.RecallIndex, ReportedBy: f.By, Role: f.Role, ReportedAt: stamp(f.At),
		Kind:     enum[griffierv1.ErrorKind](griffierv1.ErrorKind_value, kindPrefix, string(f.Kind)),
		Severity: enum[griffierv1.ErrorSeverity](griffierv1.ErrorSeverity_value, severityPrefix, string(f.Severity)),
		Cause:    enum[griffierv1.ErrorCause](griffierv1.ErrorCause_value, causePrefix, string(f.Cause))}
	var b oversight.FaultBody
	if _, err := s.body(ctx, f.Index, &b); err != nil {
		return nil, err
	}
	m.What, m.Consequences, m.Measures = b.What, b.Consequences, b.Measures
	return m, nil
}
