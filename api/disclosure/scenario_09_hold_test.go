package disclosure_test

import (
	"context"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"griffier/api/auth"
	"griffier/api/reason"
	"griffier/api/subject"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Scenario 9, deletion under hold: "preserve subject S, […] then erasure request from
// S, then production order […] -> production succeeds from hold store, base empty, S's
// erasure letter reveals nothing." Two subjects ask for erasure, of whom one is
// preserved: what they are told, and what the ledger says in the clear, is the same.
// The days are counted in [TestDeletionUnderHold], the instant of the end in
// [TestHoldBoundary].
func TestScenario09ErasureUnderHold(t *testing.T) {
	l := newLab(t)
	desk := &subject.Desk{Register: l.Register, Executor: l.Conn, Operator: l.Conn, State: subject.NewState(), Embedded: true, Now: l.Now, Log: slog.New(l.Logs)}
	l.Folds = append(l.Folds, desk.State)
	l.Restart()
	desk.Book = l.Log
	service := subject.NewService(desk, l.Keys)

	begin, end := l.Noon.Add(-80*24*time.Hour), l.Noon.Add(2*time.Hour) // a contract that is over can be erased
	names, addresses := []string{"held", "free"}, []string{"192.0.2.70", "192.0.2.71"}
	var rows []schema.Record
	for i, name := range names {
		l.put(name, begin, end)
		rows = append(rows, l.Assigned(schema.ID{9, byte(i)}, name, addresses[i], -time.Hour, time.Hour))
	}
	if err := schema.Insert(t.Context(), l.Conn, "scenario 9", rows); err != nil {
		t.Fatal(err)
	}
	order := l.Content(time.Hour)
	order.Authority, order.LegalBasis, order.Categories, order.Targets = "DE-AG-Berlin", "EPOC-PR", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, addresses[:1]
	hold, _ := l.MustExecute(l.Preservation(l.Approve(order), addresses[0], l.Noon.Add(-time.Minute), l.Noon.Add(time.Minute)), reason.Preserved)

	as := func(who string) context.Context {
		return auth.NewContext(t.Context(), auth.Caller{Subject: who, Actor: who, Roles: []griffierv1.Role{griffierv1.Role_ROLE_PRIVACY_CONTROLLER}})
	}
	var letters, headers [2]string
	for i, name := range names {
		size := l.Log.Size()
		asked, err := service.RequestErasure(as("c0nt1"), &griffierv1.RequestErasureRequest{RequestId: l.Request(), LineId: "line-" + name})
		if err != nil {
			t.Fatal(err)
		}
		told, err := service.ApproveErasure(as("c0nt2"), &griffierv1.ApproveErasureRequest{RequestId: l.Request(), ErasureId: asked.ErasureId, LineId: "line-" + name})
		if err != nil {
			t.Fatal(err)
		}
		letters[i] = shape(t, told)
		for _, e := range l.since(size) {
			headers[i] += e.Header.Kind + " " + e.Header.Role + " " + e.Header.Reason + " " + facts(string(e.Header.Facts)) + "\n"
		}
	}
	if letters[0] != letters[1] || letters[0] == "" {
		t.Errorf("the letters differ:\n%s\n%s", letters[0], letters[1])
	}
	if headers[0] != headers[1] || headers[0] == "" {
		t.Errorf("the ledger's entries differ:\n%s\n%s", headers[0], headers[1])
	}
	// The base has neither any more; the hold still answers, and only of the one.
	production := l.Content(time.Hour)
	production.Targets = addresses
	w := l.Approve(production)
	for _, address := range addresses {
		l.MustExecute(l.Task(w, address, l.Noon), reason.NoMatch)
	}
	_, plain := l.MustExecute(l.FromHold(w, hold.HoldId, addresses[0], l.Noon), reason.Match)
	if !strings.Contains(plain, "line-held") || !strings.Contains(plain, "Held Jansen") {
		t.Error("the production from the hold does not name the subscriber")
	}
	l.MustExecute(l.FromHold(w, hold.HoldId, addresses[1], l.Noon), reason.DataNotHeld)
}

// shape is what a message says, without its ids and times.
func shape(t *testing.T, m *griffierv1.Erasure) string {
	t.Helper()
	m = proto.Clone(m).(*griffierv1.Erasure)
	for _, at := range []interface{ GetSeconds() int64 }{m.RequestedAt, m.ApprovedAt, m.UnreadableAt, m.OffDiskBy} {
		if at.GetSeconds() == 0 {
			t.Errorf("the letter lacks a time: %v", m)
		}
	}
	m.ErasureId, m.RequestedAt, m.ApprovedAt, m.UnreadableAt, m.OffDiskBy = "", nil, nil, nil, nil
	return protojson.Format(m)
}

var hexadecimal = regexp.MustCompile(`[0-9a-f]{16,}`)

// facts are the names of an entry's facts, and those values that are no id or hash.
func facts(text string) string {
	return hexadecimal.ReplaceAllString(text, "ID")
}
