package warrantrpc

import (
	"context"
	"fmt"
	"time"

	"griffier/api/auth"
	"griffier/api/ledger"
	"griffier/api/reason"
	"griffier/api/server"
	"griffier/api/warrant"
	griffierv1 "griffier/proto/griffier/v1"
)

// ClassKeys makes class keys ([keystore.Store]). Ensure of a key that exists is no
// error.
type ClassKeys interface {
	Ensure(id string) error
}

// ClassBook decides the acts that are of no one case: on the retention policy, the
// legal bases, the authorities. Bodies are sealed under the key of the month.
type ClassBook struct {
	Book Book
	Keys ClassKeys
	Area string // names the month's key, with the month
	Now  func() time.Time
}

// Decide has the decider judge an act of the caller of the context. key names the
// month's key, which exists. Errors are reasons, as those of the function [Decide].
func (b ClassBook) Decide(ctx context.Context, method, clientID string,
	act func(now time.Time, by ledger.Caller, key string) (ledger.Draft, *reason.Error)) (ledger.Entry, error) {
	c, ok := auth.FromContext(ctx)
	if !ok || c.Actor == "" {
		return ledger.Entry{}, reason.New(reason.Unauthenticated, "")
	}
	requestID, err := RequestID(warrant.Caller{Actor: c.Actor}, method, clientID)
	if err != nil {
		return ledger.Entry{}, err
	}
	by := ledger.Caller{Actor: c.Actor, Machine: c.Machine}
	for _, r := range c.Roles {
		if r == griffierv1.Role_ROLE_OVERSEER || !c.Has(griffierv1.Role_ROLE_OVERSEER) { // as in callerOf
			by.Roles = append(by.Roles, auth.RoleName(r))
		}
	}
	key := server.ClassKey(b.Area, b.Now())
	if err := b.Keys.Ensure(key); err != nil {
		return ledger.Entry{}, reason.Wrap(reason.LedgerUnavailable, fmt.Errorf("class key: %w", err))
	}
	return Decide(ctx, b.Book, requestID, func(now time.Time) (ledger.Draft, *reason.Error) { return act(now, by, key) })
}
