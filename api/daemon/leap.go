package daemon

import (
	"context"
	"log/slog"
	"time"

	"griffier/api/clock"
	"griffier/api/ledger"
)

// kindClockAccepted is the entry of an operator's word for a clock that leapt.
const kindClockAccepted = "clock.accepted"

// clockAccepted is the clear part of that entry.
type clockAccepted struct {
	Known time.Time `json:"known"` // the newest time in the ledger
	Clock time.Time `json:"clock"`
}

// believeClock makes the guard of what expires for good, before anything is
// entered or expires by this host's clock. It is an error if that cannot be
// believed, unless accept says that an operator does.
func (s *services) believeClock(ctx context.Context, book *ledger.Log, accept bool) error {
	now, last := time.Now().UTC(), book.LastAt()
	s.leap = clock.NewLeap(last, clock.Read)
	s.keeper.Clock = s.leap
	err := s.leap.Check(now)
	if err == nil || !accept {
		return err
	}
	if _, err := book.Append(ctx, ledger.Draft{Kind: kindClockAccepted, Role: "system", Facts: clockAccepted{Known: last, Clock: now}}); err != nil {
		return err
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "the clock is believed because an operator said so", slog.Time("newest_known", last), slog.Time("clock", now))
	if last.After(now) {
		now = last
	}
	s.leap.Accept(now)
	return nil
}

// sure tells whether this host's clock can be believed with what cannot be taken back:
// a laboratory's too, which nothing keeps.
type sure struct {
	*clock.Judge
	leap *clock.Leap
}

// Check returns nil if it can.
func (s sure) Check() error {
	if err := s.Judge.Check(); err != nil {
		return err
	}
	return s.leap.Check(s.Now())
}
