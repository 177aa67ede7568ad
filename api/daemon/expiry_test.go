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

	"griffier/api/clock"
	"griffier/api/ledger"
	"griffier/api/retention/expiry"
	"griffier/schema"
)

// TestAnExpiredDayGoesAtTheStart: what has expired is off the disk soon after
// griffierd starts, at the latest, with a certificate that its ledger proves
// offline. The same start says whether the clock can be believed.
func TestAnExpiredDayGoesAtTheStart(t *testing.T) {
	short, err := os.MkdirTemp("", "gx") // a socket path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	dir := filepath.Join(short, "g")
	o := options()
	o.Listen, o.LedgerLimit = "127.0.0.1:0", 10*time.Second
	path, err := Init(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	logs := &syncBuffer{}
	life := func(during func(count func() uint64)) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ready, done := make(chan struct{}), make(chan error, 1)
		go func() {
			done <- Run(ctx, cfg, slog.New(slog.NewJSONHandler(logs, nil)), Start{Ready: func(net.Addr) { close(ready) }})
		}()
		select {
		case <-ready:
		case err := <-done:
			t.Fatalf("griffierd did not start: %v", err)
		}
		conn, err := schema.Open(t.Context(), schema.Config{Socket: cfg.Store.Socket})
		if err != nil {
			t.Fatal(err)
		}
		old := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40)
		during(func() (rows uint64) {
			if err := conn.QueryRow(t.Context(), "SELECT count() FROM traffic.usage_bucket WHERE toDate(bucket_started_at) = ?", old.Format(time.DateOnly)).Scan(&rows); err != nil {
				t.Error(err)
			}
			return rows
		})
		conn.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("griffierd stopped with: %v", err)
		}
	}
	life(func(func() uint64) {
		put(t, cfg, time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -40).Add(time.Hour))
	})
	life(func(count func() uint64) {
		for until := time.Now().Add(5 * time.Minute); count() > 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("the old row is still on disk")
			}
		}
		for until := time.Now().Add(5 * time.Minute); certificates(t, dir, cfg) == 0; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("there is no certificate of it")
			}
		}
	})
	if n := certificates(t, dir, cfg); n != 1 {
		t.Errorf("%d certificates, want one", n)
	}
	judge := clock.Judge{RequireSync: true, LastAt: func() time.Time { return time.Time{} }, Now: time.Now, Read: clock.Read}
	if told := strings.Contains(logs.String(), "the clock cannot be believed"); told != (judge.Check() != nil) {
		t.Errorf("told that the clock cannot be believed: %v; the clock: %v", told, judge.Check())
	}
}

// put stores a row of usage in the running griffierd's store.
func put(t *testing.T, cfg Config, bucket time.Time) {
	t.Helper()
	conn, err := schema.Open(t.Context(), schema.Config{Socket: cfg.Store.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = schema.Insert(t.Context(), conn, "old", []schema.Record{&schema.Usage{AccessRef: schema.AccessRef{1}, BucketStartedAt: bucket,
		EndedAt: bucket.Add(schema.BucketLength), SampledAt: bucket, Direction: schema.Up, IPVersion: 4, Bytes: 1, Packets: 1,
		CumulativeBytes: 1, CumulativePackets: 1, CounterID: schema.ID{1}, CollectorID: "c1"}})
	if err != nil {
		t.Fatal(err)
	}
}

// certificates counts, offline, the days of usage whose drop the ledger certifies.
func certificates(t *testing.T, dir string, cfg Config) int {
	t.Helper()
	public, err := os.ReadFile(filepath.Join(dir, "trust", "ledger.pub"))
	if err != nil {
		t.Fatal(err)
	}
	record := &expiry.Record{}
	report, err := ledger.Verify(t.Context(), ledger.VerifyConfig{Dir: cfg.Ledger.Dir, PublicKey: strings.TrimSpace(string(public)), Folds: []ledger.Fold{record}})
	if err != nil || !report.Verified() {
		t.Fatalf("ledger: %v, %v", report.Problems, err)
	}
	found := record.Certificates(schema.ClassUsage5m, 10)
	for _, c := range found {
		if c.Outcome != expiry.OutcomeDropped || c.Rows != 1 || c.RowsAfter != 0 || c.PolicyGeneration == 0 || len(c.PolicySHA256) != 64 {
			t.Errorf("certificate %+v, want one row under the policy in force", c)
		}
	}
	return len(found)
}
