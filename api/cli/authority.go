package cli

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/authority"
	"griffier/api/reason"
	"griffier/api/strictyaml"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) authority() *cobra.Command {
	return noun("authority", "The registry of authorities: who may order what, and the keys that answers are sealed to",
		a.authorityList(), a.authorityShow(), a.authorityPropose(), a.authorityApprove(), a.authorityRetire(),
		noun("key", "Keys of an authority", a.authorityKeyAdd(), a.authorityKeyConfirm(), a.authorityKeyRevoke()))
}

// authorityFile is a record as a file, in YAML or JSON.
type authorityFile struct {
	ID         string   `yaml:"id"`
	Name       string   `yaml:"name"`
	Country    string   `yaml:"country"`
	Offices    []string `yaml:"offices"`
	Bases      []string `yaml:"bases"`
	Categories []string `yaml:"categories"`
	CallBack   string   `yaml:"call_back"`
	Contact    struct {
		Name  string `yaml:"name"`
		Email string `yaml:"email"`
	} `yaml:"contact"`
}

// readSmall reads a file, or stdin for "-", of at most limit bytes.
func (a *app) readSmall(path string, limit int64) ([]byte, error) {
	in := a.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, usageError{fmt.Errorf("%s: longer than %d bytes", path, limit)}
	}
	return text, nil
}

func (a *app) readAuthority(path string) (*griffierv1.AuthorityRecord, *griffierv1.AuthorityContact, error) {
	text, err := a.readSmall(path, maxOrderBytes)
	if err != nil {
		return nil, nil, err
	}
	var f authorityFile
	if err := strictyaml.Unmarshal(path, text, &f); err != nil {
		return nil, nil, usageError{err}
	}
	record := &griffierv1.AuthorityRecord{Id: f.ID, Name: f.Name, Country: f.Country, Offices: f.Offices, Bases: f.Bases, CallBack: f.CallBack}
	for _, name := range f.Categories {
		category, err := parseCategory(name)
		if err != nil {
			return nil, nil, err
		}
		record.Categories = append(record.Categories, category)
	}
	return record, &griffierv1.AuthorityContact{Name: f.Contact.Name, Email: f.Contact.Email}, nil
}

func (a *app) authorityList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List authorities and what is proposed", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewAuthorityServiceClient(a.server).ListAuthorities(c.Context(), &griffierv1.ListAuthoritiesRequest{})
			if err != nil {
				return err
			}
			for _, p := range resp.GetProposals() {
				fmt.Fprintf(a.stderr, "proposal %s: %s, by %s; expires %s; --sha256 %s\n", p.GetProposalId(), p.GetRecord().GetId(),
					short(p.GetProposedBy()), at(p.GetExpiresAt()), p.GetSha256())
			}
			t := table{header: []string{"id", "country", "offices", "bases", "call_back", "generation", "confirmed_keys", "retired"}}
			for _, au := range resp.GetAuthorities() {
				confirmed := 0
				for _, k := range au.GetKeys() {
					if k.GetConfirmed() {
						confirmed++
					}
				}
				r := au.GetRecord()
				t.add(r.GetId(), r.GetCountry(), strings.Join(r.GetOffices(), " "), strings.Join(r.GetBases(), " "), r.GetCallBack(),
					strconv.FormatUint(au.GetGeneration(), 10), strconv.Itoa(confirmed), at(au.GetRetiredAt()))
			}
			return a.print(resp, t)
		}}
}

func (a *app) authorityShow() *cobra.Command {
	return &cobra.Command{Use: "show AUTHORITY", Short: "Show an authority, its contact and its keys; looking is entered in the ledger", Args: oneArg("AUTHORITY"),
		RunE: func(c *cobra.Command, args []string) error {
			au, err := griffierv1.NewAuthorityServiceClient(a.server).GetAuthority(c.Context(), &griffierv1.GetAuthorityRequest{Id: args[0]})
			if err != nil {
				return err
			}
			return a.showAuthority(au)
		}}
}

func (a *app) authorityPropose() *cobra.Command {
	c := &cobra.Command{Use: "propose", Short: "Propose an authority, or another record of one", Args: noArgs,
		Long: `Propose what the registry says of an authority. It comes into force once a privacy
controller has approved it. Nothing but the contact may be about a person: the rest
stands in the ledger in the clear, for ever. With --dry-run nothing is proposed, and
you see what the record would permit and end.`,
		Example: `  griffier authority propose --file authority.yaml --dry-run

  # authority.yaml
  id: NL-OM-Amsterdam
  name: Public prosecution service, Amsterdam
  country: NL
  offices: [public-prosecutor]       # as the legal bases name who signs
  bases: [NL-126na-2, NL-126n]
  categories: [identity, attribution, history, time]
  call_back: "+31201234567"          # from a directory, never from a letter
  contact: {name: the desk, email: desk@om.example}   # sealed`}
	file := c.Flags().StringP("file", "f", "", "the record, or - for stdin (required)")
	generation := c.Flags().Uint64("generation", 0, "generation of the authority as you saw it; 0: it is new")
	dryRun := c.Flags().Bool("dry-run", false, "only tell what it would permit and end")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		record, contact, err := a.readAuthority(*file)
		if err != nil {
			return err
		}
		client := griffierv1.NewAuthorityServiceClient(a.server)
		if *dryRun {
			plan, err := client.PlanAuthority(c.Context(), &griffierv1.PlanAuthorityRequest{Record: record})
			if err != nil {
				return err
			}
			t := table{header: []string{"effect", "what"}}
			for _, what := range plan.GetPermits() {
				t.add("permits", what)
			}
			for _, what := range plan.GetEnds() {
				t.add("ends", what)
			}
			fmt.Fprintf(a.stderr, "nothing was proposed; of the live warrants %d could not go on; generation now: %d\n", plan.GetWarrantsStopped(), plan.GetGeneration())
			return a.print(plan, t)
		}
		p, err := client.ProposeAuthority(c.Context(), &griffierv1.ProposeAuthorityRequest{RequestId: requestID(*request), Record: record, Contact: contact, ExpectedGeneration: *generation})
		if err != nil {
			return err
		}
		t := table{header: []string{"field", "value"}}
		t.add("proposal", p.GetProposalId())
		a.addRecord(&t, p.GetRecord())
		t.add("sha256", p.GetSha256())
		t.add("base_generation", strconv.FormatUint(p.GetBaseGeneration(), 10))
		t.add("expires", at(p.GetExpiresAt()))
		return a.print(p, t)
	}
	return c
}

func (a *app) authorityApprove() *cobra.Command {
	c := &cobra.Command{Use: "approve PROPOSAL", Short: "Approve exactly what you saw; it comes into force", Args: oneArg("PROPOSAL"),
		Long: `Approve a proposed record. Look first, with --dry-run: it shows the record, its hash, and
what it permits and ends. The approval is bound to that hash.`}
	hash := c.Flags().String("sha256", "", "hash of the record as you saw it with --dry-run")
	dryRun := c.Flags().Bool("dry-run", false, "only show the record, and what it would permit and end")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *dryRun {
			return a.previewAuthority(c, args[0])
		}
		if *hash == "" {
			return usageError{fmt.Errorf("authority approve: --sha256 is required: look with --dry-run, and give the hash that it shows")}
		}
		return a.authorityAct(func(client griffierv1.AuthorityServiceClient) (*griffierv1.Authority, error) {
			return client.ApproveAuthority(c.Context(), &griffierv1.ApproveAuthorityRequest{RequestId: requestID(*request), ProposalId: args[0], Sha256: *hash})
		})
	}
	return c
}

// previewAuthority shows an open proposal and what its approval would do.
func (a *app) previewAuthority(c *cobra.Command, id string) error {
	client := griffierv1.NewAuthorityServiceClient(a.server)
	resp, err := client.ListAuthorities(c.Context(), &griffierv1.ListAuthoritiesRequest{})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(resp.GetProposals(), func(p *griffierv1.AuthorityProposal) bool { return p.GetProposalId() == id })
	if i < 0 {
		return reason.New(reason.NotFound, "No such proposal waits for an approval.")
	}
	p := resp.GetProposals()[i]
	plan, err := client.PlanAuthority(c.Context(), &griffierv1.PlanAuthorityRequest{Record: p.GetRecord()})
	if err != nil {
		return err
	}
	t := table{header: []string{"field", "value"}}
	a.addRecord(&t, p.GetRecord())
	t.add("sha256", p.GetSha256())
	t.add("proposed", short(p.GetProposedBy())+" at "+at(p.GetProposedAt()))
	for _, what := range plan.GetPermits() {
		t.add("permits", what)
	}
	for _, what := range plan.GetEnds() {
		t.add("ends", what)
	}
	fmt.Fprintf(a.stderr, "nothing was approved; of the live warrants %d could not go on\n", plan.GetWarrantsStopped())
	return a.print(p, t)
}

func (a *app) authorityRetire() *cobra.Command {
	c := &cobra.Command{Use: "retire AUTHORITY", Short: "End an authority at once; nothing more is done under its warrants", Args: oneArg("AUTHORITY")}
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.authorityAct(func(client griffierv1.AuthorityServiceClient) (*griffierv1.Authority, error) {
			return client.RetireAuthority(c.Context(), &griffierv1.RetireAuthorityRequest{RequestId: requestID(*request), Id: args[0], Explanation: *explanation})
		})
	}
	return c
}

func (a *app) authorityKeyAdd() *cobra.Command {
	c := &cobra.Command{Use: "add AUTHORITY", Short: "Add a public key; nothing is sealed to it before it is confirmed", Args: oneArg("AUTHORITY"),
		Long: `Add a public key of an authority: a file with one age public key (age1…), or with one
PEM certificate of an RSA, P-256 or P-384 key. Its fingerprint is shown. Another person then
calls the authority, compares the fingerprint, and confirms the key.`}
	file := c.Flags().StringP("file", "f", "", "the key, or - for stdin (required)")
	generation := c.Flags().Uint64("generation", 0, "generation of the authority as you saw it (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := a.readSmall(*file, authority.MaxKeyText)
		if err != nil {
			return err
		}
		key, err := authority.ParseKey(string(text))
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", *file, err)}
		}
		err = a.authorityAct(func(client griffierv1.AuthorityServiceClient) (*griffierv1.Authority, error) {
			return client.AddAuthorityKey(c.Context(), &griffierv1.AddAuthorityKeyRequest{RequestId: requestID(*request), Id: args[0], ExpectedGeneration: *generation, Key: string(text)})
		})
		if err == nil {
			fmt.Fprintf(a.stderr, "fingerprint %s: to be compared in a call by another person\n", key.Fingerprint)
		}
		return err
	}
	return c
}

func (a *app) authorityKeyConfirm() *cobra.Command {
	c := &cobra.Command{Use: "confirm AUTHORITY", Short: "Record that you compared a key's fingerprint with the authority", Args: oneArg("AUTHORITY"),
		Long: `Record that you called the authority on the number that "griffier authority show" tells
and compared the fingerprint, digit by digit, with the one that it has. Whoever added
the key cannot confirm it.`}
	fingerprint := c.Flags().String("fingerprint", "", "of the key, as the authority read it out (required)")
	number := c.Flags().String("number", "", "the number that was called: the registry's (required)")
	spokeWith := c.Flags().String("spoke-with", "", "who compared it at the authority; sealed in the ledger (required)")
	generation := c.Flags().Uint64("generation", 0, "generation of the authority as you saw it (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.authorityAct(func(client griffierv1.AuthorityServiceClient) (*griffierv1.Authority, error) {
			return client.ConfirmAuthorityKey(c.Context(), &griffierv1.ConfirmAuthorityKeyRequest{RequestId: requestID(*request), Id: args[0], ExpectedGeneration: *generation,
				Fingerprint: *fingerprint, Number: *number, SpokeWith: *spokeWith})
		})
	}
	return c
}

func (a *app) authorityKeyRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke AUTHORITY", Short: "End a key at once; what is under way to it is not released", Args: oneArg("AUTHORITY")}
	fingerprint := c.Flags().String("fingerprint", "", "of the key (required)")
	explanation := c.Flags().String("explanation", "", "why; sealed in the ledger")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.authorityAct(func(client griffierv1.AuthorityServiceClient) (*griffierv1.Authority, error) {
			return client.RevokeAuthorityKey(c.Context(), &griffierv1.RevokeAuthorityKeyRequest{RequestId: requestID(*request), Id: args[0], Fingerprint: *fingerprint, Explanation: *explanation})
		})
	}
	return c
}

// authorityAct calls, and prints the authority after it.
func (a *app) authorityAct(call func(griffierv1.AuthorityServiceClient) (*griffierv1.Authority, error)) error {
	au, err := call(griffierv1.NewAuthorityServiceClient(a.server))
	if err != nil {
		return err
	}
	return a.showAuthority(au)
}

func (a *app) addRecord(t *table, r *griffierv1.AuthorityRecord) {
	var categories []string
	for _, c := range r.GetCategories() {
		categories = append(categories, word(c, "CATEGORY_"))
	}
	t.add("authority", r.GetId())
	t.add("name", r.GetName())
	t.add("country", r.GetCountry())
	t.add("offices", strings.Join(r.GetOffices(), " "))
	t.add("bases", strings.Join(r.GetBases(), " "))
	t.add("categories", strings.Join(categories, " "))
	t.add("call_back", r.GetCallBack())
}

// showAuthority prints one authority, field by field.
func (a *app) showAuthority(au *griffierv1.Authority) error {
	t := table{header: []string{"field", "value"}}
	a.addRecord(&t, au.GetRecord())
	t.add("generation", strconv.FormatUint(au.GetGeneration(), 10))
	t.add("contact", strings.TrimSpace(au.GetContact().GetName()+" "+au.GetContact().GetEmail()))
	t.add("approved", short(au.GetApprovedBy())+" at "+at(au.GetApprovedAt()))
	if au.GetRetiredAt() != nil {
		t.add("retired", at(au.GetRetiredAt()))
	}
	for _, k := range au.GetKeys() {
		state := "confirmed by " + short(k.GetConfirmedBy()) + " at " + at(k.GetConfirmedAt())
		switch {
		case k.GetRevokedAt() != nil:
			state = "revoked at " + at(k.GetRevokedAt())
		case k.GetConfirmedAt() == nil:
			state = "not confirmed, added by " + short(k.GetAddedBy())
		case !k.GetConfirmed():
			state = "not valid after " + at(k.GetNotAfter())
		}
		t.add("key "+k.GetFingerprint(), k.GetKind()+" "+state)
		t.add("recipient", k.GetRecipient())
	}
	return a.print(au, t)
}
