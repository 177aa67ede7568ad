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
	CosignedOver(size uint64) ledger.Cosigned
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
	// Quorum is how many witnesses' signatures Await waits for; 1 at least.
	Quorum int
	// AlarmAfter is for how long entries may go uncosigned before it is said.
	AlarmAfter time.Duration
	Now        func() time.Time
	Metrics    *Metrics
	Log        *slog.Logger
}

// refreshEvery is how old a signature over an unchanged ledger becomes before a
// new one is asked for: it says that nothing was added in between.
const refreshEvery = 5 * time.Minute

const (
	askLimit   = 10 * time.Second // for one witness to sign
	roundLimit = 2 * time.Second  // for those to sign that did the last time, before the next round
)

// Gatherer keeps a ledger cosigned: it asks every witness again and again, keeps
// what they sign, and stops the ledger when one of them remembers something else.
type Gatherer struct {
	cfg  GathererConfig
	kick chan struct{}

	asking sync.WaitGroup

	keeping  sync.Mutex // held while a cosigned checkpoint is written
	kept     ledger.Cosigned
	keptSize uint64

	mu      sync.Mutex
	watches []*watch
	changed chan struct{} // closed and replaced after each answer
}

// watch is what is known of one witness.
type watch struct {
	client     *Client
	busy       bool // it is being asked
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
	g.cfg.Quorum = max(1, cfg.Quorum)
	now := cfg.Now()
	for _, c := range cfg.Witnesses {
		g.watches = append(g.watches, &watch{client: c, lateSince: now})
	}
	var keys []string
	for _, c := range cfg.Witnesses {
		keys = append(keys, c.public)
	}
	if err := ledger.CheckCosigners(keys); err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	if len(keys) > 0 && g.cfg.Quorum > len(keys) {
		return nil, fmt.Errorf("witness: a quorum of %d among %d witnesses", g.cfg.Quorum, len(keys))
	}
	text, err := os.ReadFile(cfg.File)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = g.load(text, keys)
	}
	var differs *ledger.WitnessError
	if errors.As(err, &differs) {
		differs.File = cfg.File
		return nil, differs
	}
	if err != nil {
		return nil, fmt.Errorf("witness: %s: %w", cfg.File, err)
	}
	return g, nil
}

// load takes what was kept before: what these witnesses signed of it.
func (g *Gatherer) load(text []byte, keys []string) error {
	var kept ledger.Cosigned
	if err := json.Unmarshal(text, &kept); err != nil {
		return err
	}
	if again, err := json.Marshal(kept); err != nil || string(again)+"\n" != string(text) {
		return errors.New("not as it was written")
	}
	h, err := ledger.OpenCheckpoint(kept.Checkpoint, g.cfg.Book.PublicKey())
	if err != nil {
		return err
	}
	if differs := compare(g.cfg.Book, h); differs != nil {
		return differs
	}
	if kept, err = kept.By(keys...); err != nil || len(kept.Cosignatures) == 0 {
		return err
	}
	return g.cfg.Book.KeepCosigned(kept)
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
			g.asking.Wait()
			for _, w := range g.watches {
				w.client.Close()
			}
			return
		case <-tick.C:
		case <-g.kick:
		}
	}
}

// round asks every witness about one checkpoint, so that their signatures are under
// the same, and waits for those that answered the last time. One that hangs holds
// up no other: it misses rounds until it has answered, or failed.
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
	limit := time.NewTimer(roundLimit)
	defer limit.Stop()
	var waitFor []chan struct{}
	g.mu.Lock()
	for _, w := range g.watches {
		if w.busy {
			continue
		}
		w.busy = true
		answered := make(chan struct{})
		if w.err == nil {
			waitFor = append(waitFor, answered)
		}
		g.asking.Go(func() {
			defer close(answered)
			g.ask(ctx, w, h, checkpoint)
			g.keep(ctx, checkpoint, h.Size)
			g.tell(w)
		})
	}
	g.mu.Unlock()
	for _, answered := range waitFor {
		select {
		case <-answered:
		case <-limit.C:
			limit.Reset(0) // nor for the others
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.alarms(ctx)
}

// tell wakes those that wait for a witness, which has answered or failed.
func (g *Gatherer) tell(w *watch) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.busy = false
	close(g.changed)
	g.changed = make(chan struct{})
}

// ask has one witness sign, from wherever it is.
func (g *Gatherer) ask(ctx context.Context, w *watch, h ledger.Head, checkpoint string) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
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

// keep keeps the checkpoint with all signatures that are under it by now.
func (g *Gatherer) keep(ctx context.Context, checkpoint string, size uint64) {
	g.keeping.Lock()
	defer g.keeping.Unlock()
	c := ledger.Cosigned{Checkpoint: checkpoint}
	g.mu.Lock()
	for _, w := range g.watches {
		if w.checkpoint == checkpoint {
			c.Cosignatures = append(c.Cosignatures, w.line)
		}
	}
	g.mu.Unlock()
	if len(c.Cosignatures) == 0 || c.Note() == g.kept.Note() {
		return
	}
	err := g.cfg.Book.KeepCosigned(c)
	if err == nil && size >= g.keptSize { // else it is a latecomer's
		err = g.write(c, size)
	}
	if err != nil {
		g.cfg.Log.LogAttrs(ctx, slog.LevelError, "cosigned checkpoint not kept", slog.String("error", err.Error()))
	}
}

// write keeps the newest over restarts. With keeping held.
func (g *Gatherer) write(c ledger.Cosigned, size uint64) error {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := durable.Write(g.cfg.File, append(text, '\n')); err != nil {
		return err
	}
	g.kept, g.keptSize = c, size
	return nil
}

// awaitPause is how soon witnesses are asked again that did not all sign.
const awaitPause = 100 * time.Millisecond

// Await has the ledger's first size entries cosigned by a quorum of witnesses, under
// one checkpoint, and waits until they are or ctx ends. The error says how many signed.
func (g *Gatherer) Await(ctx context.Context, size uint64) error {
	ask := time.NewTicker(awaitPause)
	defer ask.Stop()
	g.hint()
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		signed := len(g.cfg.Book.CosignedOver(size).Cosignatures)
		if signed >= g.cfg.Quorum {
			return nil
		}
		select {
		case <-changed:
		case <-ask.C:
			g.hint()
		case <-ctx.Done():
			return fmt.Errorf("witness: %d of %d witnesses signed the first %d entries, and %d must: %w",
				signed, len(g.cfg.Witnesses), size, g.cfg.Quorum, errors.Join(append(g.failures(), ctx.Err())...))
		}
	}
}

// hint asks for a round.
func (g *Gatherer) hint() {
	select {
	case g.kick <- struct{}{}:
	default: // one is on its way
	}
}
