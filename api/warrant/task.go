package warrant

import (
	"fmt"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// CreateTask judges a question against the warrant whose content is given (read
// from its sealed body by the shell). Nothing is clipped: an instant that with
// its stated uncertainty reaches a second outside the window is refused. A task
// may be made before the warrant is approved; it cannot run before. Whether a hold
// that it names exists, and what of, is not asked here: before anybody approved, that
// would be a way to find out.
func (r *Rules) CreateTask(s *State, now time.Time, by Caller, req TaskRequest, content Content) (ledger.Draft, *reason.Error) {
	if !by.Has(LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	w, err := s.liveWarrant(now, req.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if err := r.permitted(w, req.Category); err != nil {
		return ledger.Draft{}, err
	}
	body, err := req.Body()
	if err != nil {
		return ledger.Draft{}, err
	}
	question, err := body.Question()
	if err != nil {
		return ledger.Draft{}, err
	}
	if !slices.ContainsFunc(content.Targets, func(s string) bool { t, err := ParseTarget(s); return err == nil && t.Names(question.Target) }) {
		return ledger.Draft{}, reason.New(reason.TargetNotSpecific, "The warrant does not name it.")
	}
	if basis, _ := r.Law().Basis(w.Basis); int64(req.HoldDays) > int64(basis.HoldDays) {
		return ledger.Draft{}, violation("hold_days", fmt.Sprintf("are more than %d, the most that the basis allows", basis.HoldDays))
	}
	if err := inWindow(content, question.Instant, question.Last(), question.Uncertainty); err != nil {
		return ledger.Draft{}, err
	}
	if len(w.Tasks) >= r.MaxTasks {
		return ledger.Draft{}, reason.New(reason.RateLimited, fmt.Sprintf("A warrant has at most %d tasks.", r.MaxTasks))
	}
	if _, _, taken := s.Task(req.ID); taken {
		return ledger.Draft{}, reason.New(reason.Internal, "")
	}
	return ledger.Draft{
		Kind: KindTaskCreate, Actor: by.Actor, Role: string(LegalOfficer), WarrantID: w.ID, TaskID: req.ID, Generation: w.Generation,
		KeyID: w.KeyID, Facts: taskCreateFacts{Revision: w.Revision, Category: req.Category},
		Body: body,
	}, nil
}

// permitted refuses a category that the warrant or the profile, as it is now,
// does not cover.
func (r *Rules) permitted(w Warrant, category Category) *reason.Error {
	if !category.Known() {
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "category", Description: "is unknown"})
	}
	law := r.Law()
	basis, ok := law.Basis(w.Basis)
	switch {
	case !ok || basis.Disabled:
		return reason.New(reason.NoLegalCompulsion, "The warrant's legal basis is in no profile in force any more.")
	case !slices.Contains(basis.Categories, category):
		return law.Of(basis.ID).exceeds(basis, category)
	case !slices.Contains(w.Categories, category):
		return reason.New(reason.CategoryExceedsBasis, "The warrant does not name "+string(category)+".")
	}
	return nil
}

func inWindow(content Content, first, last time.Time, uncertainty time.Duration) *reason.Error {
	start, err := ParseInstant(content.WindowStart)
	if err != nil {
		return err
	}
	end, err := ParseInstant(content.WindowEnd)
	if err != nil {
		return err
	}
	if first.Add(-uncertainty).Before(start) || !last.Add(uncertainty).Before(end) {
		return reason.New(reason.WindowExceedsWarrant, "")
	}
	return nil
}

// executable returns the task and its warrant when the warrant permits
// execution at now: live, of the expected generation, in force, approved by two
// within the approval age. The same is asked at intent, result and release.
func (r *Rules) executable(s *State, now time.Time, taskID string, generation uint64) (Task, Warrant, *reason.Error) {
	t, w, ok := s.Task(taskID)
	if !ok {
		return Task{}, Warrant{}, reason.New(reason.NotFound, "")
	}
	if err := w.running(now); err != nil {
		return Task{}, Warrant{}, err
	}
	if w.Generation != generation || t.Generation != generation {
		return Task{}, Warrant{}, reason.New(reason.GenerationMismatch, "")
	}
	if now.Before(w.ValidFrom) {
		return Task{}, Warrant{}, reason.Invalid(reason.WarrantIncomplete,
			reason.Violation{Field: "content.valid_from", Description: "lies ahead: the warrant is not in force yet"})
	}
	if err := w.approvedAt(now, r.ApprovalAge); err != nil {
		return Task{}, Warrant{}, err
	}
	if err := r.Entitled(w); err != nil {
		return Task{}, Warrant{}, err
	}
	if err := r.confirmed(t); err != nil {
		return Task{}, Warrant{}, err
	}
	return t, w, nil
}

// Begin drafts the intent: the entry that must be in the ledger before the
// query. Who triggers must be a legal officer. The body repeats the question,
// so that the intent alone shows what was about to be read.
func (r *Rules) Begin(s *State, now time.Time, by Caller, taskID string, generation uint64, question TaskBody) (ledger.Draft, *reason.Error) {
	if !by.Has(LegalOfficer) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	t, w, err := r.executable(s, now, taskID, generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if err := r.permitted(w, t.Category); err != nil {
		return ledger.Draft{}, err
	}
	if !t.executable() {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The task is running or was executed.")
	}
	d := r.taskDraft(KindTaskIntent, by, t, w)
	d.KeyID, d.Facts, d.Body = w.KeyID, intentFacts{Revision: w.Revision, Attempt: t.Attempt + 1}, question
	return d, nil
}

// StillExecutable asks again, right before the query, what Begin asked.
func (r *Rules) StillExecutable(s *State, now time.Time, taskID string, generation uint64) *reason.Error {
	_, _, err := r.executable(s, now, taskID, generation)
	return err
}

// Outcome is what an execution sealed.
type Outcome struct {
	Answer        reason.Reason
	PackageSHA256 string
	PackageBytes  int64
	// Incomplete are the reasons for which records may be missing; Neighbours is a band
	// of other holders of the address at about that time.
	Incomplete []reason.Reason
	Neighbours string
}

// Result drafts the entry that fixes the sealed package before anything of it leaves.
func (r *Rules) Result(s *State, now time.Time, by Caller, taskID string, generation uint64, attempt uint32, o Outcome) (ledger.Draft, *reason.Error) {
	t, w, err := r.executable(s, now, taskID, generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if t.AttemptOf != w.Generation { // it was asked under what the warrant said before
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	}
	if t.stored != TaskExecuting || t.Attempt != attempt {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The execution was aborted.")
	}
	if o.Answer.Entry().Group != reason.Answers || !sha256Form.MatchString(o.PackageSHA256) {
		return ledger.Draft{}, reason.New(reason.SchemaInvalid, "")
	}
	d := r.taskDraft(KindTaskResult, by, t, w)
	d.Reason = string(o.Answer)
	d.Facts = ResultFacts{Revision: w.Revision, Attempt: attempt, IntentIndex: t.IntentIndex, Answer: string(o.Answer),
		PackageSHA256: o.PackageSHA256, PackageBytes: o.PackageBytes, Incomplete: o.Incomplete, Neighbours: o.Neighbours}
	return d, nil
}

// Release drafts the entry whose time is released_at. Everything that was asked
// at the intent is asked again, so that no release is at or after the end.
func (r *Rules) Release(s *State, now time.Time, by Caller, taskID string, generation uint64, attempt uint32) (ledger.Draft, *reason.Error) {
	t, w, err := r.executable(s, now, taskID, generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	if err := w.noticed(now); err != nil {
		return ledger.Draft{}, err
	}
	if t.AttemptOf != w.Generation {
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "")
	}
	if t.stored != TaskSealed || t.Attempt != attempt {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "There is no sealed package to release.")
	}
	d := r.taskDraft(KindRelease, by, t, w)
	d.Reason = string(t.Answer)
	d.Facts = releaseFacts{Revision: w.Revision, Attempt: attempt, ResultIndex: t.ResultIndex}
	return d, nil
}

// Abort drafts the entry that ends an execution without release, also after the
// warrant's end. After a restart the task waits again; after a failure it is in
// error. Both may be executed again while the warrant lasts.
func (r *Rules) Abort(s *State, by Caller, taskID string, attempt uint32, why reason.Reason, restart bool) (ledger.Draft, *reason.Error) {
	t, w, ok := s.Task(taskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if t.Attempt != attempt || (t.stored != TaskExecuting && t.stored != TaskSealed) {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "Nothing is running.")
	}
	d := r.taskDraft(KindAbort, by, t, w)
	d.Reason = string(why)
	d.Facts = abortFacts{Attempt: attempt, Restart: restart}
	return d, nil
}

func (r *Rules) taskDraft(kind string, by Caller, t Task, w Warrant) ledger.Draft {
	role := LegalOfficer
	if !by.Has(role) {
		role = Executor
	}
	return ledger.Draft{Kind: kind, Actor: by.Actor, Role: string(role), WarrantID: w.ID, TaskID: t.ID,
		Generation: w.Generation}
}
