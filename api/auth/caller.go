// Package auth establishes who is calling: people by an OIDC token, machines by
// a client certificate. It decides nothing about what they may do; that is the
// access rule of each rpc, enforced by package server.
package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	griffierv1 "griffier/proto/griffier/v1"
)

// Caller is an authenticated person or machine.
type Caller struct {
	// Subject is the OIDC subject or the URI of the certificate. It identifies a
	// person: it belongs in sealed bodies only, never in a log line or a header.
	Subject string
	// Actor is the pseudonym of Subject under the ledger's actor key, 32
	// hexadecimal digits. Two accounts are the same person when their Actor is equal.
	Actor string
	Roles []griffierv1.Role
	// Teams are those of the legal work that the person is in, each as [ValidTeam] has
	// it, without repetition. Nobody who has none is outside of teams: at a provider
	// without teams everybody is in the one that has no name.
	Teams []string
	// AccountID is the customer account of the token; empty for staff without one.
	AccountID string
	// AuthenticatedAt is when the person last proved who they are (auth_time).
	AuthenticatedAt time.Time
	// Machine is true for a caller known by its certificate.
	Machine bool
	// CollectorID and CertificateSerial, in hexadecimal, are of the certificate of a
	// collector; empty for others.
	CollectorID       string
	CertificateSerial string
}

// Has tells whether the caller has role r.
func (c Caller) Has(r griffierv1.Role) bool { return slices.Contains(c.Roles, r) }

type callerKey struct{}

// NewContext returns a context that carries c.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// FromContext returns the caller that the server's interceptor put there. A
// handler that gets false must refuse.
func FromContext(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(callerKey{}).(Caller)
	return c, ok
}

// ActorKey makes actor pseudonyms.
type ActorKey []byte

// Actor returns the pseudonym of subject.
func (k ActorKey) Actor(subject string) string {
	mac := hmac.New(sha256.New, k)
	mac.Write([]byte("actor:" + subject))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
