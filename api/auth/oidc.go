package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"

	griffierv1 "griffier/proto/griffier/v1"
)

// ErrInvalidToken is returned for a bearer token that does not verify: wrong
// issuer, audience or signature, expired, or without a subject.
var ErrInvalidToken = errors.New("token does not verify")

// ErrProviderUnreachable is returned while the identity provider cannot be
// asked for its keys. The call may be retried.
var ErrProviderUnreachable = errors.New("identity provider unreachable")

// OIDCConfig names the identity provider of the people.
type OIDCConfig struct {
	Issuer   string // URL, exactly as in the tokens
	Audience string // this service's client id
	CAFile   string // PEM of the CA of the issuer; empty for the system's
}

// People verifies OIDC tokens (OpenID Connect Core 1.0 §3.1.3.7). It finds the
// provider at first use and again after a failure, so that a provider that is
// away does not keep griffierd from starting. It is safe for concurrent use.
type People struct {
	cfg    OIDCConfig
	client *http.Client

	attempts singleflight.Group
	verifier atomic.Pointer[oidc.IDTokenVerifier]
}

// NewPeople returns the verifier for cfg.
func NewPeople(cfg OIDCConfig) (*People, error) {
	if cfg.Issuer == "" || cfg.Audience == "" {
		return nil, errors.New("oidc: issuer and audience are both required")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("oidc: ca_file: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("oidc: ca_file %s: no certificate in it", cfg.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &People{cfg: cfg, client: &http.Client{Transport: transport, Timeout: 10 * time.Second}}, nil
}

// roleNames maps the values of the griffier_roles claim. A name that is not
// here gives no role.
var roleNames = map[string]griffierv1.Role{
	"customer":           griffierv1.Role_ROLE_CUSTOMER,
	"support":            griffierv1.Role_ROLE_SUPPORT,
	"legal_officer":      griffierv1.Role_ROLE_LEGAL_OFFICER,
	"legal_approver":     griffierv1.Role_ROLE_LEGAL_APPROVER,
	"overseer":           griffierv1.Role_ROLE_OVERSEER,
	"external_approver":  griffierv1.Role_ROLE_EXTERNAL_APPROVER,
	"privacy_controller": griffierv1.Role_ROLE_PRIVACY_CONTROLLER,
	"operator":           griffierv1.Role_ROLE_OPERATOR,
	"network_engineer":   griffierv1.Role_ROLE_NETWORK_ENGINEER,
}

// RoleName is the name of a role in claims, certificates and the ledger.
func RoleName(r griffierv1.Role) string {
	for _, names := range []map[string]griffierv1.Role{roleNames, machineRoles} {
		for name, role := range names {
			if role == r {
				return name
			}
		}
	}
	return "none"
}

// Verify returns the caller of an ID token. The error is [ErrInvalidToken] or
// [ErrProviderUnreachable] and never quotes the token.
func (p *People) Verify(ctx context.Context, raw string) (Caller, error) {
	verifier, err := p.provider(ctx)
	if err != nil {
		return Caller{}, ErrProviderUnreachable
	}
	token, err := verifier.Verify(oidc.ClientContext(ctx, p.client), raw)
	if err != nil {
		return Caller{}, ErrInvalidToken
	}
	var claims struct {
		Roles    []string `json:"griffier_roles"`
		Teams    teamList `json:"griffier_team"`
		Account  string   `json:"griffier_account"`
		AuthTime int64    `json:"auth_time"`
	}
	if err := token.Claims(&claims); err != nil || token.Subject == "" {
		return Caller{}, ErrInvalidToken
	}
	caller := Caller{Subject: token.Issuer + "#" + token.Subject, AccountID: claims.Account, Teams: claims.Teams}
	if claims.AuthTime > 0 {
		caller.AuthenticatedAt = time.Unix(claims.AuthTime, 0).UTC()
	}
	for _, name := range claims.Roles {
		if role, ok := roleNames[name]; ok {
			caller.Roles = append(caller.Roles, role)
		}
	}
	return caller, nil
}

// provider returns the verifier, found once. Callers who come while it is being
// looked for share that one attempt, and wait no longer than their own context.
func (p *People) provider(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if found := p.verifier.Load(); found != nil {
		return found, nil
	}
	// The key set lives as long as the process, so it must not hang on the
	// context of the call that happened to be first.
	life := oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	attempt := p.attempts.DoChan("", func() (any, error) {
		provider, err := oidc.NewProvider(life, p.cfg.Issuer)
		if err != nil {
			return nil, err
		}
		found := provider.Verifier(&oidc.Config{ClientID: p.cfg.Audience})
		p.verifier.Store(found)
		return found, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-attempt:
		found, _ := r.Val.(*oidc.IDTokenVerifier)
		return found, r.Err
	}
}
