package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"griffier/api/daemon"
	"griffier/api/notify"
)

// serviceManager connects to the service manager, if there is one, and to
// SIGHUP, which asks for a reload.
func serviceManager(ctx context.Context, log *slog.Logger) (*notify.Manager, daemon.Manager, error) {
	to, err := notify.Connect(os.Getenv)
	if err != nil {
		return nil, daemon.Manager{}, err
	}
	tell := func(err error) {
		if err != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "the service manager was not told", slog.Any("error", err))
		}
	}
	context.AfterFunc(ctx, func() { tell(to.Stopping()) })
	m := daemon.Manager{
		Reload:    hangups(ctx),
		Reloading: func() { tell(to.Reloading()) },
		Reloaded: func(err error) {
			if err != nil {
				tell(to.Status("reload failed, the old certificates hold; see the log"))
			}
			tell(to.Ready())
		},
		Status: func(line string) { tell(to.Status(line)) },
	}
	if w := to.Watchdog(); w > 0 {
		m.Alive, m.AliveEvery = func() { tell(to.Alive()) }, w/3
	}
	return to, m, nil
}

// hangups passes SIGHUP on until ctx ends. Several that come while one is dealt
// with count as one.
func hangups(ctx context.Context) <-chan struct{} {
	signals, reload := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer signal.Stop(signals)
		for {
			select {
			case <-ctx.Done():
				return
			case <-signals:
			}
			select {
			case <-ctx.Done():
				return
			case reload <- struct{}{}:
			}
		}
	}()
	return reload
}
