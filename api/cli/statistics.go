package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	griffierv1 "griffier/proto/griffier/v1"
)

func (a *app) statistics() *cobra.Command {
	return noun("statistics", "Anonymised volumes of network segments", a.statisticsList())
}

func (a *app) statisticsList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List what segments moved in each hour; no number is about fewer than ten lines", Args: noArgs}
	from := c.Flags().String("from", "", "first instant, with an offset (required)")
	to := c.Flags().String("to", "", "end of the window, with an offset; at most 31 days later (required)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		start, err := parseInstant("from", *from)
		if err != nil {
			return err
		}
		end, err := parseInstant("to", *to)
		if err != nil {
			return err
		}
		resp, err := griffierv1.NewStatisticsServiceClient(a.server).ListSegmentHours(c.Context(), &griffierv1.ListSegmentHoursRequest{Start: start, End: end})
		if err != nil {
			return err
		}
		return a.print(resp, segmentHours(resp))
	}
	return c
}

func segmentHours(resp *griffierv1.ListSegmentHoursResponse) table {
	t := table{header: []string{"hour", "segments", "lines", "bytes_up", "bytes_down", "packets_up", "packets_down"}}
	n := func(v uint64) string { return strconv.FormatUint(v, 10) }
	for _, h := range resp.GetHours() {
		t.add(at(h.GetStartedAt()), strings.Join(h.GetSegments(), "+"), n(h.GetLines()),
			n(h.GetBytesUp()), n(h.GetBytesDown()), n(h.GetPacketsUp()), n(h.GetPacketsDown()))
	}
	return t
}
