package disclosure

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"griffier/api/reason"
	"griffier/schema"
	"griffier/schema/cgnat"
)

// span is a half-open interval.
type span struct{ from, to time.Time }

// translation is a deterministic translation of the address while it is in force.
type translation struct {
	cgnat.Parameters
	span
}

// translations returns what is in force of the address within the interval. Of
// nested ranges the longest counts, also if it has no translation.
func translations(p Plan, e Evidence) (out []translation) {
	for _, r := range e.Ranges {
		if r.Translation.Validate() != nil || !r.Prefix.Contains(p.Address) || !r.Translation.Outside.Contains(p.Address) {
			continue
		}
		left := []span{{r.ValidFrom, r.ValidTo}}
		for _, longer := range e.Ranges {
			if longer.Prefix.Contains(p.Address) && longer.Prefix.Bits() > r.Prefix.Bits() {
				left = without(left, span{longer.ValidFrom, longer.ValidTo})
			}
		}
		for _, s := range left {
			if p.touches(s.from, s.to) {
				out = append(out, translation{r.Translation, s})
			}
		}
	}
	return out
}

// without cuts a span out of others.
func without(spans []span, cut span) (left []span) {
	for _, s := range spans {
		if !s.from.Before(cut.to) || !cut.from.Before(s.to) {
			left = append(left, s)
			continue
		}
		if s.from.Before(cut.from) {
			left = append(left, span{s.from, cut.from})
		}
		if cut.to.Before(s.to) {
			left = append(left, span{cut.to, s.to})
		}
	}
	return left
}

// translated returns a row for each deterministic translation of the address: for
// the subscriber who has the stated port or, without one, for none in particular.
func translated(p Plan, e Evidence) (rows []row) {
	for _, x := range translations(p, e) {
		a := schema.Assignment{Prefix: netip.PrefixFrom(p.Address, p.Address.BitLen()), StartedAt: x.from, EndedAt: x.to,
			Source: schema.SourceDeterministic, Certainty: schema.CertaintyObserved}
		if p.Port != 0 {
			inside, block, ok := x.InsideOf(p.Address, p.Port)
			if !ok {
				continue // reserved, or nobody's
			}
			a.Inside, a.PortStart, a.PortEnd = inside, block.PortStart, block.PortEnd
		}
		rows = append(rows, row{a, x.to})
	}
	return rows
}

// sharers returns how many share the address at most, by all that is known.
func (t *timeline) sharers() int {
	type holder struct {
		ref    schema.AccessRef
		inside netip.Addr
	}
	holders := map[holder]bool{}
	for _, r := range t.rows {
		if r.Source != schema.SourceDeterministic {
			holders[holder{r.AccessRef, r.Inside}] = true
		}
	}
	n := len(holders)
	for _, x := range translations(t.plan, t.evidence) {
		n += x.Sharers(t.plan.Address)
	}
	return n
}

// shared reports whether several may have had the address, each on ports of its own.
func (t *timeline) shared() bool {
	return slices.ContainsFunc(t.rows, func(r row) bool { return r.Shared() || r.Source == schema.SourceDeterministic })
}

// asked reports whether a row is about the stated port and protocol. One for the
// whole address is.
func (r row) asked(p Plan) bool {
	return r.PortStart <= p.Port && p.Port <= r.PortEnd && (r.Protocol == 0 || p.Protocol == 0 || r.Protocol == p.Protocol)
}

// InsideAddresses returns the inside addresses that had the stated port within
// the interval. Judge needs the evidence of each, as for a question about that
// address without a port.
func InsideAddresses(p Plan, e Evidence) []netip.Addr {
	if p.Port == 0 {
		return nil
	}
	found := map[netip.Addr]bool{}
	for _, r := range newTimeline(p, e).rows {
		if r.Inside.IsValid() && r.asked(p) {
			found[r.Inside] = true
		}
	}
	return slices.SortedFunc(maps.Keys(found), netip.Addr.Compare)
}

// InsidePlan returns the plan of who had an inside address: the same interval.
func InsidePlan(p Plan, inside netip.Addr) Plan {
	p.Address, p.Port, p.Protocol = inside, 0, 0
	return p
}

// portHolder judges who held the stated port of a shared address.
//
// Without a port, or without the protocol where that decides, it is
// PORT_REQUIRED. A row of a translator names an inside address; who had that is
// judged by itself, over the whole interval and by the coverage of its own range,
// and what that cannot say is not said here. Two lines at one moment are
// AMBIGUOUS_PORT_REUSE if a translator gave out the port flow by flow, as it then
// may, else DATA_CONFLICT; at different moments AMBIGUOUS_BOUNDARY. A block must
// be held at both ends of the interval. A flow need not: a port that is given out
// by the flow is used only while a flow lasts, logs tell of its first packet, and
// if no other line had the port within the interval, it was this one.
func (t *timeline) portHolder() Answer {
	if t.plan.Port == 0 {
		return Answer{Reason: reason.PortRequired, Candidates: band(t.sharers())}
	}
	t.rows = slices.DeleteFunc(t.rows, func(r row) bool { return !r.asked(t.plan) })
	if n := t.sharers(); t.plan.Protocol == 0 && len(t.holders()) > 1 &&
		slices.ContainsFunc(t.rows, func(r row) bool { return r.Protocol != 0 }) {
		return Answer{Reason: reason.PortRequired, Candidates: band(n)}
	}
	if len(t.rows) == 0 {
		return Answer{Reason: reason.NoMatch}
	}
	var problems []Answer
	lines := map[string]bool{}
	reused, conflict, throughout := false, false, true
	match := Answer{Certainty: schema.CertaintyObserved}
	for i, m := range t.moments {
		here, flow := map[string]bool{}, false
		rows := t.rowsAt(m)
		for _, r := range rows {
			a := t.holderOf(r, i)
			switch {
			case a.Reason == reason.Match:
				here[a.LineID], lines[a.LineID] = true, true
				flow = flow || r.Source == schema.SourceConntrack
				match.take(a.LineID, r)
				match.join(a)
			case a.Reason != reason.NoMatch:
				problems = append(problems, a)
			case r.Source == schema.SourceConntrack:
				// It was used, and by nobody that anything is known of.
				problems = append(problems, Answer{Reason: reason.DataConflict})
			}
		}
		if len(here) > 1 && flow {
			reused = true
		} else if len(here) > 1 {
			conflict = true
		}
		if (i == 0 || i == len(t.moments)-1) && len(here) == 0 {
			throughout = false
		}
	}
	byFlow := !slices.ContainsFunc(t.rows, func(r row) bool { return r.Source != schema.SourceConntrack })
	switch {
	case conflict:
		return Answer{Reason: reason.DataConflict}
	case len(problems) > 0:
		return gravest(problems)
	case reused:
		return Answer{Reason: reason.AmbiguousPortReuse, Candidates: band(len(lines))}
	case len(lines) == 0:
		return Answer{Reason: reason.NoMatch}
	case len(lines) > 1 || !throughout && !byFlow:
		return Answer{Reason: reason.AmbiguousBoundary}
	}
	match.Reason = reason.Match
	return match
}

// holders returns who the rows name, before it is known what lines they are.
func (t *timeline) holders() map[string]bool {
	out := map[string]bool{}
	for _, r := range t.rows {
		out[r.AccessRef.String()+" "+r.Inside.String()] = true
	}
	return out
}

// holderOf judges whose a row is at the i-th moment.
func (t *timeline) holderOf(r row, i int) Answer {
	if !r.Inside.IsValid() {
		line, ok := t.lineOf(r.AccessRef, t.moments[i])
		if !ok {
			return Answer{Reason: reason.DataConflict}
		}
		return Answer{Reason: reason.Match, LineID: line, Certainty: r.Certainty}
	}
	if t.inside == nil {
		t.inside = map[netip.Addr]Answer{}
	}
	a, ok := t.inside[r.Inside]
	if !ok {
		a = Judge(InsidePlan(t.plan, r.Inside), t.evidence.Inside[r.Inside])
		switch a.Reason {
		case reason.NotOurRange, reason.PortRequired:
			// Addresses that a translator of ours has inside are ours, and not shared.
			a = Answer{Reason: reason.DataConflict}
		}
		t.inside[r.Inside] = a
	}
	return a
}

// join adds what is known of the inside address.
func (a *Answer) join(inside Answer) {
	for _, s := range inside.Sources {
		if !slices.Contains(a.Sources, s) {
			a.Sources = append(a.Sources, s)
		}
	}
	slices.Sort(a.Sources)
	a.Certainty = weaker(a.Certainty, inside.Certainty)
}

// gravest returns the problem that says most clearly that nothing can be said.
func gravest(problems []Answer) Answer {
	for _, r := range []reason.Reason{reason.DataConflict, reason.RetentionElapsed, reason.CoverageGap, reason.OtherProvider} {
		for _, p := range problems {
			if p.Reason == r {
				return Answer{Reason: r, Provider: p.Provider}
			}
		}
	}
	return Answer{Reason: reason.AmbiguousBoundary}
}
