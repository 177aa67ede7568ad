package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func newServer(register func(grpc.ServiceRegistrar)) (*Server, error) {
	return New(Config{Registry: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler), Now: time.Now, Register: register})
}

// TestAnRPCWithoutARuleDoesNotStart registers services whose rpcs declare too
// little, as a colleague might.
func TestAnRPCWithoutARuleDoesNotStart(t *testing.T) {
	support, anyone := griffierv1.Role_ROLE_SUPPORT, griffierv1.Role_ROLE_ANYONE
	read, none := griffierv1.Audit_AUDIT_LEDGER_READ, griffierv1.Audit_AUDIT_NONE
	for name, c := range map[string]struct {
		rule *griffierv1.Access
		want string
	}{
		"WithRule":         {&griffierv1.Access{Roles: []griffierv1.Role{support}, Audit: read}, ""},
		"WithoutRule":      {nil, "no access rule"},
		"WithoutRoles":     {&griffierv1.Access{Audit: read}, "no access rule"},
		"UnspecifiedRole":  {&griffierv1.Access{Roles: []griffierv1.Role{support, 0}, Audit: read}, "no access rule"},
		"WithoutAudit":     {&griffierv1.Access{Roles: []griffierv1.Role{support}}, "no audit class"},
		"AnyoneUnaudited":  {&griffierv1.Access{Roles: []griffierv1.Role{anyone}, Audit: none}, ""},
		"AnyoneActing":     {&griffierv1.Access{Roles: []griffierv1.Role{anyone}, Audit: griffierv1.Audit_AUDIT_LEDGER_ACT}, ""},
		"AnyoneAudited":    {&griffierv1.Access{Roles: []griffierv1.Role{anyone}, Audit: read}, "open to anyone"},
		"AnyoneAndSupport": {&griffierv1.Access{Roles: []griffierv1.Role{support, anyone}, Audit: none}, "open to anyone"},
	} {
		declare(t, name, map[string]*griffierv1.Access{"Do": c.rule})
		_, err := newServer(unary(name, "Do", nil))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "test."+name+"/Do")):
			t.Errorf("%s: err = %v, want %q and the rpc's name", name, err, c.want)
		}
	}
	if _, err := newServer(unary("Undeclared", "Do", nil)); err == nil || !strings.Contains(err.Error(), "no descriptor") {
		t.Errorf("a service without descriptor: %v", err)
	}
}

func TestServeWithoutTLSStaysOnLoopback(t *testing.T) {
	s, err := newServer(func(grpc.ServiceRegistrar) {})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.Serve(t.Context(), l, time.Second); err == nil || !strings.Contains(err.Error(), "TLS is required") {
		t.Errorf("err = %v, want TLS is required", err)
	}
}

// TestAPanicIsContained: the caller learns an incident number, the log the
// place, and neither learns the value.
func TestAPanicIsContained(t *testing.T) {
	const secret = "Zwanikken, Dorpsstraat 7"
	declare(t, "Panics", map[string]*griffierv1.Access{"Do": supportReads})
	w := start(t, unary("Panics", "Do", func(_ context.Context, req *griffierv1.GetTotalsRequest) (*griffierv1.Volume, error) {
		panic(fmt.Sprintf("cannot handle %s of %s", req.GetLineId(), secret))
	}))
	err := w.call(w.as(t, "sam"), "Panics/Do", secret)
	refused := reason.From(err)
	if refused == nil || refused.Reason != reason.Internal || status.Code(err) != codes.Internal {
		t.Fatalf("err = %v, want INTERNAL", err)
	}
	incident, ok := strings.CutPrefix(refused.Detail, "Incident ")
	if incident = strings.TrimSuffix(incident, "."); !ok || len(incident) != 10 {
		t.Errorf("detail %q, want an incident number", refused.Detail)
	}
	if logs := w.logs.String(); !strings.Contains(logs, incident) || !strings.Contains(logs, "server_test.go") || strings.Contains(logs, "Zwanikken") {
		t.Errorf("log %s: want incident %s, the place, and no value", logs, incident)
	}
	if strings.Contains(err.Error(), "Zwanikken") {
		t.Errorf("the caller was told: %v", err)
	}
	// The next call is served as if nothing had happened.
	if err := w.call(w.as(t, "sam"), "Panics/Do", "x"); reason.Of(err) != reason.Internal {
		t.Errorf("next call: %v", err)
	}
}

func TestAuditComesBeforeTheHandler(t *testing.T) {
	declare(t, "Ordered", map[string]*griffierv1.Access{"Do": supportReads})
	var w *world
	var seen int
	w = start(t, unary("Ordered", "Do", func(_ context.Context, req *griffierv1.GetTotalsRequest) (*griffierv1.Volume, error) {
		seen = len(w.entries(t, KindRead))
		return &griffierv1.Volume{}, nil
	}))
	if err := w.call(w.as(t, "sam"), "Ordered/Do", "L-secret"); err != nil {
		t.Fatal(err)
	}
	if seen != 1 {
		t.Fatalf("the handler found %d entries, want its own", seen)
	}
	e := w.entries(t, KindRead)[0]
	if e.Header.Role != "support" || len(e.Header.Actor) != 32 || strings.Contains(string(e.Header.Facts), "L-secret") {
		t.Errorf("header %+v: want role and pseudonym, and nothing of the request", e.Header)
	}
	if body, err := w.book.Body(e); err != nil || !strings.Contains(string(body), "L-secret") || !strings.Contains(string(body), "#sam") {
		t.Errorf("body %s, %v: want subject and request", body, err)
	}
	// No ledger, no answer.
	if err := w.book.Close(); err != nil {
		t.Fatal(err)
	}
	seen = -1
	if err := w.call(w.as(t, "sam"), "Ordered/Do", "x"); reason.Of(err) != reason.LedgerUnavailable || seen != -1 {
		t.Errorf("without a ledger: %v, handler ran: %v; want LEDGER_UNAVAILABLE and no", err, seen != -1)
	}
}

func TestStreamIsAuditedBeforeItsHandlerReads(t *testing.T) {
	declare(t, "Streams", map[string]*griffierv1.Access{"Do": supportReads})
	var w *world
	var seen int
	w = start(t, streaming("Streams", "Do", func(ss grpc.ServerStream) error {
		req := new(griffierv1.GetTotalsRequest)
		if err := ss.RecvMsg(req); err != nil {
			return err
		}
		seen = len(w.entries(t, KindRead))
		return ss.SendMsg(&griffierv1.Volume{BytesUp: 5})
	}))
	open := func(ctx context.Context) (*griffierv1.Volume, error) {
		stream, err := w.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/test.Streams/Do")
		if err != nil {
			return nil, err
		}
		if err := stream.SendMsg(&griffierv1.GetTotalsRequest{LineId: "L-1"}); err != nil && err != io.EOF {
			return nil, err
		}
		stream.CloseSend()
		v := new(griffierv1.Volume)
		return v, stream.RecvMsg(v)
	}
	if v, err := open(w.as(t, "sam")); err != nil || v.GetBytesUp() != 5 || seen != 1 {
		t.Errorf("stream: %v, %v, %d entries before the handler read; want 5 and one", v, err, seen)
	}
	seen = -1
	if _, err := open(w.as(t, "anna")); reason.Of(err) != reason.PermissionDenied || seen != -1 {
		t.Errorf("customer: %v, handler ran: %v; want PERMISSION_DENIED and no", err, seen != -1)
	}
	if n := len(w.entries(t, KindRefusal)); n != 1 {
		t.Errorf("%d refusals in the ledger, want one", n)
	}
	if err := w.book.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open(w.as(t, "sam")); reason.Of(err) != reason.LedgerUnavailable || seen != -1 {
		t.Errorf("without a ledger: %v, handler read: %v; want LEDGER_UNAVAILABLE and no", err, seen != -1)
	}
}

// TestStreamCannotAnswerUnaudited: a handler that sends before it has read its
// request, and so before the audit, sends nothing.
func TestStreamCannotAnswerUnaudited(t *testing.T) {
	declare(t, "Hasty", map[string]*griffierv1.Access{"Do": supportReads})
	w := start(t, streaming("Hasty", "Do", func(ss grpc.ServerStream) error { return ss.SendMsg(&griffierv1.Volume{BytesUp: 5}) }))
	stream, err := w.conn.NewStream(w.as(t, "sam"), &grpc.StreamDesc{ServerStreams: true}, "/test.Hasty/Do")
	if err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	if err := stream.RecvMsg(new(griffierv1.Volume)); reason.Of(err) != reason.Internal {
		t.Errorf("err = %v, want INTERNAL and no answer", err)
	}
}

func TestErrorsBecomeReasons(t *testing.T) {
	declare(t, "Fails", map[string]*griffierv1.Access{"Do": supportActs})
	const secret = "100.64.77.77"
	w := start(t, unary("Fails", "Do", func(ctx context.Context, req *griffierv1.GetTotalsRequest) (*griffierv1.Volume, error) {
		switch req.GetLineId() {
		case "plain":
			return nil, errors.New("bad row of " + secret)
		case "store":
			return nil, reason.Wrap(reason.StoreUnavailable, fmt.Errorf("read lines: %w", errors.New(secret)))
		case "invalid":
			return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "a", Description: "b"})
		case "deadline":
			return nil, fmt.Errorf("read lines: %w", context.DeadlineExceeded)
		case "cancelled":
			return nil, fmt.Errorf("read lines: %w", context.Canceled)
		}
		return &griffierv1.Volume{}, nil
	}))
	for arg, c := range map[string]struct {
		code    codes.Code
		why     reason.Reason
		refusal int // entries
	}{
		"plain": {codes.Internal, reason.Internal, 0}, "store": {codes.Unavailable, reason.StoreUnavailable, 0},
		"invalid": {codes.InvalidArgument, reason.InvalidRequest, 1}, "deadline": {codes.DeadlineExceeded, "", 0},
		"cancelled": {codes.Canceled, "", 0}, "fine": {codes.OK, "", 0},
	} {
		before := len(w.entries(t, KindRefusal))
		err := w.call(w.as(t, "sam"), "Fails/Do", arg)
		if status.Code(err) != c.code || reason.Of(err) != c.why {
			t.Errorf("%s: %v, want %v %s", arg, err, c.code, c.why)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the caller was told: %v", arg, err)
		}
		if n := len(w.entries(t, KindRefusal)) - before; n != c.refusal {
			t.Errorf("%s: %d refusals entered, want %d", arg, n, c.refusal)
		}
	}
	logs := w.logs.String()
	if !strings.Contains(logs, "STORE_UNAVAILABLE: read lines: ") || strings.Contains(logs, secret) {
		t.Errorf("log %s: want the store's failure by operation, and no address", logs)
	}
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var counted []string
	for _, f := range families {
		if f.GetName() == "griffier_api_calls_total" {
			for _, m := range f.GetMetric() {
				counted = append(counted, m.String())
			}
		}
	}
	for _, why := range []string{"OK", "INTERNAL", "STORE_UNAVAILABLE", "INVALID_REQUEST", "DEADLINE_EXCEEDED", "CANCELLED"} {
		if !strings.Contains(strings.Join(counted, "\n"), `"`+why+`"`) {
			t.Errorf("no call is counted as %s: %v", why, counted)
		}
	}
}

func TestSelfReadsAreRecordedOrRefused(t *testing.T) {
	declare(t, "Self", map[string]*griffierv1.Access{"Do": selfReading})
	conn := accessStore(t)
	var served atomic.Int64
	w := startWith(t, NewAccessLog(conn, time.Now), unary("Self", "Do", func(context.Context, *griffierv1.GetTotalsRequest) (*griffierv1.Volume, error) {
		served.Add(1)
		return &griffierv1.Volume{}, nil
	}))
	if err := w.call(w.as(t, "anna"), "Self/Do", "L-secret"); err != nil {
		t.Errorf("own read: %v", err)
	}
	var n uint64
	var actor, role, action string
	err := conn.QueryRow(t.Context(), "SELECT count(), any(actor), any(role), any(action) FROM traffic.access_log_entry").Scan(&n, &actor, &role, &action)
	if err != nil || n != 1 || len(actor) != 32 || role != "customer" || action != "test.Self/Do" {
		t.Errorf("access log: %d rows, %s as %s did %s, %v; want one of anna under her pseudonym", n, actor, role, action, err)
	}
	// One caller's calls are bounded; another's are not touched by that.
	// All at once: one after the other, a busy machine may be slower than the limit.
	var limited atomic.Bool
	var calls sync.WaitGroup
	ctx := w.as(t, "anna")
	for end := time.Now().Add(5 * time.Minute); !limited.Load() && time.Now().Before(end); calls.Wait() {
		for range 3 * callBurst {
			calls.Go(func() {
				if reason.Of(w.call(ctx, "Self/Do", "")) == reason.RateLimited {
					limited.Store(true)
				}
			})
		}
	}
	if !limited.Load() {
		t.Error("no limit was reached")
	}
	if err := w.call(w.as(t, "sam"), "Self/Do", ""); reason.Of(err) != reason.PermissionDenied {
		t.Errorf("somebody else: %v, want PERMISSION_DENIED", err)
	}
	// No record, no answer.
	if err := conn.Exec(t.Context(), "RENAME TABLE traffic.access_log_entry TO traffic.elsewhere"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // some calls are allowed again
	served.Store(0)
	if err := w.call(w.as(t, "anna"), "Self/Do", ""); reason.Of(err) != reason.StoreUnavailable || served.Load() != 0 {
		t.Errorf("without a record: %v, handler ran: %v; want STORE_UNAVAILABLE and no", err, served.Load() != 0)
	}
}

func TestHealthNeedsNoIdentity(t *testing.T) {
	w := start(t)
	got, err := healthv1.NewHealthClient(w.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health = %v, %v; want SERVING", got, err)
	}
}
