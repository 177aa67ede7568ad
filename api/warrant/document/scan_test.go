package document_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
)

// script makes a scanner of a shell script.
func script(t *testing.T, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scan")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path, "-"}
}

func TestScan(t *testing.T) {
	const eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` // the beginning of the test file is enough for ours
	find := script(t, `if grep -q EICAR; then exit 1; fi`)
	for _, test := range []struct {
		name    string
		command []string
		data    string
		want    warrant.Scan
		detail  string
	}{
		{"none", nil, eicar, warrant.NotScan, ""},
		{"clean", find, "an order", warrant.ScanClean, ""},
		{"clean and long", find, strings.Repeat("an order ", 100_000), warrant.ScanClean, ""},
		{"infected", find, eicar, "", "found something"},
		{"decides early", script(t, "exit 0"), strings.Repeat("an order ", 100_000), warrant.ScanClean, ""},
		{"fails", script(t, "exit 2"), "an order", "", "no verdict"},
		{"dies", script(t, "kill -9 $$"), "an order", "", "no verdict"},
		{"is not there", []string{filepath.Join(t.TempDir(), "none")}, "an order", "", "no verdict"},
		{"hangs", script(t, "sleep 600 & wait"), "an order", "", "in time"},
	} {
		limit := time.Minute
		if test.name == "hangs" {
			limit = 2 * time.Second
		}
		began := time.Now()
		got, err := document.Scanner{Command: test.command, Limit: limit}.Scan(t.Context(), []byte(test.data))
		if got != test.want || (err == nil) != (test.detail == "") {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
		if e := reason.From(err); e != nil && (e.Reason != reason.DocumentRefused || !strings.Contains(e.Detail, test.detail)) {
			t.Errorf("%s: %v, want %q", test.name, e, test.detail)
		}
		if took := time.Since(began); took > 5*time.Minute {
			t.Errorf("%s took %v", test.name, took)
		}
	}
}

// A scanner sees the document, and nothing of ours.
func TestScannerSeesNoSecret(t *testing.T) {
	t.Setenv("GRIFFIER_SECRET", "x")
	if got, err := (document.Scanner{Command: script(t, `test -z "$GRIFFIER_SECRET" && test "$(cat)" = order`)}).Scan(t.Context(), []byte("order")); err != nil || got != warrant.ScanClean {
		t.Errorf("%q, %v", got, err)
	}
}
