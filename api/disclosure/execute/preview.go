package execute

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	griffierv1 "griffier/proto/griffier/v1"
)

// message returns a task with when it may be run, while it waits.
func (s *Service) message(t warrant.Task, w warrant.Warrant, body warrant.TaskBody) *griffierv1.Task {
	now := s.x.cfg.Now()
	m := warrantrpc.TaskMessage(t, w, body, now)
	if at, err := s.x.notBefore(t.Category, body); err == nil && t.Asks(&w) && at.After(now) {
		m.ExecutableFrom = timestamppb.New(at)
	}
	return m
}

// previewCreate tells what task would be made, after it entered that it was asked.
func (s *Service) previewCreate(ctx context.Context, by warrant.Caller, judge func(time.Time) (ledger.Draft, *reason.Error)) (*griffierv1.Task, error) {
	c := s.x.cfg
	now := c.Now()
	d, refusal := judge(now)
	if refusal != nil {
		return nil, refusal
	}
	p, err := c.Rules.Preview(c.State, now, d)
	if err != nil {
		return nil, err
	}
	if err := s.trace(ctx, by, d); err != nil {
		return nil, err
	}
	body, ok := d.Body.(warrant.TaskBody)
	if !ok {
		return nil, fmt.Errorf("preview: a draft of %s has no question", d.Kind)
	}
	for _, t := range p.Tasks {
		if t.ID != d.TaskID {
			continue
		}
		m := s.message(t, p.Warrant, body)
		m.TaskId = "" // of a task that is not made
		m.Effects = s.effects(t, body)
		return m, nil
	}
	return nil, reason.New(reason.GenerationMismatch, "")
}

// previewExecute tells whether a task could be run now, after it entered that it was
// asked. Nothing of the traffic is read, so what the answer would be is not known.
func (s *Service) previewExecute(ctx context.Context, by warrant.Caller, taskID string, generation uint64) (*griffierv1.Task, error) {
	c := s.x.cfg
	if err := s.x.trustClock(); err != nil {
		return nil, err
	}
	t, w, ok := c.State.Task(taskID)
	if !ok {
		return nil, reason.New(reason.NotFound, "")
	}
	body, err := warrantrpc.Question(ctx, c.Book, t)
	if err != nil {
		return nil, err
	}
	now := c.Now()
	m := s.message(t, w, body)
	if t.Stored() == warrant.TaskRejected {
		return nil, s.x.refused(ctx, t, generation)
	}
	if !t.ReleasedAt.IsZero() {
		if generation != t.Generation {
			return nil, reason.New(reason.GenerationMismatch, "")
		}
		m.Effects = []string{"the package that was released is returned; nothing is read"}
		return m, s.trace(ctx, by, ledger.Draft{Kind: warrant.KindTaskIntent, Role: string(warrant.LegalOfficer), WarrantID: w.ID, Generation: w.Generation})
	}
	d, refusal := c.Rules.Begin(c.State, now, by, taskID, generation, body)
	if refusal == nil {
		refusal = s.x.tooRecent(now, t.Category, body)
	}
	if refusal != nil {
		return nil, refusal
	}
	m.Effects = s.effects(t, body)
	return m, s.trace(ctx, by, d)
}

func (s *Service) trace(ctx context.Context, by warrant.Caller, d ledger.Draft) error {
	_, err := s.x.cfg.Book.Append(ctx, warrant.Previewed(by, d))
	return warrantrpc.LedgerError(err)
}

// effects says what running a task would do, without its target.
func (s *Service) effects(t warrant.Task, body warrant.TaskBody) []string {
	q, refusal := body.Question()
	zone, err := s.x.zone()
	if refusal != nil || err != nil {
		return nil
	}
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	both := func(at time.Time) string {
		return at.UTC().Format(time.RFC3339) + " (" + at.In(zone).Format("Mon 2 Jan 2006 15:04:05 -07:00") + ", " + zone.String() + ")"
	}
	if q.End.IsZero() {
		around := q.Uncertainty + s.x.cfg.ClockMargin
		say("one question of %s about %s", t.Category, both(q.Instant))
		say("searched from %s to %s, with the stated uncertainty and our clock margin", both(q.Instant.Add(-around)), both(q.Instant.Add(around)))
	} else {
		say("one question of %s from %s to %s, exclusive", t.Category, both(q.Instant), both(q.End))
	}
	switch {
	case body.FromHold != "":
		say("asked of the hold, and not of the store")
	case t.Category == warrant.Preservation:
		say("what there is is copied and sealed; nothing is disclosed")
	}
	if t.Category != warrant.Preservation {
		say("at most %d lines and %d records are disclosed; if there are more, nothing is", q.MaxSubjects, q.MaxRecords)
	}
	if at, err := s.x.notBefore(t.Category, body); err == nil && at.After(s.x.cfg.Now()) {
		say("not before %s: records may be on their way", both(at))
	}
	if s.x.cfg.Rules.DoubleEntry && t.Category != warrant.Preservation && !t.Confirmed() {
		say("another person must key the question a second time first")
	}
	return out
}
