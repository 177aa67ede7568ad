package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/schema"
	"griffier/schema/engine"
)

// withStore runs f on a migrated store in a folder of its own.
func withStore(f func(ctx context.Context, conn driver.Conn) error) error {
	return withStoreIn(func(ctx context.Context, conn driver.Conn, _ *engine.Engine, _ string) error { return f(ctx, conn) })
}

// withStoreIn also tells f of the engine and its folder.
func withStoreIn(f func(ctx context.Context, conn driver.Conn, e *engine.Engine, dir string) error) (err error) {
	ctx := context.Background()
	lib, err := engine.Fetch(ctx, os.Stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	e, err := engine.Start(ctx, engine.Config{DataDir: filepath.Join(dir, "data"), SocketPath: filepath.Join(dir, "s"), LibPath: lib})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := e.Close(ctx); err == nil {
			err = closeErr
		}
	}()
	conn, err := schema.Open(ctx, schema.Config{Socket: e.SocketPath()})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		return err
	}
	policies := []schema.Policy{
		{Class: schema.ClassUsage5m, Period: "P3M", Zone: "Europe/Amsterdam", Purpose: "faults and complaints"},
		{Class: schema.ClassUsageDay, Period: "P13M", Zone: "Europe/Amsterdam", Purpose: "data limits and bills"},
		{Class: schema.ClassAssignment, Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults and complaints"},
		{Class: schema.ClassCoverage, Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults and complaints"},
	}
	if err := schema.WritePolicy(ctx, conn, schema.ProfileNL, policies); err != nil {
		return err
	}
	return f(ctx, conn, e, dir)
}

// quantile returns the value below which a part q of the durations lies, in ms.
func quantile(durations []time.Duration, q float64) float64 {
	sorted := slices.Sorted(slices.Values(durations))
	return float64(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) / 1e6
}

// onDisk is what the store holds of a table.
func onDisk(ctx context.Context, conn driver.Conn, table string) (rows, bytes uint64, err error) {
	err = conn.QueryRow(ctx, "SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND concat(database, '.', table) = ?", table).Scan(&rows, &bytes)
	return rows, bytes, err
}

// against is a result held against a baseline.
func against(name string, value float64, unit, baseline string, floor float64) result {
	r := result{Name: name, Value: value, Unit: unit, Baseline: baseline, BaselineValue: floor}
	if floor != 0 {
		r.Ratio = value / floor
	}
	return r
}
