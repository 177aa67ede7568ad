package backup

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/register"
	"griffier/schema"
	"griffier/schema/schematest"
)

// house is a store with a register, keys, a ledger and a maker of backups.
type house struct {
	dir     string // of keys, ledger and backups
	conn    driver.Conn
	dataDir string
	keys    *keystore.Store
	reg     *register.Register
	cfg     ledger.Config
	book    *ledger.Log
	maker   *Maker
	now     time.Time
}

// newHouse starts an engine; the keys and ledger are those in dir, if there are any.
func newHouse(t testing.TB, dir string) *house {
	t.Helper()
	database := schematest.Start(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h := &house{dir: dir, conn: conn, dataDir: filepath.Join(filepath.Dir(database.Socket), "data"), now: time.Now()}
	if _, err := os.Stat(h.at("master")); err != nil {
		if err := keystore.GenerateMasterKey(h.at("master")); err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.GenerateKey(h.at("ledgerkey"), "test.example/backup"); err != nil {
			t.Fatal(err)
		}
	}
	h.openKeys(t)
	key, err := ledger.LoadKey(h.at("ledgerkey"))
	if err != nil {
		t.Fatal(err)
	}
	record := &Record{}
	h.cfg = ledger.Config{Dir: h.at("ledger"), WitnessFile: h.at("witness"), Key: key, Keys: h.keys, Folds: []ledger.Fold{record}, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second}
	if h.book, err = ledger.Open(context.Background(), h.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.book.Close() })
	h.maker = &Maker{Conn: conn, DataDir: h.dataDir, LedgerDir: h.cfg.Dir, Dir: h.at("backups"), KeysDir: h.at("keycopies"), Keys: h.keys,
		Book: h.book, Record: record, Now: func() time.Time { return h.now }, Log: slog.New(slog.DiscardHandler)}
	return h
}

func (h *house) at(name string) string { return filepath.Join(h.dir, name) }

func (h *house) openKeys(t testing.TB) {
	t.Helper()
	var err error
	if h.keys, err = keystore.Open(h.at("keys"), h.at("master")); err != nil {
		t.Fatal(err)
	}
	ids, err := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	h.reg, err = register.New(register.Config{Conn: h.conn, Vault: h.keys, Pseudonyms: ids, BlindKey: bytes.Repeat([]byte{8}, 32), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) policy(t *testing.T, period string) {
	t.Helper()
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: period, Zone: "Europe/Amsterdam", Purpose: "faults and complaints"})
	}
	if err := schema.WritePolicy(t.Context(), h.conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
}

var name = schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "somebody@isp.example"}

// fill puts a line, and traffic of it and of others on some days.
func (h *house) fill(t *testing.T) {
	t.Helper()
	h.policy(t, "P6M")
	from := h.now.Add(-100 * 24 * time.Hour)
	err := h.reg.PutLine(t.Context(), register.Line{LineID: "line-in-clear", AccountID: "account-in-clear", TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: from, ContractEnd: h.now.Add(-time.Hour)},
		[]register.Identifier{{Identifier: name, ValidFrom: from, ValidTo: h.now.Add(-time.Hour)}},
		register.Person{Name: "Somebody", InstallationAddress: register.PostalAddress{Postcode: "1234AB", HouseNumber: "1", Country: "NL"}})
	if err != nil {
		t.Fatal(err)
	}
	ids, _ := schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	var rows []schema.Record
	for d := range 20 {
		at := h.now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -2*d-1)
		for n := range 50 {
			ref := schema.AccessRef{byte(n), 9}
			if n == 0 {
				ref = ids.Ref(name)
			}
			rows = append(rows, &schema.Usage{AccessRef: ref, BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength), SampledAt: at, Direction: schema.Up,
				IPVersion: 4, Bytes: uint64(n), Packets: 1, CumulativeBytes: uint64(n), CumulativePackets: 1, CounterID: schema.ID{1}, CollectorID: "c1"})
		}
	}
	if err := schema.Insert(t.Context(), h.conn, "fill", rows); err != nil {
		t.Fatal(err)
	}
}

func (h *house) count(t *testing.T, query string) (n uint64) {
	t.Helper()
	if err := h.conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// sums is what a store holds, in one text.
func (h *house) sums(t *testing.T) string {
	t.Helper()
	tables, err := schema.StoredTables(t.Context(), h.conn)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, table := range tables {
		if table.Name == "traffic.gate" {
			continue // a restore suspends it
		}
		fmt.Fprintln(&b, table.Name, h.count(t, "SELECT count() FROM "+table.Name), h.count(t, "SELECT sum(cityHash64(*)) FROM "+table.Name))
	}
	return b.String()
}
