package execute

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// chunkBytes is how much of a package goes into one message.
const chunkBytes = 64 << 10

// Service implements DisclosureService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedDisclosureServiceServer
	x *Executor
}

// NewService returns the service of an executor.
func NewService(x *Executor) *Service { return &Service{x: x} }

// CreateTask implements DisclosureService.
func (s *Service) CreateTask(ctx context.Context, req *griffierv1.CreateTaskRequest) (*griffierv1.Task, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return nil, err
	}
	requestID, err := warrantrpc.RequestID(by, "CreateTask", req.GetRequestId())
	if err != nil {
		return nil, err
	}
	c := s.x.cfg
	w, ok := c.State.Warrant(req.GetWarrantId())
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	if c.MayAsk != nil {
		if err := c.MayAsk(ctx, by); err != nil {
			return nil, err
		}
	}
	content, err := warrantrpc.Content(ctx, c.Book, w)
	if err != nil {
		return nil, err
	}
	task := warrant.TaskRequest{
		ID: warrantrpc.RandomID(), WarrantID: w.ID, Generation: req.GetExpectedGeneration(), Category: warrantrpc.Category(req.GetCategory()),
		Target: req.GetTarget(), Instant: req.GetInstant(), UncertaintySeconds: req.GetUncertaintySeconds(),
		Port: req.GetPort(), Protocol: uint32(req.GetProtocol()),
		WindowEnd: req.GetWindowEnd(), HoldDays: req.GetHoldDays(), FromHold: req.GetFromHold(),
		MaxSubjects: req.GetMaxSubjects(), MaxRecords: req.GetMaxRecords(),
	}
	judge := func(now time.Time) (ledger.Draft, *reason.Error) {
		return c.Rules.CreateTask(c.State, now, by, task, content)
	}
	if req.GetValidateOnly() {
		return s.previewCreate(ctx, by, judge)
	}
	e, err := warrantrpc.Decide(ctx, c.Book, requestID, judge)
	if err != nil {
		return nil, err
	}
	made, _, ok := c.State.Task(e.Header.TaskID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	question, err := warrantrpc.Question(ctx, c.Book, made)
	if err != nil {
		return nil, err
	}
	if asked, refusal := task.Body(); refusal != nil || asked != question || made.Category != task.Category || made.WarrantID != task.WarrantID {
		return nil, warrantrpc.ErrReused()
	}
	return s.task(ctx, e.Header.TaskID)
}

// ExecuteTask implements DisclosureService.
func (s *Service) ExecuteTask(ctx context.Context, req *griffierv1.ExecuteTaskRequest) (*griffierv1.Task, error) {
	by, err := warrantrpc.Caller(ctx)
	if err != nil {
		return nil, err
	}
	if !by.Has(warrant.LegalOfficer) {
		return nil, reason.New(reason.PermissionDenied, "")
	}
	if req.GetValidateOnly() {
		return s.previewExecute(ctx, by, req.GetTaskId(), req.GetExpectedGeneration())
	}
	if err := s.x.Execute(ctx, by, req.GetTaskId(), req.GetExpectedGeneration()); err != nil {
		return nil, err
	}
	return s.task(ctx, req.GetTaskId())
}

// GetTask implements DisclosureService. A task of a warrant that the caller may not
// see does not exist.
func (s *Service) GetTask(ctx context.Context, req *griffierv1.GetTaskRequest) (*griffierv1.Task, error) {
	t, _, ok := s.x.cfg.State.Task(req.GetTaskId())
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	if _, err := warrantrpc.Sees(ctx, s.x.cfg.State, s.x.cfg.Rules, s.x.cfg.Now(), t.WarrantID); err != nil {
		return nil, err
	}
	return s.task(ctx, t.ID)
}

// FetchPackage implements DisclosureService.
func (s *Service) FetchPackage(req *griffierv1.FetchPackageRequest, stream grpc.ServerStreamingServer[griffierv1.FetchPackageResponse]) error {
	by, err := warrantrpc.Caller(stream.Context())
	if err != nil {
		return err
	}
	sealed, receipt, err := s.x.Fetch(stream.Context(), by, req.GetTaskId())
	if err != nil {
		return err
	}
	for len(sealed) > chunkBytes {
		if err := stream.Send(&griffierv1.FetchPackageResponse{Chunk: sealed[:chunkBytes]}); err != nil {
			return err
		}
		sealed = sealed[chunkBytes:]
	}
	return stream.Send(&griffierv1.FetchPackageResponse{Chunk: sealed, Receipt: receipt})
}

// Fetch enters that the package is handed over, and returns it with its receipt.
func (x *Executor) Fetch(ctx context.Context, by warrant.Caller, taskID string) (sealed, receipt []byte, err error) {
	if err := x.trustClock(); err != nil {
		return nil, nil, err
	}
	_, err = warrantrpc.Decide(ctx, x.cfg.Book, ledger.RequestID(by.Actor, "FetchPackage", warrantrpc.RandomID()), func(now time.Time) (ledger.Draft, *reason.Error) {
		return x.cfg.Rules.Fetch(x.cfg.State, now, by, taskID)
	})
	if err != nil {
		return nil, nil, err
	}
	t, _, _ := x.cfg.State.Task(taskID)
	if sealed, err = x.shelf.sealed(taskID, t.PackageSHA256); err == nil {
		receipt, err = x.shelf.receipt(taskID)
	}
	if err != nil {
		return nil, nil, &reason.Error{Reason: reason.NotFound, Detail: "The package is no longer kept.", Cause: err}
	}
	return sealed, receipt, nil
}

func (s *Service) task(ctx context.Context, taskID string) (*griffierv1.Task, error) {
	t, w, ok := s.x.cfg.State.Task(taskID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	question, err := warrantrpc.Question(ctx, s.x.cfg.Book, t)
	if err != nil {
		return nil, err
	}
	withheld := warrantrpc.Withheld(ctx, s.x.cfg.Rules, w, t, s.x.cfg.Now())
	if withheld {
		question = warrant.TaskBody{}
	}
	m := s.message(t, w, question)
	m.Withheld = withheld
	if t.Answer == reason.Preserved && !t.ReleasedAt.IsZero() && s.x.cfg.Holds != nil {
		if made, ok := s.x.cfg.Holds.State().OfTask(t.ID); ok {
			m.HoldId = made.ID
		}
	}
	return m, nil
}
