package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestProgressLines(t *testing.T) {
	at := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	p := newProgress(&out, func() time.Time { return at })
	p.update(1000, 1<<20, 100<<20) // too early to show
	at = at.Add(10 * time.Second)
	p.update(40_000_000, 25<<20, 100<<20)
	at = at.Add(time.Second)
	p.update(44_000_000, 27<<20, 100<<20) // too soon after
	at = at.Add(time.Second)
	p.update(60_000_000, 100<<20, 100<<20)
	p.end()
	want := "25 %  25 of 100 MiB, 40.0M packets, 4.0M/s, 30s to go\n100 %  100 of 100 MiB, 60.0M packets, 5.0M/s, 0s to go\n"
	if out.String() != want {
		t.Errorf("shown\n%q, want\n%q", out.String(), want)
	}
}

// On a terminal, which script(1) makes here, a bar is drawn and taken away.
func TestProgressBar(t *testing.T) {
	if os.Getenv("GRIFFIER_TEST_PROGRESS") != "" {
		at := time.Now()
		p := newProgress(os.Stderr, func() time.Time { return at })
		at = at.Add(time.Second)
		p.update(1_000_000, 50<<20, 100<<20)
		p.end()
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "script", "-q", "-e", "-c", self+" -test.run '^TestProgressBar$'", "/dev/null")
	cmd.Env = append(os.Environ(), "GRIFFIER_TEST_PROGRESS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	bar := "\r[===============               ]  50 %  50 of 100 MiB, 1.0M packets, 1.0M/s, 1s to go\x1b[K\r\x1b[K"
	if !strings.Contains(string(out), bar) {
		t.Errorf("drawn %q, want %q", out, bar)
	}
}

// A file is no terminal.
func TestProgressIntoFile(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := time.Now()
	p := newProgress(f, func() time.Time { return at })
	at = at.Add(time.Minute)
	p.update(1, 1, 2)
	p.end()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil || strings.ContainsAny(string(text), "\r\x1b") || !strings.HasPrefix(string(text), "50 %") {
		t.Errorf("file has %q, %v", text, err)
	}
}
