package schema

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestUsageDayVersions: the newest version counts, whatever the order, and a part
// that was withdrawn is not there.
func TestUsageDayVersions(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P15M")
	at := func(n byte, version uint64, bytes uint64, withdrawn bool) Record {
		r := testUsageDay(n, today(-2))
		r.Version, r.Bytes, r.Withdrawn = version, bytes, withdrawn
		return r
	}
	for i, records := range [][]Record{
		{at(1, 2, 20, false), at(2, 1, 5, false)}, {at(1, 1, 10, false), at(2, 2, 0, true), at(3, 2, 7, false)}, {at(3, 1, 0, true)},
	} {
		if err := Insert(ctx, conn, string(rune('a'+i)), records); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := count(t, ctx, conn, "SELECT sum(bytes) FROM traffic.usage_day"); got != 27 {
			t.Errorf("%d bytes, want 27", got)
		}
		if err := conn.Exec(ctx, "OPTIMIZE TABLE traffic.usage_day_part FINAL"); err != nil {
			t.Fatal(err)
		}
	}
	var zone, direction, source string
	var day, start, end time.Time
	err := conn.QueryRow(ctx, "SELECT toString(zone), day, started_at, ended_at, toString(direction), toString(source) FROM traffic.usage_day WHERE access_ref = unhex(?)",
		AccessRef{2, 1}.String()).Scan(&zone, &day, &start, &end, &direction, &source)
	if want := testUsageDay(1, today(-2)); err != nil || zone != want.Zone || !day.Equal(want.Day) || !start.Equal(want.StartedAt) ||
		!end.Equal(want.EndedAt) || direction != "down" || source != "kernel" {
		t.Errorf("read back %v %v %v %v %v %v, %v", zone, day, start, end, direction, source, err)
	}
}

func TestUsageDayRefuses(t *testing.T) {
	for want, change := range map[string]func(*UsageDay){
		"multiple of the bucket": func(r *UsageDay) { r.EndedAt = r.EndedAt.Add(time.Second) },
		"not after started_at":   func(r *UsageDay) { r.EndedAt = r.StartedAt },
		"longer than a day":      func(r *UsageDay) { r.StartedAt = r.EndedAt.Add(-27 * time.Hour) },
		"source":                 func(r *UsageDay) { r.Source = "" },
		"ip_version":             func(r *UsageDay) { r.IPVersion = 0 },
		"zone is empty":          func(r *UsageDay) { r.Zone = "" },
		"collector_id":           func(r *UsageDay) { r.CollectorID = "" },
		"direction":              func(r *UsageDay) { r.Direction = "" },
		"access_ref":             func(r *UsageDay) { r.AccessRef = AccessRef{} },
		"day":                    func(r *UsageDay) { r.Day = time.Time{} },
	} {
		r := testUsageDay(1, today(0))
		change(r)
		if err := Validate(r); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if err := Validate(testUsageDay(1, today(0))); err != nil {
		t.Error(err)
	}
}

func TestUsageDayMarks(t *testing.T) {
	ctx, conn, _ := newStore(t)
	mark := func(n int, through time.Time) UsageDayMark {
		return UsageDayMark{today(n), through, int64(10 - n), uint64(n + 100), uint64(1000 + n)}
	}
	if err := WriteUsageDayMarks(ctx, conn, 5, []UsageDayMark{mark(-3, today(-1)), mark(-2, today(-1)), mark(-1, today(-1))}); err != nil {
		t.Fatal(err)
	}
	if err := WriteUsageDayMarks(ctx, conn, 6, []UsageDayMark{mark(-2, today(0))}); err != nil {
		t.Fatal(err)
	}
	got, err := ReadUsageDayMarks(ctx, conn, today(-3).Add(time.Hour), today(-1))
	if err != nil || len(got) != 2 || got[0] != mark(-3, today(-1)) || got[1] != mark(-2, today(0)) {
		t.Errorf("marks %+v, %v", got, err)
	}
}

// TestUsageBlocks: what is stored raises a day's block and nothing else does; a
// row is counted once however often it came.
func TestUsageBlocks(t *testing.T) {
	ctx, conn, _ := newStore(t)
	day := today(-3)
	put := func(token string, at time.Time) map[time.Time]int64 {
		t.Helper()
		if err := Insert(ctx, conn, token, []Record{testUsage(1, at)}); err != nil {
			t.Fatal(err)
		}
		blocks, err := UsageBlocks(ctx, conn)
		if err != nil {
			t.Fatal(err)
		}
		return blocks
	}
	first := put("a", day)
	if same := put("a", day); same[day] != first[day] || len(same) != 1 {
		t.Errorf("a recognised replay: %v, before %v", same, first)
	}
	other := put("b", day.AddDate(0, 0, 1))
	if other[day] != first[day] || len(other) != 2 {
		t.Errorf("another day: %v, before %v", other, first)
	}
	more := put("c", day)
	if more[day] <= first[day] || more[day.AddDate(0, 0, 1)] != other[day.AddDate(0, 0, 1)] {
		t.Errorf("more: %v, before %v", more, other)
	}
	if err := conn.Exec(ctx, "OPTIMIZE TABLE traffic.usage_bucket FINAL"); err != nil {
		t.Fatal(err)
	}
	if merged, err := UsageBlocks(ctx, conn); err != nil || merged[day] != more[day] {
		t.Errorf("merged: %v, %v; before %v", merged, err, more)
	}
	if n, err := UsageRows(ctx, conn, today(-9), today(0)); err != nil || len(n) != 2 || n[day] != 1 {
		t.Errorf("rows %v, %v; want one on each day, though one was stored twice", n, err)
	}
}

func TestReadableSince(t *testing.T) {
	ctx, conn, _ := newStore(t)
	if _, ok, err := ReadableSince(ctx, conn, ClassUsage5m); ok || err != nil {
		t.Errorf("without a policy: %v, %v", ok, err)
	}
	setPolicy(t, ctx, conn, "P3D")
	since, ok, err := ReadableSince(ctx, conn, ClassUsage5m)
	if d := time.Since(since); !ok || err != nil || d < 71*time.Hour || d > 74*time.Hour {
		t.Errorf("three days: %v, %v, %v", since, ok, err)
	}
	setPolicy(t, ctx, conn, "P9D") // what had expired stays so
	if longer, _, err := ReadableSince(ctx, conn, ClassUsage5m); err != nil || longer.Before(since.Add(-time.Hour)) {
		t.Errorf("after lengthening: %v, %v; want no earlier than %v", longer, err, since)
	}
	if err := RaiseClockFloor(ctx, conn, time.Now().AddDate(0, 0, 30)); err != nil {
		t.Fatal(err)
	}
	if floor, _, err := ReadableSince(ctx, conn, ClassUsage5m); err != nil || floor.Before(today(20)) {
		t.Errorf("under a floor in a month: %v, %v", floor, err)
	}
}
