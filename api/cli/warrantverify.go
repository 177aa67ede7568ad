package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) warrantVerify() *cobra.Command {
	c := &cobra.Command{Use: "verify WARRANT", Short: "Record that the authority was called back", Args: oneArg("WARRANT"),
		Long: `Record a call to the authority that asks whether it sent this order. Call the number
that "griffier authority show" tells, never one from the letter. Nobody can approve
before an outcome of confirmed; denied makes the approvals void that there are.
Whom you spoke with is sealed in the ledger.`,
		Example: `  griffier warrant verify 0123456789abcdef0123456789abcdef --content-sha256 9f86 --number +31201234567 --outcome confirmed --spoke-with desk`}
	hash := contentFlag(c)
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	number := c.Flags().String("number", "", "the number that was called: the registry's (required)")
	outcome := c.Flags().String("outcome", "", "confirmed, denied or no_answer (required)")
	spokeWith := c.Flags().String("spoke-with", "", "who at the authority said so; sealed in the ledger")
	note := c.Flags().String("note", "", "anything more; sealed in the ledger")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		result, ok := griffierv1.CallBackOutcome_value["CALL_BACK_OUTCOME_"+strings.ToUpper(*outcome)]
		if !ok || result == 0 {
			return usageError{fmt.Errorf("--outcome %q: want confirmed, denied or no_answer", *outcome)}
		}
		w, err := griffierv1.NewWarrantServiceClient(a.server).VerifyWarrant(c.Context(), &griffierv1.VerifyWarrantRequest{
			RequestId: requestID(*request), WarrantId: args[0], ExpectedGeneration: *generation, ContentSha256: *hash,
			Number: *number, Outcome: griffierv1.CallBackOutcome(result), SpokeWith: *spokeWith, Note: *note})
		if err != nil {
			return err
		}
		return a.showWarrant(w)
	}
	return c
}
