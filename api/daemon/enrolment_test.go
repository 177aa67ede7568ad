package daemon

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"griffier/api/pki"
	"griffier/api/reason"
	"griffier/api/server"
	griffierv1 "griffier/proto/griffier/v1"
)

// router is a collector's key and what was issued for it.
type router struct {
	key     crypto.Signer
	request []byte
	cert    []byte
}

func newRouter(t *testing.T) *router {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &router{key: key, request: request}
}

// dial connects as the collector, and shows its certificate even to a server that
// did not ask for its CA's.
func (r *router) dial(t *testing.T, w *world) *grpc.ClientConn {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	conn, err := grpc.NewClient(w.cfg.Listen, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{r.cert}, PrivateKey: r.key}, nil
		}})), grpc.WithUnaryInterceptor(whenAllowed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// collector is one collector's life over the real listener.
func (w *world) collector(t *testing.T) {
	engineer, stranger := griffierv1.NewEnrolmentServiceClient(w.people), griffierv1.NewEnrolmentServiceClient(w.people)
	made, err := engineer.CreateEnrolmentToken(w.as(t, "nina"), &griffierv1.CreateEnrolmentTokenRequest{CollectorId: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(w.dir, "tls", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if sum := sha256.Sum256(block.Bytes); made.GetAuthoritySha256() != hex.EncodeToString(sum[:]) {
		t.Errorf("the token comes with the fingerprint %s, not the CA's", made.GetAuthoritySha256())
	}
	first := newRouter(t)
	enrolled, err := stranger.Enrol(context.Background(), &griffierv1.EnrolRequest{Token: made.GetToken(), CertificateRequest: first.request, CollectorId: "edge1"})
	if err != nil {
		t.Fatal(err)
	}
	first.cert = enrolled.GetCertificate()
	_, err = stranger.Enrol(context.Background(), &griffierv1.EnrolRequest{Token: made.GetToken(), CertificateRequest: newRouter(t).request, CollectorId: "edge1"})
	wantReason(t, "replayed token", err, reason.EnrolmentRefused)

	conn := first.dial(t, w)
	w.onlyRenewal(t, conn)
	second := newRouter(t)
	renewed, err := griffierv1.NewEnrolmentServiceClient(conn).Renew(context.Background(), &griffierv1.RenewRequest{CertificateRequest: second.request})
	if err != nil {
		t.Fatal(err)
	}
	second.cert = renewed.GetCertificate()
	listed, err := engineer.ListCollectors(w.as(t, "nina"), &griffierv1.ListCollectorsRequest{})
	if err != nil || len(listed.GetCollectors()) != 1 || len(listed.GetCollectors()[0].GetCertificates()) != 2 ||
		listed.GetCollectors()[0].GetCertificates()[0].GetState() != griffierv1.CertificateState_CERTIFICATE_STATE_CURRENT {
		t.Errorf("listed: %v, %v", listed, err)
	}
	if life := time.Until(listed.GetCollectors()[0].GetCertificates()[0].GetExpiresAt().AsTime()); life < 89*24*time.Hour || life > 90*24*time.Hour {
		t.Errorf("it is good for %v more, want 90 days", life)
	}
	if _, err := griffierv1.NewEnrolmentServiceClient(w.machine(t)).RevokeCollector(context.Background(), &griffierv1.RevokeCollectorRequest{CollectorId: "edge1"}); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]*router{"first": first, "second": second} {
		_, err = griffierv1.NewEnrolmentServiceClient(r.dial(t, w)).Renew(context.Background(), &griffierv1.RenewRequest{CertificateRequest: newRouter(t).request})
		wantReason(t, what+" certificate of a revoked collector", err, reason.EnrolmentRefused)
	}
	if strings.Contains(w.logs.String(), made.GetToken()[17:]) {
		t.Error("the token is in the log")
	}
	w.strangers(t, first)
}

// onlyRenewal calls every rpc as a collector.
func (w *world) onlyRenewal(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	as := &world{people: conn}
	protoregistry.GlobalFiles.RangeFilesByPackage("griffier.v1", func(fd protoreflect.FileDescriptor) bool {
		for i := range fd.Services().Len() {
			methods := fd.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule := proto.GetExtension(methods.Get(j).Options().(*descriptorpb.MethodOptions), griffierv1.E_Access).(*griffierv1.Access)
				open := rule.GetRoles()[0] == griffierv1.Role_ROLE_ANYONE || rule.GetRoles()[0] == griffierv1.Role_ROLE_COLLECTOR
				if denied := reason.Of(as.invoke(context.Background(), methods.Get(j))) == reason.PermissionDenied; denied == open {
					t.Errorf("%s as a collector: denied = %v, rule allows = %v", methods.Get(j).FullName(), denied, open)
				}
			}
		}
		return true
	})
}

// strangers come with certificates that are not of this CA, or with one whose key
// they do not have: the handshake ends there.
func (w *world) strangers(t *testing.T, victim *router) {
	t.Helper()
	dir := t.TempDir()
	if err := pki.Init(dir, []string{"localhost"}); err != nil {
		t.Fatal(err)
	}
	theirs, err := pki.LoadAuthority(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	foreign, thief, self := newRouter(t), newRouter(t), newRouter(t)
	if foreign.cert, err = theirs.IssueCollector("edge1", foreign.key.Public(), time.Now(), time.Hour); err != nil {
		t.Fatal(err)
	}
	thief.cert = victim.cert
	ours, err := x509.ParseCertificate(victim.cert)
	if err != nil {
		t.Fatal(err)
	}
	ours.SignatureAlgorithm, ours.PublicKey = x509.UnknownSignatureAlgorithm, self.key.Public()
	if self.cert, err = x509.CreateCertificate(rand.Reader, ours, ours, self.key.Public(), self.key); err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]*router{"another CA's": foreign, "a stolen certificate": thief, "a self-signed copy": self} {
		_, err := griffierv1.NewEnrolmentServiceClient(r.dial(t, w)).Renew(context.Background(), &griffierv1.RenewRequest{CertificateRequest: r.request})
		if err == nil || reason.Of(err) != "" {
			t.Errorf("%s: %v; want a handshake that fails", what, err)
		}
	}
}

// TestEnrolmentNeedsACAThatMachinesAreKnownBy: nobody could renew what another
// issues, so griffierd does not start with it.
func TestEnrolmentNeedsACAThatMachinesAreKnownBy(t *testing.T) {
	dir, theirs := t.TempDir(), t.TempDir()
	for _, d := range []string{dir, theirs} {
		if err := pki.Init(d, []string{"localhost"}); err != nil {
			t.Fatal(err)
		}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	identity, err := server.NewIdentity(server.TLSConfig{CertFile: in("server.pem"), KeyFile: in("server.key"), ClientCAFile: in("ca.pem")})
	if err != nil {
		t.Fatal(err)
	}
	s := &services{identity: identity, registry: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler)}
	for name, c := range map[string]struct{ cert, key, want string }{
		"ours":    {in("ca.pem"), in("ca.key"), ""},
		"theirs":  {filepath.Join(theirs, "ca.pem"), filepath.Join(theirs, "ca.key"), "is not in tls.client_ca_file"},
		"a leaf":  {in("provisioner.pem"), in("provisioner.key"), "may not issue"},
		"nothing": {"", "", ""},
	} {
		s.cfg.Enrolment = EnrolmentConfig{c.cert, c.key, time.Hour}
		got, err := s.enrolment(nil)
		if c.want == "" && (err != nil || (got.Authority == nil) != (c.key == "")) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
