// Package oversightrpc serves package oversight: OversightService over its state,
// that of the warrants and the holds, and the ledger that decides. Who may call and
// the entries of refusals are the interceptor's part.
package oversightrpc
