package warrantrpc

import (
	"context"
	"slices"
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
	warrant.AwaitingApproval:  griffierv1.WarrantState_WARRANT_STATE_AWAITING_APPROVAL,
	warrant.Approved:          griffierv1.WarrantState_WARRANT_STATE_APPROVED,
	warrant.Rejected:          griffierv1.WarrantState_WARRANT_STATE_REJECTED,
	warrant.Revoked:           griffierv1.WarrantState_WARRANT_STATE_REVOKED,
	warrant.Expired:           griffierv1.WarrantState_WARRANT_STATE_EXPIRED,
	warrant.Cancelled:         griffierv1.WarrantState_WARRANT_STATE_CANCELLED,
	warrant.Suspended:         griffierv1.WarrantState_WARRANT_STATE_SUSPENDED,
	warrant.EmergencyApproval: griffierv1.WarrantState_WARRANT_STATE_EMERGENCY_APPROVAL,
}

var priorities = map[griffierv1.WarrantPriority]warrant.Priority{
	griffierv1.WarrantPriority_WARRANT_PRIORITY_UNSPECIFIED:            "",
	griffierv1.WarrantPriority_WARRANT_PRIORITY_ROUTINE:                warrant.Routine,
	griffierv1.WarrantPriority_WARRANT_PRIORITY_HIGH:                   warrant.High,
	griffierv1.WarrantPriority_WARRANT_PRIORITY_TEN_DAYS_ASAP:          warrant.TenDays,
	griffierv1.WarrantPriority_WARRANT_PRIORITY_TEN_DAYS_SUBJECT_TO_EA: warrant.TenDaysSubjectToEA,
	griffierv1.WarrantPriority_WARRANT_PRIORITY_EIGHT_HOURS:            warrant.EightHours,
}

// priorityOf returns the priority of a message; one that the API does not know
// keeps its number, which every rule refuses.
func priorityOf(p griffierv1.WarrantPriority) warrant.Priority {
	if priority, ok := priorities[p]; ok {
		return priority
	}
	return warrant.Priority(p.String())
}

func priorityMessage(p warrant.Priority) griffierv1.WarrantPriority {
	for message, priority := range priorities {
		if priority == p {
			return message
		}
	}
	return griffierv1.WarrantPriority_WARRANT_PRIORITY_UNSPECIFIED
}

var taskStates = map[warrant.TaskState]griffierv1.TaskState{
	warrant.TaskAwaitingApproval: griffierv1.TaskState_TASK_STATE_AWAITING_APPROVAL,
	warrant.TaskAwaiting:         griffierv1.TaskState_TASK_STATE_AWAITING_DISCLOSURE,
	warrant.TaskExecuting:        griffierv1.TaskState_TASK_STATE_EXECUTING,
	warrant.TaskSealed:           griffierv1.TaskState_TASK_STATE_EXECUTING,
	warrant.TaskDisclosed:        griffierv1.TaskState_TASK_STATE_DISCLOSED,
	warrant.TaskNotAvailable:     griffierv1.TaskState_TASK_STATE_NOT_AVAILABLE,
	warrant.TaskCancelled:        griffierv1.TaskState_TASK_STATE_CANCELLED,
	warrant.TaskError:            griffierv1.TaskState_TASK_STATE_ERROR,
	warrant.TaskPreserved:        griffierv1.TaskState_TASK_STATE_PRESERVED,
	warrant.TaskRejected:         griffierv1.TaskState_TASK_STATE_REJECTED,
}

func contentOf(m *griffierv1.WarrantContent) warrant.Content {
	c := warrant.Content{
		LegalBasis: m.GetLegalBasis(), Authority: m.GetAuthority(), Reference: m.GetReference(), RequestedBy: m.GetRequestedBy(),
		IssuedAt: m.GetIssuedAt(), ValidFrom: m.GetValidFrom(), ValidUntil: m.GetValidUntil(), DocumentSHA256: m.GetDocumentSha256(),
		Targets: m.GetTargets(), WindowStart: m.GetWindowStart(), WindowEnd: m.GetWindowEnd(), Recipient: m.GetRecipient(),
		Priority: priorityOf(m.GetPriority()), Emergency: m.GetEmergency(), EnforcingAuthorityNotified: m.GetEnforcingAuthorityNotified(),
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
		Priority: priorityMessage(c.Priority), Emergency: c.Emergency, EnforcingAuthorityNotified: c.EnforcingAuthorityNotified,
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

// acts are the names of acts that take two people.
var acts = map[string]string{warrant.KindResume: "RESUME", warrant.KindClearNotice: "CLEAR_NOTICE"}

// header returns what the headers tell of a warrant as it is at now, with every
// time and limit that follows from it.
func (s *Service) header(w warrant.Warrant, now time.Time) *griffierv1.Warrant {
	state := w.State(now)
	m := &griffierv1.Warrant{
		WarrantId: w.ID, Generation: w.Generation, State: warrantStates[state], ContentSha256: w.ContentSHA256,
		CreatedAt: stamp(w.CreatedAt), EffectiveUntil: stamp(w.EffectiveUntil(s.rules.ApprovalAge)),
		ServedAt: stamp(w.ServedAt), ValidUntil: stamp(w.ValidUntil), ActBy: stamp(w.ActBy), ActedAt: stamp(w.ActedAt),
		PaperBy: stamp(w.PaperBy), PaperAt: stamp(w.PaperAt), NoticeUntil: stamp(w.NoticeUntil), NoticeClearedAt: stamp(w.NoticeClearedAt),
		SuspendedAt: stamp(w.SuspendedAt), EndedAt: stamp(w.EndedAt), Priority: priorityMessage(w.Priority), TargetCount: uint32(w.Targets),
		StateDetail: w.StateDetail(now), Profile: w.Profile, ProfileSha256: w.ProfileSHA256, Team: w.Team,
	}
	if state == warrant.Expired {
		m.EndedAt = stamp(w.ValidUntil)
	}
	if !state.Terminal() {
		for _, role := range w.AwaitingApprovals(now, s.rules.ApprovalAge) {
			m.AwaitingRoles = append(m.AwaitingRoles, string(role))
		}
	}
	for _, c := range w.Running(now) {
		m.Clocks = append(m.Clocks, &griffierv1.WarrantClock{Clock: string(c.Clock), From: stamp(c.From), By: stamp(c.By), Percent: uint32(c.Percent), Alarm: uint32(c.Alarm)})
	}
	if w.Verified {
		m.CallBack = &griffierv1.CallBack{VerifiedBy: w.VerifiedBy, VerifiedAt: stamp(w.VerifiedAt), LedgerIndex: w.VerifiedIndex}
	}
	for _, a := range w.Approvals {
		m.Approvals = append(m.Approvals, &griffierv1.Approval{Role: string(a.Role), Approver: a.Actor, Generation: a.Generation,
			ContentSha256: a.ContentSHA256, ApprovedAt: stamp(a.At), LedgerIndex: a.Index})
	}
	for _, c := range w.Pending(now, s.rules.ApprovalAge) {
		m.Consents = append(m.Consents, &griffierv1.Consent{Act: acts[c.Kind], Role: string(c.Role), Person: c.Actor, GivenAt: stamp(c.At),
			CountsUntil: stamp(c.At.Add(s.rules.ApprovalAge)), LedgerIndex: c.Index})
	}
	m.DocumentStored = s.state.DocumentStored(w.ID)
	if slices.ContainsFunc(s.state.Documents(w.ID), func(d warrant.Document) bool { return len(d.ReplayOf) > 0 }) {
		m.Alerts = append(m.Alerts, string(reason.DocumentReplayed))
	}
	return m
}

// stamp is an instant as a message, absent when it is zero.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// message returns a warrant as it is at now. Without targets, those of its
// tasks are left out too. A warrant whose case key was destroyed has no content.
func (s *Service) message(ctx context.Context, w warrant.Warrant, now time.Time, withTargets bool) (*griffierv1.Warrant, error) {
	m := s.header(w, now)
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
		withheld := withTargets && Withheld(ctx, s.rules, w, t, now)
		if withTargets && !withheld {
			if question, err = Question(ctx, s.book, t); err != nil {
				return nil, err
			}
		}
		task := TaskMessage(t, w, question, now)
		task.Withheld = withheld
		m.Tasks = append(m.Tasks, task)
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
		MaxSubjects: q.MaxSubjects, MaxRecords: q.MaxRecords, Refusal: string(t.Refusal),
	}
	if !t.ReleasedAt.IsZero() {
		m.Answer, m.PackageSha256, m.ReleasedAt = string(t.Answer), t.PackageSHA256, timestamppb.New(t.ReleasedAt)
		m.Neighbours = t.Neighbours
		for _, why := range t.Incomplete {
			m.Incomplete = append(m.Incomplete, string(why))
		}
	}
	if t.Confirmed() {
		m.ConfirmedBy, m.ConfirmedAt = t.ConfirmedBy, timestamppb.New(t.ConfirmedAt)
	}
	return m
}
