package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// ErrNoCredentials is returned for a call with neither a bearer token nor a
// client certificate that names a role.
var ErrNoCredentials = errors.New("no credentials")

// maxToken bounds the bearer token, in bytes.
const maxToken = 16 << 10

// Authenticator establishes the caller of a gRPC call.
type Authenticator struct {
	People   *People
	ActorKey ActorKey
}

// Authenticate returns who calls. A bearer token goes before a certificate, so
// that a portal's machine can pass on its customer's own token; the caller is
// then the customer. A token that is there and does not verify is an error,
// whatever certificate comes with it.
func (a *Authenticator) Authenticate(ctx context.Context) (Caller, error) {
	if raw, ok := bearer(ctx); ok {
		if len(raw) > maxToken {
			return Caller{}, ErrInvalidToken
		}
		caller, err := a.People.Verify(ctx, raw)
		if err != nil {
			return Caller{}, err
		}
		return a.named(caller), nil
	}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			// The handshake judged the certificate; the connection may outlive it.
			leaf := info.State.VerifiedChains[0][0]
			if caller, ok := Machine(leaf); ok && time.Now().Before(leaf.NotAfter) {
				return a.named(caller), nil
			}
		}
	}
	return Caller{}, ErrNoCredentials
}

func (a *Authenticator) named(c Caller) Caller {
	c.Actor = a.ActorKey.Actor(c.Subject)
	return c
}

func bearer(ctx context.Context) (string, bool) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, value := range md.Get("authorization") {
		if scheme, token, ok := strings.Cut(value, " "); ok && strings.EqualFold(scheme, "bearer") {
			return token, true
		}
	}
	return "", false
}
