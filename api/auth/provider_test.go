package auth_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"

	"griffier/api/auth"
	"griffier/api/auth/demoidp"
)

// TestAHangingProviderHoldsNobodyLonger: callers share one attempt and wait no
// longer than they want to.
func TestAHangingProviderHoldsNobodyLonger(t *testing.T) {
	var attempts atomic.Int64
	release := make(chan struct{})
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		attempts.Add(1)
		<-release
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(release) })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	people, err := auth.NewPeople(auth.OIDCConfig{Issuer: srv.URL, Audience: "griffier", CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			if _, err := people.Verify(ctx, "x.y.z"); !errors.Is(err, auth.ErrProviderUnreachable) {
				t.Errorf("err = %v, want ErrProviderUnreachable", err)
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	for end := time.Now().Add(5 * time.Minute); attempts.Load() == 0 && time.Now().Before(end); { // a busy machine may not have asked within 300 ms
		time.Sleep(time.Millisecond)
	}
	if took > 5*time.Minute || attempts.Load() != 1 {
		t.Errorf("20 callers took %v and %d attempts, want one and about 300ms", took, attempts.Load())
	}
}

func TestExpiredToken(t *testing.T) {
	var idp *demoidp.Provider
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { idp.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	now := time.Now()
	idp, err := demoidp.New(demoidp.Config{Issuer: srv.URL, Audience: "griffier", People: []demoidp.Person{{Subject: "anna"}},
		TokenTTL: time.Hour, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	people, err := auth.NewPeople(auth.OIDCConfig{Issuer: srv.URL, Audience: "griffier", CAFile: ca})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(age time.Duration) error {
		now = time.Now().Add(-age)
		token, err := idp.Token("anna", now)
		if err != nil {
			t.Fatal(err)
		}
		_, err = people.Verify(t.Context(), token)
		if err != nil && strings.Contains(err.Error(), token[:20]) {
			t.Errorf("the error quotes the token: %v", err)
		}
		return err
	}
	if err := verify(59 * time.Minute); err != nil {
		t.Errorf("a token of 59 minutes ago: %v", err)
	}
	if err := verify(61 * time.Minute); !errors.Is(err, auth.ErrInvalidToken) {
		t.Errorf("a token of 61 minutes ago: %v, want ErrInvalidToken", err)
	}
}

func TestAuthenticate(t *testing.T) {
	idp, people, _ := provider(t, "griffier")
	a := &auth.Authenticator{People: people, ActorKey: auth.ActorKey("0123456789abcdef0123456789abcdef")}
	token, err := idp.Token("anna", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	with := func(header string) context.Context {
		return metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", header))
	}
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER "} {
		c, err := a.Authenticate(with(scheme + token))
		if err != nil || c.AccountID != "acc-1" || len(c.Actor) != 32 || c.Machine || strings.Contains(c.Actor, "anna") {
			t.Errorf("%q: %+v, %v; want anna under a pseudonym", scheme, c, err)
		}
	}
	for header, want := range map[string]error{
		"Basic " + token: auth.ErrNoCredentials, token: auth.ErrNoCredentials, "": auth.ErrNoCredentials, "Bearer": auth.ErrNoCredentials,
		"Bearer ": auth.ErrInvalidToken, "Bearer " + strings.Repeat("x", 17<<10): auth.ErrInvalidToken,
	} {
		if c, err := a.Authenticate(with(header)); !errors.Is(err, want) {
			t.Errorf("%.20q: %+v, %v; want %v", header, c, err, want)
		}
	}
	if _, err := a.Authenticate(context.Background()); !errors.Is(err, auth.ErrNoCredentials) {
		t.Errorf("nothing: %v", err)
	}
	// One person is one pseudonym under one key, and another under another.
	if k := auth.ActorKey("other"); k.Actor("s") == a.ActorKey.Actor("s") || k.Actor("s") == k.Actor("t") || auth.ActorKey("other").Actor("s") != k.Actor("s") {
		t.Error("pseudonyms do not tell people and keys apart")
	}
}

func TestNewPeopleRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, cfg := range map[string]auth.OIDCConfig{
		"audience are both required": {Issuer: "https://x"}, "are both required": {Audience: "y"},
		"ca_file":           {Issuer: "https://x", Audience: "y", CAFile: "/no/such/file"},
		"no certificate in": {Issuer: "https://x", Audience: "y", CAFile: empty},
	} {
		if _, err := auth.NewPeople(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}
