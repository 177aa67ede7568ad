package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

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
