package usage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"griffier/api/register"
	"griffier/schema"
)

// checks bounds a property test that writes to disk; -rapid.checks on the command
// line still says more.
func checks(t *testing.T, n int) {
	t.Helper()
	const name = "rapid.checks"
	f := flag.Lookup(name)
	if before := f.Value.String(); before == f.DefValue {
		if err := flag.Set(name, strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set(name, before) })
	}
}

// dyingConn is a real connection that is lost around one of its inserts: before
// the store has the rows, or after it has them and before it said so.
type dyingConn struct {
	driver.Conn
	insertsLeft int
	after       bool
}

var errDied = errors.New("died")

func (c *dyingConn) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	c.insertsLeft--
	if c.insertsLeft < 0 && !c.after {
		return nil, errDied
	}
	batch, err := c.Conn.PrepareBatch(ctx, query, opts...)
	if c.insertsLeft < 0 && err == nil {
		batch = dyingBatch{batch}
	}
	return batch, err
}

type dyingBatch struct{ driver.Batch }

func (b dyingBatch) Send() error {
	if err := b.Batch.Send(); err != nil {
		return err
	}
	return errDied
}

// zoneChanges returns local midnights around the instants in w at which clocks in
// loc change, and at which months begin.
func zoneChanges(w Window, loc *time.Location) (out []time.Time) {
	for t := w.Start.In(loc); ; {
		_, end := t.ZoneBounds()
		if end.IsZero() || !end.Before(w.End) {
			break
		}
		d := Day(end, loc)
		out = append(out, d.Start, d.End, end.UTC().Truncate(schema.BucketLength))
		t = end.In(loc)
	}
	for _, m := range w.Months(loc) {
		out = append(out, m.Start)
	}
	return out
}

// TestEveryByteIsInOneDayCycleAndMonth writes buckets in any order, late, twice
// and replayed, rolls up at any time, dies in the middle, and compares every day,
// cycle and month with a sum over what was written, bucket by bucket.
func TestEveryByteIsInOneDayCycleAndMonth(t *testing.T) {
	checks(t, 6)
	ctx, conn := storeFor(t, "P1Y") // so that clocks change within it
	// Everything happens in the last half year and well before now.
	all := Window{day(-190), day(0)}
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{"traffic.usage_bucket", "traffic.usage_day_part", "traffic.usage_day_mark", "register.line", "register.line_access"} {
			if err := conn.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
				rt.Fatal(err)
			}
		}
		type line struct {
			customer
			billingDay int
			loc        *time.Location
		}
		var lines []line
		var instants []time.Time
		for i := range rapid.IntRange(1, 3).Draw(rt, "lines") {
			l := line{billingDay: rapid.IntRange(1, 31).Draw(rt, "billing day")}
			l.id, l.zone = fmt.Sprint("L-", i), rapid.SampledFrom(append(slices.Clone(zones), "America/New_York", "America/Santiago", "Pacific/Auckland")).Draw(rt, "zone")
			l.loc = load(rt, l.zone)
			instants = append(instants, zoneChanges(all, l.loc)...)
			for range rapid.IntRange(1, 2).Draw(rt, "references") {
				l.held = append(l.held, always(byte(len(l.held)+10*i+1)))
			}
			lines = append(lines, l)
		}
		someBucket := func(name string) time.Time {
			at := all.Start.Add(time.Duration(rapid.IntRange(0, int(all.End.Sub(all.Start)/schema.BucketLength)-1).Draw(rt, name)) * schema.BucketLength)
			if rapid.IntRange(0, 3).Draw(rt, name+" anywhere") > 0 {
				near := rapid.SampledFrom(instants).Draw(rt, name+" near").Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, name+" buckets off")) * schema.BucketLength)
				if !near.Before(all.Start) && near.Before(all.End) {
					at = near
				}
			}
			return at
		}
		if len(lines) > 1 && rapid.Bool().Draw(rt, "a reference moves") {
			moved := someBucket("moved").Add(time.Duration(rapid.IntRange(0, 299).Draw(rt, "seconds")) * time.Second)
			h := lines[0].held[0]
			h.ValidFrom = moved
			lines[0].held[0].ValidTo = moved
			lines[1].held = append(lines[1].held, h)
		}
		var customers []customer
		for _, l := range lines {
			customers = append(customers, l.customer)
		}
		registered(t, conn, customers...)

		var written []*schema.Usage
		distinct := map[string]bool{}
		for range rapid.IntRange(1, 40).Draw(rt, "records") {
			l := rapid.SampledFrom(lines).Draw(rt, "of")
			u := used(rapid.SampledFrom(l.held).Draw(rt, "reference").Ref[0], someBucket("bucket"),
				rapid.SampledFrom([]schema.Direction{schema.Up, schema.Down}).Draw(rt, "direction"),
				rapid.SampledFrom([]uint8{4, 6}).Draw(rt, "version"), rapid.Uint64Range(0, 1<<40).Draw(rt, "bytes"))
			u.SampledAt = u.BucketStartedAt.Add(time.Duration(rapid.IntRange(0, 29).Draw(rt, "sample")) * 10 * time.Second)
			key := fmt.Sprint(u.AccessRef, u.BucketStartedAt, u.Direction, u.IPVersion, u.SampledAt)
			if !distinct[key] { // a reading of a counter is made once
				distinct[key] = true
				written = append(written, u)
			}
		}

		n := 0
		insert := func(records []*schema.Usage) {
			n++
			token := fmt.Sprint(rt.Name(), time.Now().UnixNano(), n)
			for range rapid.IntRange(1, 2).Draw(rt, "times") {
				var rows []schema.Record
				for _, u := range records {
					rows = append(rows, u)
				}
				if rapid.Bool().Draw(rt, "forgotten") {
					token += "x"
				}
				if err := schema.Insert(ctx, conn, token, rows); err != nil {
					rt.Fatal(err)
				}
			}
		}
		stored := map[*schema.Usage]bool{}
		rollUp := func(conn driver.Conn) error {
			book, err := register.New(register.Config{Conn: conn, BlindKey: make([]byte, 32), Now: time.Now})
			if err != nil {
				rt.Fatal(err)
			}
			_, err = NewRoller(conn, book, prometheus.NewRegistry(), time.Now, slog.New(slog.DiscardHandler)).Roll(ctx)
			return err
		}
		verify := func() {
			reader := NewReader(conn)
			for _, l := range lines {
				for name, windows := range map[string][]Window{"days": all.Days(l.loc), "cycles": all.Cycles(l.loc, l.billingDay), "months": all.Months(l.loc)} {
					totals, err := reader.Totals(ctx, l.held, l.loc, windows)
					if err != nil {
						rt.Fatal(err)
					}
					label := func(at time.Time) string {
						switch name {
						case "days":
							return at.In(l.loc).Format(time.DateOnly)
						case "months":
							return at.In(l.loc).Format("2006-01")
						}
						y, m := cycleOf(at, l.loc, l.billingDay)
						return fmt.Sprint(y, "-", m)
					}
					want, got := map[string]Total{}, map[string]Total{}
					for u := range stored {
						for _, h := range l.held {
							if h.Ref != u.AccessRef || u.BucketStartedAt.Before(h.ValidFrom) || !u.BucketStartedAt.Before(h.ValidTo) {
								continue
							}
							k := label(u.BucketStartedAt)
							sum := want[k]
							if u.Direction == schema.Up {
								sum.add(u.IPVersion, Volume{BytesUp: u.Bytes, PacketsUp: u.Packets})
							} else {
								sum.add(u.IPVersion, Volume{BytesDown: u.Bytes, PacketsDown: u.Packets})
							}
							want[k] = sum
						}
					}
					for _, g := range totals {
						if len(g.Elapsed) > 0 {
							rt.Fatalf("%s of %s: %v is said to have elapsed", name, l.zone, g.Elapsed)
						}
						if v := g.Volume(); v != (Volume{}) {
							got[label(g.Start)] = Total{V4: g.V4, V6: g.V6}
						}
					}
					for k, v := range want {
						if v.Volume() == (Volume{}) {
							delete(want, k)
						}
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						rt.Fatalf("%s of %s:\n%v, want\n%v", name, l.zone, got, want)
					}
				}
			}
		}
		for range rapid.IntRange(1, 5).Draw(rt, "steps") {
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				some := rapid.SliceOfN(rapid.SampledFrom(written), 1, len(written)).Draw(rt, "some")
				insert(some)
				for _, u := range some {
					stored[u] = true
				}
			case 2:
				if err := rollUp(conn); err != nil {
					rt.Fatal(err)
				}
				verify()
			case 3:
				dying := &dyingConn{conn, rapid.IntRange(0, 2).Draw(rt, "inserts before it dies"), rapid.Bool().Draw(rt, "after")}
				if err := rollUp(dying); err != nil && !errors.Is(err, errDied) {
					rt.Fatal(err)
				}
			}
		}
		insert(written)
		for _, u := range written {
			stored[u] = true
		}
		for range 2 {
			if err := rollUp(conn); err != nil {
				rt.Fatal(err)
			}
			verify()
		}
		var days, buckets uint64
		if err := conn.QueryRow(ctx, "SELECT (SELECT sum(bytes) FROM traffic.usage_day), (SELECT sum(bytes) FROM traffic.usage WHERE bucket_started_at < {until:DateTime64(3)})",
			instant("until", all.End.Add(-2*utcDay))).Scan(&days, &buckets); err != nil {
			rt.Fatal(err)
		}
		if days < buckets {
			rt.Fatalf("%d bytes in days, of %d that are two days old", days, buckets)
		}
	})
}

// TestDaysSayWhatBucketsSay mixes what kernels, BNGs and redundant pairs tell, in
// any order, with runs in between: afterwards the days of a line are what its
// buckets, all of which can still be read, come to by themselves.
func TestDaysSayWhatBucketsSay(t *testing.T) {
	checks(t, 8)
	ctx, conn := store(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, table := range []string{"traffic.usage_bucket", "traffic.usage_day_part", "traffic.usage_day_mark", "traffic.session_slice", "register.line", "register.line_access"} {
			if err := conn.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
				rt.Fatal(err)
			}
		}
		zone := rapid.SampledFrom(zones).Draw(rt, "zone")
		loc := load(rt, zone)
		refs := []register.Held{always(1), always(2)}
		if rapid.Bool().Draw(rt, "one reference") {
			refs = refs[:1]
		}
		all := Window{local(t, zone, -14, 0), local(t, zone, -1, 0)}
		// Long ago as far as the register's overlap goes, so that only what is dirty is read again.
		registeredAt(t, conn, time.Now().Add(-time.Hour), customer{"L-1", zone, refs})
		n := 0
		for range rapid.IntRange(1, 4).Draw(rt, "steps") {
			var records []schema.Record
			for range rapid.IntRange(1, 12).Draw(rt, "records") {
				n++
				at := all.Start.Add(time.Duration(rapid.IntRange(0, int(all.End.Sub(all.Start)/schema.BucketLength)-1).Draw(rt, "bucket")) * schema.BucketLength)
				ref := rapid.SampledFrom(refs).Draw(rt, "reference").Ref[0]
				u := used(ref, at, schema.Down, 4, rapid.Uint64Range(1, 1<<40).Draw(rt, "bytes"))
				u.SampledAt = at.Add(time.Duration(n) * time.Millisecond)
				if rapid.IntRange(0, 3).Draw(rt, "who") > 0 {
					// One session of the whole time at one NAS, told by each of a pair under its own id.
					pair := byte(rapid.IntRange(0, 1).Draw(rt, "of the pair"))
					u.Source, u.IPVersion, u.CounterID, u.CollectorID = schema.UsageRADIUS, 0, schema.ID{8, ref, pair}, string('a'+rune(pair))
					records = append(records, &schema.Session{SessionID: u.CounterID, AccessRef: u.AccessRef, SessionStartedAt: day(-15), StartedAt: day(-15), EndedAt: day(-14),
						Version: 1, EndCause: schema.EndCut, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "bras", NASPort: "1", CollectorID: u.CollectorID})
				}
				records = append(records, u)
			}
			if err := schema.Insert(ctx, conn, fmt.Sprint("mix", time.Now().UnixNano()), records); err != nil {
				rt.Fatal(err)
			}
			if rapid.Bool().Draw(rt, "roll up") {
				roll(t, conn)
			}
		}
		roll(t, conn)
		reader := NewReader(conn)
		days := all.Days(loc)
		buckets, err := reader.Buckets(ctx, refs, all)
		if err != nil {
			rt.Fatal(err)
		}
		totals, err := reader.Totals(ctx, refs, loc, days)
		if err != nil {
			rt.Fatal(err)
		}
		for i, want := range Sum(days, buckets) {
			if got := totals[i].Volume(); got != want {
				rt.Fatalf("%s: %+v, want %+v", dateOf(days[i].Start, loc).Format(time.DateOnly), got, want)
			}
			if totals[i].Basis&BasisBuckets != 0 {
				rt.Fatalf("%v is read from buckets although it is rolled up", days[i])
			}
		}
	})
}
