package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"griffier/api/daemon"
)

// serviceManager is how griffierd tells the service manager, if there is one, how
// it is doing (sd_notify(3)), and hears SIGHUP, which asks for a reload.
func serviceManager(ctx context.Context, log *slog.Logger) (tell func(states ...string), m daemon.Manager, err error) {
	tell = func(states ...string) {
		if _, err := sd.SdNotify(false, strings.Join(states, "\n")); err != nil {
			log.LogAttrs(ctx, slog.LevelWarn, "the service manager was not told", slog.Any("error", err))
		}
	}
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return nil, daemon.Manager{}, fmt.Errorf("service manager: %w", err)
	}
	context.AfterFunc(ctx, func() { tell(sd.SdNotifyStopping) })
	m = daemon.Manager{
		Reload:    hangups(ctx),
		Reloading: func() { tell(sd.SdNotifyReloading, strings.TrimSpace(sd.SdNotifyMonotonicUsec())) },
		Reloaded: func(err error) {
			if err != nil {
				tell("STATUS=reload failed, the old certificates hold; see the log")
			}
			tell(sd.SdNotifyReady)
		},
		Status: func(line string) { tell("STATUS=" + line) },
	}
	if watchdog > 0 {
		m.Alive, m.AliveEvery = func() { tell(sd.SdNotifyWatchdog) }, watchdog/3
	}
	return tell, m, nil
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
