package disclosure

import (
	"net/netip"
	"slices"
	"time"

	"griffier/schema"
)

// DefaultNeighbourMargin is how far outside of the uncertainty interval another
// holder of the address is worth a warning: an authority whose clock, or whose time
// zone, is off by a little means another line (IPCO 2018, 11).
const DefaultNeighbourMargin = 5 * time.Minute

// Around returns the plan of the same question with an interval that is wider by
// margin on both sides.
func (p Plan) Around(margin time.Duration) Plan {
	p.From, p.To = p.From.Add(-margin), p.To.Add(margin)
	return p
}

// Neighbours returns the band of how many others had the address, or its port, within
// the interval of around, which [Plan.Around] made, besides the one line of the answer
// and the inside addresses that it had; empty if there are none. It is a warning and
// no answer: nobody is named, and a holder that no register knows is one more.
func Neighbours(around Plan, e Evidence, line string, inside []netip.Addr) string {
	t := newTimeline(around, e)
	others := map[string]bool{}
	for _, r := range t.rows {
		switch {
		case r.Source == schema.SourceDeterministic || r.Shared() && (around.Port == 0 || !r.asked(around)):
		case r.Inside.IsValid():
			if !slices.Contains(inside, r.Inside) {
				others["inside "+r.Inside.String()] = true
			}
		default:
			at := r.StartedAt
			if at.Before(around.From) {
				at = around.From
			}
			if who, ok := t.lineOf(r.AccessRef, at); ok && who != line {
				others["line "+who] = true
			} else if !ok && !t.everOf(r.AccessRef, line) {
				others["ref "+r.AccessRef.String()] = true
			}
		}
	}
	if len(others) == 0 {
		return ""
	}
	return band(len(others))
}

// everOf reports whether a line had a reference at any time that is known.
func (t *timeline) everOf(ref schema.AccessRef, line string) bool {
	for _, l := range t.evidence.Lines {
		if l.Ref == ref && l.LineID == line {
			return true
		}
	}
	return false
}
