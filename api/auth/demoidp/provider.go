// Package demoidp is a small OpenID provider for `griffier demo` and for tests.
// It knows a fixed set of people, has no passwords and must never face a
// network: anyone who reaches it may be any of them. It speaks real OpenID
// Connect (discovery, key set, ES256 ID tokens) and the device authorization
// grant (RFC 8628), so that griffierd and the CLI meet what an ISP's own
// provider would show them.
package demoidp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Person is somebody whom the provider vouches for.
type Person struct {
	Subject string
	Name    string
	Roles   []string // values of griffier_roles
	Account string   // griffier_account, for customers
	Teams   []string // griffier_team; none: the token has no such claim
}

// Config of a provider.
type Config struct {
	Issuer   string // https URL under which it is served
	Audience string // client id of griffierd
	People   []Person
	TokenTTL time.Duration // zero means one hour
	Now      func() time.Time
}

// Provider is an http.Handler. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	signer jose.Signer
	public jose.JSONWebKey
	mux    *http.ServeMux

	mu      sync.Mutex
	devices map[string]*device // by device code
}

type device struct {
	userCode  string
	expiresAt time.Time
	person    *Person // nil until somebody confirmed
}

// maxDevices bounds the log-ins under way at one time.
const maxDevices = 1000

// New makes a provider with a fresh signing key.
func New(cfg Config) (*Provider, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.TokenTTL == 0 {
		cfg.TokenTTL = time.Hour
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("demo identity provider: %w", err)
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("demo identity provider: %w", err)
	}
	p := &Provider{cfg: cfg, signer: signer, public: jwk.Public(), mux: http.NewServeMux(), devices: map[string]*device{}}
	p.mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	p.mux.HandleFunc("GET /keys", p.keys)
	p.mux.HandleFunc("POST /device", p.startDevice)
	p.mux.HandleFunc("GET /confirm", p.confirmPage)
	p.mux.HandleFunc("POST /confirm", p.confirm)
	p.mux.HandleFunc("POST /token", p.token)
	return p, nil
}

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p.mux.ServeHTTP(w, r)
}

// Token returns an ID token for the person with subject, who authenticated at
// authenticatedAt. It is what the token endpoint hands out.
func (p *Provider) Token(subject string, authenticatedAt time.Time) (string, error) {
	for i := range p.cfg.People {
		if p.cfg.People[i].Subject == subject {
			return p.sign(&p.cfg.People[i], authenticatedAt)
		}
	}
	return "", fmt.Errorf("demo identity provider: nobody has subject %q", subject)
}

func (p *Provider) sign(who *Person, authenticatedAt time.Time) (string, error) {
	now := p.cfg.Now()
	claims := map[string]any{
		"iss": p.cfg.Issuer, "sub": who.Subject, "aud": p.cfg.Audience,
		"iat": now.Unix(), "exp": now.Add(p.cfg.TokenTTL).Unix(), "auth_time": authenticatedAt.Unix(),
		"griffier_roles": who.Roles, "griffier_account": who.Account,
	}
	if len(who.Teams) > 0 {
		claims["griffier_team"] = who.Teams
	}
	return jwt.Signed(p.signer).Claims(claims).Serialize()
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer": p.cfg.Issuer, "jwks_uri": p.cfg.Issuer + "/keys", "token_endpoint": p.cfg.Issuer + "/token",
		"device_authorization_endpoint":         p.cfg.Issuer + "/device",
		"authorization_endpoint":                p.cfg.Issuer + "/confirm",
		"id_token_signing_alg_values_supported": []string{"ES256"},
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"grant_types_supported":                 []string{deviceGrant},
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.public}})
}

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

func (p *Provider) startDevice(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for code, d := range p.devices {
		if p.cfg.Now().After(d.expiresAt) {
			delete(p.devices, code)
		}
	}
	if len(p.devices) >= maxDevices {
		writeJSON(w, http.StatusTooManyRequests, map[string]string{"error": "slow_down"})
		return
	}
	code, d := rand.Text(), &device{userCode: rand.Text()[:8], expiresAt: p.cfg.Now().Add(10 * time.Minute)}
	p.devices[code] = d
	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": d.userCode, "expires_in": 600, "interval": 1,
		"verification_uri":          p.cfg.Issuer + "/confirm",
		"verification_uri_complete": p.cfg.Issuer + "/confirm?user_code=" + d.userCode,
	})
}

var page = template.Must(template.New("confirm").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Demo log-in</title>
<h1>Demo log-in</h1>
<p>This provider asks for no password: choose who you are.</p>
{{with .Message}}<p role="status"><strong>{{.}}</strong></p>{{end}}
<form method="post" action="confirm">
<p><label>Code <input name="user_code" value="{{.Code}}" required autocomplete="off"></label></p>
<p><label>Person <select name="subject">{{range .People}}<option value="{{.Subject}}">{{.Name}}: {{range .Roles}}{{.}} {{end}}</option>{{end}}</select></label></p>
<p><button>Log in</button></p>
</form></html>
`))

func (p *Provider) confirmPage(w http.ResponseWriter, r *http.Request) {
	p.render(w, http.StatusOK, r.FormValue("user_code"), "")
}

func (p *Provider) confirm(w http.ResponseWriter, r *http.Request) {
	code, subject := r.PostFormValue("user_code"), r.PostFormValue("subject")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.devices {
		if d.userCode != code || p.cfg.Now().After(d.expiresAt) {
			continue
		}
		for i := range p.cfg.People {
			if p.cfg.People[i].Subject == subject {
				d.person = &p.cfg.People[i]
				p.render(w, http.StatusOK, "", "You are logged in. Go back to the terminal.")
				return
			}
		}
	}
	p.render(w, http.StatusBadRequest, code, "That code or person is not known. Run the log-in again for a new code.")
}

func (p *Provider) render(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'")
	w.WriteHeader(status)
	page.Execute(w, map[string]any{"Code": code, "Message": message, "People": p.cfg.People})
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("grant_type") != deviceGrant {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"})
		return
	}
	code := r.PostFormValue("device_code")
	p.mu.Lock()
	d, known := p.devices[code]
	waiting := known && d.person == nil
	expired := known && p.cfg.Now().After(d.expiresAt)
	if known && !waiting || expired {
		delete(p.devices, code) // a device code is good for one token
	}
	p.mu.Unlock()
	switch {
	case !known || expired:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "expired_token"})
	case waiting:
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "authorization_pending"})
	default:
		token, err := p.sign(d.person, p.cfg.Now())
		if err != nil {
			writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token": token, "id_token": token, "token_type": "Bearer", "expires_in": int(p.cfg.TokenTTL.Seconds()),
		})
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
