package execute

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"griffier/api/disclosure"
	"griffier/api/hold/keep"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/schema"
)

// job is one execution: a task under its warrant, what it asks, and since when.
type job struct {
	t       warrant.Task
	w       warrant.Warrant
	body    warrant.TaskBody
	content warrant.Content
	by      warrant.Caller
	now     time.Time
}

// finding is what a job came to, before it is packed.
type finding struct {
	plan      disclosure.Plan
	evidence  disclosure.Evidence
	retention disclosure.ManifestRetention
	answer    disclosure.Answer
	records   []disclosure.Record
	preserved *disclosure.ManifestPreserved
}

// source is what a question is asked of: the store and the register, or a hold.
type source struct {
	traffic traffic
	lines   Lines
}

// answer reads the evidence, judges it, and seals the package onto the shelf.
// Its context ends when the warrant does, so a query that outlives the warrant
// is cut off; whether the warrant still lasts is asked again right before it.
func (x *Executor) answer(ctx context.Context, j job) (warrant.Outcome, error) {
	q, refusal := j.body.Question()
	if refusal != nil {
		return warrant.Outcome{}, refusal
	}
	j.now = x.cfg.Now()
	until := j.w.EffectiveUntil(x.cfg.Rules.ApprovalAge)
	ctx, stop := context.WithTimeoutCause(ctx, until.Sub(j.now), errEnded)
	defer stop()
	if refusal := x.cfg.Rules.StillExecutable(x.cfg.State, j.now, j.t.ID, j.t.Generation); refusal != nil {
		return warrant.Outcome{}, refusal
	}
	if j.t.Category == warrant.Preservation {
		return x.preserve(ctx, j, q.Target, x.windowPlan(q))
	}
	ask, plan := x.attribute, disclosure.NewPlan(questionOf(q), x.cfg.ClockMargin)
	plan.AccountingInterval = x.cfg.AccountingInterval
	switch j.t.Category {
	case warrant.Identity:
		ask = x.identify
	case warrant.History, warrant.TimeCategory, warrant.Volume:
		ask, plan = x.list, disclosure.NewListPlan(questionOf(q), q.Last(), x.cfg.ClockMargin)
	}
	plan.AnyClock = x.cfg.AnyClock
	from, err := x.sourceOf(j.w, j.body, plan)
	if errors.Is(err, keep.ErrNotHeld) {
		return x.seal(ctx, j, finding{plan: plan, answer: disclosure.Answer{Reason: reason.DataNotHeld}})
	}
	if err != nil {
		return warrant.Outcome{}, x.readError(ctx, j.t, err)
	}
	f, err := ask(ctx, from, j, q, plan)
	if err != nil {
		return warrant.Outcome{}, x.readError(ctx, j.t, err)
	}
	return x.seal(ctx, j, f)
}

// windowPlan returns the plan of a preservation.
func (x *Executor) windowPlan(q warrant.Question) disclosure.Plan {
	p := disclosure.NewWindowPlan(questionOf(q), q.Last(), x.cfg.ClockMargin)
	p.AnyClock = x.cfg.AnyClock
	return p
}

// questionOf returns what a plan is made of.
func questionOf(q warrant.Question) disclosure.Question {
	bare := q.Target
	bare.Port, bare.Protocol = 0, 0
	out := disclosure.Question{Target: bare.String(), Address: q.Target.Address, Prefix: q.Target.Prefix, Instant: q.Instant, Uncertainty: q.Uncertainty,
		Port: q.Target.Port, Protocol: q.Target.Protocol}
	if out.Prefix.IsValid() {
		out.Address = out.Prefix.Addr()
	}
	return out
}

// attribute answers which line held an address, a port of it, or a delegated prefix.
func (x *Executor) attribute(ctx context.Context, from source, j job, _ warrant.Question, plan disclosure.Plan) (finding, error) {
	f := finding{plan: plan}
	limits, err := from.traffic.Limits(ctx)
	if err != nil {
		return f, err
	}
	limit := limits[schema.ClassAssignment]
	f.retention = manifestRetention(schema.ClassAssignment, limit)
	if f.evidence, err = x.evidence(ctx, from, plan, x.cfg.NeighbourMargin, limit.ReadableFrom); err != nil {
		return f, err
	}
	if disclosure.Wider(plan, f.evidence) {
		return f, reason.New(reason.TargetNotSpecific, "It is wider than what is delegated to one customer: ask for one address.")
	}
	f.answer = disclosure.Judge(plan, f.evidence)
	var subscriber disclosure.Person
	if disclosure.NeedsIdentity(disclosure.ColumnsFor(j.t.Category, j.w.Categories)) {
		// Without a match nobody's line is asked after, in as many questions, so that
		// how long it took does not tell who was found and may not be named.
		who, known, err := x.subscribers(ctx, from, []string{f.answer.LineID}, plan.Instant)
		if err != nil {
			return f, err
		}
		if f.answer.Reason == reason.Match && !known { // a line whose subscriber is in no register is no answer to "who"
			f.answer = disclosure.Answer{Reason: reason.DataConflict, Covering: f.answer.Covering}
		}
		subscriber = who[f.answer.LineID]
	}
	if f.answer.Reason != reason.Match {
		return f, nil
	}
	f.answer.Neighbours = disclosure.Neighbours(plan.Around(x.cfg.NeighbourMargin), f.evidence, f.answer.LineID, disclosure.InsideAddresses(plan, f.evidence))
	f.records = disclosure.Attributed(plan, f.answer, subscriber)
	return f, nil
}

// subscribers returns who lines belonged to at an instant; false if that of any is not
// in the register.
func (x *Executor) subscribers(ctx context.Context, from source, lines []string, instant time.Time) (map[string]disclosure.Person, bool, error) {
	out := map[string]disclosure.Person{}
	for _, line := range lines {
		person, err := from.lines.Identity(ctx, line, instant)
		if errors.Is(err, register.ErrUnknownLine) || errors.Is(err, register.ErrErased) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		out[line] = personOf(person)
	}
	return out, true, nil
}

// seal packs a finding, seals it to the authority and puts it on the shelf.
func (x *Executor) seal(ctx context.Context, j job, f finding) (warrant.Outcome, error) {
	if x.cfg.Conflict != nil && len(f.records) > 0 {
		if err := x.cfg.Conflict(ctx, j.w, j.by, linesOf(f.records)); err != nil {
			return warrant.Outcome{}, x.readError(ctx, j.t, err)
		}
	}
	if x.cfg.Resolved != nil && len(f.records) > 0 {
		if err := x.cfg.Resolved(ctx, j.t, j.w, linesOf(f.records)); err != nil {
			return warrant.Outcome{}, x.readError(ctx, j.t, err)
		}
	}
	sealed, err := x.pack(ctx, j, f)
	if err != nil {
		return warrant.Outcome{}, err
	}
	if err := ctx.Err(); err != nil {
		return warrant.Outcome{}, x.readError(ctx, j.t, err)
	}
	if err := x.shelf.put(j.t.ID, sealedSuffix, sealed); err != nil {
		return warrant.Outcome{}, err
	}
	return warrant.Outcome{Answer: f.answer.Reason, PackageSHA256: disclosure.SHA256(sealed), PackageBytes: int64(len(sealed)),
		Incomplete: f.answer.Incomplete, Neighbours: f.answer.Neighbours}, nil
}

// linesOf returns the lines that records are of, each once.
func linesOf(records []disclosure.Record) (out []string) {
	for _, r := range records {
		if !slices.Contains(out, r.LineID) {
			out = append(out, r.LineID)
		}
	}
	return out
}

// readError says why reading failed: because the warrant ended, or because the
// store did not answer. What has a reason keeps it.
func (x *Executor) readError(ctx context.Context, t warrant.Task, err error) error {
	if reason.From(err) != nil {
		return err
	}
	if errors.Is(context.Cause(ctx), errEnded) {
		if refusal := x.cfg.Rules.StillExecutable(x.cfg.State, x.cfg.Now(), t.ID, t.Generation); refusal != nil {
			refusal.Cause = err
			return refusal
		}
		// Halted and resumed meanwhile: it is not the store that failed.
		return &reason.Error{Reason: reason.WarrantSuspended, Detail: "It was suspended while the question was asked, and goes on: execute again.", Cause: err}
	}
	return reason.Wrap(reason.StoreUnavailable, err)
}

// maxInside bounds the inside addresses that are looked at. That many cannot
// have had one port and leave one line, and those not looked at are unknown.
const maxInside = 64

func manifestRetention(class schema.Class, l schema.Limit) disclosure.ManifestRetention {
	return disclosure.ManifestRetention{Class: string(class), Period: l.Policy.Period, Zone: l.Policy.Zone, ReadableFromUTC: l.ReadableFrom.UTC()}
}

// evidence reads what the plan needs, and nothing else: of a shared address also
// what there is of each inside address that had the stated port. Assignments are read
// as far as margin outside of the interval, for a warning, and as far back as who fell
// silent may have gone on.
func (x *Executor) evidence(ctx context.Context, from source, p disclosure.Plan, margin time.Duration, readableFrom time.Time) (disclosure.Evidence, error) {
	e, err := x.evidenceOf(ctx, from, p, margin, readableFrom)
	if err != nil {
		return e, err
	}
	inside := disclosure.InsideAddresses(p, e)
	for _, a := range inside[:min(len(inside), maxInside)] {
		if e.Inside == nil {
			e.Inside = map[netip.Addr]disclosure.Evidence{}
		}
		if e.Inside[a], err = x.evidenceOf(ctx, from, disclosure.InsidePlan(p, a), 0, readableFrom); err != nil {
			return e, err
		}
	}
	return e, nil
}

// evidenceOf reads what is known of the plan's address itself. Coverage comes
// before the assignments, see [Traffic.Coverage].
func (x *Executor) evidenceOf(ctx context.Context, from source, p disclosure.Plan, margin time.Duration, readableFrom time.Time) (disclosure.Evidence, error) {
	e := disclosure.Evidence{ReadableFrom: readableFrom}
	ranges, err := from.lines.RangesOf(ctx, p.Address, p.From, p.To)
	if err != nil {
		return e, err
	}
	e.Ranges = rangesOf(ranges)
	var collectors []string
	for _, r := range ranges {
		collectors = append(collectors, r.CollectorIDs...)
	}
	slices.Sort(collectors)
	if collectors = slices.Compact(collectors); len(collectors) == 0 || p.From.Before(readableFrom) {
		return e, nil // the answer is known; nothing of the traffic is read
	}
	if e.Coverage, err = from.traffic.Coverage(ctx, collectors, p.From, p.To); err != nil {
		return e, err
	}
	around := p.Read(margin)
	if e.Assignments, err = from.traffic.Assignments(ctx, around); err != nil {
		return e, err
	}
	if around.From.Before(p.From) && p.Port == 0 && slices.ContainsFunc(e.Assignments, func(a schema.Assignment) bool { return a.Shared() }) {
		// Of those who share it one row each was read, which may be one outside of the
		// interval.
		around = p
		if e.Assignments, err = from.traffic.Assignments(ctx, p); err != nil {
			return e, err
		}
	}
	var refs []schema.AccessRef
	for _, a := range e.Assignments {
		if a.AccessRef != (schema.AccessRef{}) && !slices.Contains(refs, a.AccessRef) {
			refs = append(refs, a.AccessRef)
		}
	}
	if len(refs) == 0 {
		return e, nil
	}
	held, err := from.lines.LinesOfRefs(ctx, refs, around.From, around.To)
	if err != nil {
		return e, err
	}
	e.Lines = accessOf(held)
	return e, nil
}

func accessOf(held []register.Held) (out []disclosure.LineAccess) {
	for _, h := range held {
		out = append(out, disclosure.LineAccess{LineID: h.LineID, Ref: h.Ref, ValidFrom: h.ValidFrom, ValidTo: h.ValidTo})
	}
	return out
}

func rangesOf(ranges []register.Range) (out []disclosure.Range) {
	for _, r := range ranges {
		out = append(out, disclosure.Range{Prefix: r.Prefix, Provider: r.Provider, CollectorIDs: r.CollectorIDs, ValidFrom: r.ValidFrom, ValidTo: r.ValidTo,
			Translation: r.Translation})
	}
	return out
}

// personOf leaves the billing address behind.
func personOf(p register.Person) disclosure.Person {
	a := p.InstallationAddress
	return disclosure.Person{Name: p.Name, InstallationAddress: disclosure.PostalAddress{
		Street: a.Street, HouseNumber: a.HouseNumber, Postcode: a.Postcode, Town: a.Town, Country: a.Country}}
}
