package retention

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/schema"
	"griffier/schema/schematest"
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
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/retention")
	if err != nil {
		t.Fatal(err)
	}
	h := &house{conn: conn, cfg: ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"),
		Key: key, Keys: keys, Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)}}
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

// file is profile nl of a generation, with another period for usage_5m.
func file(t testing.TB, generation uint64, period string) File {
	t.Helper()
	f, err := Parse([]byte(variant(t, generation, period)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func variant(t testing.TB, generation uint64, period string) string {
	t.Helper()
	text := strings.Replace(profile(t, "nl"), "P14D", period, 1)
	return strings.Replace(text, "generation: 1\n", fmt.Sprintf("generation: %d\n", generation), 1)
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
