package schema

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// ErrMigrationLockLost is returned by a migration that another took over, because
// this one did not show itself for a while: its process or its connection stood
// still. What it had done is noted and stays.
var ErrMigrationLockLost = errors.New("another process took over the migration")

// How long a migrator may be silent, and how often it shows itself. The store
// counts in whole seconds.
const (
	lockStale = 20 * time.Second
	lockRenew = 4 * time.Second
	lockPoll  = 200 * time.Millisecond
)

// A migrationLock lets one process migrate a store at a time. It is a table,
// because making a table is what a store does for exactly one of those who try; on
// a cluster the queue of ON CLUSTER statements does. Its owner touches it every
// lockRenew. One that was not touched for lockStale belongs to a process that
// died, and the next owner makes one with a higher number.
type migrationLock struct {
	conn    driver.Conn
	cluster Cluster
	table   string
	lost    atomic.Bool
	seen    time.Time // when the table was last seen
	end     context.CancelFunc
	ended   chan struct{}
}

const lockPrefix = "migration_lock_"

// lockMigration waits until nobody else migrates the store, or ctx ends.
func lockMigration(ctx context.Context, conn driver.Conn, cluster Cluster) (*migrationLock, error) {
	fail := func(err error) (*migrationLock, error) { return nil, fmt.Errorf("migrate: lock: %w", err) }
	if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS traffic"+cluster.on()); err != nil {
		return fail(err)
	}
	for {
		live, dead, err := listLocks(ctx, conn)
		if err != nil {
			return fail(err)
		}
		if len(live) == 0 {
			number := uint64(1)
			for _, d := range dead {
				number = max(number, d+1)
			}
			l := &migrationLock{conn: conn, cluster: cluster, table: lockTable(number)}
			made, err := l.make(ctx, number, dead)
			if err != nil {
				return fail(err)
			}
			if made {
				l.keep()
				return l, nil
			}
		}
		select {
		case <-ctx.Done():
			return fail(fmt.Errorf("another process migrates this store: %w", ctx.Err()))
		case <-time.After(lockPoll + rand.N(lockPoll)):
		}
	}
}

func lockTable(number uint64) string { return fmt.Sprintf("traffic.%s%d", lockPrefix, number) }

// listLocks returns the numbers of the locks that somebody holds, and of those
// whose owner died.
func listLocks(ctx context.Context, conn driver.Conn) (live, dead []uint64, err error) {
	rows, err := conn.Query(ctx, `SELECT toUInt64OrZero(substring(name, length({prefix:String}) + 1)), dateDiff('second', metadata_modification_time, now()) > {stale:Int64}
		FROM system.tables WHERE database = 'traffic' AND startsWith(name, {prefix:String})`,
		clickhouse.Named("prefix", lockPrefix), clickhouse.Named("stale", int64(lockStale/time.Second)))
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var number uint64
		var stale bool
		if err := rows.Scan(&number, &stale); err != nil {
			return nil, nil, err
		}
		if stale {
			dead = append(dead, number)
		} else {
			live = append(live, number)
		}
	}
	return live, dead, rows.Err()
}

// make makes the lock's table. Two may make tables of different numbers at once,
// when one of them looked while the other's predecessor still was there; each then
// sees the other's and gives way.
func (l *migrationLock) make(ctx context.Context, number uint64, dead []uint64) (bool, error) {
	err := l.conn.Exec(ctx, "CREATE TABLE "+l.table+l.cluster.on()+" (held UInt8) ENGINE = Memory")
	live, _, listed := listLocks(ctx, l.conn)
	if listed != nil {
		return false, listed
	}
	mine, others := false, false
	for _, n := range live {
		mine, others = mine || n == number, others || n != number
	}
	switch {
	case err != nil && mine: // somebody was first
		return false, nil
	case err != nil:
		return false, err
	case others:
		return false, l.drop(ctx)
	}
	for _, d := range dead {
		if err := l.conn.Exec(ctx, "DROP TABLE IF EXISTS "+lockTable(d)+l.cluster.on()+" SYNC"); err != nil {
			return false, err
		}
	}
	return true, nil
}

// keep touches the table until the lock is released.
func (l *migrationLock) keep() {
	ctx, end := context.WithCancel(context.Background())
	l.end, l.ended = end, make(chan struct{})
	go func() {
		defer close(l.ended)
		tick := time.NewTicker(lockRenew)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			touch := fmt.Sprintf("ALTER TABLE %s%s MODIFY COMMENT 'touched %d times'", l.table, l.cluster.on(), n)
			if err := l.conn.Exec(ctx, touch); err != nil && ctx.Err() == nil {
				l.lost.Store(true)
			}
		}
	}()
}

// check reports whether the lock still is ours: it is asked before each statement,
// and asks the store when it has not for a second.
func (l *migrationLock) check(ctx context.Context) error {
	if l.lost.Load() {
		return ErrMigrationLockLost
	}
	if time.Since(l.seen) < time.Second {
		return nil
	}
	var held uint64
	err := l.conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE concat(database, '.', name) = {table:String}", clickhouse.Named("table", l.table)).Scan(&held)
	if err != nil {
		return err
	}
	if held == 0 {
		return ErrMigrationLockLost
	}
	l.seen = time.Now()
	return nil
}

// release gives the lock up, even when the migration's context has ended.
func (l *migrationLock) release() error {
	l.end()
	<-l.ended
	ctx, cancel := context.WithTimeout(context.Background(), lockStale)
	defer cancel()
	if err := l.drop(ctx); err != nil {
		return fmt.Errorf("migrate: unlock: %w", err)
	}
	return nil
}

func (l *migrationLock) drop(ctx context.Context) error {
	return l.conn.Exec(ctx, "DROP TABLE IF EXISTS "+l.table+l.cluster.on()+" SYNC")
}
