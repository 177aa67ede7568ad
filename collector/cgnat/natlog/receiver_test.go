package natlog

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"griffier/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newReceiver(t *testing.T, change func(*Config)) *Receiver {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0", Filter: testFilter, Exporters: []Exporter{{Address: netip.MustParseAddr("127.0.0.1"), Name: "cgn1"}}}
	if change != nil {
		change(&cfg)
	}
	r, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// send sends datagrams from a local address.
func send(t *testing.T, from string, to netip.AddrPort, datagrams ...[]byte) {
	t.Helper()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, d := range datagrams {
		if _, err := c.Write(d); err != nil {
			t.Fatal(err)
		}
	}
}

func tell(told []Telling) string {
	var out []string
	for _, x := range told {
		if !x.DoubtFrom.IsZero() {
			out = append(out, "doubt "+x.Exporter)
			continue
		}
		b := x.Blocks[0]
		s := fmt.Sprintf("%s %s %v %d-%d", x.Source, x.Certainty, b.Inside, b.PortStart, b.PortEnd)
		if b.Released {
			s += " released"
		}
		out = append(out, s)
	}
	return strings.Join(out, "; ")
}

// TestReceiver sends datagrams to the socket, from an exporter and from a stranger.
func TestReceiver(t *testing.T) {
	now := time.Now()
	r := newReceiver(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	at := ie64(323, uint64(now.UnixMilli()))
	given, back := block(16, "100.64.0.10", 1024, 2047), block(17, "100.64.0.10", 1024, 2047)
	given[0], back[0] = at, at
	old := block(16, "100.64.0.11", 2048, 3071)
	old[0] = ie64(323, uint64(now.Add(-48*time.Hour).UnixMilli()))
	flow := session(4, "100.64.0.12", 5000, "198.51.100.5", 443)
	flow[0] = at
	send(t, "127.0.0.2", r.Addr(), message(ipfix, 0, 1, templateSet(ipfix, 256, given), dataSet(256, given)))
	send(t, "127.0.0.1", r.Addr(),
		message(ipfix, 0, 1, templateSet(ipfix, 256, given), templateSet(ipfix, 257, flow), dataSet(256, given)),
		message(ipfix, 1, 1, dataSet(256, back, old), dataSet(257, flow)))
	for deadline := time.Now().Add(2 * time.Minute); r.Stats().Messages < 2 || r.Stats().Verdicts[UnknownExporter] < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v", r.Stats())
		}
	}
	told, gaps := r.Take()
	want := "ipfix observed 100.64.0.10 1024-2047; ipfix observed 100.64.0.10 1024-2047 released; ipfix synthesised 100.64.0.11 2048-3071; conntrack observed 100.64.0.12 5000-5000"
	if got := tell(told); got != want || len(gaps) != 0 {
		t.Errorf("%s\nwant\n%s\ngaps %v", got, want, gaps)
	}
	if told[0].SessionKey != told[1].SessionKey || told[0].NAS != "cgn1" || !told[0].At.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("%+v %+v", told[0], told[1])
	}
	s := r.Stats()
	if s.Verdicts[Used] != 4 || s.Verdicts[Implausible] != 1 || s.Verdicts[UnknownExporter] != 1 || s.Messages != 2 || s.LastAt.IsZero() {
		t.Errorf("%+v", s)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestGaps: whatever is missing is a gap from the last message in order on, and
// doubt about all that came before it, once.
func TestGaps(t *testing.T) {
	given := func(n int) []info { return block(16, fmt.Sprintf("100.64.0.%d", n), 1024, 2047) }
	tmpl := templateSet(ipfix, 256, given(0))
	first := message(ipfix, 0, 1, tmpl, dataSet(256, given(1)))
	for name, test := range map[string]struct {
		then [][]byte
		want string
		gap  string
	}{
		"whole":         {[][]byte{message(ipfix, 1, 1, dataSet(256, given(2)))}, "1 2", ""},
		"lost":          {[][]byte{message(ipfix, 9, 1, dataSet(256, given(2)))}, "1 doubt 2", GapLost + " 0s-1s"},
		"lost twice":    {[][]byte{message(ipfix, 9, 1, dataSet(256, given(2))), message(ipfix, 99, 1, dataSet(256, given(3)))}, "1 2 doubt 3", GapLost + " 0s-2s"},
		"restarted":     {[][]byte{message(ipfix, 1<<31, 1, tmpl), messageAt(noon.Add(5*time.Second), ipfix, 0, 1, dataSet(256, given(2)))}, "1 doubt 2", GapLost + " 0s-2s"},
		"no template":   {[][]byte{message(ipfix, 1, 1, dataSet(300, given(2)))}, "1 doubt", GapNoTemplate + " 0s-1s"},
		"other domain":  {[][]byte{message(ipfix, 0, 2, dataSet(256, given(2)))}, "1 doubt", GapNoTemplate + " -1s-1s"},
		"garbage":       {[][]byte{{0, 10, 0, 99}}, "1 doubt", GapUnread + " -1s-1s"},
		"other version": {[][]byte{{0, 5, 0, 99}}, "1", ""},
		"repeated":      {[][]byte{first}, "1", ""},
		"full":          {[][]byte{message(ipfix, 1, 1, dataSet(256, given(2), given(3), given(4)))}, "1 2 3 doubt", GapQueue + " 1s-1.001s"},
	} {
		began := noon.Add(-time.Second)
		now := began
		r := newReceiver(t, func(c *Config) { c.MaxQueued, c.Now = 3, func() time.Time { return now } })
		for i, m := range append([][]byte{first}, test.then...) {
			now = noon.Add(time.Duration(i) * time.Second)
			r.take(m, netip.MustParseAddr("127.0.0.1"), now)
		}
		told, gaps := r.Take()
		var out []string
		for _, x := range told {
			if !x.DoubtFrom.IsZero() {
				out = append(out, "doubt")
				continue
			}
			out = append(out, fmt.Sprint(x.Blocks[0].Inside.As4()[3]))
		}
		if got := strings.Join(out, " "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		got := ""
		for _, g := range gaps {
			got += fmt.Sprintf("%s %v-%v", g.Cause, g.From.Sub(noon), g.To.Sub(noon))
		}
		if got != test.gap {
			t.Errorf("%s: gap %s, want %s", name, got, test.gap)
		}
		if told, gaps := r.Take(); len(told)+len(gaps) != 0 {
			t.Errorf("%s: told twice: %v %v", name, told, gaps)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"nobody": func(c *Config) { c.Exporters = nil }, "no inside": func(c *Config) { c.Filter.Inside = nil },
		"no outside": func(c *Config) { c.Filter.Outside = nil }, "no such address": func(c *Config) { c.Listen = "192.0.2.1:4739" },
	} {
		cfg := Config{Listen: "127.0.0.1:0", Filter: testFilter, Exporters: []Exporter{{Address: exporter}}}
		change(&cfg)
		if r, err := Listen(cfg); err == nil {
			r.Close()
			t.Errorf("%s: listens", name)
		}
	}
}

// TestObservationNames: one block has one key, and another block another.
func TestObservationNames(t *testing.T) {
	e := Event{Inside: netip.MustParseAddr("100.64.0.10"), Outside: netip.MustParseAddr("203.0.113.7"), PortStart: 1024, PortEnd: 2047, Protocol: 6}
	a := e.Observation("cgn1", 1, noon, schema.CertaintyObserved)
	seen := map[string]bool{a.SessionKey: true}
	for name, change := range map[string]func(*Event){
		"inside": func(e *Event) { e.Inside = netip.MustParseAddr("100.64.0.11") }, "outside": func(e *Event) { e.Outside = netip.MustParseAddr("203.0.113.8") },
		"start": func(e *Event) { e.PortStart = 1025 }, "end": func(e *Event) { e.PortEnd = 2048 }, "protocol": func(e *Event) { e.Protocol = 17 },
	} {
		other := e
		change(&other)
		key := other.Observation("cgn1", 1, noon, schema.CertaintyObserved).SessionKey
		if seen[key] {
			t.Errorf("%s makes no difference: %s", name, key)
		}
		seen[key] = true
	}
	if back := func() Event { e := e; e.Released = true; return e }(); back.Observation("cgn1", 1, noon, "").SessionKey != a.SessionKey {
		t.Error("taking it back is of another block")
	}
}
