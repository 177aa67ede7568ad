package expiry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// DropInterval is how often expired days are looked for. A look reads a few
// hundred lines about parts, and what it adds to the 24 hours that physical
// expiry may take is at most its own length.
const DropInterval = time.Minute

// book is the part of the ledger that is needed here ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// trust tells whether a time can be believed ([clock.Leap]): what a clock in the
// future drops is gone.
type trust interface{ Check(t time.Time) error }

// Dropper takes expired days off the disk. Of each there is an entry in the
// ledger before, with what is about to go, and a [Certificate] after: a drop that
// a crash or a ledger that was away left without one is found and completed by
// the next look, before anything else. A day that cannot be dropped keeps none of the
// others. Its methods may be called concurrently; looks are taken one at a time.
type Dropper struct {
	Conn   driver.Conn
	Book   book
	Record *Record // a fold of Book
	// LastAt is the ledger's newest time. It becomes the store's clock floor, so
	// that a clock set back un-expires nothing.
	LastAt func() time.Time
	Policy func() (generation uint64, sha256 string) // of the file in force
	// Clock is asked before anything expires for good.
	Clock trust
	// Ballast, if not nil, is room on the store's disk that a drop may use when
	// there is no other.
	Ballast *Ballast
	Now     func() time.Time
	Log     *slog.Logger

	one     sync.Mutex
	settled uint64        // changes that a whole look has seen, and one; with one held
	changes atomic.Uint64 // of the policy
	waking  sync.Once
	wake    chan struct{}
}

// PolicyChanged has what another policy made due dropped at once, not at the next
// look. It does not wait for that.
func (d *Dropper) PolicyChanged() {
	d.changes.Add(1)
	select {
	case d.woken() <- struct{}{}:
	default: // one look is to come, which sees this change too
	}
}

// woken returns the channel that holds a wish for a look.
func (d *Dropper) woken() chan struct{} {
	d.waking.Do(func() { d.wake = make(chan struct{}, 1) })
	return d.wake
}

// Settle returns when a look has seen the newest change of the policy: it takes
// one if need be, or waits for the one that is under way.
func (d *Dropper) Settle(ctx context.Context) error {
	d.one.Lock()
	defer d.one.Unlock()
	if d.settled == d.changes.Load()+1 {
		return nil
	}
	return d.lookLocked(ctx)
}

// Run looks every [DropInterval], and when the policy changes, until ctx ends.
func (d *Dropper) Run(ctx context.Context) {
	tick := time.NewTicker(DropInterval)
	defer tick.Stop()
	for {
		if err := d.look(ctx); err != nil && ctx.Err() == nil {
			d.Log.LogAttrs(ctx, slog.LevelError, "expired data not dropped", slog.String("error", err.Error()),
				slog.Int("drops_without_certificate", len(d.Record.waiting())))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-d.woken():
		}
	}
}

// look is Once, and once more with the ballast's room if that failed for lack of it.
func (d *Dropper) look(ctx context.Context) error {
	d.one.Lock()
	defer d.one.Unlock()
	return d.lookLocked(ctx)
}

func (d *Dropper) lookLocked(ctx context.Context) error {
	err := d.once(ctx)
	if d.Ballast == nil {
		return err
	}
	if err != nil && (errors.Is(err, schema.ErrNoSpace) || d.Ballast.Scarce()) { // the ledger may be on that disk too
		if shed, e := d.Ballast.Shed(); e != nil {
			return errors.Join(err, e)
		} else if shed {
			d.Log.LogAttrs(ctx, slog.LevelWarn, "the store's disk is full; expired days are dropped with the room that was kept for that")
			err = d.once(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := d.Ballast.Fill(); err != nil {
		d.Log.LogAttrs(ctx, slog.LevelWarn, "no room could be kept for dropping on a full disk", slog.String("error", err.Error()))
	}
	return nil
}

// Once raises the clock floor, completes what was begun, and drops what is due at
// the later of floor and now. It does nothing while that cannot be believed.
func (d *Dropper) Once(ctx context.Context) error {
	d.one.Lock()
	defer d.one.Unlock()
	return d.once(ctx)
}

func (d *Dropper) once(ctx context.Context) error {
	seen := d.changes.Load()
	now, floor := d.Now(), d.LastAt()
	latest := now
	if floor.After(now) {
		latest = floor
	}
	if err := d.Clock.Check(latest); err != nil {
		return err
	}
	if !floor.IsZero() {
		if err := schema.RaiseClockFloor(ctx, d.Conn, floor); err != nil {
			return err
		}
	}
	now = latest
	var kept []error // why days are still there
	type dayOf struct {
		class schema.Class
		day   int64
	}
	begun := map[dayOf]bool{} // and have their intent
	for _, i := range d.Record.waiting() {
		if err := d.resume(ctx, i, now); err != nil {
			kept, begun[dayOf{i.Class, i.From.Unix()}] = append(kept, err), true
		}
	}
	due, err := schema.ExpiredDays(ctx, d.Conn, now)
	if err != nil {
		return errors.Join(append(kept, err)...)
	}
	generation, sha256 := d.Policy()
	for _, p := range due {
		if begun[dayOf{p.Class, p.Day.Unix()}] {
			continue
		}
		i := intent{Class: p.Class, From: p.Day, Until: p.Day.Add(24 * time.Hour), Rows: p.Rows, Bytes: p.DiskBytes, Parts: p.PartsSHA256,
			ExpiredAt: p.DropAt, PolicyGeneration: generation, PolicySHA256: sha256}
		e, err := d.Book.Append(ctx, ledger.Draft{Kind: KindDropIntended, Role: "system", Facts: i})
		if err != nil {
			return errors.Join(append(kept, fmt.Errorf("enter that a day is to be dropped: %w", err))...)
		}
		i.index = e.Index
		if err := d.drop(ctx, i, now); err != nil {
			kept = append(kept, err)
		}
	}
	if len(kept) > 0 {
		return errors.Join(kept...)
	}
	d.settled = seen + 1
	return nil
}

// resume completes a drop of which there is an intent and no certificate.
func (d *Dropper) resume(ctx context.Context, i intent, now time.Time) error {
	stored, err := schema.Partitions(ctx, d.Conn)
	if err != nil {
		return err
	}
	for _, p := range stored {
		switch {
		case p.Class != i.Class || !p.Day.Equal(i.From):
		case p.PartsSHA256 == i.Parts:
			return d.drop(ctx, i, now)
		default:
			return d.certify(ctx, i, OutcomeChanged, p)
		}
	}
	return d.drop(ctx, i, now) // its parts are gone; what is left to do, if anything, is done again
}

func (d *Dropper) drop(ctx context.Context, i intent, now time.Time) error {
	left, err := schema.DropDay(ctx, d.Conn, i.Class, i.From, now)
	if errors.Is(err, schema.ErrNotDue) {
		return d.certify(ctx, i, OutcomeKept, schema.DayPartition{PartsSHA256: i.Parts, Rows: i.Rows})
	}
	if err != nil {
		return err
	}
	return d.certify(ctx, i, OutcomeDropped, left)
}

func (d *Dropper) certify(ctx context.Context, i intent, outcome Outcome, left schema.DayPartition) error {
	_, err := d.Book.Append(ctx, ledger.Draft{Kind: KindDropped, Role: "system", Facts: Certificate{
		Intent: i.index, Class: i.Class, From: i.From, Until: i.Until, Outcome: outcome, Rows: i.Rows, Bytes: i.Bytes,
		PartsBefore: i.Parts, PartsAfter: left.PartsSHA256, RowsAfter: left.Rows,
		PolicyGeneration: i.PolicyGeneration, PolicySHA256: i.PolicySHA256,
	}})
	if err != nil {
		return fmt.Errorf("certify a drop: %w", err)
	}
	return nil
}
