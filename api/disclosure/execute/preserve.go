package execute

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"griffier/api/disclosure"
	"griffier/api/hold"
	"griffier/api/hold/keep"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/schema"
)

// sourceOf returns what a question is asked of. A hold that does not exist, has
// ended, or is of something else or another team's is [keep.ErrNotHeld], and these
// cannot be told apart.
func (x *Executor) sourceOf(w warrant.Warrant, question warrant.TaskBody, p disclosure.Plan) (source, error) {
	if question.FromHold == "" {
		return source{x.cfg.Traffic, live{x.cfg.Lines}}, nil
	}
	if x.cfg.Holds == nil {
		return source{}, keep.ErrNotHeld
	}
	made, _ := x.cfg.Holds.State().Hold(question.FromHold)
	if of, ok := x.cfg.State.Warrant(made.WarrantID); !ok || of.Team != w.Team {
		return source{}, keep.ErrNotHeld
	}
	opened, err := x.cfg.Holds.Open(question.FromHold, func(h keep.Head) bool { return h.Covers(p) })
	if err != nil && !errors.Is(err, keep.ErrNotHeld) {
		return source{}, reason.Wrap(reason.Internal, err) // a file that is not whole: operations must look
	}
	if err != nil {
		return source{}, err
	}
	return source{opened, opened}, nil
}

// stillHeld refuses an answer from a hold that has ended since it was read, so that
// none is given at or after its end.
func (x *Executor) stillHeld(now time.Time, question warrant.TaskBody, answer reason.Reason) *reason.Error {
	if question.FromHold == "" || answer == reason.DataNotHeld {
		return nil
	}
	if x.cfg.Holds == nil {
		return reason.New(reason.DataNotHeld, "")
	}
	if h, ok := x.cfg.Holds.State().Hold(question.FromHold); !ok || !h.Readable(now) {
		return reason.New(reason.DataNotHeld, "It ended while it was read.")
	}
	return nil
}

// preserve copies what there is of the plan's address into a hold, and seals the
// officer's answer: that it was done, and until when, or why there was nothing.
// The copy is on disk before the entry that makes it a hold; a task that has made
// one already, and was interrupted, answers with that.
func (x *Executor) preserve(ctx context.Context, j job, target warrant.Target, plan disclosure.Plan) (warrant.Outcome, error) {
	if x.cfg.Holds == nil {
		return warrant.Outcome{}, reason.New(reason.NotConfigured, "The server has no folder for holds.")
	}
	if made, ok := x.cfg.Holds.State().OfTask(j.t.ID); ok && made.Readable(x.cfg.Holds.Now()) {
		return x.sealPreserved(ctx, j, plan, made)
	}
	contents, found, err := x.copyFor(ctx, j.t, target, plan, everything)
	if err != nil {
		return warrant.Outcome{}, err
	}
	if contents == nil {
		return x.seal(ctx, j, found)
	}
	return x.copied(ctx, j, plan, contents)
}

// copyFor copies what there is of a target, and of its line rows of the classes. Nil
// contents: there is nothing to preserve, and the finding says why.
func (x *Executor) copyFor(ctx context.Context, t warrant.Task, target warrant.Target, plan disclosure.Plan, read []schema.Class) (*keep.Contents, finding, error) {
	limits, err := x.cfg.Traffic.Limits(ctx)
	if err != nil {
		return nil, finding{}, x.readError(ctx, t, err)
	}
	if !target.Network() {
		return x.copyLine(ctx, t, target, plan, limits, read)
	}
	readableFrom := limits[schema.ClassAssignment].ReadableFrom
	readable := plan // what is past its limit is left out, the rest preserved
	if readable.From.Before(readableFrom) && readableFrom.Before(readable.To) {
		readable.From = readableFrom
	}
	evidence, err := x.evidence(ctx, source{x.cfg.Traffic, live{x.cfg.Lines}}, readable, 0, readableFrom)
	if err != nil {
		return nil, finding{}, x.readError(ctx, t, err)
	}
	answer := disclosure.Preservable(plan, evidence)
	if answer.Reason != reason.Preserved {
		return nil, finding{plan: plan, evidence: evidence, retention: manifestRetention(schema.ClassAssignment, limits[schema.ClassAssignment]), answer: answer}, nil
	}
	if len(disclosure.InsideAddresses(readable, evidence)) > maxInside {
		return nil, finding{}, reason.New(reason.MaxHits, "More inside addresses had the port than one hold may have: narrow the window.")
	}
	contents, err := x.copyOf(ctx, readable, evidence, read)
	if err != nil {
		return nil, finding{}, x.readError(ctx, t, err)
	}
	return contents, finding{}, nil
}

// copyLine copies what a line had and did, and whose it was.
func (x *Executor) copyLine(ctx context.Context, t warrant.Task, target warrant.Target, plan disclosure.Plan, limits map[schema.Class]schema.Limit, read []schema.Class) (*keep.Contents, finding, error) {
	from := source{x.cfg.Traffic, live{x.cfg.Lines}}
	l := disclosure.Listing{ReadableFrom: limits[schema.ClassAssignment].ReadableFrom, DaysReadableFrom: limits[schema.ClassUsageDay].ReadableFrom}
	for _, class := range everything { // of whatever is kept longest there may be something
		if limit := limits[class].ReadableFrom; limit.Before(l.ReadableFrom) {
			l.ReadableFrom = limit
		}
	}
	var err error
	if l.Subjects, err = x.subjects(ctx, from, target, plan); err != nil {
		return nil, finding{}, x.readError(ctx, t, err)
	}
	if len(l.Subjects) == 1 {
		if err := x.fill(ctx, from, read, plan, &l); err != nil {
			return nil, finding{}, x.readError(ctx, t, err)
		}
		l.Own()
	}
	answer, refusal := disclosure.PreservableLine(plan, l)
	if refusal != nil {
		return nil, finding{}, refusal
	}
	if len(read) == 0 && len(l.Subjects) == 1 && refusal == nil { // whose it was is all that is asked
		answer = disclosure.Answer{Reason: reason.Preserved}
	}
	if answer.Reason != reason.Preserved {
		return nil, finding{plan: plan, evidence: disclosure.Evidence{Coverage: l.Coverage}, retention: manifestRetention(schema.ClassAssignment, limits[schema.ClassAssignment]), answer: answer}, nil
	}
	line := l.Subjects[0].LineID
	c := &keep.Contents{Head: keep.Head{Lines: []string{line}}, Target: l.Translated, Assignments: l.Assignments, Sessions: l.Sessions, Usage: l.Usage, UsageDays: l.UsageDays, Coverage: l.Coverage}
	if c.Ranges, err = x.cfg.Lines.RangesIn(ctx, plan.From, plan.To); err != nil {
		return nil, finding{}, x.readError(ctx, t, err)
	}
	for _, a := range l.Subjects[0].Access {
		c.Lines = append(c.Lines, register.Held{LineID: line, Ref: a.Ref, ValidFrom: a.ValidFrom, ValidTo: a.ValidTo})
		if !slices.Contains(c.Head.Refs, a.Ref) {
			c.Head.Refs = append(c.Head.Refs, a.Ref)
		}
	}
	if len(c.Head.Refs) > keep.MaxRefs {
		return nil, finding{}, reason.New(reason.MaxHits, "The line had more access identifiers than one hold may have: narrow the window.")
	}
	person, err := x.personFor(ctx, line, plan)
	if err != nil {
		return nil, finding{}, x.readError(ctx, t, err)
	}
	c.Persons = []keep.Person{person}
	return c, finding{}, nil
}

// copied makes a hold of a copy, and seals the answer that there is one.
func (x *Executor) copied(ctx context.Context, j job, plan disclosure.Plan, contents *keep.Contents) (warrant.Outcome, error) {
	if err := x.label(ctx, contents, j.t, j.w, plan, j.now); err != nil {
		return warrant.Outcome{}, err
	}
	made, err := x.makeHold(ctx, j.t, j.w, j.body, contents)
	if err != nil {
		return warrant.Outcome{}, err
	}
	return x.sealPreserved(ctx, j, plan, made)
}

// label says in a copy what it is of, when it was made, and how far back each class of
// rows could be read then.
func (x *Executor) label(ctx context.Context, c *keep.Contents, t warrant.Task, w warrant.Warrant, plan disclosure.Plan, now time.Time) error {
	// What expired while it was copied may be missing, so the later limit counts.
	limits, err := x.cfg.Traffic.Limits(ctx)
	if err != nil {
		return x.readError(ctx, t, err)
	}
	c.Head.HoldID, c.Head.WarrantID, c.Head.TaskID = warrantrpc.RandomID(), w.ID, t.ID
	c.Head.From, c.Head.To = plan.From, plan.To
	c.Head.Limits, c.Head.CopiedAt = map[schema.Class]schema.Limit{}, now.UTC()
	for _, class := range everything {
		c.Head.Limits[class] = limits[class]
	}
	return nil
}

// makeHold seals the copy of a task's question and enters it, while the task may run.
func (x *Executor) makeHold(ctx context.Context, t warrant.Task, w warrant.Warrant, question warrant.TaskBody, c *keep.Contents) (hold.Hold, error) {
	return x.enterHold(ctx, stepID(t.ID, "hold", t.Attempt), c, func(now time.Time, sum string, rows map[string]uint64) (ledger.Draft, *reason.Error) {
		if refusal := x.cfg.Rules.StillExecutable(x.cfg.State, now, t.ID, t.Generation); refusal != nil {
			return ledger.Draft{}, refusal
		}
		running, _, _ := x.cfg.State.Task(t.ID)
		return x.cfg.Holds.Rules().Make(x.cfg.Holds.State(), now, service, running, w,
			hold.MakeRequest{ID: c.Head.HoldID, Days: question.HoldDays, FileSHA256: sum, Rows: rows})
	})
}

// enterHold seals a copy and enters what draft says of it. A copy that the ledger
// refuses is destroyed; one whose outcome is unknown is left for a sweep to judge.
func (x *Executor) enterHold(ctx context.Context, requestID string, c *keep.Contents,
	draft func(now time.Time, sum string, rows map[string]uint64) (ledger.Draft, *reason.Error)) (hold.Hold, error) {
	keeper := x.cfg.Holds
	sum, done, err := keeper.Put(c)
	if err != nil {
		return hold.Hold{}, err
	}
	rows := map[string]uint64{}
	for class, n := range c.Head.Rows {
		rows[string(class)] = n
	}
	_, err = warrantrpc.Decide(context.WithoutCancel(ctx), x.cfg.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) {
		return draft(now, sum, rows)
	})
	if reason.Of(err) == reason.UnknownOutcome {
		return hold.Hold{}, errors.Join(err, done(true)) // perhaps it is one: a sweep or the next start finds out
	}
	made, ok := keeper.State().Hold(c.Head.HoldID)
	if err := errors.Join(err, done(ok)); err != nil {
		return hold.Hold{}, err
	}
	if !ok {
		return hold.Hold{}, reason.New(reason.UnknownOutcome, "")
	}
	return made, nil
}

// sealPreserved seals the answer that a hold was made. Of the evidence it has nothing.
func (x *Executor) sealPreserved(ctx context.Context, j job, plan disclosure.Plan, made hold.Hold) (warrant.Outcome, error) {
	return x.seal(ctx, j, finding{plan: plan, answer: disclosure.Answer{Reason: reason.Preserved},
		preserved: &disclosure.ManifestPreserved{HoldID: made.ID, UntilUTC: made.EndsAt.UTC()}})
}

// copyOf reads what a hold of the plan's address has: the evidence itself, and of
// the pseudonyms in it what they had and did in the interval, and whose they were.
func (x *Executor) copyOf(ctx context.Context, p disclosure.Plan, e disclosure.Evidence, read []schema.Class) (*keep.Contents, error) {
	c := &keep.Contents{Head: keep.Head{Address: p.Address, Port: p.Port, Protocol: p.Protocol}}
	type part struct {
		address netip.Addr
		disclosure.Evidence
	}
	parts := []part{{p.Address, e}}
	for _, inside := range slices.SortedFunc(maps.Keys(e.Inside), netip.Addr.Compare) {
		parts = append(parts, part{inside, e.Inside[inside]})
	}
	for _, one := range parts {
		ranges, err := x.cfg.Lines.RangesOf(ctx, one.address, p.From, p.To)
		if err != nil {
			return nil, err
		}
		c.Ranges = append(c.Ranges, ranges...)
		c.Target = append(c.Target, one.Assignments...)
		for _, row := range one.Coverage {
			if !slices.Contains(c.Coverage, row) {
				c.Coverage = append(c.Coverage, row)
			}
		}
	}
	c.Head.Refs = disclosure.Refs(e)
	if len(c.Head.Refs) == 0 {
		return c, nil
	}
	if len(c.Head.Refs) > keep.MaxRefs {
		return nil, reason.New(reason.MaxHits, "More access identifiers had the address than one hold may have: narrow the window.")
	}
	had, err := x.cfg.Traffic.History(ctx, c.Head.Refs, read, p.From, p.To, keep.MaxRows)
	if err != nil {
		return nil, err
	}
	c.Sessions, c.Assignments, c.Usage, c.UsageDays = had.Sessions, had.Assignments, had.Usage, had.UsageDays
	if c.Lines, err = x.cfg.Lines.LinesOfRefs(ctx, c.Head.Refs, p.From, p.To); err != nil {
		return nil, err
	}
	for _, h := range c.Lines {
		if slices.Contains(c.Head.Lines, h.LineID) {
			continue
		}
		person, err := x.personFor(ctx, h.LineID, p)
		if errors.Is(err, register.ErrUnknownLine) {
			continue // it had no contract, so nobody is named for it
		}
		if err != nil {
			return nil, err
		}
		c.Head.Lines, c.Persons = append(c.Head.Lines, h.LineID), append(c.Persons, person)
	}
	return c, nil
}

// personFor returns who a line belonged to, without the billing address.
func (x *Executor) personFor(ctx context.Context, lineID string, p disclosure.Plan) (keep.Person, error) {
	line, err := x.cfg.Lines.Line(ctx, lineID)
	if err != nil {
		return keep.Person{}, err
	}
	if line.ContractStart.After(p.To) || !line.ContractEnd.After(p.From) {
		return keep.Person{}, register.ErrUnknownLine
	}
	at := p.From
	if at.Before(line.ContractStart) {
		at = line.ContractStart
	}
	out := keep.Person{LineID: lineID, ContractStart: line.ContractStart, ContractEnd: line.ContractEnd}
	out.Person, err = x.cfg.Lines.Identity(ctx, lineID, at)
	if errors.Is(err, register.ErrErased) {
		out.Erased, err = true, nil
	}
	out.Person.BillingAddress = register.PostalAddress{}
	return out, err
}
