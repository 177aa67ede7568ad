package schema

import (
	"testing"
	"time"
)

// TestGateCarriesOver upgrades a store whose policy, clock floor and tombstones are
// in tables of their own: what could not be read before cannot be read after.
func TestGateCarriesOver(t *testing.T) {
	const before = 31
	ctx, conn := openUnmigrated(t)
	if err := migrate(ctx, conn, "", allMigrations(t)[:before], nil); err != nil {
		t.Fatal(err)
	}
	floor := today(0).Add(-time.Hour)
	earlier, young, old, erased := today(-9), today(-1).Add(2*time.Hour), today(-20).Add(2*time.Hour), today(-2).Add(2*time.Hour)
	err := conn.Exec(ctx, `INSERT INTO traffic.retention_policy (generation, class, present, period, months, days, seconds, zone, purpose, basis, source, profile, expired_through, written_at)
SELECT 7, c, true, 'P1Y', 12, 0, 0, 'Europe/Amsterdam', 'faults and complaints', '', '', 'nl', fromUnixTimestamp64Milli(?, 'UTC'), now64(3, 'UTC')
FROM (SELECT arrayJoin(['session', 'assignment', 'usage_5m', 'usage_day', 'coverage', 'access_log']) AS c)`, earlier.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(ctx, "INSERT INTO traffic.clock_floor (floor) SELECT fromUnixTimestamp64Milli(?, 'UTC')", floor.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	mustRun(t, ctx, conn, `INSERT INTO traffic.erasure (subject, held_from, held_until)
SELECT sipHash128(toFixedString(unhex('02050000000000000000000000000000'), 16), toIPv6('::')), now64(3) - INTERVAL 30 DAY, now64(3)`)
	for i, end := range []time.Time{young, old} { // to be read, and expired by an earlier policy
		if err := Insert(ctx, conn, string(rune('a'+i)), oneOfEach(byte(1+i), end)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Insert(ctx, conn, "erased", oneOfEach(5, erased)); err != nil {
		t.Fatal(err)
	}
	was := countViews(t, ctx, conn)
	if want := [6]uint64{1, 1, 1, 2, 2, 1}; was != want {
		t.Fatalf("before the upgrade the views show %v, want %v", was, want)
	}
	if err := Migrate(ctx, conn, nil); err != nil {
		t.Fatal(err)
	}
	mustRun(t, ctx, conn, `INSERT INTO traffic.gate SELECT * FROM traffic.gate`) // as after a run that died before its note
	if is := countViews(t, ctx, conn); is != was {
		t.Errorf("after the upgrade the views show %v, before it %v", is, was)
	}
	if got, err := clockFloor(ctx, conn); err != nil || !got.Equal(floor) {
		t.Errorf("the clock floor is %v (%v), want %v", got, err, floor)
	}
	if stones, err := readTombstones(ctx, conn); err != nil || len(stones) != 1 {
		t.Errorf("%d tombstones (%v), want the one", len(stones), err)
	}
	limits, _, err := Limits(ctx, conn)
	if err != nil || !limits[ClassSession].ExpiredThrough.Equal(earlier) || limits[ClassSession].Policy.Period != "P1Y" {
		t.Errorf("the limit of sessions is %+v (%v)", limits[ClassSession], err)
	}
	if n := count(t, ctx, conn, "SELECT count() FROM traffic.gate FINAL"); n != uint64(len(Classes))+2 {
		t.Errorf("the gate has %d rows, want a policy a class, the floor and the tombstone", n)
	}
}
