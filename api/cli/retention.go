package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/signedfile"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) retention() *cobra.Command {
	return noun("retention", "How long data is kept: the policy, its changes, its proof",
		a.retentionShow(), a.retentionPlan(), a.retentionHistory(),
		a.retentionPropose(), a.retentionAdvise(), a.retentionApprove(), a.retentionWithdraw(),
		a.retentionCheck(), a.retentionSign(), a.retentionKeygen(),
		a.retentionVerify(), a.retentionReport(), a.retentionCertificates())
}

// readPolicy reads a policy file, or stdin for "-". What it says is for the
// server to judge.
func (a *app) readPolicy(path string) ([]byte, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, signedfile.MaxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > signedfile.MaxFile {
		return nil, usageError{fmt.Errorf("%s: is longer than %d bytes", path, signedfile.MaxFile)}
	}
	return text, nil
}

func (a *app) retentionShow() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Show the policy in force, and what is proposed", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewRetentionServiceClient(a.server).GetRetention(c.Context(), &griffierv1.GetRetentionRequest{})
			if err != nil {
				return err
			}
			a.warnOfFile(resp)
			if f := resp.GetInForce(); f != nil {
				fmt.Fprintf(a.stderr, "generation %d, jurisdiction %s, in force since %s, ledger entry %d, signed by %s\n",
					f.GetGeneration(), f.GetJurisdiction(), at(f.GetInForceAt()), f.GetLedgerIndex(), f.GetSignedBy())
			}
			for _, p := range resp.GetOpen() {
				fmt.Fprintf(a.stderr, "proposal %s, %s: lengthens %s; expires %s; advice %s; --sha256 %s --generation %d\n", p.GetProposalId(),
					word(p.GetState(), "RETENTION_PROPOSAL_STATE_"), strings.Join(p.GetLengthens(), " "), at(p.GetExpiresAt()),
					adviceWord(p.GetAdvice()), p.GetSha256(), p.GetGeneration())
			}
			t := table{header: []string{"class", "period", "zone", "at_most", "purpose", "basis", "source", "status"}}
			for _, r := range resp.GetInForce().GetRules() {
				t.add(r.GetClass(), r.GetPeriod(), r.GetZone(), orDash(r.GetMaximum()), r.GetPurpose(), r.GetBasis(), r.GetSource(), orDash(r.GetStatus()))
			}
			return a.print(resp, t)
		}}
}

// warnOfFile says on stderr that the policy file is not what is in force.
func (a *app) warnOfFile(resp *griffierv1.GetRetentionResponse) {
	if problem := resp.GetFileProblem(); problem != "" {
		fmt.Fprintf(a.stderr, "WARNING: the policy file on disk is not what is in force: %s\n", problem)
	}
}

func (a *app) retentionPlan() *cobra.Command {
	return &cobra.Command{Use: "plan FILE", Short: "Tell what a policy file would change, before it does", Args: oneArg("FILE"),
		Long: `Tell, per class, whether a policy file lengthens or shortens, how many rows would
become unreadable at once, and when the first day would leave the disk. Nothing is
changed. Bytes are estimated by the rows' share. The file need not be signed yet.`,
		RunE: func(c *cobra.Command, args []string) error {
			file, err := a.readPolicy(args[0])
			if err != nil {
				return err
			}
			resp, err := griffierv1.NewRetentionServiceClient(a.server).PlanRetention(c.Context(), &griffierv1.PlanRetentionRequest{File: file})
			if err != nil {
				return err
			}
			if err := a.print(resp, planTable(resp)); err != nil {
				return err
			}
			switch {
			case resp.GetSignedBy() == "":
				fmt.Fprintln(a.stderr, "no key that griffierd trusts has signed it: griffier retention sign")
			case resp.GetPolicyGeneration() <= resp.GetGenerationInForce():
				fmt.Fprintf(a.stderr, "its generation must be above %d, which is in force\n", resp.GetGenerationInForce())
			case resp.GetNeedsProposal():
				fmt.Fprintln(a.stderr, "it lengthens: it takes a proposal, advice and another person's approval (griffier retention propose)")
			default:
				fmt.Fprintln(a.stderr, "it lengthens nothing: put it in the place of the policy file and reload griffierd")
			}
			return nil
		}}
}

func planTable(resp *griffierv1.PlanRetentionResponse) table {
	t := table{header: []string{"class", "effect", "now", "new", "rows", "unreadable_at_once", "bytes", "oldest_row", "first_drop"}}
	for _, c := range resp.GetChanges() {
		now, next := c.GetPeriodNow(), c.GetPeriodNew()
		if c.GetZoneNow() != c.GetZoneNew() {
			now, next = strings.TrimSpace(now+" "+c.GetZoneNow()), next+" "+c.GetZoneNew()
		}
		rows, gone, bytes := "-", "-", "-"
		if c.GetStored() {
			rows, gone, bytes = strconv.FormatUint(c.GetRows(), 10), strconv.FormatUint(c.GetRowsUnreadable(), 10), strconv.FormatUint(c.GetBytesUnreadable(), 10)
		}
		t.add(c.GetClass(), strings.ToLower(word(c.GetEffect(), "EFFECT_")), orDash(now), next, rows, gone, bytes, at(c.GetOldestRow()), at(c.GetFirstDrop()))
	}
	return t
}

func (a *app) retentionHistory() *cobra.Command {
	return &cobra.Command{Use: "history", Short: "List every policy that was in force and every proposal, oldest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewRetentionServiceClient(a.server).ListRetentionHistory(c.Context(), &griffierv1.ListRetentionHistoryRequest{})
			if err != nil {
				return err
			}
			t := table{header: []string{"at", "what", "generation", "sha256", "state", "lengthens", "advice", "id"}}
			for _, f := range resp.GetPolicies() {
				t.add(at(f.GetInForceAt()), "policy", strconv.FormatUint(f.GetGeneration(), 10), short(f.GetSha256()), "-", "-", "-", orDash(f.GetProposalId()))
			}
			for _, p := range resp.GetProposals() {
				t.add(at(p.GetProposedAt()), "proposal", strconv.FormatUint(p.GetPolicyGeneration(), 10), short(p.GetSha256()),
					word(p.GetState(), "RETENTION_PROPOSAL_STATE_"), strings.Join(p.GetLengthens(), " "), adviceWord(p.GetAdvice()), p.GetProposalId())
			}
			return a.print(resp, t)
		}}
}

func adviceWord(v griffierv1.RetentionAdvice) string {
	if v == griffierv1.RetentionAdvice_RETENTION_ADVICE_UNSPECIFIED {
		return "-"
	}
	return strings.ToLower(word(v, "RETENTION_ADVICE_"))
}
