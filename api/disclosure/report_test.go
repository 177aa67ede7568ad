package disclosure_test

import (
	"encoding/json"
	"slices"
	"testing"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
	"griffier/api/reason"
)

// TestReportIsStable: programs read a report as JSON, so its checks keep their names
// and order, and each its three keys.
func TestReportIsStable(t *testing.T) {
	s := newSample(t, reason.Match)
	text, err := json.Marshal(disclosure.Verify(s.sealed, s.receipt, s.trust, seal.Identity{}))
	if err != nil {
		t.Fatal(err)
	}
	var report map[string]json.RawMessage
	var checks []map[string]string
	if err := json.Unmarshal(text, &report); err != nil || len(report) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	if err := json.Unmarshal(report["checks"], &checks); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range checks {
		names = append(names, c["name"])
		if len(c) != 3 || c["text"] == "" || !slices.Contains([]string{"ok", "failed", "not checked"}, c["verdict"]) {
			t.Errorf("check %v", c)
		}
	}
	if want := []string{"receipt", "checkpoint", "inclusion", "witnesses", "receipt time stamp", "ledger entry", "decryption", "signature", "time stamp", "files",
		"manifest and ledger", "records", "response.xml", "letter.pdf"}; !slices.Equal(names, want) {
		t.Errorf("checks %q, want %q", names, want)
	}
	if report["manifest"] != nil {
		t.Error("a manifest that nobody opened is shown")
	}
}
