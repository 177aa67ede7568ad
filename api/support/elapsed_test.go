package support

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/usage"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// TestALookUpTellsWhatExpired shortens the terms of a real store under a look-up:
// what has expired is told by its own class, and never shown as none.
func TestALookUpTellsWhatExpired(t *testing.T) {
	ctx := auth.NewContext(t.Context(), sam)
	conn, err := schema.Open(ctx, schema.Config{Socket: enginetest.Start(t).Socket, Settings: map[string]any{"fsync_metadata": 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := schema.Migrate(ctx, conn, nil); err != nil {
		t.Fatal(err)
	}
	keep := func(bucket, session, assignment string) {
		t.Helper()
		var policies []schema.Policy
		for _, class := range schema.Classes {
			period := map[schema.Class]string{schema.ClassUsage5m: bucket, schema.ClassSession: session, schema.ClassAssignment: assignment}[class]
			if period == "" {
				period = "P6M"
			}
			policies = append(policies, schema.Policy{Class: class, Period: period, Zone: "UTC", Purpose: "faults", Basis: "b", Source: "s"})
		}
		if err := schema.WritePolicy(ctx, conn, schema.ProfileNL, policies); err != nil {
			t.Fatal(err)
		}
	}
	keep("P14D", "P6M", "P6M")
	c := newCounter(t)
	c.wait(time.Until(c.now()))
	pseudonyms, err := schema.NewPseudonymiser(bytes.Repeat([]byte{1}, schema.KeyLength))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := register.New(register.Config{Conn: conn, Vault: c.keys, Pseudonyms: pseudonyms, BlindKey: bytes.Repeat([]byte{2}, 32), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	day := func(n int) time.Time { return today.AddDate(0, 0, n) }
	who := schema.Identifier{Kind: schema.IdentRADIUSUser, Value: "line1"}
	if err := lines.PutLine(ctx, register.Line{LineID: "L-1", AccountID: "acc", TimeZone: "UTC", BillingDay: 1, ContractStart: day(-100), ContractEnd: schema.Forever},
		[]register.Identifier{{Identifier: who, ValidFrom: day(-100), ValidTo: schema.Forever}}, register.Person{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	ref := pseudonyms.Ref(who)
	var records []schema.Record
	for n := -9; n < 0; n++ { // each day an hour at noon
		start := day(n).Add(12 * time.Hour)
		id := byte(n + 100)
		records = append(records,
			&schema.Usage{AccessRef: ref, BucketStartedAt: start, EndedAt: start.Add(schema.BucketLength), SampledAt: start, Direction: schema.Up, IPVersion: 4,
				Bytes: 100, Packets: 1, CumulativeBytes: 100, CumulativePackets: 1, CounterID: schema.ID{4, id}, CollectorID: "c1"},
			&schema.Session{SessionID: schema.ID{1, id}, AccessRef: ref, SessionStartedAt: start, StartedAt: start, EndedAt: start.Add(time.Hour), Version: 1,
				EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "nas", NASPort: "1", CollectorID: "c1"},
			&schema.Assignment{AssignmentID: schema.ID{2, id}, SessionID: schema.ID{1, id}, AccessRef: ref, Prefix: netip.MustParsePrefix("192.0.2.1/32"), PortEnd: 65535,
				AssignmentStartedAt: start, StartedAt: start, EndedAt: start.Add(time.Hour), Version: 1, EndCause: schema.EndRelease,
				Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"})
	}
	if err := schema.Insert(ctx, conn, "line1", records); err != nil {
		t.Fatal(err)
	}
	s := NewService(c.Codes, lines, usage.NewReader(conn), c.now)
	code := c.issue(t, "L-1")
	lookUp := func(a, b int) (*griffierv1.LookUpLineResponse, error) {
		return s.LookUpLine(ctx, &griffierv1.LookUpLineRequest{Ticket: "T-1", Code: code, Purpose: griffierv1.SupportPurpose_SUPPORT_PURPOSE_COMPLAINT,
			Window: &griffierv1.Window{Start: timestamppb.New(day(a)), End: timestamppb.New(day(b))}})
	}
	whole, err := lookUp(-10, 0)
	if err != nil || whole.GetTotal().GetBytesUp() != 900 || len(whole.GetDays()) != 10 || len(whole.GetSessions()) != 9 ||
		len(whole.GetElapsed())+len(whole.GetSessionsElapsed())+len(whole.GetAddressesElapsed()) != 0 {
		t.Fatalf("before anything expired: %v, %v", whole, err)
	}

	// While the line is an employee's, no colleague looks it up, and nothing tells whose it is.
	for _, is := range []bool{true, false} {
		if err := lines.PutStaffLine(ctx, "0123456789abcdef0123456789abcdef", "L-1", is); err != nil {
			t.Fatal(err)
		}
		got, err := lookUp(-10, 0)
		if is && (reason.Of(err) != reason.ConflictOfInterest || got != nil || reason.From(err).Detail != "") || !is && err != nil {
			t.Errorf("a line of staff (%v): %v, %v", is, got, err)
		}
	}

	keep("P3D", "P7D", "P5D")
	part, err := lookUp(-10, 0)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		elapsed []*griffierv1.Window
		days    int
	}{"usage": {part.GetElapsed(), 3}, "sessions": {part.GetSessionsElapsed(), 7}, "addresses": {part.GetAddressesElapsed(), 5}} {
		if len(c.elapsed) != 1 || !c.elapsed[0].GetStart().AsTime().Equal(day(-10)) {
			t.Fatalf("%s: elapsed %v, want one part, from the start of the window", what, c.elapsed)
		}
		if off := time.Since(c.elapsed[0].GetEnd().AsTime()) - time.Duration(c.days)*24*time.Hour; off < -time.Hour || off > time.Hour {
			t.Errorf("%s: elapsed until %v, want until %d days ago", what, c.elapsed[0].GetEnd().AsTime(), c.days)
		}
	}
	if first := part.GetDays()[0].GetStart().AsTime(); !first.Equal(part.GetElapsed()[0].GetEnd().AsTime()) {
		t.Errorf("the first day starts at %v, want it where usage can be read", first)
	}
	var sum uint64
	for _, d := range part.GetDays() {
		sum += d.GetVolume().GetBytesUp()
	}
	if sum != part.GetTotal().GetBytesUp() || sum < 200 || sum > 300 {
		t.Errorf("days sum to %d and the total is %d, want the same, of two or three days", sum, part.GetTotal().GetBytesUp())
	}
	// A window of which only sessions are left has no total rather than one of zero.
	old, err := lookUp(-6, -4)
	if err != nil || old.Total != nil || len(old.GetDays()) != 0 || len(old.GetSessions()) != 2 || len(old.GetElapsed()) != 1 || len(old.GetSessionsElapsed()) != 0 {
		t.Errorf("usage expired, sessions not: %v, %v", old, err)
	}
	if got, err := lookUp(-10, -8); reason.Of(err) != reason.RetentionElapsed || got != nil {
		t.Errorf("everything expired: %v, %v; want RETENTION_ELAPSED", got, err)
	}
}
