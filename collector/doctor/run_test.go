package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A check that fails silences those that need it, and nobody else.
func TestDependencies(t *testing.T) {
	outcome := func(f Finding) func(context.Context, *system) Finding {
		return func(context.Context, *system) Finding { return f }
	}
	r := run(t.Context(), []check{
		{"root", nil, outcome(Finding{Status: Fail, Found: "broken", Cause: "a cause", Cure: "a cure"})},
		{"child", []string{"root"}, outcome(pass("fine"))},
		{"grandchild", []string{"child"}, outcome(pass("fine"))},
		{"warns", nil, outcome(Finding{Status: Warn, Found: "hm"})},
		{"below-warning", []string{"warns"}, outcome(pass("fine"))},
	}, &system{})
	var have []string
	for _, f := range r.Findings {
		have = append(have, f.Check+"="+string(f.Status))
	}
	if got, want := strings.Join(have, " "), "root=FAIL child=SKIP grandchild=SKIP warns=WARN below-warning=PASS"; got != want {
		t.Errorf("findings %s, want %s", got, want)
	}
	if r.Healthy {
		t.Error("healthy in spite of a failure")
	}
	var text, encoded bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FAIL  root", "cause: a cause", "cure:  a cure", "1 passed, 1 warnings, 1 failed, 2 skipped"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	if err := r.WriteJSON(&encoded); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(encoded.Bytes(), &back); err != nil || len(back.Findings) != 5 || back.Healthy {
		t.Errorf("JSON gives %+v, %v", back, err)
	}
}

// Names are lower-kebab, and no check waits for itself, or Run would hang.
func TestChecksCanRun(t *testing.T) {
	index := map[string]int{}
	for i, c := range checks {
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(c.name) {
			t.Errorf("name %q", c.name)
		}
		if _, twice := index[c.name]; twice {
			t.Errorf("%s is there twice", c.name)
		}
		index[c.name] = i
	}
	for i, c := range checks {
		for _, n := range c.needs {
			if at, ok := index[n]; !ok || at == i {
				t.Errorf("%s needs %s, which is no other check", c.name, n)
			}
		}
	}
	if seen := cycle(index); seen != "" {
		t.Errorf("%s needs itself in the end", seen)
	}
}

func cycle(index map[string]int) string {
	var visit func(name string, path map[string]bool) bool
	visit = func(name string, path map[string]bool) bool {
		if path[name] {
			return true
		}
		path[name] = true
		for _, n := range checks[index[name]].needs {
			if visit(n, path) {
				return true
			}
		}
		delete(path, name)
		return false
	}
	for _, c := range checks {
		if visit(c.name, map[string]bool{}) {
			return c.name
		}
	}
	return ""
}

// A configuration that cannot be read leaves the checks that need none.
func TestUnreadableConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "collector.yaml")
	if err := os.WriteFile(path, []byte("collector_id: x\ncolour: red\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := Run(t.Context(), path)
	if r.Healthy {
		t.Error("healthy")
	}
	for _, f := range r.Findings {
		want := Skip
		switch f.Check {
		case "config":
			want = Fail
			if !strings.Contains(f.Cause, path+":2:1") {
				t.Errorf("the cause names no place: %s", f.Cause)
			}
		case "clock":
			continue
		}
		if f.Status != want {
			t.Errorf("%s is %s, want %s", f.Check, f.Status, want)
		}
	}
}

// Whatever is not well has a cause and a cure.
func requireCures(t *testing.T, r Report) {
	t.Helper()
	for _, f := range r.Findings {
		if (f.Status == Warn || f.Status == Fail) && (f.Found == "" || f.Cause == "" || f.Cure == "") {
			t.Errorf("%+v lacks a cause or a cure", f)
		}
	}
}

func finding(t *testing.T, r Report, name string) Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == name {
			return f
		}
	}
	t.Fatalf("no finding %s", name)
	return Finding{}
}
