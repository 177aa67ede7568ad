package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) task() *cobra.Command {
	return noun("task", "One question under a warrant: ask, execute, fetch the answer", a.taskCreate(), a.taskConfirm(), a.taskShow(), a.taskExecute(), a.taskFetch())
}

func (a *app) taskCreate() *cobra.Command {
	c := &cobra.Command{Use: "create", Short: "Ask one question about one target, or have what there is preserved", Args: noArgs,
		Long: `Ask one question under a warrant: whose an address was (attribution), who a line's
subscriber was (identity), what addresses a line had (history), when it was connected
(time), what it moved (volume); or have what there is preserved.

A target is one concrete identifier that the warrant names: an address, ADDRESS:PORT or
ADDRESS:PORT/PROTOCOL, a delegated IPv6 prefix of /48 to /64, line:ID, circuit:TEXT,
radius:USER, mac:AA:BB:CC:DD:EE:FF, person:NAME;POSTCODE;NUMBER[;ADDITION] or
address:POSTCODE;NUMBER[;ADDITION]. There are no ranges and no wildcards.

An instant is searched with the stated uncertainty on both sides; a window is asked as it
is. What reaches outside of the warrant's window is refused, never clipped.`,
		Example: `  griffier task create --warrant ID --target 192.0.2.17 --instant 2026-11-19T13:00:00+01:00 --uncertainty 1 --dry-run
  griffier task create --warrant ID --target 192.0.2.17:50000/tcp --instant 2026-11-19T13:00:00+01:00
  griffier task create --warrant ID --category identity --target circuit:ge-0/0/1:100.7 --instant 2026-11-19T13:00:00+01:00
  griffier task create --warrant ID --category history --target line:A-1001 --instant 2026-11-01T00:00:00+01:00 --window-end 2026-11-08T00:00:00+01:00 --max-records 500
  griffier task create --warrant ID --category preservation --target 192.0.2.17 --instant 2026-11-19T13:00:00+01:00 --window-end 2026-11-19T15:00:00+01:00
  griffier task create --warrant ID --from-hold HOLD --target 192.0.2.17 --instant 2026-11-19T13:00:00+01:00`}
	warrant := c.Flags().String("warrant", "", "warrant id (required)")
	target := c.Flags().String("target", "", "one target that the warrant names (required)")
	instant := c.Flags().String("instant", "", "RFC 3339 with seconds and an offset (required)")
	uncertainty := c.Flags().Uint32("uncertainty", 0, "seconds, as stated by the authority")
	port := c.Flags().Uint32("port", 0, "source port, where the address may be shared")
	protocol := c.Flags().String("protocol", "", "tcp, udp, icmp, icmpv6, sctp or dccp; with --port")
	category := c.Flags().String("category", "attribution", "category of data")
	windowEnd := c.Flags().String("window-end", "", "end of the window that --instant begins, exclusive; history, time and volume need one")
	holdDays := c.Flags().Uint32("hold-days", 0, "of preservation: days to keep it (default: all that the legal basis allows)")
	fromHold := c.Flags().String("from-hold", "", "ask this hold, and not the store")
	maxSubjects := c.Flags().Uint32("max-subjects", 0, "lines that may be disclosed; if there are more, nothing is (default 1)")
	maxRecords := c.Flags().Uint32("max-records", 0, "records that may be disclosed; if there are more, nothing is (default: by category)")
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	request, dryRun := requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cat, err := parseCategory(*category)
		if err != nil {
			return err
		}
		transport, err := parseProtocol(*protocol)
		if err != nil {
			return err
		}
		task, err := griffierv1.NewDisclosureServiceClient(a.server).CreateTask(c.Context(), &griffierv1.CreateTaskRequest{
			RequestId: requestID(*request), WarrantId: *warrant, ExpectedGeneration: *generation, Category: cat, Target: *target, Instant: *instant,
			UncertaintySeconds: *uncertainty, Port: *port, Protocol: transport, WindowEnd: *windowEnd, HoldDays: *holdDays, FromHold: *fromHold,
			MaxSubjects: *maxSubjects, MaxRecords: *maxRecords, ValidateOnly: *dryRun})
		if err != nil {
			return err
		}
		return a.showTask(task)
	}
	return c
}

func (a *app) taskShow() *cobra.Command {
	return &cobra.Command{Use: "show TASK", Args: oneArg("TASK"), Short: "Show a task: what it asks, in UTC and local time, and what came of it; looking is entered in the ledger",
		RunE: func(c *cobra.Command, args []string) error {
			task, err := griffierv1.NewDisclosureServiceClient(a.server).GetTask(c.Context(), &griffierv1.GetTaskRequest{TaskId: args[0]})
			if err != nil {
				return err
			}
			return a.showTask(task)
		}}
}

func parseProtocol(name string) (griffierv1.TransportProtocol, error) {
	if name == "" {
		return griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_UNSPECIFIED, nil
	}
	number, ok := griffierv1.TransportProtocol_value["TRANSPORT_PROTOCOL_"+strings.ToUpper(name)]
	if !ok || number == 0 {
		return 0, usageError{fmt.Errorf("--protocol: want tcp, udp, icmp, icmpv6, sctp or dccp")}
	}
	return griffierv1.TransportProtocol(number), nil
}

func (a *app) taskExecute() *cobra.Command {
	c := &cobra.Command{Use: "execute TASK", Short: "Query once and seal the answer; again returns the same package", Args: oneArg("TASK"),
		Long: `Query once and seal the answer. The exit status is that of the answer: 0 for a fact
(MATCH, NO_MATCH, NOT_OUR_RANGE, OTHER_PROVIDER, PRESERVED), 5 where what is kept cannot decide.
Negative answers are sealed too: they are signed certificates. Exit status 3: ask again,
at the time that is told; records may still be on their way. A task that was refused for
what it asks (MAX_HITS) is refused again and not run: make another one.`}
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	request, dryRun := requestFlag(c), dryRunFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		task, err := griffierv1.NewDisclosureServiceClient(a.server).ExecuteTask(c.Context(), &griffierv1.ExecuteTaskRequest{
			RequestId: requestID(*request), TaskId: args[0], ExpectedGeneration: *generation, ValidateOnly: *dryRun})
		if err != nil {
			return err
		}
		if err := a.showTask(task); err != nil || *dryRun {
			return err
		}
		if task.GetNeighbours() != "" {
			fmt.Fprintf(a.stderr, "griffier: warning: %s other lines had the address within minutes of the interval: check the instant, and its time zone, on the order\n", task.GetNeighbours())
		}
		if len(task.GetIncomplete()) > 0 {
			fmt.Fprintf(a.stderr, "griffier: warning: the answer is incomplete: %s\n", strings.Join(task.GetIncomplete(), ", "))
		}
		answer := reason.Reason(task.GetAnswer()).Entry()
		if answer.Exit != reason.ExitOK {
			return failure{fmt.Errorf("%s: %s", answer.Reason, answer.Meaning), int(answer.Exit)}
		}
		return nil
	}
	return c
}

// showTask prints one task, field by field; of a dry run, what would happen comes
// first. Instants stand there as entered, in UTC, and in this host's zone.
func (a *app) showTask(task *griffierv1.Task) error {
	t := table{header: []string{"field", "value"}}
	add := func(field, value string) {
		if value != "" {
			t.add(field, value)
		}
	}
	number := func(n uint32) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatUint(uint64(n), 10)
	}
	instant := func(field, entered string) {
		add(field, entered)
		if at, err := time.Parse(time.RFC3339Nano, entered); err == nil {
			add(field+"_utc", at.UTC().Format(time.RFC3339Nano))
			add(field+"_local", at.Local().Format("Mon 2006-01-02 15:04:05.999999999 -07:00 MST"))
		}
	}
	for _, effect := range task.GetEffects() {
		t.add("would", effect)
	}
	add("task", task.GetTaskId())
	t.add("warrant", task.GetWarrantId())
	t.add("generation", strconv.FormatUint(task.GetGeneration(), 10))
	t.add("category", word(task.GetCategory(), "CATEGORY_"))
	if task.GetWithheld() {
		t.add("question", "withheld: whoever keys it a second time does so from the order (griffier task confirm)")
		t.add("state", word(task.GetState(), "TASK_STATE_"))
		return a.print(task, t)
	}
	t.add("target", task.GetTarget())
	add("port", number(task.GetPort()))
	if task.GetProtocol() != 0 {
		t.add("protocol", word(task.GetProtocol(), "TRANSPORT_PROTOCOL_"))
	}
	instant("instant", task.GetInstant())
	t.add("uncertainty_seconds", strconv.FormatUint(uint64(task.GetUncertaintySeconds()), 10))
	instant("window_end", task.GetWindowEnd())
	add("hold_days", number(task.GetHoldDays()))
	add("from_hold", task.GetFromHold())
	add("max_subjects", number(task.GetMaxSubjects()))
	add("max_records", number(task.GetMaxRecords()))
	add("hold", task.GetHoldId())
	t.add("state", word(task.GetState(), "TASK_STATE_"))
	add("refusal", task.GetRefusal())
	if task.GetConfirmedBy() != "" {
		t.add("confirmed", "by "+short(task.GetConfirmedBy())+" at "+at(task.GetConfirmedAt()))
	}
	if task.GetExecutableFrom() != nil {
		instant("executable_from", task.GetExecutableFrom().AsTime().Format(time.RFC3339Nano))
	}
	if task.GetAnswer() != "" {
		t.add("answer", task.GetAnswer())
		add("incomplete", strings.Join(task.GetIncomplete(), " "))
		add("neighbouring_lines", task.GetNeighbours())
		t.add("package_sha256", task.GetPackageSha256())
		t.add("released_at", at(task.GetReleasedAt()))
	}
	return a.print(task, t)
}
