package disclosure

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// part is what of a row's interval is a subject's, within the plan's.
type part struct {
	Span
	// within names the interval of the subject that it lies in, so that parts of two
	// are never joined.
	within Span
	// before and after tell that the row goes on beyond the plan's interval; how far is
	// not for the answer.
	before, after bool
	// cut tells that it ends before the row does, with the subject.
	cut bool
}

// parts cuts a row to the subject. started is when the whole of it began, goesOn
// whether what it is a slice of went on at its end.
func (s Subject) parts(p Plan, ref schema.AccessRef, row Span, started time.Time, goesOn bool) (out []part) {
	window := p.span()
	for _, a := range s.Access {
		if a.Ref != ref {
			continue
		}
		for _, w := range s.Spans {
			within, ok := w.and(Span{a.ValidFrom, a.ValidTo})
			if !ok {
				continue
			}
			if cut, ok := row.and(within); ok {
				out = append(out, part{Span: cut, within: w, before: cut.From.Equal(window.From) && started.Before(window.From),
					after: cut.To.Equal(window.To) && (row.To.After(window.To) || goesOn), cut: cut.To.Before(row.To)})
			}
		}
	}
	return out
}

// goesOn reports whether a slice is not the last of what it is of.
func goesOn(open bool, cause schema.EndCause) bool { return open || cause == schema.EndCut }

// beyond names the sides on which a part goes on beyond the plan's interval.
func (t part) beyond() string {
	switch {
	case t.before && t.after:
		return "both"
	case t.before:
		return "before"
	case t.after:
		return "after"
	}
	return ""
}

// holding is an address or prefix that a line held.
type holding struct {
	line               string
	prefix             netip.Prefix
	portStart, portEnd uint16
	protocol           uint8
}

type heldPart struct {
	holding
	part
	sources   []schema.Source
	certainty schema.Certainty
}

// held returns what addresses, prefixes and ports the subjects held: slices joined,
// identical rows of two collectors merged. Where a translator shared an address that
// a line held inside, the blocks of public ports are there too.
func held(p Plan, l Listing) ([]Record, []seenSpan) {
	var found []heldPart
	var seen []seenSpan
	for _, s := range l.Subjects {
		for _, a := range l.Assignments {
			end := a.EndedAt
			if a.Open {
				end = openEnd(a.CollectorID, end, l.Coverage)
			}
			for _, t := range s.parts(p, a.AccessRef, Span{a.StartedAt, end}, a.AssignmentStartedAt, goesOn(a.Open, a.EndCause)) {
				found = append(found, heldPart{holding{s.LineID, a.Prefix, a.PortStart, a.PortEnd, a.Protocol}, t, []schema.Source{a.Source}, a.Certainty})
				seen = append(seen, seenSpan{s.LineID, a.CollectorID, t.Span})
			}
		}
	}
	found = joinHeld(found)
	for _, inside := range found {
		if inside.prefix.IsSingleIP() {
			found = append(found, translatedFor(p, l, inside)...)
		}
	}
	var out []Record
	for _, h := range joinHeld(found) {
		out = append(out, Record{LineID: h.line, HeldPrefix: h.prefix.String(), PortStart: h.portStart, PortEnd: h.portEnd, ProtocolNumber: h.protocol,
			From: h.From.UTC(), To: h.To.UTC(), Beyond: h.beyond(), Source: sourcesText(h.sources), Certainty: string(h.certainty)})
	}
	return out, seen
}

// joinHeld joins what meets or overlaps of the same holding, in the order of lines,
// times and prefixes.
func joinHeld(all []heldPart) (out []heldPart) {
	slices.SortFunc(all, func(a, b heldPart) int {
		return cmp.Or(cmp.Compare(a.line, b.line), a.prefix.Compare(b.prefix), cmp.Compare(a.portStart, b.portStart), cmp.Compare(a.portEnd, b.portEnd),
			cmp.Compare(a.protocol, b.protocol), a.within.From.Compare(b.within.From), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	for _, h := range all {
		n := len(out) - 1
		if n < 0 || out[n].holding != h.holding || out[n].within != h.within || h.From.After(out[n].To) {
			h.sources = slices.Clone(h.sources)
			out = append(out, h)
			continue
		}
		last := &out[n]
		if h.To.After(last.To) {
			last.To = h.To
		}
		last.before, last.after = last.before || h.before, last.after || h.after
		for _, s := range h.sources {
			if !slices.Contains(last.sources, s) {
				last.sources = append(last.sources, s)
			}
		}
		slices.Sort(last.sources)
		last.certainty = weaker(last.certainty, h.certainty)
	}
	slices.SortStableFunc(out, func(a, b heldPart) int { return cmp.Or(cmp.Compare(a.line, b.line), a.From.Compare(b.From)) })
	return out
}

// translatedFor returns the public addresses and ports that an inside address had
// while the line held it, by the translator's own records and by its parameters.
func translatedFor(p Plan, l Listing, inside heldPart) (out []heldPart) {
	address := inside.prefix.Addr()
	add := func(row Span, a schema.Assignment, started time.Time, goesOn bool) {
		cut, ok := row.and(inside.Span)
		if !ok {
			return
		}
		window := p.span()
		t := part{Span: cut, within: inside.within, before: cut.From.Equal(window.From) && (inside.before || started.Before(window.From)),
			after: cut.To.Equal(window.To) && (row.To.After(window.To) || goesOn) && inside.after}
		out = append(out, heldPart{holding{inside.line, a.Prefix, a.PortStart, a.PortEnd, a.Protocol}, t,
			append([]schema.Source{a.Source}, inside.sources...), weaker(a.Certainty, inside.certainty)})
	}
	for _, a := range l.Translated {
		if a.Inside != address {
			continue
		}
		end := a.EndedAt
		if a.Open {
			end = openEnd(a.CollectorID, end, l.Coverage)
		}
		add(Span{a.StartedAt, end}, a, a.AssignmentStartedAt, goesOn(a.Open, a.EndCause))
	}
	for _, r := range l.Ranges {
		if r.Translation.Validate() != nil || !r.Translation.Inside.Contains(address) {
			continue
		}
		block, ok := r.Translation.BlockOf(address)
		if !ok {
			continue
		}
		outside := p
		outside.Address = block.Outside
		for _, x := range translations(outside, Evidence{Ranges: l.Ranges}) {
			if x.Parameters == r.Translation {
				add(Span{x.from, x.to}, schema.Assignment{Prefix: netip.PrefixFrom(block.Outside, block.Outside.BitLen()), PortStart: block.PortStart, PortEnd: block.PortEnd,
					Source: schema.SourceDeterministic, Certainty: schema.CertaintyObserved}, x.from, true)
			}
		}
	}
	return out
}

// Inside returns the single addresses that the subjects held by the rows: those that a
// translator could have shared.
func Inside(rows []schema.Assignment) (out []netip.Addr) {
	for _, a := range rows {
		if a.Prefix.IsSingleIP() && a.Prefix.Addr().Is4() && a.PortStart == 0 && a.PortEnd == 65535 && !slices.Contains(out, a.Prefix.Addr()) {
			out = append(out, a.Prefix.Addr())
		}
	}
	return out
}
