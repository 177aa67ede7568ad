package radius

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"griffier/collector/binding"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a Server on loopback and what its handler saw.
type served struct {
	*Server
	t        *testing.T
	registry *prometheus.Registry
	mu       sync.Mutex
	seen     []binding.Observation
	stop     func()
}

// serve runs a server for 127.0.0.0/8 with handle in between; nil accepts all.
func serve(t *testing.T, cfg Config, handle Handler) *served {
	t.Helper()
	s := &served{t: t, registry: prometheus.NewRegistry()}
	cfg.Registerer = s.registry
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.Clients == nil {
		cfg.Clients = []Client{{Prefix: netip.MustParsePrefix("127.0.0.0/8"), Secret: secret, Name: "lab"}}
	}
	server, err := NewServer(cfg, func(ctx context.Context, o binding.Observation) error {
		if handle != nil {
			if err := handle(ctx, o); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen = append(s.seen, o)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = server
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *served) observations() []binding.Observation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// metric returns the value of a counter, by its reason if it has one.
func (s *served) metric(name, reason string) float64 {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "griffier_collector_radius_"+name {
			continue
		}
		for _, m := range f.Metric {
			if reason == "" || len(m.Label) == 1 && m.Label[0].GetValue() == reason {
				return m.Counter.GetValue() + m.Gauge.GetValue()
			}
		}
	}
	return 0
}

// within waits until the condition holds.
func within(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// dial opens a client socket to the server.
func (s *served) dial() *net.UDPConn {
	s.t.Helper()
	return dialFrom(s.t, "", s.Addr())
}

func dialFrom(t *testing.T, local string, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	var from *net.UDPAddr
	if local != "" {
		from = &net.UDPAddr{IP: net.ParseIP(local)}
	}
	conn, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func send(t *testing.T, conn *net.UDPConn, datagram []byte) {
	t.Helper()
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
}

// answer reads one answer, or nil if none comes within the time.
func answer(conn *net.UDPConn, within time.Duration) []byte {
	conn.SetReadDeadline(time.Now().Add(within))
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		return nil
	}
	return buffer[:n]
}

// patience is how long it waits for one that must, however busy the machine is.
const patience = 2 * time.Minute

// silence is how long a test waits for an answer that must not come.
const silence = 300 * time.Millisecond
