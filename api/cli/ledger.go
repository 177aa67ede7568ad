package cli

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) ledger() *cobra.Command {
	return noun("ledger", "The append-only log of who did what", a.ledgerSearch(), a.ledgerExport(),
		a.ledgerProof(), a.ledgerCheckpoint(), a.ledgerStatus(), a.ledgerWitnesses(), a.ledgerVerify(), a.ledgerRecover())
}

// filterFlags are the flags of a search.
func filterFlags(c *cobra.Command) func() (*griffierv1.ListEntriesRequest, error) {
	var req griffierv1.ListEntriesRequest
	c.Flags().Uint64Var(&req.Start, "start", 0, "index of the first entry")
	c.Flags().StringVar(&req.Kind, "kind", "", "only this kind; with a dot at its end, such as warrant., all that begin with it")
	c.Flags().StringVar(&req.WarrantId, "warrant", "", "only this warrant")
	c.Flags().StringVar(&req.TaskId, "task", "", "only this task")
	c.Flags().StringVar(&req.Actor, "actor", "", "only this pseudonym")
	c.Flags().StringVar(&req.Role, "role", "", "only entries made in this role")
	c.Flags().StringVar(&req.Reason, "reason", "", "only this reason, such as WARRANT_EXPIRED")
	from := c.Flags().String("from", "", "only entries at this instant or later, such as 2026-11-20T00:00:00+01:00")
	to := c.Flags().String("to", "", "only entries before this instant")
	return func() (*griffierv1.ListEntriesRequest, error) {
		var err error
		if *from != "" {
			if req.From, err = parseInstant("from", *from); err != nil {
				return nil, err
			}
		}
		if *to != "" {
			if req.To, err = parseInstant("to", *to); err != nil {
				return nil, err
			}
		}
		return &req, nil
	}
}

func (a *app) ledgerSearch() *cobra.Command {
	c := &cobra.Command{Use: "search", Aliases: []string{"list"}, Short: "Search entries; the search is itself entered", Args: noArgs,
		Long: `List the entries that match every flag that is given, in their order; the search is
itself entered. A table shows the beginning of an entry's facts, and -o json or csv all
of them. A list that is not complete says where to go on.`,
		Example: "  griffier ledger search --kind warrant. --role legal_approver --from 2026-11-01T00:00:00+01:00"}
	filter := filterFlags(c)
	limit := c.Flags().Int32("limit", 100, "at most this many")
	bodies := c.Flags().Bool("bodies", false, "decrypt the bodies too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		req, err := filter()
		if err != nil {
			return err
		}
		req.Limit, req.WithBodies = *limit, *bodies
		resp, err := griffierv1.NewLedgerServiceClient(a.server).ListEntries(c.Context(), req)
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
		if err := a.print(resp, t); err != nil {
			return err
		}
		if next := resp.GetNextStart(); next > 0 {
			fmt.Fprintf(a.stderr, "not complete: go on with --start %d\n", next)
		}
		return nil
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
			for _, line := range resp.GetCosignatures() {
				t.add("cosignature", strings.TrimSpace(line))
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
