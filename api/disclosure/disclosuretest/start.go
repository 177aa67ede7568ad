package disclosuretest

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"griffier/api/auth"
	"griffier/api/clock"
	"griffier/api/disclosure/execute"
	"griffier/api/hold"
	"griffier/api/hold/holdrpc"
	"griffier/api/hold/keep"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/watch"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
)

// Start opens the ledger, folds it, recovers and serves.
func (l *Lab) Start() {
	l.T.Helper()
	var err error
	if l.Rules, err = warrant.NewRules(warrant.Rules{Law: warrant.Always(warranttest.Law()...), Authorities: warranttest.Registry(l.Identity.Recipient().String()), DuplicateKey: make([]byte, 32)}); err != nil {
		l.T.Fatal(err)
	}
	l.State, l.Holds, l.Overseen = warrant.NewState(), hold.NewState(), oversight.NewState()
	l.Rules.HoldLasts = l.Holds.Lasts
	quiet := slog.New(l.Logs)
	l.Log, err = ledger.Open(l.T.Context(), ledger.Config{Dir: filepath.Join(l.Dir, "ledger"), WitnessFile: filepath.Join(l.Dir, "witness"), Key: l.Key,
		Keys: l.Keys, Folds: append([]ledger.Fold{l.State, l.Holds, l.Overseen}, l.Folds...), Now: l.Now, Logger: quiet, Limit: l.Limit})
	if err != nil {
		l.T.Fatal(err)
	}
	l.Book = &Brittle{Log: l.Log}
	l.Keeper, err = keep.New(keep.Config{Dir: filepath.Join(l.Dir, "holds"), Keys: l.Keys, Book: l.Book, State: l.Holds,
		Rules: &hold.Rules{Law: l.Rules.Law, ApprovalAge: l.Rules.ApprovalAge, Document: func(warrantID, sha256 string) (warrant.Document, bool) {
			return l.Rules.DocumentOf(l.State, warrantID, sha256)
		}}, Now: l.Now, Log: quiet})
	if err != nil {
		l.T.Fatal(err)
	}
	if err := l.Keeper.Recover(l.T.Context()); err != nil {
		l.T.Fatal(err)
	}
	cfg := execute.Config{Holds: l.Keeper, Book: l.Book, State: l.State, Rules: l.Rules, Traffic: l.Traffic, Lines: l.Register, Signer: l.signer, Packing: l.Packing,
		Dir: filepath.Join(l.Dir, "packages"), Software: "griffier test", ClockMargin: l.Margin, Now: l.Now, Log: quiet,
		Clock: &clock.Judge{RequireSync: true, LastAt: l.Log.LastAt, Now: l.Now, Read: func() (clock.Reading, error) {
			return clock.Reading{Synced: !l.Adrift.Load()}, nil
		}}}
	serve := warrantrpc.Config{Book: l.Book, Keys: l.Keys, State: l.State, Rules: l.Rules, Now: l.Now}
	if l.Watched != nil {
		l.Watching = watch.New(watch.Config{Staff: l.Register, Book: l.Book, Keys: l.Keys, State: l.Overseen, Limits: *l.Watched, Now: l.Now, Log: quiet}, nil)
		cfg.Conflict, cfg.Resolved, cfg.MayAsk, serve.Received = l.Watching.Conflict, l.Watching.Resolved, l.Watching.MayAsk, l.Watching.Received
	}
	if l.Executor, err = execute.New(cfg); err != nil {
		l.T.Fatal(err)
	}
	serve.Ended = l.Executor.Ended
	if err := l.Executor.Recover(l.T.Context()); err != nil {
		l.T.Fatal(err)
	}
	identify := func(ctx context.Context) context.Context {
		md, _ := metadata.FromIncomingContext(ctx)
		c := auth.Caller{Subject: "test", AuthenticatedAt: time.Now()}
		if v := md.Get("actor"); len(v) == 1 {
			c.Actor = v[0]
		}
		for _, v := range md.Get("role") {
			role, _ := strconv.Atoi(v)
			c.Roles = append(c.Roles, griffierv1.Role(role))
		}
		return auth.NewContext(ctx, c)
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (res any, err error) {
			defer func() {
				if p := recover(); p != nil {
					res, err = nil, p.(error)
				}
			}()
			res, err = h(identify(ctx), req)
			return res, reason.ToStatus(err)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			return reason.ToStatus(h(srv, &identified{ss, identify(ss.Context())}))
		}))
	griffierv1.RegisterWarrantServiceServer(server, warrantrpc.NewService(serve))
	griffierv1.RegisterDisclosureServiceServer(server, execute.NewService(l.Executor))
	griffierv1.RegisterPackageServiceServer(server, execute.NewPackageService(l.Executor))
	griffierv1.RegisterHoldServiceServer(server, holdrpc.NewService(l.Book, l.Keeper, l.State))
	listener := bufconn.Listen(1 << 20)
	go server.Serve(listener)
	client, err := grpc.NewClient("passthrough:///lab", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		l.T.Fatal(err)
	}
	l.Held = griffierv1.NewHoldServiceClient(client)
	l.Warrants, l.Tasks, l.Packages = griffierv1.NewWarrantServiceClient(client), griffierv1.NewDisclosureServiceClient(client), griffierv1.NewPackageServiceClient(client)
	l.Stop = func() {
		client.Close()
		server.Stop()
		if err := l.Log.Close(); err != nil {
			l.T.Error(err)
		}
	}
}

// Restart stops everything but the store and starts it again from the ledger.
func (l *Lab) Restart() {
	l.Stop()
	l.Start()
}

type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *identified) Context() context.Context { return s.ctx }
