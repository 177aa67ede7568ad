package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/ledger/sink"
	"griffier/api/retention/dossier"
	"griffier/schema"
)

type believed struct{}

func (believed) Check() error { return nil }

// TestExpiredDossierIsShredded destroys the key of a dossier whose term is over with
// the job that griffierd runs, and wants the ledger to verify, to fold to the same
// state, and to be made again from a copy, with the content gone everywhere.
func TestExpiredDossierIsShredded(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keystore.GenerateMasterKey(filepath.Join(dir, "master")))
	keys, err := keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	must(err)
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/shred")
	must(err)
	record := &dossier.Record{}
	cfg := ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "head"), Key: key, Keys: keys,
		Folds: []ledger.Fold{record}, Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)}
	log, err := ledger.Open(ctx, cfg)
	must(err)
	defer func() { log.Close() }()
	var cases []dossier.Case
	ended := time.Now().AddDate(-6, 0, 0)
	for _, id := range []string{"expired", "live"} {
		must(keys.Create("case:" + id))
		for n := range 20 {
			_, err := log.Append(ctx, ledger.Draft{Kind: "warrant.noted", WarrantID: id, KeyID: "case:" + id,
				Facts: map[string]int{"n": n}, Body: map[string]string{"target": fmt.Sprintf("target-of-%s", id)}})
			must(err)
		}
	}
	cases = append(cases, dossier.Case{WarrantID: "expired", KeyID: "case:expired", EndedAt: ended})
	before, err := log.RootAt(40)
	must(err)
	shredder := &dossier.Shredder{
		Ended: func(time.Time) []dossier.Case { return cases },
		Rule: func() (schema.Policy, bool) {
			return schema.Policy{Class: "dossier", Period: "P5Y", Zone: "Europe/Amsterdam"}, true
		},
		Keys: keys, Book: log, Record: record, Clock: believed{}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	must(shredder.Once(ctx))

	entries, err := log.Read(ctx, 0, 100)
	must(err)
	if len(entries) != 41 {
		t.Fatalf("%d entries, want those and one that says what was destroyed", len(entries))
	}
	for _, e := range entries[:40] {
		_, err := log.Body(e)
		if gone := errors.Is(err, keystore.ErrShredded); gone != (e.Header.WarrantID == "expired") || !gone && err != nil {
			t.Fatalf("entry %d of %s: %v", e.Index, e.Header.WarrantID, err)
		}
	}
	if after, err := log.RootAt(40); err != nil || !bytes.Equal(before, after) {
		t.Fatal("the root changed", err)
	}
	copied, err := sink.Open(filepath.Join(dir, "sink"), key.Public)
	must(err)
	defer copied.Close()
	var leaves [][]byte
	must(log.Leaves(ctx, 0, 41, func(_ uint64, leaf []byte) error { leaves = append(leaves, leaf); return nil }))
	cp, err := log.CheckpointAt(41)
	must(err)
	must(copied.Append(0, leaves, cp))
	must(log.Close())

	report, err := ledger.Verify(ctx, ledger.VerifyConfig{Dir: cfg.Dir, PublicKey: key.Public, WitnessFile: cfg.WitnessFile, Keys: keys, Folds: []ledger.Fold{&dossier.Record{}}})
	if err != nil || report.BodiesShredded != 20 || report.BodiesOpened != 20 {
		t.Fatalf("%+v, %v", report, err)
	}
	// Everything but the keys is lost; the ledger comes back from its copy, and folds:
	// what was destroyed once is not destroyed, nor entered, again.
	must(os.RemoveAll(cfg.Dir))
	must(os.Remove(cfg.WitnessFile))
	_, err = ledger.Rebuild(ctx, ledger.RebuildConfig{Dir: cfg.Dir, WitnessFile: cfg.WitnessFile, Key: key, Copy: sink.Local{Store: copied}})
	must(err)
	record = &dossier.Record{}
	cfg.Folds = []ledger.Fold{record}
	log, err = ledger.Open(ctx, cfg)
	must(err)
	shredder.Record, shredder.Book = record, log
	must(shredder.Once(ctx))
	if log.Size() != 41 {
		t.Fatalf("%d entries after the rebuild", log.Size())
	}
	// The content is on no disk in clear, nor the key in any form.
	must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte("target-of-expired")) {
			t.Errorf("%s has the content", path)
		}
		return err
	}))
	if err := keys.State("case:expired"); !errors.Is(err, keystore.ErrShredded) {
		t.Errorf("the key: %v", err)
	}
}
