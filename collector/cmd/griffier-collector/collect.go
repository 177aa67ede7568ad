package main

import (
	"context"
	"io"
	"log/slog"

	"griffier/collector/config"
	"griffier/collector/daemon"
)

// collect runs the collector until ctx ends.
func collect(ctx context.Context, c config.Config, stderr io.Writer) error {
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	return daemon.Run(ctx, c, daemon.Options{
		Log: log,
		Ready: func(a daemon.Addresses) {
			log.Info("ready", slog.String("radius", a.RADIUS.String()), slog.String("metrics", a.Metrics.String()))
		},
	})
}
