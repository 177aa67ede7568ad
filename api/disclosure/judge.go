package disclosure

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"griffier/api/reason"
	"griffier/schema"
)

// Judge returns the one answer that the evidence supports.
//
// The checks come in the order in which each makes the next meaningless:
//
//  1. Whose address is it? Outside our ranges (NOT_OUR_RANGE), or in a range
//     that another provider uses (OTHER_PROVIDER), our records say nothing, so
//     nothing else about them is said. A range that began or ended within the
//     interval is AMBIGUOUS_BOUNDARY; two holders of one range DATA_CONFLICT.
//  2. Is it past retention (RETENTION_ELAPSED)? As soon as any moment of the
//     interval is past the limit, a row may be missing that would have made the
//     answer ambiguous. It comes before coverage, since coverage is kept longer
//     and an expired interval must never read as a gap, or as "nobody".
//  3. Was it seen (COVERAGE_GAP)? One collector that the range lists must have
//     covered the whole interval, without a declared gap and by a clock that was kept
//     within the margin. The future, and what is not stored yet, is such a gap. So is
//     a holder whom only collectors tell of whose clocks were not.
//  4. Who held it? If it was shared, by port: see [timeline.portHolder]. Two lines at one moment, or a
//     holder that no register knows: DATA_CONFLICT. Two lines within the
//     interval, or one that does not hold the address at both of its ends:
//     AMBIGUOUS_BOUNDARY. Exactly one line: MATCH. Nobody: NO_MATCH, but only
//     if every collector that the range lists was covering, since the one that
//     was not may have seen a holder; otherwise COVERAGE_GAP. If the last holder
//     before fell silent, and it is not longer ago than sessions are silent while
//     they live, it may have been the holder still: AMBIGUOUS_BOUNDARY.
//
// Of nested prefixes the longest counts, moment by moment. Several references
// of one line are one line. A delegated prefix that is asked whole must have been
// held whole: see [Wider].
func Judge(p Plan, e Evidence) Answer {
	t := newTimeline(p, e)
	if a, done := t.owner(); done {
		return a
	}
	if p.From.Before(e.ReadableFrom) {
		return Answer{Reason: reason.RetentionElapsed}
	}
	covering := t.covering()
	if len(covering) == 0 {
		return Answer{Reason: reason.CoverageGap}
	}
	var a Answer
	if t.shared() {
		a = t.portHolder()
	} else {
		a = t.holder()
	}
	if a.Reason == reason.NoMatch && t.fellSilent() {
		a = Answer{Reason: reason.AmbiguousBoundary}
	}
	if a.Reason == reason.NoMatch && len(covering) < len(t.collectors) || a.Reason == reason.Match && !slices.ContainsFunc(a.tellers, t.timely) {
		a = Answer{Reason: reason.CoverageGap}
	}
	a.Covering = covering
	return a
}

// timeline evaluates the evidence at every moment of the interval at which
// anything changes. Between two such moments everything stays as it is.
type timeline struct {
	plan       Plan
	evidence   Evidence
	rows       []row
	inner      []row // of parts of a prefix that is asked whole
	moments    []time.Time
	collectors []string // that the range lists at every moment
	inside     map[netip.Addr]Answer
}

// row is an assignment with the end that coverage gives it.
type row struct {
	schema.Assignment
	end time.Time
}

func (r row) holds(m time.Time) bool { return !m.Before(r.StartedAt) && m.Before(r.end) }

func newTimeline(p Plan, e Evidence) *timeline {
	t := &timeline{plan: p, evidence: e}
	at := map[int64]time.Time{p.From.UnixNano(): p.From, p.To.UnixNano(): p.To}
	mark := func(times ...time.Time) {
		for _, m := range times {
			if m.After(p.From) && !m.After(p.To) {
				at[m.UnixNano()] = m
			}
		}
	}
	for _, r := range e.Ranges {
		mark(r.ValidFrom, r.ValidTo)
	}
	for _, l := range e.Lines {
		mark(l.ValidFrom, l.ValidTo)
	}
	for _, a := range e.Assignments {
		r := row{a, a.EndedAt}
		if a.Open {
			r.end = openEnd(a.CollectorID, a.EndedAt, e.Coverage)
		}
		if !p.touches(r.StartedAt, r.end) {
			continue
		}
		if p.heldWhole(r.Prefix) {
			t.rows = append(t.rows, r)
			mark(r.StartedAt, r.end)
		} else if p.Prefix.IsValid() && p.Prefix.Contains(r.Prefix.Addr()) {
			t.inner = append(t.inner, r)
			mark(r.StartedAt, r.end)
		}
	}
	for _, r := range translated(p, e) {
		t.rows = append(t.rows, r)
		mark(r.StartedAt, r.end)
	}
	t.moments = slices.SortedFunc(maps.Values(at), time.Time.Compare)
	return t
}

// openEnd returns until when an open row is known to have gone on. The spool
// keeps order, so where its collector's coverage is stored up to a later moment,
// an end before that moment would be stored too. It never reaches past the
// coverage row in which the slice was last emitted.
func openEnd(collector string, ended time.Time, coverage []schema.Coverage) time.Time {
	end := ended
	for _, c := range coverage {
		if c.CollectorID == collector && c.State == schema.Covered && !c.StartedAt.After(ended) && c.EndedAt.After(end) {
			end = c.EndedAt
		}
	}
	return end
}

// owner judges the range at every moment. done is false when it is ours throughout.
func (t *timeline) owner() (a Answer, done bool) {
	type owner struct {
		known    bool
		provider string
	}
	owners := map[owner]bool{}
	for i, m := range t.moments {
		bits := -1
		here := map[owner]bool{}
		var listed []string
		for _, r := range t.evidence.Ranges {
			if m.Before(r.ValidFrom) || !m.Before(r.ValidTo) || !r.Prefix.Contains(t.plan.Address) || r.Prefix.Bits() < bits {
				continue
			}
			if r.Prefix.Bits() > bits {
				bits, here, listed = r.Prefix.Bits(), map[owner]bool{}, nil
			}
			here[owner{true, r.Provider}] = true
			listed = append(listed, r.CollectorIDs...)
		}
		if len(here) > 1 {
			return Answer{Reason: reason.DataConflict}, true
		}
		if len(here) == 0 {
			here[owner{}] = true
		}
		maps.Copy(owners, here)
		if i == 0 {
			slices.Sort(listed)
			t.collectors = slices.Compact(listed)
		} else {
			t.collectors = slices.DeleteFunc(t.collectors, func(id string) bool { return !slices.Contains(listed, id) })
		}
	}
	if len(owners) > 1 {
		return Answer{Reason: reason.AmbiguousBoundary}, true
	}
	for o := range owners {
		switch {
		case !o.known:
			return Answer{Reason: reason.NotOurRange}, true
		case o.provider != "":
			return Answer{Reason: reason.OtherProvider, Provider: o.provider}, true
		}
	}
	return Answer{}, false
}

// covering returns the listed collectors that covered the whole interval.
func (t *timeline) covering() []string {
	var out []string
	for _, id := range t.collectors {
		if t.covered(id) {
			out = append(out, id)
		}
	}
	return out
}

func (t *timeline) covered(collector string) bool {
	var rows []schema.Coverage
	for _, c := range t.evidence.Coverage {
		if c.CollectorID != collector {
			continue
		}
		if c.State != schema.Covered {
			if t.plan.touches(c.StartedAt, c.EndedAt) {
				return false
			}
			continue
		}
		if t.plan.believes(c) {
			rows = append(rows, c)
		}
	}
	slices.SortFunc(rows, func(a, b schema.Coverage) int { return a.StartedAt.Compare(b.StartedAt) })
	reached := t.plan.From // everything in [From, reached) is covered
	for _, c := range rows {
		if !c.StartedAt.After(reached) && c.EndedAt.After(reached) {
			reached = c.EndedAt
		}
	}
	return reached.After(t.plan.To)
}

// fellSilent reports whether the last holder before the interval ended at an instant
// that was inferred, as that of a session whose Stop was lost is, within the plan's
// accounting interval.
func (t *timeline) fellSilent() bool {
	var last schema.Assignment
	for _, a := range t.evidence.Assignments {
		if !a.Open && t.plan.heldWhole(a.Prefix) && !a.EndedAt.After(t.plan.To) && (t.plan.Port == 0 || row{Assignment: a}.asked(t.plan)) && a.EndedAt.After(last.EndedAt) {
			last = a
		}
	}
	return last.Certainty == schema.CertaintyInferred && last.EndedAt.After(t.plan.From.Add(-t.plan.AccountingInterval))
}

// timely reports whether nothing is known against a collector's clock in the interval.
func (t *timeline) timely(collector string) bool {
	return !slices.ContainsFunc(t.evidence.Coverage, func(c schema.Coverage) bool {
		return c.CollectorID == collector && c.State == schema.Covered && t.plan.touches(c.StartedAt, c.EndedAt) && !t.plan.believes(c)
	})
}

// holder judges who held the address.
func (t *timeline) holder() Answer {
	a := Answer{Certainty: schema.CertaintyObserved}
	lines := map[string]bool{}
	conflict, throughout := false, true
	for i, m := range t.moments {
		rows := t.rowsAt(m)
		here := map[string]bool{}
		for _, r := range rows {
			line, ok := t.lineOf(r.AccessRef, m)
			if !ok {
				conflict = true
				continue
			}
			here[line], lines[line] = true, true
			a.take(line, r)
		}
		for _, r := range t.inner { // a part that another line had makes two of it
			if line, ok := t.lineOf(r.AccessRef, m); r.holds(m) && !(ok && here[line]) {
				conflict = true
			}
		}
		conflict = conflict || len(here) > 1
		if (i == 0 || i == len(t.moments)-1) && len(here) == 0 {
			throughout = false
		}
	}
	switch {
	case conflict:
		return Answer{Reason: reason.DataConflict}
	case len(lines) == 0:
		return Answer{Reason: reason.NoMatch}
	case len(lines) > 1 || !throughout:
		return Answer{Reason: reason.AmbiguousBoundary}
	}
	a.Reason = reason.Match
	return a
}

// take notes what a row says of the line. It counts only if the line turns out
// to be the one holder.
func (a *Answer) take(line string, r row) {
	a.LineID = line
	if !a.Prefix.IsValid() || r.Prefix.Bits() < a.Prefix.Bits() {
		a.Prefix = r.Prefix // the widest of those that held it, when it changed
	}
	if !slices.Contains(a.Sources, r.Source) {
		a.Sources = append(a.Sources, r.Source)
		slices.Sort(a.Sources)
	}
	if !slices.Contains(a.tellers, r.CollectorID) {
		a.tellers = append(a.tellers, r.CollectorID)
	}
	a.Certainty = weaker(a.Certainty, r.Certainty)
}

func weaker(a, b schema.Certainty) schema.Certainty {
	strength := []schema.Certainty{schema.CertaintyInferred, schema.CertaintySynthesised, schema.CertaintyObserved}
	if slices.Index(strength, b) < slices.Index(strength, a) {
		return b
	}
	return a
}

// rowsAt returns the rows with the longest prefix that hold the address at m.
func (t *timeline) rowsAt(m time.Time) []row {
	var rows []row
	bits := -1
	for _, r := range t.rows {
		if !r.holds(m) || r.Prefix.Bits() < bits {
			continue
		}
		if r.Prefix.Bits() > bits {
			bits, rows = r.Prefix.Bits(), nil
		}
		rows = append(rows, r)
	}
	return rows
}

// lineOf returns the one line that had ref at m; false when none had it, or two.
func (t *timeline) lineOf(ref schema.AccessRef, m time.Time) (string, bool) {
	line, found := "", false
	for _, l := range t.evidence.Lines {
		if l.Ref != ref || m.Before(l.ValidFrom) || !m.Before(l.ValidTo) {
			continue
		}
		if found && l.LineID != line {
			return "", false
		}
		line, found = l.LineID, true
	}
	return line, found
}
