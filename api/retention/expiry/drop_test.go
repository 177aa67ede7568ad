package expiry

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/clock"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/schema"
)

func TestADropIsBetweenTwoEntries(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	old := day(-40)
	h.put(t, used(1, old), used(2, old.Add(time.Hour)), used(3, old.AddDate(0, 0, 1)), used(4, day(0)), covered(1, old))
	listed, err := schema.Partitions(t.Context(), h.conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.dropper().Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := h.kinds(t), []string{KindDropIntended, KindDropped, KindDropIntended, KindDropped, KindDropIntended, KindDropped}; !reflect.DeepEqual(got, want) {
		t.Fatalf("ledger has %v, want %v", got, want)
	}
	entries := h.entries(t)
	first, before := facts[Certificate](t, entries[1]), facts[intent](t, entries[0])
	want := Certificate{Intent: 0, Class: schema.ClassUsage5m, From: old, Until: old.AddDate(0, 0, 1), Outcome: OutcomeDropped,
		Rows: 2, Bytes: first.Bytes, PartsBefore: listed[0].PartsSHA256, PartsAfter: emptyList, PolicyGeneration: 7, PolicySHA256: "5ac1f1e5"}
	if first != want || first.Bytes == 0 || listed[0].Class != schema.ClassUsage5m {
		t.Errorf("certificate %+v, want %+v", first, want)
	}
	if before.Rows != 2 || before.Parts != want.PartsBefore || !before.ExpiredAt.Equal(listed[0].DropAt) {
		t.Errorf("intent %+v, want what was listed: %+v", before, listed[0])
	}
	if n := h.count(t, "traffic.usage_bucket"); n != 1 {
		t.Errorf("%d rows are on disk, want one", n)
	}
	// Nothing is left to do, until a late correction comes.
	if err := h.dropper().Once(t.Context()); err != nil || h.book.Size() != 6 {
		t.Errorf("again: %v, %d entries; want no more", err, h.book.Size())
	}
	h.put(t, used(9, old))
	if err := h.dropper().Once(t.Context()); err != nil || h.book.Size() != 8 || h.count(t, "traffic.usage_bucket") != 1 {
		t.Errorf("late rows: %v, %d entries, %d rows on disk; want them dropped too", err, h.book.Size(), h.count(t, "traffic.usage_bucket"))
	}
	// The record knows them after a restart too, newest first.
	h.book.Close()
	h.open(t)
	if got := h.record.Certificates(schema.ClassUsage5m, 2); len(got) != 2 || got[0].Index != 7 || got[0].Rows != 1 || got[1].Index != 3 || got[0].At.IsZero() {
		t.Errorf("certificates %+v, want the newest two of usage_5m", got)
	}
	if got := h.record.Certificates("", 100); len(got) != 4 {
		t.Errorf("%d certificates, want 4", len(got))
	}
}

const emptyList = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// TestTheClockFloorHolds: what the ledger knows to have passed has passed for the
// views and for drops, whatever the clock says.
func TestTheClockFloorHolds(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.put(t, used(1, time.Now().UTC().Truncate(schema.BucketLength).Add(-2*time.Hour))) // a fortnight may be an hour longer
	if n := h.count(t, "traffic.usage"); n != 1 {
		t.Fatalf("%d rows are readable, want one", n)
	}
	d := h.dropper()
	d.LastAt = func() time.Time { return time.Now().AddDate(0, 0, 14) }
	if err := d.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := h.count(t, "traffic.usage"); n != 0 {
		t.Errorf("%d rows are readable under a floor of a fortnight on, want none", n)
	}
	// The clock falls back by two months: nothing comes back, and what had to go goes.
	d.LastAt = func() time.Time { return time.Now().AddDate(0, 0, 16) }
	d.Now = func() time.Time { return time.Now().AddDate(0, -2, 0) }
	if err := d.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if readable, stored := h.count(t, "traffic.usage"), h.count(t, "traffic.usage_bucket"); readable != 0 || stored != 0 {
		t.Errorf("%d rows are readable and %d stored under a clock set back, want none", readable, stored)
	}
	floor, err := schema.Now(t.Context(), h.conn)
	if err != nil || floor.Before(time.Now().AddDate(0, 0, 15)) {
		t.Errorf("the store judges by %v, %v; want the floor", floor, err)
	}
}

// TestALeapOfTheClockDropsNothing: a clock that nothing keeps and that stands a
// year ahead takes nothing off the disk, raises no floor that would outlive it, and
// is forgotten once it is set right, whatever the ledger was stamped with meanwhile.
func TestALeapOfTheClockDropsNothing(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.put(t, used(1, time.Now().UTC().Truncate(schema.BucketLength).Add(-time.Hour)), used(2, day(-40)))
	d := h.dropper()
	d.Clock = clock.NewLeap(time.Now(), func() (clock.Reading, error) { return clock.Reading{}, nil })
	leapt := func() time.Time { return time.Now().AddDate(1, 0, 0) }
	for _, c := range []struct {
		name        string
		now, lastAt func() time.Time
	}{
		{"the clock", leapt, h.book.LastAt},
		{"the clock, and an entry stamped by it", leapt, leapt},
		{"an entry that it stamped before it was set right", time.Now, leapt},
	} {
		d.Now, d.LastAt = c.now, c.lastAt
		if err := d.Once(t.Context()); reason.Of(err) != reason.ClockUntrusted {
			t.Errorf("%s: %v, want a refusal", c.name, err)
		}
		if readable, stored := h.count(t, "traffic.usage"), h.count(t, "traffic.usage_bucket"); readable != 1 || stored != 2 || h.book.Size() != 0 {
			t.Errorf("%s: %d rows are readable, %d stored, %d entries; want nothing changed", c.name, readable, stored, h.book.Size())
		}
	}
	d.Now, d.LastAt = time.Now, h.book.LastAt
	if err := d.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if readable, stored := h.count(t, "traffic.usage"), h.count(t, "traffic.usage_bucket"); readable != 1 || stored != 1 {
		t.Errorf("set right: %d rows are readable and %d stored, want the one that has not expired", readable, stored)
	}
}

// TestACrashLeavesNoDropWithoutCertificate stops griffierd at each point of a drop.
func TestACrashLeavesNoDropWithoutCertificate(t *testing.T) {
	old := day(-40)
	begin := func(t *testing.T) (*house, intent) {
		h := newHouse(t)
		h.policy(t, "P14D")
		h.put(t, used(1, old), used(2, old))
		due, err := schema.ExpiredDays(t.Context(), h.conn, time.Now())
		if err != nil || len(due) != 1 {
			t.Fatalf("due %v, %v", due, err)
		}
		i := intent{Class: due[0].Class, From: due[0].Day, Until: due[0].Day.AddDate(0, 0, 1), Rows: due[0].Rows, Bytes: due[0].DiskBytes, Parts: due[0].PartsSHA256}
		if _, err := h.book.Append(t.Context(), ledger.Draft{Kind: KindDropIntended, Role: "system", Facts: i}); err != nil {
			t.Fatal(err)
		}
		return h, i
	}
	restart := func(t *testing.T, h *house) {
		h.book.Close()
		h.open(t)
		if n := len(h.record.waiting()); n != 1 {
			t.Fatalf("%d drops wait after the restart, want one", n)
		}
		if err := h.dropper().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := len(h.record.waiting()); n != 0 {
			t.Errorf("%d drops wait after the first look, want none", n)
		}
		if n := h.count(t, "traffic.usage_bucket"); n != 0 {
			t.Errorf("%d rows are on disk, want none", n)
		}
	}
	outcomes := func(t *testing.T, h *house) (out []Outcome) {
		for _, c := range h.record.Certificates("", 10) {
			out = append(out, c.Outcome)
		}
		return out
	}
	t.Run("before the drop", func(t *testing.T) {
		h, _ := begin(t)
		restart(t, h)
		if c := h.record.Certificates("", 10); len(c) != 1 || c[0].Outcome != OutcomeDropped || c[0].Rows != 2 || c[0].PartsAfter != emptyList {
			t.Errorf("certificates %+v, want one of two rows", c)
		}
	})
	t.Run("after the drop", func(t *testing.T) {
		h, i := begin(t)
		if _, err := schema.DropDay(t.Context(), h.conn, i.Class, i.From, time.Now()); err != nil {
			t.Fatal(err)
		}
		restart(t, h)
		if c := h.record.Certificates("", 10); len(c) != 1 || c[0].Outcome != OutcomeDropped || c[0].Rows != 2 {
			t.Errorf("certificates %+v, want one of two rows", c)
		}
	})
	t.Run("and other rows came", func(t *testing.T) {
		h, i := begin(t)
		if _, err := schema.DropDay(t.Context(), h.conn, i.Class, i.From, time.Now()); err != nil {
			t.Fatal(err)
		}
		h.put(t, used(3, old))
		restart(t, h)
		if got := outcomes(t, h); !reflect.DeepEqual(got, []Outcome{OutcomeDropped, OutcomeChanged}) {
			t.Errorf("outcomes, newest first: %v; want a drop of its own for what came", got)
		}
	})
	t.Run("and the policy has it stay", func(t *testing.T) {
		h, i := begin(t)
		// Not by lengthening, which expires what had expired for good, but by a
		// class that has left the policy.
		if err := schema.WritePolicy(t.Context(), h.conn, schema.ProfileNL, nil); err != nil {
			t.Fatal(err)
		}
		if err := h.dropper().Once(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := h.record.Certificates("", 10)
		if len(c) != 1 || c[0].Outcome != OutcomeKept || c[0].PartsAfter != i.Parts || c[0].RowsAfter != 2 || h.count(t, "traffic.usage_bucket") != 2 {
			t.Errorf("certificates %+v, want one that says that the day stays", c)
		}
	})
}

// stuckConn is a store that cannot drop a table's partitions.
type stuckConn struct {
	driver.Conn
	table string
}

func (c stuckConn) Exec(ctx context.Context, statement string, args ...any) error {
	if strings.Contains(statement, c.table) && strings.Contains(statement, "DROP PARTITION") {
		return errors.New("a replica is away")
	}
	return c.Conn.Exec(ctx, statement, args...)
}

// TestADayThatStaysKeepsNoOther: what cannot be dropped, now or for days, stays alone,
// with one intent however often it is tried, and goes when it can.
func TestADayThatStaysKeepsNoOther(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.put(t, used(1, day(-40)), used(2, day(-39)), covered(1, day(-40)))
	d := h.dropper()
	d.Conn = stuckConn{h.conn, "usage_bucket"}
	for range 2 {
		if err := d.Once(t.Context()); err == nil || strings.Count(err.Error(), "a replica is away") != 2 {
			t.Errorf("err = %v, want both days' error", err)
		}
		h.put(t, covered(1, day(-39)))
	}
	if usage, coverage := h.count(t, "traffic.usage_bucket"), h.count(t, "traffic.coverage_slice"); usage != 2 || coverage != 1 {
		t.Errorf("%d rows of usage and %d of coverage are on disk, want the two that stay and the one that came last", usage, coverage)
	}
	if n := len(h.record.waiting()); n != 2 {
		t.Errorf("%d drops wait for their certificate, want one a day", n)
	}
	d.Conn = h.conn
	if err := d.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.record.Certificates("", 10); len(got) != 5 || len(h.record.waiting()) != 0 || h.count(t, "traffic.usage_bucket") != 0 {
		t.Errorf("in the end %d certificates and %d drops without, want five and none", len(got), len(h.record.waiting()))
	}
}

// TestWithoutALedgerNothingIsDropped: no entry, no drop.
func TestWithoutALedgerNothingIsDropped(t *testing.T) {
	h := newHouse(t)
	h.policy(t, "P14D")
	h.put(t, used(1, day(-40)))
	h.book.Close()
	if err := h.dropper().Once(t.Context()); err == nil || h.count(t, "traffic.usage_bucket") != 1 {
		t.Errorf("err = %v, %d rows on disk; want an error and the row", err, h.count(t, "traffic.usage_bucket"))
	}
	h.open(t)
	if err := h.dropper().Once(t.Context()); err != nil || h.count(t, "traffic.usage_bucket") != 0 {
		t.Errorf("later: %v, %d rows on disk; want it dropped", err, h.count(t, "traffic.usage_bucket"))
	}
}

// TestApplyOfADamagedEntry stops the ledger rather than guess.
func TestApplyOfADamagedEntry(t *testing.T) {
	for _, kind := range []string{KindDropIntended, KindDropped, KindProved} {
		if err := (&Record{}).Apply(ledger.Entry{Header: ledger.Header{Kind: kind, Facts: json.RawMessage(`{"class":5,"verdict":5}`)}}); err == nil {
			t.Errorf("%s was applied", kind)
		}
	}
	if err := (&Record{}).Apply(ledger.Entry{Header: ledger.Header{Kind: "other", Facts: json.RawMessage(`5`)}}); err != nil {
		t.Errorf("another kind: %v", err)
	}
}
