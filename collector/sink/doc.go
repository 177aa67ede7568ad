// Package sink carries the spool's blocks to the store, in order, each until
// the store has it.
//
// A store that is down, slow or not migrated yet is waited for, for ever: the
// spool grows meanwhile, and its limit pushes back on the network. What the
// store can never take is another matter, since one such row would stop all
// that come after it: it is moved to a quarantine folder, counted by reason and
// logged as an error, so that it neither blocks nor vanishes silently.
//
// Logs, metrics and errors hold no row's content, nor ClickHouse's own message
// texts, which quote values.
package sink
