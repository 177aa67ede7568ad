package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// KindVerified records that the whole log was checked. Facts: size, root (hex),
// problems and doubts (their numbers), and, if witnesses have signed one, the newest cosigned
// checkpoint, by which entries can be dated later.
const KindVerified = "ledger.verified"

// Check is what one check of the whole log found.
type Check struct {
	At       time.Time // zero before the first
	Took     time.Duration
	Size     uint64
	Problems []Problem
	Doubts   []Problem // about entries' times; they do not stop the ledger
}

// Watcher checks the whole log again and again from its files, as an outsider
// would, and stops the ledger when something is wrong with them.
type Watcher struct {
	Log   *Log
	Every time.Duration // an hour
	// Folds makes fresh states to fold the log again.
	Folds func() []Fold
	// WitnessKeys are the public keys of witnesses.
	WitnessKeys []string
	Metrics     *WatchMetrics // nil counts nothing
	Logger      *slog.Logger

	mu   sync.Mutex
	last Check
}

// Run checks until ctx ends, the first time after one interval: Open has just
// checked all.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := w.Check(ctx); err != nil && ctx.Err() == nil {
				w.Logger.LogAttrs(ctx, slog.LevelError, "ledger not verified", slog.String("error", err.Error()))
			}
		}
	}
}

// Check checks once, and enters the outcome in the ledger. A log with problems is
// not written to any more.
func (w *Watcher) Check(ctx context.Context) error {
	began := w.Log.cfg.Now()
	r, err := w.verify(ctx)
	if err != nil && !r.Verified() {
		// The log is being written meanwhile. What is wrong with it stays wrong.
		r, err = w.verify(ctx)
	}
	if err != nil && r.Verified() {
		return err // nothing was found out
	}
	check := Check{At: began, Took: w.Log.cfg.Now().Sub(began), Size: r.Size, Problems: r.Problems, Doubts: r.Doubts}
	w.mu.Lock()
	w.last = check
	w.mu.Unlock()
	w.Metrics.observe(check)
	if err != nil {
		w.Log.Distrust(err)
		return err
	}
	for _, d := range r.Doubts {
		w.Logger.LogAttrs(ctx, slog.LevelError, "ledger entry dated against a witness", slog.String("doubt", d.String()))
	}
	cosigned, _ := w.Log.CosignedCheckpoint()
	facts := map[string]any{"size": r.Size, "root": hex.EncodeToString(r.Root), "problems": 0, "doubts": len(r.Doubts)}
	if cosigned.Checkpoint != "" {
		facts["cosigned"] = cosigned
	}
	_, err = w.Log.Append(ctx, Draft{Kind: KindVerified, Role: "system", Facts: facts})
	return err
}

// verify checks the files once.
func (w *Watcher) verify(ctx context.Context) (Report, error) {
	cfg := VerifyConfig{Dir: w.Log.cfg.Dir, PublicKey: w.Log.PublicKey(), WitnessFile: w.Log.cfg.WitnessFile, WitnessKeys: w.WitnessKeys}
	if w.Folds != nil {
		cfg.Folds = w.Folds()
	}
	return Verify(ctx, cfg)
}

// Last gives the newest check; zero before the first.
func (w *Watcher) Last() Check {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// WatchMetrics are the figures of a [Watcher].
type WatchMetrics struct {
	at, entries, problems, doubts, took prometheus.Gauge
}

// NewWatchMetrics registers them.
func NewWatchMetrics(r prometheus.Registerer) (*WatchMetrics, error) {
	var failed []error
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "griffier", Subsystem: "ledger", Name: name, Help: help})
		failed = append(failed, r.Register(g))
		return g
	}
	m := &WatchMetrics{
		at:       gauge("verified_timestamp_seconds", "When the whole ledger was last checked from its files; 0 before the first time."),
		entries:  gauge("verified_entries", "Entries that the last check covered."),
		problems: gauge("verify_problems", "What the last check found wrong. Anything but 0 stops the ledger."),
		doubts:   gauge("verify_doubts", "Entries whose time is not what a witness's clock allows."),
		took:     gauge("verify_seconds", "How long the last check took."),
	}
	return m, errors.Join(failed...)
}

func (m *WatchMetrics) observe(c Check) {
	if m == nil {
		return
	}
	m.at.Set(float64(c.At.Unix()))
	m.entries.Set(float64(c.Size))
	m.problems.Set(float64(len(c.Problems)))
	m.doubts.Set(float64(len(c.Doubts)))
	m.took.Set(c.Took.Seconds())
}
