package keep

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"griffier/api/reason"
	"griffier/api/register"
	"griffier/schema"
)

// LinesOfTarget returns the lines that had the address that the hold is of.
func (o *Opened) LinesOfTarget(context.Context) ([]string, error) { return o.Head.Lines, nil }

// Line returns the contract of a copied line, as known when it was copied.
func (o *Opened) Line(_ context.Context, lineID string) (register.Line, error) {
	for _, p := range o.Persons {
		if p.LineID == lineID {
			return register.Line{LineID: lineID, ContractStart: p.ContractStart, ContractEnd: p.ContractEnd}, nil
		}
	}
	return register.Line{}, register.ErrUnknownLine
}

// RefsOfLine returns the copied pseudonyms that a line had at any time in [start, end).
func (o *Opened) RefsOfLine(_ context.Context, lineID string, start, end time.Time) ([]register.Held, error) {
	return slices.DeleteFunc(slices.Clone(o.Lines), func(h register.Held) bool {
		return h.LineID != lineID || !h.ValidFrom.Before(end) || !h.ValidTo.After(start)
	}), nil
}

// LinesOfIdentifier and LinesOfSought find nothing: a hold is asked for its own
// address, or for a line that had it.
func (o *Opened) LinesOfIdentifier(context.Context, schema.Identifier, time.Time, time.Time) ([]register.Held, error) {
	return nil, nil
}

// LinesOfSought finds nothing, see [Opened.LinesOfIdentifier].
func (o *Opened) LinesOfSought(context.Context, register.Sought, int) ([]string, error) {
	return nil, nil
}

// History returns the copied rows of pseudonyms that touch [from, to], of the given
// classes, as the store would have.
func (o *Opened) History(_ context.Context, refs []schema.AccessRef, classes []schema.Class, from, to time.Time, limit int) (History, error) {
	var h History
	if slices.Contains(classes, schema.ClassSession) {
		h.Sessions = slices.DeleteFunc(slices.Clone(o.Sessions), func(s schema.Session) bool {
			return !slices.Contains(refs, s.AccessRef) || !touches(s.StartedAt, s.EndedAt, s.Open, from, to)
		})
	}
	if slices.Contains(classes, schema.ClassAssignment) {
		h.Assignments = slices.DeleteFunc(slices.Clone(o.Contents.Assignments), func(a schema.Assignment) bool {
			return !slices.Contains(refs, a.AccessRef) || !touches(a.StartedAt, a.EndedAt, a.Open, from, to)
		})
	}
	if slices.Contains(classes, schema.ClassUsage5m) {
		h.Usage = slices.DeleteFunc(slices.Clone(o.Usage), func(u schema.Usage) bool {
			return !slices.Contains(refs, u.AccessRef) || u.BucketStartedAt.After(to) || !u.EndedAt.After(from)
		})
	}
	if slices.Contains(classes, schema.ClassUsageDay) {
		h.UsageDays = slices.DeleteFunc(slices.Clone(o.UsageDays), func(u schema.UsageDay) bool {
			return !slices.Contains(refs, u.AccessRef) || u.StartedAt.After(to) || !u.EndedAt.After(from)
		})
	}
	if max(len(h.Sessions), len(h.Assignments), len(h.Usage), len(h.UsageDays)) > limit {
		return History{}, reason.New(reason.MaxHits, "There are too many rows to look at: narrow the window.")
	}
	return h, nil
}

// Translated returns the copied rows by which translators shared addresses with inside
// addresses, that touch [from, to]: those of the hold's own address.
func (o *Opened) Translated(_ context.Context, inside []netip.Addr, from, to time.Time, _ int) ([]schema.Assignment, error) {
	return slices.DeleteFunc(slices.Clone(o.Target), func(a schema.Assignment) bool {
		return !a.Inside.IsValid() || !slices.Contains(inside, a.Inside) || !touches(a.StartedAt, a.EndedAt, a.Open, from, to)
	}), nil
}
