package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode"

	"griffier/api/disclosure"
	"griffier/api/reason"
)

// TestCellsDoNotDeceive: whoever wrote a text, it stays in its cell, in its own order,
// and a terminal obeys none of it.
func TestCellsDoNotDeceive(t *testing.T) {
	hostile := []string{"J. de Vries\nstate  APPROVED", "a\tb", "\x1b[2Ka\x1b[1A", "\u202eABC\u202c", "\u2066x\u2069", "a\u200bb", "\u009b31m", "\ufeffx", "a\r\nb", "e\u2028f"}
	for _, text := range hostile {
		var out, errs bytes.Buffer
		a := &app{stdout: &out, stderr: &errs, format: "table"}
		table := table{header: []string{"field", "value"}}
		table.add("requested_by", text)
		table.add("state", "AWAITING_APPROVAL")
		if err := a.print(nil, table); err != nil {
			t.Fatal(err)
		}
		a.report(reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "note", Description: text}))
		for name, shown := range map[string]string{"table": out.String(), "error": errs.String()} {
			if i := strings.IndexFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
				t.Errorf("%s of %q has %q", name, text, shown[i:])
			}
		}
		if lines := strings.Count(out.String(), "\n"); lines != 3 {
			t.Errorf("%q makes %d lines of a table of 3:\n%s", text, lines, out.String())
		}
		if lines := strings.Count(errs.String(), "\n"); lines != 3 {
			t.Errorf("%q makes %d lines of an error of 3:\n%s", text, lines, errs.String())
		}
	}
}

// TestVerifiedIsNotWhole: a package that is what it was, and whose answer is not all or
// not sure, says so beside its verdict.
func TestVerifiedIsNotWhole(t *testing.T) {
	m := disclosure.Manifest{Answer: disclosure.ManifestAnswer{Reason: reason.Match, Meaning: "m", Neighbours: "2-10", Incomplete: []reason.Reason{reason.RetentionElapsed}}}
	report := disclosure.Report{Checks: []disclosure.Check{{Name: "all", Verdict: disclosure.VerdictOK, Text: "good"}}, Manifest: &m}
	var out bytes.Buffer
	if err := (&app{stdout: &out, stderr: &out, format: "table"}).showPackage(report, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"VERIFIED: MATCH\n", "INCOMPLETE: records may be missing: RETENTION_ELAPSED\n", "NEAR: 2-10 other lines"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	m.Answer.Incomplete, m.Answer.Neighbours = nil, ""
	out.Reset()
	report.Checks = []disclosure.Check{{Name: "all", Verdict: disclosure.VerdictFailed, Text: "bad"}}
	err := (&app{stdout: &out, stderr: &out, format: "table"}).showPackage(report, true)
	var failed failure
	if !errors.As(err, &failed) || strings.Contains(out.String(), "VERIFIED") {
		t.Errorf("a package that fails: %v\n%s", err, out.String())
	}
}
