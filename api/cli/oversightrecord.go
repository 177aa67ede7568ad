package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) nonExecution() *cobra.Command {
	return noun("nonexecution", "Why a warrant or a task is not complied with", a.nonExecutionRecord(), a.nonExecutionList())
}

func (a *app) nonExecutionRecord() *cobra.Command {
	c := &cobra.Command{Use: "record WARRANT", Short: "Record that a warrant, or a task of it, is not complied with, and why", Args: oneArg("WARRANT"),
		Long: `Record that a warrant, or one task of it, is not complied with, for one of the ten
reasons of ETSI TS 104 144. It ends nothing: what is wrong may be put right. Where the
legal basis wants the data preserved meanwhile, as those of the e-evidence Regulation do,
what the order asks is copied into holds at once. Elsewhere data is preserved only where
there is a hold, or somebody makes a task for one; GROUND says why.`,
		Example: `  griffier nonexecution record 0123456789abcdef0123456789abcdef --reason incomplete --explanation TEXT`}
	task := c.Flags().String("task", "", "one task; without it the whole warrant")
	why := c.Flags().String("reason", "", "incomplete, manifest-errors, insufficient-information, data-not-held, de-facto-impossibility, invalid-issuing-authority, "+
		"offence-not-covered, service-not-covered, immunities-or-privileges or conflict-of-law (required)")
	explanation := c.Flags().String("explanation", "", "what the authority is told; sealed")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := value[griffierv1.NonExecutionReason]("reason", *why, "NON_EXECUTION_REASON_", griffierv1.NonExecutionReason_value)
		if err != nil {
			return err
		}
		m, err := a.over().RecordNonExecution(c.Context(), &griffierv1.RecordNonExecutionRequest{RequestId: requestID(*request), WarrantId: args[0], TaskId: *task,
			Reason: r, Explanation: *explanation})
		if err != nil {
			return err
		}
		return a.print(m, nonExecutionTable(m))
	}
	return c
}

func (a *app) nonExecutionList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List what was not complied with, oldest first", Args: noArgs}
	warrantID := c.Flags().String("warrant", "", "of one warrant")
	c.RunE = func(c *cobra.Command, _ []string) error {
		m, err := a.over().ListNonExecutions(c.Context(), &griffierv1.ListNonExecutionsRequest{WarrantId: *warrantID})
		if err != nil {
			return err
		}
		return a.print(m, nonExecutionTable(m.GetNonExecutions()...))
	}
	return c
}

func nonExecutionTable(all ...*griffierv1.NonExecution) table {
	t := table{header: []string{"non_execution", "warrant", "task", "reason", "at", "preservation", "ground", "holds"}}
	for _, d := range all {
		t.add(d.GetNonExecutionId(), d.GetWarrantId(), d.GetTaskId(), word(d.GetReason(), "NON_EXECUTION_REASON_"), at(d.GetRecordedAt()),
			word(d.GetPreservation(), "PRESERVATION_"), d.GetPreservationGround(), strings.Join(d.GetHoldIds(), " "))
	}
	return t
}

func (a *app) cost() *cobra.Command {
	return noun("cost", "Time spent on warrants, for reimbursement", a.costRecord(), a.costList())
}

func (a *app) costRecord() *cobra.Command {
	c := &cobra.Command{Use: "record WARRANT", Short: "Record time spent on a warrant", Args: oneArg("WARRANT"),
		Example: "  griffier cost record 0123456789abcdef0123456789abcdef --minutes 25 --tariff NL-A1"}
	minutes := c.Flags().Uint32("minutes", 0, "1 to 720 (required)")
	tariff := c.Flags().String("tariff", "", "code of the tariff (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := a.over().RecordCost(c.Context(), &griffierv1.RecordCostRequest{RequestId: requestID(*request), WarrantId: args[0], Minutes: *minutes, Tariff: *tariff})
		if err != nil {
			return err
		}
		return a.print(m, costTable(m))
	}
	return c
}

func (a *app) costList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List recorded time, as CSV for reimbursement with -o csv", Args: noArgs,
		Example: "  griffier cost list --from 2026-01-01T00:00:00+01:00 --to 2027-01-01T00:00:00+01:00 -o csv"}
	from := c.Flags().String("from", "", "first instant, with an offset (required)")
	to := c.Flags().String("to", "", "end, exclusive, with an offset (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		start, err := parseInstant("from", *from)
		if err != nil {
			return err
		}
		end, err := parseInstant("to", *to)
		if err != nil {
			return err
		}
		m, err := a.over().ListCosts(c.Context(), &griffierv1.ListCostsRequest{Start: start, End: end})
		if err != nil {
			return err
		}
		return a.print(m, costTable(m.GetCosts()...))
	}
	return c
}

func costTable(all ...*griffierv1.Cost) table {
	t := table{header: []string{"cost", "authority", "reference", "warrant", "tariff", "minutes", "at"}}
	for _, x := range all {
		t.add(x.GetCostId(), x.GetAuthority(), x.GetReference(), x.GetWarrantId(), x.GetTariff(), strconv.Itoa(int(x.GetMinutes())), at(x.GetRecordedAt()))
	}
	return t
}

func (a *app) secrecy() *cobra.Command {
	return noun("secrecy", "Which disclosures the person may not know of yet", a.secrecyList(), a.secrecyConfirm("end", "Record that secrecy has ended, which is final: an export of access then lists the recipient", true),
		a.secrecyConfirm("keep", "Record that the authority was asked and secrecy is kept", false))
}

func (a *app) secrecyList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List warrants with disclosures, and which authority should be asked again", Args: noArgs,
		Long: `List warrants with disclosures. A disclosure is secret until somebody confirms that it
no longer is; time ends nothing. DUE says that the disclosure, or the last answer of the
authority, is 90 days old: ask again.`,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := a.over().ListSecrecy(c.Context(), &griffierv1.ListSecrecyRequest{})
			if err != nil {
				return err
			}
			return a.print(m, secrecyTable(m.GetWarrants()...))
		}}
}

func (a *app) secrecyConfirm(verb, short string, ended bool) *cobra.Command {
	c := &cobra.Command{Use: verb + " WARRANT", Short: short, Args: oneArg("WARRANT")}
	grounds := c.Flags().String("grounds", "", "what that rests on, such as the authority's letter; sealed (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := a.over().ConfirmSecrecy(c.Context(), &griffierv1.ConfirmSecrecyRequest{RequestId: requestID(*request), WarrantId: args[0], Ended: ended, Grounds: *grounds})
		if err != nil {
			return err
		}
		return a.print(m, secrecyTable(m))
	}
	return c
}

func secrecyTable(all ...*griffierv1.Secrecy) table {
	t := table{header: []string{"warrant", "secret", "due", "disclosed", "asked", "ended"}}
	for _, x := range all {
		t.add(x.GetWarrantId(), strconv.FormatBool(!x.GetEnded()), strconv.FormatBool(x.GetDue()), at(x.GetDisclosedAt()), at(x.GetAskedAt()), at(x.GetEndedAt()))
	}
	return t
}

func (a *app) staff() *cobra.Command {
	return noun("staff", "Lines of employees, which staff neither look up nor disclose", a.staffPut(), a.staffRemove(), a.staffImport(), a.staffList())
}

func (a *app) staffPut() *cobra.Command {
	c := &cobra.Command{Use: "put PSEUDONYM", Short: "Say that a line is an employee's, or a member of their household's", Args: oneArg("PSEUDONYM"),
		Long: `Say that a line is an employee's, or a member of their household's. The employee is
named by the pseudonym that the ledger shows. Support does not find the line, and nothing
about it is disclosed unless an approver from outside approved the warrant. The list keeps
a keyed hash of the line, so it does not tell where an employee lives.`}
	line := c.Flags().String("line", "", "the line (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := a.over().PutStaffLine(c.Context(), &griffierv1.PutStaffLineRequest{RequestId: requestID(*request), Staff: args[0], LineId: *line})
		if err != nil {
			return err
		}
		return a.print(m, table{header: []string{"staff"}, rows: [][]string{{args[0]}}})
	}
	return c
}

func (a *app) staffRemove() *cobra.Command {
	c := &cobra.Command{Use: "remove PSEUDONYM", Short: "Say that a line is no longer an employee's", Args: oneArg("PSEUDONYM")}
	line := c.Flags().String("line", "", "the line (required)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		m, err := a.over().RemoveStaffLine(c.Context(), &griffierv1.RemoveStaffLineRequest{RequestId: requestID(*request), Staff: args[0], LineId: *line})
		if err != nil {
			return err
		}
		return a.print(m, table{header: []string{"staff"}, rows: [][]string{{args[0]}}})
	}
	return c
}

func (a *app) staffList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List employees by pseudonym, and how many lines they have", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			m, err := a.over().ListStaff(c.Context(), &griffierv1.ListStaffRequest{})
			if err != nil {
				return err
			}
			if m.GetDue() {
				fmt.Fprintln(a.stderr, "the list is to be looked at again: griffier staff import FILE")
			}
			t := table{header: []string{"staff", "lines"}}
			for _, x := range m.GetStaff() {
				t.add(x.GetStaff(), strconv.FormatUint(x.GetLines(), 10))
			}
			return a.print(m, t)
		}}
}
