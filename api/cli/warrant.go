package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"griffier/api/strictyaml"
	griffierv1 "griffier/proto/griffier/v1"
)

const maxOrderBytes = 64 << 10

func (a *app) warrant() *cobra.Command {
	return noun("warrant", "Orders by authorities: create, approve, change, end", a.warrantCreate(), a.warrantVerify(), a.warrantApprove(),
		a.warrantPaper(), a.warrantEdit(), a.warrantExtend(), a.warrantClearNotice(), a.warrantSuspend(), a.warrantResume(),
		a.warrantReject(), a.warrantRevoke(), a.warrantCancel(), a.warrantAssign(), a.warrantShow(), a.warrantList(), a.warrantParse(), a.warrantImportEPOC())
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
	Priority                         string   `yaml:"priority"`
	Emergency                        bool     `yaml:"emergency"`
	EnforcingAuthorityNotified       bool     `yaml:"enforcing_authority_notified"`
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
		ExaminingMagistrateDate: o.ExaminingMagistrateDate, Emergency: o.Emergency, EnforcingAuthorityNotified: o.EnforcingAuthorityNotified,
	}
	for _, name := range o.ExaminingMagistrateScope {
		category, err := parseCategory(name)
		if err != nil {
			return nil, err
		}
		m.ExaminingMagistrateScope = append(m.ExaminingMagistrateScope, category)
	}
	if m.Priority, err = parsePriority(o.Priority); err != nil {
		return nil, err
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
		Example: `  griffier warrant create --file order.yaml --document order.pdf

  # order.yaml
  legal_basis: NL-126na
  authority: NL-POLICE
  reference: 2026-OPS-117
  requested_by: Insp. J. Bakker
  issued_at: 2026-11-20T09:00:00+01:00
  valid_from: 2026-11-20T09:00:00+01:00
  valid_until: 2026-11-27T09:00:00+01:00
  categories: [attribution]
  targets: [192.0.2.17]
  window_start: 2026-11-19T12:59:00+01:00
  window_end: 2026-11-19T13:01:00+01:00
  priority: routine
  recipient: age1…  # the authority's key; examining_magistrate_authorisation: where the basis wants it`}
	file := c.Flags().StringP("file", "f", "", "the order, or - for stdin (required)")
	document := c.Flags().String("document", "", "the order as it was received: its hash is filled in, and it is stored in the dossier")
	team := c.Flags().String("team", "", "team that will work on it, for who is in several")
	request, dryRun := requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		content, err := a.readOrder(*file)
		if err != nil {
			return err
		}
		create := &griffierv1.CreateWarrantRequest{RequestId: requestID(*request), Content: content, Team: *team, ValidateOnly: *dryRun}
		if *document == "" {
			return sendAct(a, c, griffierv1.WarrantServiceClient.CreateWarrant, create)
		}
		return a.createWithDocument(c, create, *document)
	}
	return c
}

func (a *app) warrantApprove() *cobra.Command {
	c := &cobra.Command{Use: "approve WARRANT", Short: "Approve exactly what you saw", Args: oneArg("WARRANT"),
		Long: `Approve a warrant as "griffier warrant show" showed it: the approval is bound to the
content hash and generation that you give, and counts for a limited time from now. Every
approval must be another person's, in another role: legal officer, legal approver (or a
lawyer from outside), and of a warrant with many targets the privacy controller.`}
	hash := contentFlag(c)
	generation, request, dryRun := generationFlag(c), requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return sendAct(a, c, griffierv1.WarrantServiceClient.ApproveWarrant, &griffierv1.ApproveWarrantRequest{
			RequestId: requestID(*request), WarrantId: args[0], ExpectedGeneration: *generation, ContentSha256: *hash, ValidateOnly: *dryRun})
	}
	return c
}

// word is the short form of an enum's value.
func word(v fmt.Stringer, prefix string) string { return strings.TrimPrefix(v.String(), prefix) }
