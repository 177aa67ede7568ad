package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"griffier/collector/spool"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// collectorsOfOneStore is how many collectors with the default spool one store is
// meant for. A block of several days is remembered once for each of them; there is
// room for four days a block.
const collectorsOfOneStore = 100

// TestDeduplicationWindowHoldsEverySpool fills a small spool with the shortest rows
// that there are, counts them, and holds what a spool of the
// default size would make of that, of every collector of a store, against how many
// blocks the store's tables remember.
func TestDeduplicationWindowHoldsEverySpool(t *testing.T) {
	const small = 16 << 20
	s, err := spool.Open(spool.Config{Dir: filepath.Join(t.TempDir(), "spool"), MaxBytes: small, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	rows := 0
	for {
		batch := spool.Batch{}
		for range 500 {
			batch.Records = append(batch.Records, &schema.Assignment{AssignmentID: schema.ID{1}, AccessRef: schema.AccessRef{1}, Prefix: netip.MustParsePrefix("192.0.2.1/32"), PortEnd: 65535,
				AssignmentStartedAt: day, StartedAt: day, EndedAt: day, Source: schema.SourceStatic, Certainty: schema.CertaintyObserved, CollectorID: "c"})
		}
		if err := s.Append(t.Context(), batch); err != nil {
			break // full
		}
		rows += len(batch.Records)
	}
	if rows == 0 {
		t.Fatalf("a spool of %d bytes took no rows", small)
	}
	const (
		spoolBytes = 1 << 30 // the default of spool.max_bytes
		spoolRows  = 50_000  // and of a block
	)
	blocks := rows * (spoolBytes / small) / spoolRows
	t.Logf("a spool of %d bytes holds %d rows, so one of the default size %d blocks", small, rows, blocks)

	database := enginetest.Start(t)
	conn, err := schema.Open(t.Context(), schema.Config{Socket: database.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := schema.Migrate(t.Context(), conn, nil); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"session_slice", "assignment_slice", "usage_bucket", "coverage_slice"} {
		var window string
		err := conn.QueryRow(t.Context(), "SELECT extract(create_table_query, 'non_replicated_deduplication_window = (\\d+)') FROM system.tables WHERE database = 'traffic' AND name = ?", table).Scan(&window)
		if err != nil {
			t.Fatal(err)
		}
		var remembers int
		if _, err := fmt.Sscan(window, &remembers); err != nil || remembers < blocks*collectorsOfOneStore {
			t.Errorf("%s remembers %q blocks, want %d: those of %d spools", table, window, blocks*collectorsOfOneStore, collectorsOfOneStore)
		}
	}
}
