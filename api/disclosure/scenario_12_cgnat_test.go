package disclosure_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"griffier/api/disclosure/disclosuretest"
	"griffier/api/reason"
	"griffier/api/register"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// Scenario 12, CGNAT ambiguity: "public IP + no port (64 subscribers) ->
// PORT_REQUIRED, band 11-100, no ids in logs; port in block hand-over second ->
// AMBIGUOUS_BOUNDARY; reused port -> AMBIGUOUS_PORT_REUSE; UDP asked, TCP block only
// -> NO_MATCH not a guess; static-IP customer behind same prefix -> unique."
func TestScenario12CGNAT(t *testing.T) {
	l := newLab(t)
	logs := &lockedBuffer{}
	l.Logs = slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug})
	l.Restart()
	l.Translators()
	const shared, static = "192.0.2.64", "192.0.2.65"
	user := func(name string) schema.AccessRef {
		return l.Pseudonyms.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"})
	}
	n := byte(0)
	block := func(name, address string, protocol uint8, from, to uint16, start, end time.Duration) schema.Record {
		n++
		return &schema.Assignment{AssignmentID: schema.ID{12, n}, SessionID: schema.ID{12, n, 1}, AccessRef: user(name), Prefix: netip.MustParsePrefix(address + "/32"),
			Protocol: protocol, PortStart: from, PortEnd: to, AssignmentStartedAt: l.Noon.Add(start), StartedAt: l.Noon.Add(start), EndedAt: l.Noon.Add(end),
			Version: 1, EndCause: schema.EndRelease, Source: schema.SourceStatic, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
	}
	var records []schema.Record
	for i := range 64 { // each with 900 ports
		name := fmt.Sprintf("flatmate%d", i)
		l.subscribe(name)
		records = append(records, block(name, shared, 0, uint16(1024+900*i), uint16(1923+900*i), -time.Hour, time.Hour))
	}
	records = append(records,
		block("alice", shared, 0, 60000, 60899, -time.Hour, 0), block("bob", shared, 0, 60000, 60899, 0, time.Hour), // handed over at noon
		block("alice", shared, 6, 61000, 61899, -time.Hour, time.Hour), // TCP only
		block("bob", static, 0, 0, 65535, -time.Hour, time.Hour))
	if err := schema.Insert(t.Context(), l.Conn, "scenario 12", records); err != nil {
		t.Fatal(err)
	}
	content := l.Content(time.Hour)
	content.Targets = []string{shared, static, "203.0.113.3"}
	w := l.Approve(content)
	const tcp, udp = griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_TCP, griffierv1.TransportProtocol_TRANSPORT_PROTOCOL_UDP
	for _, test := range []struct {
		name, target string
		port         uint32
		protocol     griffierv1.TransportProtocol
		at           time.Duration
		want         reason.Reason
		says         string
	}{
		{"no port", shared, 0, 0, 0, reason.PortRequired, "11-100"},
		{"the first port of a block", shared, 1024 + 900*17, tcp, 0, reason.Match, "line-flatmate17"},
		{"its last", shared, 1923 + 900*17, udp, 0, reason.Match, "line-flatmate17"},
		{"the next one", shared, 1924 + 900*17, udp, 0, reason.Match, "line-flatmate18"},
		{"below every block", shared, 1023, tcp, 0, reason.NoMatch, ""},
		{"in the second of the hand-over", shared, 60500, tcp, 0, reason.AmbiguousBoundary, ""},
		{"before it", shared, 60500, tcp, -3 * time.Second, reason.Match, "line-alice"},
		{"after it", shared, 60500, tcp, 3 * time.Second, reason.Match, "line-bob"},
		{"a port that was used by two", "203.0.113.3", 5001, tcp, 0, reason.AmbiguousPortReuse, "2-10"},
		{"TCP of a block of TCP", shared, 61500, tcp, time.Minute, reason.Match, "line-alice"},
		{"UDP of a block of TCP", shared, 61500, udp, time.Minute, reason.NoMatch, ""},
		{"a static address beside it", static, 0, 0, 0, reason.Match, "line-bob"},
		{"and a port of it", static, 4000, udp, 0, reason.Match, "line-bob"},
	} {
		t.Run(test.name, func(t *testing.T) {
			task, err := l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
				Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: test.target, Instant: l.Noon.Add(test.at).Format(time.RFC3339),
				Port: test.port, Protocol: test.protocol})
			if err != nil {
				t.Fatal(err)
			}
			_, plain := l.MustExecute(task, test.want)
			if !strings.Contains(plain, test.says) {
				t.Errorf("the package does not say %q", test.says)
			}
			if found := reveals(plain); test.want != reason.Match && (found != nil || strings.Contains(plain, "flatmate")) {
				t.Errorf("a negative answer says %v", found)
			}
			if test.want == reason.Match && len(lineNames.FindAllString(plain, -1)) != strings.Count(plain, test.says) {
				t.Error("the package names another line")
			}
		})
	}
	text := logs.String()
	for _, e := range l.Entries() {
		text += disclosuretest.JSON(e.Header)
	}
	for _, secret := range []string{"192.0.2.", "203.0.113.", "flatmate", "line-", "Jansen", user("alice").String()} {
		if strings.Contains(text, secret) {
			t.Errorf("log or ledger say %q", secret)
		}
	}
}

// subscribe registers another subscriber like those of the lab.
func (l *lab) subscribe(name string) {
	l.T.Helper()
	l.put(name, l.Noon.Add(-90*24*time.Hour), schema.Forever)
}

// backdate gives a subscriber of the lab a contract of another beginning.
func (l *lab) backdate(name string, begin time.Time) {
	l.T.Helper()
	l.put(name, begin, schema.Forever)
}

// put registers a subscriber with a contract in [begin, end).
func (l *lab) put(name string, begin, end time.Time) {
	l.T.Helper()
	err := l.Register.PutLine(l.T.Context(), register.Line{LineID: "line-" + name, AccountID: "account-" + name, TimeZone: "Europe/Amsterdam", BillingDay: 1,
		ContractStart: begin, ContractEnd: end},
		[]register.Identifier{{Identifier: schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}, ValidFrom: begin, ValidTo: end}},
		register.Person{Name: strings.ToUpper(name[:1]) + name[1:] + " Jansen",
			InstallationAddress: register.PostalAddress{Street: "Dorpsstraat", HouseNumber: "1", Postcode: "1234 AB", Town: "Ons Dorp", Country: "NL"},
			BillingAddress:      register.PostalAddress{Street: "Betaalweg", HouseNumber: "9", Postcode: "9999 ZZ", Town: "Elders", Country: "NL"}})
	if err != nil {
		l.T.Fatal(err)
	}
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
