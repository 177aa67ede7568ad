package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

var purposes = map[string]griffierv1.SupportPurpose{
	"complaint":   griffierv1.SupportPurpose_SUPPORT_PURPOSE_COMPLAINT,
	"malfunction": griffierv1.SupportPurpose_SUPPORT_PURPOSE_MALFUNCTION,
	"data-limit":  griffierv1.SupportPurpose_SUPPORT_PURPOSE_DATA_LIMIT,
}

func (a *app) support() *cobra.Command {
	return noun("support", "Codes for support, and look-ups by support", a.supportCode(), a.supportLookup())
}

func (a *app) supportCode() *cobra.Command {
	c := &cobra.Command{Use: "code", Short: "Make a code that opens one of your lines to support for 24 hours", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		resp, err := griffierv1.NewUsageServiceClient(a.server).CreateSupportCode(c.Context(), &griffierv1.CreateSupportCodeRequest{LineId: *line})
		if err != nil {
			return err
		}
		t := table{header: []string{"code", "expires"}}
		t.add(resp.GetCode(), at(resp.GetExpiresAt()))
		return a.print(resp, t)
	}
	return c
}

func (a *app) supportLookup() *cobra.Command {
	c := &cobra.Command{Use: "lookup", Short: "Look at the line that a customer opened, for one ticket", Args: noArgs}
	ticket := c.Flags().String("ticket", "", "ticket number (required)")
	code := c.Flags().String("code", "", "the code that the customer reads out (required)")
	purpose := c.Flags().String("purpose", "", "complaint, malfunction or data-limit (required)")
	win := window(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		p, ok := purposes[*purpose]
		if !ok {
			return usageError{fmt.Errorf("--purpose %q: want complaint, malfunction or data-limit", *purpose)}
		}
		w, err := win()
		if err != nil {
			return err
		}
		resp, err := griffierv1.NewSupportServiceClient(a.server).LookUpLine(c.Context(),
			&griffierv1.LookUpLineRequest{Ticket: *ticket, Code: *code, Purpose: p, Window: w})
		if err != nil {
			return err
		}
		a.showGaps(resp.GetGaps())
		a.showElapsed(usageElapsed, resp.GetElapsed())
		a.showElapsed(sessionsElapsed, resp.GetSessionsElapsed())
		a.showElapsed(addressesElapsed, resp.GetAddressesElapsed())
		if a.format == "table" {
			fmt.Fprintf(a.stderr, "line %s, addresses masked\n", resp.GetLineId())
			if err := a.print(resp, points(resp.GetDays())); err != nil {
				return err
			}
		}
		return a.print(resp, sessions(resp.GetSessions()))
	}
	return c
}

// showGaps says on stderr which parts of a window nobody collected.
func (a *app) showGaps(gaps []*griffierv1.Gap) {
	for _, g := range gaps {
		fmt.Fprintf(a.stderr, "note: nothing was collected from %s to %s; figures of that time are not complete\n", at(g.GetStart()), at(g.GetEnd()))
	}
}
