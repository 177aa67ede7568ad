package cli

import (
	"bufio"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"griffier/api/warrant/epoc"
	"griffier/api/warrant/letter"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) readTime() *cobra.Command {
	c := &cobra.Command{Use: "time TEXT", Short: "Show every instant that a text about a time may mean", Args: oneArg("TEXT"),
		Long: `Show every instant that a text about a time may mean, in UTC and in local time. None is
chosen: with more than one, or none, the authority must say which. The exit status is 0
only for one.`,
		Example: `  griffier time 2026-10-25T02:30:00 --zone Europe/Amsterdam
  griffier time 2026-07-01T12:00:00+01:00`}
	zone := c.Flags().String("zone", "", "zone of the text, if it states none: Europe/Amsterdam, CET, +01:00")
	c.RunE = func(c *cobra.Command, args []string) error {
		r, err := griffierv1.NewIntakeServiceClient(a.server).Candidates(c.Context(), &griffierv1.CandidatesRequest{Text: args[0], Zone: *zone})
		if err != nil {
			return err
		}
		t := table{header: []string{"outcome", "utc", "amsterdam", "brussels", "weekday", "meaning"}}
		for _, candidate := range r.GetCandidates() {
			t.add(r.GetOutcome(), candidate.GetUtc(), candidate.GetAmsterdam(), candidate.GetBrussels(), candidate.GetWeekday(), candidate.GetMeaning())
		}
		for _, note := range r.GetNotes() {
			fmt.Fprintf(a.stderr, "note: %s\n", note)
		}
		if err := a.print(r, t); err != nil {
			return err
		}
		if r.GetOutcome() != "EXACT" {
			return failure{fmt.Errorf("%s: it is not one instant", r.GetOutcome()), 1}
		}
		return nil
	}
	return c
}

func (a *app) warrantParse() *cobra.Command {
	c := &cobra.Command{Use: "parse FILE", Short: "Point at what the text of an order may say", Args: oneArg("FILE"),
		Long: `Point at the addresses, ports, times, zones, references and articles in the plain text
of an order, each against its line, in every way that it can be read. The text is kept
nowhere; that somebody had one read is entered in the ledger. What is found is a
proposal: a person completes it, with the order before them.`,
		Example: `  griffier warrant parse order.txt
  pdftotext -layout order.pdf - | griffier warrant parse -`}
	zone := c.Flags().String("zone", "", "zone that a time without one may be of (default: the legal profile's)")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		text, err := a.readInput(args[0], letter.MaxBytes)
		if err != nil {
			return err
		}
		p, err := griffierv1.NewIntakeServiceClient(a.server).ParseLetter(c.Context(), &griffierv1.ParseLetterRequest{RequestId: requestID(*request), Text: string(text), Zone: *zone})
		if err != nil {
			return err
		}
		a.asks(p)
		if a.format == "table" {
			return a.showFindings(p)
		}
		t := table{header: []string{"line", "column", "kind", "text", "value", "options", "outcome", "utc", "amsterdam", "notes"}}
		for _, f := range p.GetFindings() {
			var utc, amsterdam []string
			for _, candidate := range f.GetCandidates() {
				utc, amsterdam = append(utc, candidate.GetUtc()), append(amsterdam, candidate.GetAmsterdam())
			}
			t.add(number(f.GetLine()), number(f.GetColumn()), f.GetKind(), f.GetText(), f.GetValue(), strings.Join(f.GetOptions(), " "), f.GetOutcome(),
				strings.Join(utc, " "), strings.Join(amsterdam, " "), strings.Join(f.GetNotes(), " "))
		}
		return a.print(p, t)
	}
	return c
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// asks prints what a person must decide.
func (a *app) asks(p *griffierv1.Proposal) {
	for _, q := range p.GetOpen() {
		fmt.Fprintf(a.stderr, "to decide: %s %s\n", q.GetField(), q.GetWhy())
	}
}

// showFindings prints each line of the text that something was found in, and under it what.
func (a *app) showFindings(p *griffierv1.Proposal) error {
	out := bufio.NewWriter(a.stdout)
	last := uint32(0)
	for _, f := range p.GetFindings() {
		if f.GetLine() != last {
			last = f.GetLine()
			fmt.Fprintf(out, "%4d | %s\n", last, printable(strings.ReplaceAll(f.GetSource(), "\t", " ")))
		}
		fmt.Fprintf(out, "%9d  %-9s %s", f.GetColumn(), f.GetKind(), strconv.Quote(f.GetText()))
		switch {
		case f.GetValue() != "":
			fmt.Fprintf(out, " = %s", f.GetValue())
		case len(f.GetOptions()) > 0:
			fmt.Fprintf(out, " = one of %s", strings.Join(f.GetOptions(), ", "))
		}
		fmt.Fprintf(out, " %s\n", f.GetOutcome())
		for _, candidate := range f.GetCandidates() {
			fmt.Fprintf(out, "%20s %s = %s %s %s\n", "", candidate.GetUtc(), candidate.GetAmsterdam(), candidate.GetWeekday(), candidate.GetMeaning())
		}
		for _, note := range f.GetNotes() {
			fmt.Fprintf(out, "%20s ! %s\n", "", note)
		}
	}
	return out.Flush()
}

func (a *app) warrantImportEPOC() *cobra.Command {
	c := &cobra.Command{Use: "import-epoc FILE", Short: "Make of an EPOC or EPOC-PR the order file that warrant create reads", Args: oneArg("FILE"),
		Long: `Make of the fields of an EPOC or EPOC-PR, as JSON or XML, the file that "griffier warrant
create" reads, or list all that is missing or contradicts itself. What the form does not
have is left empty, and said on standard error.`,
		Example: `  griffier warrant import-epoc epoc.xml`}
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		form, err := a.readInput(args[0], epoc.MaxBytes)
		if err != nil {
			return err
		}
		p, err := griffierv1.NewIntakeServiceClient(a.server).ReadEPOC(c.Context(), &griffierv1.ReadEPOCRequest{RequestId: requestID(*request), Form: form})
		if err != nil {
			return err
		}
		a.asks(p)
		if a.format != "table" {
			d := p.GetDraft()
			t := table{header: []string{"legal_basis", "authority", "reference", "targets", "window_start", "window_end"}}
			t.add(d.GetLegalBasis(), d.GetAuthority(), d.GetReference(), strings.Join(d.GetTargets(), " "), d.GetWindowStart(), d.GetWindowEnd())
			return a.print(p, t)
		}
		text, err := yaml.Marshal(orderOf(p.GetDraft()))
		if err != nil {
			return err
		}
		_, err = a.stdout.Write(text)
		return err
	}
	return c
}

// orderOf is a content as the file that readOrder reads.
func orderOf(m *griffierv1.WarrantContent) order {
	o := order{LegalBasis: m.GetLegalBasis(), Authority: m.GetAuthority(), Reference: m.GetReference(), RequestedBy: m.GetRequestedBy(), IssuedAt: m.GetIssuedAt(),
		ValidFrom: m.GetValidFrom(), ValidUntil: m.GetValidUntil(), DocumentSHA256: m.GetDocumentSha256(), Targets: m.GetTargets(), WindowStart: m.GetWindowStart(),
		WindowEnd: m.GetWindowEnd(), Recipient: m.GetRecipient(), Emergency: m.GetEmergency(), EnforcingAuthorityNotified: m.GetEnforcingAuthorityNotified()}
	if m.GetPriority() != 0 {
		o.Priority = strings.ToLower(word(m.GetPriority(), "WARRANT_PRIORITY_"))
	}
	for _, category := range m.GetCategories() {
		o.Categories = append(o.Categories, strings.ToLower(word(category, "CATEGORY_")))
	}
	return o
}

func (a *app) taskConfirm() *cobra.Command {
	c := &cobra.Command{Use: "confirm TASK", Short: "Key a task's question a second time, from the order; another person than who asked it", Args: oneArg("TASK"),
		Long: `Key the question of a task again, from the order before you and not from the screen:
nothing of what was keyed first is shown. What is not given as a flag is asked for; when
category, target and instant are given, the rest is what the question lacks. The two must
be the same, the instant in UTC, uncertainty and limits included; a difference is told by
field, without values.`,
		Example: `  griffier task confirm TASK
  griffier task confirm TASK --category attribution --target 192.0.2.17 --instant 2026-11-19T12:00:00Z --uncertainty 1 --port 51234 --protocol tcp`}
	category := c.Flags().String("category", "", "category of data that is asked")
	target := c.Flags().String("target", "", "the target, as the order has it")
	instant := c.Flags().String("instant", "", "the instant in UTC, as 2026-11-19T12:00:00Z")
	windowEnd := c.Flags().String("window-end", "", "end of the window in UTC, if the question has one")
	uncertainty := c.Flags().Uint32("uncertainty", 0, "seconds, as stated by the authority")
	port := c.Flags().Uint32("port", 0, "source port, if the question has one")
	protocol := c.Flags().String("protocol", "", "tcp, udp, icmp, icmpv6, sctp or dccp, if the question has one")
	maxSubjects := c.Flags().Uint32("max-subjects", 0, "lines that may be disclosed, if it is not the default")
	maxRecords := c.Flags().Uint32("max-records", 0, "records that may be disclosed, if it is not the default")
	fromHold := c.Flags().String("from-hold", "", "the hold that is asked, if it is one")
	holdDays := c.Flags().Uint32("hold-days", 0, "of preservation: days to keep it, if the order says so")
	year := c.Flags().Bool("year-confirmed", false, "a year other than that of the order's issue is meant; it was checked on the order")
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := a.askMissing(c, []asked{
			{"category", "category (attribution, identity, history, time, volume, preservation)", category, nil},
			{"target", "target", target, nil},
			{"instant", "instant in UTC (2026-11-19T12:00:00Z)", instant, nil},
			{"window-end", "end of the window in UTC, or nothing", windowEnd, nil},
			{"uncertainty", "uncertainty in seconds, or nothing", nil, uncertainty},
			{"port", "source port, or nothing", nil, port},
			{"protocol", "protocol, or nothing", protocol, nil},
			{"max-subjects", "lines that may be disclosed, or nothing for the default", nil, maxSubjects},
			{"max-records", "records that may be disclosed, or nothing for the default", nil, maxRecords},
			{"from-hold", "hold that is asked, or nothing", fromHold, nil},
			{"hold-days", "days of preservation, or nothing", nil, holdDays},
		}); err != nil {
			return err
		}
		transport, err := parseProtocol(strings.ToLower(*protocol))
		if err != nil {
			return err
		}
		data, err := parseCategory(*category)
		if err != nil {
			return err
		}
		r, err := griffierv1.NewIntakeServiceClient(a.server).ConfirmTask(c.Context(), &griffierv1.ConfirmTaskRequest{RequestId: requestID(*request), TaskId: args[0],
			ExpectedGeneration: *generation, Category: data, Target: *target, Instant: *instant, WindowEnd: *windowEnd, UncertaintySeconds: *uncertainty,
			Port: *port, Protocol: transport, MaxSubjects: *maxSubjects, MaxRecords: *maxRecords, FromHold: *fromHold, HoldDays: *holdDays, YearConfirmed: *year})
		if err != nil {
			return err
		}
		t := table{header: []string{"task", "confirmed_at", "by", "entry"}}
		t.add(r.GetTaskId(), at(r.GetConfirmedAt()), short(r.GetConfirmedBy()), strconv.FormatUint(r.GetLedgerIndex(), 10))
		return a.print(r, t)
	}
	return c
}

// asked is one part of a question: text, or a number that is 0 where there is none.
type asked struct {
	flag, prompt string
	text         *string
	number       *uint32
}

// askMissing asks on standard error for each part that was not given as a flag. A
// command line that gives the first three gives the whole: what it lacks, the question
// has not.
func (a *app) askMissing(c *cobra.Command, parts []asked) error {
	whole := !slices.ContainsFunc(parts[:3], func(p asked) bool { return !c.Flags().Changed(p.flag) })
	in := bufio.NewScanner(a.stdin)
	for _, p := range parts {
		if whole || c.Flags().Changed(p.flag) {
			continue
		}
		fmt.Fprintf(a.stderr, "%s: ", p.prompt)
		if !in.Scan() {
			return usageError{fmt.Errorf("%s: --%s is needed, or an answer", called(c), p.flag)}
		}
		text := strings.TrimSpace(in.Text())
		switch {
		case p.text != nil:
			*p.text = text
		case text != "":
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return usageError{fmt.Errorf("%s: %s must be a number", called(c), p.flag)}
			}
			*p.number = uint32(n)
		}
	}
	return nil
}
