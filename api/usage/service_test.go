package usage

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

func asked(start, end time.Time) *griffierv1.Window {
	return &griffierv1.Window{Start: timestamppb.New(start), End: timestamppb.New(end)}
}

func fields(err error) []string {
	var out []string
	if refused := reason.From(err); refused != nil && refused.Reason == reason.InvalidRequest {
		for _, v := range refused.Violations {
			out = append(out, v.Field)
		}
	}
	return out
}

func TestParseWindow(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for name, c := range map[string]struct {
		in   *griffierv1.Window
		want []string
	}{
		"good":        {asked(at, at.Add(time.Hour)), nil},
		"the longest": {asked(at, at.Add(MaxWindow)), nil},
		"too long":    {asked(at, at.Add(MaxWindow+1)), []string{"window"}},
		"absent":      {nil, []string{"window.start", "window.end"}},
		"no end":      {&griffierv1.Window{Start: timestamppb.New(at)}, []string{"window.end"}},
		"no start":    {&griffierv1.Window{End: timestamppb.New(at)}, []string{"window.start"}},
		"not a time":  {&griffierv1.Window{Start: &timestamppb.Timestamp{Nanos: -1}, End: timestamppb.New(at)}, []string{"window.start"}},
		"empty":       {asked(at, at), []string{"window.end"}},
		"backwards":   {asked(at, at.Add(-1)), []string{"window.end"}},
		"all of time": {asked(year(1), year(9999)), []string{"window"}},
		"too early":   {asked(year(1999), year(1999).Add(time.Hour)), []string{"window"}},
		"too late":    {asked(year(2201), year(2201).Add(time.Hour)), []string{"window"}},
	} {
		w, err := ParseWindow(c.in, MaxWindow)
		if got := fields(err); !slices.Equal(got, c.want) {
			t.Errorf("%s: violations of %v, want %v (%v)", name, got, c.want, err)
		}
		if err == nil && (!w.Start.Equal(c.in.GetStart().AsTime()) || !w.End.Equal(c.in.GetEnd().AsTime())) {
			t.Errorf("%s: %v", name, w)
		}
	}
}

// service is the service of a store, with a register of its own keys.
func service(t *testing.T, conn driver.Conn) *Service {
	t.Helper()
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	pseudonyms, err := schema.NewPseudonymiser(bytes.Repeat([]byte{1}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	reg, err := register.New(register.Config{Conn: conn, Vault: keys, Pseudonyms: pseudonyms, BlindKey: bytes.Repeat([]byte{2}, 32), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return NewService(reg, NewReader(conn), nil)
}

// TestServiceLimits asks a real register and store for too much, and for just enough.
func TestServiceLimits(t *testing.T) {
	ctx, conn := store(t)
	s := service(t, conn)
	err := s.lines.(*register.Register).PutLine(ctx, register.Line{LineID: "L-1", AccountID: "acc", TimeZone: "UTC", BillingDay: 1, ContractStart: day(-500), ContractEnd: schema.Forever}, nil, register.Person{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	ctx = auth.NewContext(ctx, auth.Caller{AccountID: "acc"})
	series := func(ctx context.Context, w *griffierv1.Window, step time.Duration) (int, error) {
		resp, err := s.GetSeries(ctx, &griffierv1.GetSeriesRequest{LineId: "L-1", Window: w, Step: durationpb.New(step)})
		return len(resp.GetPoints()), err
	}
	most := asked(day(-60), day(-60).Add(maxPoints*schema.BucketLength))
	if n, err := series(ctx, most, schema.BucketLength); err != nil || n != maxPoints {
		t.Errorf("most points: %d, %v; want %d", n, err, maxPoints)
	}
	more := asked(day(-60), day(-60).Add(maxPoints*schema.BucketLength+time.Second))
	if n, err := series(ctx, more, schema.BucketLength); !slices.Equal(fields(err), []string{"step"}) {
		t.Errorf("one point more: %d, %v; want a violation of step", n, err)
	}
	for _, step := range []time.Duration{0, -schema.BucketLength, time.Minute, schema.BucketLength + 1} {
		if _, err := series(ctx, most, step); !slices.Equal(fields(err), []string{"step"}) {
			t.Errorf("step %v: %v, want a violation", step, err)
		}
	}
	for limit, ok := range map[int32]bool{0: true, 1: true, maxSessions: true, maxSessions + 1: false, -1: false} {
		_, err := s.ListSessions(ctx, &griffierv1.ListSessionsRequest{LineId: "L-1", Window: asked(day(-1), day(0)), Limit: limit})
		if (err == nil) != ok || !ok && !slices.Equal(fields(err), []string{"limit"}) {
			t.Errorf("limit %d: %v, want allowed = %v", limit, err, ok)
		}
	}
	// The window is answered as it was counted: in whole buckets.
	totals, err := s.GetTotals(ctx, &griffierv1.GetTotalsRequest{LineId: "L-1", Window: asked(day(-1).Add(time.Minute), day(-1).Add(6*time.Minute))})
	if err != nil || !totals.GetCounted().GetStart().AsTime().Equal(day(-1)) || !totals.GetCounted().GetEnd().AsTime().Equal(day(-1).Add(10*time.Minute)) {
		t.Errorf("counted %v, %v; want two whole buckets", totals.GetCounted(), err)
	}
	for name, caller := range map[string]auth.Caller{"another": {AccountID: "other"}, "without account": {}} {
		_, err := series(auth.NewContext(t.Context(), caller), most, schema.BucketLength)
		if reason.Of(err) != reason.NotFound {
			t.Errorf("%s: %v, want NOT_FOUND", name, err)
		}
	}
	if _, err := series(t.Context(), most, schema.BucketLength); reason.Of(err) != reason.NotFound {
		t.Errorf("nobody: %v, want NOT_FOUND", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := series(gone, most, schema.BucketLength); reason.Of(err) != reason.StoreUnavailable {
		t.Errorf("store away: %v, want STORE_UNAVAILABLE", err)
	}
}
