package retention

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
)

// Effect is what a change does to one class.
type Effect string

// Effects.
const (
	None      Effect = "none"
	Shortens  Effect = "shortens"  // at once
	Lengthens Effect = "lengthens" // some row would be readable longer: takes two people
	Adds      Effect = "adds"      // the class has no rule in force
)

// Change is what a policy file would do to one class. The figures are of what is
// stored now and say nothing about anyone: counts, bytes and the end of the oldest
// row.
type Change struct {
	Class    schema.Class
	Effect   Effect
	Was, New Rule // Was is zero where Effect is Adds

	Stored          bool   // the class has rows in the traffic store; else there are no figures
	Rows            uint64 // on disk, superseded versions included
	RowsUnreadable  uint64 // readable now, and not under the new rule
	BytesUnreadable uint64 // on disk, by their share of Rows
	OldestRow       time.Time
	FirstDrop       time.Time // of the oldest day under the new rule; zero: nothing is stored
}

// Compare tells what a file changes over the policy in force, without figures, in
// the order of [Classes].
func (k *Keeper) Compare(f File) ([]Change, error) {
	was, _ := k.InForce()
	var out []Change
	for _, rule := range f.Rules {
		c := Change{Class: rule.Class, New: rule, Effect: Adds, Stored: stored(rule.Class)}
		if old, ok := was.Rule(rule.Class); ok {
			c.Was, c.Effect = old, None
			longer, err := old.Lengthens(rule.Policy)
			if err != nil {
				return nil, fmt.Errorf("compare retention policies: class %s: %w", rule.Class, err)
			}
			shorter, err := rule.Policy.Lengthens(old.Policy)
			if err != nil {
				return nil, fmt.Errorf("compare retention policies: class %s: %w", rule.Class, err)
			}
			if longer {
				c.Effect = Lengthens
			} else if shorter {
				c.Effect = Shortens
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// Plan is [Keeper.Compare] with figures: what would be unreadable at once, and
// when the first day would leave the disk. It reads the store's lists of parts
// and, of the views, the days that would be cut. Lengthening brings nothing back
// that has expired.
func (k *Keeper) Plan(ctx context.Context, conn driver.Conn, f File) ([]Change, error) {
	changes, err := k.Compare(f)
	if err != nil {
		return nil, err
	}
	now, err := schema.Now(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("retention plan: %w", err)
	}
	days, err := schema.Partitions(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("retention plan: %w", err)
	}
	for i := range changes {
		c := &changes[i]
		if !c.Stored {
			continue
		}
		var mine []schema.DayPartition
		for _, d := range days {
			if d.Class == c.Class {
				mine = append(mine, d)
			}
		}
		if err := c.count(ctx, conn, now, mine); err != nil {
			return nil, fmt.Errorf("retention plan: class %s: %w", c.Class, err)
		}
	}
	return changes, nil
}

// count fills in the figures from the days that the class has on disk.
func (c *Change) count(ctx context.Context, conn driver.Conn, now time.Time, days []schema.DayPartition) error {
	if len(days) == 0 {
		return nil
	}
	var bytes uint64
	for _, d := range days {
		c.Rows += d.Rows
		bytes += d.DiskBytes
	}
	drop, err := c.New.DayExpiresAt(days[0].Day)
	if err != nil {
		return err
	}
	c.FirstDrop = drop
	if drop.Before(now) {
		c.FirstDrop = now
	}
	cut, err := c.New.ReadableFrom(now)
	if err != nil {
		return err
	}
	gone, err := schema.Readable(ctx, conn, c.Class, cut)
	if err != nil {
		return err
	}
	for _, q := range gone {
		c.RowsUnreadable += q.Rows
	}
	c.BytesUnreadable = uint64(float64(bytes) * min(float64(c.RowsUnreadable)/float64(c.Rows), 1))
	// The oldest row that can be read is among the first days, past those that
	// have expired and wait to be dropped.
	for _, d := range days {
		if len(gone) > 0 {
			break
		}
		if gone, err = schema.Readable(ctx, conn, c.Class, d.Day.Add(24*time.Hour)); err != nil {
			return err
		}
	}
	if len(gone) > 0 {
		c.OldestRow = gone[0].Oldest
	}
	return nil
}
