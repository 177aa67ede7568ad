package warrant

import "time"

// noticeDays is how many days an enforcing authority that was notified has
// (Regulation (EU) 2023/1543 art. 10(2)).
const noticeDays = 10

// Terms are the times and conditions that follow from a content and from when it
// was served. They are fixed, in clear, with the content.
type Terms struct {
	// ServedAt is the server's clock when the order, or its extension, was entered.
	ServedAt time.Time `json:"served_at"`
	Priority Priority  `json:"priority"`
	// ActBy is when the order is to be answered; ValidUntil, when it lapses, is
	// another time and does not follow from it.
	ActBy time.Time `json:"act_by,omitzero"`
	// Targets is how many it names, and ThirdApprover that they are so many that
	// the privacy controller must approve too.
	Targets       int  `json:"targets"`
	ThirdApprover bool `json:"third_approver"`
	// Emergency: an oral order, whose paper is due at PaperBy.
	Emergency bool      `json:"emergency"`
	PaperBy   time.Time `json:"paper_by,omitzero"`
	// NoticeUntil is when the time of an enforcing authority that was notified ends;
	// before, nothing is released unless it cleared the order. Zero: none was.
	NoticeUntil time.Time `json:"notice_until,omitzero"`
}

// terms returns those of a content that is valid, under its basis, served at an
// instant. The ten days are days of the profile's zone, and the last one counts
// whole (Regulation (EEC, Euratom) 1182/71 art. 3).
//
// In an emergency case (Regulation (EU) 2023/1543 art. 3(18)) they block nothing: the
// notification of the enforcing authority suspends what the addressee must do under
// art. 10(2) in all cases but these (art. 8(4)), in which data is sent within eight
// hours, and the authority may object to its use for 96 (art. 10(4)).
func (r *Rules) terms(p *Profile, b Basis, c Content, served time.Time) Terms {
	served = served.UTC()
	t := Terms{ServedAt: served, Priority: b.priority(c), Targets: len(c.Targets), ThirdApprover: len(c.Targets) > r.ThirdApproverAbove, Emergency: c.Emergency}
	if within, ok := b.Deadline(t.Priority); ok {
		t.ActBy = served.Add(within)
	}
	if c.Emergency {
		t.PaperBy = served.Add(time.Duration(b.PaperDays) * 24 * time.Hour)
	}
	if (b.NotifiesAuthority || c.EnforcingAuthorityNotified || t.Priority == TenDaysSubjectToEA) && t.Priority != EightHours {
		local := served
		if zone, err := time.LoadLocation(p.Zone); err == nil { // the parser has checked it
			local = served.In(zone)
		}
		y, m, d := local.Date()
		t.NoticeUntil = time.Date(y, m, d+noticeDays+1, 0, 0, 0, 0, local.Location()).UTC()
		if t.ActBy.Before(t.NoticeUntil) { // it cannot be answered before
			t.ActBy = t.NoticeUntil
		}
	}
	return t
}

// priority is the one that a content states, or else ROUTINE where the basis knows
// that, and the first that it knows where not.
func (b Basis) priority(c Content) Priority {
	if c.Priority != "" {
		return c.Priority
	}
	if _, ok := b.Deadline(Routine); ok || len(b.Deadlines) == 0 {
		return Routine
	}
	return b.Deadlines[0].Priority
}

// Clock is one of the deadlines that a warrant has.
type Clock string

// Clocks.
const (
	ActByClock  Clock = "ACT_BY" // until every task is answered
	PaperClock  Clock = "PAPER"  // until the paper of an oral order and the second approval are there
	NoticeClock Clock = "NOTICE" // until the enforcing authority clears the order, or its time is over
)

// Clocks lists every clock.
var Clocks = []Clock{ActByClock, PaperClock, NoticeClock}

// AlarmLevels are the percentages of a deadline at which an alarm is raised.
var AlarmLevels = []int{50, 80, 100}

// Running is a clock that runs.
type Running struct {
	Clock    Clock
	From, By time.Time
	// Percent is how much of the time is gone, at most 100. Alarm is the highest of
	// [AlarmLevels] that was reached, 0 before the first.
	Percent, Alarm int
}

// Running returns the clocks of a warrant that run at now, or that ran out
// without what they wait for, in the order of [Clocks]. A warrant that ended has
// none.
func (w *Warrant) Running(now time.Time) []Running {
	if w.State(now).Terminal() {
		return nil
	}
	var out []Running
	run := func(c Clock, by time.Time) {
		d := Running{Clock: c, From: w.ServedAt, By: by}
		if total := by.Sub(d.From); !now.Before(by) || total <= 0 {
			d.Percent = 100
		} else if gone := now.Sub(d.From); gone > 0 {
			d.Percent = int(gone / (total / 100))
			d.Percent = min(d.Percent, 99) // rounding must not raise the last alarm early
		}
		for _, level := range AlarmLevels {
			if d.Percent >= level {
				d.Alarm = level
			}
		}
		out = append(out, d)
	}
	if !w.ActBy.IsZero() && w.ActedAt.IsZero() {
		run(ActByClock, w.ActBy)
	}
	if w.paperDue() {
		run(PaperClock, w.PaperBy)
	}
	if w.noticeBlocks(now) {
		run(NoticeClock, w.NoticeUntil)
	}
	return out
}
