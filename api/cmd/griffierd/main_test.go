package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/build"
)

func TestRunExitCodes(t *testing.T) {
	dir, err := os.MkdirTemp("", "g") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	made := filepath.Join(dir, "g")
	config := filepath.Join(made, "griffierd.yaml")
	initArgs := []string{"-init", made, "-issuer", "https://id.test.example", "-origin", "test.example/griffier", "-listen", "127.0.0.1:0"}
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("listen: 127.0.0.1:1\nnonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		args   []string
		want   int
		stdout string
		stderr string
	}{
		{"nothing", nil, 2, "", "-config FILE is needed"},
		{"help", []string{"-help"}, 0, "", "-accept-witness-loss"},
		{"version", []string{"-version"}, 0, "griffierd " + build.Version() + "\n", ""},
		{"unknown flag", []string{"-nonsense"}, 2, "", "not defined"},
		{"unknown argument", []string{"-config", broken, "serve"}, 2, "", `unknown argument "serve"`},
		{"init without issuer", []string{"-init", made}, 2, "", "needs -issuer and -origin"},
		{"init with the Union's law alone", append([]string{"-profile", "eu"}, initArgs...), 1, "", "an addition to a nation's"},
		{"init with another law", append([]string{"-profile", "fr"}, initArgs...), 1, "", `"fr"`},
		{"init", initArgs, 0, "", "start with: griffierd -config " + config},
		{"init again", initArgs, 1, "", "is there already"},
		{"no such file", []string{"-config", filepath.Join(dir, "none")}, 2, "", "no such file"},
		{"unknown key", []string{"-config", broken}, 2, "", broken + ":2:1: unknown field"},
		{"check", []string{"-config", config, "-check"}, 0, "shutdown_grace: 20s", ""},
	} {
		var stdout, stderr bytes.Buffer
		got := run(t.Context(), c.args, &stdout, &stderr)
		if got != c.want || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%s: exit %d, want %d\nstdout %s\nstderr %s", c.name, got, c.want, stdout.String(), stderr.String())
		}
		if c.stdout == "" && stdout.Len() > 0 {
			t.Errorf("%s: stdout %s, want nothing", c.name, stdout.String())
		}
	}

	// A mistake in the policy file is found by -check, and before the store is made.
	policy := filepath.Join(made, "retention.yaml")
	text, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policy, append([]byte("nonsense: 1\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[int][]string{2: {"-config", config, "-check"}, 1: {"-config", config}} {
		var out bytes.Buffer
		if got := run(t.Context(), args, &out, &out); got != want || !strings.Contains(out.String(), policy+":1:1: unknown field") {
			t.Errorf("policy with an unknown key, %v: exit %d\n%s", args, got, out.String())
		}
	}
	if _, err := os.Stat(filepath.Join(made, "store")); err == nil {
		t.Error("a store was made for a policy that is refused")
	}
	if err := os.WriteFile(policy, text, 0o600); err != nil {
		t.Fatal(err)
	}

	// A key that others may read is refused at the start, with the cure.
	key := filepath.Join(made, "secret", "actor.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	if got := run(t.Context(), []string{"-config", config}, &stderr, &stderr); got != 1 || !strings.Contains(stderr.String(), "chmod 600 "+key) {
		t.Errorf("open key: exit %d\n%s", got, stderr.String())
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}

	// It serves until it is told to stop, and then ends well.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out := &stopWhen{text: `"msg":"serving"`, stop: cancel}
	if got := run(ctx, []string{"-config", config}, out, out); got != 0 || !out.seen {
		t.Errorf("serving: exit %d, served %v\n%s", got, out.seen, out.b.String())
	}
}

// stopWhen cancels when text is written.
type stopWhen struct {
	b    bytes.Buffer
	text string
	stop func()
	seen bool
}

func (s *stopWhen) Write(p []byte) (int, error) {
	s.b.Write(p)
	if strings.Contains(s.b.String(), s.text) {
		s.seen = true
		s.stop()
	}
	return len(p), nil
}
