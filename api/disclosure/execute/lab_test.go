package execute_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"griffier/api/auth"
	"griffier/api/clock"
	"griffier/api/disclosure"
	"griffier/api/disclosure/execute"
	"griffier/api/hold"
	"griffier/api/hold/holdrpc"
	"griffier/api/hold/keep"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/oversight"
	"griffier/api/oversight/watch"
	"griffier/api/reason"
	"griffier/api/register"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/engine/enginetest"
)

// lab is the legal path with everything real: engine, register, key store,
// ledger, and both services behind gRPC. Only who calls is told by metadata
// instead of a token.
type lab struct {
	t          *testing.T
	pseudonyms *schema.Pseudonymiser
	dir        string
	sock       string
	conn       driver.Conn
	keys       *keystore.Store
	register   *register.Register
	key        *ledger.Key
	signer     *disclosure.Signer
	identity   *age.X25519Identity
	noon       time.Time // the instant that questions are about, yesterday or the day before
	skew       atomic.Int64
	adrift     atomic.Bool   // nothing keeps the clock
	limit      time.Duration // of a step of the ledger
	margin     time.Duration // of the clock; zero: the default
	logs       slog.Handler
	folds      []ledger.Fold     // beside the lab's own, at the next start
	watched    *oversight.Limits // from the next restart on: oversight watches, with these
	packing    execute.Packing   // from the next restart on
	// credentials, if set, makes an actor known by a token.
	credentials func(actor string) context.Context
	traffic     *probe

	// What a restart replaces.
	state    *warrant.State
	holds    *hold.State
	overseen *oversight.State
	watching *watch.Watch // nil unless watched is set
	keeper   *keep.Keeper
	held     griffierv1.HoldServiceClient
	rules    *warrant.Rules
	log      *ledger.Log
	book     *brittle
	executor *execute.Executor
	warrants griffierv1.WarrantServiceClient
	tasks    griffierv1.DisclosureServiceClient
	packages griffierv1.PackageServiceClient
	stop     func()
	requests atomic.Int64
}

// probe counts what the executor reads of the real traffic store, and lets a
// test do something in the middle of it.
type probe struct {
	*execute.Traffic
	reads  atomic.Int64
	during func(ctx context.Context) // called between coverage and assignments
}

func (p *probe) Coverage(ctx context.Context, collectors []string, from, to time.Time) ([]schema.Coverage, error) {
	p.reads.Add(1)
	return p.Traffic.Coverage(ctx, collectors, from, to)
}

func (p *probe) Assignments(ctx context.Context, plan disclosure.Plan) ([]schema.Assignment, error) {
	p.reads.Add(1)
	if p.during != nil {
		p.during(ctx)
	}
	return p.Traffic.Assignments(ctx, plan)
}

// brittle is the real ledger, up to the call at which a test lets the server die.
type brittle struct {
	*ledger.Log
	dieAt atomic.Int64 // the n-th Decide from now ends its goroutine; 0 never
	// before, if set, is called before each Decide with its context; after, with
	// what was decided.
	before func(context.Context)
	after  func(ledger.Entry)
}

func (b *brittle) Decide(ctx context.Context, id string, fn func(time.Time) (ledger.Draft, error)) (ledger.Entry, error) {
	if b.dieAt.Load() > 0 && b.dieAt.Add(-1) == 0 {
		panic(errDied)
	}
	if b.before != nil {
		b.before(ctx)
	}
	e, err := b.Log.Decide(ctx, id, fn)
	if b.after != nil && err == nil {
		b.after(e)
	}
	return e, err
}

var errDied = errors.New("the server died here")

// patience is how long a step of the ledger may take on a busy machine.
const patience = 10 * time.Second

func (l *lab) now() time.Time { return time.Now().Add(time.Duration(l.skew.Load())) }

// newLab makes everything anew: an engine, a folder, keys, lines and what they held.
func newLab(t *testing.T) *lab {
	t.Helper()
	return newLabOf(t, "P10D", schema.ProfileNL)
}

// newLabOf is a lab that keeps every class for a period, as a profile may allow.
func newLabOf(t *testing.T, period, profile string) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), sock: enginetest.Start(t).Socket, limit: patience, logs: slog.DiscardHandler}
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keystore.GenerateMasterKey(filepath.Join(l.dir, "master")))
	_, err := ledger.GenerateKey(filepath.Join(l.dir, "ledger.key"), "isp.example/griffier")
	must(err)
	l.identity, err = age.GenerateX25519Identity()
	must(err)
	l.open()
	must(schema.Migrate(ctx, l.conn, nil))
	var policies []schema.Policy
	for _, class := range schema.Classes {
		policies = append(policies, schema.Policy{Class: class, Period: period, Zone: "Europe/Amsterdam", Purpose: "faults and complaints", Basis: "test", Source: "test"})
	}
	must(schema.WritePolicy(ctx, l.conn, profile, policies))
	l.noon = time.Now().UTC().Truncate(24 * time.Hour).Add(-12 * time.Hour)
	l.populate(ctx, l.pseudonyms)
	l.start()
	t.Cleanup(func() { l.stop() })
	return l
}

// open opens what there is in the lab's folder and store, all but the ledger.
func (l *lab) open() {
	l.t.Helper()
	must := func(err error) {
		l.t.Helper()
		if err != nil {
			l.t.Fatal(err)
		}
	}
	var err error
	l.conn, err = schema.Open(l.t.Context(), schema.Config{Socket: l.sock})
	must(err)
	l.t.Cleanup(func() { l.conn.Close() })
	l.keys, err = keystore.Open(filepath.Join(l.dir, "keys"), filepath.Join(l.dir, "master"))
	must(err)
	l.pseudonyms, err = schema.NewPseudonymiser(bytes.Repeat([]byte{7}, schema.KeyLength))
	must(err)
	l.register, err = register.New(register.Config{Conn: l.conn, Vault: l.keys, Pseudonyms: l.pseudonyms, BlindKey: make([]byte, 32), Now: time.Now})
	must(err)
	l.key, err = ledger.LoadKey(filepath.Join(l.dir, "ledger.key"))
	must(err)
	l.signer, err = disclosure.NewSigner(bytes.Repeat([]byte{1}, 32))
	must(err)
	l.traffic = &probe{Traffic: execute.NewTraffic(l.conn)}
}

// populate writes two lines, their persons, the ranges, and what they held.
func (l *lab) populate(ctx context.Context, p *schema.Pseudonymiser) {
	user := func(name string) schema.Identifier {
		return schema.Identifier{Kind: schema.IdentRADIUSUser, Value: name + "@isp.example"}
	}
	begin := l.noon.Add(-90 * 24 * time.Hour)
	for _, name := range []string{"alice", "bob", "erased"} {
		err := l.register.PutLine(ctx, register.Line{LineID: "line-" + name, AccountID: "account-" + name, TimeZone: "Europe/Amsterdam", BillingDay: 1,
			ContractStart: begin, ContractEnd: schema.Forever},
			[]register.Identifier{{Identifier: user(name), ValidFrom: begin, ValidTo: schema.Forever}},
			register.Person{Name: strings.ToUpper(name[:1]) + name[1:] + " Jansen",
				InstallationAddress: register.PostalAddress{Street: "Dorpsstraat", HouseNumber: "1", Postcode: "1234 AB", Town: "Ons Dorp", Country: "NL"},
				BillingAddress:      register.PostalAddress{Street: "Betaalweg", HouseNumber: "9", Postcode: "9999 ZZ", Town: "Elders", Country: "NL"}})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	if err := l.keys.Shred("person:line-erased"); err != nil {
		l.t.Fatal(err)
	}
	for prefix, provider := range map[string]string{"192.0.2.0/24": "", "2001:db8::/32": "", "192.0.2.128/25": "Example Telecom"} {
		err := l.register.PutRange(ctx, register.Range{Prefix: netip.MustParsePrefix(prefix), Provider: provider, CollectorIDs: []string{"edge1"},
			ValidFrom: begin, ValidTo: schema.Forever})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	n := byte(0)
	held := func(name, prefix string, from, to time.Duration, change func(*schema.Assignment)) schema.Record {
		n++
		a := &schema.Assignment{AssignmentID: schema.ID{3, n}, SessionID: schema.ID{1, n}, AccessRef: p.Ref(user(name)), Prefix: netip.MustParsePrefix(prefix),
			PortEnd: 65535, AssignmentStartedAt: l.noon.Add(from), StartedAt: l.noon.Add(from), EndedAt: l.noon.Add(to), Version: 1,
			EndCause: schema.EndRelease, Source: schema.SourceRADIUS, Certainty: schema.CertaintyObserved, CollectorID: "edge1"}
		if change != nil {
			change(a)
		}
		return a
	}
	ports := func(from, to uint16) func(*schema.Assignment) {
		return func(a *schema.Assignment) { a.PortStart, a.PortEnd = from, to }
	}
	hour := time.Hour
	records := []schema.Record{
		held("alice", "192.0.2.17/32", -3*hour, 3*hour, nil),
		held("bob", "2001:db8:1::/56", -3*hour, 3*hour, nil),
		held("alice", "192.0.2.20/32", -3*hour, 0, nil),
		held("bob", "192.0.2.20/32", 0, 3*hour, nil),
		held("alice", "192.0.2.21/32", -hour, hour, ports(1024, 2047)),
		held("bob", "192.0.2.21/32", -hour, hour, ports(2048, 3071)),
		held("stranger", "192.0.2.22/32", -hour, hour, nil),
		held("erased", "192.0.2.23/32", -hour, hour, nil),
		&schema.Coverage{CoverageID: schema.ID{5, 1}, CollectorID: "edge1", State: schema.Covered, StartedAt: l.noon.Add(-6 * hour), EndedAt: l.noon.Add(6 * hour),
			Version: 1, BootID: "boot", ClockSynced: true},
		&schema.Coverage{CoverageID: schema.ID{5, 2}, CollectorID: "edge1", State: schema.Gap, Cause: "ring_drop", StartedAt: l.noon.Add(2 * hour),
			EndedAt: l.noon.Add(2*hour + time.Second), Version: 1, BootID: "boot", ClockSynced: true},
	}
	if err := schema.Insert(ctx, l.conn, "lab", records); err != nil {
		l.t.Fatal(err)
	}
}

// start opens the ledger, folds it, recovers and serves.
func (l *lab) start() {
	l.t.Helper()
	profile, err := warrant.LoadProfile("nl")
	if err != nil {
		l.t.Fatal(err)
	}
	if l.rules, err = warrant.NewRules(warrant.Rules{Profile: warrant.Always(profile), Authorities: warranttest.Registry(l.identity.Recipient().String()), DuplicateKey: make([]byte, 32)}); err != nil {
		l.t.Fatal(err)
	}
	l.state, l.holds, l.overseen = warrant.NewState(), hold.NewState(), oversight.NewState()
	quiet := slog.New(l.logs)
	l.log, err = ledger.Open(l.t.Context(), ledger.Config{Dir: filepath.Join(l.dir, "ledger"), WitnessFile: filepath.Join(l.dir, "witness"), Key: l.key,
		Keys: l.keys, Folds: append([]ledger.Fold{l.state, l.holds, l.overseen}, l.folds...), Now: l.now, Logger: quiet, Limit: l.limit})
	if err != nil {
		l.t.Fatal(err)
	}
	l.book = &brittle{Log: l.log}
	l.keeper, err = keep.New(keep.Config{Dir: filepath.Join(l.dir, "holds"), Keys: l.keys, Book: l.book, State: l.holds,
		Rules: &hold.Rules{Profile: warrant.Always(profile), ApprovalAge: l.rules.ApprovalAge, DocumentKey: l.rules.DuplicateKey}, Now: l.now, Log: quiet})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := l.keeper.Recover(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	cfg := execute.Config{Holds: l.keeper, Book: l.book, State: l.state, Rules: l.rules, Traffic: l.traffic, Lines: l.register, Signer: l.signer, Packing: l.packing,
		Dir: filepath.Join(l.dir, "packages"), Software: "griffier test", ClockMargin: l.margin, Now: l.now, Log: quiet,
		Clock: &clock.Judge{RequireSync: true, LastAt: l.log.LastAt, Now: l.now, Read: func() (clock.Reading, error) {
			return clock.Reading{Synced: !l.adrift.Load()}, nil
		}}}
	serve := warrantrpc.Config{Book: l.book, Keys: l.keys, State: l.state, Rules: l.rules, Now: l.now}
	if l.watched != nil {
		l.watching = watch.New(watch.Config{Staff: l.register, Book: l.book, Keys: l.keys, State: l.overseen, Limits: *l.watched, Now: l.now, Log: quiet}, nil)
		cfg.Conflict, cfg.Resolved, cfg.MayAsk, serve.Received = l.watching.Conflict, l.watching.Resolved, l.watching.MayAsk, l.watching.Received
	}
	if l.executor, err = execute.New(cfg); err != nil {
		l.t.Fatal(err)
	}
	serve.Ended = l.executor.Ended
	if err := l.executor.Recover(l.t.Context()); err != nil {
		l.t.Fatal(err)
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
	griffierv1.RegisterDisclosureServiceServer(server, execute.NewService(l.executor))
	griffierv1.RegisterPackageServiceServer(server, execute.NewPackageService(l.executor))
	griffierv1.RegisterHoldServiceServer(server, holdrpc.NewService(l.book, l.keeper))
	listener := bufconn.Listen(1 << 20)
	go server.Serve(listener)
	client, err := grpc.NewClient("passthrough:///lab", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		l.t.Fatal(err)
	}
	l.held = griffierv1.NewHoldServiceClient(client)
	l.warrants, l.tasks, l.packages = griffierv1.NewWarrantServiceClient(client), griffierv1.NewDisclosureServiceClient(client), griffierv1.NewPackageServiceClient(client)
	l.stop = func() {
		client.Close()
		server.Stop()
		if err := l.log.Close(); err != nil {
			l.t.Error(err)
		}
	}
}

// restart stops everything but the store and starts it again from the ledger.
func (l *lab) restart() {
	l.stop()
	l.start()
}

type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *identified) Context() context.Context { return s.ctx }

// as returns a context of a caller.
func (l *lab) as(actor string, roles ...griffierv1.Role) context.Context {
	if l.credentials != nil {
		return l.credentials(actor)
	}
	kv := []string{"actor", actor}
	for _, r := range roles {
		kv = append(kv, "role", strconv.Itoa(int(r)))
	}
	return metadata.AppendToOutgoingContext(l.t.Context(), kv...)
}

func (l *lab) officer() context.Context { return l.as("0ff1", griffierv1.Role_ROLE_LEGAL_OFFICER) }
func (l *lab) approver() context.Context {
	return l.as("a44r", griffierv1.Role_ROLE_LEGAL_APPROVER)
}

func (l *lab) request() string {
	return "request-" + strconv.FormatInt(l.requests.Add(1), 10) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36)
}

// content is a good order over all addresses of the lab, valid for d from now.
func (l *lab) content(d time.Duration) *griffierv1.WarrantContent {
	now := l.now()
	return &griffierv1.WarrantContent{
		LegalBasis: "NL-126na", Authority: "NL-OM-Amsterdam", Reference: "PV " + l.request(), RequestedBy: "J. de Vries",
		IssuedAt: now.Add(-time.Hour).Format(time.RFC3339Nano), ValidFrom: now.Add(-time.Minute).Format(time.RFC3339Nano), ValidUntil: now.Add(d).Format(time.RFC3339Nano),
		DocumentSha256: strings.Repeat("ab", 32), Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_IDENTITY},
		Targets:     []string{"192.0.2.17", "2001:db8:1:2::17", "192.0.2.20", "192.0.2.21", "192.0.2.22", "192.0.2.23", "192.0.2.99", "192.0.2.200", "198.51.100.7"},
		WindowStart: l.noon.Add(-60 * 24 * time.Hour).Format(time.RFC3339), WindowEnd: l.noon.Add(20 * time.Hour).Format(time.RFC3339),
		Recipient: l.identity.Recipient().String(),
	}
}

// approved makes a warrant and has it approved by two people.
func (l *lab) approved(d time.Duration) *griffierv1.Warrant {
	l.t.Helper()
	return l.approve(l.content(d))
}

func (l *lab) approve(content *griffierv1.WarrantContent) *griffierv1.Warrant {
	l.t.Helper()
	w, err := l.warrants.CreateWarrant(l.officer(), &griffierv1.CreateWarrantRequest{RequestId: l.request(), Content: content})
	if err == nil {
		w, err = l.calledBack(w)
	}
	for _, ctx := range []context.Context{l.officer(), l.approver()} {
		if err == nil {
			w, err = l.warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId,
				ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256})
		}
	}
	if err != nil {
		l.t.Fatal(err)
	}
	return w
}

// calledBack records that the authority confirmed the order.
func (l *lab) calledBack(w *griffierv1.Warrant) (*griffierv1.Warrant, error) {
	return l.warrants.VerifyWarrant(l.officer(), &griffierv1.VerifyWarrantRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
		ContentSha256: w.ContentSha256, Number: warranttest.CallBack, Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"})
}

func (l *lab) task(w *griffierv1.Warrant, target string, instant time.Time) *griffierv1.Task {
	l.t.Helper()
	task, err := l.tasks.CreateTask(l.officer(), &griffierv1.CreateTaskRequest{RequestId: l.request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: target, Instant: instant.Format(time.RFC3339)})
	if err != nil {
		l.t.Fatal(err)
	}
	return task
}

func (l *lab) execute(task *griffierv1.Task) (*griffierv1.Task, error) {
	return l.tasks.ExecuteTask(l.officer(), &griffierv1.ExecuteTaskRequest{RequestId: l.request(), TaskId: task.TaskId, ExpectedGeneration: task.Generation})
}

// fetch fetches as the approver. Where the download was used, the officer grants
// another first.
func (l *lab) fetch(task *griffierv1.Task) (sealed, receipt []byte, err error) {
	sealed, receipt, err = l.fetchOnce(l.approver(), task)
	if reason.Of(err) != reason.DownloadUsed {
		return sealed, receipt, err
	}
	if _, err := l.packages.GrantDownload(l.officer(), &griffierv1.GrantDownloadRequest{RequestId: l.request(), TaskId: task.TaskId, Role: griffierv1.Role_ROLE_LEGAL_APPROVER}); err != nil {
		return nil, nil, err
	}
	return l.fetchOnce(l.approver(), task)
}

func (l *lab) fetchOnce(as context.Context, task *griffierv1.Task) (sealed, receipt []byte, err error) {
	stream, err := l.tasks.FetchPackage(as, &griffierv1.FetchPackageRequest{TaskId: task.TaskId})
	for err == nil {
		var m *griffierv1.FetchPackageResponse
		if m, err = stream.Recv(); err == nil {
			sealed = append(sealed, m.Chunk...)
			if len(m.Receipt) > 0 {
				receipt = m.Receipt
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return sealed, receipt, err
}

func (l *lab) trust() disclosure.Trust {
	return disclosure.Trust{PackageKey: l.signer.Public(), LedgerOrigin: "isp.example/griffier", LedgerKey: l.key.Public}
}

// kinds lists the kinds of the ledger's entries about a task, in order.
func (l *lab) kinds(taskID string) []string {
	l.t.Helper()
	var out []string
	for _, e := range l.entries() {
		if e.Header.TaskID == taskID {
			out = append(out, strings.TrimPrefix(e.Header.Kind, "task."))
		}
	}
	return out
}

func (l *lab) entries() []ledger.Entry {
	l.t.Helper()
	var all []ledger.Entry
	for uint64(len(all)) < l.log.Size() {
		entries, err := l.log.Read(l.t.Context(), uint64(len(all)), ledger.MaxRead)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, entries...)
	}
	return all
}

// shelved lists the files in the packages folder.
func (l *lab) shelved() []string {
	l.t.Helper()
	files, err := os.ReadDir(filepath.Join(l.dir, "packages"))
	if err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err == nil && info.Mode().Perm() != 0o600 {
			l.t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
	return names
}

func (l *lab) want(err error, want reason.Reason) {
	l.t.Helper()
	if got := reason.Of(err); got != want || (want != "" && err == nil) {
		l.t.Errorf("error %v (%s), want %s", err, got, want)
	}
}

func asJSON(v any) string { text, _ := json.Marshal(v); return string(text) }

func (l *lab) socket() string { return l.sock }

func newTraffic(conn driver.Conn) *execute.Traffic { return execute.NewTraffic(conn) }
