package execute

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"griffier/api/disclosure"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/schema"
)

// answer reads the evidence, judges it, and seals the package onto the shelf.
// Its context ends when the warrant does, so a query that outlives the warrant
// is cut off; whether the warrant still lasts is asked again right before it.
func (x *Executor) answer(ctx context.Context, t warrant.Task, w warrant.Warrant, question warrant.TaskBody, content warrant.Content) (warrant.Outcome, error) {
	address, instant, uncertainty, refusal := question.Question()
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
	plan := disclosure.NewPlan(disclosure.Question{Address: address, Instant: instant, Uncertainty: uncertainty,
		Port: uint16(question.Port), Protocol: uint8(question.Protocol)}, x.cfg.ClockMargin)
	evidence, retention, err := x.evidence(ctx, plan)
	if err != nil {
		return warrant.Outcome{}, x.readError(ctx, t, err)
	}
	answer := disclosure.Judge(plan, evidence)
	columns := disclosure.ColumnsFor(t.Category, w.Categories)
	var subscriber disclosure.Person
	if answer.Reason == reason.Match && disclosure.NeedsIdentity(columns) {
		person, err := x.cfg.Lines.Identity(ctx, answer.LineID, plan.Instant)
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
	plain, err := disclosure.Tar(x.cfg.Signer, disclosure.Case{
		Software: x.cfg.Software, WarrantID: w.ID, Reference: content.Reference, WarrantContentSHA256: w.ContentSHA256,
		LegalBasis: w.Basis, TaskID: t.ID, Generation: t.Generation, Attempt: t.Attempt, Category: string(t.Category),
		InstantEntered: question.Instant, Zone: x.zone, IntentIndex: t.IntentIndex, QueriedAt: now, Retention: retention,
	}, plan, evidence, answer, columns, subscriber)
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
// store did not answer.
func (x *Executor) readError(ctx context.Context, t warrant.Task, err error) error {
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
func (x *Executor) evidence(ctx context.Context, p disclosure.Plan) (disclosure.Evidence, disclosure.ManifestRetention, error) {
	policy, readableFrom, err := x.cfg.Traffic.Retention(ctx)
	if err != nil {
		return disclosure.Evidence{}, disclosure.ManifestRetention{}, err
	}
	retention := disclosure.ManifestRetention{Class: string(schema.ClassAssignment), Period: policy.Period, Zone: policy.Zone, ReadableFromUTC: readableFrom.UTC()}
	e, err := x.evidenceOf(ctx, p, readableFrom)
	if err != nil {
		return e, retention, err
	}
	inside := disclosure.InsideAddresses(p, e)
	for _, a := range inside[:min(len(inside), maxInside)] {
		if e.Inside == nil {
			e.Inside = map[netip.Addr]disclosure.Evidence{}
		}
		if e.Inside[a], err = x.evidenceOf(ctx, disclosure.InsidePlan(p, a), readableFrom); err != nil {
			return e, retention, err
		}
	}
	return e, retention, nil
}

// evidenceOf reads what is known of the plan's address itself. Coverage comes
// before the assignments, see [Traffic.Coverage].
func (x *Executor) evidenceOf(ctx context.Context, p disclosure.Plan, readableFrom time.Time) (disclosure.Evidence, error) {
	e := disclosure.Evidence{ReadableFrom: readableFrom}
	ranges, err := x.cfg.Lines.RangesOf(ctx, p.Address, p.From, p.To)
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
	if e.Coverage, err = x.cfg.Traffic.Coverage(ctx, collectors, p.From, p.To); err != nil {
		return e, err
	}
	if e.Assignments, err = x.cfg.Traffic.Assignments(ctx, p); err != nil {
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
	held, err := x.cfg.Lines.LinesOfRefs(ctx, refs, p.From, p.To)
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
