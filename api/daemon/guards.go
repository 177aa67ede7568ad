package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"griffier/api/ledger"
	"griffier/api/ledger/ledgerrpc"
	"griffier/api/ledger/peer"
	"griffier/api/ledger/sink"
	"griffier/api/ledger/witness"
)

// PeersConfig is what griffierd shows to the witnesses and the second sink, and
// whom of them it believes. Needed for every URL that is not on loopback.
type PeersConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	CAFile   string `yaml:"ca_file"`
}

// WitnessConfig names a machine that signs the ledger's checkpoints (griffier witness).
type WitnessConfig struct {
	URL           string `yaml:"url"`
	PublicKeyFile string `yaml:"public_key_file"`
}

// SinkConfig names the host that keeps a copy of the ledger (griffier ledger-sink).
type SinkConfig struct {
	URL string `yaml:"url"` // empty: there is none
	// AlarmAfter is how old an entry that it does not have becomes before an alarm.
	// Default 60s.
	AlarmAfter time.Duration `yaml:"alarm_after"`
	// RefuseAfter is how old before calls that need the ledger are refused
	// (LEDGER_UNAVAILABLE). Default 24h.
	RefuseAfter time.Duration `yaml:"refuse_after"`
}

const (
	cosignEvery        = 10 * time.Second
	shipEvery          = 200 * time.Millisecond
	maxWitnesses       = 8
	defaultReleaseWait = 5 * time.Second
	defaultSinkAlarm   = time.Minute
	defaultSinkRefusal = 24 * time.Hour
	defaultVerifyEvery = time.Hour
)

func defaultLedger() LedgerConfig {
	return LedgerConfig{Limit: defaultLedgerLimit, Quorum: 1, ReleaseWait: defaultReleaseWait, VerifyEvery: defaultVerifyEvery,
		Sink: SinkConfig{AlarmAfter: defaultSinkAlarm, RefuseAfter: defaultSinkRefusal}}
}

// initialLedger is what griffierd -init begins with: nobody has the ledger elsewhere.
func initialLedger(limit time.Duration) LedgerConfig {
	c := defaultLedger()
	c.Dir, c.WitnessFile, c.KeyFile, c.Limit = "ledger", "ledger-witness/head", "secret/ledger.key", limit
	return c
}

func (c *LedgerConfig) files() []*string {
	out := []*string{&c.Peers.CertFile, &c.Peers.KeyFile, &c.Peers.CAFile}
	for i := range c.Witnesses {
		out = append(out, &c.Witnesses[i].PublicKeyFile)
	}
	return out
}

func (c LedgerConfig) validate() error {
	var errs []error
	if err := c.peers().Validate(); err != nil {
		errs = append(errs, errors.New("ledger.peers.cert_file, key_file and ca_file go together"))
	}
	if len(c.Witnesses) > maxWitnesses {
		errs = append(errs, fmt.Errorf("ledger.witnesses: at most %d", maxWitnesses))
	}
	for i, w := range c.Witnesses {
		if w.URL == "" || w.PublicKeyFile == "" {
			errs = append(errs, fmt.Errorf("ledger.witnesses[%d] needs url and public_key_file", i))
		}
	}
	between := func(key string, d, least, most time.Duration) {
		if d < least || d > most {
			errs = append(errs, fmt.Errorf("ledger.%s must be between %v and %v", key, least, most))
		}
	}
	between("release_wait", c.ReleaseWait, 0, time.Minute)
	between("verify_every", c.VerifyEvery, time.Minute, 24*time.Hour)
	between("sink.alarm_after", c.Sink.AlarmAfter, time.Second, time.Minute)
	between("sink.refuse_after", c.Sink.RefuseAfter, c.Sink.AlarmAfter, 7*24*time.Hour)
	switch {
	case c.ReleaseNeedsWitness && len(c.Witnesses) == 0:
		errs = append(errs, errors.New("ledger.release_needs_witness needs ledger.witnesses"))
	case c.Quorum < 1 || c.Quorum > max(1, len(c.Witnesses)):
		errs = append(errs, fmt.Errorf("ledger.quorum must be between 1 and the number of ledger.witnesses, %d", len(c.Witnesses)))
	case c.Quorum > 1 && !c.ReleaseNeedsWitness:
		errs = append(errs, errors.New("ledger.quorum above 1 needs ledger.release_needs_witness: true"))
	}
	if c.ReleaseNeedsWitness && c.ReleaseWait == 0 {
		errs = append(errs, errors.New("ledger.release_needs_witness needs a ledger.release_wait above 0"))
	}
	return errors.Join(errs...)
}

func (c LedgerConfig) peers() peer.Files {
	return peer.Files{CertFile: c.Peers.CertFile, KeyFile: c.Peers.KeyFile, CAFile: c.Peers.CAFile}
}

// guards are those who have the ledger elsewhere, and the check of the one here.
type guards struct {
	cfg       LedgerConfig
	log       *slog.Logger
	witnesses []*witness.Client
	keys      []string // of the witnesses
	sink      *sink.Client

	// From attach on. gatherer and shipper are nil without witnesses and sink.
	gatherer *witness.Gatherer
	shipper  *sink.Shipper
	watcher  *ledger.Watcher
}

// newGuards calls nobody yet.
func newGuards(cfg LedgerConfig, origin string, log *slog.Logger) (*guards, error) {
	g := &guards{cfg: cfg, log: log}
	for _, w := range cfg.Witnesses {
		key, err := os.ReadFile(w.PublicKeyFile)
		if err != nil {
			return nil, fmt.Errorf("ledger.witnesses: %w", err)
		}
		c, err := witness.NewClient(w.URL, string(key), origin, cfg.peers())
		if err != nil {
			return nil, fmt.Errorf("ledger.witnesses: %w", err)
		}
		g.witnesses, g.keys = append(g.witnesses, c), append(g.keys, strings.TrimSpace(string(key)))
	}
	if err := ledger.CheckCosigners(g.keys); err != nil {
		return nil, fmt.Errorf("ledger.witnesses: %w", err)
	}
	if cfg.Sink.URL != "" {
		var err error
		if g.sink, err = sink.NewClient(cfg.Sink.URL, cfg.peers()); err != nil {
			return nil, fmt.Errorf("ledger.sink: %w", err)
		}
	}
	return g, nil
}

// remotes are whom the ledger is compared with when it opens.
func (g *guards) remotes() []ledger.Remote {
	var out []ledger.Remote
	for _, w := range g.witnesses {
		out = append(out, w)
	}
	if g.sink != nil {
		out = append(out, g.sink)
	}
	return out
}

// attach makes the jobs of an open ledger.
func (g *guards) attach(book *ledger.Log, registry prometheus.Registerer) error {
	metrics, err := ledger.NewWatchMetrics(registry)
	if err != nil {
		return err
	}
	g.watcher = &ledger.Watcher{Log: book, Every: g.cfg.VerifyEvery, Folds: Folds, WitnessKeys: g.keys, Metrics: metrics, Logger: g.log}
	if len(g.witnesses) > 0 {
		if g.gatherer, err = witness.NewGatherer(witness.GathererConfig{
			Book: book, Witnesses: g.witnesses, File: filepath.Join(filepath.Dir(g.cfg.WitnessFile), "cosigned.json"),
			Quorum: g.cfg.Quorum, Every: cosignEvery, AlarmAfter: defaultSinkAlarm, Now: time.Now, Metrics: witness.NewMetrics(registry), Log: g.log,
		}); err != nil {
			return err
		}
	}
	if g.sink != nil {
		g.shipper = sink.NewShipper(sink.ShipperConfig{
			Book: book, Client: g.sink, Every: shipEvery, AlarmAfter: g.cfg.Sink.AlarmAfter, RefuseAfter: g.cfg.Sink.RefuseAfter,
			Now: time.Now, Metrics: sink.NewMetrics(registry), Log: g.log,
		})
	}
	return nil
}

// run runs the jobs until ctx ends.
func (g *guards) run(ctx context.Context) {
	var jobs errgroup.Group
	jobs.Go(func() error { g.watcher.Run(ctx); return nil })
	if g.gatherer != nil {
		jobs.Go(func() error { g.gatherer.Run(ctx); return nil })
	}
	if g.shipper != nil {
		jobs.Go(func() error { g.shipper.Run(ctx); return nil })
	}
	jobs.Wait()
}

// refuses says why no call that needs the ledger is taken now; nil if they are.
func (g *guards) refuses() error {
	if g.shipper == nil {
		return nil
	}
	return g.shipper.Refuses()
}

// watched is what the overseer is shown of all this.
func (g *guards) watched() ledgerrpc.Watched {
	out := ledgerrpc.Watched{Checked: g.watcher}
	if g.gatherer != nil {
		out.Witnesses = g.gatherer
	}
	if g.shipper != nil {
		out.Sink = g.shipper
	}
	return out
}

// book is the ledger as disclosure uses it: proofs wait for witnesses.
func (g *guards) book(book *ledger.Log) witnessedBook {
	return witnessedBook{Log: book, guards: g}
}

// witnessedBook proves entries with the signatures of witnesses.
type witnessedBook struct {
	*ledger.Log
	guards *guards
}

// Proof waits for the quorum of witnesses, for as long as is configured, before it
// proves an entry, with all signatures that there are. Without a quorum by then it
// proves it with those, or is refused, as is configured.
func (b witnessedBook) Proof(ctx context.Context, index uint64) (ledger.Proof, error) {
	if g := b.guards; g.gatherer != nil && g.cfg.ReleaseWait > 0 {
		wait, cancel := context.WithTimeout(ctx, g.cfg.ReleaseWait)
		err := g.gatherer.Await(wait, index+1)
		cancel()
		if err != nil {
			if g.cfg.ReleaseNeedsWitness {
				return ledger.Proof{}, fmt.Errorf("%w: %w", ledger.ErrUnavailable, err)
			}
			g.log.LogAttrs(ctx, slog.LevelWarn, "proof without its witnesses", slog.String("error", err.Error()))
		}
	}
	return b.Log.Proof(ctx, index)
}
