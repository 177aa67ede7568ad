package ledgerrpc

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
	"griffier/api/ledger/witness"
	griffierv1 "griffier/proto/griffier/v1"
)

// TestStatusTellsTheQuorum shows two witnesses, of which a release needs both.
func TestStatusTellsTheQuorum(t *testing.T) {
	alone, log, _, _ := open(t)
	res, err := alone.GetLedgerStatus(t.Context(), &griffierv1.GetLedgerStatusRequest{})
	if err != nil || res.GetQuorum() != 0 || len(res.GetWitnesses()) != 0 || res.GetSize() != 6 {
		t.Fatalf("without witnesses: %v, %v", res, err)
	}
	var clients []*witness.Client
	for _, name := range []string{"a.example/w", "b.example/w"} {
		path := filepath.Join(t.TempDir(), "key")
		if _, err := ledger.GenerateKey(path, name); err != nil {
			t.Fatal(err)
		}
		secret, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ledger.NewCosignerKey(strings.TrimSpace(string(secret)))
		if err != nil {
			t.Fatal(err)
		}
		c, err := witness.NewClient("http://127.0.0.1:1", key.Public, log.Origin(), peer.Files{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	g, err := witness.NewGatherer(witness.GathererConfig{Book: log, Witnesses: clients, Quorum: 2, File: filepath.Join(t.TempDir(), "cosigned.json"),
		Every: time.Hour, AlarmAfter: time.Hour, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	res, err = NewService(log, Watched{Witnesses: g}, nil).GetLedgerStatus(t.Context(), &griffierv1.GetLedgerStatusRequest{})
	if err != nil || res.GetQuorum() != 2 || len(res.GetWitnesses()) != 2 || res.GetWitnesses()[1].GetName() != "b.example/w" {
		t.Fatalf("%v, %v", res, err)
	}
}
