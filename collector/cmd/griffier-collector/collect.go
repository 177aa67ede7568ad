package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"griffier/collector/config"
	"griffier/collector/daemon"
)

// collect runs the collector until ctx ends, reloads at SIGHUP, and tells the
// service manager, if there is one, how it is doing.
func collect(ctx context.Context, path string, c config.Config, stderr io.Writer) error {
	level := new(slog.LevelVar)
	log := slog.New(slog.NewJSONHandler(stderr, &slog.HandlerOptions{Level: level}))
	tell := func(states ...string) { // sd_notify(3)
		if _, err := sd.SdNotify(false, strings.Join(states, "\n")); err != nil {
			log.Warn("the service manager was not told", slog.Any("error", err))
		}
	}
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { tell(sd.SdNotifyStopping) })
	defer stop()
	o := daemon.Options{
		Log: log, Level: level,
		Ready: func(a daemon.Addresses) {
			log.Info("ready", slog.String("radius", listening(a.RADIUS)), slog.String("metrics", listening(a.Metrics)))
			tell(sd.SdNotifyReady)
		},
		Status:     func(line string) { tell("STATUS=" + line) },
		Reload:     hangups(ctx),
		ReadConfig: func() (config.Config, error) { return config.Read(path) },
		Reloading:  func() { tell(sd.SdNotifyReloading, strings.TrimSpace(sd.SdNotifyMonotonicUsec())) },
		Reloaded: func(err error) {
			if err != nil {
				tell("STATUS=reload failed, the old configuration holds; see the log")
			}
			tell(sd.SdNotifyReady)
		},
	}
	if watchdog > 0 {
		o.Alive = func() { tell(sd.SdNotifyWatchdog) }
	}
	return daemon.Run(ctx, c, o)
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

// listening writes an address that something listens at, "" if nothing does.
func listening(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
