package warrantrpc_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"

	"griffier/api/auth"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/warrant"
	"griffier/api/warrant/warrantrpc"
	"griffier/api/warrant/warranttest"
	griffierv1 "griffier/proto/griffier/v1"
)

// office is the service over a real ledger and key store.
type office struct {
	*warrantrpc.Service
	t     *testing.T
	log   *ledger.Log
	keys  *keystore.Store
	state *warrant.State
	rules *warrant.Rules
	ended []string
	ahead atomic.Int64 // how far the clock of everything stands ahead, in nanoseconds
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

func newOffice(t *testing.T) *office {
	o := &office{t: t, state: warrant.NewState()}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keystore.GenerateMasterKey(filepath.Join(dir, "master")))
	var err error
	o.keys, err = keystore.Open(filepath.Join(dir, "keys"), filepath.Join(dir, "master"))
	must(err)
	key, err := ledger.GenerateKey(filepath.Join(dir, "ledger.key"), "isp.example/griffier")
	must(err)
	o.log, err = ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(dir, "log"), WitnessFile: filepath.Join(dir, "witness"), Key: key,
		Keys: o.keys, Folds: []ledger.Fold{o.state}, Now: o.now, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second})
	must(err)
	t.Cleanup(func() { o.log.Close() })
	profile, err := warrant.LoadProfile("nl")
	must(err)
	o.rules, err = warrant.NewRules(warrant.Rules{Law: warrant.Always(profile), Authorities: warranttest.Registry(identity.Recipient().String()), DuplicateKey: bytes.Repeat([]byte{3}, 32)})
	must(err)
	o.Service = warrantrpc.NewService(warrantrpc.Config{Book: o.log, Keys: o.keys, State: o.state, Rules: o.rules, Now: o.now,
		Ended: func(id string) { o.ended = append(o.ended, id) }})
	return o
}

func as(actor string, roles ...griffierv1.Role) context.Context {
	return auth.NewContext(context.Background(), auth.Caller{Subject: actor, Actor: actor, Roles: roles})
}

var (
	identity, _ = age.GenerateX25519Identity()

	officer  = as("0ff1", griffierv1.Role_ROLE_LEGAL_OFFICER)
	approver = as("a44r", griffierv1.Role_ROLE_LEGAL_APPROVER)
)

func content(t *testing.T, reference string) *griffierv1.WarrantContent {
	t.Helper()
	now := time.Now()
	return &griffierv1.WarrantContent{
		LegalBasis: "NL-126na", Authority: "NL-OM", Reference: reference, RequestedBy: "J. de Vries", IssuedAt: now.Format(time.RFC3339),
		ValidFrom: now.Format(time.RFC3339), ValidUntil: now.Add(time.Hour).Format(time.RFC3339), DocumentSha256: strings.Repeat("ab", 32),
		Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_ATTRIBUTION}, Targets: []string{"192.0.2.17"},
		WindowStart: now.Add(-time.Hour).Format(time.RFC3339), WindowEnd: now.Format(time.RFC3339), Recipient: identity.Recipient().String(),
	}
}

func want(t *testing.T, what string, err error, r reason.Reason) {
	t.Helper()
	if reason.Of(err) != r || (r == "") != (err == nil) {
		t.Errorf("%s: %v, want %q", what, err, r)
	}
}

func (o *office) keyCount() int {
	ids, err := o.keys.List()
	if err != nil {
		o.t.Fatal(err)
	}
	return len(ids)
}

func TestCreateAndRetry(t *testing.T) {
	o := newOffice(t)
	req := &griffierv1.CreateWarrantRequest{RequestId: "request-1", Content: content(t, "PV-1")}
	w, err := o.CreateWarrant(officer, req)
	want(t, "create", err, "")
	if w.State != griffierv1.WarrantState_WARRANT_STATE_AWAITING_APPROVAL || !proto.Equal(w.Content, req.Content) || w.Generation != 1 {
		t.Errorf("created %v", w)
	}
	again, err := o.CreateWarrant(officer, req)
	want(t, "the same again", err, "")
	if again.GetWarrantId() != w.WarrantId {
		t.Errorf("the same request made another warrant")
	}
	_, err = o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "request-1", Content: content(t, "PV-2")})
	want(t, "the id for another order", err, reason.InvalidRequest)
	_, err = o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "request-2", Content: req.Content})
	want(t, "the order under another id", err, reason.DuplicateWarrant)
	// The id of one person is not that of another.
	_, err = o.CreateWarrant(as("0ff2", griffierv1.Role_ROLE_LEGAL_OFFICER), &griffierv1.CreateWarrantRequest{RequestId: "request-1", Content: content(t, "PV-3")})
	want(t, "the same id, another person", err, "")
	_, err = o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "request-4"})
	want(t, "nothing in it", err, reason.WarrantIncomplete)
	for _, id := range []string{"", "short", "with space in it", strings.Repeat("a", 65)} {
		_, err = o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: id, Content: content(t, "PV-5")})
		want(t, "request id "+id, err, reason.InvalidRequest)
	}
	_, err = o.CreateWarrant(context.Background(), req)
	want(t, "nobody", err, reason.Unauthenticated)
	if n := o.keyCount(); n != 2 {
		t.Errorf("%d case keys for 2 warrants", n)
	}
}

// Of many requests for the same order at once, one makes it.
func TestCreateAtOnce(t *testing.T) {
	o := newOffice(t)
	c := content(t, "PV-1")
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for i := range 20 {
		wg.Go(func() {
			_, err := o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "request-" + string(rune('a'+i)), Content: c})
			results <- err
		})
	}
	wg.Wait()
	made := 0
	for range 20 {
		if err := <-results; err == nil {
			made++
		} else {
			want(t, "a loser", err, reason.DuplicateWarrant)
		}
	}
	if made != 1 || len(o.state.Warrants()) != 1 || o.keyCount() != 1 {
		t.Errorf("%d made, %d in the state, %d keys", made, len(o.state.Warrants()), o.keyCount())
	}
}

func TestApproveRejectRevoke(t *testing.T) {
	o := newOffice(t)
	make := func(reference string) *griffierv1.Warrant {
		w, err := o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "create-" + reference, Content: content(t, reference)})
		want(t, reference, err, "")
		return w
	}
	w := make("PV-0001")
	_, err := o.ApproveWarrant(officer, &griffierv1.ApproveWarrantRequest{RequestId: "approve-0", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	want(t, "before the authority was called back", err, reason.WarrantIncomplete)
	call := &griffierv1.VerifyWarrantRequest{RequestId: "verify-1", WarrantId: w.WarrantId, ExpectedGeneration: 1, ContentSha256: w.ContentSha256,
		Number: warranttest.CallBack, Outcome: griffierv1.CallBackOutcome_CALL_BACK_OUTCOME_CONFIRMED, SpokeWith: "the desk"}
	verified, err := o.VerifyWarrant(officer, call)
	want(t, "verify", err, "")
	if verified.GetCallBack().GetVerifiedBy() != "0ff1" || verified.GetProfile() != "nl" || verified.GetProfileSha256() == "" {
		t.Errorf("verified %v", verified)
	}
	approve := func(ctx context.Context, id, request string) (*griffierv1.Warrant, error) {
		return o.ApproveWarrant(ctx, &griffierv1.ApproveWarrantRequest{RequestId: request, WarrantId: id, ExpectedGeneration: 1, ContentSha256: w.ContentSha256})
	}
	_, err = approve(officer, w.WarrantId, "approve-1")
	want(t, "first", err, "")
	_, err = approve(officer, w.WarrantId, "approve-1")
	want(t, "first, retried", err, "")
	_, err = approve(officer, w.WarrantId, "approve-2")
	want(t, "self", err, reason.SelfApproval)
	got, err := approve(approver, w.WarrantId, "approve-1")
	want(t, "second", err, "")
	if got.State != griffierv1.WarrantState_WARRANT_STATE_APPROVED || len(got.Approvals) != 2 || got.Approvals[0].Approver == got.Approvals[1].Approver {
		t.Errorf("approved %v", got)
	}
	other := make("PV-0002")
	_, err = o.ApproveWarrant(officer, &griffierv1.ApproveWarrantRequest{RequestId: "approve-1", WarrantId: other.WarrantId, ExpectedGeneration: 1, ContentSha256: other.ContentSha256})
	want(t, "a request id of another warrant", err, reason.InvalidRequest)
	_, err = o.RejectWarrant(approver, &griffierv1.RejectWarrantRequest{RequestId: "reject-1", WarrantId: other.WarrantId, ExpectedGeneration: 1, Explanation: "not signed"})
	want(t, "reject", err, "")
	_, err = o.RevokeWarrant(approver, &griffierv1.RevokeWarrantRequest{RequestId: "revoke-1", WarrantId: w.WarrantId, ExpectedGeneration: 1})
	want(t, "revoke", err, "")
	_, err = o.RevokeWarrant(approver, &griffierv1.RevokeWarrantRequest{RequestId: "revoke-2", WarrantId: w.WarrantId, ExpectedGeneration: 1})
	want(t, "revoke twice", err, reason.WarrantTerminal)
	if len(o.ended) != 2 || o.ended[0] != other.WarrantId || o.ended[1] != w.WarrantId {
		t.Errorf("ended %v", o.ended)
	}
	_, err = o.GetWarrant(officer, &griffierv1.GetWarrantRequest{WarrantId: "none"})
	want(t, "get nothing", err, reason.NotFound)
}

func TestListHidesTargetsAndOutlivesKeys(t *testing.T) {
	o := newOffice(t)
	var ids []string
	for _, reference := range []string{"PV-0001", "PV-0002"} {
		w, err := o.CreateWarrant(officer, &griffierv1.CreateWarrantRequest{RequestId: "create-" + reference, Content: content(t, reference)})
		want(t, reference, err, "")
		ids = append(ids, w.WarrantId)
	}
	if err := o.keys.Shred(warrant.KeyID(ids[0])); err != nil {
		t.Fatal(err)
	}
	list, err := o.ListWarrants(officer, &griffierv1.ListWarrantsRequest{})
	want(t, "list", err, "")
	if len(list.Warrants) != 2 || list.Warrants[0].WarrantId != ids[1] || list.Warrants[1].WarrantId != ids[0] {
		t.Fatalf("list %v", list)
	}
	if c := list.Warrants[0].Content; c.GetReference() != "PV-0002" || len(c.GetTargets()) != 0 {
		t.Errorf("listed content %v", c)
	}
	if list.Warrants[1].Content != nil {
		t.Error("a shredded dossier has content")
	}
	w, err := o.GetWarrant(officer, &griffierv1.GetWarrantRequest{WarrantId: ids[0]})
	want(t, "get the shredded", err, "")
	if w.GetContent() != nil || w.GetContentSha256() == "" {
		t.Errorf("shredded %v", w)
	}
}

// Every category of the API has its word, and no other.
func TestCategories(t *testing.T) {
	for value, name := range griffierv1.Category_name {
		got := warrantrpc.Category(griffierv1.Category(value))
		if w := warrant.Category(strings.TrimPrefix(name, "CATEGORY_")); (value != 0 && got != w) || (value == 0 && got != "") {
			t.Errorf("%s is %q", name, got)
		}
	}
}
