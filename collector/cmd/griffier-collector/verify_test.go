package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"griffier/collector/daemon"
	"griffier/schema"
)

func TestShowKept(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	pass := []daemon.Kept{{Place: "spool", Class: schema.ClassSession, Rows: 3, Expired: 1, Oldest: at}}
	fail := append(pass, daemon.Kept{Place: "quarantine", Class: schema.ClassUsage5m, Rows: 9, Expired: 9, Overdue: 2, Oldest: at})
	for _, c := range []struct {
		name   string
		kept   []daemon.Kept
		asJSON bool
		want   string
		ok     bool
	}{
		{"nothing", nil, false, "spool and quarantine  -      0     0        0        -       PASS\n", true},
		{"nothing, as JSON", nil, true, `{"verdict":"PASS","kept":[]}`, true},
		{"in order", pass, false, "spool  session  3     1        0        2026-11-01T00:00:00Z  PASS\n", true},
		{"overdue", fail, false, "quarantine  usage_5m  9     9        2        2026-11-01T00:00:00Z  FAIL\n", false},
		{"overdue, as JSON", fail, true, `{"place":"quarantine","class":"usage_5m","rows":9,"expired":9,"oldest":"2026-11-01T00:00:00Z","overdue":2}`, false},
	} {
		var out bytes.Buffer
		err := showKept(c.kept, c.asJSON, &out)
		if (err == nil) != c.ok || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %v\n%s\nwant ok %v and %s", c.name, err, out.String(), c.ok, c.want)
		}
	}
}

func TestVerifyRetentionWantsAStore(t *testing.T) {
	path := configured(t, t.TempDir())
	if code, stdout, stderr := execute(t, "-config", path, "-verify-retention"); code != exitFailed || stdout != "" || !strings.Contains(stderr, "cannot be read") {
		t.Errorf("exit code %d, stdout %q, stderr %q; want a failure that says why", code, stdout, stderr)
	}
	if code, _, stderr := execute(t, "-verify-retention"); code != exitUsage || stderr == "" {
		t.Errorf("without a configuration: exit code %d, stderr %q", code, stderr)
	}
	if code, _, stderr := execute(t, "-config", path, "-verify-retention", "-unpin"); code != exitUsage || stderr == "" {
		t.Errorf("with -unpin: exit code %d, stderr %q", code, stderr)
	}
}
