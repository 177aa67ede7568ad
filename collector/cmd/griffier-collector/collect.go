package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"griffier/collector/config"
	"griffier/collector/daemon"
	"griffier/collector/notify"
)

// collect runs the collector until ctx ends, and tells the service manager, if
// there is one, how it is doing.
func collect(ctx context.Context, c config.Config, stderr io.Writer) error {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	manager, err := notify.Connect(os.Getenv)
	if err != nil {
		return err
	}
	defer manager.Close()
	tell := func(err error) {
		if err != nil {
			log.Warn("the service manager was not told", slog.Any("error", err))
		}
	}
	stop := context.AfterFunc(ctx, func() { tell(manager.Stopping()) })
	defer stop()
	o := daemon.Options{
		Log: log,
		Ready: func(a daemon.Addresses) {
			log.Info("ready", slog.String("radius", a.RADIUS.String()), slog.String("metrics", a.Metrics.String()))
			tell(manager.Ready())
		},
	}
	if manager.Watchdog() > 0 {
		o.Alive = func() { tell(manager.Alive()) }
	}
	return daemon.Run(ctx, c, o)
}
