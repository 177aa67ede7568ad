// Package warrantrpc serves package warrant: WarrantService over the folded
// state, the ledger that decides and the case keys. Who may call, step-up age and
// the entries of refusals are the interceptor's part.
package warrantrpc
