package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// Kinds of ledger entry.
const (
	KindPolicy  = "retention.policy"
	KindDropped = "retention.dropped"
)

// DropInterval is how often expired partitions are dropped: far within the 24
// hours that physical expiry may take.
const DropInterval = time.Hour

// book is the part of the ledger that retention needs ([ledger.Log]).
type book interface {
	Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error)
}

// Keeper applies the policy. It is a fold over the ledger, to know which policy
// file is in force.
type Keeper struct {
	mu      sync.Mutex
	applied string // SHA-256 of the policy file in force
}

type policyFacts struct {
	SHA256  string            `json:"sha256"`
	Profile string            `json:"profile"`
	Periods map[string]string `json:"periods"`
}

type droppedFacts struct {
	Class schema.Class `json:"class"`
	Day   time.Time    `json:"day"`
	Rows  uint64       `json:"rows"`
	Bytes uint64       `json:"bytes"`
}

// Apply implements [ledger.Fold].
func (k *Keeper) Apply(e ledger.Entry) error {
	if e.Header.Kind != KindPolicy {
		return nil
	}
	var f policyFacts
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, KindPolicy, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.applied = f.SHA256
	return nil
}

// LengthenError is returned for a policy file that would make data readable
// longer than the policy in force.
type LengthenError struct{ Classes []schema.Class }

func (e *LengthenError) Error() string {
	return fmt.Sprintf("retention policy refused: it lengthens %v, which takes two people; "+
		"put back the old periods, or have the new file approved", e.Classes)
}

// Enforce puts a policy file in force: ledger first, then the table that the
// views read. Shortening applies to the next query. A file that lengthens a
// period over what is in force is refused with a [*LengthenError].
func (k *Keeper) Enforce(ctx context.Context, conn driver.Conn, b book, f File) error {
	stored, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	longer, err := f.Lengthened(stored)
	if err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	if len(longer) > 0 {
		return &LengthenError{longer}
	}
	k.mu.Lock()
	same := k.applied == f.SHA256
	k.mu.Unlock()
	if !same {
		facts := policyFacts{SHA256: f.SHA256, Profile: f.Profile, Periods: map[string]string{}}
		for _, p := range f.Policies {
			facts.Periods[string(p.Class)] = p.Period
		}
		if _, err := b.Append(ctx, ledger.Draft{Kind: KindPolicy, Role: "system", Facts: facts}); err != nil {
			return fmt.Errorf("retention policy: %w", err)
		}
	}
	if err := schema.WritePolicy(ctx, conn, f.Profile, f.Policies); err != nil {
		return fmt.Errorf("retention policy: %w", err)
	}
	return nil
}

// Drop removes expired partitions from disk every [DropInterval] until ctx
// ends, each with a ledger entry. lastAt is the ledger's newest timestamp, which
// becomes the clock floor: a clock set back un-expires nothing. A drop that the
// ledger did not take is entered later, and nothing more is dropped until then.
func Drop(ctx context.Context, conn driver.Conn, b book, lastAt func() time.Time, now func() time.Time, log *slog.Logger) {
	var d dropper
	tick := time.NewTicker(DropInterval)
	defer tick.Stop()
	for {
		if err := d.once(ctx, conn, b, lastAt(), now()); err != nil && ctx.Err() == nil {
			log.LogAttrs(ctx, slog.LevelError, "expired data not dropped", slog.String("error", err.Error()),
				slog.Int("drops_not_yet_in_ledger", len(d.unrecorded)))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// dropper remembers what it dropped until the ledger has it.
type dropper struct{ unrecorded []schema.Drop }

// once raises the clock floor and drops what has expired at the later of floor
// and now.
func (d *dropper) once(ctx context.Context, conn driver.Conn, b book, floor, now time.Time) error {
	if err := d.record(ctx, b); err != nil {
		return err
	}
	if !floor.IsZero() {
		if err := schema.RaiseClockFloor(ctx, conn, floor); err != nil {
			return err
		}
	}
	if floor.After(now) {
		now = floor
	}
	drops, err := schema.DropExpired(ctx, conn, now)
	d.unrecorded = append(d.unrecorded, drops...)
	return errors.Join(err, d.record(ctx, b))
}

func (d *dropper) record(ctx context.Context, b book) error {
	for len(d.unrecorded) > 0 {
		drop := d.unrecorded[0]
		_, err := b.Append(ctx, ledger.Draft{Kind: KindDropped, Role: "system",
			Facts: droppedFacts{drop.Class, drop.Day, drop.Rows, drop.DiskBytes}})
		if err != nil {
			return fmt.Errorf("record a drop: %w", err)
		}
		d.unrecorded = d.unrecorded[1:]
	}
	return nil
}

// longer tells whether rows that end at some instant are readable longer under
// now than under was. Another zone counts as longer: its calendar is another. Calendar periods have no one length, so both are applied
// to every day of a leap cycle.
func longer(was, now schema.Policy) (bool, error) {
	if was.Zone != now.Zone {
		return true, nil // some instant of some day comes later
	}
	if was.Period == now.Period {
		return false, nil
	}
	start := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	for day := range 366 + 3*365 {
		ended := start.AddDate(0, 0, day)
		before, err := was.ExpiresAt(ended)
		if err != nil {
			return false, err
		}
		after, err := now.ExpiresAt(ended)
		if err != nil {
			return false, err
		}
		if after.After(before) {
			return true, nil
		}
	}
	return false, nil
}
