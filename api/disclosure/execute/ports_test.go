package execute_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/seal"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/cgnat"
)

// translators adds three shared addresses, of port blocks, of flow by flow and
// of parameters, whose inside addresses alice and bob hold.
func (l *lab) translators() {
	l.t.Helper()
	begin := l.noon.Add(-90 * 24 * time.Hour)
	for _, r := range []register.Range{
		{Prefix: netip.MustParsePrefix("100.64.0.0/24")},
		{Prefix: netip.MustParsePrefix("203.0.113.1/32"), ValidTo: l.noon}, // until then
		{Prefix: netip.MustParsePrefix("203.0.113.1/32"), ValidFrom: l.noon, // since then
			Translation: cgnat.Parameters{Algorithm: cgnat.Sequential, Outside: netip.MustParsePrefix("203.0.113.1/32"),
				Inside: netip.MustParsePrefix("100.64.0.8/29"), FirstPort: 1024, PortsPerSubscriber: 8000}},
		{Prefix: netip.MustParsePrefix("203.0.113.2/31")},
	} {
		r.CollectorIDs = []string{"edge1"}
		if r.ValidFrom.IsZero() {
			r.ValidFrom = begin
		}
		if r.ValidTo.IsZero() {
			r.ValidTo = schema.Forever
		}
		if err := l.register.PutRange(l.t.Context(), r); err != nil {
			l.t.Fatal(err)
		}
	}
	n := byte(0)
	row := func(prefix string, change func(*schema.Assignment)) schema.Record {
		n++
		a := &schema.Assignment{AssignmentID: schema.ID{9, n}, Prefix: netip.MustParsePrefix(prefix), PortEnd: 65535, AssignmentStartedAt: l.noon.Add(-time.Hour),
			StartedAt: l.noon.Add(-time.Hour), EndedAt: l.noon.Add(time.Hour), Version: 1, EndCause: schema.EndRelease, Source: schema.SourceConntrack,
			Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		change(a)
		return a
	}
	holder := func(name string) func(*schema.Assignment) {
		return func(a *schema.Assignment) {
			a.AccessRef, a.Source = l.pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}), schema.SourceRADIUS
		}
	}
	port := func(inside string, protocol uint8, from, to uint16, start, end time.Duration) func(*schema.Assignment) {
		return func(a *schema.Assignment) {
			a.Inside, a.Protocol, a.PortStart, a.PortEnd = netip.MustParseAddr(inside), protocol, from, to
			a.StartedAt, a.EndedAt = l.noon.Add(start), l.noon.Add(end)
			if from != to {
				a.Source = schema.SourceStatic
			}
			a.AssignmentStartedAt = a.StartedAt
		}
	}
	const hour = time.Hour
	records := []schema.Record{
		row("100.64.0.10/32", holder("alice")), row("100.64.0.11/32", holder("bob")),
		row("203.0.113.2/32", port("100.64.0.10", 0, 1024, 2047, -hour, hour)), row("203.0.113.2/32", port("100.64.0.11", 0, 2048, 3071, -hour, hour)),
		row("203.0.113.3/32", port("100.64.0.10", 6, 5000, 5000, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.11", 17, 5000, 5000, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.10", 6, 5001, 5001, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.11", 6, 5001, 5001, -time.Second, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.10", 6, 5002, 5002, -time.Minute, 0)),
		row("203.0.113.3/32", port("100.64.0.11", 6, 5002, 5002, time.Second, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.99", 6, 5003, 5003, -time.Minute, time.Minute)),
		row("203.0.113.3/32", port("100.64.0.11", 6, 5004, 5004, 100*time.Millisecond, 300*time.Millisecond)),
	}
	if err := schema.Insert(l.t.Context(), l.conn, "translators", records); err != nil {
		l.t.Fatal(err)
	}
}

func TestPorts(t *testing.T) {
	l := newLab(t)
	l.translators()
	content := l.content(time.Hour)
	content.Targets = []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"}
	w := l.approve(content)
	const tcp, udp = griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_TCP, griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_UDP
	for _, test := range []struct {
		name     string
		target   string
		port     uint32
		protocol griffierv1.TransportProtocol
		at       time.Duration
		want     reason.Reason
		says     string
	}{
		{"block", "203.0.113.2", 2047, tcp, 0, reason.Match, "Alice Jansen"},
		{"the next block", "203.0.113.2", 2048, udp, 0, reason.Match, "Bob Jansen"},
		{"no block", "203.0.113.2", 4000, udp, 0, reason.NoMatch, ""},
		{"no port", "203.0.113.2", 0, 0, 0, reason.PortRequired, "2-10"},
		{"flow", "203.0.113.3", 5000, tcp, 0, reason.Match, "Alice Jansen"},
		{"flow of the other protocol", "203.0.113.3", 5000, udp, 0, reason.Match, "Bob Jansen"},
		{"protocol not stated", "203.0.113.3", 5000, 0, 0, reason.PortRequired, "2-10"},
		{"reuse", "203.0.113.3", 5001, tcp, 0, reason.AmbiguousPortReuse, "2-10"},
		{"before the reuse", "203.0.113.3", 5001, tcp, -30 * time.Second, reason.Match, "Alice Jansen"},
		{"one after the other", "203.0.113.3", 5002, tcp, 0, reason.AmbiguousBoundary, ""},
		{"nobody held the inside address", "203.0.113.3", 5003, tcp, 0, reason.DataConflict, ""},
		{"a short flow", "203.0.113.3", 5004, tcp, 0, reason.Match, "Bob Jansen"},
		{"computed", "203.0.113.1", 1024 + 2*8000, tcp, time.Minute, reason.Match, "Alice Jansen"},
		{"computed, next", "203.0.113.1", 1024 + 3*8000, udp, time.Minute, reason.Match, "Bob Jansen"},
		{"computed, reserved", "203.0.113.1", 1023, udp, time.Minute, reason.NoMatch, ""},
		{"computed, free", "203.0.113.1", 1024, udp, time.Minute, reason.NoMatch, ""},
		{"computed, no port", "203.0.113.1", 0, 0, time.Minute, reason.PortRequired, "2-10"},
		{"before the parameters", "203.0.113.1", 1024 + 2*8000, tcp, -time.Minute, reason.NoMatch, ""},
		{"as the parameters begin", "203.0.113.1", 1024 + 2*8000, tcp, 0, reason.AmbiguousBoundary, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			task, err := l.tasks.CreateTask(l.officer(), &griffierv1.CreateTaskRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
				Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: test.target, Instant: l.noon.Add(test.at).Format(time.RFC3339),
				Port: test.port, Protocol: test.protocol})
			if err != nil {
				t.Fatal(err)
			}
			if task.Port != test.port || task.Protocol != test.protocol {
				t.Errorf("task %v", task)
			}
			done, err := l.execute(task)
			if err != nil {
				t.Fatal(err)
			}
			if done.Answer != string(test.want) {
				t.Fatalf("%s, want %s", done.Answer, test.want)
			}
			sealed, receipt, err := l.fetch(task)
			if err != nil {
				t.Fatal(err)
			}
			report := disclosure.Verify(sealed, receipt, l.trust(), seal.AgeIdentity(l.identity))
			if q := report.Manifest.Question; !report.Verified() || uint32(q.Port) != test.port || int32(q.Protocol) != int32(test.protocol) {
				t.Fatalf("report %s", asJSON(report))
			}
			plain := l.plain(sealed)
			if !strings.Contains(plain, test.says) {
				t.Errorf("the package does not say %q", test.says)
			}
			if strings.Contains(plain, "100.64.") {
				t.Error("the package names an inside address")
			}
			for _, secret := range []string{"Jansen", "line-alice", "line-bob"} {
				if test.want != reason.Match && strings.Contains(plain, secret) {
					t.Errorf("a negative answer says %q", secret)
				}
			}
		})
	}
}

func TestPortsRefused(t *testing.T) {
	l := newLab(t)
	w := l.approved(time.Hour)
	for name, change := range map[string]func(*griffierv1.CreateTaskRequest){
		"port":                    func(r *griffierv1.CreateTaskRequest) { r.Port = 65536 },
		"protocol without a port": func(r *griffierv1.CreateTaskRequest) { r.Protocol = 6 },
		"protocol without ports":  func(r *griffierv1.CreateTaskRequest) { r.Port, r.Protocol = 80, 50 },
	} {
		req := &griffierv1.CreateTaskRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
			Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.17", Instant: l.noon.Format(time.RFC3339)}
		change(req)
		if _, err := l.tasks.CreateTask(l.officer(), req); reason.Of(err) != reason.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
