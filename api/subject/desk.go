package subject

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/schema"
)

const (
	// rewriteAfter gathers erasures, since a rewrite reads the references of every
	// part: it leaves three days of [RewriteWithin] for one that fails.
	rewriteAfter = 5 * 24 * time.Hour
	// lookInterval is how often something to rewrite is looked for.
	lookInterval = time.Hour
	// rewriteLimit bounds one.
	rewriteLimit = 12 * time.Hour
)

// carryOutLimit bounds what goes on after a caller went away.
const carryOutLimit = time.Minute

// unlinkWait is how long a rewrite waits for the engine to unlink what it replaced: a
// minute after, but an idle engine looks for such parts every five minutes only.
const unlinkWait = 10 * time.Minute

// Causes of an erasure's being carried out.
const (
	causeApproved = "approved"
	causeRestored = "restored"
)

// book is the part of the ledger that is needed here ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
	Decide(ctx context.Context, requestID string, fn func(now time.Time) (ledger.Draft, error)) (ledger.Entry, error)
}

// trust tells whether a time can be believed ([clock.Leap]).
type trust interface{ Check(t time.Time) error }

// Desk carries out what was decided. It is safe for concurrent use.
type Desk struct {
	Register *register.Register
	Executor driver.Conn // reads references, adds tombstones, changes the register
	Operator driver.Conn // rewrites
	Book     book
	State    *State // a fold of Book
	// Backups, if not nil, lists those that there are, with when each becomes
	// unreadable.
	Backups func() []Copy
	// Disclosures lists those about a line that its person may know of, oldest first,
	// and Policy what is kept and for how long. Without both, nothing is exported.
	Disclosures func(ctx context.Context, lineID string) ([]Disclosure, error)
	Policy      func() []schema.Policy
	// Embedded is a store without roles: rows that are left can be counted.
	Embedded bool
	// Clock is asked before a tombstone is taken away because what it hides has expired;
	// nil: every time is believed.
	Clock trust
	Now   func() time.Time
	Log   *slog.Logger

	one       sync.Mutex // one erasure or rewrite at a time
	rewritten time.Time  // the last rewrite of this run

	marks  sync.Mutex      // held while the register is told of a restriction
	noLine map[string]bool // restrictions whose line the register does not have
}

// Recover carries out what was approved and not finished when griffierd stopped.
func (d *Desk) Recover(ctx context.Context) error {
	for _, e := range d.State.Erasures() {
		if !e.ApprovedAt.IsZero() && e.ErasedAt.IsZero() {
			if err := d.erase(ctx, e, causeApproved); err != nil {
				return err
			}
		}
	}
	return nil
}

// Reapply carries out every erasure and restriction of the ledger again, on a store
// or keys that a restore brought back from before some of them, and rewrites the
// parts in use. Nobody may read the store before it has returned. That what it
// replaced is unlinked is proved by the next rewrite, within [RewriteWithin].
func (d *Desk) Reapply(ctx context.Context) error {
	var approved []Erasure
	for _, e := range d.State.Erasures() {
		if e.ApprovedAt.IsZero() {
			continue
		}
		if err := d.erase(ctx, e, causeRestored); err != nil {
			return err
		}
		approved = append(approved, e)
	}
	if err := d.forget(ctx, approved); err != nil {
		return err
	}
	if err := d.restrict(ctx); err != nil {
		return err
	}
	return schema.RewriteErased(ctx, d.Operator)
}

// forget destroys again the keys of erased persons whom only a copy of the keys
// remembers.
func (d *Desk) forget(ctx context.Context, approved []Erasure) error {
	if len(approved) == 0 {
		return nil
	}
	lines, err := d.Register.Forgotten(ctx)
	if err != nil {
		return err
	}
	for _, line := range lines {
		for _, e := range approved {
			if d.Register.Token(e.ID, line) != e.Token {
				continue
			}
			if err := d.Register.Erase(ctx, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// erase makes an erasure true: in sight, in the keys, in the register. Each step
// can be repeated; the register's line goes last, for it leads back to here.
func (d *Desk) erase(ctx context.Context, e Erasure, cause string) error {
	d.one.Lock()
	defer d.one.Unlock()
	if now, _ := d.State.Erasure(e.ID); cause == causeApproved && !now.ErasedAt.IsZero() {
		return nil // by another, while this one waited
	}
	facts := erasedFacts{ID: e.ID, Cause: cause, Backups: []Copy{}}
	line, err := d.Register.FindToken(ctx, e.ID, e.Token)
	switch {
	case errors.Is(err, register.ErrUnknownLine):
		if !e.ErasedAt.IsZero() {
			return nil // as it should be
		}
	case err != nil:
		return fmt.Errorf("erase: %w", err)
	default:
		facts.Found = true
		if facts.Stones, err = d.eraseLine(ctx, line, e.ApprovedAt); err != nil {
			return fmt.Errorf("erase: %w", err)
		}
	}
	if d.Backups != nil {
		facts.Backups = append(facts.Backups, d.Backups()...)
	}
	if _, err := d.Book.Append(ctx, ledger.Draft{Kind: KindErased, Role: "system", Facts: facts}); err != nil {
		return fmt.Errorf("erase: enter it: %w", err)
	}
	return nil
}

func (d *Desk) eraseLine(ctx context.Context, line string, at time.Time) (stones int, err error) {
	refs, err := d.Register.ErasureOf(ctx, line, at)
	if err != nil {
		return 0, err
	}
	// Inside addresses first: they are found by rows that the references hide.
	inside, err := schema.InsideHeld(ctx, d.Executor, refs)
	if err != nil {
		return 0, err
	}
	all := append(inside, refs...)
	if err := schema.PutTombstones(ctx, d.Executor, all); err != nil {
		return 0, err
	}
	return len(all), d.Register.Erase(ctx, line)
}

// Run carries out what was decided and failed, rewrites what is due, and what came late
// of earlier erasures, until ctx ends.
func (d *Desk) Run(ctx context.Context) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		d.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *Desk) look(ctx context.Context) {
	if err := errors.Join(d.Recover(ctx), d.restrict(ctx)); err != nil && ctx.Err() == nil {
		d.Log.LogAttrs(ctx, slog.LevelError, "an erasure or a restriction was decided and is not carried out", slog.String("error", err.Error()))
	}
	if !d.due() {
		return
	}
	limited, cancel := context.WithTimeout(ctx, rewriteLimit)
	defer cancel()
	if err := d.rewrite(limited); err != nil && ctx.Err() == nil {
		d.Log.LogAttrs(ctx, slog.LevelError, "erased data was not taken off the disk", slog.String("error", err.Error()))
	}
}

// restrict tells the register of restrictions that it does not know of, because the
// store failed after the ledger had them. It lifts none: a line is rather restricted
// for longer than used.
func (d *Desk) restrict(ctx context.Context) error {
	lines, err := d.Register.RestrictedLines(ctx)
	if err != nil {
		return err
	}
	for _, r := range d.State.Restrictions() {
		if d.noLine[r.ID] || slices.ContainsFunc(lines, func(line string) bool { return d.Register.Token(r.ID, line) == r.Token }) {
			continue
		}
		line, err := d.Register.FindToken(ctx, r.ID, r.Token)
		if errors.Is(err, register.ErrUnknownLine) {
			if d.noLine == nil {
				d.noLine = map[string]bool{}
			}
			d.noLine[r.ID] = true // it was erased; looking for it reads every line
			continue
		}
		if err == nil {
			_, err = d.mark(ctx, r.ID, line)
		}
		if err != nil {
			return fmt.Errorf("restrict: %w", err)
		}
	}
	return nil
}

// mark makes the register say what the ledger says of a restriction by now.
func (d *Desk) mark(ctx context.Context, id, line string) (Restriction, error) {
	d.marks.Lock()
	defer d.marks.Unlock()
	r, ok := d.State.restriction(id)
	if !ok {
		return Restriction{}, reason.New(reason.NotFound, "")
	}
	return r, d.Register.Restrict(ctx, line, r.Ground, r.LiftedAt.IsZero(), r.Since)
}

// due tells whether the oldest erasure that waits has waited long enough, or what
// came late might have.
func (d *Desk) due() bool {
	late := false
	for _, e := range d.State.Erasures() {
		if e.ErasedAt.IsZero() {
			continue
		}
		if e.RewrittenAt.IsZero() && d.Now().Sub(e.ErasedAt) >= rewriteAfter {
			return true
		}
		late = late || !e.RewrittenAt.IsZero() && d.Now().Sub(e.RewrittenAt) >= rewriteAfter
	}
	d.one.Lock()
	defer d.one.Unlock()
	return late && d.Now().Sub(d.rewritten) >= rewriteAfter
}

// rewrite takes everything erased so far off the disk, and enters the proof of it.
func (d *Desk) rewrite(ctx context.Context) error {
	d.one.Lock()
	defer d.one.Unlock()
	var ids []string
	for _, e := range d.State.Erasures() {
		if !e.ErasedAt.IsZero() && e.RewrittenAt.IsZero() {
			ids = append(ids, e.ID)
		}
	}
	if err := schema.RewriteErased(ctx, d.Operator); err != nil {
		return err
	}
	facts := rewrittenFacts{IDs: ids, Counted: d.Embedded}
	var err error
	if facts.Idle, err = d.unlinked(ctx); err != nil {
		return err
	}
	if facts.Idle > 0 {
		return fmt.Errorf("erase: %d parts that were replaced are still linked; the next look tries again", facts.Idle)
	}
	if d.Embedded {
		rows, err := schema.ErasedRows(ctx, d.Operator)
		if err != nil {
			return err
		}
		for _, n := range rows {
			facts.Remaining += n
		}
	}
	d.rewritten = d.Now()
	if facts.Remaining > 0 {
		return errors.New("erase: rows came late while the disk was rewritten; the next look tries again")
	}
	if len(ids) > 0 {
		if _, err := d.Book.Append(ctx, ledger.Draft{Kind: KindRewritten, Role: "system", Facts: facts}); err != nil {
			return fmt.Errorf("erase: enter the proof: %w", err)
		}
	}
	return d.prune(ctx)
}

// prune takes away the tombstones under which no row can be any more, last, since they
// are what finds the rows; and not by a clock that leapt, which would make erased rows
// readable once it is set right.
func (d *Desk) prune(ctx context.Context) error {
	now, err := schema.Now(ctx, d.Operator)
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	if d.Clock != nil && (d.Clock.Check(now) != nil || d.Clock.Check(d.Now()) != nil) {
		return nil
	}
	_, err = schema.PruneTombstones(ctx, d.Operator)
	return err
}

// unlinked waits until what is replaced by now is off the disk, and returns how
// many parts of it are not.
func (d *Desk) unlinked(ctx context.Context) (idle uint64, err error) {
	replaced, err := schema.ReplacedParts(ctx, d.Operator)
	if err != nil {
		return 0, err
	}
	waited, cancel := context.WithTimeout(ctx, unlinkWait)
	defer cancel()
	for {
		now, err := schema.ReplacedParts(ctx, d.Operator)
		if err != nil {
			return 0, err
		}
		idle = 0
		for part := range replaced {
			if now[part] {
				idle++
			}
		}
		if idle == 0 {
			return 0, nil
		}
		select {
		case <-waited.Done():
			return idle, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}
