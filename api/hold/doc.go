// Package hold decides about holds: sealed copies of rows, made for a preservation
// order. A hold is made once, lasts as long as its legal basis allows, may be
// extended once where the basis says so, ends early when the authority says so or
// its warrant is revoked, and is destroyed at its end. It never allows reading:
// that takes a task under another warrant, that names it.
//
// It is pure, as package warrant is: a command is a function of the folded [State],
// the time, the caller and the request, and returns the [ledger.Draft] of the entry
// to append, or the [reason.Error] with which it refuses. That a hold has ended is
// a property of it, whoever looks; no job makes it so. Headers say when and under
// which basis, never whose rows.
//
// Package keep has the files and keys, package holdrpc the service.
package hold
