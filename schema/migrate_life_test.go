package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// texts returns the one column of text that a query answers.
func texts(t testing.TB, ctx context.Context, conn driver.Conn, query string, args ...any) (out []string) {
	t.Helper()
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

const objects = "SELECT concat(database, '.', name) FROM system.tables WHERE database IN ('traffic', 'register', 'statistics') ORDER BY 1"

// TestReleasedSchema compares every object of every released schema, as the
// engine made it, with what it was when it was released.
func TestReleasedSchema(t *testing.T) {
	for _, last := range released {
		ctx, conn := openUnmigrated(t)
		if err := migrate(ctx, conn, "", allMigrations(t)[:last], nil); err != nil {
			t.Fatal(err)
		}
		var state strings.Builder
		for _, name := range texts(t, ctx, conn, objects) {
			fmt.Fprintf(&state, "%s;\n\n", texts(t, ctx, conn, "SHOW CREATE "+name)[0])
		}
		golden(t, fmt.Sprintf("released/%04d.sql", last), state.String())
	}
}

// TestReleasedFiles: the files of a release are as they were released, to the byte.
func TestReleasedFiles(t *testing.T) {
	for _, last := range released {
		var sums strings.Builder
		for _, m := range allMigrations(t)[:last] {
			fmt.Fprintf(&sums, "%s  %s.sql\n", m.sha256, m.name)
		}
		golden(t, fmt.Sprintf("released/%04d.sha256", last), sums.String())
	}
}

// moved says where the rows are of tables that there are no more.
var moved = map[string]string{
	"traffic.retention_policy": "traffic.gate WHERE class != ''",
	"traffic.clock_floor":      "traffic.gate WHERE floor > toDateTime64(0, 3, 'UTC')",
}

// contents returns every row of every object, in the columns that it has in want,
// or those that it has now.
func contents(t *testing.T, ctx context.Context, conn driver.Conn, columns map[string]string) (rows map[string]string, has map[string]string) {
	t.Helper()
	rows, has = map[string]string{}, columns
	if has == nil {
		has = map[string]string{}
		for _, name := range texts(t, ctx, conn, objects) {
			if name == "traffic.schema_migration" || strings.HasPrefix(name, "traffic."+lockPrefix) {
				continue
			}
			database, table, _ := strings.Cut(name, ".")
			has[name] = strings.Join(texts(t, ctx, conn, fmt.Sprintf("SELECT name FROM system.columns WHERE database = '%s' AND table = '%s' AND default_kind != 'EPHEMERAL' ORDER BY position", database, table)), ", ")
		}
	}
	for name, list := range has {
		from := name
		if columns != nil && moved[name] != "" {
			from = moved[name]
		}
		query := fmt.Sprintf("SELECT concat(toString(count()), ' rows\n', arrayStringConcat(arraySort(groupArray(toString(tuple(%s)))), '\n')) FROM %s", list, from)
		rows[name] = texts(t, ctx, conn, query)[0]
	}
	return rows, has
}

// TestUpgrade takes a store of each release, with rows in it, to the newest
// schema: no stored row and no view's answer changes, and the store is usable.
func TestUpgrade(t *testing.T) {
	for _, last := range released {
		ctx, conn := openUnmigrated(t)
		all := allMigrations(t)
		if err := migrate(ctx, conn, "", all[:last], nil); err != nil {
			t.Fatal(err)
		}
		mustRun(t, ctx, conn, "SYSTEM STOP MERGES") // else a merge changes what is stored
		text, err := os.ReadFile(fmt.Sprintf("testdata/released/%04d-rows.sql", last))
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(strings.TrimSpace(string(text)), ";\n") {
			mustRun(t, ctx, conn, strings.TrimSuffix(statement, ";"))
		}
		before, columns := contents(t, ctx, conn, nil)
		for _, view := range []string{"traffic.session", "traffic.assignment", "traffic.usage", "traffic.coverage", "traffic.access_log"} {
			if strings.HasPrefix(before[view], "0 rows") {
				t.Errorf("%s of release %d shows nothing: the test would prove nothing", view, last)
			}
		}
		if before["traffic.session"] == before["traffic.session_slice"] || strings.HasPrefix(before["traffic.usage"], "3000 rows") {
			t.Error("nothing was stored twice")
		}

		var done []string
		if err := Migrate(ctx, conn, func(name string) { done = append(done, name) }); err != nil {
			t.Fatal(err)
		}
		if len(done) != len(all)-last {
			t.Errorf("the upgrade did %v, want what came after %d of %d", done, last, len(all))
		}
		after, _ := contents(t, ctx, conn, columns)
		for name, rows := range before {
			if after[name] != rows {
				t.Errorf("%s changed from %.300q to %.300q", name, rows, after[name])
			}
		}
		counted := countViews(t, ctx, conn)
		if err := Insert(ctx, conn, "upgraded", oneOfEach(250, time.Now().UTC().Truncate(BucketLength))); err != nil {
			t.Fatalf("an upgraded store takes no rows: %v", err)
		}
		for i, n := range countViews(t, ctx, conn) {
			if n != counted[i]+1 {
				t.Errorf("%s shows %d rows after one more than %d", views[i], n, counted[i])
			}
		}
	}
}

func mustRun(t testing.TB, ctx context.Context, conn driver.Conn, statement string) {
	t.Helper()
	if err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%v\n%s", err, statement)
	}
}

// TestMigrateOnceOfMany: of several migrators one does the work.
func TestMigrateOnceOfMany(t *testing.T) {
	ctx, conn := openUnmigrated(t)
	var mu sync.Mutex
	times := map[string]int{}
	var migrators sync.WaitGroup
	for range 5 {
		migrators.Go(func() {
			err := Migrate(ctx, conn, func(name string) {
				mu.Lock()
				times[name]++
				mu.Unlock()
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	migrators.Wait()
	for _, m := range allMigrations(t) {
		if times[m.name] != 1 {
			t.Errorf("%s ran %d times", m.name, times[m.name])
		}
	}
	if left := count(t, ctx, conn, "SELECT count() FROM system.tables WHERE startsWith(name, 'migration_lock_')"); left != 0 {
		t.Errorf("%d locks are left", left)
	}
	if noted := count(t, ctx, conn, "SELECT count() FROM traffic.schema_migration"); noted != uint64(len(allMigrations(t))) {
		t.Errorf("%d notes", noted)
	}
}

// TestMigrateWaits: whoever shows signs of life is waited for, and one whose lock
// was taken stops.
func TestMigrateWaits(t *testing.T) {
	ctx, conn := openUnmigrated(t)
	lock, err := lockMigration(ctx, conn, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := lock.check(ctx); err != nil {
		t.Errorf("its own lock: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := Migrate(short, conn, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a migration beside another: %v, want it to wait", err)
	}
	if n := count(t, ctx, conn, "SELECT count() FROM system.tables WHERE database = 'traffic'"); n != 1 {
		t.Errorf("%d tables, want the lock alone", n)
	}
	mustRun(t, ctx, conn, "DROP TABLE "+lock.table+" SYNC")
	lock.seen = time.Time{}
	if err := lock.check(ctx); !errors.Is(err, ErrMigrationLockLost) {
		t.Errorf("a lock that is gone: %v, want ErrMigrationLockLost", err)
	}
	if err := lock.release(); err != nil {
		t.Error(err)
	}
	if err := Migrate(ctx, conn, nil); err != nil {
		t.Error(err)
	}
}

// TestMigrateOtherForm: one server's store is no cluster's.
func TestMigrateOtherForm(t *testing.T) {
	ctx, conn, _ := newStore(t)
	if err := MigrateCluster(ctx, conn, "isp", nil); !errors.Is(err, ErrOtherForm) {
		t.Errorf("a cluster of one server's store: %v, want ErrOtherForm", err)
	}
	if err := MigrateCluster(ctx, conn, "no' name", nil); err == nil || errors.Is(err, ErrOtherForm) {
		t.Errorf("a cluster without a proper name: %v", err)
	}
}

// killedAt is the variable that makes a process of its own die in a migration.
const killedAt = "GRIFFIER_TEST_KILL_AT"

// mortalConn kills its process, as kill -9 does, when a migration is to be noted.
type mortalConn struct {
	driver.Conn
	number uint64
}

func (c mortalConn) Exec(ctx context.Context, query string, args ...any) error {
	if strings.HasPrefix(query, "INSERT INTO traffic.schema_migration") && args[0] == uint32(c.number) {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return c.Conn.Exec(ctx, query, args...)
}

// TestMigrateAfterKill kills a migrating process between a statement and its note,
// again and again, and has the next one go on from there.
func TestMigrateAfterKill(t *testing.T) {
	if at, dir, mortal := strings.Cut(os.Getenv(killedAt), " "); mortal {
		number, _ := strconv.ParseUint(at, 10, 32)
		ctx, conn := startNode(t, dir, "", "")
		fmt.Println("lived:", Migrate(ctx, mortalConn{conn, number}, nil))
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	last := len(allMigrations(t))
	for _, at := range []int{2, 6, 11, 19, last} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestMigrateAfterKill$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", killedAt, at, dir), "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("at %d it did not die: %v\n%s", at, err, out)
		}
		if n := ageLocks(t, dir); n != 1 {
			t.Fatalf("at %d it left %d locks", at, n)
		}
	}
	ctx, conn := startNode(t, dir, "", "")
	var done []string
	if err := Migrate(ctx, conn, func(name string) { done = append(done, name) }); err != nil {
		t.Fatal(err)
	}
	if len(done) != 1 || !strings.HasPrefix(done[0], fmt.Sprintf("%04d", last)) {
		t.Errorf("the last run did %v, want the migration that was not noted", done)
	}
	if noted := count(t, ctx, conn, "SELECT count() FROM traffic.schema_migration"); noted != uint64(last) {
		t.Errorf("%d notes of %d migrations", noted, last)
	}
	if left := count(t, ctx, conn, "SELECT count() FROM system.tables WHERE startsWith(name, 'migration_lock_')"); left != 0 {
		t.Errorf("%d locks are left", left)
	}
	setPolicy(t, ctx, conn, "P1M")
	if err := Insert(ctx, conn, "t", oneOfEach(1, today(0))); err != nil {
		t.Fatal(err)
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("views show %v", got)
	}
}

// ageLocks makes the locks in a stopped engine's folder a minute older.
func ageLocks(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), lockPrefix) && strings.HasSuffix(path, ".sql") {
			n++
			old := time.Now().Add(-time.Minute)
			return os.Chtimes(path, old, old)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
