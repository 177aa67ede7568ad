package enrol

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/types/known/timestamppb"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
	griffierv1 "griffier/proto/griffier/v1"
)

// book is the part of the ledger that enrolment needs ([ledger.Log]).
type book interface {
	Decide(ctx context.Context, requestID string, fn func(now time.Time) (ledger.Draft, error)) (ledger.Entry, error)
}

// keys makes class keys ([keystore.Store]).
type keys interface{ Ensure(id string) error }

// authority issues certificates ([pki.Authority]).
type authority interface {
	Certificate() *x509.Certificate
	IssueCollector(id string, key crypto.PublicKey, now time.Time, life time.Duration) ([]byte, error)
}

// Config holds what a [Service] needs.
type Config struct {
	Book      book
	Keys      keys
	State     *State // a fold of Book
	Authority authority
	// Life is how long certificates are good for, 90 days at most.
	Life time.Duration
	// Anchor returns the certificate, DER, by which collectors can know this server.
	Anchor func() []byte
	Now    func() time.Time
}

// Service implements EnrolmentService. It is safe for concurrent use.
type Service struct {
	griffierv1.UnimplementedEnrolmentServiceServer
	Config
	tries limiter
}

// NewService returns the service. Without an authority it lists and revokes, and
// says how to configure one for the rest.
func NewService(cfg Config) *Service {
	return &Service{Config: cfg, tries: limiter{sources: map[netip.Prefix]*rate.Limiter{}}}
}

func (s *Service) configured() error {
	if s.Authority == nil {
		return reason.New(reason.NotConfigured, "Collectors need enrolment.ca_cert_file and enrolment.ca_key_file in griffierd.yaml.")
	}
	return nil
}

// CreateEnrolmentToken implements EnrolmentService.
func (s *Service) CreateEnrolmentToken(ctx context.Context, req *griffierv1.CreateEnrolmentTokenRequest) (*griffierv1.CreateEnrolmentTokenResponse, error) {
	var bad []reason.Violation
	if !idForm.MatchString(req.GetCollectorId()) {
		bad = append(bad, reason.Violation{Field: "collector_id", Description: "is required: 1 to 64 of A-Z a-z 0-9 . _ -"})
	}
	life := defaultTokenLife
	if req.GetValidFor() != nil {
		if life = req.GetValidFor().AsDuration(); life < minTokenLife || life > MaxTokenLife {
			bad = append(bad, reason.Violation{Field: "valid_for", Description: "must be between 1 minute and 24 hours"})
		}
	}
	if len(bad) > 0 {
		return nil, reason.Invalid(reason.InvalidRequest, bad...)
	}
	if err := s.configured(); err != nil {
		return nil, err
	}
	t := newToken()
	var expires time.Time
	err := s.act(ctx, func(now time.Time) (string, any, *reason.Error) {
		expires = now.Add(life)
		return KindTokenCreated, tokenCreated{req.GetCollectorId(), t.id, t.hash(), expires}, s.State.mayCreate(req.GetCollectorId(), now)
	})
	if err != nil {
		return nil, err
	}
	anchor := sha256.Sum256(s.Anchor())
	return &griffierv1.CreateEnrolmentTokenResponse{TokenId: t.id, Token: t.text(), ExpiresAt: timestamppb.New(expires),
		AuthoritySha256: hex.EncodeToString(anchor[:])}, nil
}

// RevokeEnrolmentToken implements EnrolmentService. A token that was exchanged
// already is not found: what it gave is revoked with its collector.
func (s *Service) RevokeEnrolmentToken(ctx context.Context, req *griffierv1.RevokeEnrolmentTokenRequest) (*griffierv1.RevokeEnrolmentTokenResponse, error) {
	if !tokenIDForm.MatchString(req.GetTokenId()) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "token_id", Description: "is required: the 16 digits before the hyphen, as listed"})
	}
	return &griffierv1.RevokeEnrolmentTokenResponse{}, s.act(ctx, func(now time.Time) (string, any, *reason.Error) {
		if t, ok := s.State.token(req.GetTokenId()); !ok || !t.open(now) {
			return "", nil, reason.New(reason.NotFound, "")
		}
		return KindTokenRevoked, tokenRevoked{req.GetTokenId()}, nil
	})
}

// RevokeCollector implements EnrolmentService.
func (s *Service) RevokeCollector(ctx context.Context, req *griffierv1.RevokeCollectorRequest) (*griffierv1.RevokeCollectorResponse, error) {
	if !idForm.MatchString(req.GetCollectorId()) {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "collector_id", Description: "is required: 1 to 64 of A-Z a-z 0-9 . _ -"})
	}
	return &griffierv1.RevokeCollectorResponse{}, s.act(ctx, func(now time.Time) (string, any, *reason.Error) {
		if _, ok := s.State.collector(req.GetCollectorId()); !ok && len(s.State.Tokens(req.GetCollectorId(), now)) == 0 {
			return "", nil, reason.New(reason.NotFound, "")
		}
		return KindRevoked, revoked{req.GetCollectorId()}, nil
	})
}

// ListCollectors implements EnrolmentService.
func (s *Service) ListCollectors(context.Context, *griffierv1.ListCollectorsRequest) (*griffierv1.ListCollectorsResponse, error) {
	now, resp := s.Now(), &griffierv1.ListCollectorsResponse{}
	for _, c := range s.State.Collectors() {
		m := &griffierv1.Collector{CollectorId: c.ID}
		for i := range c.Certificates {
			x := c.Certificates[len(c.Certificates)-1-i]
			m.Certificates = append(m.Certificates, &griffierv1.IssuedCertificate{Serial: x.Serial, IssuedAt: timestamppb.New(x.IssuedAt),
				ExpiresAt: timestamppb.New(x.ExpiresAt), State: stateOf(x, i == 0, now)})
		}
		for _, t := range s.State.Tokens(c.ID, now) {
			m.Tokens = append(m.Tokens, &griffierv1.EnrolmentToken{TokenId: t.ID, ExpiresAt: timestamppb.New(t.ExpiresAt)})
		}
		if len(m.Certificates)+len(m.Tokens) > 0 {
			resp.Collectors = append(resp.Collectors, m)
		}
	}
	return resp, nil
}

func stateOf(c Certificate, newest bool, now time.Time) griffierv1.CertificateState {
	switch {
	case c.Revoked:
		return griffierv1.CertificateState_CERTIFICATE_STATE_REVOKED
	case !now.Before(c.ExpiresAt):
		return griffierv1.CertificateState_CERTIFICATE_STATE_EXPIRED
	case newest:
		return griffierv1.CertificateState_CERTIFICATE_STATE_CURRENT
	}
	return griffierv1.CertificateState_CERTIFICATE_STATE_REPLACED
}

// Enrol implements EnrolmentService.
func (s *Service) Enrol(ctx context.Context, req *griffierv1.EnrolRequest) (*griffierv1.EnrolResponse, error) {
	if err := s.configured(); err != nil {
		return nil, err
	}
	if !s.tries.allow(ctx, s.Now()) {
		return nil, reason.New(reason.RateLimited, "")
	}
	t, ok := parseToken(req.GetToken())
	if !ok {
		return nil, refused()
	}
	// What else is wrong with a request is told to those only who have a token.
	collectorID, _, refusal := s.State.mayExchange(t, [sha256.Size]byte{}, s.Now())
	if refusal != nil {
		return nil, refusal
	}
	if req.GetCollectorId() != collectorID {
		return nil, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "collector_id", Description: "is not the one that the token is for"})
	}
	key, err := parsed(req.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	_, again, refusal := s.State.mayExchange(t, key.SHA256, s.Now())
	if refusal != nil {
		return nil, refusal
	}
	if again != nil {
		return &griffierv1.EnrolResponse{Certificate: again.DER, Issuers: s.issuers()}, nil
	}
	der, err := s.Authority.IssueCollector(collectorID, key.Public, s.Now(), s.Life)
	if err != nil {
		return nil, err
	}
	// Of two that come with one token at once, the ledger knows one request.
	got, err := s.issue(ctx, ledger.RequestID("", "Enrol", t.id), key, func(now time.Time) (ledger.Draft, *reason.Error) {
		_, again, refusal := s.State.mayExchange(t, key.SHA256, now)
		if again != nil {
			refusal = refused()
		}
		return ledger.Draft{Kind: KindEnrolled, Role: auth.RoleName(griffierv1.Role_ROLE_COLLECTOR),
			Facts: issued{CollectorID: collectorID, TokenID: t.id, Certificate: der}}, refusal
	})
	if err != nil {
		return nil, err
	}
	return &griffierv1.EnrolResponse{Certificate: got, Issuers: s.issuers()}, nil
}

// Renew implements EnrolmentService.
func (s *Service) Renew(ctx context.Context, req *griffierv1.RenewRequest) (*griffierv1.RenewResponse, error) {
	if err := s.configured(); err != nil {
		return nil, err
	}
	caller, ok := auth.FromContext(ctx)
	if !ok || caller.CollectorID == "" || caller.CertificateSerial == "" {
		return nil, reason.New(reason.Unauthenticated, "")
	}
	if refusal := s.State.mayRenew(caller.CollectorID, caller.CertificateSerial, s.Now()); refusal != nil {
		return nil, refusal
	}
	key, err := parsed(req.GetCertificateRequest())
	if err != nil {
		return nil, err
	}
	der, err := s.Authority.IssueCollector(caller.CollectorID, key.Public, s.Now(), s.Life)
	if err != nil {
		return nil, err
	}
	id := ledger.RequestID(caller.Actor, "Renew", caller.CertificateSerial+":"+hex.EncodeToString(key.SHA256[:]))
	got, err := s.issue(ctx, id, key, func(now time.Time) (ledger.Draft, *reason.Error) {
		return ledger.Draft{Kind: KindRenewed, Actor: caller.Actor, Role: auth.RoleName(griffierv1.Role_ROLE_COLLECTOR),
			Facts: issued{CollectorID: caller.CollectorID, Renews: caller.CertificateSerial, Certificate: der},
		}, s.State.mayRenew(caller.CollectorID, caller.CertificateSerial, now)
	})
	if err != nil {
		return nil, err
	}
	return &griffierv1.RenewResponse{Certificate: got, Issuers: s.issuers()}, nil
}

func parsed(der []byte) (Key, error) {
	key, err := ParseRequest(der)
	if err != nil {
		return Key{}, reason.Invalid(reason.InvalidRequest, reason.Violation{Field: "certificate_request", Description: err.Error()})
	}
	return key, nil
}

func (s *Service) issuers() [][]byte { return [][]byte{s.Authority.Certificate().Raw} }

// issue enters a certificate in the ledger and returns the one that is there: an
// earlier one, if the same was asked before.
func (s *Service) issue(ctx context.Context, requestID string, key Key, fn func(now time.Time) (ledger.Draft, *reason.Error)) ([]byte, error) {
	e, err := s.decide(ctx, requestID, fn)
	if err != nil {
		return nil, err
	}
	var f issued
	if err := json.Unmarshal(e.Header.Facts, &f); err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	cert, err := x509.ParseCertificate(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.Index, err)
	}
	if sha256.Sum256(cert.RawSubjectPublicKeyInfo) != key.SHA256 {
		return nil, refused()
	}
	return f.Certificate, nil
}

// act enters what a person or the provisioner did.
func (s *Service) act(ctx context.Context, fn func(now time.Time) (kind string, facts any, refusal *reason.Error)) error {
	caller, ok := auth.FromContext(ctx)
	if !ok || caller.Actor == "" {
		return reason.New(reason.Unauthenticated, "")
	}
	role := griffierv1.Role_ROLE_PROVISIONER
	if caller.Has(griffierv1.Role_ROLE_NETWORK_ENGINEER) {
		role = griffierv1.Role_ROLE_NETWORK_ENGINEER
	}
	key := "class:enrolment:" + s.Now().UTC().Format("2006-01") // the same as the interceptor's
	if err := s.Keys.Ensure(key); err != nil {
		return reason.Wrap(reason.LedgerUnavailable, err)
	}
	_, err := s.decide(ctx, uuid.NewString(), func(now time.Time) (ledger.Draft, *reason.Error) {
		kind, facts, refusal := fn(now)
		return ledger.Draft{Kind: kind, Actor: caller.Actor, Role: auth.RoleName(role), KeyID: key, Facts: facts,
			Body: map[string]string{"subject": caller.Subject}}, refusal
	})
	return err
}

// decide turns the ledger's errors into reasons.
func (s *Service) decide(ctx context.Context, requestID string, fn func(now time.Time) (ledger.Draft, *reason.Error)) (ledger.Entry, error) {
	e, err := s.Book.Decide(ctx, requestID, func(now time.Time) (ledger.Draft, error) {
		d, refusal := fn(now)
		if refusal != nil {
			return ledger.Draft{}, refusal
		}
		return d, nil
	})
	switch {
	case err == nil, reason.From(err) != nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return e, err
	case errors.Is(err, ledger.ErrUnknownOutcome):
		return e, reason.Wrap(reason.UnknownOutcome, err)
	case errors.Is(err, ledger.ErrClock):
		return e, reason.Wrap(reason.ClockUntrusted, err)
	}
	return e, reason.Wrap(reason.LedgerUnavailable, err)
}
