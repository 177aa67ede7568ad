package authorityrpc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"griffier/api/auth"
	"griffier/api/authority"
	"griffier/api/authority/authorityrpc"
	"griffier/api/keystore"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/server"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// office is the service over a real ledger and key store.
type office struct {
	*authorityrpc.Service
	recipients *authorityrpc.Recipients
	registry   *authority.Registry
	keys       *keystore.Store
	dir        string
	now        time.Time
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{dir: t.TempDir(), registry: authority.NewRegistry(), now: time.Now()}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keystore.GenerateMasterKey(filepath.Join(o.dir, "master")))
	var err error
	o.keys, err = keystore.Open(filepath.Join(o.dir, "keys"), filepath.Join(o.dir, "master"))
	must(err)
	key, err := ledger.GenerateKey(filepath.Join(o.dir, "ledger.key"), "isp.example/griffier")
	must(err)
	warrants := warrant.NewState()
	log, err := ledger.Open(t.Context(), ledger.Config{Dir: filepath.Join(o.dir, "log"), WitnessFile: filepath.Join(o.dir, "witness"), Key: key,
		Keys: o.keys, Folds: []ledger.Fold{o.registry, warrants}, Logger: slog.New(slog.DiscardHandler), Limit: 30 * time.Second})
	must(err)
	t.Cleanup(func() { log.Close() })
	profile, err := warrant.LoadProfile("nl")
	must(err)
	now := func() time.Time { return o.now }
	o.Service = authorityrpc.NewService(authorityrpc.Config{Book: log, Keys: o.keys, Registry: o.registry, Warrants: warrants, Law: warrant.Always(profile), Now: now})
	o.recipients = authorityrpc.NewRecipients(log, o.registry, now)
	return o
}

func as(actor string, roles ...griffierv1.Role) context.Context {
	return auth.NewContext(context.Background(), auth.Caller{Subject: actor, Actor: actor, Roles: roles})
}

var (
	officer    = as("0ff1", griffierv1.Role_ROLE_LEGAL_OFFICER)
	approver   = as("a44r", griffierv1.Role_ROLE_LEGAL_APPROVER)
	controller = as("c04t", griffierv1.Role_ROLE_PRIVACY_CONTROLLER)
)

func want(t *testing.T, what string, err error, r reason.Reason) {
	t.Helper()
	if reason.Of(err) != r || (r == "") != (err == nil) {
		t.Errorf("%s: %v, want %q", what, err, r)
	}
}

func record() *griffierv1.AuthorityRecord {
	return &griffierv1.AuthorityRecord{Id: "NL-OM", Name: "Prosecutors", Country: "NL", Offices: []string{"public-prosecutor"}, Bases: []string{"NL-126n"},
		Categories: []griffierv1.Category{griffierv1.Category_CATEGORY_HISTORY}, CallBack: "+31201234567"}
}

func certificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Zwanikken"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestFromProposalToRecipient(t *testing.T) {
	o := newOffice(t)
	req := &griffierv1.ProposeAuthorityRequest{RequestId: "propose-1", Record: record(), Contact: &griffierv1.AuthorityContact{Name: "J. Zwanikken", Email: "zwanikken@om.example"}}
	p, err := o.ProposeAuthority(officer, req)
	want(t, "propose", err, "")
	again, err := o.ProposeAuthority(officer, req)
	want(t, "propose again", err, "")
	if again.GetProposalId() != p.GetProposalId() {
		t.Error("a retry proposed another")
	}
	_, err = o.ProposeAuthority(officer, &griffierv1.ProposeAuthorityRequest{RequestId: "propose-1", Record: &griffierv1.AuthorityRecord{Id: "NL-RB"}})
	want(t, "the id for another", err, reason.InvalidRequest)
	_, err = o.ProposeAuthority(context.Background(), req)
	want(t, "nobody", err, reason.Unauthenticated)
	_, err = o.ApproveAuthority(officer, &griffierv1.ApproveAuthorityRequest{RequestId: "approve-1", ProposalId: p.GetProposalId(), Sha256: p.GetSha256()})
	want(t, "approve as an officer", err, reason.PermissionDenied)
	a, err := o.ApproveAuthority(controller, &griffierv1.ApproveAuthorityRequest{RequestId: "approve-1", ProposalId: p.GetProposalId(), Sha256: p.GetSha256()})
	want(t, "approve", err, "")
	if a.GetContact().GetName() != "J. Zwanikken" || a.GetGeneration() != 1 || a.GetRecord().GetCategories()[0] != griffierv1.Category_CATEGORY_HISTORY {
		t.Errorf("approved %v", a)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{identity.Recipient().String(), certificate(t)} {
		request := "key-000" + string(rune('0'+i))
		a, err = o.AddAuthorityKey(officer, &griffierv1.AddAuthorityKeyRequest{RequestId: request, Id: "NL-OM", ExpectedGeneration: a.GetGeneration(), Key: text})
		want(t, "add", err, "")
		key := a.GetKeys()[i]
		_, err = o.recipients.Recipient(t.Context(), "NL-OM", key.GetFingerprint())
		want(t, "before it is confirmed", err, reason.AuthorityNotEntitled)
		a, err = o.ConfirmAuthorityKey(approver, &griffierv1.ConfirmAuthorityKeyRequest{RequestId: request, Id: "NL-OM", ExpectedGeneration: a.GetGeneration(),
			Fingerprint: key.GetFingerprint(), Number: "+31201234567", SpokeWith: "Zwanikken"})
		want(t, "confirm", err, "")
		found, err := o.recipients.Recipient(t.Context(), "NL-OM", key.GetFingerprint())
		want(t, "recipient", err, "")
		if strings.TrimSpace(found.Text()) != strings.TrimSpace(text) || a.GetKeys()[i].GetRecipient() != found.Recipient() || !a.GetKeys()[i].GetConfirmed() {
			t.Errorf("key %v is %v", a.GetKeys()[i], found)
		}
		_, err = o.recipients.Recipient(t.Context(), "NL-RB", key.GetFingerprint())
		want(t, "of another authority", err, reason.AuthorityNotEntitled)
	}
	list, err := o.ListAuthorities(officer, &griffierv1.ListAuthoritiesRequest{})
	if err != nil || len(list.GetAuthorities()) != 1 || len(list.GetProposals()) != 0 || list.GetAuthorities()[0].GetContact() != nil {
		t.Errorf("list %v, %v", list, err)
	}
	plan, err := o.PlanAuthority(officer, &griffierv1.PlanAuthorityRequest{Record: &griffierv1.AuthorityRecord{Id: "NL-OM", Country: "NL"}})
	if err != nil || len(plan.GetEnds()) != 1 || plan.GetEnds()[0] != "NL-126n HISTORY" {
		t.Errorf("plan %v, %v", plan, err)
	}
	nothingInTheClear(t, o.dir, "Zwanikken", "zwanikken@", identity.Recipient().String(), "BEGIN CERTIFICATE")

	// A certificate that is over, a key that was revoked, a month that was destroyed.
	x509Key, ageKey := a.GetKeys()[1].GetFingerprint(), a.GetKeys()[0].GetFingerprint()
	o.now = o.now.Add(2 * time.Hour)
	_, err = o.recipients.Recipient(t.Context(), "NL-OM", x509Key)
	want(t, "an expired certificate", err, reason.AuthorityNotEntitled)
	o.now = o.now.Add(-2 * time.Hour)
	if err := o.keys.Shred(server.ClassKey("authority", o.now)); err != nil {
		t.Fatal(err)
	}
	_, err = o.recipients.Recipient(t.Context(), "NL-OM", ageKey)
	want(t, "a month that was destroyed", err, reason.AuthorityNotEntitled)
	shredded, err := o.GetAuthority(officer, &griffierv1.GetAuthorityRequest{Id: "NL-OM"})
	if err != nil || shredded.GetContact() != nil || shredded.GetKeys()[0].GetRecipient() != "" || shredded.GetKeys()[1].GetRecipient() == "" {
		t.Errorf("after the month was destroyed: %v, %v", shredded, err)
	}
	_, err = o.GetAuthority(officer, &griffierv1.GetAuthorityRequest{Id: "NL-RB"})
	want(t, "unknown", err, reason.NotFound)
}

func TestRevokeAndRetire(t *testing.T) {
	o := newOffice(t)
	p, err := o.ProposeAuthority(officer, &griffierv1.ProposeAuthorityRequest{RequestId: "propose-1", Record: record()})
	want(t, "propose", err, "")
	_, err = o.ApproveAuthority(controller, &griffierv1.ApproveAuthorityRequest{RequestId: "approve-1", ProposalId: p.GetProposalId(), Sha256: p.GetSha256()})
	want(t, "approve", err, "")
	a, err := o.AddAuthorityKey(officer, &griffierv1.AddAuthorityKeyRequest{RequestId: "addkey-1", Id: "NL-OM", ExpectedGeneration: 1, Key: certificate(t)})
	want(t, "add", err, "")
	fingerprint := a.GetKeys()[0].GetFingerprint()
	_, err = o.ConfirmAuthorityKey(approver, &griffierv1.ConfirmAuthorityKeyRequest{RequestId: "confirm-1", Id: "NL-OM", ExpectedGeneration: 2, Fingerprint: fingerprint, Number: "+31201234567", SpokeWith: "desk"})
	want(t, "confirm", err, "")
	a, err = o.RevokeAuthorityKey(approver, &griffierv1.RevokeAuthorityKeyRequest{RequestId: "revoke-1", Id: "NL-OM", Fingerprint: fingerprint, Explanation: "lost"})
	want(t, "revoke", err, "")
	if a.GetKeys()[0].GetRevokedAt() == nil || a.GetKeys()[0].GetConfirmed() {
		t.Errorf("revoked %v", a)
	}
	_, err = o.recipients.Recipient(t.Context(), "NL-OM", fingerprint)
	want(t, "a revoked key", err, reason.AuthorityNotEntitled)
	_, err = o.RetireAuthority(approver, &griffierv1.RetireAuthorityRequest{RequestId: "revoke-1", Id: "NL-OM"})
	want(t, "retire", err, "")
	_, err = o.RetireAuthority(approver, &griffierv1.RetireAuthorityRequest{RequestId: "revoke-1", Id: "NL-RB"})
	want(t, "the id for another", err, reason.InvalidRequest)
	if v, ok := o.registry.View("NL-OM", o.now); !ok || !v.Retired {
		t.Errorf("retired: %v, %v", v, ok)
	}
}

// nothingInTheClear looks for what was sealed in everything that was written.
func nothingInTheClear(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(dir, "log"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, s := range secrets {
			if strings.Contains(string(text), s) {
				t.Errorf("%q is in %s", s, path)
			}
		}
		if strings.Contains(string(text), "NL-126n") {
			n++
		}
		return err
	})
	if err != nil || n == 0 {
		t.Errorf("nothing was looked at: %v", err)
	}
}
