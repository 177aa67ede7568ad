package cli

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	griffierv1 "griffier/proto/griffier/v1"
)

// TestExpiryOutputIsStable prints a proof that failed, a report and certificates in
// every form.
func TestExpiryOutputIsStable(t *testing.T) {
	proof := &griffierv1.ExpiryProof{LedgerIndex: 7, At: when(4), Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_FAIL, Passed: 1, Failed: 1, NotChecked: 1,
		Exceptions: 1, TookMillis: 1234, PolicySha256: "5ac1f1e5", Findings: []*griffierv1.ExpiryFinding{
			{Class: "session", Place: "views", Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS, Checked: 12, Unit: "rows near the limit", Oldest: when(1), Limit: when(0)},
			{Class: "usage_5m", Place: "rows", Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_FAIL, Checked: 3, Unit: "rows that have expired", Oldest: when(1), Limit: when(2),
				Detail: "a row is on disk", Cure: "drop it"},
			{Place: "spool", Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_NOT_CHECKED, Detail: "elsewhere", Cure: "look there"},
			{Class: "session", Place: "holds", Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_EXCEPTION, Checked: 5, Unit: "rows"},
		}}
	certificate := &griffierv1.ExpiryCertificate{LedgerIndex: 9, At: when(4), IntentIndex: 8, Class: "session", From: when(0), Until: when(23), Outcome: "dropped", Rows: 1 << 40,
		Bytes: 12, PartsBeforeSha256: "0123456789abcdef", PartsAfterSha256: "e3b0c44298fc1c14", RowsAfter: 2, PolicyGeneration: 3, PolicySha256: "5ac1f1e5"}
	report := &griffierv1.ReportExpiryResponse{Classes: []*griffierv1.ClassExpiry{
		{Class: "session", Period: "P6M", Zone: "Europe/Amsterdam", Purpose: "faults", ReadableFrom: when(1), OldestRow: when(2), NextDrop: when(3), Days: 180, Rows: 1 << 40,
			Bytes: 1 << 41, HeldRows: 5, LastVerdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS, LastProofAt: when(4), LastCertificate: certificate},
		{Class: "access_log", ReadableFrom: when(1)},
	}}
	certificates := &griffierv1.ListCertificatesResponse{Certificates: []*griffierv1.ExpiryCertificate{certificate}}
	for _, format := range []string{"json", "csv", "table"} {
		show := func(name string, print func(a *app) error) {
			t.Helper()
			var stdout, stderr bytes.Buffer
			if err := print(&app{stdout: &stdout, stderr: &stderr, format: format}); err != nil {
				t.Errorf("%s as %s: %v", name, format, err)
			}
			golden(t, name+"."+format, stdout.String())
		}
		show("retention-verify", func(a *app) error {
			var failed failure
			if err := a.showProof(proof, true); !errors.As(err, &failed) || failed.code != 1 {
				t.Errorf("a proof that failed is %v, want exit code 1", err)
			}
			return nil
		})
		show("retention-report", func(a *app) error { return a.print(report, reportTable(report)) })
		show("retention-certificates", func(a *app) error { return a.print(certificates, certificateTable(certificates)) })
	}
	var summed bytes.Buffer
	summary := proto.Clone(proof).(*griffierv1.ExpiryProof)
	summary.Findings = append(summary.Findings, &griffierv1.ExpiryFinding{Class: "session", Place: "rows", Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS, Checked: 4, Unit: "rows"},
		&griffierv1.ExpiryFinding{Place: "server logs", Verdict: griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS})
	if err := (&app{stdout: &summed, stderr: &bytes.Buffer{}, format: "table"}).showProof(summary, false); err == nil {
		t.Error("a proof that failed, summed up, is no error")
	}
	golden(t, "retention-verify-summary.table", summed.String())
	passed := proto.Clone(proof).(*griffierv1.ExpiryProof)
	passed.Verdict, passed.Failed = griffierv1.ExpiryVerdict_EXPIRY_VERDICT_PASS, 0
	var out bytes.Buffer
	if err := (&app{stdout: &out, stderr: &out, format: "table"}).showProof(passed, true); err != nil {
		t.Errorf("a proof that passed: %v", err)
	}
}
