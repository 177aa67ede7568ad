package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"griffier/api/strictyaml"
	griffierv1 "griffier/proto/griffier/v1"
)

const maxOrderBytes = 64 << 10

func (a *app) warrant() *cobra.Command {
	return noun("warrant", "Orders by authorities: create, approve, end", a.warrantCreate(), a.warrantVerify(), a.warrantApprove(),
		a.warrantEnd("reject", "End a warrant that is not approved"), a.warrantEnd("revoke", "End a warrant; what runs under it stops"),
		a.warrantGet(), a.warrantList())
}

// order is a warrant's content as a file: the names of the API, in YAML or JSON.
type order struct {
	LegalBasis                       string   `yaml:"legal_basis"`
	Authority                        string   `yaml:"authority"`
	Reference                        string   `yaml:"reference"`
	RequestedBy                      string   `yaml:"requested_by"`
	IssuedAt                         string   `yaml:"issued_at"`
	ValidFrom                        string   `yaml:"valid_from"`
	ValidUntil                       string   `yaml:"valid_until"`
	DocumentSHA256                   string   `yaml:"document_sha256"`
	Categories                       []string `yaml:"categories"`
	Targets                          []string `yaml:"targets"`
	WindowStart                      string   `yaml:"window_start"`
	WindowEnd                        string   `yaml:"window_end"`
	Recipient                        string   `yaml:"recipient"`
	ExaminingMagistrateAuthorisation string   `yaml:"examining_magistrate_authorisation"`
	ExaminingMagistrateDate          string   `yaml:"examining_magistrate_date"`
	ExaminingMagistrateScope         []string `yaml:"examining_magistrate_scope"`
}

// readOrder reads a file, or stdin for "-". What is missing is for the server to
// say; what has no meaning is said here, with line and column.
func (a *app) readOrder(path string) (*griffierv1.WarrantContent, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxOrderBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxOrderBytes {
		return nil, usageError{fmt.Errorf("%s: longer than %d bytes", path, maxOrderBytes)}
	}
	var o order
	if err := strictyaml.Unmarshal(path, text, &o); err != nil {
		return nil, usageError{err}
	}
	m := &griffierv1.WarrantContent{
		LegalBasis: o.LegalBasis, Authority: o.Authority, Reference: o.Reference, RequestedBy: o.RequestedBy, IssuedAt: o.IssuedAt,
		ValidFrom: o.ValidFrom, ValidUntil: o.ValidUntil, DocumentSha256: o.DocumentSHA256, Targets: o.Targets, WindowStart: o.WindowStart,
		WindowEnd: o.WindowEnd, Recipient: o.Recipient, ExaminingMagistrateAuthorisation: o.ExaminingMagistrateAuthorisation,
		ExaminingMagistrateDate: o.ExaminingMagistrateDate,
	}
	for _, name := range o.ExaminingMagistrateScope {
		category, err := parseCategory(name)
		if err != nil {
			return nil, err
		}
		m.ExaminingMagistrateScope = append(m.ExaminingMagistrateScope, category)
	}
	for _, name := range o.Categories {
		category, err := parseCategory(name)
		if err != nil {
			return nil, err
		}
		m.Categories = append(m.Categories, category)
	}
	return m, nil
}

func parseCategory(name string) (griffierv1.Category, error) {
	const prefix = "CATEGORY_" // as -o json prints it
	c, ok := griffierv1.Category_value[prefix+strings.TrimPrefix(strings.ToUpper(name), prefix)]
	if !ok || c == 0 {
		return 0, usageError{fmt.Errorf("category %q: want identity, attribution, history, time, volume or preservation", name)}
	}
	return griffierv1.Category(c), nil
}

// requestFlag lets a retry find out what became of the first try.
func requestFlag(c *cobra.Command) *string {
	return c.Flags().String("request-id", "", "id of this request, to give again on a retry (default: a new UUID)")
}

func requestID(given string) string {
	if given == "" {
		return uuid.NewString()
	}
	return given
}

func (a *app) warrantCreate() *cobra.Command {
	c := &cobra.Command{Use: "create", Short: "Record an order", Args: noArgs,
		Long: `Record an order by an authority from a YAML or JSON file with the fields of
WarrantContent. Instants are RFC 3339 with an explicit offset; the server assumes no
zone. Everything missing is listed at once.`,
		Example: `  griffier warrant create --file order.yaml

  # order.yaml
  legal_basis: NL-126na
  authority: NL-POLICE
  reference: 2026-OPS-117
  requested_by: Insp. J. Bakker
  issued_at: 2026-11-20T09:00:00+01:00
  valid_from: 2026-11-20T09:00:00+01:00
  valid_until: 2026-11-27T09:00:00+01:00
  document_sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  categories: [attribution]
  targets: [192.0.2.17]
  window_start: 2026-11-19T12:59:00+01:00
  window_end: 2026-11-19T13:01:00+01:00
  recipient: age1…  # the authority's key; examining_magistrate_authorisation: where the basis wants it`}
	file := c.Flags().StringP("file", "f", "", "the order, or - for stdin (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		content, err := a.readOrder(*file)
		if err != nil {
			return err
		}
		w, err := griffierv1.NewWarrantServiceClient(a.server).CreateWarrant(c.Context(), &griffierv1.CreateWarrantRequest{RequestId: requestID(*request), Content: content})
		if err != nil {
			return err
		}
		return a.showWarrant(w)
	}
	return c
}

func (a *app) warrantApprove() *cobra.Command {
	c := &cobra.Command{Use: "approve WARRANT", Short: "Approve exactly what you saw", Args: oneArg("WARRANT"),
		Long: `Approve a warrant as "griffier warrant get" showed it: the approval is bound to the
content hash and generation that you give. The second approval must be another
person's, in the other role.`}
	hash := c.Flags().String("content-sha256", "", "hash of the content as you saw it; griffier warrant get shows it (required)")
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		w, err := griffierv1.NewWarrantServiceClient(a.server).ApproveWarrant(c.Context(), &griffierv1.ApproveWarrantRequest{
			RequestId: requestID(*request), WarrantId: args[0], ExpectedGeneration: *generation, ContentSha256: *hash})
		if err != nil {
			return err
		}
		return a.showWarrant(w)
	}
	return c
}

// warrantEnd is reject and revoke.
func (a *app) warrantEnd(verb, short string) *cobra.Command {
	c := &cobra.Command{Use: verb + " WARRANT", Short: short, Args: oneArg("WARRANT")}
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		client := griffierv1.NewWarrantServiceClient(a.server)
		var w *griffierv1.Warrant
		var err error
		if verb == "reject" {
			w, err = client.RejectWarrant(c.Context(), &griffierv1.RejectWarrantRequest{RequestId: requestID(*request), WarrantId: args[0],
				ExpectedGeneration: *generation, Explanation: *explanation})
		} else {
			w, err = client.RevokeWarrant(c.Context(), &griffierv1.RevokeWarrantRequest{RequestId: requestID(*request), WarrantId: args[0],
				ExpectedGeneration: *generation, Explanation: *explanation})
		}
		if err != nil {
			return err
		}
		return a.showWarrant(w)
	}
	return c
}

func (a *app) warrantGet() *cobra.Command {
	return &cobra.Command{Use: "get WARRANT", Short: "Show a warrant with its targets and tasks; looking is entered in the ledger", Args: oneArg("WARRANT"),
		RunE: func(c *cobra.Command, args []string) error {
			w, err := griffierv1.NewWarrantServiceClient(a.server).GetWarrant(c.Context(), &griffierv1.GetWarrantRequest{WarrantId: args[0]})
			if err != nil {
				return err
			}
			return a.showWarrant(w)
		}}
}

func (a *app) warrantList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List warrants, newest first, without targets", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewWarrantServiceClient(a.server).ListWarrants(c.Context(), &griffierv1.ListWarrantsRequest{})
			if err != nil {
				return err
			}
			t := table{header: []string{"warrant", "state", "basis", "authority", "reference", "created", "effective_until", "tasks"}}
			for _, w := range resp.GetWarrants() {
				content := w.GetContent()
				t.add(w.GetWarrantId(), word(w.GetState(), "WARRANT_STATE_"), content.GetLegalBasis(), content.GetAuthority(), content.GetReference(),
					at(w.GetCreatedAt()), at(w.GetEffectiveUntil()), strconv.Itoa(len(w.GetTasks())))
			}
			return a.print(resp, t)
		}}
}

// showWarrant prints one warrant, field by field.
func (a *app) showWarrant(w *griffierv1.Warrant) error {
	t := table{header: []string{"field", "value"}}
	t.add("warrant", w.GetWarrantId())
	t.add("state", word(w.GetState(), "WARRANT_STATE_"))
	t.add("generation", strconv.FormatUint(w.GetGeneration(), 10))
	t.add("content_sha256", w.GetContentSha256())
	if c := w.GetContent(); c != nil {
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
	}
	if p := w.GetProfile(); p != "" {
		t.add("profile", p+" "+short(w.GetProfileSha256()))
	}
	if v := w.GetCallBack(); v != nil {
		t.add("called back", fmt.Sprintf("by %s at %s, ledger entry %d", short(v.GetVerifiedBy()), at(v.GetVerifiedAt()), v.GetLedgerIndex()))
	} else {
		t.add("called back", "no: griffier warrant verify")
	}
	for _, approval := range w.GetApprovals() {
		t.add("approved", fmt.Sprintf("%s by %s at %s, ledger entry %d", approval.GetRole(), short(approval.GetApprover()), at(approval.GetApprovedAt()), approval.GetLedgerIndex()))
	}
	t.add("effective_until", at(w.GetEffectiveUntil()))
	for _, task := range w.GetTasks() {
		t.add("task "+task.GetTaskId(), strings.TrimSpace(word(task.GetState(), "TASK_STATE_")+" "+task.GetAnswer()))
	}
	return a.print(w, t)
}

// word is the short form of an enum's value.
func word(v fmt.Stringer, prefix string) string { return strings.TrimPrefix(v.String(), prefix) }
