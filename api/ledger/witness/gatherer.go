package witness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"griffier/api/durable"
	"griffier/api/ledger"
)

// Book is the part of a ledger that is cosigned ([ledger.Log]).
type Book interface {
	Size() uint64
	Checkpoint() string
	PublicKey() string
	RootAt(size uint64) ([]byte, error)
	Consistency(ctx context.Context, from, to uint64) ([][]byte, error)
	KeepCosigned(ledger.Cosigned) error
	Distrust(why error)
}

// GathererConfig says whose signatures to gather, and when.
type GathererConfig struct {
	Book      Book
	Witnesses []*Client
	// File keeps the newest cosigned checkpoint over restarts.
	File string
	// Every is how often the witnesses are asked.
	Every time.Duration
	// Need is how many witnesses' signatures Await waits for; 1 at least.
	Need int
	// AlarmAfter is for how long entries may go uncosigned before it is said.
	AlarmAfter time.Duration
	Now        func() time.Time
	Metrics    *Metrics
	Log        *slog.Logger
}

// refreshEvery is how old a signature over an unchanged ledger becomes before a
// new one is asked for: it says that nothing was added in between.
const refreshEvery = 5 * time.Minute

// Gatherer keeps a ledger cosigned: it asks every witness again and again, keeps
// what they sign, and stops the ledger when one of them remembers something else.
type Gatherer struct {
	cfg  GathererConfig
	kick chan struct{}

	mu      sync.Mutex
	watches []*watch
	changed chan struct{} // closed and replaced after each round
}

// watch is what is known of one witness.
type watch struct {
	client     *Client
	known      bool // size is what the witness said
	size       uint64
	line       string // its signature under checkpoint
	checkpoint string
	signedAt   time.Time
	lateSince  time.Time // since when entries are not signed; zero if all are
	alarmed    bool
	err        error
}

// NewGatherer reads the newest cosigned checkpoint of before. Error: a
// *ledger.WitnessError if the ledger does not hold what was cosigned.
func NewGatherer(cfg GathererConfig) (*Gatherer, error) {
	g := &Gatherer{cfg: cfg, kick: make(chan struct{}, 1), changed: make(chan struct{})}
	g.cfg.Need = max(1, cfg.Need)
	now := cfg.Now()
	for _, c := range cfg.Witnesses {
		g.watches = append(g.watches, &watch{client: c, lateSince: now})
	}
	text, err := os.ReadFile(cfg.File)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	var kept ledger.Cosigned
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return nil, fmt.Errorf("witness: %s: %w", cfg.File, err)
	}
	h, err := ledger.OpenCheckpoint(kept.Checkpoint, cfg.Book.PublicKey())
	if err != nil {
		return nil, fmt.Errorf("witness: %s: %w", cfg.File, err)
	}
	if differs := compare(cfg.Book, h); differs != nil {
		differs.File = cfg.File
		return nil, differs
	}
	return g, cfg.Book.KeepCosigned(kept)
}

// compare holds a head that somebody remembers against the ledger; nil if the
// ledger extends it.
func compare(b Book, h ledger.Head) *ledger.WitnessError {
	e := &ledger.WitnessError{LogSize: b.Size(), WitnessSize: h.Size}
	if h.Size > e.LogSize {
		e.Cause = ledger.WitnessRegress
		return e
	}
	if root, err := b.RootAt(h.Size); err != nil {
		e.Cause, e.Detail = ledger.WitnessMismatch, err
		return e
	} else if !bytes.Equal(root, h.Root) {
		e.Cause = ledger.WitnessMismatch
		return e
	}
	return nil
}

// Run gathers until ctx ends.
func (g *Gatherer) Run(ctx context.Context) {
	tick := time.NewTicker(g.cfg.Every)
	defer tick.Stop()
	for {
		g.round(ctx)
		select {
		case <-ctx.Done():
			for _, w := range g.watches {
				w.client.Close()
			}
			return
		case <-tick.C:
		case <-g.kick:
		}
	}
}

// round asks every witness about one checkpoint.
func (g *Gatherer) round(ctx context.Context) {
	checkpoint := g.cfg.Book.Checkpoint()
	h, err := ledger.OpenCheckpoint(checkpoint, g.cfg.Book.PublicKey())
	if err != nil {
		g.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger checkpoint not readable", slog.String("error", err.Error()))
		return
	}
	if h.Size == 0 {
		return
	}
	var asking sync.WaitGroup
	for _, w := range g.watches {
		asking.Go(func() { g.ask(ctx, w, h, checkpoint) })
	}
	asking.Wait()
	g.keep(ctx, checkpoint)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alarms(ctx)
	close(g.changed)
	g.changed = make(chan struct{})
}

// ask has one witness sign, from wherever it is.
func (g *Gatherer) ask(ctx context.Context, w *watch, h ledger.Head, checkpoint string) {
	began := g.cfg.Now()
	g.mu.Lock()
	old, known := w.size, w.known
	fresh := known && w.size == h.Size && w.line != "" && began.Sub(w.signedAt) < refreshEvery
	g.mu.Unlock()
	if fresh {
		return
	}
	if !known {
		old = 0
	}
	var line string
	var err error
	for range 2 { // the second time from where the witness says it is
		var proof [][]byte
		if old > 0 {
			proof, err = g.cfg.Book.Consistency(ctx, old, h.Size)
		}
		if err == nil {
			line, err = w.client.AddCheckpoint(ctx, old, proof, checkpoint)
		}
		var conflict *ConflictError
		if !errors.As(err, &conflict) {
			break
		}
		if differs := g.disagreement(ctx, w); differs != nil {
			err = differs
			break
		}
		old = conflict.Size
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		if differs := g.disagreement(ctx, w); differs != nil {
			err = differs
		}
	}
	var differs *ledger.WitnessError
	if errors.As(err, &differs) {
		g.cfg.Book.Distrust(differs)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w.err = err
	if err != nil {
		w.known = false
		if w.lateSince.IsZero() {
			w.lateSince = began
		}
		return
	}
	w.known, w.size, w.line, w.checkpoint, w.signedAt = true, h.Size, line, checkpoint, began
	w.lateSince = time.Time{}
	if g.cfg.Book.Size() > h.Size {
		w.lateSince = began
	}
}

// disagreement holds what the witness remembers, as far as the ledger's own key
// has signed it, against the ledger; nil if nothing is proven. A witness that
// cannot be asked (GET /checkpoint is our addition) is believed on its size only
// as far as to make the proof from there.
func (g *Gatherer) disagreement(ctx context.Context, w *watch) error {
	text, err := w.client.Head(ctx)
	if err != nil || text == "" {
		return nil
	}
	h, err := ledger.OpenCheckpoint(text, g.cfg.Book.PublicKey())
	if err != nil {
		return nil
	}
	if differs := compare(g.cfg.Book, h); differs != nil {
		differs.Remote = w.client.Name()
		return differs
	}
	return nil
}

// keep keeps the checkpoint with all signatures under it.
func (g *Gatherer) keep(ctx context.Context, checkpoint string) {
	c := ledger.Cosigned{Checkpoint: checkpoint}
	g.mu.Lock()
	for _, w := range g.watches {
		if w.checkpoint == checkpoint {
			c.Cosignatures = append(c.Cosignatures, w.line)
		}
	}
	g.mu.Unlock()
	if len(c.Cosignatures) == 0 {
		return
	}
	text, err := json.Marshal(c)
	if err == nil {
		err = durable.Write(g.cfg.File, append(text, '\n'))
	}
	if err == nil {
		err = g.cfg.Book.KeepCosigned(c)
	}
	if err != nil {
		g.cfg.Log.LogAttrs(ctx, slog.LevelError, "cosigned checkpoint not kept", slog.String("error", err.Error()))
	}
}

// alarms tells, once each time, that a witness is late or is no longer. With mu held.
func (g *Gatherer) alarms(ctx context.Context) {
	now := g.cfg.Now()
	for _, w := range g.watches {
		late := w.lag(now) > g.cfg.AlarmAfter
		switch {
		case late && !w.alarmed:
			why := ""
			if w.err != nil {
				why = w.err.Error()
			}
			g.cfg.Log.LogAttrs(ctx, slog.LevelError, "ledger not cosigned", slog.String("witness", w.client.name),
				slog.Duration("for", w.lag(now)), slog.String("error", why))
		case !late && w.alarmed:
			g.cfg.Log.LogAttrs(ctx, slog.LevelInfo, "ledger cosigned again", slog.String("witness", w.client.name))
		}
		w.alarmed = late
		g.cfg.Metrics.observe(w, now)
	}
}

// lag is for how long there have been entries that the witness has not signed.
func (w *watch) lag(now time.Time) time.Duration {
	if w.lateSince.IsZero() {
		return 0
	}
	return now.Sub(w.lateSince)
}

// Await has the ledger's first size entries cosigned by as many witnesses as are
// needed, now, and waits until they have or ctx ends.
func (g *Gatherer) Await(ctx context.Context, size uint64) error {
	for {
		g.mu.Lock()
		signed, changed := 0, g.changed
		var failed []error
		for _, w := range g.watches {
			if w.known && w.size >= size {
				signed++
			} else if w.err != nil {
				failed = append(failed, w.err)
			}
		}
		g.mu.Unlock()
		if signed >= g.cfg.Need {
			return nil
		}
		select {
		case g.kick <- struct{}{}:
		default: // one is on its way
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("witness: %d of %d signatures over %d entries: %w", signed, g.cfg.Need, size, errors.Join(append(failed, ctx.Err())...))
		}
		// A round that failed at once is not tried again at once.
		select {
		case <-time.After(min(g.cfg.Every, 100*time.Millisecond)):
		case <-ctx.Done():
		}
	}
}

// Status is what is known of one witness.
type Status struct {
	Name, PublicKey string
	Size            uint64    // entries of the newest checkpoint that it signed
	SignedAt        time.Time // zero before the first
	Lag             time.Duration
	Alarm           bool
	Error           string // of the last attempt
}

// Witnesses gives the status of each, in the order of the configuration.
func (g *Gatherer) Witnesses() []Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.cfg.Now()
	var out []Status
	for _, w := range g.watches {
		s := Status{Name: w.client.name, PublicKey: w.client.public, Size: w.size, SignedAt: w.signedAt, Lag: w.lag(now), Alarm: w.alarmed}
		if w.err != nil {
			s.Error = w.err.Error()
		}
		out = append(out, s)
	}
	return out
}
