package subject

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/oversighttest"
	"griffier/api/oversight/watch"
	"griffier/api/reason"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// TestAccessAndSecrecy is scenario 10 of the specification: of two persons, one
// whose data was disclosed in secret, exports cannot be told apart; when the end of
// secrecy is confirmed, and not by time, the next one lists the recipient.
func TestAccessAndSecrecy(t *testing.T) {
	h := newHouse(t)
	watched, legal := oversight.NewState(), warrant.NewState()
	if err := h.book.Close(); err != nil {
		t.Fatal(err)
	}
	state := NewState()
	h.cfg.Folds = []ledger.Fold{state, watched, legal}
	var err error
	if h.book, err = ledger.Open(context.Background(), h.cfg); err != nil {
		t.Fatal(err)
	}
	h.desk = &Desk{Register: h.reg, Executor: h.conn, Operator: h.conn, Book: h.book, State: state, Embedded: true,
		Now: func() time.Time { return h.now() }, Log: slog.New(slog.DiscardHandler)}
	h.service = NewService(h.desk, h.keys)
	begin := time.Now().Add(-30 * 24 * time.Hour)
	h.line(t, "L-suspect", "suspect@isp.example", begin, schema.Forever)
	h.line(t, "L-other", "other@isp.example", begin, schema.Forever)
	ctx := as("petra", controller)

	if _, err := h.service.ExportAccess(ctx, &griffierv1.ExportAccessRequest{LineId: "L-other"}); reason.Of(err) != reason.NotConfigured {
		t.Errorf("without disclosures: %v", err)
	}
	w := watch.New(watch.Config{Book: h.book, Keys: h.keys, State: watched, Staff: h.reg, Now: time.Now, Log: slog.New(slog.DiscardHandler)}, nil)
	h.desk.Disclosures = func(ctx context.Context, lineID string) (out []Disclosure, err error) {
		all, err := w.Disclosures(ctx, legal, lineID)
		for _, d := range all {
			out = append(out, Disclosure{Recipient: d.Authority, Basis: d.Basis, Category: string(d.Category), ReleasedAt: d.ReleasedAt})
		}
		return out, err
	}
	h.desk.Policy = func() []schema.Policy {
		return []schema.Policy{{Class: schema.ClassAssignment, Purpose: "faults and complaints", Period: "P6M", Basis: "contract", Source: "test"}}
	}
	export := func(line string) *griffierv1.AccessExport {
		t.Helper()
		m, err := h.service.ExportAccess(ctx, &griffierv1.ExportAccessRequest{LineId: line})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	// alike tells whether two exports are the same but for whose they are and when.
	alike := func(a, b *griffierv1.AccessExport) bool {
		a, b = proto.Clone(a).(*griffierv1.AccessExport), proto.Clone(b).(*griffierv1.AccessExport)
		for _, m := range []*griffierv1.AccessExport{a, b} {
			m.LineId, m.AccountId, m.MadeAt = "", "", nil
		}
		return proto.Equal(a, b)
	}

	p := oversighttest.Path{T: t, Book: h.book, Keys: h.keys, Legal: legal, Now: time.Now}
	const first, task, later, open = "00000000000000000000000000000001", "00000000000000000000000000000002", "00000000000000000000000000000003", "00000000000000000000000000000004"
	secret := p.Warrant(first, "NL-OM", warrant.Attribution)
	p.Task(first, task, "0f", warrant.Attribution)
	if err := w.Resolved(t.Context(), p.Begin(first, task), secret, []string{"L-suspect"}); err != nil {
		t.Fatal(err)
	}
	if got := export("L-suspect"); len(got.GetRecipients()) != 0 {
		t.Errorf("before it is released: %v", got)
	}
	p.Release(first, task, reason.Match)
	if !alike(export("L-suspect"), export("L-other")) {
		t.Errorf("a secret disclosure shows:\n%v\n%v", export("L-suspect"), export("L-other"))
	}
	h.now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
	if !alike(export("L-suspect"), export("L-other")) {
		t.Error("time alone ended secrecy")
	}
	h.now = time.Now
	// Another warrant about the line, resolved and never released, stays unsaid too.
	second := p.Warrant(later, "BE-OM", warrant.Attribution)
	p.Task(later, open, "0f", warrant.Attribution)
	if err := w.Resolved(t.Context(), p.Begin(later, open), second, []string{"L-suspect"}); err != nil {
		t.Fatal(err)
	}
	confirm := func(id string) {
		t.Helper()
		d, refusal := watched.Confirm(legal, warrant.Caller{Actor: "0f", Roles: []warrant.Role{warrant.LegalOfficer}}, id, true, "letter of the prosecutor")
		if refusal != nil {
			t.Fatal(refusal)
		}
		if _, err := h.book.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	confirm(first)
	confirm(later)
	got := export("L-suspect")
	if len(got.GetRecipients()) != 1 || got.GetRecipients()[0].GetRecipient() != "NL-OM" || got.GetRecipients()[0].GetCategory() != "ATTRIBUTION" {
		t.Errorf("after secrecy has ended: %v", got)
	}
	other := export("L-other")
	if len(other.GetRecipients()) != 0 || other.GetAboutRecipients() != got.GetAboutRecipients() || len(other.GetData()) != len(got.GetData()) {
		t.Errorf("of the other: %v", other)
	}
	if _, err := h.service.ExportAccess(ctx, &griffierv1.ExportAccessRequest{LineId: "L-nobody"}); reason.Of(err) != reason.NotFound {
		t.Errorf("an unknown line: %v", err)
	}
	if _, err := h.service.ExportAccess(ctx, &griffierv1.ExportAccessRequest{LineId: "no line"}); reason.Of(err) != reason.InvalidRequest {
		t.Errorf("a malformed line: %v", err)
	}
	// With the dossier goes what it says of the person.
	if err := h.keys.Shred(warrant.KeyID(first)); err != nil {
		t.Fatal(err)
	}
	if got := export("L-suspect"); len(got.GetRecipients()) != 0 {
		t.Errorf("after the dossier was destroyed: %v", got)
	}
}
