package warrant

import (
	"fmt"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// Kinds of entry about a released package.
const (
	KindGrant       = "package.grant"
	KindAcknowledge = "package.acknowledge"
	KindRecall      = "package.recall"
	KindCorrect     = "package.correct"
)

// MaxDownload is how long a package may be downloaded after its release, or after
// another download was granted (disclosure.md D-49); DefaultAcknowledgedFor is how
// long one is kept after the authority acknowledged it (D-61).
const (
	MaxDownload            = 72 * time.Hour
	DefaultAcknowledgedFor = 30 * 24 * time.Hour
)

// Delivery is what became of a task's package after its release.
type Delivery struct {
	// GrantedAt begins the one download that is open: the release, or a later
	// grant. Zero: none, the last was used.
	GrantedAt time.Time
	// GrantedBy and GrantedTo limit a later grant to another person, in a role.
	GrantedBy string
	GrantedTo Role

	AcknowledgedAt time.Time
	RecalledAt     time.Time
	RecallIndex    uint64
	CorrectedBy    string // the task whose answer takes this one's place
	Corrects       string // the task whose answer this one takes the place of
	CorrectsSHA256 string // its package
}

// open reports whether the download is open at now.
func (d Delivery) open(now time.Time, lasts time.Duration) bool {
	return !d.GrantedAt.IsZero() && now.Before(d.GrantedAt.Add(lasts))
}

// Facts of these entries. A package is named by its hash, so that none of them can
// be about another attempt's.
type grantFacts struct {
	PackageSHA256 string `json:"package_sha256"`
	To            Role   `json:"to"`
	Fetched       uint32 `json:"fetched"` // downloads so far: of two grants at once one counts
}

type recallFacts struct {
	PackageSHA256 string `json:"package_sha256"`
	// Told is whether the authority was told, which is the recalling person's word.
	Told bool `json:"told"`
}

type correctFacts struct {
	Corrects       string `json:"corrects"` // task
	CorrectsSHA256 string `json:"corrects_sha256"`
}

// acknowledgeBody and recallBody are sealed under the case key.
type acknowledgeBody struct {
	Reference string `json:"reference"`
}

type recallBody struct {
	Explanation string `json:"explanation"`
	ToldHow     string `json:"told_how"`
}

// DownloadUntil returns when a task's open download lapses, or false when none is
// open at now.
func (r *Rules) DownloadUntil(t Task, now time.Time) (time.Time, bool) {
	lasts := r.download()
	if !t.Delivery.open(now, lasts) || t.Destroyed || !t.Delivery.RecalledAt.IsZero() {
		return time.Time{}, false
	}
	return t.Delivery.GrantedAt.Add(lasts), true
}

func (r *Rules) download() time.Duration {
	if r.DownloadFor <= 0 || r.DownloadFor > MaxDownload {
		return MaxDownload
	}
	return r.DownloadFor
}

// DestroyAfter returns when a task's package is destroyed although its warrant
// lasts: by the retention policy, which counts from the first download, or some
// time after the authority acknowledged it, whichever is first. False: neither.
func (r *Rules) DestroyAfter(t Task) (time.Time, bool) {
	var at time.Time
	if t.Fetched > 0 && r.PackageExpires != nil {
		at, _ = r.PackageExpires(t.FetchedAt)
	}
	if acknowledged := t.Delivery.AcknowledgedAt; !acknowledged.IsZero() {
		keep := r.AcknowledgedFor
		if keep <= 0 {
			keep = DefaultAcknowledgedFor
		}
		if end := acknowledged.Add(keep); at.IsZero() || end.Before(at) {
			at = end
		}
	}
	return at, !at.IsZero()
}

// PackageExpired reports whether a task's package has been kept long enough.
func (r *Rules) PackageExpired(t Task, now time.Time) bool {
	at, ok := r.DestroyAfter(t)
	return ok && !now.Before(at)
}

// handled returns a task, and the role in which a caller handles its package.
func (s *State) handled(by Caller, taskID string) (Task, Warrant, Role, *reason.Error) {
	role, err := by.legal()
	if err != nil {
		return Task{}, Warrant{}, "", err
	}
	t, w, ok := s.Task(taskID)
	if !ok {
		return Task{}, Warrant{}, "", reason.New(reason.NotFound, "")
	}
	return t, w, role, nil
}

// released is handled of a task whose package was released.
func (s *State) released(by Caller, taskID string) (Task, Warrant, Role, *reason.Error) {
	t, w, role, err := s.handled(by, taskID)
	if err == nil && t.ReleasedAt.IsZero() {
		err = errNotReleased()
	}
	return t, w, role, err
}

func errNotReleased() *reason.Error {
	return reason.New(reason.NotFound, "No package of this task was released.")
}

// Fetch drafts the entry that precedes handing the package over, which uses up its
// download. A package is handed over only while its warrant runs, the authority does
// not deny it, its retention period has not ended and the key that it is sealed to is
// still the authority's.
func (r *Rules) Fetch(s *State, now time.Time, by Caller, taskID string) (ledger.Draft, *reason.Error) {
	t, w, role, err := s.handled(by, taskID)
	if err != nil {
		return ledger.Draft{}, err
	}
	if err := w.running(now); err != nil { // which says more than that there is nothing
		return ledger.Draft{}, err
	}
	if err := w.undenied(); err != nil {
		return ledger.Draft{}, err
	}
	if !t.ReleasedAt.IsZero() { // a key that was revoked since may be in other hands
		w := w
		w.Recipient = t.SealedTo
		if err := r.Entitled(w); err != nil {
			return ledger.Draft{}, err
		}
	}
	switch d := t.Delivery; {
	case t.ReleasedAt.IsZero():
		return ledger.Draft{}, errNotReleased()
	case !d.RecalledAt.IsZero():
		return ledger.Draft{}, reason.New(reason.PackageRecalled, "")
	case t.Destroyed:
		return ledger.Draft{}, reason.New(reason.NotFound, "The package was destroyed.")
	case r.PackageExpired(t, now):
		return ledger.Draft{}, reason.New(reason.NotFound, "The package was fetched, and has been kept for as long as the retention policy says.")
	case !d.open(now, r.download()):
		return ledger.Draft{}, reason.New(reason.DownloadUsed, "")
	case d.GrantedTo != "" && (!by.Has(d.GrantedTo) || by.Actor == d.GrantedBy):
		return ledger.Draft{}, reason.New(reason.DownloadUsed, "The open download is another person's.")
	case d.GrantedTo != "":
		role = d.GrantedTo
	}
	draft := r.taskDraft(KindFetch, by, t, w)
	draft.Role, draft.Facts = string(role), packageFacts{t.PackageSHA256}
	return draft, nil
}

// Grant drafts another download of a package whose last one was used or lapsed, for
// the holders of a legal role other than who grants it.
func (r *Rules) Grant(s *State, now time.Time, by Caller, taskID string, to Role) (ledger.Draft, *reason.Error) {
	t, w, role, err := s.released(by, taskID)
	if err != nil {
		return ledger.Draft{}, err
	}
	if to != LegalOfficer && to != LegalApprover {
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "role", Description: "is not one that fetches packages"})
	}
	if err := w.running(now); err != nil {
		return ledger.Draft{}, err
	}
	if err := w.undenied(); err != nil {
		return ledger.Draft{}, err
	}
	switch {
	case !t.Delivery.RecalledAt.IsZero():
		return ledger.Draft{}, reason.New(reason.PackageRecalled, "")
	case t.Destroyed || r.PackageExpired(t, now):
		return ledger.Draft{}, reason.New(reason.NotFound, "The package is no longer kept.")
	case t.Delivery.open(now, r.download()):
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "A download is open already.")
	}
	draft := r.taskDraft(KindGrant, by, t, w)
	draft.Role, draft.Facts = string(role), grantFacts{t.PackageSHA256, to, t.Fetched}
	return draft, nil
}

// Acknowledge drafts the entry that the authority acknowledged the package, under
// its own reference. From then on it is kept for a limited time only.
func (r *Rules) Acknowledge(s *State, by Caller, taskID, reference string) (ledger.Draft, *reason.Error) {
	t, w, role, err := s.released(by, taskID)
	if err != nil {
		return ledger.Draft{}, err
	}
	switch {
	case reference == "" || len(reference) > maxIdentifier || !identifierForm.MatchString(reference):
		return ledger.Draft{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "reference", Description: "must be the authority's reference, plain ASCII"})
	case t.Fetched == 0:
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The package was never fetched: there is nothing to acknowledge.")
	case !t.Delivery.AcknowledgedAt.IsZero():
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "It was acknowledged before.")
	}
	d := r.taskDraft(KindAcknowledge, by, t, w)
	d.Role, d.KeyID, d.Facts, d.Body = string(role), w.KeyID, packageFacts{t.PackageSHA256}, acknowledgeBody{reference}
	return d, nil
}

// RecallRequest takes a wrong answer back.
type RecallRequest struct {
	TaskID      string
	Explanation string
	ToldHow     string // how and when the authority was told
}

// Recall drafts the entry that an answer was wrong. It cannot be fetched any more,
// and is destroyed if it never was; if it was, the authority must have been told.
// The end of the warrant does not matter: what is wrong must be taken back.
func (r *Rules) Recall(s *State, by Caller, req RecallRequest) (ledger.Draft, *reason.Error) {
	t, w, role, err := s.released(by, req.TaskID)
	if err != nil {
		return ledger.Draft{}, err
	}
	invalid := func(field, description string) *reason.Error {
		return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: field, Description: description})
	}
	switch {
	case req.Explanation == "":
		return ledger.Draft{}, invalid("explanation", "is missing")
	case len(req.Explanation) > maxExplanation:
		return ledger.Draft{}, invalid("explanation", fmt.Sprintf("is longer than %d bytes", maxExplanation))
	case len(req.ToldHow) > maxExplanation:
		return ledger.Draft{}, invalid("told_how", fmt.Sprintf("is longer than %d bytes", maxExplanation))
	case t.Fetched > 0 && req.ToldHow == "":
		return ledger.Draft{}, invalid("told_how", "is missing: the package was fetched, so tell the authority first, and say how and when")
	case !t.Delivery.RecalledAt.IsZero():
		return ledger.Draft{}, reason.New(reason.PackageRecalled, "")
	}
	d := r.taskDraft(KindRecall, by, t, w)
	d.Role, d.KeyID = string(role), w.KeyID
	d.Facts, d.Body = recallFacts{t.PackageSHA256, req.ToldHow != ""}, recallBody{req.Explanation, req.ToldHow}
	return d, nil
}

// Correct drafts the entry that a task, which has not run yet, answers anew what
// another was answered wrongly. Its package will cite the other's, so it is for the same
// authority, which has that one.
func (r *Rules) Correct(s *State, now time.Time, by Caller, taskID, corrects string) (ledger.Draft, *reason.Error) {
	wrong, of, role, err := s.released(by, corrects)
	if err != nil {
		return ledger.Draft{}, err
	}
	t, w, ok := s.Task(taskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if err := w.live(now); err != nil {
		return ledger.Draft{}, err
	}
	switch {
	case wrong.Delivery.RecalledAt.IsZero():
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The answer was not recalled: recall it first.")
	case s.corrected(wrong, now):
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The answer was corrected before.")
	case w.Authority != of.Authority:
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The correction must be for the authority that has the wrong answer.")
	case taskID == corrects || t.Category != wrong.Category || !t.executable() || t.Delivery.Corrects != "":
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The correction must be a task of the same category that has not run yet, and corrects nothing else.")
	}
	d := r.taskDraft(KindCorrect, by, t, w)
	d.Role, d.Facts = string(role), correctFacts{wrong.ID, wrong.PackageSHA256}
	return d, nil
}

// corrected reports whether a correction of a wrong answer was released, or still
// may be.
func (s *State) corrected(wrong Task, now time.Time) bool {
	t, w, ok := s.Task(wrong.Delivery.CorrectedBy)
	return ok && (!t.ReleasedAt.IsZero() || w.live(now) == nil)
}

// Destroy drafts the entry that a released package was destroyed, because its
// warrant ended, or its retention period, or it was recalled before it was fetched.
func (r *Rules) Destroy(s *State, now time.Time, by Caller, taskID string) (ledger.Draft, *reason.Error) {
	t, w, ok := s.Task(taskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	why := w.live(now)
	switch {
	case why == nil && t.recalledUnfetched():
		why = reason.New(reason.PackageRecalled, "")
	case why == nil && r.PackageExpired(t, now):
		why = reason.New(reason.RetentionElapsed, "")
	}
	if why == nil || t.ReleasedAt.IsZero() || t.Destroyed {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "There is no package to destroy.")
	}
	d := r.taskDraft(KindDestroy, by, t, w)
	d.Reason, d.Facts = string(why.Reason), packageFacts{t.PackageSHA256}
	return d, nil
}

// Doomed reports whether a task's package is to be destroyed although its warrant
// lasts.
func (r *Rules) Doomed(t Task, now time.Time) bool {
	return t.recalledUnfetched() || r.PackageExpired(t, now)
}

// recalledUnfetched: nobody has the wrong answer, and nobody shall.
func (t *Task) recalledUnfetched() bool { return !t.Delivery.RecalledAt.IsZero() && t.Fetched == 0 }
