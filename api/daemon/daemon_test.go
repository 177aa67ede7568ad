package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth/demoidp"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
)

// world is a running griffierd with an identity provider, and what the tests
// know of it.
type world struct {
	dir    string
	idp    *demoidp.Provider
	people *grpc.ClientConn // without credentials; tokens go per call
	logs   *syncBuffer
	cfg    Config
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Names that must never be seen outside of sealed bodies and encrypted rows.
const (
	secretName    = "Zwanikken-Testpersoon"
	secretStreet  = "Geheimelaan"
	secretUser    = "zwanikken@isp.example"
	secretAddress = "100.64.77.77"
)

func start(t *testing.T) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "gd") // a socket path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{dir: filepath.Join(dir, "g"), logs: &syncBuffer{}}
	idp := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.idp.ServeHTTP(rw, r) }))
	t.Cleanup(idp.Close)
	ca := filepath.Join(dir, "idp.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	w.idp, err = demoidp.New(demoidp.Config{Issuer: idp.URL, Audience: "griffier", People: []demoidp.Person{
		{Subject: "anna", Roles: []string{"customer"}, Account: "acc-anna"},
		{Subject: "bea", Roles: []string{"customer"}, Account: "acc-bea"},
		{Subject: "sam", Roles: []string{"support"}},
		{Subject: "sofie", Roles: []string{"support"}, Account: "acc-anna"},
		{Subject: "olga", Roles: []string{"legal_officer"}},
		{Subject: "arjan", Roles: []string{"legal_approver"}}, {Subject: "eva", Roles: []string{"external_approver"}},
		{Subject: "dina", Roles: []string{"overseer"}},
		{Subject: "otto", Roles: []string{"operator"}},
		{Subject: "petra", Roles: []string{"privacy_controller"}},
		{Subject: "nina", Roles: []string{"network_engineer"}},
		{Subject: "nobody"},
		{Subject: "noor", Roles: []string{"legal_officer"}, Teams: []string{"noord"}},
		{Subject: "nico", Roles: []string{"legal_approver"}, Teams: []string{"noord"}},
		{Subject: "zara", Roles: []string{"legal_officer"}, Teams: []string{"zuid"}},
		{Subject: "zeno", Roles: []string{"legal_approver"}, Teams: []string{"zuid", "oost"}},
		{Subject: "ezra", Roles: []string{"external_approver"}, Teams: []string{"zuid"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	path, err := Init(w.dir, InitOptions{Laboratory: true, Profile: "nl", Origin: "test.example/griffier", Issuer: idp.URL,
		IssuerCAFile: ca, Listen: "127.0.0.1:0", Hosts: []string{"localhost", "127.0.0.1"}, LedgerLimit: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if w.cfg, err = ReadConfig(path); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, w.cfg, slog.New(slog.NewJSONHandler(w.logs, nil)), Start{Ready: func(a net.Addr) { ready <- a }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("griffierd stopped with: %v", err)
		}
	})
	select {
	case addr := <-ready:
		w.people = w.dial(t, addr.String(), nil)
		w.cfg.Listen = addr.String()
	case err := <-done:
		done <- nil
		t.Fatalf("griffierd: %v", err)
	}
	return w
}

func (w *world) dial(t *testing.T, addr string, certs []tls.Certificate) *grpc.ClientConn {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: certs})),
		grpc.WithUnaryInterceptor(whenAllowed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// whenAllowed makes every unary call of a connection untilAllowed.
func whenAllowed(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return untilAllowed(func() error { return invoke(ctx, method, req, reply, conn, options...) })
}

// untilAllowed tries a call again while the gate, which allows one caller so many a
// second (so the next within 50 ms), refuses it: a quick machine makes more. What is
// refused by a limit of its own stays refused.
func untilAllowed(call func() error) (err error) {
	for range 10 {
		if err = call(); reason.Of(err) != reason.RateLimited {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// as returns a context with a fresh token of a person.
func (w *world) as(t *testing.T, who string) context.Context { return w.asOf(t, who, time.Now()) }

func (w *world) asOf(t *testing.T, who string, authenticated time.Time) context.Context {
	t.Helper()
	token, err := w.idp.Token(who, authenticated)
	if err != nil {
		t.Fatal(err)
	}
	return metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+token)
}

func (w *world) machine(t *testing.T) *grpc.ClientConn {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(w.dir, "tls", "provisioner.pem"), filepath.Join(w.dir, "tls", "provisioner.key"))
	if err != nil {
		t.Fatal(err)
	}
	return w.dial(t, w.cfg.Listen, []tls.Certificate{cert})
}

// provision registers one line with one RADIUS user.
func (w *world) provision(t *testing.T, line, account, user string) {
	t.Helper()
	past := timestamppb.New(time.Now().AddDate(-1, 0, 0))
	_, err := griffierv1.NewRegisterServiceClient(w.machine(t)).PutLine(context.Background(), &griffierv1.PutLineRequest{
		LineId: line, AccountId: account, TimeZone: "Europe/Amsterdam", BillingDay: 1, ContractStart: past,
		Identifiers: []*griffierv1.AccessIdentifier{{Identifier: "radius-user:" + user, ValidFrom: past}},
		Person: &griffierv1.Person{Name: secretName, InstallationAddress: &griffierv1.PostalAddress{
			Street: secretStreet, HouseNumber: "7", Postcode: "1234 AB", Town: "Utrecht", Country: "NL"}},
	})
	if err != nil {
		t.Fatalf("provision %s: %v", line, err)
	}
}

// insert stores a closed session of a user with some usage, an hour ago.
func (w *world) insert(t *testing.T, user, address string, bytesUp uint64) time.Time {
	t.Helper()
	conn, err := schema.Open(context.Background(), schema.Config{Socket: w.cfg.Store.Socket})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p, err := schema.ReadPseudonymKey(w.cfg.Keys.PseudonymFile)
	if err != nil {
		t.Fatal(err)
	}
	ref := p.Ref(schema.Identifier{Kind: schema.IdentRADIUSUser, Value: user})
	bucket := time.Now().UTC().Add(-time.Hour).Truncate(schema.BucketLength)
	end := bucket.Add(4 * time.Minute)
	if y, m, d := bucket.Date(); end.After(time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)) {
		t.Fatal("this minute cannot be tested")
	}
	session, id := p.ID("session", user), p.ID("assignment", user)
	err = schema.Insert(context.Background(), conn, "test-"+user, []schema.Record{
		&schema.Session{SessionID: session, AccessRef: ref, SessionStartedAt: bucket, StartedAt: bucket, EndedAt: end, Version: 1,
			EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, NAS: "nas", NASPort: "1", CollectorID: "c1"},
		&schema.Assignment{AssignmentID: id, SessionID: session, AccessRef: ref, Prefix: mustPrefix(t, address), PortEnd: 65535,
			AssignmentStartedAt: bucket, StartedAt: bucket, EndedAt: end, Version: 1, EndCause: schema.EndRelease,
			Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "c1"},
		&schema.Usage{AccessRef: ref, BucketStartedAt: bucket, EndedAt: bucket.Add(schema.BucketLength), SampledAt: end, Direction: schema.Up,
			IPVersion: 4, Bytes: bytesUp, Packets: 3, CumulativeBytes: bytesUp, CumulativePackets: 3, CounterID: p.ID("counter", user), CollectorID: "c1"},
		&schema.Coverage{CoverageID: p.ID("coverage", user), CollectorID: "c1", State: schema.Covered, StartedAt: bucket,
			EndedAt: bucket.Add(schema.BucketLength), Version: 1, BootID: "b", ClockSynced: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

func window(bucket time.Time) *griffierv1.Window {
	return &griffierv1.Window{Start: timestamppb.New(bucket), End: timestamppb.New(bucket.Add(schema.BucketLength))}
}

func wantReason(t *testing.T, what string, err error, want reason.Reason) {
	t.Helper()
	if got := reason.Of(err); got != want {
		t.Errorf("%s: reason %q (%v), want %s", what, got, err, want)
	}
}
