package enrol

import (
	"crypto/sha256"
	"regexp"
	"time"

	"griffier/api/reason"
)

// Life of tokens.
const (
	MaxTokenLife     = 24 * time.Hour
	defaultTokenLife = time.Hour
	minTokenLife     = time.Minute
)

// Bounds on what one engineer's mistake, or one collector's, can fill.
const (
	maxOpenTokens  = 5 // of one collector
	maxCollectors  = 10_000
	maxIssues      = 10 // of one collector, in
	issuesInterval = time.Hour
)

// idForm is the form of a collector's id: it goes into a URI and a common name.
var idForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

var tokenIDForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

// refused is the one answer to every token and certificate that is not taken.
func refused() *reason.Error { return reason.New(reason.EnrolmentRefused, "") }

// mayCreate decides whether a token for a collector can be made at now.
func (s *State) mayCreate(collectorID string, now time.Time) *reason.Error {
	if len(s.Tokens(collectorID, now)) >= maxOpenTokens {
		return reason.New(reason.RateLimited, "Five tokens of this collector are still good; use or revoke one.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.collectors)+len(s.tokens) >= maxCollectors {
		return reason.New(reason.RateLimited, "There are 10,000 collectors and tokens.")
	}
	return nil
}

// mayExchange decides what a token is worth at now: its collector, and the
// certificate that it was exchanged for already, if that may be had again by the
// same key. The zero key asks whether there is anything to be had at all.
func (s *State) mayExchange(t token, key [sha256.Size]byte, now time.Time) (collectorID string, again *Certificate, _ *reason.Error) {
	kept, found := s.token(t.id)
	mine := t.is(kept.Hash) // also of one that is not there: it takes as long
	if !found || !mine || kept.Revoked || !now.Before(kept.ExpiresAt) {
		return "", nil, refused()
	}
	if kept.Serial == "" {
		return kept.CollectorID, nil, s.notTooOften(kept.CollectorID, now)
	}
	c, _ := s.collector(kept.CollectorID)
	cert, found := c.certificate(kept.Serial)
	if !found || cert.Revoked || !now.Before(cert.ExpiresAt) || key != [sha256.Size]byte{} && cert.KeySHA256 != key {
		return "", nil, refused()
	}
	return kept.CollectorID, &cert, nil
}

// mayRenew decides whether the certificate of a serial can be renewed at now. It
// must be one that was issued here, not revoked, not expired, and the newest, or
// the one that the newest renews.
func (s *State) mayRenew(collectorID, serial string, now time.Time) *reason.Error {
	c, _ := s.collector(collectorID)
	cert, found := c.certificate(serial)
	newest, _ := c.Newest()
	if !found || cert.Revoked || !now.Before(cert.ExpiresAt) || newest.Serial != serial && newest.Renews != serial {
		return refused()
	}
	return s.notTooOften(collectorID, now)
}

func (s *State) notTooOften(collectorID string, now time.Time) *reason.Error {
	c, _ := s.collector(collectorID)
	recent := 0
	for _, cert := range c.Certificates {
		if now.Sub(cert.IssuedAt) < issuesInterval {
			recent++
		}
	}
	if recent >= maxIssues {
		return reason.New(reason.RateLimited, "Ten certificates were issued to this collector within the hour.")
	}
	return nil
}
