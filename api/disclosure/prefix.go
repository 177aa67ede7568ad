package disclosure

import "slices"

// Wider reports whether a delegated prefix that is asked whole is more than any line
// held whole within the plan's interval, while there is something of it that was held,
// or a range of ours that is smaller: it is then of several customers, or could be,
// and no specific target.
func Wider(p Plan, e Evidence) bool {
	if !p.Prefix.IsValid() {
		return false
	}
	t := newTimeline(p, e)
	return len(t.inner) > 0 && len(t.rows) == 0 ||
		slices.ContainsFunc(e.Ranges, func(r Range) bool { return r.Prefix.Bits() > p.Prefix.Bits() && p.touches(r.ValidFrom, r.ValidTo) })
}
