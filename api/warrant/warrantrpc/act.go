package warrantrpc

import (
	"context"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// rule judges one act.
type rule func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error)

// actRequest is what requests for an act on a warrant have in common.
type actRequest interface {
	GetRequestId() string
	GetWarrantId() string
	GetExpectedGeneration() uint64
	GetValidateOnly() bool
}

// stops are the kinds of act after which nothing may run under the warrant as it
// was: what runs is cut off.
var stops = map[string]bool{warrant.KindReject: true, warrant.KindRevoke: true, warrant.KindCancel: true, warrant.KindSuspend: true,
	warrant.KindEdit: true, warrant.KindExtend: true}

// do decides one act on a warrant and returns the warrant after it, or, when it is
// only to be validated, tells what the act would do.
func (s *Service) do(ctx context.Context, method, kind string, req actRequest, judge rule) (*griffierv1.Warrant, error) {
	if req.GetValidateOnly() {
		if _, err := Sees(ctx, s.state, s.rules, s.now(), req.GetWarrantId()); err != nil {
			return nil, err
		}
		return s.preview(ctx, judge)
	}
	return s.act(ctx, method, kind, req.GetRequestId(), req.GetWarrantId(), judge)
}

// act decides one act on a warrant and returns the warrant after it.
func (s *Service) act(ctx context.Context, method, kind, clientID, warrantID string, judge rule) (*griffierv1.Warrant, error) {
	_, w, err := s.decide(ctx, method, kind, clientID, warrantID, judge)
	if err != nil {
		return nil, err
	}
	return s.message(ctx, w, s.now(), true)
}

// decide decides one act on a warrant, stops what may not go on, and returns the
// entry and the warrant after it.
func (s *Service) decide(ctx context.Context, method, kind, clientID, warrantID string, judge rule) (ledger.Entry, warrant.Warrant, error) {
	by, err := Sees(ctx, s.state, s.rules, s.now(), warrantID)
	if err != nil {
		return ledger.Entry{}, warrant.Warrant{}, err
	}
	requestID, err := RequestID(by, method, clientID)
	if err != nil {
		return ledger.Entry{}, warrant.Warrant{}, err
	}
	e, err := Decide(ctx, s.book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) { return judge(now, by) })
	if err != nil {
		return ledger.Entry{}, warrant.Warrant{}, err
	}
	if e.Header.WarrantID != warrantID || e.Header.Kind != kind {
		return ledger.Entry{}, warrant.Warrant{}, ErrReused()
	}
	w, ok := s.state.Warrant(warrantID)
	if !ok {
		return ledger.Entry{}, warrant.Warrant{}, reason.New(reason.NotFound, "")
	}
	if stops[kind] || kind == warrant.KindVerify && !w.Verified { // the authority denied it
		s.ended(warrantID)
	}
	return e, w, nil
}

// preview tells what an act would do, after it entered that it was asked. The
// content is not part of the answer: who wants to read it asks for that.
func (s *Service) preview(ctx context.Context, judge rule) (*griffierv1.Warrant, error) {
	by, err := Caller(ctx)
	if err != nil {
		return nil, err
	}
	now := s.now()
	d, refusal := judge(now, by)
	if refusal != nil {
		return nil, refusal
	}
	p, err := s.rules.Preview(s.state, now, d)
	if err != nil {
		return nil, err
	}
	trace := warrant.Previewed(by, d)
	if _, known := s.state.Warrant(d.WarrantID); !known {
		trace.WarrantID = "" // that of a warrant which is not made
	}
	if _, err := s.book.Append(ctx, trace); err != nil {
		return nil, LedgerError(err)
	}
	m := s.header(p.Warrant, now)
	for _, t := range p.Tasks {
		m.Tasks = append(m.Tasks, TaskMessage(t, p.Warrant, warrant.TaskBody{}, now))
	}
	m.Effects = p.Effects
	return m, nil
}

// ApproveWarrant implements WarrantService.
func (s *Service) ApproveWarrant(ctx context.Context, req *griffierv1.ApproveWarrantRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "ApproveWarrant", warrant.KindApprove, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.rules.Approve(s.state, now, by, warrant.ApproveRequest{WarrantID: req.GetWarrantId(),
			Generation: req.GetExpectedGeneration(), ContentSHA256: req.GetContentSha256()})
	})
}

// RejectWarrant implements WarrantService.
func (s *Service) RejectWarrant(ctx context.Context, req *griffierv1.RejectWarrantRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "RejectWarrant", warrant.KindReject, req, s.end(s.rules.Reject, req, req.GetExplanation(), ""))
}

// RevokeWarrant implements WarrantService.
func (s *Service) RevokeWarrant(ctx context.Context, req *griffierv1.RevokeWarrantRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "RevokeWarrant", warrant.KindRevoke, req, s.end(s.rules.Revoke, req, req.GetExplanation(), ""))
}

// CancelWarrant implements WarrantService.
func (s *Service) CancelWarrant(ctx context.Context, req *griffierv1.CancelWarrantRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "CancelWarrant", warrant.KindCancel, req, s.end(s.rules.Cancel, req, req.GetExplanation(), req.GetDocumentSha256()))
}

// ender is one of the rules that end a warrant.
type ender func(*warrant.State, time.Time, warrant.Caller, warrant.EndRequest) (ledger.Draft, *reason.Error)

func (s *Service) end(end ender, req actRequest, explanation, document string) rule {
	return func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return end(s.state, now, by, warrant.EndRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(),
			Explanation: explanation, DocumentSHA256: document})
	}
}

// SuspendWarrant implements WarrantService.
func (s *Service) SuspendWarrant(ctx context.Context, req *griffierv1.SuspendWarrantRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "SuspendWarrant", warrant.KindSuspend, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.rules.Suspend(s.state, now, by, warrant.SuspendRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(), Explanation: req.GetExplanation()})
	})
}

// ResumeWarrant implements WarrantService.
func (s *Service) ResumeWarrant(ctx context.Context, req *griffierv1.ResumeWarrantRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "ResumeWarrant", warrant.KindResume, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.rules.Resume(s.state, now, by, warrant.ResumeRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(),
			ContentSHA256: req.GetContentSha256(), Explanation: req.GetExplanation()})
	})
}

// RecordPaper implements WarrantService.
func (s *Service) RecordPaper(ctx context.Context, req *griffierv1.RecordPaperRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "RecordPaper", warrant.KindPaper, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.rules.Paper(s.state, now, by, warrant.PaperRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(),
			DocumentSHA256: req.GetDocumentSha256(), Note: req.GetNote()})
	})
}

// ClearNotice implements WarrantService.
func (s *Service) ClearNotice(ctx context.Context, req *griffierv1.ClearNoticeRequest) (*griffierv1.Warrant, error) {
	return s.do(ctx, "ClearNotice", warrant.KindClearNotice, req, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.rules.ClearNotice(s.state, now, by, warrant.ClearNoticeRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(),
			ContentSHA256: req.GetContentSha256(), DocumentSHA256: req.GetDocumentSha256(), Note: req.GetNote()})
	})
}
