package usage

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// keepFor gives each class named another period, and leaves the rest.
func keepFor(t *testing.T, r *Reader, periods map[schema.Class]string) {
	t.Helper()
	policies, err := schema.ReadPolicy(t.Context(), r.conn)
	if err != nil {
		t.Fatal(err)
	}
	for i := range policies {
		if period, ok := periods[policies[i].Class]; ok {
			policies[i].Period = period
		}
	}
	if err := schema.WritePolicy(t.Context(), r.conn, schema.ProfileNL, policies); err != nil {
		t.Fatal(err)
	}
}

// TestWhatExpiredIsTold asks a real store about time that has expired: each answer
// says so by its own class, and none has a zero for it.
func TestWhatExpiredIsTold(t *testing.T) {
	ctx, conn := store(t)
	s := service(t, conn)
	registered(t, conn, customer{"L-1", "UTC", []register.Held{always(1)}})
	if err := s.lines.(*register.Register).PutLine(ctx, register.Line{LineID: "L-1", AccountID: "acc", TimeZone: "UTC", BillingDay: 1,
		ContractStart: day(-500), ContractEnd: schema.Forever}, nil, register.Person{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	for n := -9; n < 0; n++ {
		put(t, conn, used(1, day(n).Add(12*time.Hour), schema.Up, 4, 100))
	}
	put(t, conn, cut(1, 1, day(-9), day(-1), false)...)
	put(t, conn, covered(1, "c1", day(-2), day(-1)))
	ctx = auth.NewContext(ctx, auth.Caller{AccountID: "acc"})
	series := func(a, b int) (*griffierv1.GetSeriesResponse, error) {
		return s.GetSeries(ctx, &griffierv1.GetSeriesRequest{LineId: "L-1", Window: asked(day(a), day(b)), Step: durationpb.New(utcDay)})
	}
	list := func(a, b int) (*griffierv1.ListSessionsResponse, error) {
		return s.ListSessions(ctx, &griffierv1.ListSessionsRequest{LineId: "L-1", Window: asked(day(a), day(b))})
	}
	all, err := series(-10, 0)
	if err != nil || len(all.GetPoints()) != 10 || len(all.GetElapsed()) != 0 {
		t.Fatalf("before anything expired: %v, %v; want a point for each of ten days", all, err)
	}
	if got, err := list(-10, 0); err != nil || len(got.GetSessions()) != 1 || len(got.GetElapsed())+len(got.GetAddressesElapsed()) != 0 {
		t.Fatalf("before anything expired: %v, %v; want one session", got, err)
	}

	// Buckets for five days, sessions for seven, addresses for three, coverage for four.
	keepFor(t, s.reader, map[schema.Class]string{schema.ClassUsage5m: "P5D", schema.ClassSession: "P7D", schema.ClassAssignment: "P3D", schema.ClassCoverage: "P4D"})
	near := func(what string, elapsed []*griffierv1.Window, days int) time.Time {
		t.Helper()
		if len(elapsed) != 1 || !elapsed[0].GetStart().AsTime().Equal(day(-10)) {
			t.Fatalf("%s: elapsed %v, want one part, from the start of the window", what, elapsed)
		}
		end := elapsed[0].GetEnd().AsTime()
		if off := time.Since(end) - time.Duration(days)*utcDay; off < -2*time.Hour || off > 2*time.Hour { // a clock may have changed
			t.Errorf("%s: elapsed until %v, want until %d days ago", what, end, days)
		}
		return end
	}
	part, err := series(-10, 0)
	if err != nil {
		t.Fatal(err)
	}
	since := near("series", part.GetElapsed(), 5)
	if first := part.GetPoints()[0]; !first.GetStart().AsTime().Equal(since) {
		t.Errorf("the first point starts at %v, want %v: where the buckets begin", first.GetStart().AsTime(), since)
	}
	for _, p := range part.GetPoints()[1:] {
		if p.GetVolume().GetBytesUp() != 100 {
			t.Errorf("point %v, want the 100 bytes of each day", p)
		}
	}
	for _, g := range part.GetGaps() {
		if time.Since(g.GetStart().AsTime()) > 4*utcDay+2*time.Hour {
			t.Errorf("gap %v, though coverage of then has expired", g)
		}
	}
	listed, err := list(-10, 0)
	if err != nil || len(listed.GetSessions()) != 1 {
		t.Fatalf("sessions %v, %v; want the one of which days are left", listed, err)
	}
	near("sessions", listed.GetElapsed(), 7)
	near("addresses", listed.GetAddressesElapsed(), 3)
	top, err := s.ListTopDays(ctx, &griffierv1.ListTopDaysRequest{LineId: "L-1", Window: asked(day(-10), day(0))})
	if err != nil {
		t.Fatal(err)
	}
	near("top days", top.GetElapsed(), 5)
	days, err := s.ListPeriods(ctx, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: asked(day(-10), day(0)), Period: griffierv1.UsagePeriod_USAGE_PERIOD_DAY})
	if err != nil || len(days.GetPeriods()) != 10 {
		t.Fatalf("%d days, %v; want 10", len(days.GetPeriods()), err)
	}
	if first, last := days.GetPeriods()[0], days.GetPeriods()[9]; first.Total != nil || first.Ipv4 != nil || first.Ipv6 != nil || last.GetTotal().GetBytesUp() != 100 {
		t.Errorf("days %v and %v, want that the first is of no volume and the last of 100 bytes", first, last)
	}

	old := asked(day(-9), day(-6))
	for name, c := range map[string]struct {
		err  error
		want reason.Reason
	}{
		"series":                   {second(series(-9, -6)), reason.RetentionElapsed},
		"totals":                   {second(s.GetTotals(ctx, &griffierv1.GetTotalsRequest{LineId: "L-1", Window: old})), reason.RetentionElapsed},
		"days":                     {second(s.ListPeriods(ctx, &griffierv1.ListPeriodsRequest{LineId: "L-1", Window: old, Period: 1})), reason.RetentionElapsed},
		"top":                      {second(s.ListTopDays(ctx, &griffierv1.ListTopDaysRequest{LineId: "L-1", Window: old})), reason.RetentionElapsed},
		"cycle":                    {second(s.GetCycle(ctx, &griffierv1.GetCycleRequest{LineId: "L-1", At: timestamppb.New(day(-70))})), reason.RetentionElapsed},
		"sessions kept longer":     {second(list(-9, -5)), ""},
		"sessions":                 {second(list(-10, -8)), reason.RetentionElapsed},
		"totals of time to come":   {second(s.GetTotals(ctx, &griffierv1.GetTotalsRequest{LineId: "L-1", Window: asked(day(2), day(3))})), ""},
		"before it was a customer": {second(s.GetTotals(ctx, &griffierv1.GetTotalsRequest{LineId: "L-1", Window: asked(day(-1200), day(-1199))})), ""},
	} {
		if reason.Of(c.err) != c.want || c.want == "" && c.err != nil {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	// A line of another stays one that is not there.
	other := auth.NewContext(t.Context(), auth.Caller{AccountID: "other"})
	if _, err := s.GetSeries(other, &griffierv1.GetSeriesRequest{LineId: "L-1", Window: old, Step: durationpb.New(utcDay)}); reason.Of(err) != reason.NotFound {
		t.Errorf("expired series of a line of another: %v, want NOT_FOUND", err)
	}
}

// TestGone: only what the line could have moved counts, and only if all of it has
// expired.
func TestGone(t *testing.T) {
	half := always(1)
	half.ValidFrom = day(-5)
	w := Window{day(-6), day(-4)}
	for name, c := range map[string]struct {
		t    Total
		refs []register.Held
		want bool
	}{
		"nothing expired":                    {Total{Window: w}, []register.Held{always(1)}, false},
		"all":                                {Total{Window: w, Elapsed: []Window{w}}, []register.Held{always(1)}, true},
		"a part":                             {Total{Window: w, Elapsed: []Window{{day(-6), day(-5)}}}, []register.Held{always(1)}, false},
		"all in which it had a reference":    {Total{Window: w, Elapsed: []Window{{day(-5), day(-4)}}}, []register.Held{half}, true},
		"all of one reference of two":        {Total{Window: w, Elapsed: []Window{{day(-5), day(-4)}}}, []register.Held{half, always(2)}, false},
		"one reference's bytes are known":    {Total{Window: w, Elapsed: []Window{w}, V6: Volume{BytesUp: 1}}, []register.Held{always(1), always(2)}, false},
		"no reference, so nothing was moved": {Total{Window: w}, nil, false},
	} {
		c.t.judge(heldWindows(c.refs))
		if c.t.Gone != c.want {
			t.Errorf("%s: gone = %v, want %v", name, c.t.Gone, c.want)
		}
		if err := gone([]Total{c.t}, c.refs); (reason.Of(err) == reason.RetentionElapsed) != c.want || !c.want && err != nil {
			t.Errorf("%s: %v, want a refusal = %v", name, err, c.want)
		}
	}
	known := Total{Window: Window{day(-4), day(-3)}}
	expired := Total{Window: w, Elapsed: []Window{w}, Gone: true}
	if err := gone([]Total{expired, known}, []register.Held{always(1)}); err != nil {
		t.Errorf("a period that can be told and one that cannot: %v, want both told", err)
	}
	if got := (Window{day(-5), day(-3)}).From(Window{day(-7), day(-2)}.Steps(utcDay)); !slices.Equal(got, []Window{{day(-5), day(-4)}, {day(-4), day(-3)}}) {
		t.Errorf("From = %v, want the two days", got)
	}
}
