package cli

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griffier/api/daemon"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/ledger/witness"
	"griffier/api/reason"
)

// verified is the stable JSON form of a verification.
type verified struct {
	Verified       bool     `json:"verified"`
	Size           uint64   `json:"size"`
	Root           string   `json:"root"`
	CheckpointSize uint64   `json:"checkpoint_size"`
	Newest         string   `json:"newest"`
	WitnessChecked bool     `json:"witness_checked"`
	Bodies         int      `json:"bodies"`
	Problems       []string `json:"problems"`
	Cosigned       int      `json:"cosigned"`
	Doubts         []string `json:"doubts"`
}

func (a *app) ledgerVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check a ledger from its files alone, offline", Args: noArgs,
		Long: `Check every entry, every hash of the tree, the signed checkpoint and the witness file.
Nothing is sent anywhere and nothing is changed; it may run beside griffierd. Bring
your own copy of the log's public key: one that came with the files proves nothing.
With a witness's public key, what it signed is checked too, and the times of entries
against its clock; with its history, all that it ever saw.

With --export, check a file of griffier ledger export instead: that every line of it is
in the log of the checkpoint that it names.`,
		Example: `  griffier ledger verify --dir ledger --public-key ledger.pub --witness ledger-witness/head --witness-key witness.pub
  griffier ledger verify --export entries.jsonl --public-key ledger.pub --witness-key witness.pub`}
	dir := c.Flags().String("dir", "", "folder of the ledger")
	export := c.Flags().String("export", "", "file of griffier ledger export, instead of a folder")
	public := c.Flags().String("public-key", "", "file with the log's public key (required)")
	witness := c.Flags().String("witness", "", "the witness file")
	witnessKeys := c.Flags().StringArray("witness-key", nil, "file with the public key of a witness; may be repeated")
	history := c.Flags().String("witness-history", "", "file in which a witness kept what it signed")
	keysDir := c.Flags().String("keystore", "", "folder of the keystore, to open the bodies too")
	master := c.Flags().String("master-key", "", "master key file of the keystore")
	c.RunE = func(c *cobra.Command, _ []string) error {
		key, err := os.ReadFile(*public)
		if err != nil {
			return usageError{err}
		}
		check := ledger.VerifyConfig{Dir: *dir, PublicKey: strings.TrimSpace(string(key)), WitnessFile: *witness, Folds: daemon.Folds()}
		if check.WitnessKeys, err = readAll(*witnessKeys); err != nil {
			return err
		}
		if (*dir == "") == (*export == "") {
			return usageError{errors.New("ledger verify: want one of --dir and --export")}
		}
		if *export != "" {
			return a.verifyExport(*export, check.PublicKey, check.WitnessKeys)
		}
		if *history != "" {
			if check.Cosigned, err = readHistory(*history); err != nil {
				return err
			}
		}
		if *keysDir != "" {
			if check.Keys, err = keystore.Open(*keysDir, *master); err != nil {
				return err
			}
		}
		report, err := ledger.Verify(c.Context(), check)
		if err != nil && report.Verified() {
			return err
		}
		if err := a.showVerified(report); err != nil {
			return err
		}
		if len(report.Doubts) > 0 && report.Verified() {
			return failure{fmt.Errorf("the ledger is whole, but %d entries have a time that a witness's clock contradicts", len(report.Doubts)), int(reason.ExitFailed)}
		}
		if !report.Verified() {
			return failure{fmt.Errorf("the ledger does not verify: %d problems", len(report.Problems)), int(reason.ExitFailed)}
		}
		return nil
	}
	return c
}

func (a *app) showVerified(r ledger.Report) error {
	out := verified{
		Verified: r.Verified(), Size: r.Size, Root: hex.EncodeToString(r.Root), CheckpointSize: r.CheckpointSize,
		Newest: r.Newest.UTC().Format(time.RFC3339Nano), WitnessChecked: r.WitnessChecked, Bodies: r.Bodies, Problems: []string{},
		Cosigned: r.Cosigned, Doubts: []string{},
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.String())
	}
	for _, d := range r.Doubts {
		out.Doubts = append(out.Doubts, d.String())
	}
	if a.format == "json" {
		return json.NewEncoder(a.stdout).Encode(out)
	}
	verdict := "VERIFIED"
	if !out.Verified {
		verdict = "NOT VERIFIED"
	}
	fmt.Fprintf(a.stdout, "%s: %d entries, root %s, newest %s\n", verdict, out.Size, out.Root, out.Newest)
	if !out.WitnessChecked {
		fmt.Fprintln(a.stderr, "note: no witness file was given, so a log that was cut short would not show")
	}
	for _, p := range out.Problems {
		fmt.Fprintln(a.stdout, "  problem:", p)
	}
	for _, d := range out.Doubts {
		fmt.Fprintln(a.stdout, "  doubt:", d)
	}
	return nil
}

// maxLine bounds a line of an export or history: an entry in base64, and hashes.
const maxLine = 256 << 10

// eachLine calls visit for the lines of a file.
func eachLine(path string, visit func(n int, line []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return usageError{err}
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	lines.Split(wholeLines)
	n := 0
	for lines.Scan() {
		n++
		if err := visit(n, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: line %d: %w", path, n+1, err)
	}
	return nil
}

// wholeLines splits at line ends, and leaves everything else as it is.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, errors.New("it is cut short")
	}
	return 0, nil, nil
}

// readHistory reads what a witness kept: its .history file.
func readHistory(path string) ([]ledger.Cosigned, error) {
	var out []ledger.Cosigned
	err := eachLine(path, func(n int, line []byte) error {
		kept, err := witness.ParsePast(line)
		if err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		out = append(out, ledger.Cosigned{Checkpoint: kept.Checkpoint})
		return nil
	})
	return out, err
}

// verifiedExport is the stable JSON form of the check of an export.
type verifiedExport struct {
	Verified  bool           `json:"verified"`
	Entries   int            `json:"entries"`
	Cosigners map[string]int `json:"cosigners"` // entries by witness
}

// verifyExport checks the lines of an export, each by itself.
func (a *app) verifyExport(path, publicKey string, witnessKeys []string) error {
	out := verifiedExport{Cosigners: map[string]int{}}
	err := eachLine(path, func(n int, line []byte) error {
		p, err := ledger.ParseProof(line)
		if err == nil {
			_, err = p.Verify(publicKey)
		}
		if err == nil {
			var signed []ledger.Cosignature
			signed, err = p.Cosigners(witnessKeys...)
			for _, s := range signed {
				out.Cosigners[s.Witness]++
			}
		}
		if err != nil {
			return failure{fmt.Errorf("%s does NOT verify: line %d: %w", path, n, err), int(reason.ExitFailed)}
		}
		out.Entries++
		return nil
	})
	if err != nil {
		return err
	}
	out.Verified = true
	if a.format == "json" {
		return json.NewEncoder(a.stdout).Encode(out)
	}
	fmt.Fprintf(a.stdout, "VERIFIED: %d entries are in the ledger\n", out.Entries)
	for name, n := range out.Cosigners {
		fmt.Fprintf(a.stdout, "  %s signed the checkpoint of %d of them\n", name, n)
	}
	return nil
}
