package cli

import (
	"context"
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
		Long: `Approve that a hold lasts longer, by as much as its legal basis allows, and once, by an
order of its own. The first approval waits, for a day at most, for a second one of the
same order, by another person in the other role, who reads it first: griffier document
get. An order that is given as a file is stored in the dossier of the hold's warrant, if
it is not there; only a legal officer can.`,
		Example: `  griffier hold extend HOLD --generation 1 --document extension.pdf --dry-run
  griffier hold extend HOLD --generation 2 --document-sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08`}
	order := a.holdOrderFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.actOnHold(func(client griffierv1.HoldServiceClient, ctx context.Context) (*griffierv1.Hold, error) {
			document, err := order.document(ctx, client, args[0])
			if err != nil {
				return nil, err
			}
			return client.ExtendHold(ctx, &griffierv1.ExtendHoldRequest{RequestId: order.request(), HoldId: args[0], ExpectedGeneration: *order.generation,
				DocumentSha256: document, ValidateOnly: *order.dryRun})
		}, c.Context())
	}
	return c
}

func (a *app) holdEnd() *cobra.Command {
	c := &cobra.Command{Use: "end HOLD", Short: "End a hold because the authority says so; it is destroyed at once", Args: oneArg("HOLD"),
		Long: `End a hold before its time, by the order with which the authority says so. One person
suffices, and nothing brings back what the hold had. An order that is given as a file is
stored in the dossier of the hold's warrant, if it is not there; only a legal officer
can. A preservation order that was withdrawn as a whole is cancelled: griffier warrant
cancel, for which a call is enough.`,
		Example: `  griffier hold end HOLD --generation 1 --document withdrawal.pdf --dry-run`}
	order := a.holdOrderFlags(c)
	explanation := c.Flags().String("explanation", "", "why; it is sealed")
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.actOnHold(func(client griffierv1.HoldServiceClient, ctx context.Context) (*griffierv1.Hold, error) {
			document, err := order.document(ctx, client, args[0])
			if err != nil {
				return nil, err
			}
			return client.EndHold(ctx, &griffierv1.EndHoldRequest{RequestId: order.request(), HoldId: args[0], ExpectedGeneration: *order.generation,
				DocumentSha256: document, Explanation: *explanation, ValidateOnly: *order.dryRun})
		}, c.Context())
	}
	return c
}

// holdOrder is the order that an act on a hold rests on, as it was given.
type holdOrder struct {
	*paper
	id         *string
	generation *uint64
	dryRun     *bool
}

func (a *app) holdOrderFlags(c *cobra.Command) *holdOrder {
	return &holdOrder{paper: a.paperFlags(c, "the authority's order"), id: requestFlag(c), dryRun: dryRunFlag(c),
		generation: c.Flags().Uint64("generation", 0, "generation of the hold as you saw it (required)")}
}

// request is one id for the order and the act: what a failure left undone is done by
// giving it again.
func (o *holdOrder) request() string {
	*o.id = requestID(*o.id)
	return *o.id
}

// document returns the hash of the order, in the dossier of the hold's warrant.
func (o *holdOrder) document(ctx context.Context, client griffierv1.HoldServiceClient, holdID string) (string, error) {
	if err := o.given(); err != nil || *o.file == "" {
		return *o.sha256, err
	}
	h, err := client.GetHold(ctx, &griffierv1.GetHoldRequest{HoldId: holdID})
	if err != nil {
		return "", err
	}
	return o.stored(ctx, o.request(), h.GetWarrantId(), *o.dryRun)
}

// actOnHold calls the server and shows the hold that it answers with.
func (a *app) actOnHold(call func(griffierv1.HoldServiceClient, context.Context) (*griffierv1.Hold, error), ctx context.Context) error {
	h, err := call(griffierv1.NewHoldServiceClient(a.server), ctx)
	if err != nil {
		return err
	}
	t := table{header: []string{"field", "value"}}
	if len(h.GetEffects()) > 0 {
		t.add("dry run", "nothing was done; this would be:")
		for _, effect := range h.GetEffects() {
			t.add("would", effect)
		}
	}
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
		t.add("extension_approved", strings.Join([]string{approval.GetRole(), approval.GetApprover(), at(approval.GetApprovedAt()), "by document", approval.GetDocumentId()}, " "))
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
