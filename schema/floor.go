package schema

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// RaiseClockFloor tells the store that t has passed, so that its views never
// judge expiry by an earlier now. It never lowers the floor. The caller vouches
// for t (the newest timestamp in the ledger): a floor in the future expires rows
// early and cannot be taken back.
func RaiseClockFloor(ctx context.Context, conn driver.Conn, t time.Time) error {
	if err := checkTime("clock floor", t); err != nil {
		return err
	}
	floor, err := clockFloor(ctx, conn)
	if err != nil {
		return err
	}
	if !t.Truncate(time.Millisecond).After(floor) {
		return nil
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO traffic.gate (floor)")
	if err != nil {
		return fmt.Errorf("raise clock floor: %w", err)
	}
	defer batch.Close()
	if err := batch.Append(t.UTC()); err != nil {
		return fmt.Errorf("raise clock floor: %w", err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("raise clock floor: %w", spaceError(err))
	}
	return nil
}

func clockFloor(ctx context.Context, conn driver.Conn) (time.Time, error) {
	var floor time.Time
	if err := conn.QueryRow(ctx, "SELECT max(floor) FROM traffic.gate").Scan(&floor); err != nil {
		return time.Time{}, fmt.Errorf("read clock floor: %w", err)
	}
	return floor, nil
}

// Now returns the time by which the store judges expiry: its clock, or the clock
// floor if that is later.
func Now(ctx context.Context, conn driver.Conn) (time.Time, error) {
	var now time.Time
	const query = "SELECT greatest(now64(3, 'UTC'), (SELECT max(floor) FROM traffic.gate))"
	if err := conn.QueryRow(ctx, query).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("read the store's time: %w", err)
	}
	return now.UTC(), nil
}

// Times that rows may carry. The store's own range is wider; these bounds leave
// room for the longest period and catch a clock that was never set.
var (
	earliestTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	latestTime   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

func checkTime(what string, t time.Time) error {
	switch {
	case t.IsZero():
		return fmt.Errorf("%s: zero time", what)
	case t.Before(earliestTime) || !t.Before(latestTime):
		return errors.New(what + ": outside the years 2000 to 2199")
	}
	return nil
}
