package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) hold() *cobra.Command {
	return noun("hold", "Sealed copies made for preservation orders: list, extend, end", a.holdList(), a.holdGet(), a.holdExtend(), a.holdEnd())
}

func (a *app) holdList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List every hold, newest first, without what is held", Args: noArgs}
	c.RunE = func(c *cobra.Command, _ []string) error {
		res, err := griffierv1.NewHoldServiceClient(a.server).ListHolds(c.Context(), &griffierv1.ListHoldsRequest{})
		if err != nil {
			return err
		}
		t := table{header: []string{"hold", "warrant", "task", "basis", "state", "made_at", "ends_at", "rows", "generation"}}
		for _, h := range res.GetHolds() {
			t.add(h.GetHoldId(), h.GetWarrantId(), h.GetTaskId(), h.GetLegalBasis(), word(h.GetState(), "HOLD_STATE_"), at(h.GetMadeAt()), at(h.GetEndsAt()),
				h.GetRowBand(), strconv.FormatUint(h.GetGeneration(), 10))
		}
		return a.print(res, t)
	}
	return c
}

func (a *app) holdGet() *cobra.Command {
	c := &cobra.Command{Use: "get HOLD", Short: "Show one hold, without what is held", Args: oneArg("HOLD")}
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.actOnHold(func(client griffierv1.HoldServiceClient, ctx context.Context) (*griffierv1.Hold, error) {
			return client.GetHold(ctx, &griffierv1.GetHoldRequest{HoldId: args[0]})
		}, c.Context())
	}
	return c
}

func (a *app) holdExtend() *cobra.Command {
	c := &cobra.Command{Use: "extend HOLD", Short: "Approve that a hold lasts longer; two people in two roles extend it", Args: oneArg("HOLD"),
		Long: `Approve that a hold lasts longer, by as much as its legal basis allows, and once. The
first approval waits, for a day at most, for a second one of the same document, by
another person in the other role.`,
		Example: "  griffier hold extend HOLD --generation 2 --document 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
	document := documentFlag(c)
	generation := c.Flags().Uint64("generation", 0, "generation of the hold as you saw it (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *document == "" || *generation == 0 {
			return usageError{fmt.Errorf("hold extend: --document and --generation are required")}
		}
		return a.actOnHold(func(client griffierv1.HoldServiceClient, ctx context.Context) (*griffierv1.Hold, error) {
			return client.ExtendHold(ctx, &griffierv1.ExtendHoldRequest{RequestId: requestID(*request), HoldId: args[0], ExpectedGeneration: *generation, DocumentSha256: *document})
		}, c.Context())
	}
	return c
}

func (a *app) holdEnd() *cobra.Command {
	c := &cobra.Command{Use: "end HOLD", Short: "End a hold because the authority says so; it is destroyed at once", Args: oneArg("HOLD")}
	document := documentFlag(c)
	generation := c.Flags().Uint64("generation", 0, "generation of the hold as you saw it (required)")
	explanation := c.Flags().String("explanation", "", "why; it is sealed")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *document == "" || *generation == 0 {
			return usageError{fmt.Errorf("hold end: --document and --generation are required")}
		}
		return a.actOnHold(func(client griffierv1.HoldServiceClient, ctx context.Context) (*griffierv1.Hold, error) {
			return client.EndHold(ctx, &griffierv1.EndHoldRequest{RequestId: requestID(*request), HoldId: args[0], ExpectedGeneration: *generation,
				DocumentSha256: *document, Explanation: *explanation})
		}, c.Context())
	}
	return c
}

func documentFlag(c *cobra.Command) *string {
	return c.Flags().String("document", "", "SHA-256 of the authority's document as received, hexadecimal (required)")
}

// actOnHold calls the server and shows the hold that it answers with.
func (a *app) actOnHold(call func(griffierv1.HoldServiceClient, context.Context) (*griffierv1.Hold, error), ctx context.Context) error {
	h, err := call(griffierv1.NewHoldServiceClient(a.server), ctx)
	if err != nil {
		return err
	}
	t := table{header: []string{"field", "value"}}
	t.add("hold", h.GetHoldId())
	t.add("warrant", h.GetWarrantId())
	t.add("task", h.GetTaskId())
	t.add("basis", h.GetLegalBasis())
	t.add("state", word(h.GetState(), "HOLD_STATE_"))
	t.add("generation", strconv.FormatUint(h.GetGeneration(), 10))
	t.add("made_at", at(h.GetMadeAt()))
	t.add("ends_at", at(h.GetEndsAt()))
	t.add("rows", h.GetRowBand())
	if h.GetExtendedAt() != nil {
		t.add("extended_at", at(h.GetExtendedAt()))
	}
	for _, approval := range h.GetExtensionApprovals() {
		t.add("extension_approved", strings.Join([]string{approval.GetRole(), approval.GetApprover(), at(approval.GetApprovedAt())}, " "))
	}
	if h.GetEndedBy() != "" {
		t.add("ended_by", h.GetEndedBy())
	}
	if h.GetShreddedAt() != nil {
		t.add("shredded_at", at(h.GetShreddedAt()))
		t.add("certificate", strconv.FormatUint(h.GetCertificateIndex(), 10))
	}
	return a.print(h, t)
}
