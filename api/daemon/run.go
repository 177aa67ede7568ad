package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"griffier/api/clock"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/legalbasis"
	"griffier/api/retention"
	"griffier/api/retention/expiry"
	"griffier/api/signedfile"
	"griffier/api/usage"
)

// Start says how one run of griffierd differs from every other.
type Start struct {
	// AcceptWitnessLoss starts although the ledger and its witness file disagree,
	// and enters that in the ledger. For an operator who knows what was lost.
	AcceptWitnessLoss bool
	// AcceptClock believes a clock that leapt since the ledger's newest entry, and
	// enters that in the ledger. For an operator who knows that it is right.
	AcceptClock bool
	// Ready is called once, when calls are answered, with the address that listens.
	Ready func(addr net.Addr)
	// Manager is the service manager.
	Manager Manager
}

// Run serves until ctx ends, then stops in order and returns nil.
func Run(ctx context.Context, cfg Config, log *slog.Logger, start Start) (err error) {
	trusted, err := signedfile.ReadTrusted(cfg.RetentionKeysFile)
	if err != nil {
		return err
	}
	if _, err := retention.ReadFile(cfg.RetentionFile, trusted); err != nil {
		// With a ledger an older policy may be in force; without one nothing is
		// written for a policy that is refused.
		if _, noLedger := os.Stat(cfg.Ledger.Dir); noLedger != nil {
			return err
		}
	}
	basisKeys, err := signedfile.ReadTrusted(cfg.Legal.BasisKeysFile)
	if err != nil {
		return err
	}
	if _, err := legalbasis.ReadFiles(cfg.Legal.BasisFiles, basisKeys); err != nil {
		if _, noLedger := os.Stat(cfg.Ledger.Dir); noLedger != nil {
			return err
		}
	}
	if err := restoreFinished(cfg.Store.DataDir); err != nil {
		return err
	}
	store, err := openStore(ctx, cfg.Store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.stop()) }()
	conn := store.operator

	keys, err := keystore.Open(cfg.Keys.Dir, cfg.Keys.MasterFile)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	s, err := newServices(cfg, store, keys, registry, log)
	if err != nil {
		return err
	}
	key, err := ledger.LoadKey(cfg.Ledger.KeyFile)
	if err != nil {
		return err
	}
	if s.guards, err = newGuards(cfg.Ledger, key.Signer.Name(), log); err != nil {
		return err
	}
	had := &sealed{}
	book, err := ledger.Open(ctx, ledger.Config{
		Dir: cfg.Ledger.Dir, WitnessFile: cfg.Ledger.WitnessFile, Key: key, Keys: keys,
		Folds: append(s.folds(), had), Now: clock.NewSteady().Now, Limit: cfg.Ledger.Limit, Logger: log,
		AcceptWitnessLoss: start.AcceptWitnessLoss, Remotes: s.guards.remotes(), RemotesNeeded: cfg.Ledger.Quorum,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()
	log.LogAttrs(ctx, slog.LevelInfo, "ledger open", slog.Uint64("entries", book.Size()))
	if err := s.keysAreThere(had); err != nil {
		return err
	}
	if err := s.guards.attach(book, registry); err != nil {
		return err
	}

	if err := s.believeClock(ctx, book, start.AcceptClock); err != nil {
		return err
	}
	if err := s.raiseFloor(ctx, book); err != nil {
		return err
	}
	s.trusted, s.basisKeys = trusted, basisKeys
	s.basisDesk = legalbasis.NewDesk(cfg.Legal.BasisFiles, basisKeys, s.bases, book, registry, log)
	if err := s.basisDesk.Start(ctx); err != nil {
		return err
	}
	s.backups = s.newBackups(book)
	s.watching = s.newWatch(book)
	s.subjects = s.newSubjects(book)
	// Erasures that a stop interrupted, before anybody can read.
	if err := s.subjects.Recover(ctx); err != nil {
		return err
	}
	s.keeper.Room = s.makeRoom
	s.desk = retention.NewDesk(cfg.RetentionFile, trusted, s.keeper, conn, book, registry, log)
	if err := s.desk.Start(ctx); err != nil {
		return err
	}
	s.watchClock(ctx, book)
	dropper, verifier := s.newExpiry(book)
	s.verifier = verifier
	if err := s.reapply(ctx, book, dropper); err != nil {
		return err
	}
	srv, err := s.server(ctx, book)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer listener.Close()

	roller := usage.NewRoller(store.executor, s.register, registry, time.Now, log)
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.Serve(running, listener, cfg.ShutdownGrace) })
	g.Go(func() error { s.executor.Run(running); return nil })
	g.Go(func() error { s.watcher(book).Run(running); return nil })
	g.Go(func() error { s.guards.run(running); return nil })
	g.Go(func() error { s.held.Run(running); return nil })
	g.Go(func() error { s.documents.Run(running); return nil })
	g.Go(func() error { s.reads.Seal(running, book, log); return nil })
	g.Go(func() error { roller.Run(running); return nil })
	g.Go(func() error { s.desk.Run(running); return nil })
	g.Go(func() error { dropper.Run(running); return nil })
	g.Go(func() error { s.verifier.Run(running, expiry.NewMetrics(registry, s.record), log); return nil })
	g.Go(func() error { s.shredder(book).Run(running); return nil })
	g.Go(func() error { s.subjects.Run(running); return nil })
	g.Go(func() error { s.watching.Run(running); return nil })
	g.Go(func() error { s.unkept.Run(running); return nil })
	g.Go(func() error { s.backups.Run(running, cfg.Backup.Every); return nil })
	g.Go(func() error { s.publisher(book).Run(running); return nil })
	g.Go(func() error {
		manage(running, start.Manager, s.identity, policies{s.desk, s.basisDesk}, book, log)
		return nil
	})
	g.Go(func() error { return serveMetrics(running, cfg.MetricsListen, registry) })
	start.Manager.status(book) // before it is said to be ready: whoever waits for that sees a status
	start.Ready(listener.Addr())
	return g.Wait()
}

// floorOf is the ledger's newest time; the store's clock never falls behind it.
func floorOf(book *ledger.Log) time.Time {
	if at := book.LastAt(); !at.IsZero() {
		return at
	}
	return time.Now().Add(-time.Minute)
}

// serveMetrics answers /metrics on a loopback listener until ctx ends.
func serveMetrics(ctx context.Context, listen string, registry *prometheus.Registry) error {
	if listen == "" {
		<-ctx.Done()
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	srv := &http.Server{Addr: listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		srv.Shutdown(stop)
	}()
	err := srv.ListenAndServe()
	if ctx.Err() != nil {
		<-stopped
		return nil
	}
	return fmt.Errorf("metrics: %w", err)
}
