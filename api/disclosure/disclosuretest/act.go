package disclosuretest

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
)

// As returns a context of a caller.
func (l *Lab) As(actor string, roles ...griffierv1.Role) context.Context {
	if l.Credentials != nil {
		return l.Credentials(actor)
	}
	kv := []string{"actor", actor}
	for _, r := range roles {
		kv = append(kv, "role", strconv.Itoa(int(r)))
	}
	return metadata.AppendToOutgoingContext(l.T.Context(), kv...)
}

// Officer is the legal officer who asks.
func (l *Lab) Officer() context.Context { return l.As("0ff1", griffierv1.Role_ROLE_LEGAL_OFFICER) }

// Approver is the legal approver.
func (l *Lab) Approver() context.Context {
	return l.As("a44r", griffierv1.Role_ROLE_LEGAL_APPROVER)
}

// Request is a request id that was not used before. Its time is in digits alone: in
// letters it says bob now and then, and packages show it.
func (l *Lab) Request() string {
	return "request-" + strconv.FormatInt(l.requests.Add(1), 10) + "-" + strconv.FormatInt(time.Now().UnixNano(), 10)
}

// Content is a good order over all addresses of the lab, valid for d from now.
func (l *Lab) Content(d time.Duration) *griffierv1.WarrantContent {
	now := l.Now()
	return &griffierv1.WarrantContent{
		LegalBasis: "NL-126na", Authority: "NL-OM-Amsterdam", Reference: "PV " + l.Request(), RequestedBy: "J. de Vries",
		IssuedAt: now.Add(-time.Hour).Format(time.RFC3339Nano), ValidFrom: now.Add(-time.Minute).Format(time.RFC3339Nano), ValidUntil: now.Add(d).Format(time.RFC3339Nano),
		DocumentSha256: strings.Repeat("ab", 32), Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_IDENTITY},
		Targets:     []string{"192.0.2.17", "2001:db8:1:2::17", "192.0.2.20", "192.0.2.21", "192.0.2.22", "192.0.2.23", "192.0.2.99", "192.0.2.200", "198.51.100.7"},
		WindowStart: l.Noon.Add(-60 * 24 * time.Hour).Format(time.RFC3339), WindowEnd: l.Noon.Add(20 * time.Hour).Format(time.RFC3339),
		Recipient: l.Identity.Recipient().String(),
	}
}

// Approved makes a warrant and has it approved by two people.
func (l *Lab) Approved(d time.Duration) *griffierv1.Warrant {
	l.T.Helper()
	return l.Approve(l.Content(d))
}

// Approve makes a warrant of content and has it approved by two people.
func (l *Lab) Approve(content *griffierv1.WarrantContent) *griffierv1.Warrant {
	l.T.Helper()
	w, err := l.Warrants.CreateWarrant(l.Officer(), &griffierv1.CreateWarrantRequest{RequestId: l.Request(), Content: content})
	if err == nil {
		w, err = l.CalledBack(w)
	}
	for _, ctx := range []context.Context{l.Officer(), l.Approver()} {
		if err == nil {
			w, err = l.Warrants.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
				ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256})
		}
	}
	if err != nil {
		l.T.Fatal(err)
	}
	return w
}

// Resume lets a suspended warrant go on, as two people do.
func (l *Lab) Resume(w *griffierv1.Warrant) (*griffierv1.Warrant, error) {
	for i, ctx := range []context.Context{l.Officer(), l.Approver()} {
		after, err := l.Warrants.ResumeWarrant(ctx, &griffierv1.ResumeWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId,
			ExpectedGeneration: w.Generation, ContentSha256: w.ContentSha256, Explanation: "answered"})
		if err != nil || i == 1 {
			return after, err
		}
	}
	return nil, nil
}

// Receive enters that a document is in the dossier of a warrant.
func (l *Lab) Receive(warrantID, sha256 string) error {
	_, err := warrantrpc.Decide(context.Background(), l.Book, l.Request(), func(now time.Time) (ledger.Draft, *reason.Error) {
		return l.Rules.StoreDocument(l.State, now, warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}, warrant.StoreDocumentRequest{
			ID: warrantrpc.RandomID(), WarrantID: warrantID, SHA256: sha256, Type: warrant.PDF, Bytes: 1, FileSHA256: strings.Repeat("f1", 32), Scan: warrant.ScanClean})
	})
	return err
}

// CalledBack records that the authority confirmed the order.
func (l *Lab) CalledBack(w *griffierv1.Warrant) (*griffierv1.Warrant, error) {
	return l.Warrants.VerifyWarrant(l.Officer(), &griffierv1.VerifyWarrantRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
		ContentSha256: w.ContentSha256, Number: warranttest.CallBack, Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"})
}

// Task makes a task about who held an address at an instant.
func (l *Lab) Task(w *griffierv1.Warrant, target string, instant time.Time) *griffierv1.Task {
	l.T.Helper()
	task, err := l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: target, Instant: instant.Format(time.RFC3339)})
	if err != nil {
		l.T.Fatal(err)
	}
	return task
}

// Execute executes a task as the officer.
func (l *Lab) Execute(task *griffierv1.Task) (*griffierv1.Task, error) {
	return l.Tasks.ExecuteTask(l.Officer(), &griffierv1.ExecuteTaskRequest{RequestId: l.Request(), TaskId: task.TaskId, ExpectedGeneration: task.Generation})
}

// Fetch fetches as the approver. Where the download was used, the officer grants
// another first.
func (l *Lab) Fetch(task *griffierv1.Task) (sealed, receipt []byte, err error) {
	sealed, receipt, err = l.FetchOnce(l.Approver(), task)
	if reason.Of(err) != reason.DownloadUsed {
		return sealed, receipt, err
	}
	if _, err := l.Packages.GrantDownload(l.Officer(), &griffierv1.GrantDownloadRequest{RequestId: l.Request(), TaskId: task.TaskId, Role: griffierv1.Role_ROLE_LEGAL_APPROVER}); err != nil {
		return nil, nil, err
	}
	return l.FetchOnce(l.Approver(), task)
}

// FetchOnce fetches as whoever, and no more than the download allows.
func (l *Lab) FetchOnce(as context.Context, task *griffierv1.Task) (sealed, receipt []byte, err error) {
	stream, err := l.Tasks.FetchPackage(as, &griffierv1.FetchPackageRequest{TaskId: task.TaskId})
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

// Everything is a warrant of an imagined basis that covers every category but
// preservation, about the targets.
func (l *Lab) Everything(targets ...string) *griffierv1.Warrant {
	l.T.Helper()
	profile := *l.Rules.Law()[0]
	profile.Bases = slices.Clone(profile.Bases)
	i := slices.IndexFunc(profile.Bases, func(b warrant.Basis) bool { return b.ID == "NL-126n" })
	profile.Bases[i].Categories = []warrant.Category{warrant.Identity, warrant.Attribution, warrant.History, warrant.TimeCategory, warrant.Volume}
	l.Rules.Law = warrant.Always(l.Rules.Law().With(&profile)...)
	c := l.Content(time.Hour)
	c.LegalBasis, c.ExaminingMagistrateAuthorisation, c.Targets = "NL-126n", "RC 2026/117", targets
	c.Categories = []griffierv1.Category{griffierv1.Category_CATEGORY_IDENTITY, griffierv1.Category_CATEGORY_ATTRIBUTION, griffierv1.Category_CATEGORY_HISTORY, griffierv1.Category_CATEGORY_TIME, griffierv1.Category_CATEGORY_VOLUME}
	c.ExaminingMagistrateDate, c.ExaminingMagistrateScope = l.Noon.Format(time.DateOnly), c.Categories
	return l.Approve(c)
}

// Ask makes a task; a window of no length is an instant.
func (l *Lab) Ask(w *griffierv1.Warrant, category griffierv1.Category, target string, from, to time.Duration, change ...func(*griffierv1.CreateTaskRequest)) (*griffierv1.Task, error) {
	l.T.Helper()
	req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation, Category: category, Target: target,
		Instant: l.Noon.Add(from).Format(time.RFC3339Nano)}
	if to != from {
		req.WindowEnd = l.Noon.Add(to).Format(time.RFC3339Nano)
	}
	for _, f := range change {
		f(req)
	}
	return l.Tasks.CreateTask(l.Officer(), req)
}

// Order makes an approved preservation order.
func (l *Lab) Order(basis string, d time.Duration) *griffierv1.Warrant {
	content := l.Content(d)
	content.LegalBasis, content.Categories = basis, []griffierv1.Category{griffierv1.Category_CATEGORY_PRESERVATION}
	if l.Rules.Law().Of(basis).Name == warrant.Union { // its authority is another member state's
		content.Authority = "DE-AG-Berlin"
	}
	return l.Approve(content)
}

// Preservation makes a task of an order.
func (l *Lab) Preservation(w *griffierv1.Warrant, target string, from, to time.Time) *griffierv1.Task {
	l.T.Helper()
	req := &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
		Category: griffierv1.Category_CATEGORY_PRESERVATION, Target: target, Instant: from.Format(time.RFC3339)}
	if !to.IsZero() {
		req.WindowEnd = to.Format(time.RFC3339)
	}
	task, err := l.Tasks.CreateTask(l.Officer(), req)
	if err != nil {
		l.T.Fatal(err)
	}
	return task
}

// FromHold makes a task that asks a hold.
func (l *Lab) FromHold(w *griffierv1.Warrant, holdID, target string, instant time.Time) *griffierv1.Task {
	l.T.Helper()
	task, err := l.Tasks.CreateTask(l.Officer(), &griffierv1.CreateTaskRequest{RequestId: l.Request(), WarrantId: w.WarrantId, ExpectedGeneration: w.Generation,
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: target, Instant: instant.Format(time.RFC3339), FromHold: holdID})
	if err != nil {
		l.T.Fatal(err)
	}
	return task
}

// Grant gives a used download of a package anew: one person asks, another fetches.
func (l *Lab) Grant(task *griffierv1.Task) {
	l.T.Helper()
	by := warrant.Caller{Actor: "0ff1", Roles: []warrant.Role{warrant.LegalOfficer}}
	_, err := warrantrpc.Decide(l.T.Context(), l.Log, l.Request(), func(now time.Time) (ledger.Draft, *reason.Error) {
		return l.Rules.Grant(l.State, now, by, task.TaskId, warrant.LegalApprover)
	})
	if err != nil {
		l.T.Fatal(err)
	}
}
