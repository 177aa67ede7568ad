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

// source is what a question is asked of: the store and the register, or a hold.
type source struct {
	traffic traffic
	lines   Lines
}

// answer reads the evidence, judges it, and seals the package onto the shelf.
// Its context ends when the warrant does, so a query that outlives the warrant
// is cut off; whether the warrant still lasts is asked again right before it.
func (x *Executor) answer(ctx context.Context, t warrant.Task, w warrant.Warrant, question warrant.TaskBody, content warrant.Content) (warrant.Outcome, error) {
	q, last, refusal := questionOf(question)
	if refusal != nil {
		return warrant.Outcome{}, refusal
	}
	now := x.cfg.Now()
	until := w.EffectiveUntil(x.cfg.Rules.ApprovalAge)
	ctx, stop := context.WithTimeoutCause(ctx, until.Sub(now), errEnded)
	defer stop()
	if refusal := x.cfg.Rules.StillExecutable(x.cfg.State, now, t.ID, t.Generation); refusal != nil {
		return warrant.Outcome{}, refusal
	}
	if t.Category == warrant.Preservation {
		return x.preserve(ctx, t, w, question, content, now, disclosure.NewWindowPlan(q, last, x.cfg.ClockMargin))
	}
	plan := disclosure.NewPlan(q, x.cfg.ClockMargin)
	from, err := x.sourceOf(question, plan)
	if errors.Is(err, keep.ErrNotHeld) {
		return x.seal(ctx, t, w, question, content, now, plan, disclosure.Evidence{}, disclosure.ManifestRetention{},
			disclosure.Answer{Reason: reason.DataNotHeld}, disclosure.Person{}, nil)
	} else if err != nil {
		return warrant.Outcome{}, x.readError(ctx, t, err)
	}
	evidence, retention, err := x.evidence(ctx, from, plan)
	if err != nil {
		return warrant.Outcome{}, x.readError(ctx, t, err)
	}
	answer := disclosure.Judge(plan, evidence)
	columns := disclosure.ColumnsFor(t.Category, w.Categories)
	var subscriber disclosure.Person
	if answer.Reason == reason.Match && disclosure.NeedsIdentity(columns) {
		person, err := from.lines.Identity(ctx, answer.LineID, plan.Instant)
		switch {
		case errors.Is(err, register.ErrUnknownLine), errors.Is(err, register.ErrErased):
			// A line whose subscriber is in no register is no answer to "who".
			answer = disclosure.Answer{Reason: reason.DataConflict, Covering: answer.Covering}
		case err != nil:
			return warrant.Outcome{}, x.readError(ctx, t, err)
		default:
			subscriber = personOf(person)
		}
	}
	return x.seal(ctx, t, w, question, content, now, plan, evidence, retention, answer, subscriber, nil)
}

// seal packs an answer, seals it to the authority and puts it on the shelf.
func (x *Executor) seal(ctx context.Context, t warrant.Task, w warrant.Warrant, question warrant.TaskBody, content warrant.Content, now time.Time,
	plan disclosure.Plan, evidence disclosure.Evidence, retention disclosure.ManifestRetention, answer disclosure.Answer,
	subscriber disclosure.Person, preserved *disclosure.ManifestPreserved) (warrant.Outcome, error) {
	plain, err := disclosure.Tar(x.cfg.Signer, disclosure.Case{
		Software: x.cfg.Software, WarrantID: w.ID, Reference: content.Reference, WarrantContentSHA256: w.ContentSHA256,
		LegalBasis: w.Basis, TaskID: t.ID, Generation: t.Generation, Attempt: t.Attempt, Category: string(t.Category),
		InstantEntered: question.Instant, Zone: x.zone, IntentIndex: t.IntentIndex, QueriedAt: now, Retention: retention,
		FromHold: question.FromHold, Preserved: preserved, WindowEnd: question.WindowEnd,
	}, plan, evidence, answer, disclosure.ColumnsFor(t.Category, w.Categories), subscriber)
	if err != nil {
		return warrant.Outcome{}, reason.Wrap(reason.SchemaInvalid, err)
	}
	sealed, err := disclosure.Seal(plain, content.Recipient)
	if err != nil {
		return warrant.Outcome{}, reason.Wrap(reason.SchemaInvalid, err)
	}
	if len(sealed) > disclosure.MaxPackageBytes {
		return warrant.Outcome{}, reason.New(reason.MaxHits, "The package would be too large.")
	}
	if err := ctx.Err(); err != nil {
		return warrant.Outcome{}, x.readError(ctx, t, err)
	}
	if err := x.shelf.put(t.ID, sealedSuffix, sealed); err != nil {
		return warrant.Outcome{}, err
	}
	return warrant.Outcome{Answer: answer.Reason, PackageSHA256: disclosure.SHA256(sealed), PackageBytes: int64(len(sealed))}, nil
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
	}
	return reason.Wrap(reason.StoreUnavailable, err)
}

// maxInside bounds the inside addresses that are looked at. That many cannot
// have had one port and leave one line, and those not looked at are unknown.
const maxInside = 64

// evidence reads what the plan needs, and nothing else: of a shared address also
// what there is of each inside address that had the stated port.
func (x *Executor) evidence(ctx context.Context, from source, p disclosure.Plan) (disclosure.Evidence, disclosure.ManifestRetention, error) {
	policy, readableFrom, err := from.traffic.Retention(ctx)
	if err != nil {
		return disclosure.Evidence{}, disclosure.ManifestRetention{}, err
	}
	e, err := x.evidenceFrom(ctx, from, p, readableFrom)
	return e, manifestRetention(policy, readableFrom), err
}

func manifestRetention(policy schema.Policy, readableFrom time.Time) disclosure.ManifestRetention {
	return disclosure.ManifestRetention{Class: string(schema.ClassAssignment), Period: policy.Period, Zone: policy.Zone, ReadableFromUTC: readableFrom.UTC()}
}

// evidenceFrom is evidence under a limit that is known.
func (x *Executor) evidenceFrom(ctx context.Context, from source, p disclosure.Plan, readableFrom time.Time) (disclosure.Evidence, error) {
	e, err := x.evidenceOf(ctx, from, p, readableFrom)
	if err != nil {
		return e, err
	}
	inside := disclosure.InsideAddresses(p, e)
	for _, a := range inside[:min(len(inside), maxInside)] {
		if e.Inside == nil {
			e.Inside = map[netip.Addr]disclosure.Evidence{}
		}
		if e.Inside[a], err = x.evidenceOf(ctx, from, disclosure.InsidePlan(p, a), readableFrom); err != nil {
			return e, err
		}
	}
	return e, nil
}

// evidenceOf reads what is known of the plan's address itself. Coverage comes
// before the assignments, see [Traffic.Coverage].
func (x *Executor) evidenceOf(ctx context.Context, from source, p disclosure.Plan, readableFrom time.Time) (disclosure.Evidence, error) {
	e := disclosure.Evidence{ReadableFrom: readableFrom}
	ranges, err := from.lines.RangesOf(ctx, p.Address, p.From, p.To)
	if err != nil {
		return e, err
	}
	var collectors []string
	for _, r := range ranges {
		e.Ranges = append(e.Ranges, disclosure.Range{Prefix: r.Prefix, Provider: r.Provider, CollectorIDs: r.CollectorIDs, ValidFrom: r.ValidFrom, ValidTo: r.ValidTo,
			Translation: r.Translation})
		collectors = append(collectors, r.CollectorIDs...)
	}
	slices.Sort(collectors)
	if collectors = slices.Compact(collectors); len(collectors) == 0 || p.From.Before(readableFrom) {
		return e, nil // the answer is known; nothing of the traffic is read
	}
	if e.Coverage, err = from.traffic.Coverage(ctx, collectors, p.From, p.To); err != nil {
		return e, err
	}
	if e.Assignments, err = from.traffic.Assignments(ctx, p); err != nil {
		return e, err
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
	held, err := from.lines.LinesOfRefs(ctx, refs, p.From, p.To)
	if err != nil {
		return e, err
	}
	for _, h := range held {
		e.Lines = append(e.Lines, disclosure.LineAccess{LineID: h.LineID, Ref: h.Ref, ValidFrom: h.ValidFrom, ValidTo: h.ValidTo})
	}
	return e, nil
}

// personOf leaves the billing address behind.
func personOf(p register.Person) disclosure.Person {
	a := p.InstallationAddress
	return disclosure.Person{Name: p.Name, InstallationAddress: disclosure.PostalAddress{
		Street: a.Street, HouseNumber: a.HouseNumber, Postcode: a.Postcode, Town: a.Town, Country: a.Country}}
}
