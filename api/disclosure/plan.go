package disclosure

import (
	"net/netip"
	"time"

	"griffier/schema"
)

// DefaultClockMargin is added to the stated uncertainty on both sides, for our
// own clocks (disclosure.md D-28).
const DefaultClockMargin = 2 * time.Second

// DefaultAccountingInterval is how long a session whose end nobody told may have gone on
// after it was last heard of (disclosure.md D-28).
const DefaultAccountingInterval = 15 * time.Minute

// Question is what a task asks: which line held Address at Instant, or what there is
// of the line that Target names.
type Question struct {
	Target      string // canonical text, without a port
	Address     netip.Addr
	Prefix      netip.Prefix // a delegated prefix that is asked whole: Address is its first
	Instant     time.Time
	Uncertainty time.Duration // as stated by the authority
	Port        uint16        // source port, 0 if not stated
	Protocol    uint8         // of the port (IANA number), 0 if not stated
}

// Plan is the question with its uncertainty interval [From, To], both ends
// inclusive, in which the true instant lies.
type Plan struct {
	Question
	ClockMargin time.Duration
	// AccountingInterval is as [DefaultAccountingInterval], of an attribution only.
	AccountingInterval time.Duration
	// AnyClock believes what was seen by a clock that nothing kept, as a laboratory does.
	AnyClock bool
	From, To time.Time
}

// believes reports whether a collector's clock can be believed by what a row of its
// coverage says of it: something kept it, and it was within the margin. One that nothing
// keeps tells no offset, and may be off by hours (IPCO 2018, 11).
func (p Plan) believes(c schema.Coverage) bool {
	return (c.ClockSynced || p.AnyClock) && time.Duration(c.ClockOffsetNanos).Abs() <= p.ClockMargin
}

// NewPlan returns the plan of a question: instant ± (uncertainty + margin).
func NewPlan(q Question, margin time.Duration) Plan {
	q.Instant = q.Instant.UTC()
	around := q.Uncertainty + margin
	return Plan{Question: q, ClockMargin: margin, From: q.Instant.Add(-around), To: q.Instant.Add(around)}
}

// NewWindowPlan returns the plan of a preservation: what there is of the question's
// address from its instant up to last, its last moment, with uncertainty and margin
// around both.
func NewWindowPlan(q Question, last time.Time, margin time.Duration) Plan {
	p := NewPlan(q, margin)
	p.To = last.UTC().Add(q.Uncertainty + margin)
	return p
}

// NewListPlan returns the plan of a window: what there is of a line from the
// question's instant up to last, its last moment, and of no moment beside. The margin
// is what clocks are judged by.
func NewListPlan(q Question, last time.Time, margin time.Duration) Plan {
	q.Instant = q.Instant.UTC()
	return Plan{Question: q, ClockMargin: margin, From: q.Instant, To: last.UTC()}
}

// Read returns the plan with the interval in which assignments are read: margin on both
// sides, and back to where a session may have been last heard of.
func (p Plan) Read(margin time.Duration) Plan {
	around := p.Around(margin)
	if silent := p.From.Add(-p.AccountingInterval); silent.Before(around.From) {
		around.From = silent
	}
	return around
}

// touches reports whether the half-open interval [start, end) holds a moment of
// the plan's interval.
func (p Plan) touches(start, end time.Time) bool { return !start.After(p.To) && end.After(p.From) }

// asked returns the target as the answer names it.
func (p Plan) asked() string {
	switch {
	case p.Prefix.IsValid():
		return p.Prefix.String()
	case p.Address.IsValid():
		return p.Address.String()
	}
	return p.Target
}

// heldWhole reports whether who holds a prefix holds all that is asked.
func (p Plan) heldWhole(held netip.Prefix) bool {
	return held.Contains(p.Address) && (!p.Prefix.IsValid() || held.Bits() <= p.Prefix.Bits())
}
