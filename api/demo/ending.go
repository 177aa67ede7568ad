package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"griffier/schema"
)

// expiredID is the collector of the rows that expire in the story.
const expiredID = "demo-half-year-ago"

// expiry replays a capture as if it had been taken just under the retention
// period ago, and looks at its rows before and after their last instant.
func (d *demo) expiry(ctx context.Context) error {
	conn, err := schema.Open(ctx, schema.Config{Socket: d.config.Store.Socket})
	if err != nil {
		return err
	}
	defer conn.Close()
	policies, err := schema.ReadPolicy(ctx, conn)
	if err != nil {
		return err
	}
	var policy schema.Policy
	for _, p := range policies {
		if p.Class == schema.ClassAssignment {
			policy = p
		}
	}
	// The last instant at which what the capture holds may be read.
	last := time.Now().Add(8 * time.Second).Truncate(time.Second)
	ended, err := endsReadable(policy, last)
	if err != nil {
		return err
	}
	if err := d.replay(ctx, expiredID, leases, ended, nil); err != nil {
		return err
	}
	count := func() (n uint64, err error) {
		err = conn.QueryRow(ctx, "SELECT count() FROM traffic.assignment WHERE collector_id = {id:String}", clickhouse.Named("id", expiredID)).Scan(&n)
		return n, err
	}
	if d.report.Expiry.RowsBefore, err = count(); err != nil {
		return err
	}
	d.say("%d assignments, the last of which ended on %s; class %s is kept %s (%s).", d.report.Expiry.RowsBefore,
		ended.UTC().Format(time.RFC3339), policy.Class, policy.Period, policy.Purpose)
	time.Sleep(time.Until(last) + 200*time.Millisecond)
	if d.report.Expiry.RowsAfter, err = count(); err != nil {
		return err
	}
	d.say("At %s: %d. No job ran; the view stopped showing them.", last.UTC().Format(time.RFC3339), d.report.Expiry.RowsAfter)
	return nil
}

// endsReadable returns the end of a row that stops being readable at last.
func endsReadable(policy schema.Policy, last time.Time) (time.Time, error) {
	ended, err := policy.ReadableFrom(last)
	if err != nil {
		return time.Time{}, err
	}
	return ended.UTC().Truncate(time.Millisecond), nil
}

func (d *demo) verifyLedger(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, d.self(), "ledger", "verify", "--dir", d.config.Ledger.Dir,
		"--public-key", filepath.Join(d.griffierdDir(), "trust", "ledger.pub"), "--witness", d.config.Ledger.WitnessFile, "-o", "json")
	out, err := cmd.Output()
	var verdict struct {
		Verified bool   `json:"verified"`
		Size     uint64 `json:"size"`
	}
	if jsonErr := json.Unmarshal(out, &verdict); jsonErr != nil {
		return fmt.Errorf("griffier ledger verify: %w: %s", errors.Join(err, jsonErr), out)
	}
	d.report.Ledger = Ledger{verdict.Size, verdict.Verified && err == nil}
	if !d.report.Ledger.Verified {
		return fmt.Errorf("griffier ledger verify: %w: %s", err, out)
	}
	d.say("%d entries, every hash, the signed checkpoint and the witness agree.", verdict.Size)
	return nil
}

// capture writes a bundled capture to a file, for the collector to read.
func (d *demo) capture(name string) (string, error) {
	data, err := captures.ReadFile("capture/" + name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(d.dir, name)
	return path, os.WriteFile(path, data, 0o600)
}
