package warrantrpc

import (
	"context"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// EditWarrant implements WarrantService.
func (s *Service) EditWarrant(ctx context.Context, req *griffierv1.EditWarrantRequest) (*griffierv1.Warrant, error) {
	content := contentOf(req.GetContent())
	return s.change(ctx, "EditWarrant", warrant.KindEdit, req, func(before warrant.Content, open []warrant.OpenTask) (warrant.Content, rule) {
		edit := warrant.EditRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(), Salt: RandomID(), Content: content, Before: before, Open: open}
		return content, func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
			return s.rules.Edit(s.state, now, by, edit)
		}
	})
}

// ExtendWarrant implements WarrantService.
func (s *Service) ExtendWarrant(ctx context.Context, req *griffierv1.ExtendWarrantRequest) (*griffierv1.Warrant, error) {
	return s.change(ctx, "ExtendWarrant", warrant.KindExtend, req, func(before warrant.Content, open []warrant.OpenTask) (warrant.Content, rule) {
		extend := warrant.ExtendRequest{WarrantID: req.GetWarrantId(), Generation: req.GetExpectedGeneration(), Salt: RandomID(),
			ValidUntil: req.GetValidUntil(), DocumentSHA256: req.GetDocumentSha256(), Before: before, Open: open}
		return extend.Content(), func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
			return s.rules.Extend(s.state, now, by, extend)
		}
	})
}

// change gives a warrant the content that made says, from the one that it has and
// its open tasks. A retry of a request finds the entry of the first try, if that
// left the same content.
func (s *Service) change(ctx context.Context, method, kind string, req actRequest,
	made func(before warrant.Content, open []warrant.OpenTask) (warrant.Content, rule)) (*griffierv1.Warrant, error) {
	by, err := Caller(ctx)
	if err != nil {
		return nil, err
	}
	if !by.Has(warrant.LegalOfficer) {
		return nil, reason.New(reason.PermissionDenied, "")
	}
	w, ok := s.state.Warrant(req.GetWarrantId())
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	before, err := Content(ctx, s.book, w)
	if err != nil {
		return nil, err
	}
	var open []warrant.OpenTask
	for _, id := range w.Tasks {
		t, _, _ := s.state.Task(id)
		if !t.Asks(&w) {
			continue
		}
		question, err := Question(ctx, s.book, t)
		if err != nil {
			return nil, err
		}
		open = append(open, warrant.OpenTask{Task: t, Question: question})
	}
	content, judge := made(before, open)
	if req.GetValidateOnly() {
		return s.preview(ctx, judge)
	}
	e, w, err := s.decide(ctx, method, kind, req.GetRequestId(), req.GetWarrantId(), judge)
	if err != nil {
		return nil, err
	}
	if method == "EditWarrant" {
		entered, err := contentAt(ctx, s.book, e.Index)
		if err != nil {
			return nil, err
		}
		if string(entered.Content.Canonical()) != string(content.Canonical()) {
			return nil, ErrReused()
		}
		if s.edited != nil {
			if err := s.edited(ctx, by, req.GetRequestId(), w.ID, content); err != nil {
				return nil, err
			}
		}
	}
	return s.message(ctx, w, s.now(), true)
}
