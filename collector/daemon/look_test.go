package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netns"

	"griffier/collector/config"
	"griffier/collector/sink"
	"griffier/schema"
)

// metric is the sum of what the collector in the router says of a metric now.
func (s *setup) metric(name string) float64 {
	s.t.Helper()
	sum, found, text := s.sum(name)
	if !found {
		s.t.Fatalf("no metric %s in %q", name, text)
	}
	return sum
}

// sum is metric for one that may not be there yet.
func (s *setup) sum(name string) (sum float64, found bool, text []byte) {
	s.t.Helper()
	type scraped struct {
		text []byte
		err  error
	}
	result := make(chan scraped)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		there, err := netns.GetFromName(s.router)
		if err == nil {
			err = netns.Set(there)
			there.Close()
		}
		var text []byte
		if err == nil {
			var c net.Conn
			if c, err = net.Dial("tcp4", "127.0.0.1:9478"); err == nil {
				defer c.Close()
				fmt.Fprint(c, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
				text, err = io.ReadAll(c)
			}
		}
		result <- scraped{text, err}
	}()
	r := <-result
	if r.err != nil {
		s.t.Fatal(r.err)
	}
	for line := range strings.Lines(string(r.text)) {
		rest, ok := strings.CutPrefix(line, "griffier_collector_"+name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		fields := strings.Fields(rest)
		v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	return sum, found, r.text
}

// readings waits until the collector has read its counters n times more.
func (s *setup) readings(n float64) {
	s.t.Helper()
	const name = "drain_duration_seconds_count"
	want := s.metric(name) + n
	eventually(s.t, fmt.Sprintf("%v readings", n), func() bool { return s.metric(name) >= want })
}

// eventually waits for what a busy machine takes its time for.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in three minutes", what)
		}
	}
}

// deliver gives the store what a collector had no time for at its end, as the next
// run of it would: on a busy machine the store may take longer than it is waited for.
func (s *setup) deliver() {
	s.t.Helper()
	c, err := config.Read(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	left, err := openSpool(c)
	if err != nil {
		s.t.Fatal(err)
	}
	defer left.Close()
	if left.Stats().PendingRows == 0 {
		return
	}
	carrier, err := sink.New(sink.Config{Spool: left, Store: schema.Config{Socket: c.Store.Socket}, QuarantineDir: quarantineDir(c),
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error)
	go func() { done <- carrier.Run(ctx) }()
	eventually(s.t, "the spool's end in the store", func() bool { return left.Stats().PendingRows == 0 })
	cancel()
	if err := <-done; err != nil {
		s.t.Fatal(err)
	}
}
