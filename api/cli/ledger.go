package cli

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griffier/api/daemon"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) ledger() *cobra.Command {
	return noun("ledger", "The append-only log of who did what", a.ledgerList(), a.ledgerProof(), a.ledgerCheckpoint(), a.ledgerVerify())
}

func (a *app) ledgerList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List entries; the listing is itself entered", Args: noArgs,
		Long: `List entries; the listing is itself entered. A table shows the beginning of an entry's
facts, and -o json or csv all of them.`}
	start := c.Flags().Uint64("start", 0, "index of the first entry")
	limit := c.Flags().Int32("limit", 100, "at most this many")
	kind := c.Flags().String("kind", "", "only this kind")
	warrant := c.Flags().String("warrant", "", "only this warrant")
	bodies := c.Flags().Bool("bodies", false, "decrypt the bodies too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		resp, err := griffierv1.NewLedgerServiceClient(a.server).ListEntries(c.Context(), &griffierv1.ListEntriesRequest{
			Start: *start, Limit: *limit, Kind: *kind, WarrantId: *warrant, WithBodies: *bodies})
		if err != nil {
			return err
		}
		t := table{header: []string{"index", "at", "kind", "role", "actor", "warrant", "reason", "facts"}}
		for _, e := range resp.GetEntries() {
			facts := e.GetFactsJson()
			if a.format == "table" {
				facts = beginning(facts)
			}
			t.add(strconv.FormatUint(e.GetIndex(), 10), at(e.GetAt()), e.GetKind(), e.GetRole(), short(e.GetActor()),
				short(e.GetWarrantId()), e.GetReason(), facts)
		}
		return a.print(resp, t)
	}
	return c
}

func (a *app) ledgerProof() *cobra.Command {
	return &cobra.Command{
		Use: "proof INDEX", Short: "Prove that an entry is in the log", Args: oneArg("INDEX"),
		RunE: func(c *cobra.Command, args []string) error {
			index, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return usageError{fmt.Errorf("index %q: want a number", args[0])}
			}
			resp, err := griffierv1.NewLedgerServiceClient(a.server).GetProof(c.Context(), &griffierv1.GetProofRequest{Index: index})
			if err != nil {
				return err
			}
			t := table{header: []string{"part", "value"}}
			t.add("leaf", string(resp.GetLeaf()))
			for i, h := range resp.GetHashes() {
				t.add("hash "+strconv.Itoa(i), base64.StdEncoding.EncodeToString(h))
			}
			for _, line := range strings.Split(strings.TrimSpace(resp.GetCheckpoint()), "\n") {
				t.add("checkpoint", line)
			}
			return a.print(resp, t)
		},
	}
}

func (a *app) ledgerCheckpoint() *cobra.Command {
	return &cobra.Command{
		Use: "checkpoint", Short: "Print the newest signed checkpoint", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewLedgerServiceClient(a.server).GetCheckpoint(c.Context(), &griffierv1.GetCheckpointRequest{})
			if err != nil {
				return err
			}
			if a.format == "table" {
				_, err := fmt.Fprint(a.stdout, resp.GetCheckpoint())
				return err
			}
			t := table{header: []string{"checkpoint"}}
			t.add(resp.GetCheckpoint())
			return a.print(resp, t)
		},
	}
}

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
}

func (a *app) ledgerVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify", Short: "Check a ledger from its files alone, offline", Args: noArgs,
		Long: `Check every entry, every hash of the tree, the signed checkpoint and the witness file.
Nothing is sent anywhere and nothing is changed; it may run beside griffierd. Bring
your own copy of the log's public key: one that came with the files proves nothing.`}
	dir := c.Flags().String("dir", "", "folder of the ledger (required)")
	public := c.Flags().String("public-key", "", "file with the log's public key (required)")
	witness := c.Flags().String("witness", "", "the witness file")
	keysDir := c.Flags().String("keystore", "", "folder of the keystore, to open the bodies too")
	master := c.Flags().String("master-key", "", "master key file of the keystore")
	c.RunE = func(c *cobra.Command, _ []string) error {
		key, err := os.ReadFile(*public)
		if err != nil {
			return usageError{err}
		}
		check := ledger.VerifyConfig{Dir: *dir, PublicKey: strings.TrimSpace(string(key)), WitnessFile: *witness, Folds: daemon.Folds()}
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
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, p.String())
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
	return nil
}

// short shortens a pseudonym or id for a table.
func short(s string) string {
	if len(s) > 8 {
		return s[:8]
	}
	if s == "" {
		return "-"
	}
	return s
}

// maxFacts is how much of an entry's facts a table shows, in bytes.
const maxFacts = 120

// beginning returns as much of facts as fits beside the other columns.
func beginning(facts string) string {
	if len(facts) <= maxFacts {
		return facts
	}
	return strings.ToValidUTF8(facts[:maxFacts], "") + "…"
}
