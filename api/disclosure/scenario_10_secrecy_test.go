package disclosure_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"griffier/api/auth"
	"griffier/api/oversight"
	"griffier/api/reason"
	"griffier/api/subject"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Scenario 10, DSAR vs secrecy: "two subscribers, one with a secret disclosure, request
// access -> exports identical in structure and field set; after the secrecy end is
// confirmed, the next export lists the recipient." No time alone ends it.
func TestScenario10AccessAndSecrecy(t *testing.T) {
	l := newWatchedLab(t, oversight.Limits{})
	desk := &subject.Desk{Register: l.Register, Executor: l.Conn, Operator: l.Conn, State: subject.NewState(), Embedded: true, Now: l.Now, Log: slog.New(l.Logs),
		Disclosures: func(ctx context.Context, lineID string) (out []subject.Disclosure, err error) {
			all, err := l.Watching.Disclosures(ctx, l.State, lineID)
			for _, d := range all {
				out = append(out, subject.Disclosure{Recipient: d.Authority, Basis: d.Basis, Category: string(d.Category), ReleasedAt: d.ReleasedAt})
			}
			return out, err
		},
		Policy: func() []schema.Policy {
			return []schema.Policy{{Class: schema.ClassAssignment, Purpose: "faults and complaints", Period: "P6M", Basis: "contract", Source: "test"}}
		}}
	l.Folds = append(l.Folds, desk.State)
	l.Restart()
	desk.Book = l.Log
	service := subject.NewService(desk, l.Keys)
	export := func(line string) *griffierv1.AccessExport {
		t.Helper()
		as := auth.NewContext(t.Context(), auth.Caller{Subject: "c0nt1", Actor: "c0nt1", Roles: []griffierv1.Role{griffierv1.Role_ROLE_PRIVACY_CONTROLLER}})
		m, err := service.ExportAccess(as, &griffierv1.ExportAccessRequest{LineId: line})
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
	before := export("line-alice")
	w := l.Approved(time.Hour)
	done, _ := l.MustExecute(l.Task(w, "192.0.2.17", l.Noon), reason.Match) // alice's
	asked, other := export("line-alice"), export("line-bob")
	if !alike(asked, other) || !alike(asked, before) || len(asked.GetRecipients()) != 0 || asked.GetAboutRecipients() == "" {
		t.Errorf("a secret disclosure shows:\n%v\n%v\nbefore it:\n%v", asked, other, before)
	}
	l.Skew.Store(int64(20 * 365 * 24 * time.Hour))
	if !alike(export("line-alice"), export("line-bob")) {
		t.Error("time alone ended secrecy")
	}
	l.Skew.Store(0)
	end, refusal := l.Overseen.Confirm(l.State, warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}, w.WarrantId, true, "letter of the prosecutor")
	if refusal != nil {
		t.Fatal(refusal)
	}
	if _, err := l.Log.Append(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	told := export("line-alice").GetRecipients()
	if len(told) != 1 || told[0].GetRecipient() != w.Content.Authority || told[0].GetCategory() != "ATTRIBUTION" || told[0].GetDisclosedAt().AsTime().IsZero() {
		t.Errorf("after %s was no longer secret: %v", done.TaskId, told)
	}
	if got := export("line-bob"); !alike(got, other) {
		t.Errorf("the other's changed: %v", got)
	}
}
