package server

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/ledger"
	"griffier/schema"
	"griffier/schema/schematest"
)

func accessStore(t *testing.T) driver.Conn {
	t.Helper()
	database := schematest.Spared(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func digests(t *testing.T, d *desk) (out []digestFacts) {
	t.Helper()
	for _, e := range d.entries(t, KindAccessDigest) {
		var f digestFacts
		if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
			t.Fatal(err)
		}
		out = append(out, f)
	}
	return out
}

func TestEveryClosedHourIsSealedOnce(t *testing.T) {
	ctx := context.Background()
	conn := accessStore(t)
	hour := time.Date(2026, 3, 1, 23, 0, 0, 0, time.UTC) // the next one is another day
	now := hour
	a := NewAccessLog(conn, func() time.Time { return now })
	d := newDesk(t, a)
	record := func(at time.Time, actor string) {
		t.Helper()
		if err := a.Record(ctx, at, actor, "customer", "UsageService/GetTotals"); err != nil {
			t.Fatal(err)
		}
	}
	seal := func(want int) []digestFacts {
		t.Helper()
		if err := a.sealClosed(ctx, d.book); err != nil {
			t.Fatal(err)
		}
		got := digests(t, d)
		if len(got) != want {
			t.Fatalf("at %v: %d digests, want %d: %+v", now, len(got), want, got)
		}
		return got
	}
	record(hour, "a")
	record(hour.Add(59*time.Minute+59*time.Second+999*time.Millisecond), "b")
	record(hour.Add(time.Hour), "c")
	record(hour.Add(3*time.Hour), "d")
	now = hour.Add(30 * time.Minute)
	seal(0) // open
	now = hour.Add(time.Hour + settle - time.Second)
	seal(0) // closed, but a call may still be writing
	now = hour.Add(time.Hour + settle)
	first := seal(1)[0]
	if !first.Hour.Equal(hour) || first.Count != 2 || len(first.SHA256) != 64 {
		t.Errorf("digest %+v, want 2 rows of %v", first, hour)
	}
	if again, err := a.digest(ctx, hour); err != nil || again != first {
		t.Errorf("digest again: %+v, %v; want the same %+v", again, err, first)
	}
	seal(1) // none twice
	now = hour.Add(4*time.Hour + settle)
	got := seal(3) // the hour without rows has none
	if !got[1].Hour.Equal(hour.Add(time.Hour)) || got[1].Count != 1 || !got[2].Hour.Equal(hour.Add(3*time.Hour)) {
		t.Errorf("digests %+v", got)
	}

	// After a restart the fold knows what is sealed.
	if err := d.book.Close(); err != nil {
		t.Fatal(err)
	}
	a = NewAccessLog(conn, func() time.Time { return now })
	d.cfg.Folds = []ledger.Fold{a}
	d.open(t)
	seal(3)
	record(hour.Add(5*time.Hour), "e")
	now = hour.Add(7 * time.Hour)
	seal(4)

	// A row that was changed or taken away shows.
	if err := conn.Exec(ctx, "ALTER TABLE traffic.access_log_entry DELETE WHERE actor = 'b' SETTINGS mutations_sync = 2"); err != nil {
		t.Fatal(err)
	}
	if after, err := a.digest(ctx, hour); err != nil || after.Count != 1 || after.SHA256 == first.SHA256 {
		t.Errorf("after a deletion: %+v, %v; want another digest", after, err)
	}
}

// TestSealingStopsWithItsLedger: an hour that could not be sealed is sealed later.
func TestSealingStopsWithItsLedger(t *testing.T) {
	ctx := context.Background()
	conn := accessStore(t)
	hour := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	a := NewAccessLog(conn, func() time.Time { return hour.Add(2 * time.Hour) })
	d := newDesk(t, a)
	if err := a.Record(ctx, hour, "a", "customer", "UsageService/GetTotals"); err != nil {
		t.Fatal(err)
	}
	d.book.Close()
	if err := a.sealClosed(ctx, d.book); err == nil {
		t.Fatal("sealed without a ledger")
	}
	a = NewAccessLog(conn, a.now)
	d.cfg.Folds = []ledger.Fold{a}
	d.open(t)
	if err := a.sealClosed(ctx, d.book); err != nil || len(digests(t, d)) != 1 {
		t.Errorf("later: %v, %d digests; want one", err, len(digests(t, d)))
	}
}
