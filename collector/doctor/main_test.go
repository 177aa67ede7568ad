package doctor

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
	"griffier/collector/daemon"
)

// These make this binary a doctor, or a collector, with the named configuration:
// both belong into a router's network namespace.
const (
	doctorEnv    = "GRIFFIER_TEST_DOCTOR_CONFIG"
	collectorEnv = "GRIFFIER_TEST_COLLECTOR_CONFIG"
)

func TestMain(m *testing.M) {
	if os.Getenv(doctorEnv) == "" && os.Getenv(collectorEnv) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case os.Getenv(doctorEnv) != "":
		err = Run(ctx, os.Getenv(doctorEnv)).WriteJSON(os.Stdout)
	case os.Getenv(collectorEnv) != "":
		var c config.Config
		if c, err = config.Read(os.Getenv(collectorEnv)); err == nil {
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			err = daemon.Run(ctx, c, daemon.Options{Log: log, Ready: func(daemon.Addresses) { log.Info("ready") }})
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
