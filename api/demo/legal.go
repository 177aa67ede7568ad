package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

func (d *demo) supportLooksUp(ctx context.Context) error {
	anna, err := d.idp.as(ctx, "anna")
	if err != nil {
		return err
	}
	code, err := griffierv1.NewUsageServiceClient(d.people).CreateSupportCode(anna, &griffierv1.CreateSupportCodeRequest{LineId: "L-anna"})
	if err != nil {
		return err
	}
	sam, err := d.idp.as(ctx, "sam")
	if err != nil {
		return err
	}
	client := griffierv1.NewSupportServiceClient(d.people)
	req := &griffierv1.LookUpLineRequest{Ticket: "T-2026-0042", Code: code.GetCode(),
		Purpose: griffierv1.SupportPurpose_SUPPORT_PURPOSE_COMPLAINT, Window: today()}
	resp, err := client.LookUpLine(sam, req)
	if err != nil {
		return err
	}
	d.say("Anna read out a code; for ticket %s Sam sees line %s: a session since %s, %d bytes down, address %s.", req.GetTicket(), resp.GetLineId(),
		resp.GetSessions()[0].GetStartedAt().AsTime().Format(time.RFC3339), resp.GetTotal().GetBytesDown(), resp.GetSessions()[0].GetAddresses()[0].GetPrefix())
	req.Ticket = "T-2026-0043"
	_, err = client.LookUpLine(sam, req)
	return d.refused("support uses one customer's code for another ticket", err, reason.CodeInvalid)
}

// refused records a refusal, and fails unless it was the one that it should be.
func (d *demo) refused(what string, err error, want reason.Reason) error {
	got := reason.Of(err)
	d.report.Refusals = append(d.report.Refusals, Refusal{what, string(got)})
	if got != want {
		return fmt.Errorf("%s: %v, want %s", what, err, want)
	}
	d.say("Refused, %s: %s.", want, what)
	return nil
}

// asked is what the demo's warrant asks about: an address that the network
// gave out, and an instant at which somebody held it.
type asked struct {
	address netip.Addr
	instant time.Time
}

// question picks Bea's IPv6 address inside her delegated prefix, at an instant
// at which her session had lasted longer than any clock margin, and waits until
// the collector has vouched for that time.
func (d *demo) question(ctx context.Context) (asked, error) {
	if !d.live {
		return d.replayQuestion(), nil
	}
	sessions, err := d.sessions(ctx, "bea")
	if err != nil {
		return asked{}, err
	}
	if len(sessions) == 0 {
		return asked{}, errors.New("bea has no session")
	}
	instant := sessions[0].GetStartedAt().AsTime().Add(5 * time.Second).Truncate(time.Second)
	covered := instant.Add(5 * time.Second)
	if wait := time.Until(covered); wait > 0 {
		time.Sleep(wait)
	}
	return asked{d.lab.Bea.Addr6, instant}, nil
}

// content is an order of an investigating officer about one address.
func (d *demo) content(q asked, recipient string, reference string, until time.Time) *griffierv1.WarrantContent {
	document := sha256.Sum256(orderText(reference))
	now := time.Now()
	utc := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return &griffierv1.WarrantContent{
		LegalBasis: "NL-126na", Authority: demoAuthority, Reference: reference, RequestedBy: "Insp. J. Bakker",
		IssuedAt: utc(now.Add(-time.Hour)), ValidFrom: utc(now.Add(-time.Minute)), ValidUntil: utc(until),
		DocumentSha256: hex.EncodeToString(document[:]), Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_ATTRIBUTION},
		Targets: []string{q.address.String()}, WindowStart: utc(q.instant.Add(-time.Minute)), WindowEnd: utc(q.instant.Add(time.Minute)),
		Recipient: recipient,
	}
}

// orderText is the order as it was received.
func orderText(reference string) []byte {
	return []byte("Vordering ex artikel 126na Sv, kenmerk: " + reference + "\n")
}

// store puts the order itself in the dossier of a warrant.
func (d *demo) store(as context.Context, w *griffierv1.Warrant) error {
	stream, err := griffierv1.NewIntakeServiceClient(d.people).UploadDocument(as)
	if err != nil {
		return err
	}
	if err := stream.Send(&griffierv1.UploadDocumentRequest{RequestId: uuid.NewString(), WarrantId: w.GetWarrantId(), ContentType: "text/plain",
		Data: orderText(w.GetContent().GetReference())}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

// confirm keys the question of a task a second time, as Arjan reads it in the order.
func (d *demo) confirm(ctx context.Context, w *griffierv1.Warrant, task *griffierv1.Task, target, instant string) error {
	arjan, err := d.idp.as(ctx, "arjan")
	if err != nil {
		return err
	}
	_, err = griffierv1.NewIntakeServiceClient(d.people).ConfirmTask(arjan, &griffierv1.ConfirmTaskRequest{RequestId: uuid.NewString(), TaskId: task.GetTaskId(),
		ExpectedGeneration: w.GetGeneration(), Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: target, Instant: instant,
		YearConfirmed: true}) // New Year may lie between
	return err
}

// approved creates a warrant, stores its order, has the authority called back, and has
// it approved by two people.
func (d *demo) approved(ctx context.Context, content *griffierv1.WarrantContent) (*griffierv1.Warrant, error) {
	client := griffierv1.NewWarrantServiceClient(d.people)
	olga, err := d.idp.as(ctx, "olga")
	if err != nil {
		return nil, err
	}
	w, err := client.CreateWarrant(olga, &griffierv1.CreateWarrantRequest{RequestId: uuid.NewString(), Content: content})
	if err != nil {
		return nil, err
	}
	if err := d.store(olga, w); err != nil {
		return nil, err
	}
	w, err = client.VerifyWarrant(olga, &griffierv1.VerifyWarrantRequest{RequestId: uuid.NewString(), WarrantId: w.GetWarrantId(),
		ExpectedGeneration: w.GetGeneration(), ContentSha256: w.GetContentSha256(), Number: demoNumber,
		Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"})
	if err != nil {
		return nil, err
	}
	for _, who := range []string{"olga", "arjan"} {
		as, err := d.idp.as(ctx, who)
		if err != nil {
			return nil, err
		}
		w, err = client.ApproveWarrant(as, &griffierv1.ApproveWarrantRequest{RequestId: uuid.NewString(), WarrantId: w.GetWarrantId(),
			ExpectedGeneration: w.GetGeneration(), ContentSha256: w.GetContentSha256()})
		if err != nil {
			return nil, err
		}
	}
	if w.GetState() != griffierv1.WarrantState_WARRANT_STATE_APPROVED {
		return nil, fmt.Errorf("after two approvals the warrant is %s", w.GetState())
	}
	return w, nil
}

func (d *demo) warrantApproved(ctx context.Context) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.out("authority.key"), []byte(identity.String()+"\n"), 0o600); err != nil {
		return err
	}
	if err := d.registerAuthority(ctx, identity.Recipient().String()); err != nil {
		return err
	}
	q, err := d.question(ctx)
	if err != nil {
		return err
	}
	olga, err := d.idp.as(ctx, "olga")
	if err != nil {
		return err
	}
	client := griffierv1.NewWarrantServiceClient(d.people)
	incomplete := d.content(q, identity.Recipient().String(), "2026-OPS-000", time.Now().Add(time.Hour))
	incomplete.RequestedBy, incomplete.DocumentSha256 = "", ""
	_, err = client.CreateWarrant(olga, &griffierv1.CreateWarrantRequest{RequestId: uuid.NewString(), Content: incomplete})
	if err := d.refused("an order without the officer's name and without its document", err, reason.WarrantIncomplete); err != nil {
		return err
	}
	content := d.content(q, identity.Recipient().String(), "2026-OPS-117", time.Now().Add(24*time.Hour))
	if d.warrant, err = d.approved(ctx, content); err != nil {
		return err
	}
	d.say("Olga called the authority back on %s, its number in the registry: the order is its own.", demoNumber)
	d.say("Warrant %s under %s: Olga approved it as legal officer, Arjan as legal approver,", d.warrant.GetWarrantId(), content.GetLegalBasis())
	d.say("each bound to content %s…, generation %d.", d.warrant.GetContentSha256()[:16], d.warrant.GetGeneration())
	return nil
}

// task creates a task under a warrant.
func (d *demo) newTask(ctx context.Context, w *griffierv1.Warrant, target, instant string) (*griffierv1.Task, error) {
	olga, err := d.idp.as(ctx, "olga")
	if err != nil {
		return nil, err
	}
	return griffierv1.NewDisclosureServiceClient(d.people).CreateTask(olga, &griffierv1.CreateTaskRequest{
		RequestId: uuid.NewString(), WarrantId: w.GetWarrantId(), ExpectedGeneration: w.GetGeneration(),
		Category: griffierv1.Category_CATEGORY_ATTRIBUTION, Target: target, Instant: instant})
}

func (d *demo) execute(ctx context.Context, w *griffierv1.Warrant, task *griffierv1.Task) (*griffierv1.Task, error) {
	olga, err := d.idp.as(ctx, "olga")
	if err != nil {
		return nil, err
	}
	return griffierv1.NewDisclosureServiceClient(d.people).ExecuteTask(olga, &griffierv1.ExecuteTaskRequest{
		RequestId: uuid.NewString(), TaskId: task.GetTaskId(), ExpectedGeneration: w.GetGeneration()})
}

// executed is only how an execution ended.
func (d *demo) executed(ctx context.Context, w *griffierv1.Warrant, task *griffierv1.Task) error {
	_, err := d.execute(ctx, w, task)
	return err
}

func (d *demo) instant() (string, error) {
	start, err := time.Parse(time.RFC3339, d.warrant.GetContent().GetWindowStart())
	return start.Add(time.Minute).Format(time.RFC3339), err
}

func (d *demo) disclose(ctx context.Context) error {
	instant, err := d.instant()
	if err != nil {
		return err
	}
	target := d.warrant.GetContent().GetTargets()[0]
	if d.task, err = d.newTask(ctx, d.warrant, target, instant); err != nil {
		return err
	}
	if err := d.refused("a question that only one person keyed", d.executed(ctx, d.warrant, d.task), reason.WarrantIncomplete); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		return err
	}
	err = d.confirm(ctx, d.warrant, d.task, target, at.Add(time.Hour).UTC().Format(time.RFC3339))
	if err := d.refused("the second person reads the order's time an hour off", err, reason.EntryMismatch); err != nil {
		return err
	}
	if err := d.confirm(ctx, d.warrant, d.task, target, at.UTC().Format(time.RFC3339)); err != nil {
		return err
	}
	d.say("Arjan keyed the same question again, from the order.")
	if d.task, err = d.execute(ctx, d.warrant, d.task); err != nil {
		return err
	}
	d.report.Answers = append(d.report.Answers, Answer{fmt.Sprintf("which line held %s at %s", target, instant), d.task.GetAnswer()})
	d.say("Which line held %s at %s? %s.", target, instant, d.task.GetAnswer())
	if err := d.fetch(ctx); err != nil {
		return err
	}
	again, err := d.execute(ctx, d.warrant, d.task)
	if err != nil {
		return fmt.Errorf("executing again: %w", err)
	}
	if again.GetPackageSha256() != d.task.GetPackageSha256() {
		return errors.New("executing again gave another package")
	}
	d.say("Asked again, it is the same package: %s…", d.task.GetPackageSha256()[:16])
	return d.verifyPackage(ctx)
}

// fetch keeps the package and its receipt in the folder out.
func (d *demo) fetch(ctx context.Context) error {
	arjan, err := d.idp.as(ctx, "arjan")
	if err != nil {
		return err
	}
	stream, err := griffierv1.NewDisclosureServiceClient(d.people).FetchPackage(arjan, &griffierv1.FetchPackageRequest{TaskId: d.task.GetTaskId()})
	if err != nil {
		return err
	}
	var sealed, receipt bytes.Buffer
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		sealed.Write(part.GetChunk())
		receipt.Write(part.GetReceipt())
	}
	d.report.Package.Path = d.out("package.age")
	if err := os.WriteFile(d.report.Package.Path, sealed.Bytes(), 0o600); err != nil {
		return err
	}
	trust, err := os.ReadFile(filepath.Join(d.griffierdDir(), "trust", "trust.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.trustFile(), trust, 0o600); err != nil {
		return err
	}
	return os.WriteFile(d.out("receipt.json"), receipt.Bytes(), 0o600)
}

// verifyPackage runs `griffier verify`, which knows nothing but these files.
func (d *demo) verifyPackage(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, d.self(), "verify", d.report.Package.Path, "-trust", d.trustFile(),
		"--identity", d.out("authority.key"), "-o", "json")
	out, err := cmd.Output()
	var verdict struct {
		Verified bool `json:"verified"`
	}
	if jsonErr := json.Unmarshal(out, &verdict); jsonErr != nil {
		return fmt.Errorf("griffier verify: %w: %s", errors.Join(err, jsonErr), out)
	}
	d.report.Package.Verified = verdict.Verified && err == nil
	if !d.report.Package.Verified {
		return fmt.Errorf("griffier verify: %w: %s", err, out)
	}
	d.say("The authority opens it with its own key and verifies it offline: griffier verify %s -trust %s", d.report.Package.Path, d.trustFile())
	return nil
}

func (d *demo) overBroad(ctx context.Context) error {
	instant, err := d.instant()
	if err != nil {
		return err
	}
	target := d.warrant.GetContent().GetTargets()[0]
	address, err := netip.ParseAddr(target)
	if err != nil {
		return err
	}
	wide, err := address.Prefix(address.BitLen() / 2)
	if err != nil {
		return err
	}
	_, err = d.newTask(ctx, d.warrant, wide.String(), instant)
	if err := d.refused("a prefix instead of one address", err, reason.TargetNotSpecific); err != nil {
		return err
	}
	_, err = d.newTask(ctx, d.warrant, address.Next().String(), instant)
	if err := d.refused("an address that the warrant does not name", err, reason.TargetNotSpecific); err != nil {
		return err
	}
	_, err = d.newTask(ctx, d.warrant, target, d.warrant.GetContent().GetWindowEnd())
	if err := d.refused("an instant one second past the warrant's window", err, reason.WindowExceedsWarrant); err != nil {
		return err
	}
	_, err = d.newTask(ctx, d.warrant, target, instant[:len(instant)-1])
	return d.refused("an instant without a time zone", err, reason.TimeZoneMissing)
}

func (d *demo) expiredWarrant(ctx context.Context) error {
	target, err := netip.ParseAddr(d.warrant.GetContent().GetTargets()[0])
	if err != nil {
		return err
	}
	text, err := d.instant()
	if err != nil {
		return err
	}
	instant, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return err
	}
	ends := time.Now().Add(4 * time.Second).Truncate(time.Second)
	w, err := d.approved(ctx, d.content(asked{target, instant}, d.warrant.GetContent().GetRecipient(), "2026-OPS-118", ends))
	if err != nil {
		return err
	}
	task, err := d.newTask(ctx, w, target.String(), text)
	if err != nil {
		return err
	}
	if err := d.confirm(ctx, w, task, target.String(), text); err != nil {
		return err
	}
	d.say("Approved and ready to run, but valid until %s only; waiting.", ends.UTC().Format(time.RFC3339))
	time.Sleep(time.Until(ends) + 100*time.Millisecond)
	_, err = d.execute(ctx, w, task)
	return d.refused("a task under a warrant that has just expired", err, reason.WarrantExpired)
}
