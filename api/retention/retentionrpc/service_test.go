package retentionrpc

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/mod/sumdb/note"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/retention"
	"griffier/api/signedfile"
	griffierv1 "griffier/proto/griffier/v1"
	"griffier/schema"
	"griffier/schema/schematest"
)

// office is the service with a store and a ledger of its own, and a policy of
// fourteen days for usage_5m in force.
type office struct {
	t       *testing.T
	dir     string
	conn    driver.Conn
	keys    *keystore.Store
	key     *ledger.Key
	signer  note.Signer
	trusted signedfile.Trusted
	book    *ledger.Log
	keeper  *retention.Keeper
	desk    *retention.Desk
	service *Service
}

func (o *office) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func newOffice(t *testing.T) *office {
	o := &office{t: t, dir: t.TempDir()}
	var err error
	o.conn, err = schema.Open(t.Context(), schema.Config{Socket: schematest.Spared(t).Socket, Settings: map[string]any{"fsync_metadata": 0}})
	o.must(err)
	t.Cleanup(func() { o.conn.Close() })
	o.must(keystore.GenerateMasterKey(filepath.Join(o.dir, "master")))
	o.keys, err = keystore.Open(filepath.Join(o.dir, "keys"), filepath.Join(o.dir, "master"))
	o.must(err)
	o.key, err = ledger.GenerateKey(filepath.Join(o.dir, "key"), "test.example/log")
	o.must(err)
	secret, public, err := note.GenerateKey(rand.Reader, "test.example/lawyer")
	o.must(err)
	o.signer, err = note.NewSigner(secret)
	o.must(err)
	o.trusted, err = signedfile.NewTrusted([]string{public})
	o.must(err)
	o.must(os.WriteFile(o.path(), o.file(1, "P14D"), 0o600))
	o.open()
	t.Cleanup(func() { o.book.Close() })
	return o
}

func (o *office) path() string { return filepath.Join(o.dir, "retention.yaml") }

// open opens the ledger and makes the service, as a start of griffierd does.
func (o *office) open() {
	o.t.Helper()
	o.keeper = &retention.Keeper{}
	var err error
	o.book, err = ledger.Open(context.Background(), ledger.Config{Dir: filepath.Join(o.dir, "log"), WitnessFile: filepath.Join(o.dir, "witness"),
		Key: o.key, Keys: o.keys, Folds: []ledger.Fold{o.keeper}, Limit: 30 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	o.must(err)
	o.desk = retention.NewDesk(o.path(), o.trusted, o.keeper, o.conn, o.book, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	o.must(o.desk.Start(o.t.Context()))
	o.service = NewService(Config{Book: o.book, Keys: o.keys, Keeper: o.keeper, Desk: o.desk, Trusted: o.trusted, Conn: o.conn, Now: time.Now})
}

// file is profile nl of a generation, with a period for usage_5m, signed.
func (o *office) file(generation int, period string) []byte {
	o.t.Helper()
	text, err := retention.Profile("nl")
	o.must(err)
	text = bytes.Replace(text, []byte("P14D"), []byte(period), 1)
	text = bytes.Replace(text, []byte("generation: 1"), fmt.Appendf(nil, "generation: %d", generation), 1)
	signed, err := retention.Sign(text, o.signer)
	o.must(err)
	return signed
}

func (o *office) inForce() string {
	o.t.Helper()
	policies, err := schema.ReadPolicy(o.t.Context(), o.conn)
	o.must(err)
	for _, p := range policies {
		if p.Class == schema.ClassUsage5m {
			return p.Period
		}
	}
	return ""
}

func as(actor string, roles ...griffierv1.Role) context.Context {
	return auth.NewContext(context.Background(), auth.Caller{Subject: "s", Actor: actor, Roles: roles})
}

var (
	operator   = as("0a", griffierv1.Role_ROLE_OPERATOR)
	overseer   = as("0b", griffierv1.Role_ROLE_OVERSEER)
	controller = as("0c", griffierv1.Role_ROLE_PRIVACY_CONTROLLER)
)

func (o *office) want(what string, err error, want reason.Reason) {
	o.t.Helper()
	if got := reason.Of(err); got != want || want == "" && err != nil {
		o.t.Errorf("%s: %q (%v), want %q", what, got, err, want)
	}
}

// proposed takes a file as far as its advice.
func (o *office) proposed(generation int, period string) *griffierv1.RetentionProposal {
	o.t.Helper()
	p, err := o.service.ProposeRetention(operator, &griffierv1.ProposeRetentionRequest{RequestId: fmt.Sprintf("propose-%d", generation), File: o.file(generation, period)})
	o.must(err)
	p, err = o.service.AdviseRetention(overseer, &griffierv1.AdviseRetentionRequest{RequestId: fmt.Sprintf("advise-%d", generation), ProposalId: p.GetProposalId(),
		Sha256: p.GetSha256(), Advice: griffierv1.RetentionAdvice_RETENTION_ADVICE_IN_FAVOUR_WITH_CONDITIONS, Text: "Alleen tot maart."})
	o.must(err)
	return p
}

func TestApprovedComesIntoForce(t *testing.T) {
	o := newOffice(t)
	p := o.proposed(2, "P21D")
	if p.GetState() != griffierv1.RetentionProposalState_RETENTION_PROPOSAL_STATE_AWAITING_APPROVAL || p.GetGeneration() != 2 || o.inForce() != "P14D" {
		t.Errorf("before the approval: %v, in force %s", p, o.inForce())
	}
	approve := &griffierv1.ApproveRetentionRequest{RequestId: "approve-0001", ProposalId: p.GetProposalId(), Sha256: p.GetSha256(), ExpectedGeneration: 2}
	for range 2 { // a retry finds out that it is done
		got, err := o.service.ApproveRetention(controller, approve)
		o.want("approve", err, "")
		if got.GetState() != griffierv1.RetentionProposalState_RETENTION_PROPOSAL_STATE_IN_FORCE || o.inForce() != "P21D" {
			t.Errorf("after the approval: %v, in force %s", got, o.inForce())
		}
	}
	all, err := o.service.ListRetentionHistory(overseer, &griffierv1.ListRetentionHistoryRequest{})
	o.must(err)
	if len(all.GetPolicies()) != 2 || len(all.GetProposals()) != 1 || all.GetPolicies()[1].GetProposalId() != p.GetProposalId() || all.GetPolicies()[1].GetSignedBy() != "test.example/lawyer" {
		t.Errorf("history: %v", all)
	}
	// The old file on disk is told of, and does not bring the old policy back.
	now, err := o.service.GetRetention(overseer, &griffierv1.GetRetentionRequest{})
	o.must(err)
	if !strings.Contains(now.GetFileProblem(), "generation 1 and generation 2 is in force") || now.GetInForce().GetGeneration() != 2 || len(now.GetOpen()) != 0 {
		t.Errorf("with the old file on disk: %v", now)
	}
	o.must(o.book.Close())
	o.open()
	if o.inForce() != "P21D" {
		t.Errorf("after a restart with the old file %s is in force, want P21D", o.inForce())
	}
	o.must(os.WriteFile(o.path(), o.file(2, "P21D"), 0o600))
	o.must(o.desk.Load(t.Context()))
	if o.desk.Problem() != "" {
		t.Errorf("with the new file in place: %s", o.desk.Problem())
	}
	// Everyone's words are sealed; what the fold needs is not.
	entries, err := o.book.Read(t.Context(), 0, 100)
	o.must(err)
	for _, e := range entries {
		leaf, err := e.Encode()
		o.must(err)
		if bytes.Contains(leaf, []byte("Alleen tot maart")) {
			t.Errorf("%s: advice stands in the clear", e.Header.Kind)
		}
		body, err := o.book.Body(e)
		o.must(err)
		switch e.Header.Kind {
		case retention.KindPropose:
			if !bytes.Contains(body, []byte("test.example/lawyer")) {
				t.Errorf("the proposal does not hold the signed file: %s", body)
			}
		case retention.KindAdvise:
			if !bytes.Contains(body, []byte("Alleen tot maart.")) {
				t.Errorf("the advice is not there: %s", body)
			}
		}
	}
}

// stopped is a desk of a server that stops before it brings anything into force.
type stopped struct{ *retention.Desk }

func (stopped) Bring(context.Context) error { return errors.New("stopped") }

// TestAStopBetweenApprovalAndForce: the next start brings it, and a retry finds it.
func TestAStopBetweenApprovalAndForce(t *testing.T) {
	o := newOffice(t)
	p := o.proposed(2, "P21D")
	approve := &griffierv1.ApproveRetentionRequest{RequestId: "approve-0001", ProposalId: p.GetProposalId(), Sha256: p.GetSha256(), ExpectedGeneration: 2}
	o.service.cfg.Desk = stopped{o.desk}
	_, err := o.service.ApproveRetention(controller, approve)
	o.want("approve", err, reason.StoreUnavailable)
	if o.inForce() != "P14D" {
		t.Fatalf("in force is %s already", o.inForce())
	}
	o.must(o.book.Close())
	o.open()
	if o.inForce() != "P21D" {
		t.Errorf("after a restart %s is in force, want what was approved", o.inForce())
	}
	got, err := o.service.ApproveRetention(controller, approve)
	o.want("retry", err, "")
	if got.GetState() != griffierv1.RetentionProposalState_RETENTION_PROPOSAL_STATE_IN_FORCE {
		t.Errorf("retry: %v", got)
	}
}

func TestRefusals(t *testing.T) {
	o := newOffice(t)
	propose := func(ctx context.Context, id string, file []byte) error {
		_, err := o.service.ProposeRetention(ctx, &griffierv1.ProposeRetentionRequest{RequestId: id, File: file})
		return err
	}
	good := o.file(2, "P21D")
	o.want("nobody", propose(context.Background(), "request-1", good), reason.Unauthenticated)
	o.want("without a request id", propose(operator, "", good), reason.InvalidRequest)
	o.want("unsigned", propose(operator, "request-1", signedfile.Text(good)), reason.PolicyRefused)
	o.want("edited", propose(operator, "request-1", bytes.Replace(good, []byte("P21D"), []byte("P22D"), 1)), reason.PolicyRefused)
	o.want("a megabyte", propose(operator, "request-1", bytes.Repeat([]byte("#"), 1<<20)), reason.PolicyRefused)
	o.want("nothing", propose(operator, "request-1", nil), reason.PolicyRefused)
	o.want("shortens", propose(operator, "request-1", o.file(2, "P7D")), reason.InvalidRequest)
	o.want("an old generation", propose(operator, "request-1", o.file(1, "P21D")), reason.GenerationMismatch)
	o.want("another role", propose(controller, "request-1", good), reason.PermissionDenied)
	machine := auth.NewContext(context.Background(), auth.Caller{Actor: "0d", Roles: []griffierv1.Role{griffierv1.Role_ROLE_OPERATOR}, Machine: true})
	o.want("a machine", propose(machine, "request-1", good), reason.PermissionDenied)
	o.want("good", propose(operator, "request-1", good), "")
	o.want("the same request for another file", propose(operator, "request-1", o.file(2, "P22D")), reason.InvalidRequest)

	proposals := o.keeper.Proposals()
	if len(proposals) != 1 {
		t.Fatalf("%d proposals, want one", len(proposals))
	}
	_, err := o.service.ApproveRetention(controller, &griffierv1.ApproveRetentionRequest{RequestId: "request-2", ProposalId: "x"})
	o.want("approve nothing", err, reason.NotFound)
	_, err = o.service.ApproveRetention(controller, &griffierv1.ApproveRetentionRequest{RequestId: "request-2", ProposalId: proposals[0].ID, Sha256: proposals[0].SHA256, ExpectedGeneration: 1})
	o.want("approve without advice", err, reason.AdviceMissing)
	// A policy that comes into force meanwhile overtakes it.
	o.must(os.WriteFile(o.path(), o.file(3, "P7D"), 0o600))
	o.must(o.desk.Load(t.Context()))
	_, err = o.service.AdviseRetention(overseer, &griffierv1.AdviseRetentionRequest{RequestId: "request-3", ProposalId: proposals[0].ID, Sha256: proposals[0].SHA256,
		Advice: griffierv1.RetentionAdvice_RETENTION_ADVICE_IN_FAVOUR, Text: "x"})
	o.want("advise on what was overtaken", err, reason.GenerationMismatch)
	if o.inForce() != "P7D" {
		t.Errorf("in force is %s, want P7D", o.inForce())
	}
	// What is wrong is told by line.
	_, err = o.service.PlanRetention(operator, &griffierv1.PlanRetentionRequest{File: bytes.Replace(signedfile.Text(o.file(4, "P7D")), []byte("P7D"), []byte("P-1D"), 1)})
	o.want("a bad plan", err, reason.PolicyRefused)
	if v := reason.From(err).Violations; len(v) != 2 || !strings.HasPrefix(v[0].Field, "file:") || !strings.Contains(v[0].Description, "usage_5m") {
		t.Errorf("violations %v, want line and column, and the missing signature", v)
	}
	// A plan needs no signature, and says that it has none.
	plan, err := o.service.PlanRetention(operator, &griffierv1.PlanRetentionRequest{File: signedfile.Text(o.file(4, "P8D"))})
	o.want("an unsigned plan", err, "")
	if plan.GetSignedBy() != "" || !plan.GetNeedsProposal() || plan.GetGenerationInForce() != 3 || len(plan.GetChanges()) != len(retention.Classes()) {
		t.Errorf("plan %v", plan)
	}
}

// TestAKeyThatWasTakenBack: what it signed before cannot come into force any more.
func TestAKeyThatWasTakenBack(t *testing.T) {
	o := newOffice(t)
	p := o.proposed(2, "P21D")
	_, public, err := note.GenerateKey(rand.Reader, "test.example/successor")
	o.must(err)
	o.trusted, err = signedfile.NewTrusted([]string{public})
	o.must(err)
	o.must(o.book.Close())
	o.open()
	_, err = o.service.ApproveRetention(controller, &griffierv1.ApproveRetentionRequest{RequestId: "approve-0001", ProposalId: p.GetProposalId(),
		Sha256: p.GetSha256(), ExpectedGeneration: 2})
	o.want("approve what a former key signed", err, reason.PolicyRefused)
	if o.inForce() != "P14D" || o.keeper.Generation() != 1 {
		t.Errorf("%s of generation %d is in force, want P14D of 1", o.inForce(), o.keeper.Generation())
	}
}
