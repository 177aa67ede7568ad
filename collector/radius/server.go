package radius

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"griffier/collector/binding"
)

// Config says how a [Server] runs.
type Config struct {
	// Listen is the UDP address, such as ":1813".
	Listen string
	// Clients may send; anyone else is dropped and counted.
	Clients []Client
	// RadSec, if not nil, listens for RADIUS over TLS too.
	RadSec *RadSec
	// Tracker to use, for a state restored by the caller. Default a new one.
	Tracker *Tracker
	// MaxInFlight is how many requests may await durability at once; beyond it
	// requests go unanswered, and the NAS retransmits. Default 4096.
	MaxInFlight int
	// ReceiveBufferBytes is the socket's receive buffer. Default 8 MiB.
	ReceiveBufferBytes int
	// Registerer receives the metrics. Default a new registry.
	Registerer prometheus.Registerer
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	if c.Tracker == nil {
		c.Tracker = NewTracker(TrackerConfig{})
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 4096
	}
	if c.ReceiveBufferBytes == 0 {
		c.ReceiveBufferBytes = 8 << 20
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func (c *Config) validate() error {
	if c.Listen == "" {
		return errors.New("radius: no listen address")
	}
	if c.RadSec != nil {
		if err := c.RadSec.validate(); err != nil {
			return err
		}
	}
	if c.MaxInFlight < 1 || c.ReceiveBufferBytes < 1 {
		return errors.New("radius: limits must be positive")
	}
	return validateClients(c.Clients)
}

// Handler makes an observation durable. The request is acknowledged only after
// it returned nil; on an error the NAS gets no answer and will retransmit. It
// is called concurrently, but for one session by one goroutine at a time and in
// order, and for a NAS reboot while no other call runs.
type Handler func(context.Context, binding.Observation) error

// Server receives accounting requests.
type Server struct {
	cfg     Config
	clients atomic.Pointer[[]Client] // longest prefix first
	handle  Handler
	socket  *socket
	metrics *metrics
	recent  *duplicates

	// intake keeps requests in one order, whichever way they come in: it guards
	// the decoder and the handing over to workers.
	intake  sync.Mutex
	decoder Decoder
	radsec  *radsec // nil without RadSec

	trackerMu sync.Mutex

	lanes    lanes
	inFlight sync.WaitGroup
	slots    chan struct{} // one token per request in flight
}

// pending is a request that awaits durability.
type pending struct {
	id           requestID
	from         arrival
	reply        reply
	secret       []byte
	observations []binding.Observation
}

// NewServer checks cfg and opens the socket; requests queue there until
// [Server.Serve] runs.
func NewServer(cfg Config, handle Handler) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("radius: metrics: %w", err)
	}
	s := &Server{
		cfg: cfg, handle: handle, metrics: m,
		recent: newDuplicates(30*time.Second, 1<<16),
		slots:  make(chan struct{}, cfg.MaxInFlight),
	}
	s.setClients(cfg.Clients)
	s.socket, err = listen(context.Background(), cfg.Listen, cfg.ReceiveBufferBytes)
	if err != nil {
		return nil, err
	}
	if cfg.RadSec != nil {
		if s.radsec, err = listenRadSec(*cfg.RadSec); err != nil {
			s.socket.conn.Close()
			return nil, err
		}
	}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() netip.AddrPort {
	return s.socket.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Snapshot returns the tracker's state. It is safe to call while serving. What
// it holds beyond the last durable observation does no harm: see [Tracker].
func (s *Server) Snapshot() ([]byte, error) {
	s.trackerMu.Lock()
	defer s.trackerMu.Unlock()
	return s.cfg.Tracker.Snapshot()
}

// Serve answers requests until ctx is done, waits for the handler calls in
// progress, whose ctx is done too, closes the socket and returns nil. It returns
// an error if the socket fails. It may be called once.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.socket.conn.SetReadDeadline(time.Unix(1, 0)) })
	var secure sync.WaitGroup
	if s.radsec != nil {
		secure.Go(func() { s.serveRadSec(ctx) })
	}
	err := s.receive(ctx)
	stop()
	cancel()
	secure.Wait()
	s.inFlight.Wait()
	// Last, so that what became durable is acknowledged.
	s.socket.conn.Close()
	if s.radsec != nil {
		s.radsec.close()
	}
	return err
}

func (s *Server) receive(ctx context.Context) error {
	buffer := make([]byte, 1<<16)
	control := make([]byte, 256)
	var overflow uint32
	for {
		n, from, err := s.socket.read(buffer, control)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("radius: receive: %w", err)
		}
		s.metrics.received.Inc()
		if from.overflow != 0 && from.overflow != overflow { // told only once there is a drop
			s.metrics.dropped.WithLabelValues(string(ReasonSocketBuffer)).Add(float64(from.overflow - overflow))
			overflow = from.overflow
		}
		if reason := s.datagram(ctx, buffer[:n], from); reason != "" {
			s.metrics.drop(reason)
		}
	}
}

// datagram takes in one datagram and returns why it was dropped, or "".
func (s *Server) datagram(ctx context.Context, datagram []byte, from arrival) Reason {
	client, known := s.client(from.client.Addr().Unmap())
	if !known {
		return ReasonUnknownClient
	}
	return s.request(ctx, datagram, from, client)
}

// request takes in one request of a client and returns why it was dropped, or "".
func (s *Server) request(ctx context.Context, datagram []byte, from arrival, client Client) Reason {
	s.intake.Lock()
	defer s.intake.Unlock()
	packet, err := s.decoder.frame(datagram, client.Secret)
	if err != nil {
		return decodeReason(err)
	}
	answer := replyTo(packet)
	if packet[0] == codeStatusServer {
		return s.answer(answer, client.Secret, from)
	}
	request, err := s.decoder.accounting(packet)
	if err != nil {
		return decodeReason(err)
	}
	now := s.cfg.Now()
	s.metrics.lastRequest.Set(float64(now.UnixMilli()) / 1000)
	id := requestID{from.client, answer.identifier, answer.authenticator}
	switch s.recent.begin(id, now) {
	case inFlight:
		return ReasonInFlight
	case acknowledged:
		s.metrics.repeated.Inc()
		return s.answer(answer, client.Secret, from)
	}
	select {
	case s.slots <- struct{}{}:
	default:
		s.recent.finish(id, unseen)
		return ReasonOverload
	}
	result := s.apply(request, from.client.Addr().Unmap(), client, now)
	if result.Refused {
		<-s.slots
		s.recent.finish(id, unseen)
		return result.Reason
	}
	if result.Reason != "" {
		s.metrics.idle.WithLabelValues(string(result.Reason)).Inc()
	}
	s.metrics.inFlight.Inc()
	p := &pending{id, from, answer, client.Secret, result.Observations}
	if request.Status == StatusOn || request.Status == StatusOff {
		// A reboot must not overtake what its sessions did before, nor be
		// overtaken by what they do after.
		s.inFlight.Wait()
		s.inFlight.Add(1)
		s.finish(ctx, p)
		return ""
	}
	s.inFlight.Add(1)
	s.lanes.add(request.SessionID, p, func(p *pending) { s.finish(ctx, p) })
	return ""
}

// client returns the client at address that sends over UDP.
func (s *Server) client(address netip.Addr) (Client, bool) {
	for _, c := range *s.clients.Load() {
		if c.Certificate == "" && c.Prefix.Contains(address) {
			return c, true
		}
	}
	return Client{}, false
}

func (s *Server) apply(a Accounting, source netip.Addr, client Client, now time.Time) Result {
	s.trackerMu.Lock()
	defer s.trackerMu.Unlock()
	if !client.mayBe(s.cfg.Tracker.NAS(a, source)) {
		return Result{Reason: ReasonForeignNAS, Refused: true}
	}
	silent := s.cfg.Tracker.Silent()
	result := s.cfg.Tracker.Apply(a, source, now)
	s.metrics.silent.Add(float64(s.cfg.Tracker.Silent() - silent))
	if result.Dated {
		s.metrics.skew.Observe(result.Skew.Seconds())
	}
	s.metrics.sessions.Set(float64(s.cfg.Tracker.Len()))
	return result
}

// finish makes a request's observations durable and acknowledges it.
func (s *Server) finish(ctx context.Context, p *pending) {
	defer func() {
		s.metrics.inFlight.Dec()
		<-s.slots
		s.inFlight.Done()
	}()
	for _, o := range p.observations {
		if err := s.handle(ctx, o); err != nil {
			s.recent.finish(p.id, unseen)
			s.metrics.drop(ReasonNotDurable)
			return
		}
	}
	s.recent.finish(p.id, acknowledged)
	s.metrics.acknowledged.Inc()
	if reason := s.answer(p.reply, p.secret, p.from); reason != "" {
		s.metrics.drop(reason)
	}
}

// answer sends the Accounting-Response to a request.
func (s *Server) answer(r reply, secret []byte, from arrival) Reason {
	if err := from.via.write(r.encode(secret), from); err != nil {
		return ReasonSend
	}
	return ""
}

func decodeReason(err error) Reason {
	var d *DecodeError
	if errors.As(err, &d) {
		return d.Reason
	}
	return ReasonAttribute
}
