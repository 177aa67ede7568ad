package intakerpc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/document"
	"griffier/api/warrant/intakerpc"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
)

// office is the service, called over gRPC, over a real ledger and key store. Who
// calls is what the metadata says.
type office struct {
	griffierv1.IntakeServiceClient
	t     *testing.T
	log   *ledger.Log
	keys  *keystore.Store
	state *warrant.State
	rules *warrant.Rules
}

var people = map[string]auth.Caller{
	"olga":  {Subject: "olga", Actor: "0ff1", Roles: []griffierv1.Role{griffierv1.Role_ROLE_LEGAL_OFFICER}},
	"arjan": {Subject: "arjan", Actor: "a44r", Roles: []griffierv1.Role{griffierv1.Role_ROLE_LEGAL_APPROVER}},
	"ella":  {Subject: "ella", Actor: "e11a", Roles: []griffierv1.Role{griffierv1.Role_ROLE_EXTERNAL_APPROVER}},
}

func as(who string) context.Context {
	return metadata.NewOutgoingContext(context.Background(), metadata.Pairs("who", who))
}

func identified(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	if who := md.Get("who"); len(who) == 1 {
		return auth.NewContext(ctx, people[who[0]])
	}
	return ctx
}

// told is a stream whose errors and caller are what the gate makes of them.
type told struct {
	grpc.ServerStream
	ctx context.Context
}

func (s told) Context() context.Context { return s.ctx }

var recipient = func() string {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		panic(err)
	}
	return identity.Recipient().String()
}()

func newOffice(t *testing.T) *office {
	o := &office{t: t, state: warrant.NewState()}
	dir := t.TempDir()
	o.must(keystore.GenerateMasterKey(filepath.Join(dir, "master")))
	var err error
	o.keys, err = keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	o.must(err)
	key, err := ledger.GenerateKey(filepath.Join(dir, "ledger.key"), "isp.example/griffier")
	o.must(err)
	o.log, err = ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key,
		Keys: o.keys, Folds: []ledger.Fold{o.state}, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second})
	o.must(err)
	t.Cleanup(func() { o.log.Close() })
	profile, err := warrant.LoadProfile("nl")
	o.must(err)
	o.rules, err = warrant.NewRules(warrant.Rules{Law: warrant.Always(profile), Authorities: warranttest.Registry(recipient), DuplicateKey: bytes.Repeat([]byte{3}, 32)})
	o.must(err)
	documents, err := document.New(document.Config{Dir: filepath.Join(dir, "documents"), Keys: o.keys, Book: o.log, State: o.state, Rules: o.rules,
		Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	o.must(err)
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			resp, err := handler(identified(ctx), req)
			return resp, reason.ToStatus(err)
		}),
		grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return reason.ToStatus(handler(srv, told{ss, identified(ss.Context())}))
		}))
	griffierv1.RegisterIntakeServiceServer(server, intakerpc.NewService(intakerpc.Config{Book: o.log, State: o.state, Rules: o.rules, Documents: documents, Now: time.Now}))
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	o.must(err)
	t.Cleanup(func() { conn.Close() })
	o.IntakeServiceClient = griffierv1.NewIntakeServiceClient(conn)
	return o
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func want(t *testing.T, what string, err error, r reason.Reason) {
	t.Helper()
	if reason.Of(err) != r || (r == "") != (err == nil) {
		t.Errorf("%s: %v, want %q", what, err, r)
	}
}

// window is the hour that every warrant here is about.
var window = time.Now().UTC().Truncate(time.Second).Add(-time.Hour)

// decide enters what a rule drafts.
func (o *office) decide(draft func(now time.Time) (ledger.Draft, *reason.Error)) {
	o.t.Helper()
	_, err := warrantrpc.Decide(o.t.Context(), o.log, warrantrpc.RandomID(), draft)
	o.must(err)
}

// content is what a warrant says whose order is text.
func content(reference, text string) warrant.Content {
	at := func(d time.Duration) string { return window.Add(d).Format(time.RFC3339) }
	sum := sha256.Sum256([]byte(text))
	return warrant.Content{LegalBasis: "NL-126na", Authority: "NL-OM", Reference: reference, RequestedBy: "J. de Vries", IssuedAt: at(0), ValidFrom: at(0),
		ValidUntil: at(3 * time.Hour), DocumentSHA256: hex.EncodeToString(sum[:]), Categories: []warrant.Category{warrant.Attribution}, Targets: []string{"192.0.2.17"},
		WindowStart: at(-time.Hour), WindowEnd: at(time.Hour), Recipient: recipient}
}

// warrant makes a warrant by officer olga.
func (o *office) warrant(reference, text string) string {
	id := warrantrpc.RandomID()
	o.must(o.keys.Create(warrant.KeyID(id)))
	o.decide(func(now time.Time) (ledger.Draft, *reason.Error) {
		return o.rules.Create(o.state, now, warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}, warrant.CreateRequest{ID: id, Salt: "salt", Content: content(reference, text)})
	})
	return id
}

// upload sends parts, the first with a header.
func (o *office) upload(ctx context.Context, head *griffierv1.UploadDocumentRequest, more ...*griffierv1.UploadDocumentRequest) (*griffierv1.Document, error) {
	stream, err := o.UploadDocument(ctx)
	o.must(err)
	for _, part := range append([]*griffierv1.UploadDocumentRequest{head}, more...) {
		if err := stream.Send(part); err != nil {
			break
		}
	}
	return stream.CloseAndRecv()
}

func (o *office) download(ctx context.Context, warrantID, id string) (*griffierv1.Document, string, error) {
	stream, err := o.DownloadDocument(ctx, &griffierv1.DownloadDocumentRequest{WarrantId: warrantID, DocumentId: id})
	o.must(err)
	var d *griffierv1.Document
	var b strings.Builder
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return d, b.String(), nil
		}
		if err != nil {
			return d, b.String(), err
		}
		if part.GetDocument() != nil {
			d = part.GetDocument()
		}
		b.Write(part.GetData())
	}
}

func TestDocuments(t *testing.T) {
	o := newOffice(t)
	text := strings.Repeat("vordering ", 100_000)
	w := o.warrant("PV-1", text)
	head := func(id string) *griffierv1.UploadDocumentRequest {
		return &griffierv1.UploadDocumentRequest{RequestId: id, WarrantId: w, ContentType: "text/plain", Data: []byte(text[:400<<10])}
	}
	rest := []*griffierv1.UploadDocumentRequest{{Data: []byte(text[400<<10 : 900<<10])}, {Data: []byte(text[900<<10:])}}
	d, err := o.upload(as("olga"), head("request-1"), rest...)
	want(t, "upload", err, "")
	sum := sha256.Sum256([]byte(text))
	if d.GetSha256() != hex.EncodeToString(sum[:]) || d.GetBytes() != int64(len(text)) || !d.GetOfContent() || d.GetAlert() != "" || d.GetStoredBy() != "0ff1" {
		t.Errorf("stored %v", d)
	}
	again, err := o.upload(as("olga"), head("request-1"), rest...)
	if err != nil || again.GetDocumentId() != d.GetDocumentId() {
		t.Errorf("a retry: %v, %v", again, err)
	}
	list, err := o.ListDocuments(as("arjan"), &griffierv1.ListDocumentsRequest{WarrantId: w})
	if err != nil || len(list.GetDocuments()) != 1 {
		t.Errorf("list %v, %v", list, err)
	}
	for _, who := range []string{"olga", "arjan", "ella"} {
		got, data, err := o.download(as(who), w, d.GetDocumentId())
		if err != nil || data != text || got.GetSha256() != d.GetSha256() {
			t.Errorf("%s gets %d bytes, %v", who, len(data), err)
		}
	}

	stated := head("request-2")
	stated.Sha256 = strings.Repeat("0", 64)
	_, err = o.upload(as("olga"), stated, rest...)
	want(t, "another hash than stated", err, reason.DocumentRefused)
	_, err = o.upload(as("olga"), head("request-3"), &griffierv1.UploadDocumentRequest{WarrantId: w, Data: []byte("x")})
	want(t, "a second header", err, reason.InvalidRequest)
	long := head("request-4")
	long.Data = bytes.Repeat([]byte("a"), 512<<10+1)
	_, err = o.upload(as("olga"), long)
	want(t, "a long part", err, reason.InvalidRequest)
	var huge []*griffierv1.UploadDocumentRequest
	for range 40 {
		huge = append(huge, &griffierv1.UploadDocumentRequest{Data: bytes.Repeat([]byte("a"), 500<<10)})
	}
	_, err = o.upload(as("olga"), head("request-5"), huge...)
	want(t, "20 MB", err, reason.DocumentRefused)
	_, err = o.upload(as("olga"), &griffierv1.UploadDocumentRequest{RequestId: "request-6", WarrantId: w, ContentType: "application/pdf", Data: []byte("text")})
	want(t, "text as pdf", err, reason.DocumentRefused)
	_, err = o.upload(as("arjan"), head("request-7"), rest...)
	want(t, "by an approver", err, reason.PermissionDenied)
	_, err = o.upload(as("olga"), &griffierv1.UploadDocumentRequest{RequestId: "x", WarrantId: w})
	want(t, "without a request id", err, reason.InvalidRequest)
	_, err = o.upload(as("olga"), &griffierv1.UploadDocumentRequest{RequestId: "request-8", WarrantId: strings.Repeat("0", 32), ContentType: "text/plain", Data: []byte("a")})
	want(t, "for no warrant", err, reason.NotFound)
	_, err = o.upload(context.Background(), head("request-9"), rest...)
	want(t, "by nobody", err, reason.Unauthenticated)

	_, _, err = o.download(as("arjan"), o.warrant("PV-2", "x"), d.GetDocumentId())
	want(t, "through another dossier", err, reason.NotFound)
	_, _, err = o.download(as("arjan"), w, strings.Repeat("0", 32))
	want(t, "no document", err, reason.NotFound)
	_, err = o.ListDocuments(as("arjan"), &griffierv1.ListDocumentsRequest{WarrantId: strings.Repeat("0", 32)})
	want(t, "no warrant", err, reason.NotFound)

	// After the dossier there is neither the document nor its hash.
	o.must(o.keys.Shred(warrant.KeyID(w)))
	_, _, err = o.download(as("arjan"), w, d.GetDocumentId())
	want(t, "after the dossier", err, reason.NotFound)
	list, err = o.ListDocuments(as("arjan"), &griffierv1.ListDocumentsRequest{WarrantId: w})
	if err != nil || len(list.GetDocuments()) != 1 || list.GetDocuments()[0].GetSha256() != "" {
		t.Errorf("after the dossier %v, %v", list, err)
	}
}

func TestConfirmTask(t *testing.T) {
	o := newOffice(t)
	w := o.warrant("PV-1", "order")
	task := warrantrpc.RandomID()
	o.decide(func(now time.Time) (ledger.Draft, *reason.Error) {
		return o.rules.CreateTask(o.state, now, warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}, warrant.TaskRequest{ID: task, WarrantID: w,
			Generation: 1, Category: warrant.Attribution, Target: "192.0.2.17", Instant: window.Format(time.RFC3339), Port: 51234, Protocol: 6}, content("PV-1", "order"))
	})
	req := func(id string) *griffierv1.ConfirmTaskRequest {
		return &griffierv1.ConfirmTaskRequest{RequestId: id, TaskId: task, ExpectedGeneration: 1, Category: griffierv1.Category_CATEGORY_ATTRIBUTION,
			Target: "192.0.2.17", Instant: window.Format(time.RFC3339), Port: 51234, Protocol: 6}
	}
	_, err := o.ConfirmTask(as("olga"), req("request-1"))
	want(t, "by who asked", err, reason.SelfApproval)
	wrong := req("request-2")
	wrong.Target, wrong.Port = "192.0.2.71", 52134
	_, err = o.ConfirmTask(as("arjan"), wrong)
	want(t, "two fields mistyped", err, reason.EntryMismatch)
	if e := reason.From(err); e == nil || len(e.Violations) != 2 || strings.Contains(err.Error(), "192.0.2") || strings.Contains(err.Error(), "51234") {
		t.Errorf("refused as %v", err)
	}
	r, err := o.ConfirmTask(as("ella"), req("request-3"))
	want(t, "by an external approver", err, "")
	if r.GetConfirmedBy() != "e11a" || r.GetTaskId() != task {
		t.Errorf("confirmed %v", r)
	}
	again, err := o.ConfirmTask(as("ella"), req("request-3"))
	if err != nil || again.GetLedgerIndex() != r.GetLedgerIndex() {
		t.Errorf("a retry: %v, %v", again, err)
	}
	_, err = o.ConfirmTask(as("arjan"), req("request-4"))
	want(t, "a third time", err, reason.WarrantTerminal)
	unknown := req("request-5")
	unknown.TaskId = strings.Repeat("0", 32)
	_, err = o.ConfirmTask(as("arjan"), unknown)
	want(t, "no task", err, reason.NotFound)
}

// What a letter or a form says is in the answer, and nowhere in the ledger.
func TestReadingsKeepNothing(t *testing.T) {
	o := newOffice(t)
	p, err := o.ParseLetter(as("olga"), &griffierv1.ParseLetterRequest{RequestId: "request-1", Text: "Kenmerk: PL-117\nIP 192.0.2.17 op 25-10-2026 om 02:30:00 uur Nederlandse tijd"})
	want(t, "parse", err, "")
	kinds := map[string]*griffierv1.Finding{}
	for _, f := range p.GetFindings() {
		kinds[f.GetKind()] = f
	}
	if f := kinds["INSTANT"]; f.GetOutcome() != "TIME_AMBIGUOUS_DST" || len(f.GetCandidates()) != 2 || f.GetCandidates()[0].GetUtc() != "2026-10-25T00:30:00Z" ||
		f.GetCandidates()[0].GetAmsterdam() != "2026-10-25T02:30:00+02:00" || f.GetCandidates()[1].GetWeekday() != "Sunday" || f.GetLine() != 2 || f.GetColumn() == 0 || f.GetSource() == "" {
		t.Errorf("instant %v", f)
	}
	if kinds["ADDRESS"].GetValue() != "192.0.2.17" || p.GetDraft().GetReference() != "PL-117" || len(p.GetOpen()) < 8 {
		t.Errorf("proposal %v", p)
	}
	_, err = o.ParseLetter(as("olga"), &griffierv1.ParseLetterRequest{RequestId: "request-2", Text: strings.Repeat("a", 5000)})
	want(t, "a long line", err, reason.InvalidRequest)
	_, err = o.ParseLetter(as("olga"), &griffierv1.ParseLetterRequest{RequestId: "request-3", Text: "a", Zone: "Atlantis/Capital"})
	want(t, "a zone of nowhere", err, reason.InvalidRequest)
	_, err = o.ParseLetter(as("arjan"), &griffierv1.ParseLetterRequest{RequestId: "request-4", Text: "a"})
	want(t, "by an approver", err, reason.PermissionDenied)

	form := `{"kind":"EPOC-PR","case_number":"DE-42","issued_at":"2026-11-19T09:00:00+01:00","issuing_authority":{"id":"DE-AG","country":"DE","name":"AG","office":"JUDGE","person":"R. Klein"},
		"addressee":{"name":"ISP","role":"DESIGNATED_ESTABLISHMENT"},"offence":"fraud","identifier":[{"kind":"IP_ADDRESS","value":"192.0.2.17"}],"range":[{"from":"2026-11-18T00:00:00Z","to":"2026-11-19T00:00:00Z"}]}`
	p, err = o.ReadEPOC(as("olga"), &griffierv1.ReadEPOCRequest{RequestId: "request-5", Form: []byte(form)})
	want(t, "read a form", err, "")
	if c := p.GetDraft(); c.GetLegalBasis() != "EPOC-PR" || c.GetReference() != "DE-42" || len(c.GetTargets()) != 1 || c.GetCategories()[0] != griffierv1.Category_CATEGORY_PRESERVATION {
		t.Errorf("draft %v", p.GetDraft())
	}
	_, err = o.ReadEPOC(as("olga"), &griffierv1.ReadEPOCRequest{RequestId: "request-6", Form: []byte(`{"kind":"EPOC"}`)})
	want(t, "an empty form", err, reason.WarrantIncomplete)
	if e := reason.From(err); e == nil || len(e.Violations) < 8 {
		t.Errorf("not all that is missing: %v", err)
	}
	_, err = o.ReadEPOC(as("olga"), &griffierv1.ReadEPOCRequest{RequestId: "request-7", Form: []byte(`<!DOCTYPE epoc [<!ENTITY x SYSTEM "file:///etc/passwd">]><epoc/>`)})
	want(t, "an external entity", err, reason.InvalidRequest)

	entries, err := o.log.Read(t.Context(), 0, 100)
	o.must(err)
	reads := 0
	for _, e := range entries {
		text, err := json.Marshal(e.Header)
		o.must(err)
		if strings.Contains(string(text), "192.0.2") || strings.Contains(string(text), "PL-117") || e.Header.KeyID != "" {
			t.Errorf("entry %s", text)
		}
		if e.Header.Kind == intakerpc.KindLetter || e.Header.Kind == intakerpc.KindForm {
			reads++
		}
	}
	if reads != 3 {
		t.Errorf("%d entries of readings, want 3", reads)
	}
}

func TestCandidates(t *testing.T) {
	o := newOffice(t)
	r, err := o.Candidates(as("olga"), &griffierv1.CandidatesRequest{Text: "25-10-2026 02:30:00", Zone: "Europe/Amsterdam"})
	want(t, "candidates", err, "")
	if r.GetOutcome() != "TIME_AMBIGUOUS_DST" || len(r.GetCandidates()) != 2 || r.GetCandidates()[1].GetUtc() != "2026-10-25T01:30:00Z" || r.GetCandidates()[1].GetBrussels() != "2026-10-25T02:30:00+01:00" {
		t.Errorf("%v", r)
	}
}
