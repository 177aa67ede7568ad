package server

import (
	"bytes"
	"context"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"griffier/api/auth"
	"griffier/api/auth/demoidp"
	"griffier/api/keystore"
	"griffier/api/ledger"
	griffierv1 "griffier/proto/griffier/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a real ledger and keystore.
type desk struct {
	book *ledger.Log
	keys *keystore.Store
	cfg  ledger.Config
}

func newDesk(t *testing.T, folds ...ledger.Fold) *desk {
	t.Helper()
	dir := t.TempDir()
	master := filepath.Join(dir, "master.key")
	if err := keystore.GenerateMasterKey(master); err != nil {
		t.Fatal(err)
	}
	keys, err := keystore.Open(filepath.Join(dir, "keys"), master)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ledger.GenerateKey(filepath.Join(dir, "key"), "test.example/server")
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{keys: keys, cfg: ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"),
		Key: key, Keys: keys, Folds: folds, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second}}
	d.open(t)
	t.Cleanup(func() { d.book.Close() })
	return d
}

func (d *desk) open(t *testing.T) {
	t.Helper()
	var err error
	if d.book, err = ledger.Open(context.Background(), d.cfg); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) entries(t *testing.T, kind string) (out []ledger.Entry) {
	t.Helper()
	all, err := d.book.Read(context.Background(), 0, int(d.book.Size()))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Header.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// The services below exist for these tests only. Their rpcs take a
// GetTotalsRequest and answer with a Volume.
func declare(t *testing.T, name string, access map[string]*griffierv1.Access) {
	t.Helper()
	fd := &descriptorpb.FileDescriptorProto{
		Name: proto.String("test/" + name + ".proto"), Package: proto.String("test"), Syntax: proto.String("proto3"),
		Dependency: []string{"griffier/v1/access.proto", "griffier/v1/usage.proto"},
		Service:    []*descriptorpb.ServiceDescriptorProto{{Name: proto.String(name)}},
	}
	for method, rule := range access {
		m := &descriptorpb.MethodDescriptorProto{Name: proto.String(method), InputType: proto.String(".griffier.v1.GetTotalsRequest"),
			OutputType: proto.String(".griffier.v1.Volume")}
		if rule != nil {
			m.Options = &descriptorpb.MethodOptions{}
			proto.SetExtension(m.Options, griffierv1.E_Access, rule)
		}
		fd.Service[0].Method = append(fd.Service[0].Method, m)
	}
	if _, err := protoregistry.GlobalFiles.FindFileByPath(fd.GetName()); err == nil {
		return // declared by an earlier run of this test
	}
	file, err := protodesc.NewFile(fd, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	if err := protoregistry.GlobalFiles.RegisterFile(file); err != nil {
		t.Fatal(err)
	}
}

// unary makes the service of one method.
func unary(service, method string, h func(ctx context.Context, req *griffierv1.GetTotalsRequest) (*griffierv1.Volume, error)) func(grpc.ServiceRegistrar) {
	full := "/test." + service + "/" + method
	return func(r grpc.ServiceRegistrar) {
		r.RegisterService(&grpc.ServiceDesc{ServiceName: "test." + service, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: method,
			Handler: func(_ any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
				req := new(griffierv1.GetTotalsRequest)
				if err := dec(req); err != nil {
					return nil, err
				}
				return interceptor(ctx, req, &grpc.UnaryServerInfo{FullMethod: full}, func(ctx context.Context, req any) (any, error) {
					return h(ctx, req.(*griffierv1.GetTotalsRequest))
				})
			}}}}, nil)
	}
}

func streaming(service, method string, h func(ss grpc.ServerStream) error) func(grpc.ServiceRegistrar) {
	return func(r grpc.ServiceRegistrar) {
		r.RegisterService(&grpc.ServiceDesc{ServiceName: "test." + service, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
			StreamName: method, ServerStreams: true, Handler: func(_ any, ss grpc.ServerStream) error { return h(ss) }}}}, nil)
	}
}

// world is a running server with an identity provider.
type world struct {
	*desk
	idp     *demoidp.Provider
	conn    *grpc.ClientConn
	logs    *logBuffer
	metrics *prometheus.Registry
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start serves without an access log; what it serves is audited in the ledger.
func start(t *testing.T, register ...func(grpc.ServiceRegistrar)) *world {
	t.Helper()
	return startWith(t, nil, register...)
}

func startWith(t *testing.T, reads selfReads, register ...func(grpc.ServiceRegistrar)) *world {
	t.Helper()
	w := &world{desk: newDesk(t), logs: &logBuffer{}, metrics: prometheus.NewRegistry()}
	idp := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.idp.ServeHTTP(rw, r) }))
	t.Cleanup(idp.Close)
	var err error
	w.idp, err = demoidp.New(demoidp.Config{Issuer: idp.URL, Audience: "griffier", People: []demoidp.Person{
		{Subject: "sam", Roles: []string{"support"}}, {Subject: "anna", Roles: []string{"customer"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	people, err := auth.NewPeople(auth.OIDCConfig{Issuer: idp.URL, Audience: "griffier", CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(Config{
		Auth: &auth.Authenticator{People: people, ActorKey: auth.ActorKey(bytes.Repeat([]byte{7}, 32))}, Ledger: w.book, Keys: w.keys, Reads: reads,
		Registry: w.metrics, Log: slog.New(slog.NewJSONHandler(w.logs, nil)), Now: time.Now,
		Register: func(r grpc.ServiceRegistrar) {
			for _, f := range register {
				f(r)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener, time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	if w.conn, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.conn.Close() })
	return w
}

func (w *world) as(t *testing.T, who string) context.Context {
	t.Helper()
	token, err := w.idp.Token(who, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

func (w *world) call(ctx context.Context, method, arg string) error {
	return w.conn.Invoke(ctx, "/test."+method, &griffierv1.GetTotalsRequest{LineId: arg}, new(griffierv1.Volume))
}

var (
	supportReads = &griffierv1.Access{Roles: []griffierv1.Role{griffierv1.Role_ROLE_SUPPORT}, Audit: griffierv1.Audit_AUDIT_LEDGER_READ}
	supportActs  = &griffierv1.Access{Roles: []griffierv1.Role{griffierv1.Role_ROLE_SUPPORT}, Audit: griffierv1.Audit_AUDIT_LEDGER_ACT}
	selfReading  = &griffierv1.Access{Roles: []griffierv1.Role{griffierv1.Role_ROLE_CUSTOMER}, Audit: griffierv1.Audit_AUDIT_ACCESS_LOG}
)
