package expiry

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
	"griffier/schema/engine"
)

// killedIn and killedAt name the folder of the process that TestKilledDrops kills, and
// the step at which it waits for that.
const killedIn, killedAt = "GRIFFIER_EXPIRY_CHILD", "GRIFFIER_EXPIRY_STEP"

// openAt is newHouse in a folder that outlives the process.
func openAt(t *testing.T, dir string) *house {
	t.Helper()
	lib, err := engine.Fetch(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Start(t.Context(), engine.Config{DataDir: filepath.Join(dir, "data"), SocketPath: filepath.Join(dir, "s"), LibPath: lib})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	conn, err := schema.Open(t.Context(), schema.Config{Socket: e.SocketPath()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	master, secret := filepath.Join(dir, "master"), filepath.Join(dir, "ledgerkey")
	if _, err := os.Stat(secret); err != nil {
		if err := keystore.GenerateMasterKey(master); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.GenerateKey(secret, "test.example/expiry"); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.LoadKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{conn: conn, dataDir: filepath.Join(dir, "data"), now: time.Now, cfg: ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"),
		Key: key, Keys: keys, Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)}}
	h.open(t)
	t.Cleanup(func() { h.book.Close() })
	return h
}

// passed waits for the end at the step where it is to come.
func passed(name string) {
	if name == os.Getenv(killedAt) {
		fmt.Println("STEP", name)
		select {}
	}
}

// toldConn and toldBook pass each step of a drop.
type toldConn struct{ driver.Conn }

func (c toldConn) Exec(ctx context.Context, statement string, args ...any) error {
	if !strings.Contains(statement, "DROP PARTITION") {
		return c.Conn.Exec(ctx, statement, args...)
	}
	err := c.Conn.Exec(ctx, statement, args...)
	passed("after the drop")
	return err
}

type toldBook struct{ book }

func (b toldBook) Append(ctx context.Context, d ledger.Draft) (ledger.Entry, error) {
	e, err := b.book.Append(ctx, d)
	passed("after " + d.Kind)
	return e, err
}

// doomed are the days that the child fills and drops.
var doomed = []time.Time{time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC)}

// TestKilledDropsChild is the process that TestKilledDrops kills. It first looks what
// the one before it left, and says when everything is dropped.
func TestKilledDropsChild(t *testing.T) {
	dir := os.Getenv(killedIn)
	if dir == "" {
		return // not a child: there is nothing to test here
	}
	_, err := os.Stat(filepath.Join(dir, "data"))
	h := openAt(t, dir)
	if err != nil {
		h.policy(t, "P14D")
		for _, d := range doomed {
			h.put(t, used(1, d), used(2, d))
		}
	}
	begun := map[time.Time]bool{}
	for _, e := range h.entries(t) {
		if e.Header.Kind == KindDropIntended {
			begun[facts[intent](t, e).From] = true
		}
	}
	for _, d := range doomed {
		var rows uint64
		if err := h.conn.QueryRow(t.Context(), "SELECT count() FROM traffic.usage_bucket WHERE toDate(bucket_started_at, 'UTC') = ?", d.Format(time.DateOnly)).Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if rows != 2 && rows != 0 {
			t.Fatalf("%d of two rows of a day are there", rows)
		}
		if rows == 0 && !begun[d] {
			t.Fatal("a day is gone of which the ledger says nothing")
		}
	}
	dropper := h.dropper()
	dropper.Conn, dropper.Book = toldConn{h.conn}, toldBook{h.book}
	if err := dropper.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Each drop that was begun has one certificate, each day one that it was dropped, of
	// all its rows.
	intents, certificates, days := map[uint64]bool{}, map[uint64]int{}, map[time.Time]int{}
	for _, e := range h.entries(t) {
		switch e.Header.Kind {
		case KindDropIntended:
			intents[e.Index] = true
		case KindDropped:
			c := facts[Certificate](t, e)
			certificates[c.Intent]++
			if c.Outcome == OutcomeDropped {
				days[c.From]++
				if c.Rows != 2 || c.RowsAfter != 0 || c.PartsAfter != emptyList {
					t.Errorf("a certificate of %+v, want one of two rows", c)
				}
			}
		}
	}
	for index := range intents {
		if certificates[index] != 1 {
			t.Errorf("the drop of entry %d has %d certificates, want one", index, certificates[index])
		}
	}
	for _, d := range doomed {
		if days[d] != 1 {
			t.Errorf("a day was dropped %d times, by the ledger", days[d])
		}
	}
	if n := h.count(t, "traffic.usage_bucket"); n != 0 || len(certificates) != len(intents) {
		t.Errorf("%d rows are left; %d certificates of %d drops", n, len(certificates), len(intents))
	}
	if !t.Failed() {
		fmt.Println("DONE")
	}
}

// TestKilledDrops kills griffierd's dropper with SIGKILL at each step of a drop: there
// is a certificate of each in the end, never two, and never a drop without an entry.
func TestKilledDrops(t *testing.T) {
	dir, err := os.MkdirTemp("", "g") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, at := range []string{"after " + KindDropIntended, "after the drop", "after " + KindDropped, ""} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledDropsChild$", "-test.count=1")
		child.Env = append(os.Environ(), killedIn+"="+dir, killedAt+"="+at)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		var said []string
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said = append(said, lines.Text())
			if at != "" && lines.Text() == "STEP "+at {
				child.Process.Kill()
			}
		}
		err = child.Wait()
		told := strings.Join(said, "\n")
		if at != "" && (err == nil || !strings.HasSuffix(told, "STEP "+at)) {
			t.Fatalf("killed %s: %v\n%s", at, err, told)
		}
		if at == "" && (err != nil || !strings.Contains(told, "DONE")) {
			t.Fatalf("the last: %v\n%s", err, told)
		}
	}
}
