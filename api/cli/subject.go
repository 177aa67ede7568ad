package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) subject() *cobra.Command {
	return noun("subject", "Carry out what persons ask about their data", a.subjectErase(), a.subjectApprove(), a.subjectErasures(),
		a.subjectRestrict(), a.subjectLift(), a.subjectRestrictions(), a.subjectExport())
}

func (a *app) subjectErase() *cobra.Command {
	c := &cobra.Command{Use: "erase LINE", Short: "Request that a line's data be erased", Args: oneArg("LINE"),
		Long: `Request that the data of a line whose contract has ended be erased. Nothing goes until
another person approves it (griffier subject approve). While the contract runs the data
is needed for it: restrict the line instead.`}
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
			x, err := client.RequestErasure(c.Context(), &griffierv1.RequestErasureRequest{RequestId: requestID(*request), LineId: args[0]})
			return x, erasureTable(x), err
		})
	}
	return c
}

func (a *app) subjectApprove() *cobra.Command {
	c := &cobra.Command{Use: "approve ERASURE", Short: "Approve an erasure, which carries it out", Args: oneArg("ERASURE"),
		Long: `Approve an erasure that another person requested, naming the line once more. When the
command returns, the person's key is destroyed and nothing of the line can be read; the
rows leave the disk within 8 days. It lists the backups that were made before, and when
each becomes unreadable.`}
	line := c.Flags().String("line", "", "the line, from the person's own request (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if *line == "" {
			return usageError{errors.New("subject approve: --line is required")}
		}
		return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
			x, err := client.ApproveErasure(c.Context(), &griffierv1.ApproveErasureRequest{RequestId: requestID(*request), ErasureId: args[0], LineId: *line})
			return x, erasureTable(x), err
		})
	}
	return c
}

func (a *app) subjectErasures() *cobra.Command {
	return &cobra.Command{Use: "erasures", Short: "List erasures and how far they are, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
				resp, err := client.ListErasures(c.Context(), &griffierv1.ListErasuresRequest{})
				return resp, erasureTable(resp.GetErasures()...), err
			})
		}}
}

func (a *app) subjectRestrict() *cobra.Command {
	c := &cobra.Command{Use: "restrict LINE", Short: "Keep a line's data without using it", Args: oneArg("LINE"),
		Long: `Keep a line's data without using it: support does not find the line and no statistics
count it. The person's own portal and a warrant still read it.`}
	ground := c.Flags().String("ground", "", "restriction (GDPR 18) or objection (GDPR 21) (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		g := griffierv1.RestrictionGround(griffierv1.RestrictionGround_value["RESTRICTION_GROUND_"+strings.ToUpper(*ground)])
		if g == griffierv1.RestrictionGround_RESTRICTION_GROUND_UNSPECIFIED {
			return usageError{fmt.Errorf("--ground %q: want restriction or objection", *ground)}
		}
		return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
			x, err := client.RestrictLine(c.Context(), &griffierv1.RestrictLineRequest{RequestId: requestID(*request), LineId: args[0], Ground: g})
			return x, restrictionTable(x), err
		})
	}
	return c
}

func (a *app) subjectLift() *cobra.Command {
	c := &cobra.Command{Use: "lift LINE", Short: "End a restriction; tell the person before", Args: oneArg("LINE")}
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
			x, err := client.LiftRestriction(c.Context(), &griffierv1.LiftRestrictionRequest{RequestId: requestID(*request), LineId: args[0]})
			return x, restrictionTable(x), err
		})
	}
	return c
}

func (a *app) subjectRestrictions() *cobra.Command {
	return &cobra.Command{Use: "restrictions", Short: "List restrictions that hold", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
				resp, err := client.ListRestrictions(c.Context(), &griffierv1.ListRestrictionsRequest{})
				return resp, restrictionTable(resp.GetRestrictions()...), err
			})
		}}
}

// subjectAct calls and prints the answer.
func (a *app) subjectAct(call func(griffierv1.SubjectServiceClient) (proto.Message, table, error)) error {
	m, t, err := call(griffierv1.NewSubjectServiceClient(a.server))
	if err != nil {
		return err
	}
	return a.print(m, t)
}

func erasureTable(erasures ...*griffierv1.Erasure) table {
	t := table{header: []string{"erasure", "state", "requested", "approved", "unreadable", "off_disk_by", "off_disk", "backups"}}
	for _, x := range erasures {
		var backups []string
		for _, b := range x.GetBackups() {
			backups = append(backups, b.GetBackupId()+" until "+at(b.GetUnreadableBy()))
		}
		t.add(x.GetErasureId(), word(x.GetState(), "ERASURE_STATE_"), at(x.GetRequestedAt()), at(x.GetApprovedAt()), at(x.GetUnreadableAt()),
			at(x.GetOffDiskBy()), at(x.GetOffDiskAt()), orDash(strings.Join(backups, ", ")))
	}
	return t
}

func restrictionTable(restrictions ...*griffierv1.Restriction) table {
	t := table{header: []string{"restriction", "ground", "since", "lifted"}}
	for _, x := range restrictions {
		t.add(x.GetRestrictionId(), word(x.GetGround(), "RESTRICTION_GROUND_"), at(x.GetSince()), at(x.GetLiftedAt()))
	}
	return t
}

func (a *app) subjectExport() *cobra.Command {
	return &cobra.Command{Use: "export LINE", Short: "Answer a request for access: what is kept, for how long, and who received it", Args: oneArg("LINE"),
		Long: `Answer a person's request for access (GDPR 15) about a line: what is kept, for what and
how long, and which authorities received data. A recipient that the person may not know
of yet is left out; the document has the same form either way. The data itself is in the
person's portal.`,
		RunE: func(c *cobra.Command, args []string) error {
			return a.subjectAct(func(client griffierv1.SubjectServiceClient) (proto.Message, table, error) {
				m, err := client.ExportAccess(c.Context(), &griffierv1.ExportAccessRequest{LineId: args[0]})
				return m, exportTable(m), err
			})
		}}
}

func exportTable(m *griffierv1.AccessExport) table {
	t := table{header: []string{"part", "name", "detail", "at"}}
	t.add("line", m.GetLineId(), m.GetAccountId(), at(m.GetContractStart()))
	for _, d := range m.GetData() {
		t.add("data", d.GetClass(), d.GetPurpose()+", "+d.GetPeriod(), "")
	}
	for _, r := range m.GetRecipients() {
		t.add("recipient", r.GetRecipient(), r.GetLegalBasis()+" "+r.GetCategory(), at(r.GetDisclosedAt()))
	}
	t.add("about", "recipients", m.GetAboutRecipients(), "")
	return t
}
