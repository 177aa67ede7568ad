package witness

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// alarms tells, once each time, that a witness is late or is no longer. With mu held.
func (g *Gatherer) alarms(ctx context.Context) {
	now := g.cfg.Now()
	for _, w := range g.watches {
		late := w.lag(now) > g.cfg.AlarmAfter
		switch {
		case late && !w.alarmed:
			why := ""
			if w.err != nil {
				why = w.err.Error()
			}
			g.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger not cosigned", slog.String("witness", w.client.name),
				slog.Duration("for", w.lag(now)), slog.String("error", why))
		case !late && w.alarmed:
			g.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "ledger cosigned again", slog.String("witness", w.client.name))
		}
		w.alarmed = late
		g.cfg.Metrics.observe(w, now)
	}
}

// lag is for how long there have been entries that the witness has not signed.
func (w *watch) lag(now time.Time) time.Duration {
	if w.lateSince.IsZero() {
		return 0
	}
	return now.Sub(w.lateSince)
}

// failures are why witnesses did not sign when they were last asked.
func (g *Gatherer) failures() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []error
	for _, w := range g.watches {
		if w.err != nil {
			out = append(out, fmt.Errorf("%s: %w", w.client.name, w.err))
		}
	}
	return out
}

// Status is what is known of one witness.
type Status struct {
	Name, PublicKey string
	Size            uint64    // entries of the newest checkpoint that it signed
	SignedAt        time.Time // zero before the first
	Lag             time.Duration
	Alarm           bool
	Error           string // of the last attempt
}

// Quorum is how many witnesses Await waits for.
func (g *Gatherer) Quorum() int { return g.cfg.Quorum }

// Witnesses gives the status of each, in the order of the configuration.
func (g *Gatherer) Witnesses() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	var out []Status
	for _, w := range g.watches {
		s := Status{Name: w.client.name, PublicKey: w.client.public, Size: w.size, SignedAt: w.signedAt, Lag: w.lag(now), Alarm: w.alarmed}
		if w.err != nil {
			s.Error = w.err.Error()
		}
		out = append(out, s)
	}
	return out
}
