package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStoreSetupFlags(t *testing.T) {
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var ignored bytes.Buffer
	if code := run(t.Context(), []string{"-init", dir + "/g", "-issuer", "https://id.test.example", "-origin", "test.example/griffier"}, &ignored, &ignored); code != 0 {
		t.Fatal(ignored.String())
	}
	embedded := filepath.Join(dir, "g", "griffierd.yaml")
	text, err := os.ReadFile(embedded)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(text), "\nstore:\n")
	_, after, ends := strings.Cut(string(text), "\nledger:\n")
	if !found || !ends {
		t.Fatalf("no store in %s", text)
	}
	server := filepath.Join(dir, "g", "server.yaml")
	if err := os.WriteFile(server, []byte(before+"\nstore:\n  dsn_file: operator.dsn\n  cluster: \"{cluster}\"\nledger:\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		want   int
		stdout string
		stderr string
	}{
		{"the embedded engine", []string{"-config", embedded, "-store-setup", "-store-print"}, 1, "", "the embedded engine needs none"},
		{"nobody to do it", []string{"-config", server, "-store-setup"}, 1, "", "-store-admin FILE, or -store-print"},
		{"not a network", []string{"-config", server, "-store-setup", "-store-print", "-store-networks", "192.0.2.1"}, 1, "", `"192.0.2.1"`},
		{"a cluster without nodes", []string{"-config", server, "-store-setup", "-store-print"}, 1, "", "networks and a password for each other"},
		{"print the statements of one server", []string{"-config", one(t, server), "-store-setup", "-store-print", "-store-networks", "192.0.2.0/24, 2001:db8::/32"}, 0, "HOST IP '192.0.2.0/24', '2001:db8::/32'", ""},
	} {
		var stdout, stderr bytes.Buffer
		got := run(t.Context(), c.args, &stdout, &stderr)
		if got != c.want || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: exit %d, want %d\nstdout %.500s\nstderr %s", c.name, got, c.want, stdout.String(), stderr.String())
		}
	}
}

// one returns the configuration without its cluster.
func one(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(filepath.Dir(path), "one.yaml")
	if err := os.WriteFile(out, []byte(strings.Replace(string(text), "  cluster: \"{cluster}\"\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return out
}
