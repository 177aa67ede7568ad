package subject

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/support"
	"griffier/api/usage"
	griffierv1 "griffier/proto/griffier/v1"
)

// TestRestriction: support does not know a restricted line, and cannot tell it from
// one that is not there; the person's portal and the executor read on.
func TestRestriction(t *testing.T) {
	h := newHouse(t)
	now := time.Now()
	ref := h.line(t, "L-1", "one", now.Add(-100*time.Hour), now.Add(100*time.Hour))
	h.traffic(t, ref, now.Add(-50*time.Hour))
	h.book.Close()
	codes, state := support.NewCodes([]byte("0123456789abcdef0123456789abcdef")), NewState()
	h.cfg.Folds, h.cfg.Logger = []ledger.Fold{codes, state}, slog.New(slog.DiscardHandler)
	var err error
	if h.book, err = ledger.Open(context.Background(), h.cfg); err != nil {
		t.Fatal(err)
	}
	h.desk.Book, h.desk.State = h.book, state
	codes.Attach(h.book, h.keys, time.Now)
	reader := usage.NewReader(h.conn)
	desk, portal := support.NewService(codes, h.reg, reader, time.Now), usage.NewService(h.reg, reader, codes)
	customer := auth.NewContext(t.Context(), auth.Caller{Subject: "one", Actor: auth.ActorKey("k").Actor("one"), Roles: []griffierv1.Role{griffierv1.Role_ROLE_CUSTOMER}, AccountID: "A-L-1"})
	window := &griffierv1.Window{Start: timestamppb.New(now.Add(-60 * time.Hour).Truncate(time.Hour)), End: timestamppb.New(now.Truncate(time.Hour))}
	looksUp := func(ticket string) error {
		t.Helper()
		code, err := portal.CreateSupportCode(customer, &griffierv1.CreateSupportCodeRequest{LineId: "L-1"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = desk.LookUpLine(as("sam", griffierv1.Role_ROLE_SUPPORT), &griffierv1.LookUpLineRequest{Ticket: ticket, Code: code.GetCode(),
			Window: window, Purpose: griffierv1.SupportPurpose_SUPPORT_PURPOSE_COMPLAINT})
		return err
	}
	if err := looksUp("T-1"); err != nil {
		t.Fatalf("before: %v", err)
	}
	anna := as("anna", controller)
	request := &griffierv1.RestrictLineRequest{RequestId: "restrict-1", LineId: "L-1", Ground: griffierv1.RestrictionGround_RESTRICTION_GROUND_RESTRICTION}
	for range 2 { // a repetition is the same
		x, err := h.service.RestrictLine(anna, request)
		if err != nil || x.GetGround() != request.GetGround() {
			t.Fatalf("RestrictLine = %v, %v", x, err)
		}
	}
	if got := reason.Of(looksUp("T-2")); got != reason.NotFound {
		t.Errorf("support looks up a restricted line: %q", got)
	}
	totals, err := portal.GetTotals(customer, &griffierv1.GetTotalsRequest{LineId: "L-1", Window: window})
	if err != nil || totals.GetTotal().GetBytesUp() == 0 {
		t.Errorf("the person's own portal: %v, %v", totals, err)
	}
	if _, err := h.reg.Identity(t.Context(), "L-1", now); err != nil { // what the executor reads
		t.Errorf("Identity = %v", err)
	}
	if list, err := h.service.ListRestrictions(anna, nil); err != nil || len(list.GetRestrictions()) != 1 {
		t.Errorf("ListRestrictions = %v, %v", list, err)
	}
	lift := &griffierv1.LiftRestrictionRequest{RequestId: "lift-0001", LineId: "L-1"}
	if x, err := h.service.LiftRestriction(anna, lift); err != nil || x.GetLiftedAt() == nil {
		t.Fatalf("LiftRestriction = %v, %v", x, err)
	}
	if err := looksUp("T-3"); err != nil {
		t.Errorf("after: %v", err)
	}
	lift.RequestId = "lift-0002"
	if _, err := h.service.LiftRestriction(anna, lift); reason.Of(err) != reason.NotFound {
		t.Errorf("a second lift: %v", err)
	}
	for _, bad := range []*griffierv1.RestrictLineRequest{{RequestId: "restrict-9", LineId: "L-1"}, {RequestId: "restrict-8", LineId: "L-9", Ground: request.GetGround()}} {
		if _, err := h.service.RestrictLine(anna, bad); err == nil {
			t.Errorf("RestrictLine(%v) is accepted", bad)
		}
	}
}
