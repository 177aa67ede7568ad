package expiry

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/clock"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
	"griffier/schema/schematest"
)

// house is a store with a ledger.
type house struct {
	conn    driver.Conn
	record  *Record
	book    *ledger.Log
	cfg     ledger.Config
	dataDir string
	now     func() time.Time
}

func newHouse(t testing.TB) *house {
	t.Helper()
	database := schematest.Spared(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/expiry")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{conn: conn, dataDir: filepath.Join(filepath.Dir(database.Socket), "data"), now: time.Now,
		cfg: ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"),
			Key: key, Keys: keys, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second}}
	h.open(t)
	t.Cleanup(func() { h.book.Close() })
	return h
}

// open opens the ledger anew, as a restart does.
func (h *house) open(t testing.TB) {
	t.Helper()
	h.record = &Record{}
	h.cfg.Folds = []ledger.Fold{h.record}
	var err error
	if h.book, err = ledger.Open(context.Background(), h.cfg); err != nil {
		t.Fatal(err)
	}
}

// inForce is the policy file that the house says is in force.
func inForce() (uint64, string) { return 7, "5ac1f1e5" }

// kept believes a clock that a time service keeps, wherever it stands.
func kept() *clock.Leap {
	return clock.NewLeap(time.Time{}, func() (clock.Reading, error) { return clock.Reading{Synced: true}, nil })
}

func (h *house) dropper() *Dropper {
	return &Dropper{Conn: h.conn, Book: h.book, Record: h.record, LastAt: h.book.LastAt, Policy: inForce, Clock: kept(), Now: h.now, Log: slog.New(slog.DiscardHandler)}
}

func (h *house) verifier() *Verifier {
	return &Verifier{Conn: h.conn, Book: h.book, Record: h.record, Policy: inForce, DataDir: h.dataDir, Now: h.now}
}

// policy gives every class the same period.
func (h *house) policy(t testing.TB, period string) {
	t.Helper()
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: period, Zone: "Europe/Amsterdam", Purpose: "faults and complaints"})
	}
	if err := schema.WritePolicy(t.Context(), h.conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
}

func (h *house) put(t *testing.T, rows ...schema.Record) {
	t.Helper()
	if err := schema.Insert(t.Context(), h.conn, t.Name()+time.Now().String(), rows); err != nil {
		t.Fatal(err)
	}
}

func (h *house) exec(t testing.TB, statement string) {
	t.Helper()
	if err := h.conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (h *house) count(t *testing.T, table string) (n uint64) {
	t.Helper()
	if err := h.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// kinds lists the kinds of the ledger's entries, in order.
func (h *house) kinds(t *testing.T) (out []string) {
	t.Helper()
	for _, e := range h.entries(t) {
		out = append(out, e.Header.Kind)
	}
	return out
}

func (h *house) entries(t *testing.T) []ledger.Entry {
	t.Helper()
	all, err := h.book.Read(t.Context(), 0, int(h.book.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// facts decodes the facts of an entry.
func facts[T any](t *testing.T, e ledger.Entry) (out T) {
	t.Helper()
	if err := json.Unmarshal(e.Header.Facts, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// today is the same when midnight passes.
var today = time.Now().UTC().Truncate(24 * time.Hour)

// day returns UTC midnight of the day on which the tests began plus a number of days.
func day(days int) time.Time { return today.AddDate(0, 0, days) }

func used(n byte, bucket time.Time) *schema.Usage {
	return &schema.Usage{AccessRef: schema.AccessRef{n}, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket,
		Direction: schema.Up, IPVersion: 4, Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CounterID: schema.ID{n}, CollectorID: "c1"}
}

func covered(n byte, start time.Time) *schema.Coverage {
	return &schema.Coverage{CoverageID: schema.ID{n}, CollectorID: "c1", State: schema.Covered, StartedAt: start, EndedAt: start.Add(time.Hour), Version: 1, BootID: "b"}
}
