package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/radius"
)

// recover brings binding and trackers to the state of the last durable batch.
func (l *loop) recover(tracker *radius.Tracker) error {
	state, deltas, err := l.spool.Recover()
	if err != nil {
		return err
	}
	var s snapshot
	if state != nil {
		if s, err = unpack(state); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		if err := errors.Join(tracker.Restore(s[radiusPart]), l.leases.Restore(s[leasesPart]), l.blocks.Restore(s[blocksPart])); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		if err := json.Unmarshal(s[policiesPart], &l.policies); err != nil {
			return fmt.Errorf("recover: policies: %w", err)
		}
	}
	if err := l.binding.Restore(s[bindingPart], deltas); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, delta := range deltas {
		observations, err := binding.Observations(delta)
		if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		for _, o := range observations {
			if err := l.redo(o, tracker, l.leases); err != nil {
				return fmt.Errorf("recover: %w", err)
			}
		}
	}
	sessions, addresses := l.binding.Live()
	l.log.Info("recovered", slog.Int("sessions", sessions), slog.Int("addresses", addresses), slog.Int("deltas", len(deltas)))
	return nil
}

// resume brings the kernel in line with what was recovered, declares the time
// since the last run as a gap, and applies the configured lines.
func (l *loop) resume(ctx context.Context, lines []binding.StaticLine, blocks []cgnat.StaticBlock) error {
	now := time.Now()
	if l.datapath != nil {
		l.sync(now)
	}
	e := l.binding.Started(now, readClock())
	l.doubted(e)
	e.Add(l.configured(lines, now))
	l.blocks.Configure(blocks, now)
	return l.commit(ctx, e)
}

// checkpointIfDue begins a checkpoint if there is enough log since the last one,
// at once and not at the next tick: what lies after the last checkpoint cannot be
// freed, and must never come to fill the spool. The state is taken here, after all
// that was handed over and before all that will be; packing and writing it is the
// writer's, while events go on to be applied.
func (l *loop) checkpointIfDue(ctx context.Context) {
	if since := l.spool.Stats().SinceCheckpoint; l.checkpointing == nil && since >= l.checkpointAt && since >= l.retryAt {
		l.beginCheckpoint(ctx)
	}
}

// checkpoint begins a new segment with the whole state, so that the ones before
// it can go, and returns once it has. If that fails it is tried again later;
// nothing is lost.
func (l *loop) checkpoint(ctx context.Context) {
	if l.checkpointing != nil {
		l.checkpointed(<-l.checkpointing)
	}
	l.beginCheckpoint(ctx)
	if l.checkpointing != nil {
		l.checkpointed(<-l.checkpointing)
	}
}

func (l *loop) beginCheckpoint(ctx context.Context) {
	l.flush(ctx)
	s, err := l.snapshot()
	if err != nil {
		l.log.Error("checkpoint failed", slog.Any("error", err))
		l.checkpointed(err)
		return
	}
	l.checkpointing = make(chan error, 1)
	l.writer.hand(ctx, &batch{snapshot: &s, done: l.checkpointing})
}

// checkpointed notes the outcome of a checkpoint.
func (l *loop) checkpointed(err error) {
	l.checkpointing, l.retryAt = nil, 0
	if err != nil {
		l.retryAt = l.spool.Stats().SinceCheckpoint + l.checkpointAt/8
	}
}

// snapshot is the state of everything that the loop owns.
func (l *loop) snapshot() (s snapshot, err error) {
	if s[bindingPart], err = l.binding.Snapshot(); err != nil {
		return s, err
	}
	if s[leasesPart], err = l.leases.Snapshot(); err != nil {
		return s, err
	}
	if s[blocksPart], err = l.blocks.Snapshot(); err != nil {
		return s, err
	}
	s[policiesPart], err = json.Marshal(l.policies)
	return s, err
}

// readClock asks the kernel about boot and clock (adjtimex(2)).
func readClock() binding.Clock {
	c := binding.Clock{BootID: bootID()}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return c
	}
	c.OffsetNanos, c.Synced = judgeClock(state, t)
	return c
}

// judgeClock reads adjtimex's answer: the offset is in nanoseconds if STA_NANO is
// set, else in microseconds.
func judgeClock(state int, t unix.Timex) (offsetNanos int64, synced bool) {
	const timeError = 5 // TIME_ERROR: the clock is not synchronised
	offsetNanos = t.Offset
	if t.Status&unix.STA_NANO == 0 {
		offsetNanos *= int64(time.Microsecond)
	}
	return offsetNanos, state != timeError && t.Status&unix.STA_UNSYNC == 0
}

// bootID is empty if the kernel does not tell.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
