package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files; then read the difference before committing it")

// golden compares with testdata/golden/name. What is there is a promise to
// scripts: members may be added, and never renamed or removed.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; if that is meant, run go test ./api/cli -update\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func when(hour int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 3, 29, hour, 0, 0, 500_000_000, time.UTC))
}

// TestOutputIsStable prints every kind of answer of usage, support and ledger in
// every form.
func TestOutputIsStable(t *testing.T) {
	volume := &griffierv1.Volume{BytesUp: 1<<63 + 1, BytesDown: 2, PacketsUp: 3, PacketsDown: 0}
	series := []*griffierv1.GetSeriesResponse_Point{{Start: when(0), Volume: volume}, {Start: when(1), Volume: &griffierv1.Volume{}}}
	listed := []*griffierv1.Session{
		{StartedAt: when(1), EndedAt: when(2), LastSeenAt: when(2), EndCause: "release", Source: "radius", Certainty: "observed", Addresses: []*griffierv1.HeldAddress{
			{Prefix: "192.0.2.1/32", StartedAt: when(1), EndedAt: when(2)}, {Prefix: "2001:db8::/56", StartedAt: when(1)}}},
		{StartedAt: when(3), LastSeenAt: when(4), Source: "dhcpv4", Certainty: "inferred"},
	}
	enrolled := []*griffierv1.Collector{{CollectorId: "edge1", Certificates: []*griffierv1.IssuedCertificate{
		{Serial: "2b", IssuedAt: when(1), ExpiresAt: when(2), State: griffierv1.CertificateState_CERTIFICATE_STATE_CURRENT}},
		Tokens: []*griffierv1.EnrolmentToken{{TokenId: "0123456789abcdef", ExpiresAt: when(3)}}}}
	gaps := []*griffierv1.Gap{{Start: when(5), End: when(6), Cause: "not_collected"}}
	elapsed := []*griffierv1.Window{{Start: when(0), End: when(1)}}
	day := &griffierv1.PeriodTotal{Day: "2026-03-29", Window: &griffierv1.Window{Start: when(0), End: when(23)}, Total: volume, Ipv4: volume, Ipv6: &griffierv1.Volume{},
		Basis: griffierv1.UsageBasis_USAGE_BASIS_BOTH, Elapsed: elapsed, Uncollected: durationpb.New(90 * time.Second), Open: true}
	idle := &griffierv1.PeriodTotal{Day: "2026-03-30", Window: &griffierv1.Window{Start: when(23), End: when(47)}, Total: &griffierv1.Volume{}, Ipv4: &griffierv1.Volume{}, Ipv6: &griffierv1.Volume{}}
	expired := &griffierv1.PeriodTotal{Day: "2026-03-31", Window: &griffierv1.Window{Start: when(47), End: when(71)}, Elapsed: []*griffierv1.Window{{Start: when(47), End: when(71)}}}
	hours := &griffierv1.ListSegmentHoursResponse{Hours: []*griffierv1.SegmentHour{
		{StartedAt: when(0), Segments: []string{"edge1/acc1"}, Lines: 15, BytesUp: 1, BytesDown: 2, PacketsUp: 3, PacketsDown: 4},
		{StartedAt: when(1), Segments: []string{"edge1/acc1", "edge2/acc1"}, Lines: 10}}}
	for name, c := range map[string]struct {
		m proto.Message
		t table
	}{
		"periods":    {&griffierv1.ListPeriodsResponse{Periods: []*griffierv1.PeriodTotal{day, idle, expired}}, periods(day, idle, expired)},
		"percentile": {&griffierv1.GetPercentileResponse{BitsPerSecondUp: 1, BitsPerSecondDown: 2, BitsPerSecond: 2, Samples: 3, Counted: &griffierv1.Window{Start: when(0), End: when(1)}}, table{header: []string{"bit/s"}, rows: [][]string{{"2"}}}},
		"cycle":      {&griffierv1.GetCycleResponse{Used: day, CountedUntil: when(9)}, periods(day)},
		"totals":     {&griffierv1.GetTotalsResponse{Total: volume, Ipv4: volume, Ipv6: &griffierv1.Volume{}, Counted: &griffierv1.Window{Start: when(0), End: when(9)}, Gaps: gaps}, table{header: volumeHeader("ip"), rows: [][]string{volumeRow("IPv4", volume)}}},
		"series":     {&griffierv1.GetSeriesResponse{Points: series, Gaps: gaps, Elapsed: elapsed}, points(series)},
		"sessions":   {&griffierv1.ListSessionsResponse{Sessions: listed, Truncated: true, Elapsed: elapsed}, sessions(listed)},
		"lookup":     {&griffierv1.LookUpLineResponse{LineId: "L-1", Total: volume, Days: series, Sessions: listed, Gaps: gaps, Elapsed: elapsed}, sessions(listed)},
		"code":       {&griffierv1.CreateSupportCodeResponse{Code: "01234567", ExpiresAt: when(1)}, table{header: []string{"code"}, rows: [][]string{{"01234567"}}}},
		"statistics": {hours, segmentHours(hours)},
		"collectors": {&griffierv1.ListCollectorsResponse{Collectors: enrolled}, collectors(enrolled)},
		"entries": {&griffierv1.ListEntriesResponse{Size: 1, Entries: []*griffierv1.LedgerEntry{{Index: 0, Kind: "read", At: when(1), Actor: "ab", FactsJson: `{"method":"a,b"}`}}},
			table{header: []string{"facts"}, rows: [][]string{{`{"method":"a,b"}`}}}},
	} {
		for _, format := range []string{"json", "csv", "table"} {
			var stdout, stderr bytes.Buffer
			a := &app{stdout: &stdout, stderr: &stderr, format: format}
			if err := a.print(c.m, c.t); err != nil {
				t.Errorf("%s as %s: %v", name, format, err)
			}
			golden(t, name+"."+format, stdout.String())
		}
	}
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, format: "json"}
	if err := a.showVerified(ledger.Report{Size: 3, Root: []byte{1, 2}, Newest: when(1).AsTime()}); err != nil {
		t.Error(err)
	}
	golden(t, "ledger-verify.json", stdout.String())
}

// TestReasonsAreStable prints every reason as a caller meets it, with its exit
// status.
func TestReasonsAreStable(t *testing.T) {
	var text strings.Builder
	show := func(err error) {
		var stdout, stderr bytes.Buffer
		code := (&app{stdout: &stdout, stderr: &stderr}).report(err)
		fmt.Fprintf(&text, "exit %d\n%s\n", code, stderr.String())
		if stdout.Len() > 0 || code == 0 {
			t.Errorf("%v: exit %d with %q on stdout; want a failure and nothing", err, code, stdout.String())
		}
	}
	for _, e := range reason.Catalogue {
		show(reason.ToStatus(reason.New(e.Reason, "")))
	}
	show(reason.ToStatus(&reason.Error{Reason: reason.InvalidRequest, Detail: "A detail.", Violations: []reason.Violation{{Field: "line_id", Description: "is required"}, {Field: "window", Description: "is too long"}}}))
	show(usageError{errors.New("a mistake")})
	show(failure{errors.New("a failure"), int(reason.ExitFailed)})
	show(errors.New("something else"))
	show(status.Error(codes.Unavailable, "connection refused"))
	show(status.Error(codes.DeadlineExceeded, "the call took longer than its deadline"))
	golden(t, "reasons.txt", text.String())
}

// TestHelpIsStable keeps names of commands and flags, which scripts use.
func TestHelpIsStable(t *testing.T) {
	var text strings.Builder
	for _, args := range [][]string{{"usage", "totals"}, {"usage", "cycle"}, {"usage", "top"}, {"usage", "percentile"}, {"usage", "series"}, {"usage", "sessions"}, {"support", "code"}, {"support", "lookup"},
		{"line", "list"}, {"register", "line"}, {"register", "range"}, {"collector", "token"}, {"collector", "list"}, {"collector", "revoke"}, {"statistics", "list"}, {"ledger", "list"}, {"ledger", "proof"}, {"ledger", "checkpoint"}, {"login"}} {
		var stdout bytes.Buffer
		if code := Run(t.Context(), append(args, "--help"), strings.NewReader(""), &stdout, &stdout); code != 0 {
			t.Errorf("%v --help: exit %d", args, code)
		}
		for _, line := range strings.Split(stdout.String(), "\n") {
			if !strings.Contains(line, "--home") { // whose default is this machine's
				text.WriteString(line + "\n")
			}
		}
	}
	golden(t, "help.txt", text.String())
}

func TestDoubled(t *testing.T) {
	root := (&app{}).root()
	for in, want := range map[string]string{
		"verify P -trust F":                 "verify P --trust F",
		"verify P -trust=F -o json":         "verify P --trust=F -o json",
		"demo -once -o json":                "demo --once -o json",
		"usage totals -line L --from X":     "usage totals --line L --from X",
		"usage totals -nonsense":            "usage totals -nonsense",
		"-home H version":                   "--home H version",
		"-help":                             "--help",
		"-ojson -h":                         "-ojson -h",
		"register line -":                   "register line -",
		"verify -- -trust":                  "verify -- -trust",
		"usage sessions -limit -5 -line=-x": "usage sessions --limit -5 --line=-x",
	} {
		args := strings.Fields(in)
		got := strings.Join(doubled(root, args), " ")
		if got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
		if strings.Join(args, " ") != in {
			t.Errorf("%q: the caller's arguments were changed", in)
		}
	}
}
