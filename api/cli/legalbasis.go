package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/ledger"
	"griffier/api/signedfile"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) legalBasis() *cobra.Command {
	return noun("legal-basis", "The legal-basis profiles: which article permits which category of data",
		a.legalBasisShow(), a.legalBasisPlan(), a.legalBasisHistory(), a.legalBasisPropose(), a.legalBasisApprove(), a.legalBasisWithdraw(),
		a.legalBasisCheck(), a.legalBasisSign())
}

func (a *app) legalBasisShow() *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Show the profiles in force, and what is proposed", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewLegalBasisServiceClient(a.server).GetLegalBasis(c.Context(), &griffierv1.GetLegalBasisRequest{})
			if err != nil {
				return err
			}
			for _, problem := range resp.GetFileProblems() {
				fmt.Fprintf(a.stderr, "WARNING: the files on disk are not what is in force: %s\n", problem)
			}
			for _, p := range resp.GetInForce() {
				fmt.Fprintf(a.stderr, "profile %s, generation %d, in force since %s, ledger entry %d, signed by %s, sha256 %s\n",
					p.GetProfile(), p.GetGeneration(), at(p.GetInForceAt()), p.GetLedgerIndex(), p.GetSignedBy(), p.GetSha256())
			}
			for _, p := range resp.GetOpen() {
				fmt.Fprintf(a.stderr, "proposal %s: profile %s, generation %d, by %s; expires %s; --sha256 %s\n", p.GetProposalId(), p.GetProfile(), p.GetGeneration(),
					short(p.GetProposedBy()), at(p.GetExpiresAt()), p.GetSha256())
			}
			t := table{header: []string{"profile", "basis", "article", "signed_by", "permits", "review", "conditions", "valid_days", "status"}}
			for _, p := range resp.GetInForce() {
				for _, b := range p.GetBases() {
					t.add(p.GetProfile(), b.GetId(), b.GetArticle(), strings.Join(b.GetSignedBy(), " "), strings.Join(b.GetCategories(), " "), strings.Join(b.GetReview(), " "),
						conditions(b), strconv.FormatUint(uint64(b.GetMaxValidityDays()), 10), b.GetStatus())
				}
			}
			return a.print(resp, t)
		}}
}

// conditions are the extra ones of a basis, in short.
func conditions(b *griffierv1.LegalBasis) string {
	var out []string
	add := func(when bool, format string, args ...any) {
		if when {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(b.GetDisabled(), "disabled")
	add(!b.GetCompels(), "does not compel")
	add(b.GetNeedsMagistrate(), "examining magistrate")
	add(b.GetFutureMonths() == 0, "nothing future")
	add(b.GetFutureMonths() > 0, "future %d months", b.GetFutureMonths())
	add(b.GetPaperDays() > 0, "oral, paper in %d days", b.GetPaperDays())
	add(b.GetNotifiesEnforcingAuthority(), "enforcing authority notified")
	add(b.GetHoldDays() > 0, "hold %d+%d days", b.GetHoldDays(), b.GetExtensionDays())
	add(b.GetNonExecutionHoldDays() > 0, "%d days' hold when not executed", b.GetNonExecutionHoldDays())
	return strings.Join(out, "; ")
}

func (a *app) legalBasisPlan() *cobra.Command {
	return &cobra.Command{Use: "plan FILE", Short: "Tell what a profile file would permit, end and change, before it does", Args: oneArg("FILE"),
		Long: `Tell what a profile file would permit that is denied now, what it would end, and which
conditions it would change, and how many live warrants rest on a basis that it
touches. Nothing is changed. The file need not be signed yet.`,
		RunE: func(c *cobra.Command, args []string) error {
			file, err := a.readPolicy(args[0])
			if err != nil {
				return err
			}
			resp, err := a.planLegalBasis(c, &griffierv1.PlanLegalBasisRequest{File: file})
			if err != nil {
				return err
			}
			switch {
			case resp.GetSignedBy() == "":
				fmt.Fprintln(a.stderr, "no key that griffierd trusts has signed it: griffier legal-basis sign")
			case resp.GetGeneration() <= resp.GetGenerationInForce():
				fmt.Fprintf(a.stderr, "its generation must be above %d, which is in force\n", resp.GetGenerationInForce())
			default:
				fmt.Fprintln(a.stderr, "it takes a proposal and another person's approval (griffier legal-basis propose)")
			}
			return nil
		}}
}

// planLegalBasis asks what a file or proposal would do, and prints it.
func (a *app) planLegalBasis(c *cobra.Command, req *griffierv1.PlanLegalBasisRequest) (*griffierv1.PlanLegalBasisResponse, error) {
	resp, err := griffierv1.NewLegalBasisServiceClient(a.server).PlanLegalBasis(c.Context(), req)
	if err != nil {
		return nil, err
	}
	t := table{header: []string{"basis", "effect", "what", "now", "new"}}
	for _, change := range resp.GetChanges() {
		t.add(change.GetBasis(), strings.ToLower(word(change.GetEffect(), "EFFECT_")), change.GetWhat(), change.GetNow(), change.GetNew())
	}
	over := fmt.Sprintf("over %d", resp.GetGenerationInForce())
	if resp.GetGenerationInForce() == 0 {
		over = "in addition to the profile in force"
	}
	fmt.Fprintf(a.stderr, "profile %s, generation %d %s, sha256 %s; live warrants under what changes: %d\n", resp.GetProfile(), resp.GetGeneration(), over,
		resp.GetSha256(), resp.GetWarrantsTouched())
	return resp, a.print(resp, t)
}

func (a *app) legalBasisHistory() *cobra.Command {
	return &cobra.Command{Use: "history", Short: "List every profile that was in force and every proposal, oldest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewLegalBasisServiceClient(a.server).ListLegalBasisHistory(c.Context(), &griffierv1.ListLegalBasisHistoryRequest{})
			if err != nil {
				return err
			}
			t := table{header: []string{"at", "what", "profile", "generation", "sha256", "state", "id"}}
			for _, p := range resp.GetProfiles() {
				t.add(at(p.GetInForceAt()), "profile", p.GetProfile(), strconv.FormatUint(p.GetGeneration(), 10), short(p.GetSha256()), "-", orDash(p.GetProposalId()))
			}
			for _, p := range resp.GetProposals() {
				t.add(at(p.GetProposedAt()), "proposal", p.GetProfile(), strconv.FormatUint(p.GetGeneration(), 10), short(p.GetSha256()),
					word(p.GetState(), "LEGAL_BASIS_PROPOSAL_STATE_"), p.GetProposalId())
			}
			return a.print(resp, t)
		}}
}

func (a *app) legalBasisPropose() *cobra.Command {
	c := &cobra.Command{Use: "propose FILE", Short: "Propose a signed profile file", Args: oneArg("FILE"),
		Long: `Propose a signed profile file of a higher generation. It comes into force once a
privacy controller, another person, has approved it; it applies to the next command.
The other profile in force stays as it is; a file of profile eu that is the first of its
name comes in addition. Look at griffier legal-basis plan first.`}
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := a.readPolicy(args[0])
		if err != nil {
			return err
		}
		return a.legalBasisAct(func(client griffierv1.LegalBasisServiceClient) (*griffierv1.LegalBasisProposal, error) {
			return client.ProposeLegalBasis(c.Context(), &griffierv1.ProposeLegalBasisRequest{RequestId: requestID(*request), File: file})
		})
	}
	return c
}

func (a *app) legalBasisApprove() *cobra.Command {
	c := &cobra.Command{Use: "approve PROPOSAL", Short: "Approve exactly what you saw; it comes into force", Args: oneArg("PROPOSAL"),
		Long: `Approve a proposal: the approval is bound to the file's hash. Look first, with
--dry-run: it tells what the proposal permits, ends and changes, and its hash. Put the
same file in the place of griffierd's profile file afterwards, or, if it is an addition,
name it in legal.basis_file.`}
	hash := c.Flags().String("sha256", "", "hash of the file as you saw it with --dry-run")
	dryRun := c.Flags().Bool("dry-run", false, "only tell what it would permit, end and change")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *dryRun {
			_, err := a.planLegalBasis(c, &griffierv1.PlanLegalBasisRequest{ProposalId: args[0]})
			return err
		}
		if *hash == "" {
			return usageError{fmt.Errorf("legal-basis approve: --sha256 is required: look with --dry-run, and give the hash that it tells")}
		}
		return a.legalBasisAct(func(client griffierv1.LegalBasisServiceClient) (*griffierv1.LegalBasisProposal, error) {
			return client.ApproveLegalBasis(c.Context(), &griffierv1.ApproveLegalBasisRequest{RequestId: requestID(*request), ProposalId: args[0], Sha256: *hash})
		})
	}
	return c
}

func (a *app) legalBasisWithdraw() *cobra.Command {
	c := &cobra.Command{Use: "withdraw PROPOSAL", Short: "End a proposal that is not in force", Args: oneArg("PROPOSAL")}
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.legalBasisAct(func(client griffierv1.LegalBasisServiceClient) (*griffierv1.LegalBasisProposal, error) {
			return client.WithdrawLegalBasis(c.Context(), &griffierv1.WithdrawLegalBasisRequest{RequestId: requestID(*request), ProposalId: args[0], Explanation: *explanation})
		})
	}
	return c
}

// legalBasisAct calls, and prints the proposal after it.
func (a *app) legalBasisAct(call func(griffierv1.LegalBasisServiceClient) (*griffierv1.LegalBasisProposal, error)) error {
	p, err := call(griffierv1.NewLegalBasisServiceClient(a.server))
	if err != nil {
		return err
	}
	t := table{header: []string{"field", "value"}}
	t.add("proposal", p.GetProposalId())
	t.add("state", word(p.GetState(), "LEGAL_BASIS_PROPOSAL_STATE_"))
	t.add("profile", p.GetProfile())
	t.add("generation", strconv.FormatUint(p.GetGeneration(), 10))
	t.add("sha256", p.GetSha256())
	t.add("signed_by", p.GetSignedBy())
	t.add("proposed", short(p.GetProposedBy())+" at "+at(p.GetProposedAt()))
	if p.GetApprovedAt() != nil {
		t.add("approved", short(p.GetApprovedBy())+" at "+at(p.GetApprovedAt()))
	}
	t.add("expires", at(p.GetExpiresAt()))
	return a.print(p, t)
}

func (a *app) legalBasisCheck() *cobra.Command {
	return &cobra.Command{Use: "check FILE", Short: "Check a profile file, offline", Args: oneArg("FILE"),
		Long: `Check what a profile file says. Nothing is sent anywhere. Every problem is told with its
line and column.`,
		RunE: func(_ *cobra.Command, args []string) error {
			file, err := a.readPolicy(args[0])
			if err != nil {
				return err
			}
			p, err := warrant.ParseProfile(signedfile.Text(file))
			if err != nil {
				return badProfile(args[0], err)
			}
			fmt.Fprintf(a.stdout, "%s: profile %s, generation %d, %d bases, sha256 %s\n", args[0], p.Name, p.Generation, len(p.Bases), p.SHA256)
			return nil
		}}
}

func (a *app) legalBasisSign() *cobra.Command {
	c := &cobra.Command{Use: "sign FILE", Short: "Sign a profile file in place, offline", Args: oneArg("FILE"),
		Long: `Check a profile file and put a signature below it. Signatures of others stay. The key is
one that griffier retention keygen makes; its public part is in the file that
legal.basis_keys_file of griffierd's configuration names.`}
	keyFile := c.Flags().String("key", "", "file with the signing key (required)")
	c.RunE = func(_ *cobra.Command, args []string) error {
		key, err := ledger.LoadKey(*keyFile)
		if err != nil {
			return usageError{err}
		}
		file, err := a.readPolicy(args[0])
		if err != nil {
			return err
		}
		signed, err := warrant.SignProfile(file, key.Signer)
		if err != nil {
			return badProfile(args[0], err)
		}
		if args[0] == "-" {
			_, err = a.stdout.Write(signed)
			return err
		}
		if err := replaceFile(args[0], signed); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "signed %s as %s\n", args[0], key.Signer.Name())
		return nil
	}
	return c
}

// badProfile names the file in what is wrong with it.
func badProfile(name string, err error) error {
	var wrong *signedfile.FileError
	if errors.As(err, &wrong) {
		wrong.Name = name
	}
	return usageError{err}
}
