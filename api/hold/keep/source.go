package keep

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"griffier/api/disclosure"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/schema"
)

// sliceLength is the longest that a stored slice can be: it is cut at UTC midnight.
const sliceLength = 24 * time.Hour

// maxSharers is as far as those who share an address are counted.
const maxSharers = 101

// Opened is a hold that a task reads. It answers as the store and the register
// would have when it was made.
type Opened struct{ Contents }

// Covers reports whether a question is within what a hold is of: its address and
// port, or a line that had it, and every moment of its interval.
func (h Head) Covers(p disclosure.Plan) bool {
	if p.From.Before(h.From) || p.To.After(h.To) {
		return false
	}
	if !p.Address.IsValid() {
		target, err := warrant.ParseTarget(p.Target)
		return err == nil && target.Kind == warrant.TargetLine && slices.Contains(h.Lines, target.Value)
	}
	return p.Address == h.Address && !p.Prefix.IsValid() && (h.Port == 0 || h.Port == p.Port) && (h.Protocol == 0 || h.Protocol == p.Protocol)
}

// Limits returns by what each class was kept when it was copied, and how far back it
// could be read then.
func (o *Opened) Limits(context.Context) (map[schema.Class]schema.Limit, error) {
	return o.Head.Limits, nil
}

// Coverage returns the copied rows of the collectors that touch [from, to].
func (o *Opened) Coverage(_ context.Context, collectors []string, from, to time.Time) ([]schema.Coverage, error) {
	return slices.DeleteFunc(slices.Clone(o.Contents.Coverage), func(c schema.Coverage) bool {
		return !slices.Contains(collectors, c.CollectorID) || !touches(c.StartedAt, c.EndedAt, false, from, to)
	}), nil
}

// Assignments returns the copied rows of the plan's address, as the store would:
// of a shared address those of the stated port and protocol; without a port one for
// each of those who share it.
func (o *Opened) Assignments(_ context.Context, p disclosure.Plan) ([]schema.Assignment, error) {
	type sharer struct {
		ref    schema.AccessRef
		inside netip.Addr
	}
	seen := map[sharer]bool{}
	var out []schema.Assignment
	for _, a := range o.Target {
		if !a.Prefix.Contains(p.Address) || !touches(a.StartedAt, a.EndedAt, a.Open, p.From, p.To) {
			continue
		}
		if a.Shared() {
			if p.Port == 0 {
				if who := (sharer{a.AccessRef, a.Inside}); seen[who] || len(seen) >= maxSharers {
					continue
				} else {
					seen[who] = true
				}
			} else if p.Port < a.PortStart || a.PortEnd < p.Port || p.Protocol != 0 && a.Protocol != 0 && a.Protocol != p.Protocol {
				continue
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// touches reports whether a row may hold a moment of [from, to]: an open one
// whenever it began, a slice's length back at most.
func touches(start, end time.Time, open bool, from, to time.Time) bool {
	return !start.After(to) && !start.Before(from.Add(-sliceLength)) && (open || !end.Before(from))
}

// RangesOf returns the copied ranges that hold addr at any time in [start, end],
// the longest prefix first.
func (o *Opened) RangesOf(ctx context.Context, addr netip.Addr, start, end time.Time) ([]register.Range, error) {
	ranges, err := o.RangesIn(ctx, start, end)
	return slices.DeleteFunc(ranges, func(r register.Range) bool { return !r.Prefix.Contains(addr) }), err
}

// RangesIn returns the copied ranges that were valid at any time in [start, end], the
// longest prefix first.
func (o *Opened) RangesIn(_ context.Context, start, end time.Time) ([]register.Range, error) {
	out := slices.DeleteFunc(slices.Clone(o.Ranges), func(r register.Range) bool { return r.ValidFrom.After(end) || !r.ValidTo.After(start) })
	slices.SortStableFunc(out, func(a, b register.Range) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	return out, nil
}

// LinesOfRefs returns which lines had the pseudonyms at any time in [start, end].
func (o *Opened) LinesOfRefs(_ context.Context, refs []schema.AccessRef, start, end time.Time) ([]register.Held, error) {
	return slices.DeleteFunc(slices.Clone(o.Lines), func(h register.Held) bool {
		return !slices.Contains(refs, h.Ref) || h.ValidFrom.After(end) || !h.ValidTo.After(start)
	}), nil
}

// Identity returns the person of a line at an instant, as known when it was copied.
func (o *Opened) Identity(_ context.Context, lineID string, instant time.Time) (register.Person, error) {
	for _, p := range o.Persons {
		if p.LineID != lineID {
			continue
		}
		switch {
		case instant.Before(p.ContractStart) || !instant.Before(p.ContractEnd):
			return register.Person{}, register.ErrUnknownLine
		case p.Erased:
			return register.Person{}, register.ErrErased
		}
		return p.Person, nil
	}
	return register.Person{}, register.ErrUnknownLine
}
