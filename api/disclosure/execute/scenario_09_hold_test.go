package execute_test

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
	desk := &subject.Desk{Register: l.register, Executor: l.conn, Operator: l.conn, State: subject.NewState(), Embedded: true, Now: l.now, Log: slog.New(l.logs)}
	l.folds = append(l.folds, desk.State)
	l.restart()
	desk.Book = l.log
	service := subject.NewService(desk, l.keys)

	begin, end := l.noon.Add(-80*24*time.Hour), l.noon.Add(2*time.Hour) // a contract that is over can be erased
	names, addresses := []string{"held", "free"}, []string{"192.0.2.70", "192.0.2.71"}
	var rows []schema.Record
	for i, name := range names {
		l.put(name, begin, end)
		rows = append(rows, l.assigned(schema.ID{9, byte(i)}, name, addresses[i], -time.Hour, time.Hour))
	}
	if err := schema.Insert(t.Context(), l.conn, "scenario 9", rows); err != nil {
		t.Fatal(err)
	}
	order := l.content(time.Hour)
	order.LegalBasis, order.Categories, order.Targets = "EPOC-PR", []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}, addresses[:1]
	hold, _ := l.mustExecute(l.preservation(l.approve(order), addresses[0], l.noon.Add(-time.Minute), l.noon.Add(time.Minute)), reason.Preserved)

	as := func(who string) context.Context {
		return auth.NewContext(t.Context(), auth.Caller{Subject: who, Actor: who, Roles: []griffierv1.Role{griffierv1.Role_ROLE_PRIVACY_CONTROLLER}})
	}
	var letters, headers [2]string
	for i, name := range names {
		size := l.log.Size()
		asked, err := service.RequestErasure(as("c0nt1"), &griffierv1.RequestErasureRequest{RequestId: l.request(), LineId: "line-" + name})
		if err != nil {
			t.Fatal(err)
		}
		told, err := service.ApproveErasure(as("c0nt2"), &griffierv1.ApproveErasureRequest{RequestId: l.request(), ErasureId: asked.ErasureId, LineId: "line-" + name})
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
	production := l.content(time.Hour)
	production.Targets = addresses
	w := l.approve(production)
	for _, address := range addresses {
		l.mustExecute(l.task(w, address, l.noon), reason.NoMatch)
	}
	_, plain := l.mustExecute(l.fromHold(w, hold.HoldId, addresses[0], l.noon), reason.Match)
	if !strings.Contains(plain, "line-held") || !strings.Contains(plain, "Held Jansen") {
		t.Error("the production from the hold does not name the subscriber")
	}
	l.mustExecute(l.fromHold(w, hold.HoldId, addresses[1], l.noon), reason.DataNotHeld)
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
