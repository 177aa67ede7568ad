package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) oversight() *cobra.Command {
	return noun("oversight", "What the overseer watches: open work, alarms, statistics, errors", a.oversightShow(), a.oversightStatistics(),
		a.oversightReport(), a.oversightErrors())
}

// over is the client of OversightService.
func (a *app) over() griffierv1.OversightServiceClient {
	return griffierv1.NewOversightServiceClient(a.server)
}

func (a *app) oversightShow() *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Show what is open, late, refused, limited, held and linked", Args: noArgs,
		Long: `Show what is open, late, refused, limited, held and linked: counts, and ids of warrants
and tasks, never what they are about. Refusals, limits and errors are those of the last
30 days, alarms those of 90. A linkage alarm is three disclosures or more about one line
in 30 days under several warrants; a walk is neighbouring addresses that several warrants
named within a day. Neither blocks anything, and nobody but the overseer sees them.`,
		Example: "  griffier oversight show\n  griffier oversight show -o json"}
	c.RunE = func(c *cobra.Command, _ []string) error {
		m, err := a.over().GetOversight(c.Context(), &griffierv1.GetOversightRequest{})
		if err != nil {
			return err
		}
		return a.print(m, oversightTable(m))
	}
	return c
}

// oversightTable has a line for each thing that the overseer may look into.
func oversightTable(m *griffierv1.Oversight) table {
	t := table{header: []string{"what", "id", "state", "count", "due", "note"}}
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	for _, w := range m.GetWarrants() {
		var notes []string
		for _, note := range []struct {
			is   bool
			text string
		}{{w.GetOverdue(), "overdue"}, {w.GetEmergency(), "emergency"}, {w.GetPaperBy() != nil, "paper by " + at(w.GetPaperBy())},
			{w.GetUnverified(), "not called back"}, {w.GetNonExecutions() > 0, "not executed"}} {
			if note.is {
				notes = append(notes, note.text)
			}
		}
		t.add("warrant", w.GetWarrantId(), w.GetState(), strconv.Itoa(len(w.GetTasks())), at(w.GetActBy()), strings.Join(notes, ", "))
		for _, task := range w.GetTasks() {
			note := task.GetCategory()
			if task.GetUnconfirmed() {
				note += ", not confirmed"
			}
			t.add("task", task.GetTaskId(), task.GetState(), "", at(w.GetValidUntil()), note)
		}
	}
	for _, x := range m.GetAlarms() {
		t.add("alarm", strings.Join(x.GetWarrantIds(), " "), word(x.GetKind(), "OVERSIGHT_ALARM_KIND_"), strconv.Itoa(int(x.GetCount())), "", "at "+at(x.GetAt()))
	}
	for _, h := range m.GetLimitHits() {
		t.add("limit", h.GetOfficer(), h.GetLimit(), "", "", "at "+at(h.GetAt()))
	}
	for _, r := range m.GetRefusals() {
		t.add("refusals", "", r.GetState(), n(r.GetCount()), "", "30 days")
	}
	for _, c := range []struct {
		what  string
		count uint64
	}{{"emergencies", m.GetEmergencies()}, {"unverified", m.GetUnverified()}, {"unconfirmed", m.GetUnconfirmed()}, {"overdue", m.GetOverdue()},
		{"holds live", m.GetHoldsLive()}, {"holds ended", m.GetHoldsEnded()}, {"non-executions", m.GetNonExecutions()}, {"errors", m.GetErrors()},
		{"secrecy to ask about", m.GetSecrecyDue()}, {"ledger entries", m.GetLedgerEntries()}} {
		t.add(c.what, "", "", n(c.count), "", "")
	}
	if m.GetStaffListDue() {
		t.add("staff list", "", "DUE", "", "", "since "+at(m.GetStaffListAt()))
	}
	for _, h := range m.GetHealth() {
		state := "FAILED"
		if h.GetOk() {
			state = "OK"
		}
		t.add("health", h.GetPart(), state, "", "", h.GetDetail())
	}
	return t
}

func (a *app) oversightStatistics() *cobra.Command {
	c := &cobra.Command{Use: "statistics", Short: "Count a year's requests by authority, legal basis, category and age of the data", Args: noArgs,
		Long: `Count the requests of a calendar year as they stood at its end: tasks, and warrants that
have none. With --public no figure but zero is under five, rows that would have been
are put together with others, and none can be had by subtracting one figure from
another; a public report is of a year that has ended.`,
		Example: "  griffier oversight statistics --year 2026\n  griffier oversight statistics --year 2025 --public -o csv"}
	year := c.Flags().Int32("year", 0, "calendar year (required)")
	public := c.Flags().Bool("public", false, "the form that may be published")
	c.RunE = func(c *cobra.Command, _ []string) error {
		m, err := a.over().GetDisclosureStatistics(c.Context(), &griffierv1.GetDisclosureStatisticsRequest{Year: *year, Public: *public})
		if err != nil {
			return err
		}
		if *public && m.GetTotal() == nil {
			fmt.Fprintln(a.stderr, "the year has too few requests to publish any figure")
		}
		return a.print(m, disclosureTable(m))
	}
	return c
}

func disclosureTable(m *griffierv1.DisclosureStatistics) table {
	figures := func(f *griffierv1.DisclosureFigures) []string {
		var out []string
		for _, v := range []uint64{f.GetRequests(), f.GetAnswered(), f.GetUnanswered(), f.GetRefused(), f.GetOpen(), f.GetSubjects()} {
			out = append(out, strconv.FormatUint(v, 10))
		}
		return out
	}
	columns := []string{"requests", "answered", "unanswered", "refused", "open", "subjects"}
	if m.GetPublic() {
		t := table{header: append([]string{"by", "of"}, columns...)}
		for _, of := range m.GetTables() {
			for _, r := range of.GetRows() {
				t.add(append([]string{of.GetBy(), strings.Join(r.GetLabels(), " + ")}, figures(r.GetFigures())...)...)
			}
		}
		if m.GetTotal() != nil {
			t.add(append([]string{"total", ""}, figures(m.GetTotal())...)...)
		}
		return t
	}
	t := table{header: append([]string{"authority", "legal_basis", "category", "age"}, columns...)}
	for _, r := range m.GetCells() {
		t.add(append([]string{r.GetAuthority(), r.GetLegalBasis(), r.GetCategory(), r.GetAge()}, figures(r.GetFigures())...)...)
	}
	t.add(append([]string{"total", "", "", ""}, figures(m.GetTotal())...)...)
	return t
}

// value reads a word of an enumeration as people write it: over-disclosure.
func value[E ~int32](flag, text, prefix string, values map[string]int32) (E, error) {
	name := prefix + strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(text))
	if v, ok := values[name]; ok && v != 0 {
		return E(v), nil
	}
	var words []string
	for i := int32(1); i < int32(len(values)); i++ {
		for name, v := range values {
			if v == i {
				words = append(words, strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", "-")))
			}
		}
	}
	return 0, usageError{fmt.Errorf("--%s %q: want one of %s", flag, text, strings.Join(words, ", "))}
}

func (a *app) oversightReport() *cobra.Command {
	c := &cobra.Command{Use: "report", Short: "Record an error in the legal work", Args: noArgs,
		Long: `Record an error in the legal work: a wrong line, time or address, more disclosed than
was asked, a typing error. Whoever finds it may. What happened, what came of it and what
is done are sealed; the overseer reads them.`,
		Example: `  griffier oversight report --kind wrong-time --severity near-miss --cause time-zone --what TEXT`}
	f := c.Flags()
	kind := f.String("kind", "", "wrong-line, wrong-time, wrong-address, wrong-identifier, over-disclosure, wrong-recipient, no-authority, late-disclosure or other (required)")
	severity := f.String("severity", "", "near-miss, minor or serious (required)")
	cause := f.String("cause", "", "typing, time-zone, authority, interpretation, records, software or procedure (required)")
	warrantID := f.String("warrant", "", "warrant that it is about")
	task := f.String("task", "", "task that it is about")
	recall := f.Uint64("recall-index", 0, "ledger entry of the recall of its package")
	what := f.String("what", "", "what happened (required)")
	consequences := f.String("consequences", "", "what came of it; needed for a serious error")
	measures := f.String("measures", "", "what is done about it")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		req := &griffierv1.ReportErrorRequest{RequestId: requestID(*request), WarrantId: *warrantID, TaskId: *task, RecallIndex: *recall,
			What: *what, Consequences: *consequences, Measures: *measures}
		var err error
		if req.Kind, err = value[griffierv1.ErrorKind]("kind", *kind, "ERROR_KIND_", griffierv1.ErrorKind_value); err != nil {
			return err
		}
		if req.Severity, err = value[griffierv1.ErrorSeverity]("severity", *severity, "ERROR_SEVERITY_", griffierv1.ErrorSeverity_value); err != nil {
			return err
		}
		if req.Cause, err = value[griffierv1.ErrorCause]("cause", *cause, "ERROR_CAUSE_", griffierv1.ErrorCause_value); err != nil {
			return err
		}
		m, err := a.over().ReportError(c.Context(), req)
		if err != nil {
			return err
		}
		return a.print(m, errorTable(m))
	}
	return c
}

func (a *app) oversightErrors() *cobra.Command {
	c := &cobra.Command{Use: "errors", Short: "List a year's errors, and sum them up with --summary", Args: noArgs}
	year := c.Flags().Int32("year", int32(time.Now().Year()), "calendar year")
	summary := c.Flags().Bool("summary", false, "only how many of each kind")
	c.RunE = func(c *cobra.Command, _ []string) error {
		m, err := a.over().ListErrors(c.Context(), &griffierv1.ListErrorsRequest{Year: *year})
		if err != nil {
			return err
		}
		if !*summary {
			return a.print(m, errorTable(m.GetErrors()...))
		}
		t := table{header: []string{"severity", "kind", "cause", "count", "recalled"}}
		for _, s := range m.GetSummary() {
			t.add(word(s.GetSeverity(), "ERROR_SEVERITY_"), word(s.GetKind(), "ERROR_KIND_"), word(s.GetCause(), "ERROR_CAUSE_"),
				strconv.FormatUint(s.GetCount(), 10), strconv.FormatUint(s.GetRecalled(), 10))
		}
		m.Errors = nil
		return a.print(m, t)
	}
	return c
}

func errorTable(errors ...*griffierv1.ErrorReport) table {
	t := table{header: []string{"error", "severity", "kind", "cause", "at", "warrant", "task", "recall", "what"}}
	for _, e := range errors {
		recall := ""
		if e.GetRecallIndex() > 0 {
			recall = strconv.FormatUint(e.GetRecallIndex(), 10)
		}
		t.add(e.GetErrorId(), word(e.GetSeverity(), "ERROR_SEVERITY_"), word(e.GetKind(), "ERROR_KIND_"), word(e.GetCause(), "ERROR_CAUSE_"),
			at(e.GetReportedAt()), e.GetWarrantId(), e.GetTaskId(), recall, e.GetWhat())
	}
	return t
}
