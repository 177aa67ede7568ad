package warrant

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// MaxUncertainty is the widest uncertainty that a task may state. A wider one
// would make every answer ambiguous, or a fishing net.
const MaxUncertainty = time.Hour

// TaskRequest asks one question under a warrant. ID is random, made by the shell.
type TaskRequest struct {
	ID, WarrantID      string
	Generation         uint64
	Category           Category
	Target             string
	Instant            string
	UncertaintySeconds uint32
	Port               uint32 // source port, 0 if not stated
	Protocol           uint32 // IANA number, 0 if not stated
	WindowEnd          string // these three as in [TaskBody]
	HoldDays           uint32
	FromHold           string
}

// holdIDForm is that of ids that the shell makes.
var holdIDForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Protocols are the transport protocols that a task may name: those with ports,
// or, for ICMP, identifiers that a translator takes for ports.
var Protocols = []uint32{1, 6, 17, 33, 58, 132}

// CreateTask judges a question against the warrant whose content is given (read
// from its sealed body by the shell). Nothing is clipped: an instant that with
// its stated uncertainty reaches a second outside the window is refused. A task
// may be made before the warrant is approved; it cannot run before.
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
	target, err := ParseTarget(req.Target)
	if err != nil {
		return ledger.Draft{}, err
	}
	if !slices.ContainsFunc(content.Targets, func(s string) bool { a, err := ParseTarget(s); return err == nil && a == target }) {
		return ledger.Draft{}, reason.New(reason.TargetNotSpecific, "The warrant does not name it.")
	}
	instant, err := ParseInstant(req.Instant)
	if err != nil {
		return ledger.Draft{}, err
	}
	uncertainty := time.Duration(req.UncertaintySeconds) * time.Second
	if uncertainty > MaxUncertainty {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "uncertainty_seconds",
			Description: fmt.Sprintf("is more than %d", int(MaxUncertainty/time.Second))})
	}
	if err := req.ports(); err != nil {
		return ledger.Draft{}, err
	}
	if err := r.preservation(w, req); err != nil {
		return ledger.Draft{}, err
	}
	last := instant
	if req.WindowEnd != "" {
		if last, err = ParseInstant(req.WindowEnd); err != nil {
			return ledger.Draft{}, err
		}
		if last = last.Add(-time.Nanosecond); last.Before(instant) { // its last moment
			return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "window_end", Description: "must be later than instant"})
		}
	}
	if err := inWindow(content, instant, last, uncertainty); err != nil {
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
		Body: TaskBody{Target: target.String(), Instant: req.Instant, UncertaintySeconds: req.UncertaintySeconds,
			Port: req.Port, Protocol: req.Protocol, WindowEnd: req.WindowEnd, HoldDays: req.HoldDays, FromHold: req.FromHold},
	}, nil
}

// preservation refuses what only a preservation task has in another, and the
// other way round. Whether there is such a hold, and what of, is not asked here:
// before anybody approved, that would be a way to find out.
func (r *Rules) preservation(w Warrant, req TaskRequest) *reason.Error {
	invalid := func(field, description string) *reason.Error {
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: field, Description: description})
	}
	switch preserves := req.Category == Preservation; {
	case !preserves && req.WindowEnd != "":
		return invalid("window_end", "belongs to PRESERVATION: other questions are about an instant")
	case !preserves && req.HoldDays != 0:
		return invalid("hold_days", "belongs to PRESERVATION")
	case preserves && req.FromHold != "":
		return invalid("from_hold", "is for reading a hold; a hold of a hold is not made, extend it")
	case req.FromHold != "" && !holdIDForm.MatchString(req.FromHold):
		return invalid("from_hold", "is not the id of a hold: 32 hexadecimal digits")
	}
	if basis, _ := r.Profile().Basis(w.Basis); int64(req.HoldDays) > int64(basis.HoldDays) {
		return invalid("hold_days", fmt.Sprintf("are more than %d, the most that the basis allows", basis.HoldDays))
	}
	return nil
}

// ports refuses a port that there is not, and a protocol without a port.
func (q TaskRequest) ports() *reason.Error {
	switch {
	case q.Port > 65535:
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "port", Description: "is more than 65535"})
	case q.Protocol != 0 && q.Port == 0:
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "protocol", Description: "says nothing without a port"})
	case q.Protocol != 0 && !slices.Contains(Protocols, q.Protocol):
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "protocol", Description: "is not one that has ports"})
	}
	return nil
}

// permitted refuses a category that the warrant or the profile, as it is now,
// does not cover, or that this version has no task for.
func (r *Rules) permitted(w Warrant, category Category) *reason.Error {
	if !category.Known() {
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "category", Description: "is unknown"})
	}
	profile := r.Profile()
	basis, ok := profile.Basis(w.Basis)
	switch {
	case !ok || basis.Disabled:
		return reason.New(reason.NoLegalCompulsion, "The warrant's legal basis is no longer in the loaded profile.")
	case !slices.Contains(basis.Categories, category):
		return profile.exceeds(basis, category)
	case !slices.Contains(w.Categories, category):
		return reason.New(reason.CategoryExceedsBasis, "The warrant does not name "+string(category)+".")
	case category != Attribution && category != Preservation:
		return reason.Invalid(reason.InvalidRequest,
			reason.Violation{Field: "category", Description: "has no task in this version, which answers ATTRIBUTION and PRESERVATION"})
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
	if err := w.live(now); err != nil {
		return Task{}, Warrant{}, err
	}
	if w.Generation != generation || t.Generation != generation {
		return Task{}, Warrant{}, reason.New(reason.GenerationMismatch, "")
	}
	if now.Before(w.ValidFrom) {
		return Task{}, Warrant{}, reason.Invalid(reason.WarrantIncomplete,
			reason.Violation{Field: "content.valid_from", Description: "lies ahead: the warrant is not in force yet"})
	}
	if w.State(now) != Approved {
		return Task{}, Warrant{}, reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "approvals",
			Description: fmt.Sprintf("are %d of 2: two persons in two roles must approve", len(w.Approvals))})
	}
	if !now.Before(w.EffectiveUntil(r.ApprovalAge)) {
		return Task{}, Warrant{}, reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "approvals",
			Description: fmt.Sprintf("are older than %v: approve again", r.ApprovalAge)})
	}
	if err := r.Entitled(w); err != nil {
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
}

// Result drafts the entry that fixes the sealed package before anything of it leaves.
func (r *Rules) Result(s *State, now time.Time, by Caller, taskID string, generation uint64, attempt uint32, o Outcome) (ledger.Draft, *reason.Error) {
	t, w, err := r.executable(s, now, taskID, generation)
	if err != nil {
		return ledger.Draft{}, err
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
		PackageSHA256: o.PackageSHA256, PackageBytes: o.PackageBytes}
	return d, nil
}

// Release drafts the entry whose time is released_at. Everything that was asked
// at the intent is asked again, so that no release is at or after the end.
func (r *Rules) Release(s *State, now time.Time, by Caller, taskID string, generation uint64, attempt uint32) (ledger.Draft, *reason.Error) {
	t, w, err := r.executable(s, now, taskID, generation)
	if err != nil {
		return ledger.Draft{}, err
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

// PackageExpired reports whether a task's package has been kept long enough since
// it was first fetched.
func (r *Rules) PackageExpired(t Task, now time.Time) bool {
	if t.Fetched == 0 || r.PackageExpires == nil {
		return false
	}
	at, ok := r.PackageExpires(t.FetchedAt)
	return ok && !now.Before(at)
}

// Fetch drafts the entry that precedes handing the package over. A package is
// handed over only while its warrant lasts and its retention period has not ended.
func (r *Rules) Fetch(s *State, now time.Time, by Caller, taskID string) (ledger.Draft, *reason.Error) {
	t, w, ok := s.Task(taskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	role := LegalOfficer
	if !by.Has(role) {
		role = LegalApprover
	}
	if !by.Has(role) {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	if err := w.live(now); err != nil {
		return ledger.Draft{}, err
	}
	if t.ReleasedAt.IsZero() || t.Destroyed {
		return ledger.Draft{}, reason.New(reason.NotFound, "No released package of this task is kept.")
	}
	if r.PackageExpired(t, now) {
		return ledger.Draft{}, reason.New(reason.NotFound, "The package was fetched, and has been kept for as long as the retention policy says.")
	}
	d := r.taskDraft(KindFetch, by, t, w)
	d.Role, d.Facts = string(role), packageFacts{t.PackageSHA256}
	return d, nil
}

// Destroy drafts the entry that a released package was destroyed, because its
// warrant ended before it was fetched, or after, or its retention period did.
func (r *Rules) Destroy(s *State, now time.Time, by Caller, taskID string) (ledger.Draft, *reason.Error) {
	t, w, ok := s.Task(taskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	why := w.live(now)
	if why == nil && r.PackageExpired(t, now) {
		why = reason.New(reason.RetentionElapsed, "")
	}
	if why == nil || t.ReleasedAt.IsZero() || t.Destroyed {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "There is no package to destroy.")
	}
	d := r.taskDraft(KindDestroy, by, t, w)
	d.Reason, d.Facts = string(why.Reason), packageFacts{t.PackageSHA256}
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

// Question returns the parsed question of a task's body.
func (b TaskBody) Question() (netip.Addr, time.Time, time.Duration, *reason.Error) {
	target, err := ParseTarget(b.Target)
	if err != nil {
		return netip.Addr{}, time.Time{}, 0, err
	}
	instant, err := ParseInstant(b.Instant)
	if err != nil {
		return netip.Addr{}, time.Time{}, 0, err
	}
	return target, instant, time.Duration(b.UncertaintySeconds) * time.Second, nil
}
