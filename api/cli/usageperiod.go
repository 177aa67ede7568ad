package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	griffierv1 "griffier/proto/griffier/v1"
)

// usagePeriod reads the value of --per.
func usagePeriod(s string) (griffierv1.UsagePeriod, error) {
	p := griffierv1.UsagePeriod(griffierv1.UsagePeriod_value["USAGE_PERIOD_"+strings.ToUpper(s)])
	if p == griffierv1.UsagePeriod_USAGE_PERIOD_UNSPECIFIED {
		return p, usageError{fmt.Errorf("--per %q: want day, cycle or month", s)}
	}
	return p, nil
}

// usagePer prints totals per period of the line's calendar.
func (a *app) usagePer(c *cobra.Command, line string, w *griffierv1.Window, per string) error {
	period, err := usagePeriod(per)
	if err != nil {
		return err
	}
	resp, err := griffierv1.NewUsageServiceClient(a.server).ListPeriods(c.Context(),
		&griffierv1.ListPeriodsRequest{LineId: line, Window: w, Period: period})
	if err != nil {
		return err
	}
	for _, p := range resp.GetPeriods() {
		a.showElapsed(usageElapsed, p.GetElapsed())
	}
	return a.print(resp, periods(resp.GetPeriods()...))
}

func (a *app) usageCycle() *cobra.Command {
	c := &cobra.Command{Use: "cycle", Short: "What is used of a billing cycle, up to now", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	instant := c.Flags().String("at", "", "an instant within the cycle, with an offset (default now)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		var at *timestamppb.Timestamp
		if *instant != "" {
			var err error
			if at, err = parseInstant("at", *instant); err != nil {
				return err
			}
		}
		resp, err := griffierv1.NewUsageServiceClient(a.server).GetCycle(c.Context(), &griffierv1.GetCycleRequest{LineId: *line, At: at})
		if err != nil {
			return err
		}
		a.showElapsed(usageElapsed, resp.GetUsed().GetElapsed())
		return a.print(resp, periods(resp.GetUsed()))
	}
	return c
}

func (a *app) usageTop() *cobra.Command {
	c := &cobra.Command{Use: "top", Short: "The local days of a window on which most was used", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	limit := c.Flags().Int32("limit", 10, "at most this many")
	win := window(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		w, err := win()
		if err != nil {
			return err
		}
		resp, err := griffierv1.NewUsageServiceClient(a.server).ListTopDays(c.Context(),
			&griffierv1.ListTopDaysRequest{LineId: *line, Window: w, Limit: *limit})
		if err != nil {
			return err
		}
		a.showElapsed(usageElapsed, resp.GetElapsed())
		return a.print(resp, periods(resp.GetDays()...))
	}
	return c
}

func (a *app) usagePercentile() *cobra.Command {
	c := &cobra.Command{Use: "percentile", Short: "95th percentile of the rate in a window, in bits a second", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	win := window(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		w, err := win()
		if err != nil {
			return err
		}
		resp, err := griffierv1.NewUsageServiceClient(a.server).GetPercentile(c.Context(),
			&griffierv1.GetPercentileRequest{LineId: *line, Window: w})
		if err != nil {
			return err
		}
		for _, gone := range resp.GetElapsed() {
			fmt.Fprintf(a.stderr, "note: what was measured from %s to %s has expired; the rest is counted\n", at(gone.GetStart()), at(gone.GetEnd()))
		}
		if resp.GetCoarse() {
			fmt.Fprintln(a.stderr, "note: the BNG reports at longer intervals than 5 minutes, so that peaks are not seen as they were")
		}
		t := table{header: []string{"from", "to", "bit/s up", "bit/s down", "bit/s", "samples", "not collected"}}
		n := func(x uint64) string { return strconv.FormatUint(x, 10) }
		t.add(at(resp.GetCounted().GetStart()), at(resp.GetCounted().GetEnd()), n(resp.GetBitsPerSecondUp()), n(resp.GetBitsPerSecondDown()),
			n(resp.GetBitsPerSecond()), strconv.FormatInt(resp.GetSamples(), 10), strconv.FormatInt(resp.GetUncollectedSamples(), 10))
		return a.print(resp, t)
	}
	return c
}

// periods shows each period by the local date on which it begins.
func periods(in ...*griffierv1.PeriodTotal) table {
	t := table{header: append(volumeHeader("begins"), "ends", "basis", "not collected", "open")}
	for _, p := range in {
		open := ""
		if p.GetOpen() {
			open = "open"
		}
		from := strings.ToLower(strings.TrimPrefix(p.GetBasis().String(), "USAGE_BASIS_"))
		if p.GetBasis() == griffierv1.UsageBasis_USAGE_BASIS_UNSPECIFIED {
			from = "-"
		}
		t.add(append(volumeRow(p.GetDay(), p.GetTotal()), at(p.GetWindow().GetEnd()), from,
			p.GetUncollected().AsDuration().Round(time.Second).String(), open)...)
	}
	return t
}

// What has expired, as notes say it.
const (
	usageElapsed     = "note: usage from %s to %s has expired and is in no figure\n"
	sessionsElapsed  = "note: sessions that ended from %s to %s have expired and are not listed\n"
	addressesElapsed = "note: addresses held from %s to %s have expired and are not listed\n"
)

// showElapsed says on stderr which parts of a window are not in an answer.
func (a *app) showElapsed(note string, elapsed []*griffierv1.Window) {
	for _, gone := range elapsed {
		fmt.Fprintf(a.stderr, note, at(gone.GetStart()), at(gone.GetEnd()))
	}
}
