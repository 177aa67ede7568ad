package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
)

// KindDropped is the kind of ledger entry that a drop is.
const KindDropped = "retention.dropped"

// DropInterval is how often expired partitions are dropped: far within the 24
// hours that physical expiry may take.
const DropInterval = time.Hour

type droppedFacts struct {
	Class schema.Class `json:"class"`
	Day   time.Time    `json:"day"`
	Rows  uint64       `json:"rows"`
	Bytes uint64       `json:"bytes"`
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
