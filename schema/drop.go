package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// DropWithin is how long after its expiry a value may be on disk: days are
// dropped whole, and a day is dropped when its last row has expired, or this long
// after its first, whichever comes first. To it comes only how often days are
// looked for; the engine unlinks a dropped partition at once.
const DropWithin = 24 * time.Hour

// ErrNotDue is returned by [DropDay] for a day that must stay.
var ErrNotDue = errors.New("the day is not due to be dropped")

// DayExpiresAt returns the instant from which the day may leave the disk, and
// does: when the last of what started on the UTC day, and so ends within it, has
// expired, and [DropWithin] after the first of it has if that is earlier. It is earlier where the calendar moves the two local days
// apart that a UTC day has parts of: at the end of a short month, and by an hour
// where the last day of the period is one of 25 hours. What of that day would
// have had time left expires with it then, up to four days early; nothing ever
// expires late.
func (p Policy) DayExpiresAt(day time.Time) (time.Time, error) {
	period, zone, err := p.rule()
	if err != nil {
		return time.Time{}, err
	}
	first, last := period.dayExpires(day, zone)
	if most := first.Add(DropWithin); most.Before(last) {
		return most, nil
	}
	return last, nil
}

// dropAt is DayExpiresAt, and the beginning of the day itself if some of it had expired
// under an earlier policy: that may not wait for what has time left under this one.
func (p storedPolicy) dropAt(day time.Time) (time.Time, error) {
	if p.expiredThrough.After(day) {
		return day, nil
	}
	return p.DayExpiresAt(day)
}

// ExpiredDays lists the partitions that are due to be dropped at now, in the
// order of [Classes] and then of days. The caller vouches for now: what a clock
// in the future drops is gone.
func ExpiredDays(ctx context.Context, conn driver.Conn, now time.Time) ([]DayPartition, error) {
	if err := checkTime("expired days: now", now); err != nil {
		return nil, err
	}
	all, err := Partitions(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("expired days: %w", err)
	}
	var due []DayPartition
	for _, p := range all {
		if !p.DropAt.IsZero() && !p.DropAt.After(now) {
			due = append(due, p)
		}
	}
	return due, nil
}

// DropDay removes what is stored of a class and day from disk, and returns what
// the store holds of it then: nothing, or rows that came in the meantime, which
// are due at once again. If some of the day still had time left, all of it is
// made unreadable first, for good, so that no reader ever takes a dropped day for
// an empty one.
//
// The policy in force is asked again: [ErrNotDue] if it has the day stay at now.
// What was never stored is no error. On any other error ([ErrNoSpace] among them)
// the day is there whole or not at all, and the call may be repeated.
func DropDay(ctx context.Context, conn driver.Conn, class Class, day, now time.Time) (DayPartition, error) {
	if err := checkTime("drop day: now", now); err != nil {
		return DayPartition{}, err
	}
	fail := func(err error) (DayPartition, error) {
		return DayPartition{}, fmt.Errorf("drop day: class %s, %s: %w", class, day.Format(time.DateOnly), spaceError(err))
	}
	if tables[class] == "" {
		return fail(errors.New("the class has no table"))
	}
	if err := expireDay(ctx, conn, class, day, now); err != nil {
		return fail(err)
	}
	// Identifiers cannot be parameters here; table and id are this store's own.
	id := day.UTC().Format("20060102")
	cluster, err := clusterOf(ctx, conn)
	if err != nil {
		return fail(err)
	}
	if err := conn.Exec(ctx, cluster.DropPartition(tables[class], id)); err != nil {
		return fail(err)
	}
	left, err := readPartitions(ctx, conn, class, id)
	if err != nil {
		return fail(err)
	}
	if len(left) == 0 {
		return DayPartition{Class: class, Day: day, PartsSHA256: noParts}, nil
	}
	return left[0], nil
}

// expireDay makes sure that nothing that started on the day can be read at or
// after now.
func expireDay(ctx context.Context, conn driver.Conn, class Class, day, now time.Time) error {
	policyWriting.Lock()
	defer policyWriting.Unlock()
	policies, err := readStoredPolicies(ctx, conn)
	if err != nil {
		return err
	}
	policy := policies[class]
	if !policy.present {
		return fmt.Errorf("%w: the class has no policy", ErrNotDue)
	}
	due, err := policy.dropAt(day)
	if err != nil {
		return err
	}
	if due.After(now) {
		return fmt.Errorf("%w before %s", ErrNotDue, due.Format(time.RFC3339))
	}
	period, zone, err := policy.rule()
	if err != nil {
		return err
	}
	end := endOfDay(day)
	if _, last := period.dayExpires(day, zone); !last.After(now) || !policy.expiredThrough.Before(end) {
		return nil
	}
	const raise = `
INSERT INTO traffic.gate (generation, class, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at)
SELECT generation + 1, class, present, period, months, days, seconds, zone, purpose, basis, source, profile, fromUnixTimestamp64Milli(?, 'UTC'), now64(3, 'UTC')
FROM traffic.gate
WHERE class = ?
ORDER BY generation DESC
LIMIT 1`
	if err := conn.Exec(ctx, raise, end.UnixMilli(), string(class)); err != nil {
		return fmt.Errorf("expire the rest of the day: %w", err)
	}
	return nil
}
