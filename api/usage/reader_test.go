package usage

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"griffier/api/register"
	"griffier/schema"
	"griffier/schema/schematest"
)

// store is a migrated store with a policy of six months for every class.
func store(t *testing.T) (context.Context, driver.Conn) {
	t.Helper()
	return storeFor(t, "P6M")
}

func storeFor(t *testing.T, period string) (context.Context, driver.Conn) {
	t.Helper()
	database := schematest.Spared(t)
	ctx := t.Context()
	conn, err := schema.Open(ctx, schema.Config{Socket: database.Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	setPolicy(t, conn, period)
	return ctx, conn
}

func setPolicy(t *testing.T, conn driver.Conn, period string) {
	t.Helper()
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: period, Zone: "Europe/Amsterdam", Purpose: "faults", Basis: "b", Source: "s"})
	}
	if err := schema.WritePolicy(t.Context(), conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
}

// today is the same when midnight passes.
var today = time.Now().UTC().Truncate(24 * time.Hour)

// day returns UTC midnight some days from today.
func day(n int) time.Time { return today.AddDate(0, 0, n) }

func always(ref byte) register.Held {
	return register.Held{LineID: "L-1", Ref: schema.AccessRef{ref}, ValidFrom: day(-1000), ValidTo: schema.Forever}
}

func put(t *testing.T, conn driver.Conn, records ...schema.Record) {
	t.Helper()
	if err := schema.Insert(t.Context(), conn, t.Name()+time.Now().String(), records); err != nil {
		t.Fatal(err)
	}
}

func used(ref byte, bucket time.Time, direction schema.Direction, version uint8, bytes uint64) *schema.Usage {
	return &schema.Usage{AccessRef: schema.AccessRef{ref}, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength),
		SampledAt: bucket.Add(time.Minute), Direction: direction, IPVersion: version, Bytes: bytes, Packets: 1,
		CumulativeBytes: bytes, CumulativePackets: 1, CounterID: schema.ID{9, ref}, CollectorID: "c1"}
}

// cut cuts one session [start, end) at UTC midnights, as collectors do.
func cut(ref, id byte, start, end time.Time, open bool) []schema.Record {
	var out []schema.Record
	for at := start; at.Before(end); {
		next := at.Truncate(24 * time.Hour).Add(24 * time.Hour)
		last := !next.Before(end)
		if last {
			next = end
		}
		cause := schema.EndCut
		if last {
			cause = schema.EndRelease
			if open {
				cause = schema.EndNone
			}
		}
		out = append(out, &schema.Session{SessionID: schema.ID{1, id}, AccessRef: schema.AccessRef{ref}, SessionStartedAt: start, StartedAt: at,
			EndedAt: next, Open: last && open, Version: 1, EndCause: cause, Source: schema.SourceRADIUS,
			Certainty: schema.CertaintyObserved, NAS: "nas", NASPort: "1", CollectorID: "c1"})
		for i, prefix := range []string{"192.0.2.1/32", "2001:db8:1::/56"} {
			out = append(out, &schema.Assignment{AssignmentID: schema.ID{2, id, byte(i)}, SessionID: schema.ID{1, id}, AccessRef: schema.AccessRef{ref},
				Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535, AssignmentStartedAt: start, StartedAt: at, EndedAt: next,
				Open: last && open, Version: 1, EndCause: cause, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"})
		}
		at = next
	}
	return out
}

func covered(id byte, collector string, start, end time.Time) *schema.Coverage {
	return &schema.Coverage{CoverageID: schema.ID{3, id}, CollectorID: collector, State: schema.Covered, StartedAt: start, EndedAt: end,
		Version: 1, BootID: "b", ClockSynced: true}
}

func TestBuckets(t *testing.T) {
	ctx, conn := store(t)
	r := NewReader(conn)
	at := day(-2).Add(10 * time.Hour)
	next := at.Add(schema.BucketLength)
	put(t, conn, used(1, at, schema.Up, 4, 10), used(1, at, schema.Down, 4, 100), used(1, at, schema.Up, 6, 7),
		used(1, next, schema.Up, 4, 20), used(2, at, schema.Up, 4, 1000), used(2, next, schema.Up, 4, 2000), used(3, at, schema.Up, 4, 1<<40))
	total := func(refs []register.Held, w Window) (v Volume) {
		t.Helper()
		buckets, err := r.Buckets(ctx, refs, w)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range buckets {
			v = v.Add(b.Volume)
		}
		return v
	}
	all := Window{at, next.Add(schema.BucketLength)}
	if got := total([]register.Held{always(1)}, all); got != (Volume{37, 100, 3, 1}) {
		t.Errorf("one ref: %+v, want 37 up, 100 down", got)
	}
	if got := total([]register.Held{always(1)}, Window{at, next}); got.BytesUp != 17 {
		t.Errorf("first bucket: %+v, want 17 up: the end is exclusive", got)
	}
	if got := total(nil, all); got != (Volume{}) {
		t.Errorf("no refs: %+v, want nothing", got)
	}
	// The modem was changed between the buckets: ref 1 until then, ref 2 after.
	until, from := always(1), always(2)
	until.ValidTo, from.ValidFrom = next, next
	if got := total([]register.Held{until, from}, all); got.BytesUp != 17+2000 {
		t.Errorf("changed modem: %+v, want 2017 up", got)
	}
	// The same ref, registered twice with overlapping validity, counts once.
	again := always(1)
	again.ValidFrom = day(-500)
	if got := total([]register.Held{always(1), again}, all); got.BytesUp != 37 {
		t.Errorf("ref registered twice: %+v, want 37 up", got)
	}
	buckets, err := r.Buckets(ctx, []register.Held{always(1)}, all)
	if err != nil || len(buckets) != 3 || buckets[0].IPVersion != 4 || buckets[1].IPVersion != 6 || !buckets[2].StartedAt.Equal(next) {
		t.Errorf("buckets = %+v, %v; want v4, v6 and the next", buckets, err)
	}
	// Expiry applies to the next query.
	setPolicy(t, conn, "P1D")
	if got := total([]register.Held{always(1)}, all); got != (Volume{}) {
		t.Errorf("expired: %+v, want nothing", got)
	}
}

func TestSessionsAcrossDays(t *testing.T) {
	ctx, conn := store(t)
	r := NewReader(conn)
	start, end := day(-4).Add(20*time.Hour), day(-2).Add(3*time.Hour)
	put(t, conn, cut(1, 1, start, end, false)...)
	living := day(-1).Add(time.Hour)
	put(t, conn, cut(1, 2, living, living.Add(2*time.Hour), true)...)
	list := func(w Window, limit int, refs ...register.Held) ([]Session, bool) {
		t.Helper()
		got, truncated, err := r.Sessions(ctx, refs, w, limit)
		if err != nil {
			t.Fatal(err)
		}
		return got, truncated
	}
	// Whichever of its days is asked about, the session is one, and whole.
	for name, w := range map[string]Window{
		"all of it":   {day(-4), day(-1)},
		"first day":   {day(-4), day(-3)},
		"middle hour": {day(-3).Add(time.Hour), day(-3).Add(2 * time.Hour)},
		"last day":    {day(-2), day(-1)},
	} {
		got, _ := list(w, 10, always(1))
		if len(got) != 1 {
			t.Errorf("%s: %d sessions, want one", name, len(got))
			continue
		}
		s := got[0]
		if !s.StartedAt.Equal(start) || !s.LastSeenAt.Equal(end) || s.Open || s.EndCause != string(schema.EndRelease) {
			t.Errorf("%s: %+v, want %v to %v, released", name, s, start, end)
		}
		if len(s.Addresses) != 2 || s.Addresses[0].Prefix != "192.0.2.1/32" || s.Addresses[1].Prefix != "2001:db8:1::/56" {
			t.Errorf("%s: addresses %+v, want the IPv4 address and the IPv6 prefix", name, s.Addresses)
			continue
		}
		if a := s.Addresses[0]; !a.StartedAt.Equal(start) || !a.EndedAt.Equal(end) || a.Open {
			t.Errorf("%s: address held %v to %v, want as long as the session", name, a.StartedAt, a.EndedAt)
		}
	}
	if got, _ := list(Window{end, day(-1)}, 10, always(1)); len(got) != 0 {
		t.Errorf("from its end on: %+v, want none: ends are exclusive", got)
	}
	got, truncated := list(Window{day(-4), day(0)}, 10, always(1))
	if len(got) != 2 || truncated || !got[0].StartedAt.Equal(living) || !got[0].Open || got[0].EndCause != "" {
		t.Errorf("both: %+v, %v; want the living one first", got, truncated)
	}
	if p := got[0].Proto(); p.GetEndedAt() != nil || p.GetAddresses()[0].GetEndedAt() != nil {
		t.Errorf("the living one is shown with an end: %v", p)
	}
	got, truncated = list(Window{day(-4), day(0)}, 1, always(1))
	if len(got) != 1 || !truncated || !got[0].StartedAt.Equal(living) {
		t.Errorf("limit 1: %+v, %v; want the newest, truncated", got, truncated)
	}
}

// TestSessionsOfAnotherHolder: what a ref did before or after it was the line's
// is not the line's to see.
func TestSessionsOfAnotherHolder(t *testing.T) {
	ctx, conn := store(t)
	start, end := day(-4).Add(20*time.Hour), day(-2).Add(3*time.Hour)
	put(t, conn, cut(1, 1, start, end, false)...)
	held := always(1)
	held.ValidFrom, held.ValidTo = day(-3).Add(time.Hour), day(-3).Add(2*time.Hour)
	got, _, err := NewReader(conn).Sessions(ctx, []register.Held{held}, Window{day(-5), day(0)}, 10)
	if err != nil || len(got) != 1 {
		t.Fatalf("sessions = %+v, %v; want one", got, err)
	}
	if s := got[0]; !s.StartedAt.Equal(held.ValidFrom) || !s.LastSeenAt.Equal(held.ValidTo) || s.EndCause != "" {
		t.Errorf("session %+v, want it cut to the time it was the line's", s)
	}
	for _, a := range got[0].Addresses {
		if !a.StartedAt.Equal(held.ValidFrom) || !a.EndedAt.Equal(held.ValidTo) {
			t.Errorf("address %+v, want it cut too", a)
		}
	}
	held.ValidFrom, held.ValidTo = day(-2).Add(4*time.Hour), schema.Forever
	if got, _, err := NewReader(conn).Sessions(ctx, []register.Held{held}, Window{day(-5), day(0)}, 10); err != nil || len(got) != 0 {
		t.Errorf("sessions after it = %+v, %v; want none", got, err)
	}
}

func TestGapsOf(t *testing.T) {
	ctx, conn := store(t)
	r := NewReader(conn)
	d := day(-2)
	gaps := func(what string, refs []register.Held, w Window, want ...Window) {
		t.Helper()
		got, err := r.GapsOf(ctx, refs, w)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Errorf("%s: gaps %v, want %v", what, got, want)
			return
		}
		for i := range got {
			if !got[i].Start.Equal(want[i].Start) || !got[i].End.Equal(want[i].End) {
				t.Errorf("%s: gaps %v, want %v", what, got, want)
			}
		}
	}
	hour := func(n int) time.Time { return d.Add(time.Duration(n) * time.Hour) }
	// Where nothing was ever collected, all of the past is a gap.
	gaps("nothing collected", []register.Held{always(1)}, Window{hour(0), hour(10)}, Window{hour(0), hour(10)})

	put(t, conn, cut(1, 1, hour(1), hour(3), false)...)
	put(t, conn, covered(1, "c1", hour(0), hour(4)), covered(2, "c1", hour(5), hour(8)), covered(3, "c2", hour(0), hour(24)))
	gaps("between", []register.Held{always(1)}, Window{hour(0), hour(8)}, Window{hour(4), hour(5)})
	gaps("another collector does not count", []register.Held{always(1)}, Window{hour(0), hour(10)}, Window{hour(4), hour(5)}, Window{hour(8), hour(10)})
	gaps("all collectors, of a line without sessions", []register.Held{always(7)}, Window{hour(0), hour(24)})

	// The future is no gap, nor is what a working collector has yet to report.
	now := time.Now().UTC().Truncate(time.Millisecond)
	start := now.Add(-20 * time.Minute)
	if midnight, last := now.Truncate(24*time.Hour), now.Add(-time.Minute); start.Before(midnight) && last.After(midnight) {
		put(t, conn, covered(4, "c2", start, midnight), covered(5, "c2", midnight, last))
	} else {
		put(t, conn, covered(4, "c2", start, last))
	}
	gaps("future", []register.Held{always(7)}, Window{start, now.Add(24 * time.Hour)})
	gaps("wholly in the future", []register.Held{always(7)}, Window{now.Add(time.Hour), now.Add(2 * time.Hour)})

	// A collector that went silent an hour ago leaves a gap that grows.
	got, err := r.GapsOf(ctx, []register.Held{always(1)}, Window{hour(7), now.Add(time.Hour)})
	if err != nil || len(got) != 1 || !got[0].Start.Equal(hour(8)) || now.Sub(got[0].End) > 20*time.Minute || got[0].End.After(now) {
		t.Errorf("silent collector: gaps %v, %v; want one from %v until a quarter of an hour ago", got, err, hour(8))
	}
}
