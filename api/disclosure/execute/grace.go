package execute

import (
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
)

// notBefore returns when a question may be asked of the store: when all that it is
// about, with its uncertainty and our clock margin, is older than the grace. Zero: at
// once. A preservation is in a hurry, the register is never late, and a hold gets no
// more rows.
func (x *Executor) notBefore(category warrant.Category, body warrant.TaskBody) (time.Time, *reason.Error) {
	if category == warrant.Preservation || category == warrant.Identity || body.FromHold != "" || x.cfg.Grace < 0 {
		return time.Time{}, nil
	}
	q, err := body.Question()
	if err != nil {
		return time.Time{}, err
	}
	last := q.Last().Add(q.Uncertainty)
	if q.End.IsZero() {
		last = last.Add(x.cfg.ClockMargin)
	}
	return last.Add(x.cfg.Grace).UTC(), nil
}

// tooRecent refuses what rows may still be on their way of, and says when to ask.
func (x *Executor) tooRecent(now time.Time, category warrant.Category, body warrant.TaskBody) *reason.Error {
	at, err := x.notBefore(category, body)
	if err != nil {
		return err
	}
	if now.Before(at) {
		return reason.New(reason.TooRecent, "Execute it from "+at.Add(time.Second-1).Truncate(time.Second).Format(time.RFC3339)+" on.")
	}
	return nil
}
