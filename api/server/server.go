// Package server is griffierd's one grpc.Server: TLS, the interceptor that
// enforces each rpc's access rule and audit class, health, and limits on every
// input. The services themselves live in their own packages.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"griffier/api/auth"
	griffierv1 "griffier/proto/griffier/v1"
)

// Limits of the listener.
const (
	maxRequestBytes      = 1 << 20
	maxHeaderBytes       = 64 << 10 // a token has 16 KiB at most
	maxConcurrentStreams = 256      // of one connection
	// maxConnectionAge is after which a connection is made anew, when its calls are
	// done: with what the listener knows of certificates by then.
	maxConnectionAge = time.Hour
	callsPerSecond   = 20 // of one caller, with a burst of
	callBurst        = 100
	// Of one caller, those that are refused for want of a role or a fresh log-in and
	// that the ledger hears of: any customer could fill it with the rest.
	deniedPerMinute = 10 // with a burst of
	deniedBurst     = 1000
)

// Config holds what a [Server] needs.
type Config struct {
	TLS    *tls.Config // nil only for a listener on loopback
	Auth   *auth.Authenticator
	Ledger book
	// Refuses says why no call that needs the ledger may begin; nil, or an answer of
	// nil: none is refused. Reading the ledger itself goes on.
	Refuses func() error
	// Scope refuses a request that names what does not exist for its caller, before a
	// handler sees it. Nil: none is refused.
	Scope    func(caller auth.Caller, rule *griffierv1.Access, request proto.Message) error
	Keys     keys
	Reads    selfReads
	Registry prometheus.Registerer
	Log      *slog.Logger
	Now      func() time.Time
	// Register adds the services.
	Register func(grpc.ServiceRegistrar)
}

// Server is a configured grpc.Server.
type Server struct {
	grpc    *grpc.Server
	health  *health.Server
	tls     bool
	metrics *metrics
}

// New returns a server, or an error that names the rpc that declares no access
// rule or audit class.
func New(cfg Config) (*Server, error) {
	g := &gate{
		auth:    cfg.Auth,
		scope:   cfg.Scope,
		audit:   &audit{book: cfg.Ledger, refuses: cfg.Refuses, keys: cfg.Keys, reads: cfg.Reads, now: cfg.Now},
		limiter: newLimiter(rate.Limit(callsPerSecond), callBurst, cfg.Now),
		denied:  newLimiter(rate.Every(time.Minute/deniedPerMinute), deniedBurst, cfg.Now),
		metrics: newMetrics(cfg.Registry),
		log:     cfg.Log,
		now:     cfg.Now,
	}
	options := []grpc.ServerOption{
		grpc.UnaryInterceptor(g.unary),
		grpc.StreamInterceptor(g.stream),
		grpc.StatsHandler(unread{rules: func() rules { return g.rules }, metrics: g.metrics}),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.MaxConcurrentStreams(maxConcurrentStreams),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 15 * time.Minute, MaxConnectionAge: maxConnectionAge, Time: 2 * time.Minute}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
	}
	if cfg.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(cfg.TLS)))
	}
	s := &Server{grpc: grpc.NewServer(options...), health: health.NewServer(), tls: cfg.TLS != nil, metrics: g.metrics}
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(s.grpc, s.health)
	cfg.Register(s.grpc)
	var err error
	if g.rules, err = rulesOf(s.grpc.GetServiceInfo()); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve answers on l until ctx ends, then finishes the calls under way, for at
// most grace, ends the others, and returns nil when no handler runs any more.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	if !s.tls && !onLoopback(l.Addr()) {
		return fmt.Errorf("listen %s: TLS is required off loopback; set tls.cert_file and tls.key_file", l.Addr())
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		s.health.Shutdown()
		force := time.AfterFunc(grace, s.grpc.Stop)
		defer force.Stop()
		s.grpc.GracefulStop()
	}()
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	err := s.grpc.Serve(limit(l, maxConnections, s.metrics.connections))
	if ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	<-stopped
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
