package execute

import (
	"context"
	"errors"
	"slices"
	"time"

	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/schema"
)

// unexecuted is one question of an order that is not executed.
type unexecuted struct {
	kept     hold.Kept
	task     warrant.Task // zero: no task asks it
	question warrant.Question
}

// KeepUnexecuted copies into holds what an order asks that is not executed: what its
// task asks, or, without one, what its open tasks ask and each target that none of them
// is about, over the window of the order. Rows are copied of the classes that its
// categories can disclose, and of no other; a question about such a row that is asked
// of the hold is answered as past retention, never as if there had been none.
//
// It says of each question what came of it. An error means that it must be tried again;
// what is a hold by then stays one, and is not copied a second time.
func (x *Executor) KeepUnexecuted(ctx context.Context, warrantID, taskID string, days int) ([]hold.Kept, error) {
	if x.cfg.Holds == nil {
		return nil, reason.New(reason.NotConfigured, "The server has no folder for holds.")
	}
	if err := x.trustClock(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), x.cfg.Limit)
	defer stop()
	ctx, release, err := x.hold(ctx, warrantID+"/"+taskID, warrantID)
	if err != nil {
		return nil, err
	}
	defer release()
	w, ok := x.cfg.State.Warrant(warrantID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	questions, err := x.unexecuted(ctx, w, taskID)
	if err != nil {
		return nil, err
	}
	var out []hold.Kept
	for _, q := range questions {
		kept, err := x.keepOne(ctx, w, q, days)
		if errors.Is(context.Cause(ctx), errEnded) {
			err = reason.New(reason.WarrantTerminal, "It ended while what it asks was copied.")
		}
		if err != nil {
			return nil, err
		}
		out = append(out, kept)
	}
	return out, nil
}

// unexecuted lists the questions. One that is asked of a hold is preserved already.
func (x *Executor) unexecuted(ctx context.Context, w warrant.Warrant, taskID string) ([]unexecuted, error) {
	var out []unexecuted
	add := func(kept hold.Kept, t warrant.Task, body warrant.TaskBody) error {
		q, refusal := body.Question()
		if refusal != nil {
			return refusal
		}
		out = append(out, unexecuted{kept, t, q})
		return nil
	}
	for _, id := range w.Tasks {
		t, _, _ := x.cfg.State.Task(id)
		if taskID != "" && id != taskID || !t.Asks(&w) {
			continue
		}
		body, err := warrantrpc.Question(ctx, x.cfg.Book, t)
		if err != nil {
			return nil, err
		}
		if body.FromHold != "" {
			continue
		}
		if err := add(hold.Kept{TaskID: id}, t, body); err != nil {
			return nil, err
		}
	}
	if taskID != "" {
		return out, nil
	}
	content, err := warrantrpc.Content(ctx, x.cfg.Book, w)
	if err != nil {
		return nil, err
	}
	asked := slices.Clone(out)
	for i, text := range content.Targets {
		target, refusal := warrant.ParseTarget(text)
		if refusal != nil {
			return nil, refusal
		}
		if slices.ContainsFunc(asked, func(u unexecuted) bool { return target.Names(u.question.Target) }) {
			continue
		}
		body := warrant.TaskBody{Instant: content.WindowStart, WindowEnd: content.WindowEnd, Port: uint32(target.Port), Protocol: uint32(target.Protocol)}
		target.Port, target.Protocol = 0, 0
		body.Target = target.String()
		if err := add(hold.Kept{Target: uint32(i + 1)}, warrant.Task{}, body); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// disclosable are the classes of rows that categories can disclose something of.
func disclosable(categories []warrant.Category) []schema.Class {
	var out []schema.Class
	for _, c := range categories {
		if c == warrant.Preservation {
			return everything
		}
		out = append(out, classes[c]...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (x *Executor) keepOne(ctx context.Context, w warrant.Warrant, q unexecuted, days int) (hold.Kept, error) {
	keeper, kept := x.cfg.Holds, q.kept
	if made, ok := keeper.State().OfQuestion(keeper.Now(), w.ID, kept); ok {
		kept.Answer, kept.HoldID = reason.Preserved, made.ID
		return kept, nil
	}
	read := disclosable(w.Categories)
	plan := x.windowPlan(q.question)
	contents, found, err := x.copyFor(ctx, q.task, q.question.Target, plan, read)
	if why := reason.Of(err); why == reason.MaxHits || why == reason.TargetNotSpecific {
		kept.Answer = why // another try would come to the same
		return kept, nil
	}
	if err != nil {
		return kept, err
	}
	if contents == nil {
		kept.Answer = found.answer.Reason
		return kept, nil
	}
	if err := x.label(ctx, contents, q.task, w, plan, x.cfg.Now()); err != nil {
		return kept, err
	}
	for class, limit := range contents.Head.Limits {
		if !slices.Contains(read, class) && !(class == schema.ClassAssignment && q.question.Target.Network()) {
			limit.ReadableFrom = plan.To.Add(time.Millisecond) // nothing of it is here
			contents.Head.Limits[class] = limit
		}
	}
	made, err := x.makeUnexecuted(ctx, w, kept, days, contents)
	if err != nil {
		return kept, err
	}
	kept.Answer, kept.HoldID = reason.Preserved, made.ID
	return kept, nil
}

// makeUnexecuted seals the copy and enters it, as makeHold does.
func (x *Executor) makeUnexecuted(ctx context.Context, w warrant.Warrant, of hold.Kept, days int, c *keep.Contents) (hold.Hold, error) {
	return x.enterHold(ctx, ledger.RequestID("executor", "unexecuted-hold", c.Head.HoldID), c, func(now time.Time, sum string, rows map[string]uint64) (ledger.Draft, *reason.Error) {
		current, _ := x.cfg.State.Warrant(w.ID)
		return x.cfg.Holds.Rules().MakeUnexecuted(x.cfg.Holds.State(), now, service, current, of, days,
			hold.MakeRequest{ID: c.Head.HoldID, FileSHA256: sum, Rows: rows})
	})
}
