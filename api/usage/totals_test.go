package usage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

func totals(t *testing.T, r *Reader, refs []register.Held, loc *time.Location, windows ...Window) []Total {
	t.Helper()
	out, err := r.Totals(t.Context(), refs, loc, windows)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// shorten keeps buckets for so long only, and all else as it was.
func shorten(t *testing.T, r *Reader, keep time.Duration) {
	t.Helper()
	policies, err := schema.ReadPolicy(t.Context(), r.conn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range policies {
		if policies[i].Class == schema.ClassUsage5m {
			policies[i].Period = fmt.Sprintf("PT%dS", int(keep.Seconds()))
		}
	}
	if err := schema.WritePolicy(t.Context(), r.conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
}

// TestTotalsOutliveBuckets: a month can be summed long after its buckets have
// expired, a part of a day cannot, and it is said.
func TestTotalsOutliveBuckets(t *testing.T) {
	_, conn := store(t)
	r := NewReader(conn)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1), always(2)}})
	today := time.Now().UTC().Truncate(utcDay) // which has not ended, also where midnight passed since the tests began
	day := func(n int) time.Time { return today.AddDate(0, 0, n) }
	justNow := time.Now().UTC().Truncate(schema.BucketLength).Add(-schema.BucketLength)
	if justNow.Before(day(0)) { // and today, in its first minutes too
		justNow = day(0)
	}
	put(t, conn, used(1, day(-40), schema.Up, 4, 1), used(1, day(-20).Add(12*time.Hour), schema.Down, 6, 10), used(1, day(-2), schema.Up, 4, 100),
		used(1, justNow, schema.Up, 4, 1000))
	refs := []register.Held{always(1), always(2)} // of which one was idle
	window := Window{day(-45), day(1)}
	check := func(name string, w Window, bytes uint64, basis Basis, elapsed ...Window) {
		t.Helper()
		got := totals(t, r, refs, time.UTC, w)[0]
		if sum := got.Volume(); sum.BytesUp+sum.BytesDown != bytes || got.Basis != basis || !slices.Equal(got.Elapsed, elapsed) {
			t.Errorf("%s: %d bytes from %v, elapsed %v; want %d from %v, %v", name, sum.BytesUp+sum.BytesDown, got.Basis, got.Elapsed, bytes, basis, elapsed)
		}
	}
	check("before any roll-up", window, 1111, BasisBuckets)
	roll(t, conn)
	check("all", window, 1111, BasisBoth)
	check("a closed day", Window{day(-20), day(-19)}, 10, BasisDays)
	check("a closed idle day", Window{day(-30), day(-29)}, 0, BasisNone)
	check("today", Window{day(0), day(1)}, 1000, BasisBuckets)
	check("half a closed day", Window{day(-20), day(-20).Add(12 * time.Hour)}, 0, BasisNone)
	check("its other half", Window{day(-20).Add(12 * time.Hour), day(-19)}, 10, BasisBuckets)
	shorten(t, r, 5*utcDay)
	check("all, without old buckets", window, 1111, BasisBoth)
	check("a closed day", Window{day(-20), day(-19)}, 10, BasisDays)
	check("a closed idle day", Window{day(-30), day(-29)}, 0, BasisDays)
	half := Window{day(-20), day(-20).Add(12 * time.Hour)}
	check("half a closed day", half, 0, BasisDays, half) // of the idle reference it is known
	check("a day and a half", Window{day(-20), day(-18).Add(12 * time.Hour)}, 10, BasisDays)
	never := Window{day(-190), day(-188)} // before the first day that was rolled up
	check("before the records begin", never, 0, BasisNone, never)
}

// TestTotalsOfADayNeverRolledUp: buckets expired before any run.
func TestTotalsOfADayNeverRolledUp(t *testing.T) {
	_, conn := store(t)
	r := NewReader(conn)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1)}})
	put(t, conn, used(1, day(-9), schema.Up, 4, 1), used(1, day(-2), schema.Up, 4, 10))
	shorten(t, r, 5*utcDay)
	roll(t, conn)
	got := totals(t, r, []register.Held{always(1)}, time.UTC, Window{day(-10), day(0)})[0]
	if got.V4.BytesUp != 10 || len(got.Elapsed) != 1 || !got.Elapsed[0].Start.Equal(day(-10)) || got.Elapsed[0].End.Before(day(-5)) || got.Elapsed[0].End.After(day(-3)) {
		t.Errorf("%+v, want 10 bytes and that the days before have elapsed", got)
	}
}

// TestTotalsOfAMovedReference: of a day in which a reference changed hands each
// line sees its own part, from day rows.
func TestTotalsOfAMovedReference(t *testing.T) {
	_, conn := store(t)
	r := NewReader(conn)
	moved := day(-3).Add(10 * time.Hour)
	a, b := always(1), always(1)
	a.ValidTo, b.ValidFrom = moved, moved
	registered(t, conn, customer{"L-1", "UTC", []register.Held{a}}, customer{"L-2", "UTC", []register.Held{b}})
	put(t, conn, used(1, moved.Add(-time.Hour), schema.Up, 4, 1), used(1, moved, schema.Up, 4, 10))
	roll(t, conn)
	for i, held := range []register.Held{a, b} {
		got := totals(t, r, []register.Held{held}, time.UTC, Window{day(-3), day(-2)})[0]
		if want := []uint64{1, 10}[i]; got.V4.BytesUp != want || got.Basis != BasisDays {
			t.Errorf("line %d: %+v, want %d bytes from days", i+1, got, want)
		}
	}
}

func TestNinetyFifth(t *testing.T) {
	at := day(-3)
	buckets := func(n int, bytes func(i int) uint64) (out []Bucket) {
		for i := range n {
			out = append(out, Bucket{StartedAt: at.Add(time.Duration(i) * schema.BucketLength), IPVersion: 4, Volume: Volume{BytesDown: bytes(i), BytesUp: 2 * bytes(i)}})
		}
		return out
	}
	window := func(n int) Window { return Window{at, at.Add(time.Duration(n) * schema.BucketLength)} }
	const mbit = 300 * 1_000_000 / 8 // bytes of a bucket at 1 Mbit/s
	for _, c := range []struct {
		name    string
		w       Window
		buckets []Bucket
		gaps    []Window
		want    Percentile
	}{
		{"nothing", window(20), nil, nil, Percentile{0, 0, 20, 0}},
		{"one sample", window(1), buckets(1, func(int) uint64 { return mbit }), nil, Percentile{2_000_000, 1_000_000, 1, 0}},
		{"of 20 the highest is left out", window(20), buckets(20, func(i int) uint64 { return uint64(i+1) * mbit }), nil, Percentile{38_000_000, 19_000_000, 20, 0}},
		{"of 100 the five highest", window(100), buckets(100, func(i int) uint64 { return uint64(100-i) * mbit }), nil, Percentile{190_000_000, 95_000_000, 100, 0}},
		{"of 21 one still", window(21), buckets(21, func(i int) uint64 { return uint64(i+1) * mbit }), nil, Percentile{40_000_000, 20_000_000, 21, 0}},
		{"bursts of less than a twentieth cost nothing", window(100), buckets(5, func(int) uint64 { return 1 << 50 }), nil, Percentile{0, 0, 100, 0}},
		{"and of more do", window(100), buckets(6, func(int) uint64 { return mbit }), nil, Percentile{2_000_000, 1_000_000, 100, 0}},
		{"what was not collected is no sample of zero", window(20), buckets(1, func(int) uint64 { return mbit }),
			[]Window{{at.Add(schema.BucketLength + time.Second), at.Add(20 * schema.BucketLength)}}, Percentile{2_000_000, 1_000_000, 1, 19}},
		{"no overflow", window(1), []Bucket{{StartedAt: at, Volume: Volume{BytesUp: 1<<64 - 1}}}, nil, Percentile{(1<<64 - 1) / 300 * 8, 0, 1, 0}},
	} {
		got := NinetyFifth(c.w, c.buckets, c.gaps)
		if c.name == "no overflow" {
			got.Up -= (1<<64 - 1) % 300 * 8 / 300
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestTop(t *testing.T) {
	of := func(n int, up, down uint64) Total {
		return Total{Window: Window{day(n), day(n + 1)}, V4: Volume{BytesUp: up}, Unknown: Volume{BytesDown: down}}
	}
	in := []Total{of(-5, 1, 1), of(-4, 0, 0), of(-3, 5, 0), of(-2, 0, 5), of(-1, 9, 9)}
	got := Top(in, 3)
	if len(got) != 3 || !got[0].Start.Equal(day(-1)) || !got[1].Start.Equal(day(-3)) || !got[2].Start.Equal(day(-2)) {
		t.Errorf("%v", got)
	}
	if got := Top(in, 9); len(got) != 4 {
		t.Errorf("%d days, want the four with usage", len(got))
	}
}

// TestPeriodsOfTheService asks a real store by way of the service.
func TestPeriodsOfTheService(t *testing.T) {
	ctx, conn := store(t)
	s := service(t, conn)
	registered(t, conn, customer{"L-1", amsterdam, []register.Held{always(1)}})
	if err := s.lines.(*register.Register).PutLine(ctx, register.Line{LineID: "L-1", AccountID: "acc", TimeZone: amsterdam, BillingDay: 17,
		ContractStart: day(-500), ContractEnd: schema.Forever}, nil, register.Person{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	a, b := local(t, amsterdam, -3, 0), local(t, amsterdam, -2, 0)
	put(t, conn, used(1, a, schema.Up, 4, 300), used(1, b, schema.Down, 6, 600),
		&schema.Coverage{CoverageID: schema.ID{1}, CollectorID: "c1", State: schema.Covered, StartedAt: day(-4), EndedAt: day(-3), Version: 1, BootID: "b"},
		&schema.Coverage{CoverageID: schema.ID{2}, CollectorID: "c1", State: schema.Covered, StartedAt: day(-3), EndedAt: day(-2), Version: 1, BootID: "b"},
		&schema.Coverage{CoverageID: schema.ID{3}, CollectorID: "c1", State: schema.Covered, StartedAt: day(-2), EndedAt: day(-1), Version: 1, BootID: "b"})
	roll(t, conn)
	ctx = auth.NewContext(ctx, auth.Caller{AccountID: "acc"})
	w := asked(a, local(t, amsterdam, 0, 0))
	days, err := s.ListPeriods(ctx, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: w, Period: griffierv1.UsagePeriod_USAGE_PERIOD_DAY})
	if err != nil || len(days.GetPeriods()) != 3 {
		t.Fatalf("%d days, %v; want 3", len(days.GetPeriods()), err)
	}
	first := days.GetPeriods()[0]
	if first.GetDay() != a.In(load2(t, amsterdam)).Format(time.DateOnly) || first.GetTotal().GetBytesUp() != 300 || first.GetBasis() != griffierv1.UsageBasis_USAGE_BASIS_DAYS ||
		first.GetOpen() || first.GetUncollected().AsDuration() != 0 || !first.GetWindow().GetEnd().AsTime().Equal(b) {
		t.Errorf("first day %v", first)
	}
	if third := days.GetPeriods()[2]; third.GetUncollected().AsDuration() < 20*time.Hour {
		t.Errorf("third day %v, want most of it not collected", third)
	}
	cycle, err := s.GetCycle(ctx, &griffierv1.GetCycleRequest{LineId: "L-1", At: timestamppb.New(b)})
	if err != nil || !cycle.GetUsed().GetWindow().GetStart().AsTime().Equal(Cycle(b, load2(t, amsterdam), 17).Start) || cycle.GetUsed().GetIpv6().GetBytesDown() != 600 {
		t.Errorf("cycle %v, %v", cycle, err)
	}
	if now, err := s.GetCycle(ctx, &griffierv1.GetCycleRequest{LineId: "L-1"}); err != nil || !now.GetUsed().GetOpen() ||
		time.Since(now.GetCountedUntil().AsTime()) > time.Hour {
		t.Errorf("the cycle of now %v, %v", now, err)
	}
	top, err := s.ListTopDays(ctx, &griffierv1.ListTopDaysRequest{LineId: "L-1", Window: w})
	if err != nil || len(top.GetDays()) != 2 || top.GetDays()[0].GetTotal().GetBytesDown() != 600 {
		t.Errorf("top %v, %v", top, err)
	}
	p, err := s.GetPercentile(ctx, &griffierv1.GetPercentileRequest{LineId: "L-1", Window: asked(a, a.Add(schema.BucketLength))})
	if err != nil || p.GetBitsPerSecondUp() != 8 || p.GetBitsPerSecond() != 8 || p.GetSamples() != 1 || p.GetCoarse() {
		t.Errorf("percentile %v, %v", p, err)
	}
	shorten(t, s.reader, time.Since(b.Add(time.Hour)))
	p, err = s.GetPercentile(ctx, &griffierv1.GetPercentileRequest{LineId: "L-1", Window: asked(a, b.Add(12*time.Hour))})
	if err != nil || len(p.GetElapsed()) != 1 || p.GetCounted().GetStart().AsTime().Before(b.Add(50*time.Minute)) {
		t.Errorf("percentile over an expired part: %v, %v", p, err)
	}
	for name, c := range map[string]struct {
		err  error
		want reason.Reason
	}{
		"rates that expired": {second(s.GetPercentile(ctx, &griffierv1.GetPercentileRequest{LineId: "L-1", Window: asked(a, b)})), reason.RetentionElapsed},
		"rates to come":      {second(s.GetPercentile(ctx, &griffierv1.GetPercentileRequest{LineId: "L-1", Window: asked(day(1), day(2))})), reason.InvalidRequest},
		"no period":          {second(s.ListPeriods(ctx, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: w})), reason.InvalidRequest},
		"unknown period":     {second(s.ListPeriods(ctx, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: w, Period: 9})), reason.InvalidRequest},
		"too long":           {second(s.ListPeriods(ctx, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: asked(day(-900), day(0)), Period: 1})), reason.InvalidRequest},
		"too many":           {second(s.ListTopDays(ctx, &griffierv1.ListTopDaysRequest{LineId: "L-1", Window: w, Limit: 101})), reason.InvalidRequest},
		"less than none":     {second(s.ListTopDays(ctx, &griffierv1.ListTopDaysRequest{LineId: "L-1", Window: w, Limit: -1})), reason.InvalidRequest},
		"the year 1":         {second(s.GetCycle(ctx, &griffierv1.GetCycleRequest{LineId: "L-1", At: timestamppb.New(time.Time{})})), reason.InvalidRequest},
	} {
		if reason.Of(c.err) != c.want {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
	other := auth.NewContext(t.Context(), auth.Caller{AccountID: "other"})
	for name, err := range map[string]error{
		"periods":    second(s.ListPeriods(other, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: w, Period: 1})),
		"cycle":      second(s.GetCycle(other, &griffierv1.GetCycleRequest{LineId: "L-1"})),
		"top":        second(s.ListTopDays(other, &griffierv1.ListTopDaysRequest{LineId: "L-1", Window: w})),
		"percentile": second(s.GetPercentile(other, &griffierv1.GetPercentileRequest{LineId: "L-1", Window: w})),
	} {
		if reason.Of(err) != reason.NotFound {
			t.Errorf("%s of a line of another: %v, want NOT_FOUND", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
