package subject

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bytes"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/schematest"
)

// blindKey is the key of the blind index.
var blindKey = bytes.Repeat([]byte{8}, 32)

// house is a store with a register, keys, a ledger and a desk.
type house struct {
	conn    driver.Conn
	dataDir string
	keys    *keystore.Store
	reg     *register.Register
	ids     *schema.Pseudonymiser
	cfg     ledger.Config
	book    *ledger.Log
	desk    *Desk
	service *Service
	now     func() time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	database := schematest.Spared(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// What a rewrite replaces is unlinked after a minute; here after a second.
	for _, table := range []string{"traffic.session_slice", "traffic.assignment_slice", "traffic.usage_bucket", "traffic.usage_day_part", "traffic.access_log_entry",
		"traffic.gate", "register.line", "register.line_access", "register.person", "register.restriction"} {
		if err := conn.Exec(t.Context(), "ALTER TABLE "+table+" MODIFY SETTING old_parts_lifetime = 1"); err != nil {
			t.Fatal(err)
		}
	}
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults and complaints"})
	}
	if err := schema.WritePolicy(t.Context(), conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	h := &house{conn: conn, dataDir: filepath.Join(filepath.Dir(database.Socket), "data"), now: time.Now, keys: newKeys(t)}
	if h.ids, err = schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength)); err != nil {
		t.Fatal(err)
	}
	h.reg = h.register(t)
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/subject")
	if err != nil {
		t.Fatal(err)
	}
	h.cfg = ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key, Keys: h.keys, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second}
	h.open(t)
	t.Cleanup(func() { h.book.Close() })
	return h
}

// open opens the ledger anew, as a restart does.
func (h *house) open(t *testing.T) {
	t.Helper()
	state := NewState()
	h.cfg.Folds = []ledger.Fold{state}
	var err error
	if h.book, err = ledger.Open(context.Background(), h.cfg); err != nil {
		t.Fatal(err)
	}
	h.desk = &Desk{Register: h.reg, Executor: h.conn, Operator: h.conn, Book: h.book, State: state, Embedded: true,
		Now: func() time.Time { return h.now() }, Log: slog.New(slog.DiscardHandler)}
	h.service = NewService(h.desk, h.keys)
}

// newKeys is a keystore of its own.
func newKeys(t *testing.T) *keystore.Store {
	t.Helper()
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// register is one with the house's keys.
func (h *house) register(t *testing.T) *register.Register {
	t.Helper()
	r, err := register.New(register.Config{Conn: h.conn, Vault: h.keys, Pseudonyms: h.ids, BlindKey: blindKey, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// erase has one controller ask for a line's erasure and another approve it.
func (h *house) erase(t *testing.T, line string) {
	t.Helper()
	x, err := h.service.RequestErasure(as("anna", controller), &griffierv1.RequestErasureRequest{RequestId: "request-1", LineId: line})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.service.ApproveErasure(as("bert", controller), &griffierv1.ApproveErasureRequest{RequestId: "approve-1", ErasureId: x.GetErasureId(), LineId: line}); err != nil {
		t.Fatal(err)
	}
}

// line puts a line with one RADIUS user, held from until to, with its traffic then.
func (h *house) line(t *testing.T, id, user string, from, to time.Time) schema.AccessRef {
	t.Helper()
	name := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user}
	place := register.PostalAddress{Postcode: "1234AB", HouseNumber: "1", Country: "NL"}
	err := h.reg.PutLine(t.Context(), register.Line{LineID: id, AccountID: "A-" + id, TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: from, ContractEnd: to},
		[]register.Identifier{{Identifier: name, ValidFrom: from, ValidTo: to}}, register.Person{Name: "Somebody", InstallationAddress: place})
	if err != nil {
		t.Fatal(err)
	}
	return h.ids.Ref(name)
}

// traffic puts a row of each class of a reference.
func (h *house) traffic(t *testing.T, ref schema.AccessRef, at time.Time) {
	t.Helper()
	at = at.UTC().Truncate(schema.BucketLength)
	rows := []schema.Record{
		&schema.Session{SessionID: schema.ID{1}, AccessRef: ref, SessionStartedAt: at, StartedAt: at, EndedAt: at.Add(time.Minute), Version: 1,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"},
		&schema.Usage{AccessRef: ref, BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength), SampledAt: at.Add(time.Minute), Direction: schema.Up, IPVersion: 4,
			Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CounterID: schema.ID{1}, CollectorID: "c1"},
		&schema.UsageDay{AccessRef: ref, Day: at.Truncate(24 * time.Hour), Zone: "Europe/Amsterdam", StartedAt: at, EndedAt: at.Add(schema.BucketLength),
			Direction: schema.Up, IPVersion: 4, Source: schema.UsageKernel, CollectorID: "c1", Bytes: 1, Packets: 1, Version: 1},
		&schema.AccessLogEntry{EntryID: schema.ID(ref), HappenedAt: at, Actor: "a", Role: "customer", Action: "x", Outcome: "OK", AccessRefs: []schema.AccessRef{ref}},
	}
	rows[3].(*schema.AccessLogEntry).EntryID = schema.ID{ref[1], byte(at.Unix() / 300)}
	if err := schema.Insert(t.Context(), h.conn, t.Name()+time.Now().String(), rows); err != nil {
		t.Fatal(err)
	}
}

// as is a context with a caller of one role.
func as(name string, role griffierv1.Role) context.Context {
	return auth.NewContext(context.Background(), auth.Caller{Subject: name, Actor: auth.ActorKey("k").Actor(name), Roles: []griffierv1.Role{role}})
}

// readable counts what the views show of a reference.
func (h *house) readable(t *testing.T, ref schema.AccessRef) (n uint64) {
	t.Helper()
	for _, view := range []string{"traffic.session", "traffic.assignment", "traffic.usage", "traffic.usage_day"} {
		n += h.count(t, "SELECT count() FROM "+view+" WHERE access_ref = toFixedString(unhex('"+ref.String()+"'), 16)")
	}
	return n
}

func (h *house) count(t *testing.T, query string) (n uint64) {
	t.Helper()
	if err := h.conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// places looks for a value in every column of every table that the store has
// besides its own, as bytes and as text, and returns the tables that hold it.
func (h *house) places(t *testing.T, value string) (out []string) {
	t.Helper()
	rows, err := h.conn.Query(t.Context(), `SELECT concat(database, '.', table), groupArray(name) FROM system.columns
		WHERE database IN ('traffic', 'register', 'statistics') AND (database, table) IN (SELECT database, name FROM system.tables WHERE engine LIKE '%MergeTree')
		AND default_kind NOT IN ('ALIAS', 'EPHEMERAL') GROUP BY database, table ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	type table struct {
		name    string
		columns []string
	}
	var tables []table
	for rows.Next() {
		var x table
		if err := rows.Scan(&x.name, &x.columns); err != nil {
			t.Fatal(err)
		}
		tables = append(tables, x)
	}
	for _, x := range tables {
		for _, c := range x.columns {
			n := h.count(t, "SELECT count() FROM "+x.name+" WHERE position(toString("+c+"), unhex('"+hexOf(value)+"')) > 0 OR position(toJSONString("+c+"), '"+value+"') > 0")
			if n > 0 {
				out = append(out, x.name+"."+c)
			}
		}
	}
	return out
}

func hexOf(s string) string {
	const digits = "0123456789abcdef"
	var b []byte
	for i := range len(s) {
		b = append(b, digits[s[i]>>4], digits[s[i]&15])
	}
	return string(b)
}

// onDisk counts the store's files that contain b, uncompressed.
func (h *house) onDisk(t *testing.T, b []byte) (n int) {
	t.Helper()
	err := filepath.WalkDir(h.dataDir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if text, err := os.ReadFile(path); err == nil && bytes.Contains(text, b) {
				n++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// approved is the act of an approval, for an erasure that stops right after it.
func approved(id string) func(time.Time, auth.Caller) (string, any, *reason.Error) {
	return func(time.Time, auth.Caller) (string, any, *reason.Error) {
		return KindErasureApproved, idFacts{id}, nil
	}
}
