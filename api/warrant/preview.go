package warrant

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"griffier/api/ledger"
	"griffier/api/reason"
)

// KindPreview is the entry that somebody looked at what an act would do. It
// changes nothing.
const KindPreview = "warrant.preview"

// Preview is what an act would do, worked out by doing it to a copy.
type Preview struct {
	Kind    string // of the entry that would be appended
	Warrant Warrant
	Tasks   []Task // the warrant's, after the act
	// Effects says what would become different, a sentence each, without anything
	// of what the warrant is about.
	Effects []string
}

type previewFacts struct {
	Act string `json:"act"` // kind of the entry that was not made
}

// Previewed drafts the trace of a preview: to be told what would happen is to be
// told what is.
func Previewed(by Caller, d ledger.Draft) ledger.Draft {
	return ledger.Draft{Kind: KindPreview, Actor: by.Actor, Role: d.Role, WarrantID: d.WarrantID, Generation: d.Generation, Facts: previewFacts{d.Kind}}
}

// Preview returns what folding a draft at now would do. Nothing changes; the fold
// is the very one that the entry would meet.
func (r *Rules) Preview(s *State, now time.Time, d ledger.Draft) (Preview, error) {
	facts, err := json.Marshal(d.Facts)
	if err != nil {
		return Preview{}, fmt.Errorf("preview %s: %w", d.Kind, err)
	}
	copied, before, tasks := s.alone(d.WarrantID)
	err = copied.Apply(ledger.Entry{Header: ledger.Header{Kind: d.Kind, At: now, Actor: d.Actor, Role: d.Role, WarrantID: d.WarrantID, TaskID: d.TaskID,
		Generation: d.Generation, Reason: d.Reason, KeyID: d.KeyID, Facts: facts}})
	if err != nil {
		return Preview{}, fmt.Errorf("preview: %w", err)
	}
	if copied.Ignored() > 0 {
		return Preview{}, reason.New(reason.GenerationMismatch, "")
	}
	after, _, changed := copied.alone(d.WarrantID)
	w, _ := after.Warrant(d.WarrantID)
	return Preview{Kind: d.Kind, Warrant: w, Tasks: changed, Effects: r.effects(now, before, tasks, w, changed)}, nil
}

// alone returns a state that holds a copy of one warrant and its tasks, and these.
func (s *State) alone(id string) (*State, *Warrant, []Task) {
	out := NewState()
	s.mu.RLock()
	defer s.mu.RUnlock()
	found := s.warrants[id]
	if found == nil {
		return out, nil, nil
	}
	w := found.clone()
	kept := w.clone()
	out.warrants[id], out.order, out.duplicates[w.DuplicateKey] = &kept, []string{id}, id
	var tasks []Task
	for _, taskID := range w.Tasks {
		t := *s.tasks[taskID]
		tasks = append(tasks, t)
		out.tasks[taskID] = &t
	}
	return out, &w, tasks
}

// effects compares a warrant, nil before it was made, with what an act left of it.
func (r *Rules) effects(now time.Time, before *Warrant, tasks []Task, after Warrant, changed []Task) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	instant := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if before == nil {
		say("a warrant is made, %s, with %d targets; it needs the approval of: %s", after.State(now), after.Targets, roleList(after.Seats()))
		r.limits(&after, now, say)
		return out
	}
	if was, is := before.State(now), after.State(now); was != is {
		say("state: %s becomes %s", was, is)
	}
	if after.Generation != before.Generation {
		say("generation: %d becomes %d", before.Generation, after.Generation)
	}
	if lost := len(before.Approvals); lost > 0 && len(after.Approvals) == 0 {
		say("approvals: %d become void", lost)
	} else if len(after.Approvals) != lost {
		say("approvals: %d of %d", len(after.Approvals), len(after.Seats()))
	}
	if before.Verified && !after.Verified {
		say("the call-back to the authority becomes void")
	}
	if missing := after.AwaitingApprovals(now, r.ApprovalAge); len(missing) > 0 && !after.State(now).Terminal() {
		say("still to approve: %s", roleList(missing))
	}
	var stopped, gone, carried, destroyed int
	for i, t := range tasks {
		was, is := t.State(before, now), changed[i].State(&after, now)
		running := t.stored == TaskExecuting || t.stored == TaskSealed
		switch {
		case running && (is == TaskCancelled || changed[i].Void(&after, now) || after.running(now) != nil):
			stopped++
		case was != TaskCancelled && is == TaskCancelled:
			gone++
		case t.open() && changed[i].Generation != t.Generation:
			carried++
		case after.State(now).Terminal() && !t.ReleasedAt.IsZero() && !t.Destroyed:
			destroyed++
		}
	}
	count := func(n int, one, many string) {
		switch {
		case n == 1:
			say("1 %s", one)
		case n > 1:
			say("%d %s", n, many)
		}
	}
	count(stopped, "running execution is cut off", "running executions are cut off")
	count(gone, "open task never runs", "open tasks never run")
	count(carried, "open task goes on under the new generation, to be confirmed again", "open tasks go on under the new generation, to be confirmed again")
	count(destroyed, "package is destroyed", "packages are destroyed")
	if effect := r.consentEffect(before, after); effect != "" {
		say("%s", effect)
	}
	if before.PaperAt.IsZero() && !after.PaperAt.IsZero() {
		say("the paper of the oral order is there")
	}
	if before.noticeBlocks(now) && !after.noticeBlocks(now) {
		say("the enforcing authority's notice blocks nothing any more")
	}
	if was, is := before.EffectiveUntil(r.ApprovalAge), after.EffectiveUntil(r.ApprovalAge); !was.Equal(is) {
		say("effective until: %s becomes %s", instant(was), instant(is))
	}
	if !before.ValidUntil.Equal(after.ValidUntil) {
		say("lapses: %s becomes %s", instant(before.ValidUntil), instant(after.ValidUntil))
	}
	if !before.ActBy.Equal(after.ActBy) && !after.ActBy.IsZero() {
		say("act by: %s", instant(after.ActBy))
	}
	if len(out) == 0 {
		say("nothing that is shown becomes different")
	}
	return out
}

// limits says by when a warrant is to be acted on and when it lapses.
func (r *Rules) limits(w *Warrant, now time.Time, say func(string, ...any)) {
	if !w.ActBy.IsZero() {
		say("act by: %s (%s)", w.ActBy.UTC().Format(time.RFC3339), w.Priority)
	}
	say("lapses: %s", w.ValidUntil.UTC().Format(time.RFC3339))
	if w.paperDue() {
		say("paper and second approval by: %s, or it is suspended", w.PaperBy.UTC().Format(time.RFC3339))
	}
	if w.noticeBlocks(now) {
		say("nothing is released before %s, unless the enforcing authority clears it", w.NoticeUntil.UTC().Format(time.RFC3339))
	}
}

func roleList(roles []Role) string {
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	return strings.Join(names, ", ")
}
