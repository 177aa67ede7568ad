package execute

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"griffier/api/disclosure"
	"griffier/api/hold/keep"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/schema"
)

// maxFound is as far as lines that a target names are counted.
const maxFound = 101

// classes are what is read for a category, and nothing else. The first is the one
// whose retention the answer states.
var classes = map[warrant.Category][]schema.Class{
	warrant.History:      {schema.ClassAssignment},
	warrant.TimeCategory: {schema.ClassSession},
	warrant.Volume:       {schema.ClassUsage5m, schema.ClassUsageDay},
}

// identify answers whose a line was. Only the register is read.
func (x *Executor) identify(ctx context.Context, from source, _ job, q warrant.Question, plan disclosure.Plan) (finding, error) {
	f := finding{plan: plan}
	subjects, err := x.subjects(ctx, from, q.Target, plan)
	if err != nil {
		return f, err
	}
	var refusal *reason.Error
	if f.answer, refusal = disclosure.Identify(plan, q.Target.Kind, subjects, q.MaxSubjects); refusal != nil {
		return f, refusal
	}
	if f.answer.Reason != reason.Match {
		return f, nil
	}
	var lines []string
	for _, s := range subjects {
		lines = append(lines, s.LineID)
	}
	who, known, err := x.subscribers(ctx, from, lines, plan.Instant)
	if err != nil {
		return f, err
	}
	if !known {
		f.answer = disclosure.Answer{Reason: reason.DataConflict}
		return f, nil
	}
	f.records = disclosure.Named(plan, subjects, who)
	return f, nil
}

// list answers what there is of a line in a window: addresses, connection times or
// volumes. Where the register names too many lines, or all of the window is past
// retention, nothing of the traffic is read.
func (x *Executor) list(ctx context.Context, from source, j job, q warrant.Question, plan disclosure.Plan) (finding, error) {
	f := finding{plan: plan}
	limits, err := from.traffic.Limits(ctx)
	if err != nil {
		return f, err
	}
	read := classes[j.t.Category]
	f.retention = manifestRetention(read[0], limits[read[0]])
	l := disclosure.Listing{ReadableFrom: limits[read[0]].ReadableFrom, DaysReadableFrom: limits[schema.ClassUsageDay].ReadableFrom}
	if l.Subjects, err = x.subjects(ctx, from, q.Target, plan); err != nil {
		return f, err
	}
	oldest := l.ReadableFrom
	for _, class := range read {
		if limit := limits[class].ReadableFrom; limit.Before(oldest) {
			oldest = limit
		}
	}
	if n := len(l.Subjects); n > 0 && n <= q.MaxSubjects && plan.To.After(oldest) {
		if err := x.fill(ctx, from, read, plan, &l); err != nil {
			return f, err
		}
	}
	answer, records, refusal := disclosure.Disclose(plan, j.t.Category, l, q.MaxSubjects, q.MaxRecords)
	if refusal != nil {
		return f, refusal
	}
	f.evidence = disclosure.Evidence{Coverage: l.Coverage, ReadableFrom: l.ReadableFrom}
	f.answer, f.records = answer, records
	return f, nil
}

// fill reads the rows of a listing. Coverage comes before them, see
// [Traffic.Coverage].
func (x *Executor) fill(ctx context.Context, from source, read []schema.Class, plan disclosure.Plan, l *disclosure.Listing) error {
	ranges, err := from.lines.RangesIn(ctx, plan.From, plan.To)
	if err != nil {
		return err
	}
	var collectors []string
	for _, r := range ranges {
		if r.Provider == "" {
			collectors = append(collectors, r.CollectorIDs...)
		}
	}
	slices.Sort(collectors)
	l.Ranges = rangesOf(ranges)
	if l.Coverage, err = from.traffic.Coverage(ctx, slices.Compact(collectors), plan.From, plan.To); err != nil {
		return err
	}
	var refs []schema.AccessRef
	for i, s := range l.Subjects {
		held, err := from.lines.RefsOfLine(ctx, s.LineID, plan.From, plan.To.Add(time.Nanosecond))
		if err != nil {
			return err
		}
		l.Subjects[i].Access = accessOf(held)
		for _, h := range held {
			if !slices.Contains(refs, h.Ref) {
				refs = append(refs, h.Ref)
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	had, err := from.traffic.History(ctx, refs, read, plan.From, plan.To, keep.MaxRows)
	if err != nil {
		return err
	}
	l.Assignments, l.Sessions, l.Usage, l.UsageDays = had.Assignments, had.Sessions, had.Usage, had.UsageDays
	if inside := disclosure.Inside(l.Assignments); len(inside) > 0 {
		l.Translated, err = from.traffic.Translated(ctx, inside, plan.From, plan.To, keep.MaxRows)
	}
	return err
}

// subjects returns the lines that a target names within the plan's interval.
func (x *Executor) subjects(ctx context.Context, from source, target warrant.Target, plan disclosure.Plan) ([]disclosure.Subject, error) {
	whole := disclosure.Span{From: plan.From, To: plan.To.Add(time.Nanosecond)}
	named := map[string][]disclosure.Span{}
	identifier := func(kind schema.IdentifierKind, value string) error {
		held, err := from.lines.LinesOfIdentifier(ctx, schema.Identifier{Kind: kind, Value: value}, plan.From, plan.To)
		for _, h := range held {
			named[h.LineID] = append(named[h.LineID], disclosure.Span{From: h.ValidFrom, To: h.ValidTo})
		}
		return err
	}
	var lines []string
	var err error
	switch target.Kind {
	case warrant.TargetLine:
		lines = []string{target.Value}
	case warrant.TargetCircuit:
		err = identifier(schema.IdentCircuit, hex.EncodeToString(target.CircuitBytes()))
	case warrant.TargetRADIUS:
		err = identifier(schema.IdentRADIUSUser, target.Value)
	case warrant.TargetMAC:
		err = identifier(schema.IdentMAC, target.Value)
	case warrant.TargetPerson, warrant.TargetPlace:
		country := x.country()
		if country == "" {
			return nil, reason.New(reason.NotConfigured, "The legal profile does not say in which country postcodes are.")
		}
		lines, err = from.lines.LinesOfSought(ctx, register.Sought{Name: target.Name, Country: country, Postcode: target.Postcode, HouseNumber: target.Number}, maxFound)
	case warrant.TargetAddress: // of a hold
		lines, err = from.lines.LinesOfTarget(ctx)
	}
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		named[line] = []disclosure.Span{whole}
	}
	contract := map[string]disclosure.Span{}
	for line := range named {
		l, err := from.lines.Line(ctx, line)
		if errors.Is(err, register.ErrUnknownLine) {
			continue
		}
		if err != nil {
			return nil, err
		}
		contract[line] = disclosure.Span{From: l.ContractStart, To: l.ContractEnd}
	}
	return disclosure.Subjects(plan, named, contract), nil
}

// live is the register as a task without a hold asks it: no line is known by an
// address alone.
type live struct{ Register }

// LinesOfTarget returns no line: whose an address was, only an attribution says.
func (live) LinesOfTarget(context.Context) ([]string, error) { return nil, nil }
