// Package ledger is the append-only log of everything that must be provable
// later: every decision on a warrant, every look-up, every disclosure.
//
// It is a Merkle log (github.com/transparency-dev/tessera, POSIX driver) in a
// folder that one process owns. An entry has a clear header, with all that a
// fold needs and no personal data, and an encrypted body that is evidence;
// destroying the body's key (package keystore) erases the content and breaks
// neither the log's proofs nor the fold.
//
// Order. One goroutine, the sequencer, stamps the time, seals the body and hands
// entries to tessera; a second applies the folds in the order of the log and writes
// the witness file. A call returns success only after its entry is durable in the log,
// folded, and recorded in the witness file; only then does a published checkpoint cover
// it. Decide runs its function when every earlier entry has gone through all of that,
// so a decision sees exactly the log before it.
//
// Failing closed. What takes longer than Config.Limit (2 s) is answered
// ErrUnknownOutcome; until it is known, everything else is answered
// ErrUnavailable. A retry of Decide with the same request id finds out what
// happened. A start with a log that is shorter than, or differs from, what the
// witness file remembers is refused (ErrWitness): a restored copy must not
// revive a revoked warrant.
package ledger
