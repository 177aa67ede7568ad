package keep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"griffier/api/hold"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/sealedfile"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/schema"
)

// SweepInterval is how often holds that have ended are looked for. Nothing readable
// depends on it: at its end a hold cannot be read.
const SweepInterval = time.Minute

// strayAge is how old a file without an entry must be before a sweep takes it for
// what a failure left behind. At a start none is too young.
const strayAge = time.Hour

// ErrNotHeld says that there is no such hold, or that it has ended.
var ErrNotHeld = errors.New("no such hold, or it has ended")

// keys are where keys of holds are ([keystore.Store]).
type keys interface {
	Create(id string) error
	Seal(id string, plaintext, aad []byte) ([]byte, error)
	Open(id string, ciphertext, aad []byte) ([]byte, error)
	Shred(id string) error
	State(id string) error
}

// book is the part of the ledger that is needed ([ledger.Log]).
type book interface {
	warrantrpc.Book
	// LastAt is the ledger's newest time: now is never before it.
	LastAt() time.Time
}

// trust tells whether this host's clock can be believed ([clock.Judge]): what a
// clock in the future destroys is gone.
type trust interface{ Check() error }

// Config holds what a [Keeper] needs.
type Config struct {
	Dir   string // one process owns it
	Keys  keys
	Book  book
	State *hold.State // a fold of Book
	Rules *hold.Rules
	Clock trust // nil: the ledger's refusal of a clock behind it is all
	Now   func() time.Time
	Log   *slog.Logger
}

// Keeper keeps the files and keys of holds. It is safe for concurrent use. Call
// [Keeper.Recover] once before anything else, and keep [Keeper.Run] running.
type Keeper struct {
	cfg   Config
	shelf sealedfile.Shelf

	mu     sync.Mutex
	making map[string]bool

	one sync.Mutex // sweeps come one at a time
}

// service is the actor of acts that nobody asked for.
var service = warrant.Caller{Actor: "griffierd", Roles: []warrant.Role{warrant.Executor}}

// New returns a keeper.
func New(cfg Config) (*Keeper, error) {
	if cfg.Keys == nil || cfg.Book == nil || cfg.State == nil || cfg.Rules == nil || cfg.Now == nil {
		return nil, errors.New("keeper of holds: Keys, Book, State, Rules and Now are mandatory")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	s, err := sealedfile.OpenShelf(cfg.Dir, kind)
	if err != nil {
		return nil, err
	}
	return &Keeper{cfg: cfg, shelf: s, making: map[string]bool{}}, nil
}

// State returns the fold of holds.
func (k *Keeper) State() *hold.State { return k.cfg.State }

// Rules returns what acts on holds are judged by.
func (k *Keeper) Rules() *hold.Rules { return k.cfg.Rules }

// Now returns the time by which holds are judged: this host's, and never before
// the ledger's newest entry, so that a clock set back revives nothing.
func (k *Keeper) Now() time.Time {
	now := k.cfg.Now()
	if last := k.cfg.Book.LastAt(); last.After(now) {
		return last
	}
	return now
}

// Put seals contents under a new key, and returns when the file is on disk, with
// its SHA-256. It is no hold until the ledger says so: the caller enters that, and
// calls done when the outcome is known, with whether it is a hold, or with true when
// it may be: what is not is destroyed, then or by a sweep.
func (k *Keeper) Put(c *Contents) (sha256 string, done func(made bool) error, err error) {
	id := c.Head.HoldID
	if c.count(); c.Head.Total() > MaxRows || len(c.Head.Refs) > MaxRefs {
		return "", nil, reason.New(reason.MaxHits, fmt.Sprintf("A hold has at most %d rows, of %d access identifiers.", MaxRows, MaxRefs))
	}
	k.mu.Lock()
	k.making[id] = true
	k.mu.Unlock()
	done = func(made bool) error {
		k.mu.Lock()
		delete(k.making, id)
		k.mu.Unlock()
		if made {
			return nil
		}
		return k.discard(id)
	}
	if sha256, err = k.put(id, c); err != nil {
		return "", nil, errors.Join(fmt.Errorf("seal a hold: %w", err), done(false))
	}
	return sha256, done, nil
}

func (k *Keeper) put(id string, c *Contents) (string, error) {
	f, err := k.shelf.Begin(id)
	if err != nil {
		return "", err
	}
	if err := k.cfg.Keys.Create(hold.KeyID(id)); err != nil {
		return "", errors.Join(err, f.Close())
	}
	seal := func(index uint32, last bool, plain []byte) ([]byte, error) {
		return k.cfg.Keys.Seal(hold.KeyID(id), plain, place(id, c.Head.WarrantID, index, last))
	}
	if err := write(f, seal, c); err != nil {
		return "", errors.Join(err, f.Close())
	}
	sum, err := sealedfile.Hash(f)
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	return sum, k.shelf.Finish(id, f)
}

// discard destroys a key and its files; that there are none is no error.
func (k *Keeper) discard(id string) error {
	if err := k.cfg.Keys.Shred(hold.KeyID(id)); err != nil && !errors.Is(err, keystore.ErrNotFound) {
		return fmt.Errorf("destroy a hold: %w", err)
	}
	if err := k.shelf.Remove(id); err != nil {
		return fmt.Errorf("destroy a hold: %w", err)
	}
	return nil
}

// reader opens the file of a hold that lives, checked against the ledger's hash.
func (k *Keeper) reader(id string) (*reader, func() error, error) {
	h, ok := k.cfg.State.Hold(id)
	if !ok || !h.Readable(k.Now()) {
		return nil, nil, ErrNotHeld
	}
	f, err := os.Open(k.shelf.Path(id))
	if err != nil {
		return nil, nil, fmt.Errorf("open a hold: %w", err)
	}
	if sum, err := sealedfile.Hash(f); err != nil || sum != h.FileSHA256 {
		return nil, nil, errors.Join(fmt.Errorf("open a hold: not the file that the ledger knows: %w", ErrAltered), err, f.Close())
	}
	r, err := newReader(f, func(index uint32, last bool, sealed []byte) ([]byte, error) {
		return k.cfg.Keys.Open(hold.KeyID(id), sealed, place(id, h.WarrantID, index, last))
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open a hold: %w", err), f.Close())
	}
	return r, f.Close, nil
}

// head reads what a living hold is of.
func (k *Keeper) head(id string) (Head, error) {
	r, closed, err := k.reader(id)
	if err != nil {
		return Head{}, err
	}
	defer closed()
	head, err := r.head()
	if err == nil && head.HoldID != id {
		err = ErrAltered
	}
	if err != nil {
		return Head{}, fmt.Errorf("open a hold: %w", err)
	}
	return head, nil
}

// Open reads a hold that lives, for a task that names it and asks about what the
// hold is of, as covers tells from its head. It is [ErrNotHeld] if there is none
// such, in whatever way: unknown, ended or of something else.
func (k *Keeper) Open(id string, covers func(Head) bool) (*Opened, error) {
	head, err := k.head(id)
	if err != nil {
		return nil, err
	}
	if !covers(head) {
		return nil, ErrNotHeld
	}
	r, closed, err := k.reader(id)
	if err != nil {
		return nil, err
	}
	defer closed()
	c, err := r.contents()
	if err != nil {
		return nil, fmt.Errorf("open a hold: %w", err)
	}
	return &Opened{Contents: *c}, nil
}

// HoldsLine reports whether a hold that lives has rows of a line, or of any of its
// pseudonyms. Which hold, and that there is any, is not for the line's person: an
// answer to them reads the same either way.
func (k *Keeper) HoldsLine(lineID string, refs []schema.AccessRef) (bool, error) {
	now := k.Now()
	for _, h := range k.cfg.State.Holds() {
		if !h.Readable(now) {
			continue
		}
		head, err := k.head(h.ID)
		if errors.Is(err, ErrNotHeld) {
			continue // it ended just now
		}
		if err != nil {
			return false, err
		}
		if slices.Contains(head.Lines, lineID) || slices.ContainsFunc(head.Refs, func(r schema.AccessRef) bool { return slices.Contains(refs, r) }) {
			return true, nil
		}
	}
	return false, nil
}

// Recover puts right what a stop of the server, or a restore, left behind: copies
// that never became holds are destroyed, and so is what has ended, with its
// certificate. Call it before serving.
func (k *Keeper) Recover(ctx context.Context) error {
	if err := k.strays(0); err != nil {
		return err
	}
	for _, h := range k.cfg.State.Holds() {
		// A restored copy of the keys may be older than the destruction.
		if !h.DestroyedAt.IsZero() && k.cfg.Keys.State(hold.KeyID(h.ID)) == nil {
			if err := k.discard(h.ID); err != nil {
				return err
			}
		}
	}
	if err := k.Sweep(ctx); err != nil { // a clock that is not believed yet, say: the next one comes soon
		k.remain(ctx, err)
	}
	return nil
}

// remain says why; errors name holds by their random ids, and nobody.
func (k *Keeper) remain(ctx context.Context, err error) {
	k.cfg.Log.LogAttrs(ctx, slog.LevelError, "holds that have ended are not destroyed", slog.String("error", err.Error()))
}

// strays destroys files, and their keys, that are no hold's.
func (k *Keeper) strays(age time.Duration) error {
	files, err := k.shelf.List()
	if err != nil {
		return fmt.Errorf("list holds: %w", err)
	}
	var errs []error
	for _, f := range files {
		k.mu.Lock()
		making := k.making[f.ID]
		k.mu.Unlock()
		h, ok := k.cfg.State.Hold(f.ID)
		if making || f.Whole && ok && h.DestroyedAt.IsZero() || age > 0 && f.Changed.After(k.cfg.Now().Add(-age)) {
			continue
		}
		if ok && h.DestroyedAt.IsZero() {
			// A name that a hold has is never that of a file being made.
			errs = append(errs, k.shelf.RemoveMaking(f.ID))
			continue
		}
		errs = append(errs, k.discard(f.ID))
	}
	return errors.Join(errs...)
}

// Run destroys holds that have ended, until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(SweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := errors.Join(k.strays(strayAge), k.Sweep(ctx)); err != nil && ctx.Err() == nil {
				k.remain(ctx, err)
			}
		}
	}
}

// Sweep destroys every hold that has ended, the key first, and then enters the
// certificate. What a crash left between the two is completed by the next sweep.
// While the clock cannot be believed nothing is destroyed; what has ended cannot be
// read either way.
func (k *Keeper) Sweep(ctx context.Context) error {
	k.one.Lock()
	defer k.one.Unlock()
	var errs []error
	now := k.Now()
	for _, h := range k.cfg.State.Holds() {
		if h.Status(now) != hold.Ended {
			continue
		}
		if k.cfg.Clock != nil && h.EndedAt.IsZero() { // an early end is no matter of the clock
			if err := k.cfg.Clock.Check(); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, k.destroy(ctx, h))
	}
	return errors.Join(errs...)
}

func (k *Keeper) destroy(ctx context.Context, h hold.Hold) error {
	if err := k.discard(h.ID); err != nil {
		return err
	}
	_, err := warrantrpc.Decide(ctx, k.cfg.Book, ledger.RequestID("keeper", "destroy", h.ID), func(now time.Time) (ledger.Draft, *reason.Error) {
		return k.cfg.Rules.Destroy(k.cfg.State, now, service, h.ID)
	})
	return err
}
