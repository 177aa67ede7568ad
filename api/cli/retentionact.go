package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) retentionPropose() *cobra.Command {
	c := &cobra.Command{Use: "propose FILE", Short: "Propose a signed policy file that lengthens a period", Args: oneArg("FILE"),
		Long: `Propose a signed policy file that lengthens a period or changes a zone. It comes into
force once an overseer has given advice on it and a privacy controller, a third
person, has approved it; each within the time that show tells. A file that lengthens
nothing is not proposed: put it in place and reload griffierd.`}
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		file, err := a.readPolicy(args[0])
		if err != nil {
			return err
		}
		return a.retentionAct(func(client griffierv1.RetentionServiceClient) (*griffierv1.RetentionProposal, error) {
			return client.ProposeRetention(c.Context(), &griffierv1.ProposeRetentionRequest{RequestId: requestID(*request), File: file})
		})
	}
	return c
}

func (a *app) retentionAdvise() *cobra.Command {
	c := &cobra.Command{Use: "advise PROPOSAL", Short: "Record the data protection officer's advice", Args: oneArg("PROPOSAL"),
		Long: `Record advice on a proposal. Its text is sealed in the ledger, its outcome is not.
Advice against does not stop an approval; it is on record.`}
	hash := c.Flags().String("sha256", "", "hash of the file as you saw it; griffier retention show tells it (required)")
	advice := c.Flags().String("advice", "", "in_favour, against or in_favour_with_conditions (required)")
	text := c.Flags().String("text", "", "the advice (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		outcome, ok := griffierv1.RetentionAdvice_value["RETENTION_ADVICE_"+strings.ToUpper(*advice)]
		if !ok || outcome == 0 {
			return usageError{fmt.Errorf("--advice %q: want in_favour, against or in_favour_with_conditions", *advice)}
		}
		return a.retentionAct(func(client griffierv1.RetentionServiceClient) (*griffierv1.RetentionProposal, error) {
			return client.AdviseRetention(c.Context(), &griffierv1.AdviseRetentionRequest{RequestId: requestID(*request), ProposalId: args[0],
				Sha256: *hash, Advice: griffierv1.RetentionAdvice(outcome), Text: *text})
		})
	}
	return c
}

func (a *app) retentionApprove() *cobra.Command {
	c := &cobra.Command{Use: "approve PROPOSAL", Short: "Approve exactly what you saw; it comes into force", Args: oneArg("PROPOSAL"),
		Long: `Approve a proposal as "griffier retention show" showed it: the approval is bound to
the file's hash and to the generation of the proposal, which rises with each advice.
Put the same file in the place of griffierd's policy file afterwards.`}
	hash := c.Flags().String("sha256", "", "hash of the file as you saw it; griffier retention show tells it (required)")
	generation := c.Flags().Uint64("generation", 0, "generation of the proposal as you saw it (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.retentionAct(func(client griffierv1.RetentionServiceClient) (*griffierv1.RetentionProposal, error) {
			return client.ApproveRetention(c.Context(), &griffierv1.ApproveRetentionRequest{RequestId: requestID(*request), ProposalId: args[0],
				ExpectedGeneration: *generation, Sha256: *hash})
		})
	}
	return c
}

func (a *app) retentionWithdraw() *cobra.Command {
	c := &cobra.Command{Use: "withdraw PROPOSAL", Short: "End a proposal that is not in force", Args: oneArg("PROPOSAL")}
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.retentionAct(func(client griffierv1.RetentionServiceClient) (*griffierv1.RetentionProposal, error) {
			return client.WithdrawRetention(c.Context(), &griffierv1.WithdrawRetentionRequest{RequestId: requestID(*request), ProposalId: args[0], Explanation: *explanation})
		})
	}
	return c
}

// retentionAct calls, and prints the proposal after it.
func (a *app) retentionAct(call func(griffierv1.RetentionServiceClient) (*griffierv1.RetentionProposal, error)) error {
	p, err := call(griffierv1.NewRetentionServiceClient(a.server))
	if err != nil {
		return err
	}
	return a.showProposal(p)
}

// showProposal prints one proposal, field by field.
func (a *app) showProposal(p *griffierv1.RetentionProposal) error {
	t := table{header: []string{"field", "value"}}
	t.add("proposal", p.GetProposalId())
	t.add("state", word(p.GetState(), "RETENTION_PROPOSAL_STATE_"))
	t.add("generation", strconv.FormatUint(p.GetGeneration(), 10))
	t.add("sha256", p.GetSha256())
	t.add("policy_generation", strconv.FormatUint(p.GetPolicyGeneration(), 10))
	t.add("lengthens", strings.Join(p.GetLengthens(), " "))
	t.add("proposed", short(p.GetProposedBy())+" at "+at(p.GetProposedAt()))
	if p.GetAdvisedAt() != nil {
		t.add("advice", adviceWord(p.GetAdvice())+" by "+short(p.GetAdvisedBy())+" at "+at(p.GetAdvisedAt()))
	}
	if p.GetApprovedAt() != nil {
		t.add("approved", short(p.GetApprovedBy())+" at "+at(p.GetApprovedAt()))
	}
	t.add("expires", at(p.GetExpiresAt()))
	return a.print(p, t)
}
