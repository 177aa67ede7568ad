package cli

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

	griffierv1 "griffier/proto/griffier/v1"
)

// TestOversightIsStable prints what the overseer sees, in every form.
func TestOversightIsStable(t *testing.T) {
	figures := &griffierv1.DisclosureFigures{Requests: 12, Answered: 7, Unanswered: 5, Subjects: 7}
	seen := &griffierv1.Oversight{At: when(9), Warrants: []*griffierv1.OpenWarrant{{WarrantId: "0a", LegalBasis: "NL-126na", State: "APPROVED", CreatedAt: when(1), ActBy: when(2),
		ValidUntil: when(20), EffectiveUntil: when(20), PaperBy: when(3), Emergency: true, Approvals: 2, Overdue: true,
		Tasks: []*griffierv1.OpenTask{{TaskId: "0b", Category: "ATTRIBUTION", State: "AWAITING_DISCLOSURE", CreatedAt: when(1), Unconfirmed: true}}}},
		WarrantStates: []*griffierv1.StateCount{{State: "APPROVED", Count: 1}}, Emergencies: 1, Unconfirmed: 1, Overdue: 1, HoldsLive: 2,
		Refusals:  []*griffierv1.StateCount{{State: "SELF_APPROVAL", Count: 3}},
		LimitHits: []*griffierv1.LimitHit{{Limit: "tasks_per_officer_day", Officer: "0f", At: when(4)}},
		Alarms: []*griffierv1.OversightAlarm{{Kind: griffierv1.OversightAlarmKind_OVERSIGHT_ALARM_KIND_LINKAGE, At: when(5), Count: 3, WarrantIds: []string{"0a", "0c"}, LedgerIndex: 7},
			{Kind: griffierv1.OversightAlarmKind_OVERSIGHT_ALARM_KIND_WALK, At: when(6), Count: 4, WarrantIds: []string{"0a", "0d"}, LedgerIndex: 9}},
		LedgerEntries: 40, LedgerNewestAt: when(8), Health: []*griffierv1.Health{{Part: "witness w1", Ok: true, Detail: "40 entries, 0s behind"}, {Part: "sink s1", Detail: "12 entries, 2m0s behind"}},
		Limits: &griffierv1.OversightLimits{WarrantsPerAuthorityHour: 50, TasksPerOfficerDay: 100, WalkLength: 4}}
	full := &griffierv1.DisclosureStatistics{Year: 2026, Until: when(9), Total: figures,
		Cells: []*griffierv1.DisclosureCell{{Authority: "NL-OM", LegalBasis: "NL-126na", Category: "ATTRIBUTION", Age: "1 to 7 days", Figures: figures}}}
	public := &griffierv1.DisclosureStatistics{Year: 2025, Public: true, Until: when(9), Total: figures,
		Tables: []*griffierv1.DisclosureTable{{By: "authority", Rows: []*griffierv1.DisclosureRow{{Labels: []string{"BE-OM", "NL-OM"}, Figures: figures}}}}}
	cost := &griffierv1.Cost{CostId: "0e", WarrantId: "0a", Minutes: 25, Tariff: "NL-A1", RecordedBy: "0f", RecordedAt: when(7), Authority: "NL-OM", Reference: "PV/1"}
	export := &griffierv1.AccessExport{LineId: "L-1", AccountId: "acc", TimeZone: "Europe/Amsterdam", MadeAt: when(9), ContractStart: when(0),
		Data:            []*griffierv1.HeldData{{Class: "assignment", Purpose: "faults and complaints", Period: "P6M"}},
		Recipients:      []*griffierv1.AccessRecipient{{Recipient: "NL-OM", LegalBasis: "NL-126na", Category: "ATTRIBUTION", DisclosedAt: when(2)}},
		AboutRecipients: "The same for all."}
	for name, c := range map[string]struct {
		m proto.Message
		t table
	}{
		"oversight":          {seen, oversightTable(seen)},
		"disclosures":        {full, disclosureTable(full)},
		"disclosures-public": {public, disclosureTable(public)},
		"costs":              {&griffierv1.ListCostsResponse{Costs: []*griffierv1.Cost{cost}}, costTable(cost)},
		"access":             {export, exportTable(export)},
	} {
		for _, format := range []string{"json", "csv", "table"} {
			var stdout, stderr bytes.Buffer
			a := &app{stdout: &stdout, stderr: &stderr, format: format}
			if err := a.print(c.m, c.t); err != nil {
				t.Errorf("%s as %s: %v", name, format, err)
			}
			golden(t, name+"."+format, stdout.String())
		}
	}
}
