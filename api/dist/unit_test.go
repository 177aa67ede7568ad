package dist

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// worstExposure is what systemd-analyze security may say at most, of 10. What is
// left of it is mostly the network.
const worstExposure = 2.0

// Requires the tools of systemd, as every Debian has them.
func TestUnitIsHardened(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true", "griffierd.service").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no exposure level in\n%s", out)
	}
	exposure, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil || exposure > worstExposure {
		t.Errorf("exposure %s, %v, want at most %v\n%s", m[1], err, worstExposure, out)
	}
	t.Logf("exposure %v", exposure)
}

// What refuses to start is left alone in the end: as many attempts as systemd makes fit
// into the interval in which it counts them, each with a minute to fail in.
func TestUnitGivesUp(t *testing.T) {
	text, err := os.ReadFile("griffierd.service")
	if err != nil {
		t.Fatal(err)
	}
	value := func(key, unit string) int {
		m := regexp.MustCompile(`(?m)^` + key + `=([0-9]+)` + unit + `$`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("the unit has no %s in %q", key, unit)
		}
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	attempts := value("StartLimitBurst", "")
	if interval, took := value("StartLimitIntervalSec", "min")*60, attempts*(value("RestartSec", "")+60); attempts < 2 || took > interval {
		t.Errorf("%d attempts take %d s and are counted for %d s: they would go on for ever", attempts, took, interval)
	}
}

// The unit is one that systemd reads without a complaint, when its program is
// where it says.
func TestUnitIsValid(t *testing.T) {
	text, err := os.ReadFile("griffierd.service")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "griffierd")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(text), "/usr/bin/griffierd", program)
	moved = strings.ReplaceAll(moved, "Documentation=file:///usr/share/doc/griffier/INSTALL.md\n", "")
	path := filepath.Join(dir, "griffierd.service")
	if err := os.WriteFile(path, []byte(moved), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("griffier")) {
		t.Errorf("%v\n%s", err, out)
	}
}
