package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The collector's own doctor answers, with its exit code.
func TestDoctorRunsTheCollectors(t *testing.T) {
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", filepath.Join(dir, collectorCommand), "griffier/collector/cmd/griffier-collector")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	config := filepath.Join(dir, "collector.yaml")
	if err := os.WriteFile(config, []byte("colour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Run(t.Context(), args, strings.NewReader(""), &out, &errs)
		return code, out.String(), errs.String()
	}
	t.Setenv("PATH", dir)
	code, out, errs := run("doctor", "--config", config)
	if code != 1 || !strings.Contains(out, "FAIL  config") || !strings.Contains(errs, "cure") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	for _, args := range [][]string{{"doctor", "--config", config, "--json"}, {"doctor", "--config", config, "-o", "json"}} {
		code, out, _ = run(args...)
		var report struct {
			Findings []struct{ Check, Status string }
		}
		if err := json.Unmarshal([]byte(out), &report); code != 1 || err != nil || len(report.Findings) == 0 || report.Findings[0].Status != "FAIL" {
			t.Errorf("%v: exit %d, %v\n%s", args, code, err, out)
		}
	}
	t.Setenv("PATH", t.TempDir())
	if code, _, errs = run("doctor"); code != 1 || !strings.Contains(errs, "on the router") {
		t.Errorf("without a collector: exit %d, %s", code, errs)
	}
	if code, _, _ = run("doctor", "-o", "csv"); code != 2 {
		t.Errorf("-o csv: exit %d, want 2", code)
	}
}
