package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"griffier/collector/config"
)

// collectorEnv makes this binary a collector: tests that kill one need a
// process of its own.
const collectorEnv = "GRIFFIER_TEST_COLLECTOR_CONFIG"

func TestMain(m *testing.M) {
	path := os.Getenv(collectorEnv)
	if path == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c, err := config.Read(path)
	if err == nil {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		err = Run(ctx, c, Options{Log: log, Ready: func(Addresses) { log.Info("ready") }})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
