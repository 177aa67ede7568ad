package daemon

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"griffier/bpf"
	"griffier/collector/binding"
	"griffier/collector/cgnat"
	"griffier/collector/cgnat/natlog"
	"griffier/collector/datapath"
	"griffier/collector/enrol"
	"griffier/collector/radius"
	"griffier/collector/sink"
	"griffier/collector/spool"
	"griffier/schema"
)

// exported collects what a collector registers.
type exported struct {
	mu         sync.Mutex
	collectors []prometheus.Collector
	registry   *prometheus.Registry
}

func (e *exported) Register(c prometheus.Collector) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.collectors = append(e.collectors, c)
	return e.registry.Register(c)
}

func (e *exported) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := e.Register(c); err != nil {
			panic(err)
		}
	}
}

func (e *exported) Unregister(c prometheus.Collector) bool { return e.registry.Unregister(c) }

var descPattern = regexp.MustCompile(`fqName: "([^"]*)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)

// labels are the label names of every metric, by its name.
func (e *exported) labels(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, c := range e.collectors {
		descs := make(chan *prometheus.Desc, 1000)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := descPattern.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("cannot read %s", d)
			}
			names := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })
			for _, pair := range strings.Split(m[2], ",") {
				if name, _, ok := strings.Cut(pair, "="); ok {
					names = append(names, name)
				}
			}
			out[m[1]] = names
		}
	}
	return out
}

// register makes the parts of a collector that export metrics.
func register(t *testing.T) *exported {
	t.Helper()
	e := &exported{registry: prometheus.NewRegistry()}
	m := newMetrics(e)
	m.totals.setTraffic(bpf.Totals{}, datapath.Plausibility{}, 0)
	m.totals.setBlocks(cgnat.BlocksStats{})
	m.totals.setIgnored(binding.Ignored{})
	dir := t.TempDir()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "spool"), MaxBytes: 64 << 20, SegmentBytes: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := sink.New(sink.Config{Spool: s, Store: schema.Config{Socket: "nothing"}, QuarantineDir: dir, Registerer: e}); err != nil {
		t.Fatal(err)
	}
	server, err := radius.NewServer(radius.Config{Listen: "127.0.0.1:0", Registerer: e}, func(context.Context, binding.Observation) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	enrol.NewRenewer(enrol.Folder(dir), "", slog.New(slog.DiscardHandler), e)
	e.collectors = append(e.collectors, flowMetrics{}) // it wants conntrack to be collected from
	translators, err := natlog.Listen(natlog.Config{Listen: "127.0.0.1:0", Exporters: []natlog.Exporter{{Address: netip.MustParseAddr("127.0.0.1")}},
		Filter: natlog.Filter{Inside: []netip.Prefix{netip.MustParsePrefix("100.64.0.0/10")}, Outside: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { translators.Close() })
	e.MustRegister(logMetrics{translators})
	ended, end := context.WithCancel(t.Context())
	end()
	if err := server.Serve(ended); err != nil { // closes its socket
		t.Fatal(err)
	}
	return e
}

// Names and units are as Prometheus wants them, and no label can hold a
// subscriber.
func TestMetricNames(t *testing.T) {
	e := register(t)
	problems, err := testutil.GatherAndLint(e.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	allowed := []string{"source", "protocol", "reason", "kind", "direction", "class", "outcome", "verdict", "version", "revision", "goversion"}
	for name, labels := range e.labels(t) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		if !regexp.MustCompile(`^griffier_collector_[a-z0-9_]+$`).MatchString(name) {
			t.Errorf("name %q", name)
		}
		for _, l := range labels {
			if !slices.Contains(allowed, l) {
				t.Errorf("%s has label %q, which is not one of %v", name, l, allowed)
			}
		}
	}
}

var (
	metricPattern  = regexp.MustCompile(`\b((?:griffier_collector|process|go)_[a-z0-9_]+)(\{[^}]*\})?`)
	matcherPattern = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
)

// requireMetrics requires that an expression's metrics and their labels exist.
func requireMetrics(t *testing.T, where, expression string, have map[string][]string) {
	t.Helper()
	found := metricPattern.FindAllStringSubmatch(expression, -1)
	if len(found) == 0 && !strings.Contains(expression, "up{") {
		t.Errorf("%s: no metric in %q", where, expression)
	}
	for _, m := range found {
		name := m[1]
		labels, ok := have[name]
		for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
			if base, cut := strings.CutSuffix(name, part); cut && !ok {
				labels, ok = have[base]
			}
		}
		if !ok {
			t.Errorf("%s: the collector exports no %s", where, name)
		}
		for _, matcher := range matcherPattern.FindAllStringSubmatch(m[2], -1) {
			if l := matcher[1]; l != "instance" && l != "job" && !slices.Contains(labels, l) {
				t.Errorf("%s: %s has no label %s", where, name, l)
			}
		}
	}
}

func TestDashboardShowsWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../dist/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	type panel struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ H, W, X, Y int }
		Targets []struct{ Expr, RefID string }
	}
	var board struct {
		Title      string
		UID        string
		Panels     []panel
		Templating struct{ List []struct{ Name string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	have := register(t).labels(t)
	ids := map[int]bool{}
	queries := 0
	for i, p := range board.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: no title, or its id is taken", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, q := range p.Targets {
			queries++
			requireMetrics(t, p.Title, q.Expr, have)
		}
		for _, other := range board.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s and %s overlap", p.Title, other.Title)
			}
		}
	}
	if queries < 20 || board.UID == "" || len(board.Templating.List) != 2 {
		t.Errorf("%d queries, uid %q, %d variables", queries, board.UID, len(board.Templating.List))
	}
}

func TestAlertsWatchWhatThereIs(t *testing.T) {
	const path = "../dist/alerts.yaml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	have := register(t).labels(t)
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if !strings.HasPrefix(r.Alert, "Griffier") || seen[r.Alert] {
				t.Errorf("alert %q", r.Alert)
			}
			seen[r.Alert] = true
			requireMetrics(t, r.Alert, r.Expr, have)
			if r.Labels["severity"] != "critical" && r.Labels["severity"] != "warning" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s lacks a severity, summary or description", r.Alert)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d alerts", len(seen))
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", path).CombinedOutput(); err != nil {
			t.Errorf("promtool: %v\n%s", err, out)
		}
	} else {
		t.Log("promtool is not installed: expressions are checked for names and labels only")
	}
}
