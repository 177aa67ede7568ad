package retention

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/signedfile"
)

// Desk takes the policy file from disk and brings it into force. It is safe for
// concurrent use.
type Desk struct {
	path    string
	trusted signedfile.Trusted
	keeper  *Keeper
	conn    driver.Conn
	book    book
	log     *slog.Logger
	metrics deskMetrics

	mu      sync.Mutex
	problem string
	again   bool // the file is good, and the store, ledger or clock was not
}

type deskMetrics struct {
	generation, fileRefused, refusedSince prometheus.Gauge
}

// NewDesk returns the desk of the file at path, whose keeper is a fold of book.
func NewDesk(path string, trusted signedfile.Trusted, k *Keeper, conn driver.Conn, b book, reg prometheus.Registerer, log *slog.Logger) *Desk {
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
		reg.MustRegister(g)
		return g
	}
	return &Desk{path: path, trusted: trusted, keeper: k, conn: conn, book: b, log: log, metrics: deskMetrics{
		gauge("griffier_retention_policy_generation", "Generation of the retention policy in force."),
		gauge("griffier_retention_policy_file_refused", "1 while the policy file on disk is refused and an older policy holds."),
		gauge("griffier_retention_policy_file_refused_timestamp_seconds", "When that file was last refused; 0: it is not."),
	}}
}

// Start restores the policy that the ledger has in force and then loads the file.
// A file that is refused is an error only if no policy is in force: without one
// nothing could be read.
func (d *Desk) Start(ctx context.Context) error {
	if err := d.keeper.Restore(ctx, d.conn, d.book, d.trusted.Has); err != nil {
		return err
	}
	err := d.Load(ctx)
	if _, ok := d.keeper.InForce(); ok && refused(err) {
		return nil
	}
	return err
}

// Load reads the file again and brings it into force. On an error the policy that
// was in force still is, and until a later Load succeeds the log, a metric and
// [Desk.Problem] say why.
func (d *Desk) Load(ctx context.Context) error {
	f, err := ReadFile(d.path, d.trusted)
	if err == nil {
		err = d.keeper.Enforce(ctx, d.conn, d.book, f)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.metrics.generation.Set(float64(d.keeper.Generation()))
	d.again = err != nil && !refused(err)
	if err != nil {
		d.problem = err.Error()
		d.metrics.fileRefused.Set(1)
		d.metrics.refusedSince.Set(float64(time.Now().Unix()))
		d.log.LogAttrs(ctx, slog.LevelError, "retention policy file refused; the policy in force stays in force",
			slog.Uint64("generation_in_force", d.keeper.Generation()), slog.String("error", err.Error()))
		return err
	}
	if d.problem != "" {
		d.problem = ""
		d.log.LogAttrs(ctx, slog.LevelInfo, "retention policy file taken again", slog.Uint64("generation_in_force", d.keeper.Generation()))
	}
	d.metrics.fileRefused.Set(0)
	d.metrics.refusedSince.Set(0)
	return nil
}

// lookInterval is how often the store is compared with the policy in force.
const lookInterval = time.Minute

// Run keeps the store at the policy in force until ctx ends: what a full disk, say, kept
// from coming into force is tried again, and what somebody else wrote into the store's
// table is put right.
func (d *Desk) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.look(ctx)
		}
	}
}

func (d *Desk) look(ctx context.Context) {
	d.mu.Lock()
	again := d.again
	d.mu.Unlock()
	if again {
		_ = d.Load(ctx) // which says itself what is wrong
		return
	}
	agrees, err := d.keeper.Agrees(ctx, d.conn)
	if err == nil && !agrees {
		d.log.LogAttrs(ctx, slog.LevelWarn, "the store has another retention policy than is in force; it is written again",
			slog.Uint64("generation_in_force", d.keeper.Generation()))
	}
	if err = errors.Join(err, d.Bring(ctx)); err != nil && ctx.Err() == nil {
		d.log.LogAttrs(ctx, slog.LevelError, "the store does not have the retention policy in force", slog.String("error", err.Error()))
	}
}

// Bring brings an approved proposal into force.
func (d *Desk) Bring(ctx context.Context) error {
	err := d.keeper.Restore(ctx, d.conn, d.book, d.trusted.Has)
	d.metrics.generation.Set(float64(d.keeper.Generation()))
	return err
}

// Problem tells why the file on disk is not the policy in force; "" when it is.
func (d *Desk) Problem() string {
	if f, ok := d.keeper.InForce(); ok && f.ProposalID != "" {
		if onDisk, err := ReadFile(d.path, d.trusted); err == nil && onDisk.SHA256 != f.SHA256 && onDisk.Generation < f.Generation {
			return (&OlderError{onDisk.Generation, f.Generation}).Error()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problem
}

// refused tells a file that is not taken from a store or ledger that failed.
func refused(err error) bool {
	var form *signedfile.FileError
	var longer *LengthenError
	var older *OlderError
	return errors.As(err, &form) || errors.As(err, &longer) || errors.As(err, &older) || signedfile.NoFile(err)
}
