package execute

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// PackageService implements griffierv1.PackageService. It is safe for concurrent use.
type PackageService struct {
	griffierv1.UnimplementedPackageServiceServer
	x *Executor
}

// NewPackageService returns the service of an executor's packages.
func NewPackageService(x *Executor) *PackageService { return &PackageService{x: x} }

// GetPackage implements PackageService.
func (s *PackageService) GetPackage(_ context.Context, req *griffierv1.GetPackageRequest) (*griffierv1.Package, error) {
	return s.x.delivery(req.GetTaskId())
}

// GrantDownload implements PackageService.
func (s *PackageService) GrantDownload(ctx context.Context, req *griffierv1.GrantDownloadRequest) (*griffierv1.Package, error) {
	roles := map[griffierv1.Role]warrant.Role{
		griffierv1.Role_ROLE_LEGAL_OFFICER: warrant.LegalOfficer, griffierv1.Role_ROLE_LEGAL_APPROVER: warrant.LegalApprover}
	return s.act(ctx, "GrantDownload", warrant.KindGrant, req.GetRequestId(), req.GetTaskId(), func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.x.cfg.Rules.Grant(s.x.cfg.State, now, by, req.GetTaskId(), roles[req.GetRole()])
	})
}

// AcknowledgePackage implements PackageService.
func (s *PackageService) AcknowledgePackage(ctx context.Context, req *griffierv1.AcknowledgePackageRequest) (*griffierv1.Package, error) {
	return s.act(ctx, "AcknowledgePackage", warrant.KindAcknowledge, req.GetRequestId(), req.GetTaskId(), func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.x.cfg.Rules.Acknowledge(s.x.cfg.State, by, req.GetTaskId(), req.GetReference())
	})
}

// RecallPackage implements PackageService. It cannot be fetched from the entry on;
// that its destruction takes another try is no error of the act.
func (s *PackageService) RecallPackage(ctx context.Context, req *griffierv1.RecallPackageRequest) (*griffierv1.Package, error) {
	m, err := s.act(ctx, "RecallPackage", warrant.KindRecall, req.GetRequestId(), req.GetTaskId(), func(_ time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.x.cfg.Rules.Recall(s.x.cfg.State, by, warrant.RecallRequest{TaskID: req.GetTaskId(), Explanation: req.GetExplanation(), ToldHow: req.GetToldHow()})
	})
	if err != nil {
		return nil, err
	}
	s.x.cfg.Log.LogAttrs(ctx, slog.LevelWarn, "an answer was recalled: the data protection officer must look into it", slog.String("task", m.TaskId))
	if err := s.x.sweep(ctx); err != nil {
		s.x.cfg.Log.LogAttrs(ctx, slog.LevelError, "packages of ended warrants remain", slog.String("reason", string(reason.Of(err))))
	}
	return s.x.delivery(req.GetTaskId())
}

// CorrectPackage implements PackageService.
func (s *PackageService) CorrectPackage(ctx context.Context, req *griffierv1.CorrectPackageRequest) (*griffierv1.Package, error) {
	return s.act(ctx, "CorrectPackage", warrant.KindCorrect, req.GetRequestId(), req.GetTaskId(), func(now time.Time, by warrant.Caller) (ledger.Draft, *reason.Error) {
		return s.x.cfg.Rules.Correct(s.x.cfg.State, now, by, req.GetTaskId(), req.GetCorrectsTaskId())
	})
}

// act decides one act on a package and returns it after that.
func (s *PackageService) act(ctx context.Context, method, kind, clientID, taskID string,
	rule func(time.Time, warrant.Caller) (ledger.Draft, *reason.Error)) (*griffierv1.Package, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return nil, err
	}
	requestID, err := warrantrpc.RequestID(by, method, clientID)
	if err != nil {
		return nil, err
	}
	if err := s.x.trustClock(); err != nil {
		return nil, err
	}
	e, err := warrantrpc.Decide(ctx, s.x.cfg.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) { return rule(now, by) })
	if err != nil {
		return nil, err
	}
	if e.Header.TaskID != taskID || e.Header.Kind != kind {
		return nil, warrantrpc.ErrReused()
	}
	return s.x.delivery(taskID)
}

// delivery returns what became of a task's package.
func (x *Executor) delivery(taskID string) (*griffierv1.Package, error) {
	t, w, ok := x.cfg.State.Task(taskID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	d := t.Delivery
	m := &griffierv1.Package{TaskId: t.ID, WarrantId: w.ID, Downloads: t.Fetched, Destroyed: t.Destroyed, CorrectedBy: d.CorrectedBy, Corrects: d.Corrects,
		AcknowledgedAt: stampOf(d.AcknowledgedAt), RecalledAt: stampOf(d.RecalledAt), ReleasedAt: stampOf(t.ReleasedAt)}
	if t.ReleasedAt.IsZero() {
		return m, nil // what is sealed and not released is nobody's yet
	}
	m.Answer, m.PackageSha256, m.PackageBytes = string(t.Answer), t.PackageSHA256, t.PackageBytes
	if until, ok := x.cfg.Rules.DownloadUntil(t, x.cfg.Now()); ok {
		m.DownloadUntil, m.DownloadRole = stampOf(until), string(d.GrantedTo)
	}
	if at, ok := x.cfg.Rules.DestroyAfter(t); ok && !t.Destroyed {
		m.DestroyAt = stampOf(at)
	}
	return m, nil
}

// stampOf returns nil for an instant that is not known.
func stampOf(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}
