package schema

import (
	"errors"
	"testing"
	"time"
)

var everyView = [6]uint64{1, 1, 1, 1, 1, 1}

func TestNothingReadableWithoutPolicy(t *testing.T) {
	ctx, conn, _ := newStore(t)
	if err := Insert(ctx, conn, "t", oneOfEach(1, today(0))); err != nil {
		t.Fatal(err)
	}
	if got := countViews(t, ctx, conn); got != [6]uint64{} {
		t.Errorf("without a policy the views show %v", got)
	}
	setPolicy(t, ctx, conn, "P1M")
	if got := countViews(t, ctx, conn); got != everyView {
		t.Errorf("with a policy the views show %v", got)
	}
	// A policy that no longer names a class closes that class, and only that.
	if err := WritePolicy(ctx, conn, ProfileNL, everyClass("P1M")[1:]); err != nil {
		t.Fatal(err)
	}
	if got := countViews(t, ctx, conn); got != [6]uint64{0, 1, 1, 1, 1, 1} {
		t.Errorf("without a session policy the views show %v", got)
	}
	policies, err := ReadPolicy(ctx, conn)
	if err != nil || len(policies) != len(Classes)-1 || policies[0] != everyClass("P1M")[1] {
		t.Errorf("ReadPolicy = %v, %v", policies, err)
	}
}

func TestWritePolicyRefusesWhole(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P1M")
	bad := everyClass("P1D")
	bad[3].Purpose = ""
	if err := WritePolicy(ctx, conn, ProfileNL, bad); !errors.Is(err, ErrPolicy) {
		t.Errorf("a policy without purpose: %v, want ErrPolicy", err)
	}
	twice := append(everyClass("P1D"), everyClass("P2D")[0])
	if err := WritePolicy(ctx, conn, ProfileNL, twice); !errors.Is(err, ErrPolicy) {
		t.Errorf("a class given twice: %v, want ErrPolicy", err)
	}
	policies, err := ReadPolicy(ctx, conn)
	if err != nil || len(policies) != len(Classes) {
		t.Fatalf("ReadPolicy = %v, %v", policies, err)
	}
	for _, p := range policies {
		if p.Period != "P1M" {
			t.Errorf("a refused policy changed class %s to %s", p.Class, p.Period)
		}
	}
}

// TestExpiryAtTheInstant moves the clock floor over the instant that After names.
func TestExpiryAtTheInstant(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P1M2DT3H")
	period, _ := ParsePeriod("P1M2DT3H")
	ended := today(-1).Add(8 * time.Hour)
	if err := Insert(ctx, conn, "t", oneOfEach(1, ended)); err != nil {
		t.Fatal(err)
	}
	expiry := period.After(ended, amsterdam)
	for _, c := range []struct {
		name  string
		floor time.Time
		want  [6]uint64
	}{
		{"a millisecond before", expiry.Add(-time.Millisecond), everyView},
		{"at the instant", expiry, [6]uint64{}},
		{"after the clock was set back", expiry.Add(-time.Hour), [6]uint64{}},
	} {
		if err := RaiseClockFloor(ctx, conn, c.floor); err != nil {
			t.Fatal(err)
		}
		if got := countViews(t, ctx, conn); got != c.want {
			t.Errorf("%s: views show %v, want %v", c.name, got, c.want)
		}
	}
	if now, err := Now(ctx, conn); err != nil || !now.Equal(expiry) {
		t.Errorf("Now = %v, %v, want the floor %v", now, err, expiry)
	}
	if err := RaiseClockFloor(ctx, conn, time.Time{}); err == nil {
		t.Error("a zero floor was accepted")
	}
}

// TestExpiryByTheClock lets real time pass.
func TestExpiryByTheClock(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "PT3S")
	ended := time.Now().UTC()
	if err := Insert(ctx, conn, "t", []Record{testSession(1, ended, ended)}); err != nil {
		t.Fatal(err)
	}
	visible := func() bool { return count(t, ctx, conn, "SELECT count() FROM traffic.session") == 1 }
	if !visible() && time.Since(ended) < 3*time.Second {
		t.Error("the row is not readable within its period")
	}
	time.Sleep(time.Until(ended.Add(3*time.Second + time.Millisecond)))
	if visible() {
		t.Error("the row is readable after its period")
	}
}

func TestPolicyChangeAppliesAtOnce(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P10D")
	old, young := today(-5).Add(time.Hour), today(-1).Add(time.Hour)
	if err := Insert(ctx, conn, "t", append(oneOfEach(1, old), oneOfEach(2, young)...)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		period string
		want   uint64
		why    string
	}{
		{"P10D", 2, "both are within ten days"},
		{"P3D", 1, "shortening applies to the next query"},
		{"P10D", 1, "what had expired stays expired when the period grows again"},
		{"P1Y", 1, "and again"},
	} {
		setPolicy(t, ctx, conn, c.period)
		if got := countViews(t, ctx, conn); got != [6]uint64{c.want, c.want, c.want, c.want, c.want, c.want} {
			t.Errorf("%s: views show %v, want %d each: %s", c.period, got, c.want, c.why)
		}
	}
}

// TestLatestVersionDecides puts versions of one slice on both sides of its
// expiry: only the end of the latest counts, merged or not.
func TestLatestVersionDecides(t *testing.T) {
	ctx, conn, _ := newStore(t)
	setPolicy(t, ctx, conn, "P3D")
	now, err := Now(ctx, conn)
	if err != nil {
		t.Fatal(err)
	}
	edge := now.AddDate(0, 0, -3) // what ended before it has expired, give or take a summer hour
	day := edge.Truncate(24 * time.Hour)
	floor := day.Add(12*time.Hour).AddDate(0, 0, 3)
	if floor.Before(now) { // judge at noon, so that both sides of the edge lie in one day
		day, floor = day.AddDate(0, 0, 1), floor.AddDate(0, 0, 1)
	}
	if err := RaiseClockFloor(ctx, conn, floor); err != nil {
		t.Fatal(err)
	}
	expired, alive := day.Add(3*time.Hour), day.Add(20*time.Hour)
	version := func(n byte, version uint64, end time.Time) []Record {
		s, a := testSession(n, day, end), testAssignment(n, day, end)
		s.Version, a.Version = version, version
		c := testCoverage(n, day, end)
		c.Version = version
		return []Record{s, a, c}
	}
	for i, records := range [][]Record{
		version(1, 1, expired), version(1, 2, alive), // grew: readable
		version(2, 1, alive), version(2, 2, expired), // corrected: gone
		version(3, 2, expired), version(3, 1, alive), // the same, out of order
	} {
		if err := Insert(ctx, conn, string(rune('a'+i)), records); err != nil {
			t.Fatal(err)
		}
	}
	for _, stage := range []string{"unmerged", "merged"} {
		for _, view := range []string{"session", "assignment", "coverage"} {
			if got := count(t, ctx, conn, "SELECT count() FROM traffic."+view); got != 1 {
				t.Errorf("%s %s: %d rows, want 1", stage, view, got)
			}
			// A reader's own condition must not reach an old version either.
			if got := count(t, ctx, conn, "SELECT count() FROM traffic."+view+" WHERE ended_at < ?", alive); got != 0 {
				t.Errorf("%s %s: an old version is visible", stage, view)
			}
			if err := conn.Exec(ctx, "OPTIMIZE TABLE traffic."+view+"_slice FINAL"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestPolicyWrittenAgain checks that a restart, which writes the same policy,
// changes nothing, and that a new purpose does not touch what is readable.
func TestPolicyWrittenAgain(t *testing.T) {
	ctx, conn, _ := newStore(t)
	policies := everyClass("P1M")
	for range 3 {
		if err := WritePolicy(ctx, conn, ProfileNL, policies); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, ctx, conn, "SELECT max(generation) FROM traffic.gate"); got != 1 {
		t.Errorf("the same policy made generation %d", got)
	}
	policies[0].Purpose = "billing"
	if err := WritePolicy(ctx, conn, ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
	if got := count(t, ctx, conn, "SELECT max(generation) FROM traffic.gate"); got != 2 {
		t.Errorf("a new purpose is in generation %d, want 2", got)
	}
	if got := count(t, ctx, conn, "SELECT count() FROM traffic.gate WHERE expired_through > toDateTime64(0, 3)"); got != 0 {
		t.Errorf("%d rows hold something expired although no period changed", got)
	}
	if stored, err := ReadPolicy(ctx, conn); err != nil || stored[0] != policies[0] {
		t.Errorf("ReadPolicy = %v, %v", stored, err)
	}
}
