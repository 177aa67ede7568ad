package retention

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// house is a store with a ledger.
type house struct {
	conn   driver.Conn
	keeper *Keeper
	book   *ledger.Log
	cfg    ledger.Config
}

func newHouse(t *testing.T) *house {
	t.Helper()
	database := enginetest.Start(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/retention")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{conn: conn, cfg: ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"),
		Key: key, Keys: keys, Logger: slog.New(slog.DiscardHandler)}}
	h.open(t)
	t.Cleanup(func() { h.book.Close() })
	return h
}

func (h *house) open(t *testing.T) {
	t.Helper()
	h.keeper = &Keeper{}
	h.cfg.Folds = []ledger.Fold{h.keeper}
	var err error
	if h.book, err = ledger.Open(context.Background(), h.cfg); err != nil {
		t.Fatal(err)
	}
}

func (h *house) facts(t *testing.T, kind string) (out []json.RawMessage) {
	t.Helper()
	all, err := h.book.Read(t.Context(), 0, int(h.book.Size()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Header.Kind == kind {
			out = append(out, e.Header.Facts)
		}
	}
	return out
}

// file is profile nl with another period for usage_5m.
func file(t *testing.T, period string) File {
	t.Helper()
	f, err := Parse([]byte(strings.Replace(profile(t, "nl"), "P14D", period, 1)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func used(n byte, bucket time.Time) *schema.Usage {
	return &schema.Usage{AccessRef: schema.AccessRef{n}, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket,
		Direction: schema.Up, IPVersion: 4, Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CounterID: schema.ID{n}, CollectorID: "c1"}
}

func (h *house) put(t *testing.T, rows ...schema.Record) {
	t.Helper()
	if err := schema.Insert(t.Context(), h.conn, t.Name()+time.Now().String(), rows); err != nil {
		t.Fatal(err)
	}
}

func (h *house) count(t *testing.T, table string) (n uint64) {
	t.Helper()
	if err := h.conn.QueryRow(t.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEnforce(t *testing.T) {
	h := newHouse(t)
	enforce := func(period string, entries int) error {
		t.Helper()
		err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, period))
		if n := len(h.facts(t, KindPolicy)); n != entries {
			t.Errorf("%s: %d policy entries, want %d", period, n, entries)
		}
		return err
	}
	h.put(t, used(1, time.Now().UTC().Add(-10*24*time.Hour).Truncate(schema.BucketLength)), used(2, time.Now().UTC().Add(-time.Hour).Truncate(schema.BucketLength)))
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable without a policy, want none", n)
	}
	if err := enforce("P14D", 1); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 2 {
		t.Errorf("%d rows are readable, want both", n)
	}
	var f policyFacts
	if err := json.Unmarshal(h.facts(t, KindPolicy)[0], &f); err != nil || f.Periods["usage_5m"] != "P14D" || f.SHA256 != file(t, "P14D").SHA256 {
		t.Errorf("facts %+v, %v: want the periods and the file's hash", f, err)
	}
	if err := enforce("P14D", 1); err != nil {
		t.Errorf("the same again: %v", err)
	}
	// After a restart it is still the same.
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	if err := enforce("P14D", 1); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	// Shortening applies to the next query.
	if err := enforce("P7D", 2); err != nil {
		t.Errorf("shortened: %v", err)
	}
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Errorf("%d rows are readable after shortening, want one", n)
	}
	// Lengthening is refused and changes nothing.
	var refused *LengthenError
	if err := enforce("P8D", 2); !errors.As(err, &refused) || !reflect.DeepEqual(refused.Classes, []schema.Class{schema.ClassUsage5m}) ||
		!strings.Contains(err.Error(), "two people") {
		t.Errorf("lengthened: %v, want a LengthenError for usage_5m", err)
	}
	policies, err := schema.ReadPolicy(t.Context(), h.conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range policies {
		if p.Class == schema.ClassUsage5m && p.Period != "P7D" {
			t.Errorf("in force is %s, want P7D", p.Period)
		}
	}
	// Without a ledger nothing is put in force.
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P1D")); err == nil {
		t.Error("enforced without a ledger")
	}
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Errorf("%d rows are readable, want one as before", n)
	}
	h.open(t)
}

// TestApplyOfADamagedEntry stops the ledger rather than guess.
func TestApplyOfADamagedEntry(t *testing.T) {
	k := &Keeper{}
	if err := k.Apply(ledger.Entry{Header: ledger.Header{Kind: KindPolicy, Facts: json.RawMessage(`{"sha256":5}`)}}); err == nil {
		t.Error("applied")
	}
	if err := k.Apply(ledger.Entry{Header: ledger.Header{Kind: "other", Facts: json.RawMessage(`5`)}}); err != nil {
		t.Errorf("another kind: %v", err)
	}
}

func TestDropIsInTheLedger(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P14D")); err != nil {
		t.Fatal(err)
	}
	old := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40)
	h.put(t, used(1, old), used(2, old.Add(time.Hour)), used(3, old.AddDate(0, 0, 1)), used(4, time.Now().UTC().Truncate(24*time.Hour)))
	var d dropper
	// A store whose clock was set back drops no less than the ledger knows has passed.
	if err := d.once(t.Context(), h.conn, h.book, h.book.LastAt(), time.Now().AddDate(0, 0, -60)); err != nil {
		t.Fatal(err)
	}
	got := h.facts(t, KindDropped)
	if len(got) != 2 {
		t.Fatalf("%d drops in the ledger, want two days: %s", len(got), got)
	}
	var first droppedFacts
	if err := json.Unmarshal(got[0], &first); err != nil || first.Class != schema.ClassUsage5m || !first.Day.Equal(old) || first.Rows != 2 || first.Bytes == 0 {
		t.Errorf("first drop %+v, %v; want 2 rows of %v", first, err, old)
	}
	if n := h.count(t, "traffic.usage_bucket"); n != 1 {
		t.Errorf("%d rows are on disk, want one", n)
	}
	if err := d.once(t.Context(), h.conn, h.book, h.book.LastAt(), time.Now()); err != nil || len(h.facts(t, KindDropped)) != 2 {
		t.Errorf("again: %v, %d drops; want no more", err, len(h.facts(t, KindDropped)))
	}
}

// TestTheClockFloorHolds: what the ledger knows to have passed has passed for
// the views, whatever the clock says.
func TestTheClockFloorHolds(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P14D")); err != nil {
		t.Fatal(err)
	}
	h.put(t, used(1, time.Now().UTC().Truncate(schema.BucketLength).Add(-time.Hour)))
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Fatalf("%d rows are readable, want one", n)
	}
	var d dropper
	if err := d.once(t.Context(), h.conn, h.book, time.Now().AddDate(0, 0, 15), time.Now()); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable under a floor of a fortnight on, want none", n)
	}
}

// TestADropIsEnteredLater: the ledger was away when something was dropped.
func TestADropIsEnteredLater(t *testing.T) {
	h := newHouse(t)
	if err := h.keeper.Enforce(t.Context(), h.conn, h.book, file(t, "P14D")); err != nil {
		t.Fatal(err)
	}
	h.put(t, used(1, time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40)))
	h.book.Close()
	var d dropper
	if err := d.once(t.Context(), h.conn, h.book, time.Time{}, time.Now()); err == nil || len(d.unrecorded) != 1 {
		t.Fatalf("err = %v, %d remembered; want an error and one", err, len(d.unrecorded))
	}
	h.put(t, used(2, time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -41)))
	if err := d.once(t.Context(), h.conn, h.book, time.Time{}, time.Now()); err == nil || h.count(t, "traffic.usage_bucket") != 1 {
		t.Errorf("more was dropped while the ledger is away (%v)", err)
	}
	h.open(t)
	if err := d.once(t.Context(), h.conn, h.book, time.Time{}, time.Now()); err != nil || len(h.facts(t, KindDropped)) != 2 || len(d.unrecorded) != 0 {
		t.Errorf("later: %v, %d in the ledger, %d remembered; want both entered", err, len(h.facts(t, KindDropped)), len(d.unrecorded))
	}
}
