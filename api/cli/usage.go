package cli

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	griffierv1 "griffier/proto/griffier/v1"
)

// window adds the flags of a window to c.
func window(c *cobra.Command) func() (*griffierv1.Window, error) {
	from := c.Flags().String("from", "", "start, an instant with an offset (required)")
	to := c.Flags().String("to", "", "end, exclusive (required)")
	return func() (*griffierv1.Window, error) {
		start, err := parseInstant("from", *from)
		if err != nil {
			return nil, err
		}
		end, err := parseInstant("to", *to)
		if err != nil {
			return nil, err
		}
		return &griffierv1.Window{Start: start, End: end}, nil
	}
}

func (a *app) line() *cobra.Command {
	return noun("line", "Your lines", &cobra.Command{
		Use: "list", Short: "List your lines", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := griffierv1.NewUsageServiceClient(a.server).ListLines(c.Context(), &griffierv1.ListLinesRequest{})
			if err != nil {
				return err
			}
			t := table{header: []string{"line", "time zone", "billing day"}}
			for _, l := range resp.GetLines() {
				t.add(l.GetLineId(), l.GetTimeZone(), strconv.Itoa(int(l.GetBillingDay())))
			}
			return a.print(resp, t)
		},
	})
}

func (a *app) usage() *cobra.Command {
	return noun("usage", "What one of your lines used", a.usageTotals(), a.usageCycle(), a.usageTop(), a.usagePercentile(),
		a.usageSeries(), a.usageSessions())
}

func (a *app) usageTotals() *cobra.Command {
	c := &cobra.Command{Use: "totals", Short: "Sum usage over a window, or per day, cycle or month of it", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	per := c.Flags().String("per", "", "day, cycle or month: of the line's own calendar (default one sum)")
	win := window(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		w, err := win()
		if err != nil {
			return err
		}
		if *per != "" {
			return a.usagePer(c, *line, w, *per)
		}
		resp, err := griffierv1.NewUsageServiceClient(a.server).GetTotals(c.Context(), &griffierv1.GetTotalsRequest{LineId: *line, Window: w})
		if err != nil {
			return err
		}
		t := table{header: volumeHeader("ip")}
		for _, row := range []struct {
			name string
			v    *griffierv1.Volume
		}{{"IPv4", resp.GetIpv4()}, {"IPv6", resp.GetIpv6()}, {"total", resp.GetTotal()}} {
			t.add(volumeRow(row.name, row.v)...)
		}
		a.showGaps(resp.GetGaps())
		a.showElapsed(usageElapsed, resp.GetElapsed())
		return a.print(resp, t)
	}
	return c
}

func (a *app) usageSeries() *cobra.Command {
	c := &cobra.Command{Use: "series", Short: "Usage per step of a window", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	step := c.Flags().Duration("step", time.Hour, "length of a step, a multiple of 5m")
	win := window(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		w, err := win()
		if err != nil {
			return err
		}
		resp, err := griffierv1.NewUsageServiceClient(a.server).GetSeries(c.Context(),
			&griffierv1.GetSeriesRequest{LineId: *line, Window: w, Step: durationpb.New(*step)})
		if err != nil {
			return err
		}
		a.showGaps(resp.GetGaps())
		a.showElapsed(usageElapsed, resp.GetElapsed())
		return a.print(resp, points(resp.GetPoints()))
	}
	return c
}

func (a *app) usageSessions() *cobra.Command {
	c := &cobra.Command{Use: "sessions", Short: "Connection times of a window, newest first", Args: noArgs}
	line := c.Flags().String("line", "", "line id (required)")
	limit := c.Flags().Int32("limit", 100, "at most this many")
	win := window(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		w, err := win()
		if err != nil {
			return err
		}
		resp, err := griffierv1.NewUsageServiceClient(a.server).ListSessions(c.Context(),
			&griffierv1.ListSessionsRequest{LineId: *line, Window: w, Limit: *limit})
		if err != nil {
			return err
		}
		if resp.GetTruncated() {
			fmt.Fprintln(a.stderr, "note: there are more; ask for a shorter window or a higher --limit")
		}
		a.showElapsed(sessionsElapsed, resp.GetElapsed())
		a.showElapsed(addressesElapsed, resp.GetAddressesElapsed())
		return a.print(resp, sessions(resp.GetSessions()))
	}
	return c
}

func volumeHeader(first string) []string {
	return []string{first, "bytes up", "bytes down", "packets up", "packets down"}
}

// volumeRow shows a volume that is not known, because it has expired, as dashes.
func volumeRow(first string, v *griffierv1.Volume) []string {
	if v == nil {
		return []string{first, "-", "-", "-", "-"}
	}
	n := func(x uint64) string { return strconv.FormatUint(x, 10) }
	return []string{first, n(v.GetBytesUp()), n(v.GetBytesDown()), n(v.GetPacketsUp()), n(v.GetPacketsDown())}
}

func points(in []*griffierv1.GetSeriesResponse_Point) table {
	t := table{header: volumeHeader("start")}
	for _, p := range in {
		t.add(volumeRow(at(p.GetStart()), p.GetVolume())...)
	}
	return t
}

func sessions(in []*griffierv1.Session) table {
	t := table{header: []string{"start", "end", "last seen", "cause", "source", "certainty", "address"}}
	for _, s := range in {
		row := []string{at(s.GetStartedAt()), at(s.GetEndedAt()), at(s.GetLastSeenAt()), s.GetEndCause(), s.GetSource(), s.GetCertainty()}
		if len(s.GetAddresses()) == 0 {
			t.add(append(row, "-")...)
		}
		for _, held := range s.GetAddresses() {
			t.add(append(row[:6:6], held.GetPrefix())...)
		}
	}
	return t
}
