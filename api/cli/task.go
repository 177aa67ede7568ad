package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"griffier/api/disclosure"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) task() *cobra.Command {
	return noun("task", "One question under a warrant: ask, execute, fetch the answer", a.taskCreate(), a.taskExecute(), a.taskFetch())
}

func (a *app) taskCreate() *cobra.Command {
	c := &cobra.Command{Use: "create", Short: "Ask which line held an address at an instant, or have it preserved", Args: noArgs,
		Example: `  griffier task create --warrant ID --target 192.0.2.17 --instant 2026-11-19T13:00:00+01:00 --uncertainty 1
  griffier task create --warrant ID --category preservation --target 192.0.2.17 --instant 2026-11-19T13:00:00+01:00 --window-end 2026-11-19T15:00:00+01:00
  griffier task create --warrant ID --from-hold HOLD --target 192.0.2.17 --instant 2026-11-19T13:00:00+01:00`}
	warrant := c.Flags().String("warrant", "", "warrant id (required)")
	target := c.Flags().String("target", "", "one address that the warrant names (required)")
	instant := c.Flags().String("instant", "", "RFC 3339 with seconds and an offset (required)")
	uncertainty := c.Flags().Uint32("uncertainty", 0, "seconds, as stated by the authority")
	port := c.Flags().Uint32("port", 0, "source port, where the address may be shared")
	protocol := c.Flags().String("protocol", "", "tcp, udp, icmp, icmpv6, sctp or dccp; with --port")
	category := c.Flags().String("category", "attribution", "category of data")
	windowEnd := c.Flags().String("window-end", "", "of preservation: end of the window that --instant begins, exclusive")
	holdDays := c.Flags().Uint32("hold-days", 0, "of preservation: days to keep it (default: all that the legal basis allows)")
	fromHold := c.Flags().String("from-hold", "", "ask this hold, and not the store")
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	request := requestFlag(c)
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
			UncertaintySeconds: *uncertainty, Port: *port, Protocol: transport, WindowEnd: *windowEnd, HoldDays: *holdDays, FromHold: *fromHold})
		if err != nil {
			return err
		}
		return a.showTask(task)
	}
	return c
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
Negative answers are sealed too: they are signed certificates.`}
	generation := c.Flags().Uint64("generation", 1, "generation of the warrant as you saw it")
	request := requestFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		task, err := griffierv1.NewDisclosureServiceClient(a.server).ExecuteTask(c.Context(), &griffierv1.ExecuteTaskRequest{
			RequestId: requestID(*request), TaskId: args[0], ExpectedGeneration: *generation})
		if err != nil {
			return err
		}
		if err := a.showTask(task); err != nil {
			return err
		}
		answer := reason.Reason(task.GetAnswer()).Entry()
		if answer.Exit != reason.ExitOK {
			return failure{fmt.Errorf("%s: %s", answer.Reason, answer.Meaning), int(answer.Exit)}
		}
		return nil
	}
	return c
}

func (a *app) taskFetch() *cobra.Command {
	c := &cobra.Command{Use: "fetch TASK", Short: "Fetch the sealed package and its receipt; each fetch is in the ledger", Args: oneArg("TASK")}
	dir := c.Flags().String("dir", ".", "folder to write TASK.tar.age and TASK.receipt.json to")
	c.RunE = func(c *cobra.Command, args []string) error {
		stream, err := griffierv1.NewDisclosureServiceClient(a.server).FetchPackage(c.Context(), &griffierv1.FetchPackageRequest{TaskId: args[0]})
		if err != nil {
			return err
		}
		var sealed, receipt []byte
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if sealed = append(sealed, m.GetChunk()...); len(sealed) > disclosure.MaxPackageBytes {
				return fmt.Errorf("the package is longer than %d bytes", disclosure.MaxPackageBytes)
			}
			receipt = append(receipt, m.GetReceipt()...)
		}
		if len(sealed) == 0 || len(receipt) == 0 {
			return errors.New("the server sent no whole package")
		}
		path, beside := filepath.Join(*dir, args[0]+packageSuffix), filepath.Join(*dir, args[0]+receiptSuffix)
		if err := errors.Join(writeNew(path, sealed), writeNew(beside, receipt)); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, path)
		fmt.Fprintf(a.stderr, "%d bytes, receipt in %s\n", len(sealed), beside)
		return nil
	}
	return c
}

// Names that fetch gives and verify expects.
const (
	packageSuffix = ".tar.age"
	receiptSuffix = ".receipt.json"
)

// writeNew writes a file that only its owner reads, and never replaces one with
// other bytes.
func writeNew(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func (a *app) showTask(task *griffierv1.Task) error {
	t := table{header: []string{"field", "value"}}
	t.add("task", task.GetTaskId())
	t.add("warrant", task.GetWarrantId())
	t.add("generation", strconv.FormatUint(task.GetGeneration(), 10))
	t.add("category", word(task.GetCategory(), "CATEGORY_"))
	t.add("target", task.GetTarget())
	if task.GetPort() != 0 {
		t.add("port", strconv.FormatUint(uint64(task.GetPort()), 10))
	}
	if task.GetProtocol() != 0 {
		t.add("protocol", word(task.GetProtocol(), "TRANSPORT_PROTOCOL_"))
	}
	t.add("instant", task.GetInstant())
	t.add("uncertainty_seconds", strconv.FormatUint(uint64(task.GetUncertaintySeconds()), 10))
	if task.GetWindowEnd() != "" {
		t.add("window_end", task.GetWindowEnd())
	}
	if task.GetHoldDays() != 0 {
		t.add("hold_days", strconv.FormatUint(uint64(task.GetHoldDays()), 10))
	}
	if task.GetFromHold() != "" {
		t.add("from_hold", task.GetFromHold())
	}
	if task.GetHoldId() != "" {
		t.add("hold", task.GetHoldId())
	}
	t.add("state", word(task.GetState(), "TASK_STATE_"))
	if task.GetAnswer() != "" {
		t.add("answer", task.GetAnswer())
		t.add("package_sha256", task.GetPackageSha256())
		t.add("released_at", at(task.GetReleasedAt()))
	}
	return a.print(task, t)
}
