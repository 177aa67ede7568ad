package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	griffierv1 "griffier/proto/griffier/v1"
)

// TestPlanIsStable prints a plan in every form: names and order are a promise to
// scripts.
func TestPlanIsStable(t *testing.T) {
	plan := &griffierv1.PlanRetentionResponse{Sha256: "ab", PolicyGeneration: 3, NeedsProposal: true, GenerationInForce: 2, Changes: []*griffierv1.RetentionChange{
		{Class: "usage_5m", Effect: griffierv1.RetentionChange_EFFECT_SHORTENS, PeriodNow: "P14D", PeriodNew: "P7D", ZoneNow: "UTC", ZoneNew: "UTC", Stored: true,
			Rows: 20, RowsUnreadable: 9, BytesUnreadable: 1 << 40, OldestRow: when(0), FirstDrop: when(1)},
		{Class: "session", Effect: griffierv1.RetentionChange_EFFECT_LENGTHENS, PeriodNow: "P6M", PeriodNew: "P6M", ZoneNow: "UTC", ZoneNew: "Europe/Brussels", Stored: true},
		{Class: "dossier", Effect: griffierv1.RetentionChange_EFFECT_ADDS, PeriodNew: "P5Y", ZoneNew: "UTC"},
	}}
	for _, format := range []string{"json", "csv", "table"} {
		var stdout bytes.Buffer
		if err := (&app{stdout: &stdout, stderr: &stdout, format: format}).print(plan, planTable(plan)); err != nil {
			t.Errorf("as %s: %v", format, err)
		}
		golden(t, "plan."+format, stdout.String())
	}
}

// TestProposalIsStable: what a proposal has not come to yet is not shown as if it had.
func TestProposalIsStable(t *testing.T) {
	p := &griffierv1.RetentionProposal{ProposalId: "0123456789abcdef", Generation: 1, State: griffierv1.RetentionProposalState_RETENTION_PROPOSAL_STATE_AWAITING_ADVICE,
		Sha256: "ab", PolicyGeneration: 3, BaseGeneration: 2, Lengthens: []string{"session", "usage_5m"}, ProposedBy: "cdef0123456789", ProposedAt: when(1), ExpiresAt: when(2)}
	for _, name := range []string{"proposed", "approved"} {
		if name == "approved" {
			p.Advice, p.AdvisedBy, p.AdvisedAt = griffierv1.RetentionAdvice_RETENTION_ADVICE_AGAINST, "aa", when(3)
			p.ApprovedBy, p.ApprovedAt = "bb", when(4)
		}
		var stdout bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stdout, format: "table"}
		if err := a.showProposal(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		golden(t, "proposal-"+name+".table", stdout.String())
	}
}

// TestSignKeepsTheFile: a file that cannot be signed is left as it was, and one
// that is keeps its mode.
func TestSignKeepsTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.yaml")
	if err := errors.Join(os.WriteFile(path, []byte("generation: 1\n"), 0o640), os.Chmod(path, 0o640)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		var out bytes.Buffer
		return Run(t.Context(), append([]string{"retention"}, args...), strings.NewReader(""), &out, &out), out.String()
	}
	key := filepath.Join(dir, "key")
	if code, out := run("keygen", "--out", key, "--name", "test.example/lawyer"); code != 0 {
		t.Fatalf("keygen: %d, %s", code, out)
	}
	if code, out := run("sign", path, "--key", key); code != 2 || !strings.Contains(out, path+": class session is missing") {
		t.Errorf("sign of half a policy: %d, %s", code, out)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "generation: 1\n" {
		t.Errorf("after it: %q, %v", text, err)
	}
	if err := replaceFile(path, []byte("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v; want 0640 as before", info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
