package warrant

import (
	"encoding/json"
	"slices"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// final are the refusals of a task that are for what it asks, and not for a
// circumstance that may pass: asked again as it stands, it would be a second look at
// what the first one was not to show (disclosure.md D-18; TS 103 120, LDTaskStatus
// Rejected). Who wants to know more makes another task, which two people key.
var final = []reason.Reason{reason.MaxHits}

// Final reports whether an execution that failed with err must never be repeated.
func Final(err error) bool { return slices.Contains(final, reason.Of(err)) }

type refuseFacts struct {
	Attempt uint32 `json:"attempt"`
}

// RefuseBody is the sealed body of a refusal for good: what was said to who asked, so
// that asking again is told the same.
type RefuseBody struct {
	Detail string `json:"detail"` // a band, never a number and never who
}

// Refuse drafts the entry that ends an execution, and its task with it. Nothing was
// sealed, and nothing of it ever is.
func (r *Rules) Refuse(s *State, by Caller, taskID string, attempt uint32, why *reason.Error) (ledger.Draft, *reason.Error) {
	t, w, ok := s.Task(taskID)
	if !ok {
		return ledger.Draft{}, reason.New(reason.NotFound, "")
	}
	if t.Attempt != attempt || t.stored != TaskExecuting || !Final(why) {
		return ledger.Draft{}, reason.New(reason.WarrantTerminal, "Nothing is running that could be refused.")
	}
	d := r.taskDraft(KindRefuse, by, t, w)
	d.Reason, d.KeyID = string(why.Reason), w.KeyID
	d.Facts, d.Body = refuseFacts{attempt}, RefuseBody{why.Detail}
	return d, nil
}

// applyRefuse takes in a refusal whatever the warrant's revision: to stop is always
// safe.
func (s *State) applyRefuse(e ledger.Entry) (bool, error) {
	var f refuseFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return false, err
	}
	t := s.tasks[e.Header.TaskID]
	if t == nil || f.Attempt != t.Attempt || t.stored != TaskExecuting {
		return false, nil
	}
	t.stored, t.Refusal = TaskRejected, reason.Reason(e.Header.Reason)
	t.RefusedIndex, t.RefusedAt = e.Index, e.Header.At
	s.warrants[t.WarrantID].Revision++
	return true, nil
}

// refusedLast reports whether a task was refused and none was asked since.
func (s *State) refusedLast(w *Warrant, t *Task) bool {
	return t.stored == TaskRejected && !slices.ContainsFunc(w.Tasks, func(id string) bool { return s.tasks[id].Index > t.RefusedIndex })
}
