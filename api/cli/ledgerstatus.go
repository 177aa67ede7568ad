package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"griffier/api/ledger"
	"griffier/api/ledger/peer"
	"griffier/api/ledger/sink"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) ledgerExport() *cobra.Command {
	c := &cobra.Command{Use: "export", Short: "Export entries with their proofs, a JSON object a line; the export is itself entered", Args: noArgs,
		Long: `Write the entries that match to stdout, one JSON object a line: the entry as it was
hashed, with its body still sealed, and the proof that it is in the log of a signed
checkpoint. griffier ledger verify --export checks the file, offline.`,
		Example: "  griffier ledger export --warrant 9f0c2a"}
	filter := filterFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		req, err := filter()
		if err != nil {
			return err
		}
		stream, err := griffierv1.NewLedgerServiceClient(a.server).ExportEntries(c.Context(), &griffierv1.ExportEntriesRequest{Filter: req})
		if err != nil {
			return err
		}
		out := json.NewEncoder(a.stdout)
		for n := 0; ; n++ {
			e, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				fmt.Fprintf(a.stderr, "%d entries\n", n)
				return nil
			}
			if err != nil {
				return err
			}
			if err := out.Encode(ledger.Proof{Index: e.GetIndex(), Leaf: e.GetLeaf(), Hashes: e.GetHashes(),
				Checkpoint: e.GetCheckpoint(), Cosignatures: e.GetCosignatures()}); err != nil {
				return err
			}
		}
	}
	return c
}

func (a *app) ledgerStatus() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Show whether the ledger takes entries, and who else has it", Args: noArgs,
		Long: `Show the ledger's size, whether it takes entries, how far the second sink is, and what
the last check of the whole log found. Exit code 1 if any of that needs somebody.`,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewLedgerServiceClient(a.server).GetLedgerStatus(c.Context(), &griffierv1.GetLedgerStatusRequest{})
			if err != nil {
				return err
			}
			alarms := 0
			t := table{header: []string{"part", "state", "entries", "since", "lag", "detail"}}
			row := func(part string, bad bool, state, entries, since, lag, detail string) {
				if bad {
					alarms++
				}
				t.add(part, state, entries, since, lag, detail)
			}
			count := func(n uint64) string { return strconv.FormatUint(n, 10) }
			state := map[bool]string{false: "ok", true: "ALARM"}
			row("ledger", resp.GetUnavailable() != "", state[resp.GetUnavailable() != ""], count(resp.GetSize()), at(resp.GetNewest()), "", resp.GetUnavailable())
			bad := len(resp.GetProblems()) > 0
			detail := ""
			if bad {
				detail = resp.GetProblems()[0]
			}
			row("check", bad, state[bad], count(resp.GetVerifiedSize()), at(resp.GetVerifiedAt()), "", detail)
			signing := len(resp.GetWitnesses())
			for _, w := range resp.GetWitnesses() {
				if w.GetAlarm() {
					signing--
				}
				row("witness "+w.GetName(), w.GetAlarm(), state[w.GetAlarm()], count(w.GetSize()), at(w.GetSignedAt()), seconds(w.GetLagSeconds()), w.GetError())
			}
			if n := len(resp.GetWitnesses()); n > 0 {
				bad := signing < int(resp.GetQuorum())
				row("quorum", bad, state[bad], "", "", "", fmt.Sprintf("%d of %d witnesses sign, %d must", signing, n, resp.GetQuorum()))
			}
			if s := resp.GetSink(); s != nil {
				says := state[s.GetAlarm()]
				if s.GetRefusing() {
					says = "REFUSING"
				}
				row(s.GetName(), s.GetAlarm() || s.GetRefusing(), says, count(s.GetSize()), at(s.GetCompleteAt()), seconds(s.GetLagSeconds()), s.GetError())
			}
			if err := a.print(resp, t); err != nil {
				return err
			}
			if alarms > 0 {
				return failure{fmt.Errorf("ledger status: %d parts need somebody", alarms), int(reason.ExitFailed)}
			}
			return nil
		}}
}

func seconds(n int64) string { return strconv.FormatInt(n, 10) + "s" }

func (a *app) ledgerWitnesses() *cobra.Command {
	return &cobra.Command{Use: "witnesses", Short: "Show the witnesses, their keys and what they signed", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewLedgerServiceClient(a.server).GetLedgerStatus(c.Context(), &griffierv1.GetLedgerStatusRequest{})
			if err != nil {
				return err
			}
			t := table{header: []string{"name", "entries", "signed at", "lag", "alarm", "public key", "error"}}
			for _, w := range resp.GetWitnesses() {
				t.add(w.GetName(), strconv.FormatUint(w.GetSize(), 10), at(w.GetSignedAt()), seconds(w.GetLagSeconds()),
					strconv.FormatBool(w.GetAlarm()), w.GetPublicKey(), w.GetError())
			}
			return a.print(&griffierv1.GetLedgerStatusResponse{Size: resp.GetSize(), Checkpoint: resp.GetCheckpoint(), Witnesses: resp.GetWitnesses(), Quorum: resp.GetQuorum()}, t)
		}}
}

// recovered is the stable JSON form of a recovery.
type recovered struct {
	Entries uint64 `json:"entries"`
	Root    []byte `json:"root"`
}

func (a *app) ledgerRecover() *cobra.Command {
	c := &cobra.Command{Use: "recover", Short: "Make the ledger again from its second sink", Args: noArgs,
		Long: `Make the ledger's folder and its witness file again from the second sink: over the
network, or from the copy's folder. Both must not be there yet. Nothing is called done
before the entries give the root that the ledger's own key signed. griffierd must be
stopped. What comes next is in LEDGER.md.`,
		Example: `  griffier ledger recover --from https://sink.isp.example:7481 --cert c.pem --key c.key --ca ca.pem --dir ledger --signing-key secret/ledger.key --witness ledger-witness/head
  griffier ledger recover --from-dir /mnt/sink --dir ledger --signing-key secret/ledger.key --witness ledger-witness/head`}
	from := c.Flags().String("from", "", "URL of the second sink")
	fromDir := c.Flags().String("from-dir", "", "folder of its copy, instead")
	var files peer.Files
	c.Flags().StringVar(&files.CertFile, "cert", "", "certificate to show it")
	c.Flags().StringVar(&files.KeyFile, "key", "", "key of that certificate")
	c.Flags().StringVar(&files.CAFile, "ca", "", "CA of its certificate")
	dir := c.Flags().String("dir", "", "folder of the ledger to make (required)")
	witness := c.Flags().String("witness", "", "witness file to make (required)")
	signing := c.Flags().String("signing-key", "", "the ledger's signing key file (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if (*from == "") == (*fromDir == "") {
			return usageError{errors.New("ledger recover: want one of --from and --from-dir")}
		}
		key, err := ledger.LoadKey(*signing)
		if err != nil {
			return err
		}
		cfg := ledger.RebuildConfig{Dir: *dir, WitnessFile: *witness, Key: key, Progress: func(done, total uint64) {
			fmt.Fprintf(a.stderr, "%d of %d entries\n", done, total)
		}}
		if *fromDir != "" {
			if _, err := os.Stat(*fromDir); err != nil { // opening one makes it
				return usageError{err}
			}
			store, err := sink.Open(*fromDir, key.Public)
			if err != nil {
				return err
			}
			defer store.Close()
			cfg.Copy = sink.Local{Store: store}
		} else {
			client, err := sink.NewClient(*from, files)
			if err != nil {
				return usageError{err}
			}
			defer client.Close()
			cfg.Copy = client
		}
		h, err := ledger.Rebuild(c.Context(), cfg)
		if err != nil {
			return err
		}
		t := table{header: []string{"entries", "root"}}
		t.add(strconv.FormatUint(h.Size, 10), fmt.Sprintf("%x", h.Root))
		return a.printLocal(recovered{Entries: h.Size, Root: h.Root}, t)
	}
	return c
}
