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
	"griffier/collector/radius"
	"griffier/collector/spool"
	"griffier/schema"
)

// snapshot is what a checkpoint holds: the state of everything that remembers.
type snapshot struct {
	Binding json.RawMessage `json:"binding"`
	RADIUS  json.RawMessage `json:"radius"`
	Leases  json.RawMessage `json:"leases"`
	// Policies are kept for a start while the store is away.
	Policies []schema.Policy `json:"policies"`
}

// recover brings binding and trackers to the state of the last durable batch.
func (l *loop) recover(tracker *radius.Tracker) error {
	state, deltas, err := l.spool.Recover()
	if err != nil {
		return err
	}
	var s snapshot
	if state != nil {
		if err := json.Unmarshal(state, &s); err != nil {
			return fmt.Errorf("recover: snapshot: %w", err)
		}
		if err := tracker.Restore(s.RADIUS); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		if err := l.leases.Restore(s.Leases); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	l.policies = s.Policies
	if err := l.binding.Restore(s.Binding, deltas); err != nil {
		return fmt.Errorf("recover: %w", err)
	}
	for _, delta := range deltas {
		observations, err := binding.Observations(delta)
		if err != nil {
			return fmt.Errorf("recover: %w", err)
		}
		for _, o := range observations {
			if err := errors.Join(tracker.Redo(o), l.leases.Redo(o)); err != nil {
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
func (l *loop) resume(ctx context.Context, lines []binding.StaticLine) error {
	now := time.Now()
	if l.datapath != nil {
		l.sync(now)
	}
	e := l.binding.Started(now, readClock())
	for _, o := range binding.Static(lines, l.binding.Sessions(), now) {
		e.Add(l.binding.Apply(now, o))
	}
	return l.commit(ctx, e)
}

// checkpoint begins a new segment with the whole state, so that the ones before
// it can go. If that fails, which it reports, it is tried again later; nothing
// is lost.
func (l *loop) checkpoint(ctx context.Context) bool {
	state, err := l.snapshot()
	if err == nil {
		err = l.spool.Checkpoint(context.WithoutCancel(ctx), state)
	}
	if err != nil && !errors.Is(err, spool.ErrFull) {
		l.log.Error("checkpoint failed", slog.Any("error", err))
	}
	return err == nil
}

func (l *loop) snapshot() ([]byte, error) {
	s := snapshot{Policies: l.policies}
	var err error
	if s.Binding, err = l.binding.Snapshot(); err != nil {
		return nil, err
	}
	if s.Leases, err = l.leases.Snapshot(); err != nil {
		return nil, err
	}
	// Taken last and possibly ahead of what is durable, which does no harm.
	if s.RADIUS, err = l.radius(); err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

// readClock asks the kernel about boot and clock (adjtimex(2)).
func readClock() binding.Clock {
	c := binding.Clock{BootID: bootID()}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return c
	}
	const timeError = 5 // TIME_ERROR: the clock is not synchronised
	c.Synced = state != timeError && t.Status&unix.STA_UNSYNC == 0
	c.OffsetNanos = t.Offset
	if t.Status&unix.STA_NANO == 0 {
		c.OffsetNanos *= int64(time.Microsecond)
	}
	return c
}

// bootID is empty if the kernel does not tell.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
