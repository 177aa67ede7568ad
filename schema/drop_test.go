package schema

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// filesHolding returns how many files of the store hold the marker.
func filesHolding(t *testing.T, dir, marker string) int {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // merges remove files while we walk
		}
		content, err := os.ReadFile(path)
		if err == nil && bytes.Contains(content, []byte(marker)) {
			found++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestDropExpired checks that an expired day leaves the disk, that a day with
// one row alive stays whole, and that the certificate's numbers are right.
func TestDropExpired(t *testing.T) {
	ctx, conn, database := newStore(t)
	setPolicy(t, ctx, conn, "P1M")
	period, _ := ParsePeriod("P1M")
	const goneMarker, keptMarker = "qZ8x-gone-Kv71-Lw93-Tn40", "mY4u-kept-Bc58-Rd26-Hs17"
	gone, kept := today(-10), today(-9)
	mark := func(day time.Time, marker string) []Record {
		s := testSession(1, day, endOfDay(day))
		s.NASPort = marker
		c := testCoverage(1, day, day.Add(time.Hour))
		c.BootID = marker
		return []Record{s, testAssignment(1, day, day.Add(time.Hour)), testUsage(1, day), c, testAccessLog(1, day.Add(time.Hour))}
	}
	for token, records := range map[string][]Record{"a": mark(gone, goneMarker), "b": mark(kept, keptMarker)} {
		if err := Insert(ctx, conn, token, records); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(filepath.Dir(database.Socket), "data")
	if filesHolding(t, data, goneMarker) == 0 || filesHolding(t, data, keptMarker) == 0 {
		t.Fatal("the markers are not on disk as they stand, so their absence would prove nothing")
	}

	lastExpiry := period.allExpired(gone, endOfDay(gone), amsterdam)
	drops, err := DropExpired(ctx, conn, lastExpiry.Add(-time.Millisecond))
	if err != nil || len(drops) != 0 {
		t.Fatalf("a millisecond early: dropped %v, %v", drops, err)
	}
	drops, err = DropExpired(ctx, conn, lastExpiry)
	if err != nil {
		t.Fatal(err)
	}
	classes := make(map[Class]bool)
	for _, d := range drops {
		classes[d.Class] = true
		if !d.Day.Equal(gone) || d.Rows != 1 || d.DiskBytes == 0 {
			t.Errorf("drop = %+v, want one row of %v", d, gone)
		}
	}
	if len(drops) != len(tables) || len(classes) != len(tables) {
		t.Errorf("dropped %d partitions of classes %v, want one of each", len(drops), classes)
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("the day that is still alive shows %v", got)
	}
	for _, table := range tables {
		if got := count(t, ctx, conn, "SELECT count() FROM "+table); got != 1 {
			t.Errorf("%s holds %d rows after the drop, want 1", table, got)
		}
	}
	if again, err := DropExpired(ctx, conn, lastExpiry); err != nil || len(again) != 0 {
		t.Errorf("a second run dropped %v, %v", again, err)
	}
	// The engine unlinks what no query reads any more in the background.
	deadline := time.Now().Add(2 * time.Minute)
	for filesHolding(t, data, goneMarker) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d files still hold the dropped value", filesHolding(t, data, goneMarker))
		}
		time.Sleep(200 * time.Millisecond)
	}
	if filesHolding(t, data, keptMarker) == 0 {
		t.Error("the value of the day that is alive left the disk")
	}
}

// TestDropFollowsEarlierExpiry checks that rows which an earlier, shorter period
// had expired leave the disk although the period is longer now, and that a
// class without a policy is left alone.
func TestDropFollowsEarlierExpiry(t *testing.T) {
	ctx, conn, _ := newStore(t)
	if err := Insert(ctx, conn, "a", append(oneOfEach(1, today(-8)), oneOfEach(2, today(0))...)); err != nil {
		t.Fatal(err)
	}
	if drops, err := DropExpired(ctx, conn, today(0).AddDate(20, 0, 0)); err != nil || len(drops) != 0 {
		t.Errorf("without a policy: dropped %v, %v", drops, err)
	}
	setPolicy(t, ctx, conn, "P2D")
	setPolicy(t, ctx, conn, "P1Y")
	drops, err := DropExpired(ctx, conn, time.Now())
	if err != nil || len(drops) != len(tables) {
		t.Errorf("dropped %v, %v, want the old day of each class", drops, err)
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("views show %v, want the young row of each", got)
	}
	if _, err := DropExpired(ctx, conn, time.Time{}); err == nil {
		t.Error("a zero now was accepted")
	}
}
