package execute_test

import (
	"strings"
	"testing"
	"time"

	"griffier/api/disclosure"
	"griffier/api/disclosure/disclosuretest"
	"griffier/api/disclosure/seal"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func TestPorts(t *testing.T) {
	l := newLab(t)
	l.Translators()
	content := l.Content(time.Hour)
	content.Targets = []string{"203.0.113.1", "203.0.113.2", "203.0.113.3"}
	w := l.Approve(content)
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
			task, err := l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
				Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: test.target, Instant: l.Noon.Add(test.at).Format(time.RFC3339),
				Port: test.port, Protocol: test.protocol})
			if err != nil {
				t.Fatal(err)
			}
			if task.Port != test.port || task.Protocol != test.protocol {
				t.Errorf("task %v", task)
			}
			done, err := l.Execute(task)
			if err != nil {
				t.Fatal(err)
			}
			if done.Answer != string(test.want) {
				t.Fatalf("%s, want %s", done.Answer, test.want)
			}
			sealed, receipt, err := l.Fetch(task)
			if err != nil {
				t.Fatal(err)
			}
			report := disclosure.Verify(sealed, receipt, l.Trust(), seal.AgeIdentity(l.Identity))
			if q := report.Manifest.Question; !report.Verified() || uint32(q.Port) != test.port || int32(q.Protocol) != int32(test.protocol) {
				t.Fatalf("report %s", disclosuretest.JSON(report))
			}
			plain := l.Plain(sealed)
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
	w := l.Approved(time.Hour)
	for name, change := range map[string]func(*griffierv1.CreateTaskRequest){
		"port":                    func(r *griffierv1.CreateTaskRequest) { r.Port = 65536 },
		"protocol without a port": func(r *griffierv1.CreateTaskRequest) { r.Protocol = 6 },
		"protocol without ports":  func(r *griffierv1.CreateTaskRequest) { r.Port, r.Protocol = 80, 50 },
	} {
		req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: 1,
			Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: "192.0.2.17", Instant: l.Noon.Format(time.RFC3339)}
		change(req)
		if _, err := l.Tasks.CreateTask(l.Officer(), req); reason.Of(err) != reason.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
