package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	griffierv1 "griffier/proto/griffier/v1"
)

// dryRunFlag asks the server what an act would do. What is shown is worked out by
// the server with the rules of the act itself.
func dryRunFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("dry-run", false, "show what the server would do, and do nothing; that you asked is entered in the ledger")
}

func generationFlag(c *cobra.Command) *uint64 {
	return c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
}

// call is an rpc of the warrant service.
type call[R any] func(griffierv1.WarrantServiceClient, context.Context, R, ...grpc.CallOption) (*griffierv1.Warrant, error)

// sendAct makes an act and shows the warrant after it.
func sendAct[R any](a *app, c *cobra.Command, rpc call[R], req R) error {
	w, err := rpc(griffierv1.NewWarrantServiceClient(a.server), c.Context(), req)
	if err != nil {
		return err
	}
	return a.showWarrant(w)
}

// warrantExplained is a verb that needs nothing but an explanation.
func warrantExplained(a *app, verb, short, long string, send func(c *cobra.Command, req *griffierv1.SuspendWarrantRequest) error) *cobra.Command {
	c := &cobra.Command{Use: verb + " WARRANT", Short: short, Long: long, Args: oneArg("WARRANT")}
	generation, request, dryRun := generationFlag(c), requestFlag(c), dryRunFlag(c)
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	c.RunE = func(c *cobra.Command, args []string) error {
		return send(c, &griffierv1.SuspendWarrantRequest{RequestId: requestID(*request), WarrantId: args[0], ExpectedGeneration: *generation,
			Explanation: *explanation, ValidateOnly: *dryRun})
	}
	return c
}

func (a *app) warrantReject() *cobra.Command {
	return warrantExplained(a, "reject", "End a warrant that was never approved", `End a warrant that was never approved. That is how a mistake at intake is put right
when an edit cannot: the reference is free again.`, func(c *cobra.Command, q *griffierv1.SuspendWarrantRequest) error {
		return sendAct(a, c, griffierv1.WarrantServiceClient.RejectWarrant, &griffierv1.RejectWarrantRequest{RequestId: q.RequestId, WarrantId: q.WarrantId,
			ExpectedGeneration: q.ExpectedGeneration, Explanation: q.Explanation, ValidateOnly: q.ValidateOnly})
	})
}

func (a *app) warrantRevoke() *cobra.Command {
	return warrantExplained(a, "revoke", "End a warrant by our own decision; what runs under it stops", `End a warrant by our own decision. What runs under it is cut off and packages that were
not fetched are destroyed. One that the authority withdrew is cancelled: griffier warrant
cancel.`, func(c *cobra.Command, q *griffierv1.SuspendWarrantRequest) error {
		return sendAct(a, c, griffierv1.WarrantServiceClient.RevokeWarrant, &griffierv1.RevokeWarrantRequest{RequestId: q.RequestId, WarrantId: q.WarrantId,
			ExpectedGeneration: q.ExpectedGeneration, Explanation: q.Explanation, ValidateOnly: q.ValidateOnly})
	})
}

func (a *app) warrantSuspend() *cobra.Command {
	return warrantExplained(a, "suspend", "Stop everything under a warrant until it is resumed", `Stop everything under a warrant: what runs is cut off, and nothing is executed, released
or fetched until two people resume it. Its deadlines run on.`, func(c *cobra.Command, q *griffierv1.SuspendWarrantRequest) error {
		return sendAct(a, c, griffierv1.WarrantServiceClient.SuspendWarrant, q)
	})
}

func (a *app) warrantResume() *cobra.Command {
	c := &cobra.Command{Use: "resume WARRANT", Short: "Let a suspended warrant go on; two people in two roles do", Args: oneArg("WARRANT"),
		Long: `Let a warrant go on that a person suspended. What is stopped takes two people to let go:
the first one's word waits, for a day at most, for that of a second person in the other
role, about the same content. Approvals that grew too old meanwhile are to be given
again. One that is suspended because the paper of an oral order did not come lives again
with the paper and the second approval.`,
		Example: `  griffier warrant resume 0123456789abcdef0123456789abcdef --content-sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --dry-run`}
	generation, request, dryRun, content := generationFlag(c), requestFlag(c), dryRunFlag(c), contentFlag(c)
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	c.RunE = func(c *cobra.Command, args []string) error {
		return sendAct(a, c, griffierv1.WarrantServiceClient.ResumeWarrant, &griffierv1.ResumeWarrantRequest{RequestId: requestID(*request), WarrantId: args[0],
			ExpectedGeneration: *generation, ContentSha256: *content, Explanation: *explanation, ValidateOnly: *dryRun})
	}
	return c
}

// contentFlag binds an act to what its caller saw.
func contentFlag(c *cobra.Command) *string {
	return c.Flags().String("content-sha256", "", "hash of the content as you saw it; griffier warrant show shows it (required)")
}

func (a *app) warrantCancel() *cobra.Command {
	c := &cobra.Command{Use: "cancel WARRANT", Short: "End a warrant that the authority withdrew; what runs under it stops", Args: oneArg("WARRANT"),
		Long: `End a warrant because the authority withdrew it. What runs under it is cut off and
packages that were not fetched are destroyed. A call is enough to stop; name the letter
when there is one.`}
	generation, request, dryRun := generationFlag(c), requestFlag(c), dryRunFlag(c)
	explanation := c.Flags().String("explanation", "", "who withdrew it, and how; sealed in the ledger")
	document := c.Flags().String("document-sha256", "", "hash of the letter, if there is one; sealed in the ledger")
	c.RunE = func(c *cobra.Command, args []string) error {
		return sendAct(a, c, griffierv1.WarrantServiceClient.CancelWarrant, &griffierv1.CancelWarrantRequest{RequestId: requestID(*request), WarrantId: args[0],
			ExpectedGeneration: *generation, Explanation: *explanation, DocumentSha256: *document, ValidateOnly: *dryRun})
	}
	return c
}

func (a *app) warrantEdit() *cobra.Command {
	c := &cobra.Command{Use: "edit WARRANT", Short: "Give a warrant another content; every approval is void", Args: oneArg("WARRANT"),
		Long: `Give a warrant another content, from a file as "griffier warrant create" takes it: the
whole content, not only what differs. The generation rises by one, every approval is
void, and nothing runs until it is approved again. A task that is open goes on only if
it could be asked, as it is, under the new content; it is to be confirmed again. A later
end is not an edit: griffier warrant extend.`,
		Example: `  griffier warrant edit 0123456789abcdef0123456789abcdef --generation 1 --file order.yaml --dry-run`}
	file := c.Flags().StringP("file", "f", "", "the order, or - for stdin (required)")
	generation, request, dryRun := generationFlag(c), requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		content, err := a.readOrder(*file)
		if err != nil {
			return err
		}
		return sendAct(a, c, griffierv1.WarrantServiceClient.EditWarrant, &griffierv1.EditWarrantRequest{RequestId: requestID(*request), WarrantId: args[0],
			ExpectedGeneration: *generation, Content: content, ValidateOnly: *dryRun})
	}
	return c
}

func (a *app) warrantExtend() *cobra.Command {
	c := &cobra.Command{Use: "extend WARRANT", Short: "Let a warrant last longer, by a new document; it is approved again", Args: oneArg("WARRANT"),
		Long: `Let a warrant that has not ended last longer, by a new document of the authority. The end
must be strictly later. The deadlines start again, the generation rises by one and every
approval is to be given again; open tasks go on then.`,
		Example: `  griffier warrant extend 0123456789abcdef0123456789abcdef --generation 1 --valid-until 2026-12-20T00:00:00+01:00 --document extension.pdf
  griffier warrant extend 0123456789abcdef0123456789abcdef --generation 1 --valid-until 2026-12-20T00:00:00+01:00 --document-sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --dry-run`}
	until := c.Flags().String("valid-until", "", "the new end, RFC 3339 with an offset (required)")
	document := a.paperFlags(c, "the document that extends it")
	generation, request, dryRun := generationFlag(c), requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		id := requestID(*request)
		sha256, err := document.stored(c.Context(), id, args[0], *dryRun)
		if err != nil {
			return err
		}
		return sendAct(a, c, griffierv1.WarrantServiceClient.ExtendWarrant, &griffierv1.ExtendWarrantRequest{RequestId: id, WarrantId: args[0],
			ExpectedGeneration: *generation, ValidUntil: *until, DocumentSha256: sha256, ValidateOnly: *dryRun})
	}
	return c
}

func (a *app) warrantPaper() *cobra.Command {
	c := &cobra.Command{Use: "paper WARRANT", Short: "Record that the paper of an oral order came", Args: oneArg("WARRANT"),
		Long: `Record the document that confirms an oral order. With it and the second approval the
warrant is approved; without either, in the days that the basis allows, it is suspended
by itself. A paper that says something else than the oral order is none: edit the warrant.`,
		Example: `  griffier warrant paper 0123456789abcdef0123456789abcdef --document paper.pdf`}
	document := a.paperFlags(c, "the paper")
	note := c.Flags().String("note", "", "anything more; sealed in the ledger")
	generation, request, dryRun := generationFlag(c), requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		id := requestID(*request)
		sha256, err := document.stored(c.Context(), id, args[0], *dryRun)
		if err != nil {
			return err
		}
		return sendAct(a, c, griffierv1.WarrantServiceClient.RecordPaper, &griffierv1.RecordPaperRequest{RequestId: id, WarrantId: args[0],
			ExpectedGeneration: *generation, DocumentSha256: sha256, Note: *note, ValidateOnly: *dryRun})
	}
	return c
}

func (a *app) warrantClearNotice() *cobra.Command {
	c := &cobra.Command{Use: "clear-notice WARRANT", Short: "Record that the enforcing authority has no objection; two people in two roles do", Args: oneArg("WARRANT"),
		Long: `Record the message by which the enforcing authority, which was notified of an EPOC,
cleared it: what is sealed may be released before its ten days are over. Two people do, in
two roles and by the same message, which is stored in the dossier, so that the second
reads it too; the first one's word waits, for a day at most, for the second one's. If the
authority refuses, suspend or cancel the warrant instead: one person may.`,
		Example: `  griffier warrant clear-notice 0123456789abcdef0123456789abcdef --content-sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --document message.pdf
  griffier warrant clear-notice 0123456789abcdef0123456789abcdef --content-sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 --document-sha256 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752`}
	document := a.paperFlags(c, "the message")
	note := c.Flags().String("note", "", "anything more; sealed in the ledger")
	generation, request, dryRun, content := generationFlag(c), requestFlag(c), dryRunFlag(c), contentFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		id := requestID(*request)
		sha256, err := document.stored(c.Context(), id, args[0], *dryRun)
		if err != nil {
			return err
		}
		return sendAct(a, c, griffierv1.WarrantServiceClient.ClearNotice, &griffierv1.ClearNoticeRequest{RequestId: id, WarrantId: args[0],
			ExpectedGeneration: *generation, ContentSha256: *content, DocumentSha256: sha256, Note: *note, ValidateOnly: *dryRun})
	}
	return c
}

func (a *app) warrantAssign() *cobra.Command {
	c := &cobra.Command{Use: "assign WARRANT", Short: "Give a warrant to another team", Args: oneArg("WARRANT"),
		Long: `Give a warrant to another team, when nobody of the present one can go on with it. The
privacy controller does, who does not see what it is about. Its content and approvals stay
as they are; the former team no longer sees it.`,
		Example: `  griffier warrant assign 0123456789abcdef0123456789abcdef --team zuid --explanation illness`}
	team := c.Flags().String("team", "", "the team, as the identity provider names it; empty: the one without a name")
	explanation := c.Flags().String("explanation", "", "why the present team cannot go on with it; sealed in the ledger (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := griffierv1.NewWarrantServiceClient(a.server).AssignWarrant(c.Context(), &griffierv1.AssignWarrantRequest{RequestId: requestID(*request),
			WarrantId: args[0], Team: *team, Explanation: *explanation})
		if err != nil {
			return err
		}
		return a.print(m, table{header: []string{"warrant", "team"}, rows: [][]string{{m.GetWarrantId(), m.GetTeam()}}})
	}
	return c
}

// parsePriority reads the priority of an order file.
func parsePriority(name string) (griffierv1.WarrantPriority, error) {
	if name == "" {
		return 0, nil
	}
	const prefix = "WARRANT_PRIORITY_"
	p, ok := griffierv1.WarrantPriority_value[prefix+strings.TrimPrefix(strings.ToUpper(name), prefix)]
	if !ok || p == 0 {
		return 0, usageError{fmt.Errorf("priority %q: want routine, high, ten_days_asap, ten_days_subject_to_ea or eight_hours", name)}
	}
	return griffierv1.WarrantPriority(p), nil
}
