package warrant

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindTaskConfirm is the entry by which a second person keyed a task's question
// again, and it was the same (disclosure.md D-25).
const KindTaskConfirm = "task.confirm"

// ConfirmRequest is a question keyed a second time: the whole of it, since each part
// decides which lines are answered, or what is told of them. What it is compared with
// is never shown to who keys it.
type ConfirmRequest struct {
	TaskID             string
	Generation         uint64
	Category           Category
	Target             string
	Instant            string // in UTC, with Z: who confirms converts it anew from the order
	WindowEnd          string // the same, empty if the task has none
	UncertaintySeconds uint32
	Port               uint32
	Protocol           uint32
	MaxSubjects        uint32 // this and the next: 0 for the category's default
	MaxRecords         uint32
	FromHold           string
	HoldDays           uint32
	// YearConfirmed says that a year other than that of the order's issue is meant.
	YearConfirmed bool
}

type confirmFacts struct {
	Revision      uint64 `json:"revision"`
	YearConfirmed bool   `json:"year_confirmed"` // it was asked for, since the years differ
}

// ConfirmTask judges a second entry of a task's question, given the first and the
// warrant's content, which the shell reads from their sealed bodies. The two must be
// equal byte for byte in canonical form, uncertainty and limits included: an interval
// of an hour names another line than one of a second (disclosure.md D-28). A refusal names the fields that differ, and
// shows neither value.
func (r *Rules) ConfirmTask(s *State, now time.Time, by Caller, req ConfirmRequest, question TaskBody, content Content) (ledger.Draft, *reason.Error) {
	confirmers := []Role{LegalApprover, LegalOfficer, ExternalApprover}
	i := slices.IndexFunc(confirmers, by.Has)
	if i < 0 {
		return ledger.Draft{}, reason.New(reason.PermissionDenied, "")
	}
	t, _, ok := s.Task(req.TaskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	w, err := s.liveWarrant(now, t.WarrantID, req.Generation)
	if err != nil {
		return ledger.Draft{}, err
	}
	switch {
	case t.Generation != w.Generation:
		return ledger.Draft{}, reason.New(reason.GenerationMismatch, "The task is of an earlier generation of the warrant: make it anew.")
	case t.CreatedBy == by.Actor:
		return ledger.Draft{}, reason.New(reason.SelfApproval, "Who asked the question cannot key it a second time.")
	case t.Confirmed():
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "The task is confirmed.")
	}
	if err := req.sameAs(t.Category, question); err != nil {
		return ledger.Draft{}, err
	}
	differs, err := otherYear(question, content)
	if err != nil {
		return ledger.Draft{}, err
	}
	if differs && !req.YearConfirmed {
		return ledger.Draft{}, reason.Invalid(reason.EntryMismatch, reason.Violation{Field: "year_confirmed",
			Description: "is missing: the question is about another year than the one in which the order was issued; check both on the order"})
	}
	return ledger.Draft{
		Kind: KindTaskConfirm, Actor: by.Actor, Role: string(confirmers[i]), WarrantID: w.ID, TaskID: t.ID, Generation: w.Generation, KeyID: w.KeyID,
		Facts: confirmFacts{Revision: w.Revision, YearConfirmed: differs},
		Body:  req.body(question),
	}, nil
}

// body is what was keyed, once it is known to be the same as the first entry.
func (q ConfirmRequest) body(first TaskBody) TaskBody {
	b := first
	b.Instant, b.WindowEnd = q.Instant, q.WindowEnd
	return b
}

// sameAs compares, field by field, what was keyed twice.
func (q ConfirmRequest) sameAs(category Category, first TaskBody) *reason.Error {
	var bad []reason.Violation
	differ := func(field string, same bool) {
		if !same {
			bad = append(bad, reason.Violation{Field: field, Description: "is not what was entered first: one of the two is mistyped; look at the order again"})
		}
	}
	typed, err := ParseTarget(q.Target)
	if err != nil {
		return reason.Invalid(reason.TargetNotSpecific, reason.Violation{Field: "target", Description: "is not one concrete target. " + err.Detail})
	}
	entered, err := ParseTarget(first.Target)
	if err != nil {
		return err
	}
	if typed.Port != 0 { // 192.0.2.17:51234/tcp, in one
		if q.Port != 0 && q.Port != uint32(typed.Port) || q.Protocol != 0 && q.Protocol != uint32(typed.Protocol) {
			return reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "port", Description: "is not what the target says"})
		}
		q.Port, q.Protocol = uint32(typed.Port), uint32(typed.Protocol)
		typed.Port, typed.Protocol = 0, 0
	}
	differ("target", typed.String() == entered.String())
	instants := []struct{ field, typed, first string }{{"instant", q.Instant, first.Instant}, {"window_end", q.WindowEnd, first.WindowEnd}}
	for _, i := range instants {
		if i.typed == "" && i.first == "" {
			continue
		}
		if i.typed == "" || i.first == "" {
			differ(i.field, false)
			continue
		}
		if !strings.HasSuffix(i.typed, "Z") {
			return reason.Invalid(reason.TimeZoneMissing, reason.Violation{Field: i.field, Description: "must be in UTC, with Z at its end"})
		}
		typed, err := ParseInstant(i.typed)
		if err != nil {
			return err
		}
		entered, err := ParseInstant(i.first)
		if err != nil {
			return err
		}
		differ(i.field, canonicalInstant(typed) == canonicalInstant(entered))
	}
	differ("port", q.Port == first.Port)
	differ("protocol", q.Protocol == first.Protocol)
	differ("category", q.Category == category)
	differ("uncertainty_seconds", q.UncertaintySeconds == first.UncertaintySeconds)
	differ("from_hold", q.FromHold == first.FromHold)
	differ("hold_days", q.HoldDays == first.HoldDays)
	if q.Category == category { // whose defaults they are
		subjects, records := category.limits(q.MaxSubjects, q.MaxRecords)
		differ("max_subjects", subjects == first.MaxSubjects)
		differ("max_records", records == first.MaxRecords)
	}
	if len(bad) > 0 {
		return reason.Invalid(reason.EntryMismatch, bad...)
	}
	return nil
}

// canonicalInstant is the one text of an instant.
func canonicalInstant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// otherYear reports whether a question is, even partly, about another year than the
// one in which the order was issued, all in UTC.
func otherYear(question TaskBody, content Content) (bool, *reason.Error) {
	issued, err := ParseInstant(content.IssuedAt)
	if err != nil {
		return false, err
	}
	for _, text := range []string{question.Instant, question.WindowEnd} {
		if text == "" {
			continue
		}
		at, err := ParseInstant(text)
		if err != nil {
			return false, err
		}
		if at.UTC().Year() != issued.UTC().Year() {
			return true, nil
		}
	}
	return false, nil
}

func (s *State) applyTaskConfirm(e ledger.Entry) (bool, error) {
	var f confirmFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	w, t := s.current(e, f.Revision), s.tasks[e.Header.TaskID]
	if w == nil || t == nil || t.WarrantID != w.ID || t.Generation != w.Generation || t.CreatedBy == e.Header.Actor || t.Confirmed() {
		return false, nil
	}
	t.ConfirmedBy, t.ConfirmedAt, t.ConfirmedIndex = e.Header.Actor, e.Header.At, e.Index
	w.Revision++
	return true, nil
}

// Confirmed reports whether a second person keyed the task's question again. An
// edit of the warrant leaves it to its generation: see [Rules.ConfirmTask].
func (t *Task) Confirmed() bool { return t.ConfirmedBy != "" }

// Withheld reports whether a task's question is not shown to a caller at now: to nobody
// but who asked it, before a second person keyed it from the order. What is read off a
// screen is keyed once.
func (r *Rules) Withheld(w Warrant, t Task, now time.Time, by Caller) bool {
	return r.confirmed(t) != nil && t.Asks(&w) && !w.State(now).Terminal() && t.CreatedBy != by.Actor
}

// confirmed refuses to run a question that only one person keyed, where the rules
// want two. Preservation tells nobody anything, and may not wait.
func (r *Rules) confirmed(t Task) *reason.Error {
	if !r.DoubleEntry || t.Category == Preservation || t.Confirmed() {
		return nil
	}
	return reason.Invalid(reason.WarrantIncomplete, reason.Violation{Field: "confirmation",
		Description: fmt.Sprintf("is missing: a second person keys the question of this %s task again (griffier task confirm)", t.Category)})
}
