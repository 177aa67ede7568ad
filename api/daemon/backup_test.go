package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/api/auth"
	"griffier/api/backup"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/register"
	"griffier/api/subject"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// TestRestoreReappliesErasure: a person is erased after a backup was made, and the
// store is lost. griffierd does not serve what was restored before the person is
// erased again, and refuses half a restore.
func TestRestoreReappliesErasure(t *testing.T) {
	short, err := os.MkdirTemp("", "gr") // a socket path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	o := options()
	o.Listen, o.LedgerLimit, o.Laboratory = "127.0.0.1:0", 10*time.Second, true
	path, err := Init(filepath.Join(short, "g"), o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	run := func(during func()) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ready, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- Run(ctx, cfg, log, Start{Ready: func(net.Addr) { close(ready) }}) }()
		select {
		case <-ready:
			during()
			cancel()
			return <-done
		case err := <-done:
			return err
		}
	}
	seen := func(ref schema.AccessRef) (n uint64) {
		t.Helper()
		conn, err := schema.Open(t.Context(), schema.Config{Socket: cfg.Store.Socket})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM traffic.usage WHERE access_ref = toFixedString(unhex('"+ref.String()+"'), 16)").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var gone, stays schema.AccessRef
	if err := run(func() { gone, stays = twoLines(t, cfg) }); err != nil {
		t.Fatal(err)
	}
	cfg.Backup = BackupConfig{Dir: filepath.Join(short, "backups"), KeysDir: filepath.Join(short, "keycopies"), Every: time.Hour}
	var folder string
	if err := run(func() {
		for folder == "" {
			folders, err := backup.Folders(cfg.Backup.Dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(folders) > 0 {
				folder = folders[0]
			}
			time.Sleep(50 * time.Millisecond)
		}
		if seen(gone) == 0 || seen(stays) == 0 {
			t.Error("nothing can be read before")
		}
	}); err != nil {
		t.Fatal(err)
	}
	eraseOffline(t, cfg)
	if err := run(func() {
		if n := seen(gone); n != 0 {
			t.Errorf("%d rows can be read after the erasure", n)
		}
	}); err != nil {
		t.Fatal(err)
	}

	cfg.Store.DataDir = filepath.Join(short, "new") // the disk is lost
	var said strings.Builder
	if err := Restore(t.Context(), cfg, folder, log, &said); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "traffic.usage_bucket") {
		t.Errorf("the restore said %q", said.String())
	}
	store, err := openStore(t.Context(), cfg.Store, log)
	if err != nil {
		t.Fatal(err)
	}
	var stored uint64 // the negative control: it is really there again
	if err := store.operator.QueryRow(t.Context(), "SELECT count() FROM traffic.usage_bucket").Scan(&stored); err != nil || stored != 2 {
		t.Errorf("%d rows were restored, %v", stored, err)
	}
	if n := seen(gone) + seen(stays); n != 0 {
		t.Errorf("%d restored rows can be read before griffierd ran", n)
	}
	if err := store.stop(); err != nil {
		t.Fatal(err)
	}
	if err := run(func() {
		if n := seen(gone); n != 0 {
			t.Errorf("%d rows of the erased person can be read after the restore", n)
		}
		if seen(stays) != 1 {
			t.Error("what was not erased cannot be read after the restore")
		}
		if stage, err := backup.StageOf(cfg.Store.DataDir); stage != backup.NoRestore || err != nil {
			t.Errorf("StageOf = %q, %v while it serves", stage, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	// The disk of the keys is not there: nothing is sealed under new ones in its place.
	if err := os.Rename(cfg.Keys.Dir, filepath.Join(short, "unmounted")); err != nil {
		t.Fatal(err)
	}
	if err := run(func() { t.Error("griffierd serves without its keys") }); err == nil || !strings.Contains(err.Error(), "-restore-keys") {
		t.Errorf("Run without keys = %v", err)
	}
	if left, err := os.ReadDir(cfg.Keys.Dir); err != nil || len(left) > 0 {
		t.Errorf("keys were made: %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Keys.Dir, backup.RestoredName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(func() {}); err != nil { // they are lost, says the operator
		t.Errorf("Run after all keys were lost: %v", err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Store.DataDir, "restore.json"), []byte(`{"backup":"x","stage":"copying"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(func() { t.Error("griffierd serves half a restore") }); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("Run = %v", err)
	}
}

// offline is the register over an open store, with the installation's own keys.
func offline(t *testing.T, cfg Config) (*services, *store) {
	t.Helper()
	s := &store{}
	conn, err := schema.Open(t.Context(), schema.Config{Socket: cfg.Store.Socket})
	if err != nil {
		t.Fatal(err)
	}
	s.operator, s.executor, s.portal = conn, conn, conn
	s.close = append(s.close, conn.Close)
	keys, err := keystore.Open(cfg.Keys.Dir, cfg.Keys.MasterFile)
	if err != nil {
		t.Fatal(err)
	}
	all, err := newServices(cfg, s, keys, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return all, s
}

// twoLines puts two lines whose contracts have ended, with a row of usage each.
func twoLines(t *testing.T, cfg Config) (a, b schema.AccessRef) {
	t.Helper()
	s, conns := offline(t, cfg)
	defer conns.stop()
	pseudonyms, err := schema.ReadPseudonymKey(cfg.Keys.PseudonymFile)
	if err != nil {
		t.Fatal(err)
	}
	from, to := time.Now().Add(-100*time.Hour), time.Now().Add(-time.Hour)
	var refs []schema.AccessRef
	var rows []schema.Record
	for _, id := range []string{"L-gone", "L-stays"} {
		name := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: id}
		err := s.register.PutLine(t.Context(), register.Line{LineID: id, AccountID: "A", TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: from, ContractEnd: to},
			[]register.Identifier{{Identifier: name, ValidFrom: from, ValidTo: to}},
			register.Person{Name: "Somebody", InstallationAddress: register.PostalAddress{Postcode: "1234AB", HouseNumber: "1", Country: "NL"}})
		if err != nil {
			t.Fatal(err)
		}
		ref, at := pseudonyms.Ref(name), from.UTC().Truncate(schema.BucketLength).Add(time.Hour)
		refs = append(refs, ref)
		rows = append(rows, &schema.Usage{AccessRef: ref, BucketStartedAt: at, EndedAt: at.Add(schema.BucketLength), SampledAt: at, Direction: schema.Up, IPVersion: 4,
			Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CounterID: schema.ID{1}, CollectorID: "c1"})
	}
	if err := schema.Insert(t.Context(), conns.operator, "rows", rows); err != nil {
		t.Fatal(err)
	}
	return refs[0], refs[1]
}

// eraseOffline has two people erase L-gone, while no griffierd runs.
func eraseOffline(t *testing.T, cfg Config) {
	t.Helper()
	whole, err := openStore(t.Context(), cfg.Store, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.stop()
	s, conns := offline(t, cfg)
	defer conns.stop()
	key, err := ledger.LoadKey(cfg.Ledger.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Open(t.Context(), ledger.Config{Dir: cfg.Ledger.Dir, WitnessFile: cfg.Ledger.WitnessFile, Key: key, Keys: s.keys,
		Folds: s.folds(), Limit: 10 * time.Second, Logger: s.log})
	if err != nil {
		t.Fatal(err)
	}
	defer book.Close()
	as := func(name string) context.Context {
		return auth.NewContext(t.Context(), auth.Caller{Subject: name, Actor: s.auth.ActorKey.Actor(name), Roles: []griffierv1.Role{griffierv1.Role_ROLE_PRIVACY_CONTROLLER}})
	}
	service := subject.NewService(s.newSubjects(book), s.keys)
	x, err := service.RequestErasure(as("petra"), &griffierv1.RequestErasureRequest{RequestId: "request-1", LineId: "L-gone"})
	if err != nil {
		t.Fatal(err)
	}
	x, err = service.ApproveErasure(as("pieter"), &griffierv1.ApproveErasureRequest{RequestId: "approve-1", ErasureId: x.GetErasureId(), LineId: "L-gone"})
	if err != nil {
		t.Fatal(err)
	}
	if len(x.GetBackups()) != 1 || !x.GetBackups()[0].GetUnreadableBy().AsTime().After(time.Now().Add(29*24*time.Hour)) {
		t.Errorf("the erasure names backups %v, want the one that was made", x.GetBackups())
	}
}
