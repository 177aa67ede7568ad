package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) warrantShow() *cobra.Command {
	return &cobra.Command{Use: "show WARRANT", Aliases: []string{"get"}, Args: oneArg("WARRANT"),
		Short: "Show a warrant with its limits, targets and tasks; looking is entered in the ledger",
		Long: `Show a warrant: what it says, who approved it, its tasks, and every limit as the server
computes it: by when it is to be acted on, when it lapses, until when it is effective,
and what it waits for. A warrant that has ended is shown for as long as the ledger lasts,
and its content for as long as its dossier does. Looking is entered in the ledger.`,
		RunE: func(c *cobra.Command, args []string) error {
			w, err := griffierv1.NewWarrantServiceClient(a.server).GetWarrant(c.Context(), &griffierv1.GetWarrantRequest{WarrantId: args[0]})
			if err != nil {
				return err
			}
			return a.showWarrant(w)
		}}
}

func (a *app) warrantList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List warrants, newest first, with their limits and without targets", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewWarrantServiceClient(a.server).ListWarrants(c.Context(), &griffierv1.ListWarrantsRequest{})
			if err != nil {
				return err
			}
			t := table{header: []string{"warrant", "state", "basis", "authority", "reference", "act_by", "alarm", "lapses", "effective_until", "awaits", "tasks"}}
			for _, w := range resp.GetWarrants() {
				content := w.GetContent()
				t.add(w.GetWarrantId(), word(w.GetState(), "WARRANT_STATE_"), content.GetLegalBasis(), content.GetAuthority(), content.GetReference(),
					at(w.GetActBy()), alarms(w), at(w.GetValidUntil()), at(w.GetEffectiveUntil()), strings.Join(w.GetAwaitingRoles(), " "), strconv.Itoa(len(w.GetTasks())))
			}
			return a.print(resp, t)
		}}
}

// alarms are the clocks of a warrant that have raised one: "ACT_BY:80%".
func alarms(w *griffierv1.Warrant) string {
	var out []string
	for _, c := range w.GetClocks() {
		if c.GetAlarm() > 0 {
			out = append(out, fmt.Sprintf("%s:%d%%", c.GetClock(), c.GetAlarm()))
		}
	}
	return strings.Join(out, " ")
}

// showWarrant prints one warrant, field by field; of a dry run, what would happen
// comes first.
func (a *app) showWarrant(w *griffierv1.Warrant) error {
	t := table{header: []string{"field", "value"}}
	if len(w.GetEffects()) > 0 {
		t.add("dry run", "nothing was done; this would be:")
		for _, effect := range w.GetEffects() {
			t.add("would", effect)
		}
	}
	t.add("warrant", w.GetWarrantId())
	if w.GetTeam() != "" {
		t.add("team", w.GetTeam())
	}
	t.add("state", strings.TrimSpace(word(w.GetState(), "WARRANT_STATE_")+" "+w.GetStateDetail()))
	t.add("generation", strconv.FormatUint(w.GetGeneration(), 10))
	t.add("content_sha256", w.GetContentSha256())
	addLimits(&t, w)
	if c := w.GetContent(); c != nil {
		addContent(&t, c)
	}
	if p := w.GetProfile(); p != "" {
		t.add("profile", p+" "+short(w.GetProfileSha256()))
	}
	if v := w.GetCallBack(); v != nil {
		t.add("called back", fmt.Sprintf("by %s at %s, ledger entry %d", short(v.GetVerifiedBy()), at(v.GetVerifiedAt()), v.GetLedgerIndex()))
	} else {
		t.add("called back", "no: griffier warrant verify")
	}
	t.add("document", documentState(w))
	for _, approval := range w.GetApprovals() {
		t.add("approved", fmt.Sprintf("%s by %s at %s, ledger entry %d", approval.GetRole(), short(approval.GetApprover()), at(approval.GetApprovedAt()), approval.GetLedgerIndex()))
	}
	for _, consent := range w.GetConsents() {
		t.add("half "+strings.ToLower(strings.ReplaceAll(consent.GetAct(), "_", " ")), fmt.Sprintf("%s by %s at %s, ledger entry %d; waits for a second person until %s",
			consent.GetRole(), short(consent.GetPerson()), at(consent.GetGivenAt()), consent.GetLedgerIndex(), at(consent.GetCountsUntil())))
	}
	if roles := w.GetAwaitingRoles(); len(roles) > 0 {
		t.add("awaits approval", strings.Join(roles, " "))
	}
	for _, task := range w.GetTasks() {
		t.add("task "+task.GetTaskId(), strings.TrimSpace(word(task.GetState(), "TASK_STATE_")+" "+task.GetAnswer()+task.GetRefusal()))
	}
	return a.print(w, t)
}

// addLimits adds the times that the server computed. Two of them are ends, and
// differ: by when the order is to be answered, and when the authority lapses.
func addLimits(t *table, w *griffierv1.Warrant) {
	gone := map[string]string{}
	for _, c := range w.GetClocks() {
		gone[c.GetClock()] = fmt.Sprintf(" (%d %% gone)", c.GetPercent())
		if c.GetAlarm() > 0 {
			gone[c.GetClock()] = fmt.Sprintf(" (%d %% gone, alarm %d %%)", c.GetPercent(), c.GetAlarm())
		}
	}
	t.add("served", at(w.GetServedAt())+" "+word(w.GetPriority(), "WARRANT_PRIORITY_"))
	t.add("act by", at(w.GetActBy())+gone["ACT_BY"])
	if w.GetActedAt() != nil {
		t.add("acted", at(w.GetActedAt()))
	}
	t.add("lapses", at(w.GetValidUntil()))
	t.add("effective until", at(w.GetEffectiveUntil()))
	if w.GetPaperBy() != nil {
		t.add("paper by", at(w.GetPaperBy())+gone["PAPER"])
		t.add("paper", at(w.GetPaperAt()))
	}
	if w.GetNoticeUntil() != nil {
		t.add("release blocked until", at(w.GetNoticeUntil())+gone["NOTICE"])
		t.add("notice cleared", at(w.GetNoticeClearedAt()))
	}
	if w.GetSuspendedAt() != nil {
		t.add("suspended", at(w.GetSuspendedAt()))
	}
	if w.GetEndedAt() != nil {
		t.add("ended", at(w.GetEndedAt()))
	}
}

func addContent(t *table, c *griffierv1.WarrantContent) {
	var categories []string
	for _, category := range c.GetCategories() {
		categories = append(categories, word(category, "CATEGORY_"))
	}
	t.add("legal_basis", c.GetLegalBasis())
	t.add("authority", c.GetAuthority())
	t.add("reference", c.GetReference())
	t.add("requested_by", c.GetRequestedBy())
	t.add("issued_at", c.GetIssuedAt())
	t.add("valid", c.GetValidFrom()+" to "+c.GetValidUntil())
	t.add("window", c.GetWindowStart()+" to "+c.GetWindowEnd())
	t.add("categories", strings.Join(categories, " "))
	t.add("targets", strings.Join(c.GetTargets(), " "))
	t.add("recipient", c.GetRecipient())
	t.add("document_sha256", c.GetDocumentSha256())
	t.add("examining_magistrate_authorisation", strings.TrimSpace(c.GetExaminingMagistrateAuthorisation()+" "+c.GetExaminingMagistrateDate()))
	if c.GetEmergency() {
		t.add("emergency", "ordered orally")
	}
}
