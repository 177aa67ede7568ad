package enrol

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"griffier/api/ledger"
)

// Kinds of ledger entry that the state is a fold over.
const (
	KindTokenCreated = "collector.token_created"
	KindTokenRevoked = "collector.token_revoked"
	KindEnrolled     = "collector.enrolled"
	KindRenewed      = "collector.renewed"
	KindRevoked      = "collector.revoked"
)

// Facts of those entries. A collector's id names a router, and nobody.
type (
	tokenCreated struct {
		CollectorID string    `json:"collector_id"`
		TokenID     string    `json:"token_id"`
		TokenSHA256 string    `json:"token_sha256"`
		ExpiresAt   time.Time `json:"expires_at"`
	}
	tokenRevoked struct {
		TokenID string `json:"token_id"`
	}
	issued struct {
		CollectorID string `json:"collector_id"`
		TokenID     string `json:"token_id,omitempty"` // of an enrolment
		Renews      string `json:"renews,omitempty"`   // serial, of a renewal
		Certificate []byte `json:"certificate"`        // DER
	}
	revoked struct {
		CollectorID string `json:"collector_id"`
	}
)

// Certificate is one that was issued.
type Certificate struct {
	Serial    string // hexadecimal
	IssuedAt  time.Time
	ExpiresAt time.Time
	KeySHA256 [sha256.Size]byte // of its SubjectPublicKeyInfo
	DER       []byte
	Renews    string // serial of the certificate it was issued for; empty for an enrolment
	Revoked   bool
}

// Token is one that was made and has not expired.
type Token struct {
	ID          string
	CollectorID string
	Hash        string
	ExpiresAt   time.Time
	Revoked     bool
	Serial      string // of what it was exchanged for; empty if it was not
}

// Collector is what there is of one collector.
type Collector struct {
	ID           string
	Certificates []Certificate // oldest first; the newest, and others that have not expired
}

// Newest returns the certificate that was issued last.
func (c Collector) Newest() (Certificate, bool) {
	if len(c.Certificates) == 0 {
		return Certificate{}, false
	}
	return c.Certificates[len(c.Certificates)-1], true
}

func (c Collector) certificate(serial string) (Certificate, bool) {
	i := slices.IndexFunc(c.Certificates, func(x Certificate) bool { return x.Serial == serial })
	if i < 0 {
		return Certificate{}, false
	}
	return c.Certificates[i], true
}

// State is who is let in: a fold over the ledger. It is safe for concurrent use.
type State struct {
	mu         sync.Mutex
	collectors map[string]*Collector
	tokens     map[string]*Token
}

// NewState returns the state of an empty ledger.
func NewState() *State {
	return &State{collectors: map[string]*Collector{}, tokens: map[string]*Token{}}
}

// Apply implements [ledger.Fold].
func (s *State) Apply(e ledger.Entry) error {
	var err error
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Header.Kind {
	case KindTokenCreated:
		var f tokenCreated
		if err = json.Unmarshal(e.Header.Facts, &f); err == nil {
			s.forget(e.Header.At)
			s.tokens[f.TokenID] = &Token{ID: f.TokenID, CollectorID: f.CollectorID, Hash: f.TokenSHA256, ExpiresAt: f.ExpiresAt}
		}
	case KindTokenRevoked:
		var f tokenRevoked
		if err = json.Unmarshal(e.Header.Facts, &f); err == nil {
			if t := s.tokens[f.TokenID]; t != nil {
				t.Revoked = true
			}
		}
	case KindEnrolled, KindRenewed:
		var f issued
		if err = json.Unmarshal(e.Header.Facts, &f); err == nil {
			err = s.issue(e.Header.At, f)
		}
	case KindRevoked:
		var f revoked
		if err = json.Unmarshal(e.Header.Facts, &f); err == nil {
			s.revoke(f.CollectorID)
		}
	}
	if err != nil {
		return fmt.Errorf("entry %d: %s: %w", e.Index, e.Header.Kind, err)
	}
	return nil
}

// forget drops tokens that have expired; mu is held.
func (s *State) forget(now time.Time) {
	maps.DeleteFunc(s.tokens, func(_ string, t *Token) bool { return !now.Before(t.ExpiresAt) })
}

// issue adds a certificate; mu is held.
func (s *State) issue(at time.Time, f issued) error {
	cert, err := x509.ParseCertificate(f.Certificate)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	c := s.collectors[f.CollectorID]
	if c == nil {
		c = &Collector{ID: f.CollectorID}
		s.collectors[f.CollectorID] = c
	}
	c.Certificates = slices.DeleteFunc(c.Certificates, func(x Certificate) bool { return !at.Before(x.ExpiresAt) })
	n := Certificate{
		Serial: cert.SerialNumber.Text(16), IssuedAt: at, ExpiresAt: cert.NotAfter.UTC(),
		KeySHA256: sha256.Sum256(cert.RawSubjectPublicKeyInfo), DER: f.Certificate, Renews: f.Renews,
	}
	c.Certificates = append(c.Certificates, n)
	if t := s.tokens[f.TokenID]; t != nil {
		t.Serial = n.Serial
	}
	return nil
}

// revoke ends everything of a collector; mu is held.
func (s *State) revoke(collectorID string) {
	if c := s.collectors[collectorID]; c != nil {
		for i := range c.Certificates {
			c.Certificates[i].Revoked = true
		}
	}
	for _, t := range s.tokens {
		if t.CollectorID == collectorID {
			t.Revoked = true
		}
	}
}

// Collectors returns every collector that has a certificate or a token, by id.
func (s *State) Collectors() []Collector {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]Collector{}
	for _, t := range s.tokens {
		out[t.CollectorID] = Collector{ID: t.CollectorID}
	}
	for id, c := range s.collectors {
		out[id] = c.clone()
	}
	list := slices.Collect(maps.Values(out))
	slices.SortFunc(list, func(a, b Collector) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Tokens returns a collector's tokens that could be exchanged at now, by expiry.
func (s *State) Tokens(collectorID string, now time.Time) (out []Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if t.CollectorID == collectorID && t.open(now) {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(a, b Token) int {
		if c := a.ExpiresAt.Compare(b.ExpiresAt); c != 0 {
			return c
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return out
}

// open tells whether a token could be exchanged for a new certificate.
func (t *Token) open(now time.Time) bool {
	return now.Before(t.ExpiresAt) && !t.Revoked && t.Serial == ""
}

func (s *State) token(id string) (Token, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tokens[id]
	if t == nil {
		return Token{}, false
	}
	return *t, true
}

func (s *State) collector(id string) (Collector, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collectors[id]
	if c == nil {
		return Collector{}, false
	}
	return c.clone(), true
}

// clone copies what a later entry could change.
func (c *Collector) clone() Collector { return Collector{c.ID, slices.Clone(c.Certificates)} }
