package schema

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"
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

// dropDue drops what is due at now, and returns what was listed before.
func dropDue(t *testing.T, ctx context.Context, conn driver.Conn, now time.Time) []DayPartition {
	t.Helper()
	due, err := ExpiredDays(ctx, conn, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range due {
		left, err := DropDay(ctx, conn, p.Class, p.Day, now)
		if err != nil {
			t.Fatal(err)
		}
		if left.Rows != 0 || left.PartsSHA256 != noParts {
			t.Errorf("%s of %v is left with %+v, want nothing", p.Class, p.Day, left)
		}
	}
	return due
}

// dayExpiry is when the policy of setPolicy has a day dropped.
func dayExpiry(t *testing.T, period string, day time.Time) time.Time {
	t.Helper()
	at, err := everyClass(period)[0].DayExpiresAt(day)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestDropDay checks that an expired day leaves the disk, that a day with one row
// alive stays whole, and that the numbers of a certificate are right.
func TestDropDay(t *testing.T) {
	ctx, conn, database := newStore(t)
	const period = "P30D" // by months the last days of January expire on one day of February
	setPolicy(t, ctx, conn, period)
	const goneMarker, keptMarker = "qZ8x-gone-Kv71-Lw93-Tn40", "mY4u-kept-Bc58-Rd26-Hs17"
	gone, kept := today(-10), today(-9)
	mark := func(day time.Time, marker string) []Record {
		s := testSession(1, day, endOfDay(day))
		s.NASPort = marker
		c := testCoverage(1, day, day.Add(time.Hour))
		c.BootID = marker
		return []Record{s, testAssignment(1, day, day.Add(time.Hour)), testUsage(1, day), c, testUsageDay(1, day.Add(2*time.Hour)), testAccessLog(1, day.Add(time.Hour))}
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

	at := dayExpiry(t, period, gone)
	if due := dropDue(t, ctx, conn, at.Add(-time.Millisecond)); len(due) != 0 {
		t.Fatalf("a millisecond early %v are due", due)
	}
	for class := range tables {
		if _, err := DropDay(ctx, conn, class, gone, at.Add(-time.Millisecond)); !errors.Is(err, ErrNotDue) {
			t.Errorf("%s dropped a millisecond early: %v, want ErrNotDue", class, err)
		}
	}
	due := dropDue(t, ctx, conn, at)
	classes := make(map[Class]bool)
	for _, d := range due {
		classes[d.Class] = true
		if !d.Day.Equal(gone) || d.Rows != 1 || d.DiskBytes == 0 || d.Parts != 1 || len(d.PartsSHA256) != 64 || d.PartsSHA256 == noParts || !d.DropAt.Equal(at) {
			t.Errorf("due is %+v, want one row of %v", d, gone)
		}
	}
	if len(due) != len(classes) || len(classes) < len(views) {
		t.Errorf("dropped %d partitions of classes %v, want one of each", len(due), classes)
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("the day that is still alive shows %v", got)
	}
	for class := range classes {
		if got := count(t, ctx, conn, "SELECT count() FROM "+tables[class]); got != 1 {
			t.Errorf("%s holds %d rows after the drop, want 1", tables[class], got)
		}
		if _, err := DropDay(ctx, conn, class, gone, at); err != nil {
			t.Errorf("%s: what is gone was dropped again: %v", class, err)
		}
	}
	if again := dropDue(t, ctx, conn, at); len(again) != 0 {
		t.Errorf("a second run dropped %v", again)
	}
	// A late correction comes to a day that is gone: it goes too.
	if err := Insert(ctx, conn, "late", mark(gone, "late")); err != nil {
		t.Fatal(err)
	}
	if again := dropDue(t, ctx, conn, at); len(again) != len(classes) {
		t.Errorf("of rows that came late %d partitions were dropped, want %d", len(again), len(classes))
	}
	// The engine unlinks what no query reads any more in the background.
	began := time.Now()
	for filesHolding(t, data, goneMarker) > 0 {
		if time.Since(began) > 3*time.Minute {
			t.Fatalf("%d files still hold the dropped value", filesHolding(t, data, goneMarker))
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("unlinked %v after the drop", time.Since(began).Round(time.Second))
	if filesHolding(t, data, keptMarker) == 0 {
		t.Error("the value of the day that is alive left the disk")
	}
}

// TestDropFollowsEarlierExpiry checks that rows which an earlier, shorter period
// had expired leave the disk although the period is longer now, and that a class
// without a policy is left alone.
func TestDropFollowsEarlierExpiry(t *testing.T) {
	ctx, conn, _ := newStore(t)
	if err := Insert(ctx, conn, "a", append(oneOfEach(1, today(-8)), oneOfEach(2, today(0))...)); err != nil {
		t.Fatal(err)
	}
	if due := dropDue(t, ctx, conn, today(0).AddDate(20, 0, 0)); len(due) != 0 {
		t.Errorf("without a policy %v were dropped", due)
	}
	if _, err := DropDay(ctx, conn, ClassSession, today(-9), time.Now()); !errors.Is(err, ErrNotDue) {
		t.Errorf("without a policy: %v, want ErrNotDue", err)
	}
	setPolicy(t, ctx, conn, "P2D")
	setPolicy(t, ctx, conn, "P1Y")
	if due := dropDue(t, ctx, conn, time.Now()); len(due) != len(views) {
		t.Errorf("dropped %v, want the old day of each class", due)
	}
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("views show %v, want the young row of each", got)
	}
	if _, err := ExpiredDays(ctx, conn, time.Time{}); err == nil {
		t.Error("a zero now was accepted")
	}
}

// TestARestOfADayGoesWithIt: what of a day that is dropped had time left is
// unreadable from then on, and readers know that it is not merely absent.
func TestARestOfADayGoesWithIt(t *testing.T) {
	ctx, conn, _ := newStore(t)
	// Of a UTC day the hours before and after midnight in Amsterdam expire days
	// apart if the calendar says so; a lengthened policy does the same to any day.
	day := today(-8)
	early, late := day.Add(time.Hour), day.Add(23*time.Hour)
	if err := Insert(ctx, conn, "a", append(oneOfEach(1, early), oneOfEach(2, late)...)); err != nil {
		t.Fatal(err)
	}
	now, err := Now(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	// A period that ended between the two rows of the day, then a long one.
	setPolicy(t, ctx, conn, Period{Seconds: int(now.Sub(day.Add(12*time.Hour)) / time.Second)}.String())
	setPolicy(t, ctx, conn, "P1Y")
	if got := countViews(t, ctx, conn); got != everyView {
		t.Fatalf("views show %v, want the later row of each", got)
	}
	dropDue(t, ctx, conn, now)
	if got := countViews(t, ctx, conn); sum(got[:]) != 0 {
		t.Errorf("views show %v of a day of which a part had expired, want nothing", got)
	}
	limits, at, err := Limits(ctx, conn)
	if err != nil || at.Before(now) {
		t.Fatal(err, at)
	}
	if got := limits[ClassSession].ReadableFrom; !got.Equal(endOfDay(day)) {
		t.Errorf("sessions are readable from %v, want the end of the day that is gone", got)
	}
	// It stays so: late rows of that day are not readable either.
	if err := Insert(ctx, conn, "b", oneOfEach(3, late)); err != nil {
		t.Fatal(err)
	}
	if got := countViews(t, ctx, conn); sum(got[:]) != 0 {
		t.Errorf("views show %v of rows that came late, want nothing", got)
	}
}

func sum(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// shipped are the periods and zones of the two profiles, and UTC.
var shipped = struct{ periods, zones []string }{
	[]string{"P14D", "P6M", "P12M", "P13M", "P15M"}, []string{"Europe/Amsterdam", "Europe/Brussels", "UTC"},
}

// TestADayIsDroppedInTime holds the bound for every day of a leap cycle under
// every shipped period: no value stays longer than 24 hours after its instant,
// and a day is dropped before its last row has expired only where 24 hours would
// not do. Each quarter of an hour is tried at both ends, and seconds in between.
func TestADayIsDroppedInTime(t *testing.T) {
	cut := map[string]int{}
	var most time.Duration
	for _, zone := range shipped.zones {
		for _, text := range shipped.periods {
			policy := Policy{ClassSession, text, zone, "test", "", ""}
			period, location, err := policy.rule()
			if err != nil {
				t.Fatal(err)
			}
			for n := range 366 + 3*365 {
				day := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n)
				at, err := policy.DayExpiresAt(day)
				if err != nil {
					t.Fatal(err)
				}
				early, inside, first := time.Duration(0), time.Duration(0), at.AddDate(1, 0, 0)
				for e := day; !e.After(endOfDay(day)); e = e.Add(stretch) {
					second := time.Duration((n*7919+int(e.Unix()/900)*104729)%900) * time.Second
					for _, ended := range []time.Time{e, e.Add(second), e.Add(stretch - time.Millisecond)} {
						if ended.After(endOfDay(day)) {
							continue
						}
						expires := period.After(ended, location)
						if late := at.Sub(expires); late > DropWithin {
							t.Fatalf("%s in %s: what ended at %v expires at %v and is on disk until %v, %v later", text, zone, ended, expires, at, late)
						} else {
							early = max(early, -late)
							if ended.Before(endOfDay(day)) { // and so not on the next day where the zone is UTC
								inside = max(inside, -late)
							}
						}
						if expires.Before(first) {
							first = expires
						}
					}
				}
				if early > 0 && at.Sub(first) != DropWithin {
					t.Fatalf("%s in %s: %v is dropped %v early, which 24 hours do not need: first %v, dropped %v", text, zone, day, early, first, at)
				}
				if inside > 0 {
					cut[zone]++
				}
				most = max(most, early)
			}
		}
	}
	if cut["UTC"] != 0 || cut["Europe/Amsterdam"] == 0 || cut["Europe/Amsterdam"] > 100 || most > 4*24*time.Hour {
		t.Errorf("days cut short: %v, by at most %v; want none in UTC, few elsewhere, by at most four days", cut, most)
	}
	t.Logf("of %d days each, under %d periods, cut short: %v, by at most %v", 4*365+1, len(shipped.periods), cut, most)
}

// TestAnyDayIsDroppedInTime is the same for any period and zone, by chance.
func TestAnyDayIsDroppedInTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(zoneNames).Draw(t, "zone")
		period, day := drawPeriod(t), drawInstant(t).Truncate(24*time.Hour)
		policy := Policy{ClassSession, period.String(), name, "test", "", ""}
		at, err := policy.DayExpiresAt(day)
		if err != nil {
			t.Fatal(err)
		}
		ended := day.Add(time.Duration(rapid.IntRange(0, 86400).Draw(t, "second")) * time.Second)
		expires, err := policy.ExpiresAt(ended)
		if err != nil {
			t.Fatal(err)
		}
		if late := at.Sub(expires); late > DropWithin {
			t.Fatalf("%v in %s: what ended at %v expires at %v and is on disk until %v, %v later", period, name, ended, expires, at, late)
		}
	})
}
