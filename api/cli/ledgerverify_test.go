package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"griffier/api/ledger"
	"griffier/api/ledger/ledgertest"
	witnesses "griffier/api/ledger/witness"
)

// TestLedgerVerifyAgainstWitnesses goes through what somebody checks who has a
// folder, an export and public keys: each check has one that fails.
func TestLedgerVerifyAgainstWitnesses(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/ledger")
	must(err)
	_, err = ledger.GenerateKey(filepath.Join(dir, "witness.key"), "dpo.test.example/witness")
	must(err)
	secret, err := os.ReadFile(filepath.Join(dir, "witness.key"))
	must(err)
	cosigner, err := ledger.NewCosignerKey(strings.TrimSpace(string(secret)))
	must(err)
	public, witness := file("ledger.pub", key.Public+"\n"), file("witness.pub", cosigner.Public+"\n")
	log, err := ledger.Open(ctx, ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "head"), Key: key,
		Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	defer log.Close()
	for range 5 {
		_, err := log.Append(ctx, ledger.Draft{Kind: "test.noted"})
		must(err)
	}
	sign := func(at time.Time) string {
		t.Helper()
		line, err := cosigner.Cosign(log.Checkpoint(), at)
		must(err)
		return line
	}
	history := func(name string, at time.Time) string {
		t.Helper()
		line, err := json.Marshal(witnesses.Past{At: at, Size: log.Size(), Checkpoint: log.Checkpoint() + sign(at)})
		must(err)
		return file(name, string(line)+"\n")
	}
	now, later := history("now.history", time.Now()), history("later.history", time.Now().Add(time.Hour))
	must(log.KeepCosigned(ledger.Cosigned{Checkpoint: log.Checkpoint(), Cosignatures: []string{sign(time.Now())}}))
	var export bytes.Buffer
	for i := range 5 {
		p, err := log.Proof(ctx, uint64(i))
		must(err)
		must(json.NewEncoder(&export).Encode(p))
	}
	_, err = log.Append(ctx, ledger.Draft{Kind: "test.noted"})
	must(err)
	must(log.Close())
	shorter, err := os.ReadFile(now)
	must(err)
	swapped := strings.Split(strings.TrimSpace(export.String()), "\n")
	var first, second ledger.Proof
	must(json.Unmarshal([]byte(swapped[0]), &first))
	must(json.Unmarshal([]byte(swapped[1]), &second))
	first.Leaf = second.Leaf
	foreign, err := json.Marshal(first)
	must(err)
	for name, c := range map[string]struct {
		args []string
		want int
		says string
	}{
		"the folder":                    {[]string{"--dir", filepath.Join(dir, "log"), "--witness-key", witness, "--witness-history", now}, 0, "VERIFIED"},
		"an entry from before its time": {[]string{"--dir", filepath.Join(dir, "log"), "--witness-key", witness, "--witness-history", later}, 1, "back-dated"},
		"no such history":               {[]string{"--dir", filepath.Join(dir, "log"), "--witness-key", witness, "--witness-history", dir + "/none"}, 2, "no such file"},
		"a broken history":              {[]string{"--dir", filepath.Join(dir, "log"), "--witness-key", witness, "--witness-history", file("broken", string(shorter[:40]))}, 1, "line 1"},
		"the export":                    {[]string{"--export", file("export", export.String()), "--witness-key", witness}, 0, "signed the checkpoint of 5"},
		"an export with a foreign leaf": {[]string{"--export", file("foreign", string(foreign)+"\n")}, 1, "does NOT verify"},
		"an export cut short":           {[]string{"--export", file("cut", strings.TrimSuffix(export.String(), "\n"))}, 1, "cut short"},
		"neither":                       {nil, 2, "want one of --dir and --export"},
		"both":                          {[]string{"--dir", dir, "--export", filepath.Join(dir, "export")}, 2, "want one of"},
	} {
		var stdout, stderr bytes.Buffer
		got := Run(ctx, append([]string{"ledger", "verify", "--public-key", public}, c.args...), strings.NewReader(""), &stdout, &stderr)
		if out := fmt.Sprint(&stdout, &stderr); got != c.want || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit %d, want %d with %q:\n%s", name, got, c.want, c.says, out)
		}
	} // Nothing is read that is spelt another way.
	for how, text := range ledgertest.Respellings([]byte(swapped[0] + "\n")) {
		if out, got := verify(ctx, public, "--export", file("respelt", string(text))); got == 0 {
			t.Errorf("an export with %s: %s", how, out)
		}
	}
	for how, text := range ledgertest.Respellings(shorter) {
		if out, got := verify(ctx, public, "--dir", filepath.Join(dir, "log"), "--witness-key", witness, "--witness-history", file("respelt", string(text))); got == 0 {
			t.Errorf("a history with %s: %s", how, out)
		}
	}
	if out, got := verify(ctx, public, "--export", file("respelt", swapped[0]+"\n"), "--witness-key", witness); got != 0 {
		t.Errorf("negative control: %s", out)
	}
}

// verify runs griffier ledger verify.
func verify(ctx context.Context, public string, args ...string) (string, int) {
	var out bytes.Buffer
	got := Run(ctx, append([]string{"ledger", "verify", "--public-key", public}, args...), strings.NewReader(""), &out, &out)
	return out.String(), got
}
