package warrantrpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

var categories = map[griffierv1.Category]warrant.Category{
	griffierv1.Category_CATEGORY_IDENTITY:     warrant.Identity,
	griffierv1.Category_CATEGORY_ATTRIBUTION:  warrant.Attribution,
	griffierv1.Category_CATEGORY_HISTORY:      warrant.History,
	griffierv1.Category_CATEGORY_TIME:         warrant.TimeCategory,
	griffierv1.Category_CATEGORY_VOLUME:       warrant.Volume,
	griffierv1.Category_CATEGORY_PRESERVATION: warrant.Preservation,
}

// Category returns the category of a message; an unknown one is the empty
// category, which every rule refuses.
func Category(c griffierv1.Category) warrant.Category { return categories[c] }

func categoryMessage(c warrant.Category) griffierv1.Category {
	for message, category := range categories {
		if category == c {
			return message
		}
	}
	return griffierv1.Category_CATEGORY_UNSPECIFIED
}

var warrantStates = map[warrant.WarrantState]griffierv1.WarrantState{
	warrant.AwaitingApproval: griffierv1.WarrantState_WARRANT_STATE_AWAITING_APPROVAL,
	warrant.Approved:         griffierv1.WarrantState_WARRANT_STATE_APPROVED,
	warrant.Rejected:         griffierv1.WarrantState_WARRANT_STATE_REJECTED,
	warrant.Revoked:          griffierv1.WarrantState_WARRANT_STATE_REVOKED,
	warrant.Expired:          griffierv1.WarrantState_WARRANT_STATE_EXPIRED,
}

var taskStates = map[warrant.TaskState]griffierv1.TaskState{
	warrant.TaskAwaiting:     griffierv1.TaskState_TASK_STATE_AWAITING_DISCLOSURE,
	warrant.TaskExecuting:    griffierv1.TaskState_TASK_STATE_EXECUTING,
	warrant.TaskSealed:       griffierv1.TaskState_TASK_STATE_EXECUTING,
	warrant.TaskDisclosed:    griffierv1.TaskState_TASK_STATE_DISCLOSED,
	warrant.TaskNotAvailable: griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE,
	warrant.TaskCancelled:    griffierv1.TaskState_TASK_STATE_CANCELLED,
	warrant.TaskError:        griffierv1.TaskState_TASK_STATE_ERROR,
	warrant.TaskPreserved:    griffierv1.TaskState_TASK_STATE_PRESERVED,
}

func contentOf(m *griffierv1.WarrantContent) warrant.Content {
	c := warrant.Content{
		LegalBasis: m.GetLegalBasis(), Authority: m.GetAuthority(), Reference: m.GetReference(), RequestedBy: m.GetRequestedBy(),
		IssuedAt: m.GetIssuedAt(), ValidFrom: m.GetValidFrom(), ValidUntil: m.GetValidUntil(), DocumentSHA256: m.GetDocumentSha256(),
		Targets: m.GetTargets(), WindowStart: m.GetWindowStart(), WindowEnd: m.GetWindowEnd(), Recipient: m.GetRecipient(),
		ExaminingMagistrateAuthorisation: m.GetExaminingMagistrateAuthorisation(), ExaminingMagistrateDate: m.GetExaminingMagistrateDate(),
	}
	for _, category := range m.GetExaminingMagistrateScope() {
		c.ExaminingMagistrateScope = append(c.ExaminingMagistrateScope, Category(category))
	}
	for _, category := range m.GetCategories() {
		c.Categories = append(c.Categories, Category(category))
	}
	return c
}

func contentMessage(c warrant.Content, withTargets bool) *griffierv1.WarrantContent {
	m := &griffierv1.WarrantContent{
		LegalBasis: c.LegalBasis, Authority: c.Authority, Reference: c.Reference, RequestedBy: c.RequestedBy,
		IssuedAt: c.IssuedAt, ValidFrom: c.ValidFrom, ValidUntil: c.ValidUntil, DocumentSha256: c.DocumentSHA256,
		WindowStart: c.WindowStart, WindowEnd: c.WindowEnd, Recipient: c.Recipient,
		ExaminingMagistrateAuthorisation: c.ExaminingMagistrateAuthorisation, ExaminingMagistrateDate: c.ExaminingMagistrateDate,
	}
	for _, category := range c.ExaminingMagistrateScope {
		m.ExaminingMagistrateScope = append(m.ExaminingMagistrateScope, categoryMessage(category))
	}
	for _, category := range c.Categories {
		m.Categories = append(m.Categories, categoryMessage(category))
	}
	if withTargets {
		m.Targets = c.Targets
	}
	return m
}

// message returns a warrant as it is at now. Without targets, those of its
// tasks are left out too. A warrant whose case key was destroyed has no content.
func (s *Service) message(ctx context.Context, w warrant.Warrant, now time.Time, withTargets bool) (*griffierv1.Warrant, error) {
	m := &griffierv1.Warrant{
		WarrantId: w.ID, Generation: w.Generation, State: warrantStates[w.State(now)], ContentSha256: w.ContentSHA256,
		CreatedAt: timestamppb.New(w.CreatedAt), EffectiveUntil: timestamppb.New(w.EffectiveUntil(s.rules.ApprovalAge)),
	}
	m.Profile, m.ProfileSha256 = w.Profile, w.ProfileSHA256
	if w.Verified {
		m.CallBack = &griffierv1.CallBack{VerifiedBy: w.VerifiedBy, VerifiedAt: timestamppb.New(w.VerifiedAt), LedgerIndex: w.VerifiedIndex}
	}
	for _, a := range w.Approvals {
		m.Approvals = append(m.Approvals, &griffierv1.Approval{Role: string(a.Role), Approver: a.Actor, Generation: a.Generation,
			ContentSha256: a.ContentSHA256, ApprovedAt: timestamppb.New(a.At), LedgerIndex: a.Index})
	}
	content, err := Content(ctx, s.book, w)
	switch {
	case reason.Of(err) == reason.NotFound:
		withTargets = false
	case err != nil:
		return nil, err
	default:
		m.Content = contentMessage(content, withTargets)
	}
	for _, id := range w.Tasks {
		t, _, ok := s.state.Task(id)
		if !ok {
			continue
		}
		var question warrant.TaskBody
		if withTargets {
			if question, err = Question(ctx, s.book, t); err != nil {
				return nil, err
			}
		}
		m.Tasks = append(m.Tasks, TaskMessage(t, w, question, now))
	}
	return m, nil
}

// TaskMessage returns a task as it is at now. An answer is told once it is
// released, and not before.
func TaskMessage(t warrant.Task, w warrant.Warrant, q warrant.TaskBody, now time.Time) *griffierv1.Task {
	m := &griffierv1.Task{
		TaskId: t.ID, WarrantId: t.WarrantID, Generation: t.Generation, Category: categoryMessage(t.Category),
		Target: q.Target, Instant: q.Instant, UncertaintySeconds: q.UncertaintySeconds, State: taskStates[t.State(&w, now)],
		Port: q.Port, Protocol: griffierv1.TransportProtocol(q.Protocol), WindowEnd: q.WindowEnd, HoldDays: q.HoldDays, FromHold: q.FromHold,
	}
	if !t.ReleasedAt.IsZero() {
		m.Answer, m.PackageSha256, m.ReleasedAt = string(t.Answer), t.PackageSHA256, timestamppb.New(t.ReleasedAt)
	}
	return m
}
