package daemon

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"griffier/collector/config"
	"griffier/collector/spool"
	"griffier/schema"
)

// TestVerifyRetention plants rows on both sides of each limit, in the spool and in
// quarantine, and finds them.
func TestVerifyRetention(t *testing.T) {
	dir := t.TempDir()
	c := config.Default()
	c.Spool.Dir = filepath.Join(dir, "spool")
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	policies := []schema.Policy{{Class: schema.ClassUsage5m, Period: "P14D", Zone: "Europe/Amsterdam", Purpose: "faults"}}
	used := func(age time.Duration) schema.Record {
		end := now.Add(-age)
		return &schema.Usage{AccessRef: schema.AccessRef{1}, CounterID: schema.ID{1}, BucketStartedAt: end.Add(-schema.BucketLength), EndedAt: end,
			SampledAt: end, Direction: schema.Up, IPVersion: 4, Bytes: 1, Packets: 1, CumulativeBytes: 1, CumulativePackets: 1, CollectorID: "c"}
	}
	const day = 24 * time.Hour
	s, err := spool.Open(spool.Config{Dir: c.Spool.Dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(records ...schema.Record) {
		t.Helper()
		if err := s.Append(t.Context(), spool.Batch{Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, want ...Kept) {
		t.Helper()
		got, err := verifyRetention(c, policies, now)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
		}
	}
	want("nothing there")
	put(used(time.Hour), used(14*day-5*time.Minute), used(14*day), used(15*day-5*time.Minute))
	inOrder := Kept{Place: "spool", Class: schema.ClassUsage5m, Rows: 4, Expired: 2, Oldest: now.Add(-15*day + 5*time.Minute)}
	want("in order", inOrder)
	put(used(15 * day))
	overdue := Kept{Place: "spool", Class: schema.ClassUsage5m, Rows: 5, Expired: 3, Oldest: now.Add(-15 * day), Overdue: 1}
	want("one is overdue", overdue)

	if err := os.Mkdir(quarantineDir(c), 0o700); err != nil {
		t.Fatal(err)
	}
	encoded, err := spool.EncodeRecord(used(40 * day))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(quarantineDir(c), "x-invalid_record.jsonl")
	text := fmt.Sprintf("{\"token\":\"x\",\"reason\":\"invalid_record\",\"rows\":1}\n{\"kind\":\"usage\",\"encoded\":%q}\n", base64.StdEncoding.EncodeToString(encoded))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want("one in quarantine", overdue, Kept{Place: "quarantine", Class: schema.ClassUsage5m, Rows: 1, Expired: 1, Oldest: now.Add(-40 * day), Overdue: 1})

	// A class that no policy is in force for may not be kept at all.
	policies = nil
	got, err := verifyRetention(c, policies, now)
	if err != nil || len(got) != 2 || got[0].Overdue != 5 || got[1].Overdue != 1 {
		t.Errorf("without a policy: %+v, %v; want all overdue", got, err)
	}
	if err := os.WriteFile(file, []byte("damaged\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := verifyRetention(c, policies, now); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a damaged file: %v, want an error that names it", err)
	}
	// Without a store there is no policy to judge by.
	c.Store.Socket = filepath.Join(dir, "nothing")
	if _, err := VerifyRetention(t.Context(), c, now); err == nil || !strings.Contains(err.Error(), "griffierd") {
		t.Errorf("without a store: %v, want a cure", err)
	}
}
