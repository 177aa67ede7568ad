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

	"griffier/collector/config"
)

// worstExposure is what systemd-analyze security may say at most, of 10. What is
// left of it is the network and the capabilities that attaching takes.
const worstExposure = 2.5

// Requires the tools of systemd, as every Debian has them.
func TestUnitIsHardened(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--offline=true", "griffier-collector.service").CombinedOutput()
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

// The unit is one that systemd reads without a complaint, when its programs are
// where it says.
func TestUnitIsValid(t *testing.T) {
	text, err := os.ReadFile("griffier-collector.service")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "griffier-collector")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	mount, err := os.ReadFile("run-griffier_bpf.mount")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run-griffier_bpf.mount"), mount, 0o644); err != nil {
		t.Fatal(err)
	}
	moved := strings.ReplaceAll(string(text), "/usr/bin/griffier-collector", program)
	moved = strings.ReplaceAll(moved, "Documentation=file:///usr/share/doc/griffier-collector/FIRST_ROUTER.md\n", "")
	path := filepath.Join(dir, "griffier-collector.service")
	if err := os.WriteFile(path, []byte(moved), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("griffier")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// The configuration that is installed is a valid one, and says of itself what is true.
func TestConfigurationIsValid(t *testing.T) {
	text, err := os.ReadFile("collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("collector.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("griffier-collector.service")
	if err != nil {
		t.Fatal(err)
	}
	if pins := filepath.Dir(c.PinDir); !strings.Contains(string(unit), "ReadWritePaths="+pins+"\n") {
		t.Errorf("the unit lets nobody write to %s", pins)
	}
	if state := filepath.Dir(c.Spool.Dir); !strings.Contains(string(unit), "StateDirectory="+filepath.Base(state)+"\n") || filepath.Dir(state) != "/var/lib" {
		t.Errorf("the unit makes no %s", state)
	}
	// What is commented out works too.
	whole := regexp.MustCompile(`(?m)^#( {4}- | {6}[a-z])`).ReplaceAllString(string(text), "$1")
	example := regexp.MustCompile(`(?m)^# As in: (interfaces: .*)$`).FindStringSubmatch(whole)
	if example == nil {
		t.Fatal("no example of interfaces")
	}
	whole = strings.Replace(whole, "interfaces: []", example[1], 1)
	if c, err = config.Parse("whole.yaml", []byte(whole)); err != nil || len(c.Interfaces) != 2 || len(c.RADIUS.Clients) != 2 {
		t.Errorf("with its examples: %d interfaces, %d clients, %v\n%s", len(c.Interfaces), len(c.RADIUS.Clients), err, whole)
	}
}
