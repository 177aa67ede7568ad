package auth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"griffier/api/auth"
	"griffier/api/auth/demoidp"
	griffierv1 "griffier/proto/griffier/v1"
)

// provider serves a demo provider over TLS and returns it with a verifier that
// trusts it.
func provider(t *testing.T, audience string) (*demoidp.Provider, *auth.People, *httptest.Server) {
	t.Helper()
	var idp *demoidp.Provider
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { idp.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	idp, err := demoidp.New(demoidp.Config{Issuer: srv.URL, Audience: audience, People: []demoidp.Person{
		{Subject: "olga", Name: "Olga", Roles: []string{"legal_officer", "no-such-role", "provisioner"}},
		{Subject: "anna", Name: "Anna", Roles: []string{"customer"}, Account: "acc-1"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	people, err := auth.NewPeople(auth.OIDCConfig{Issuer: srv.URL, Audience: "griffier", CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	return idp, people, srv
}

func TestVerifyGivesKnownRolesOnly(t *testing.T) {
	idp, people, _ := provider(t, "griffier")
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	token, err := idp.Token("olga", at)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := people.Verify(context.Background(), token)
	if err != nil {
		t.Fatal(err)
	}
	// A claim must not make a person a machine.
	if len(caller.Roles) != 1 || !caller.Has(griffierv1.Role_ROLE_LEGAL_OFFICER) {
		t.Errorf("roles = %v, want legal_officer only", caller.Roles)
	}
	if !caller.AuthenticatedAt.Equal(at) {
		t.Errorf("authenticated at %v, want %v", caller.AuthenticatedAt, at)
	}
}

func TestVerifyRefuses(t *testing.T) {
	idp, people, _ := provider(t, "griffier")
	good, err := idp.Token("anna", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, _, _ := provider(t, "griffier")
	foreign, _ := other.Token("anna", time.Now())
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"other issuer and key": foreign,
		"no signature":         parts[0] + "." + parts[1] + ".",
		"signature of another": parts[0] + "." + parts[1] + "." + strings.Split(foreign, ".")[2],
		"not a token":          "hello",
		"empty":                "",
	} {
		if _, err := people.Verify(context.Background(), token); !errors.Is(err, auth.ErrInvalidToken) {
			t.Errorf("%s: err = %v, want ErrInvalidToken", name, err)
		}
	}
	if _, err := people.Verify(context.Background(), good); err != nil {
		t.Errorf("the good token: %v", err)
	}
}

func TestVerifyRefusesOtherAudience(t *testing.T) {
	idp, people, _ := provider(t, "another-service")
	token, _ := idp.Token("anna", time.Now())
	if _, err := people.Verify(context.Background(), token); !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("err = %v, want ErrInvalidToken", err)
	}
}

func TestProviderAwayThenBack(t *testing.T) {
	idp, people, srv := provider(t, "griffier")
	token, _ := idp.Token("anna", time.Now())
	handler := srv.Config.Handler
	srv.Config.Handler = http.NotFoundHandler()
	if _, err := people.Verify(context.Background(), token); !errors.Is(err, auth.ErrProviderUnreachable) {
		t.Errorf("away: err = %v, want ErrProviderUnreachable", err)
	}
	srv.Config.Handler = handler
	if _, err := people.Verify(context.Background(), token); err != nil {
		t.Errorf("back: %v", err)
	}
}

func TestDeviceGrant(t *testing.T) {
	_, people, srv := provider(t, "griffier")
	client := srv.Client()
	post := func(path string, form url.Values) (int, map[string]any) {
		t.Helper()
		resp, err := client.PostForm(srv.URL+path, form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var out map[string]any
		json.NewDecoder(resp.Body).Decode(&out)
		return resp.StatusCode, out
	}
	_, start := post("/device", url.Values{"client_id": {"griffier"}})
	grant := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {start["device_code"].(string)}}
	if _, out := post("/token", grant); out["error"] != "authorization_pending" {
		t.Fatalf("before confirmation: %v, want authorization_pending", out)
	}
	if status, _ := post("/confirm", url.Values{"user_code": {start["user_code"].(string)}, "subject": {"nobody"}}); status != http.StatusBadRequest {
		t.Errorf("unknown person: status %d, want 400", status)
	}
	if status, _ := post("/confirm", url.Values{"user_code": {start["user_code"].(string)}, "subject": {"anna"}}); status != http.StatusOK {
		t.Fatalf("confirm: status %d", status)
	}
	_, out := post("/token", grant)
	caller, err := people.Verify(context.Background(), out["id_token"].(string))
	if err != nil || caller.AccountID != "acc-1" {
		t.Errorf("caller = %+v, %v; want account acc-1", caller, err)
	}
	if _, out := post("/token", grant); out["error"] != "expired_token" {
		t.Errorf("second use: %v, want expired_token", out)
	}
}

// A certificate that ends while its connection goes on is none any more.
func TestCertificateThatEnded(t *testing.T) {
	role, err := url.Parse("griffier://role/operator")
	if err != nil {
		t.Fatal(err)
	}
	a := &auth.Authenticator{ActorKey: make([]byte, 32)}
	for left, want := range map[time.Duration]error{time.Hour: nil, -time.Second: auth.ErrNoCredentials} {
		leaf := &x509.Certificate{URIs: []*url.URL{role}, NotAfter: time.Now().Add(left)}
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}}})
		if caller, err := a.Authenticate(ctx); !errors.Is(err, want) || (err == nil) != caller.Machine {
			t.Errorf("%v before its end: %+v, %v; want %v", left, caller, err, want)
		}
	}
}

func TestMachine(t *testing.T) {
	uri := func(s string) *x509.Certificate {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return &x509.Certificate{URIs: []*url.URL{u}}
	}
	if c, ok := auth.Machine(uri("griffier://role/provisioner")); !ok || !c.Has(griffierv1.Role_ROLE_PROVISIONER) || !c.Machine {
		t.Errorf("provisioner: %+v, %v", c, ok)
	}
	collector := uri("griffier://role/collector")
	collector.SerialNumber = big.NewInt(0xbeef)
	if c, ok := auth.Machine(collector); ok {
		t.Errorf("a collector without an id: %+v, want none", c)
	}
	collector.URIs = append(collector.URIs, uri("griffier://collector/edge1").URIs...)
	if c, ok := auth.Machine(collector); !ok || !c.Has(griffierv1.Role_ROLE_COLLECTOR) || c.CollectorID != "edge1" || c.CertificateSerial != "beef" {
		t.Errorf("collector: %+v, %v", c, ok)
	}
	collector.URIs = append(collector.URIs, uri("griffier://collector/edge2").URIs...)
	if c, ok := auth.Machine(collector); ok {
		t.Errorf("a collector with two ids: %+v, want none", c)
	}
	for _, s := range []string{"griffier://role/legal_officer", "griffier://role/network_engineer", "griffier://role/", "https://role/provisioner", "griffier://other/provisioner", "griffier://collector/edge1"} {
		if c, ok := auth.Machine(uri(s)); ok {
			t.Errorf("%s gives %v, want none", s, c.Roles)
		}
	}
}
